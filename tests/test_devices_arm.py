"""The virt board's UART, clock, pins, keyboard and mouse ports, timer and firmware, as their manuals and drivers want
them."""

from __future__ import annotations

import pytest
from virt_fakes import GPIO, KEYBOARD, MOUSE, RTC, START, UART, VirtRig

from runtime.devices.generic_timer import (
    CNTP_CTL,
    CNTP_CVAL,
    CNTP_TVAL,
    CNTPCT,
    CNTV_CTL,
    CNTV_CVAL,
    CNTV_TVAL,
    CNTVCT,
    FREQUENCY,
)  # fmt: skip

DR, FR, IBRD, FBRD, LCR_H, CR, IFLS, IMSC, RIS, MIS, ICR = (
    UART + at for at in (0, 0x18, 0x24, 0x28, 0x2C, 0x30, 0x34, 0x38, 0x3C, 0x40, 0x44)
)
RX, TX, TIMEOUT = 0x10, 0x20, 0x40
MS, SECOND = 1_000_000, 1_000_000_000


def open_uart(rig: VirtRig, levels: int = 0x12) -> None:
    """115200 baud of 24 MHz, 8N1 with FIFOs, receiving and sending, as Linux' driver does."""
    rig.write(IBRD, 13)
    rig.write(FBRD, 1)
    rig.write(LCR_H, 0x70)
    rig.write(IFLS, levels)
    rig.write(CR, 0x301)


def typed(rig: VirtRig, data: bytes) -> None:
    rig.border.sinks["serial0"](data)


# The UART


def test_uart_prints_without_being_opened() -> None:
    """Programs without a driver (and Linux' earlycon) poll FR and write DR, with accesses of any size."""
    rig = VirtRig()
    for size, char in zip((1, 2, 4), b"abc", strict=True):
        assert not rig.read(FR) & 0x20
        rig.write(DR, char, size)
    assert rig.border.sent["serial0"] == b"abc"
    assert rig.read(FR, 2) & 0xB0 == 0x90, "both FIFOs empty, not full"


def test_uart_transmit_interrupt_comes_with_the_empty_fifo() -> None:
    rig = VirtRig()
    rig.init_gic(33)
    open_uart(rig)
    rig.write(IMSC, TX)
    assert not rig.pins.intr, "nothing has been sent: the level of the FIFO has not fallen"
    rig.write(DR, 0x41)
    assert rig.pins.intr
    assert rig.read(MIS) == TX
    rig.write(ICR, TX)
    assert not rig.pins.intr


def test_uart_transmitter_that_is_off_keeps_what_it_has() -> None:
    rig = VirtRig()
    rig.write(CR, 0)
    rig.write(DR, 0x41)
    assert rig.read(FR) & 0xA0 == 0x20, "full: the FIFO is off"
    rig.write(DR, 0x42)
    assert "serial0" not in rig.border.sent
    rig.write(CR, 0x101)
    assert rig.border.sent["serial0"] == b"A"
    assert rig.read(FR) & 0xA0 == 0x80


@pytest.mark.parametrize(("select", "level"), [(0, 2), (1, 4), (2, 8), (3, 12), (4, 14)])
def test_uart_receive_trigger(select: int, level: int) -> None:
    rig = VirtRig()
    open_uart(rig, select << 3)
    rig.write(IMSC, RX)
    typed(rig, bytes(level - 1))
    assert rig.read(RIS) & RX == 0
    typed(rig, b"x")
    assert rig.read(MIS) == RX
    rig.read(DR)
    assert rig.read(MIS) == 0, "below the trigger again"


def test_uart_receive_timeout() -> None:
    """32 bit times after the last character: 277 us."""
    rig = VirtRig()
    rig.init_gic(33)
    open_uart(rig)
    rig.write(IMSC, RX | TIMEOUT)
    typed(rig, b"a")
    rig.run(250_000)
    typed(rig, b"b")
    rig.run(250_000)
    assert not rig.pins.intr
    rig.run(28_000)
    assert rig.read(MIS) == TIMEOUT
    assert rig.pins.intr
    assert [rig.read(DR), rig.read(MIS), rig.read(DR), rig.read(MIS)] == [0x61, TIMEOUT, 0x62, 0]
    assert not rig.pins.intr
    assert rig.read(DR) == 0


def test_uart_input_is_never_lost() -> None:
    rig = VirtRig()
    open_uart(rig)
    text = bytes(range(1, 101))
    typed(rig, text)
    assert rig.read(FR) & 0x50 == 0x40
    got = bytearray()
    while not rig.read(FR) & 0x10:
        got.append(rig.read(DR, 2))
    assert got == text


def test_uart_without_fifos_interrupts_at_each_character() -> None:
    rig = VirtRig()
    rig.write(IMSC, RX)
    typed(rig, b"ab")
    for char in b"ab":
        assert rig.read(MIS) == RX
        assert rig.read(DR) == char
    assert rig.read(MIS) == 0


def test_uart_receiver_that_is_off_lets_input_wait() -> None:
    rig = VirtRig()
    rig.write(CR, 0x101)
    typed(rig, b"a")
    assert rig.read(FR) & 0x10
    rig.write(CR, 0x301)
    assert rig.read(DR) == 0x61


def test_uart_loopback() -> None:
    rig = VirtRig()
    open_uart(rig)
    rig.write(CR, 0x381 | 0x0C00)
    rig.write(DR, 0x55)
    assert rig.read(DR) == 0x55
    assert "serial0" not in rig.border.sent
    assert rig.read(FR) & 0x107 == 0x003, "DTR and RTS come back as DSR and CTS"
    rig.write(CR, 0x381)
    assert rig.read(RIS) & 0xF == 0xE, "DCD, DSR, CTS have changed"


# The clock


def test_rtc_counts_from_the_border() -> None:
    rig = VirtRig()
    assert rig.border.clock_reads == 1
    assert rig.read(RTC) == START
    rig.run(5 * SECOND)
    assert rig.read(RTC) == START + 5
    rig.board.reset()
    assert rig.border.clock_reads == 1, "it has a battery"
    assert rig.read(RTC) == START + 5
    assert rig.read(RTC + 0x0C) == 1


def test_rtc_alarm() -> None:
    rig = VirtRig()
    rig.init_gic(34)
    rig.write(RTC + 0x10, 1)
    rig.write(RTC + 0x04, START + 3)
    rig.run(3 * SECOND - 1000)
    assert not rig.pins.intr
    rig.run(1000)
    assert rig.pins.intr
    assert rig.read(RTC + 0x18) == 1
    rig.write(RTC + 0x1C, 1)
    assert not rig.pins.intr
    rig.run(10 * SECOND)
    assert not rig.pins.intr


def test_rtc_match_is_seen_without_the_interrupt() -> None:
    rig = VirtRig()
    rig.write(RTC + 0x04, START + 3)
    assert rig.clock.next_deadline() is None, "nobody waits for it"
    rig.run(10 * SECOND)
    assert (rig.read(RTC + 0x14), rig.read(RTC + 0x18)) == (1, 0)


def test_rtc_can_be_set() -> None:
    rig = VirtRig()
    rig.run(SECOND // 2)
    rig.write(RTC + 0x04, 1002)
    rig.write(RTC + 0x10, 1)
    rig.write(RTC + 0x08, 1000)
    assert rig.read(RTC) == rig.read(RTC + 0x08) == 1000
    rig.run(SECOND // 2)
    assert rig.read(RTC) == 1001, "the second ends when it would have"
    rig.run(SECOND)
    assert rig.read(RTC + 0x18) == 1


# Pins


def test_gpio_power_button() -> None:
    """gpio-keys wants both edges of the key."""
    rig = VirtRig()
    rig.init_gic(39)
    rig.write(GPIO + 0x408, 8)
    rig.write(GPIO + 0x410, 8)
    rig.border.sinks["power"](b"\x01")
    assert rig.pins.intr
    assert rig.read(GPIO + 0x3FC) == rig.read(GPIO + 4 * 8) == 8
    assert rig.read(GPIO + 4 * 7) == 0, "other pins"
    rig.write(GPIO + 0x41C, 8)
    assert not rig.pins.intr
    rig.run(99 * MS)
    assert not rig.pins.intr
    rig.run(MS)
    assert rig.pins.intr
    assert rig.read(GPIO + 0x3FC) == 0
    rig.border.sinks["power"](b"\x02\x03")
    assert (rig.pins.resets, rig.pins.power_offs) == (1, 1)


def test_gpio_levels_and_single_edges() -> None:
    rig = VirtRig()
    rig.write(GPIO + 0x410, 0xFF)
    rig.write(GPIO + 0x404, 1)  # level
    rig.write(GPIO + 0x40C, 3)  # high, rising; the others falling
    for pin in (0, 1, 2):
        rig.board.gpio.set_input(pin, True)
    assert rig.read(GPIO + 0x414) & 7 == 3
    rig.write(GPIO + 0x41C, 7)
    assert rig.read(GPIO + 0x418) & 7 == 1, "a level cannot be cleared"
    for pin in (0, 1, 2):
        rig.board.gpio.set_input(pin, False)
    assert rig.read(GPIO + 0x418) & 7 == 4


def test_gpio_outputs() -> None:
    rig = VirtRig()
    rig.write(GPIO + 0x400, 0xF0)
    rig.write(GPIO + 4 * 0x3C, 0xFF)
    assert rig.read(GPIO + 0x3FC) == 0x30, "only selected pins that are outputs"


# Keyboard and mouse


def drain(rig: VirtRig, port: int) -> list[int]:
    found = []
    while rig.read(port + 0x10) & 1:
        found.append(rig.read(port + 8, 1))
    return found


def say(rig: VirtRig, port: int, *values: int) -> list[int]:
    found = []
    for value in values:
        assert rig.read(port + 4) & 0x40
        rig.write(port + 8, value, 1)
        found += drain(rig, port)
    return found


def test_keyboard_port() -> None:
    rig = VirtRig()
    rig.init_gic(42)
    rig.border.sinks["keyboard"](bytes((30,)))
    assert rig.read(KEYBOARD + 4) & 0x10 == 0, "off"
    rig.write(KEYBOARD, 0x14)
    assert rig.pins.intr
    assert drain(rig, KEYBOARD) == [0x1C]
    assert not rig.pins.intr
    assert say(rig, KEYBOARD, 0xFF, 0xF2, 0xED, 2) == [0xFA, 0xAA, 0xFA, 0xAB, 0x83, 0xFA, 0xFA]
    assert rig.board.keyboard.leds == 2
    rig.border.sinks["keyboard"](bytes((30, 30 | 0x80)))
    assert drain(rig, KEYBOARD) == [0x1C, 0xF0, 0x1C]
    rig.write(KEYBOARD, 0x0C)
    assert rig.pins.intr
    assert rig.read(KEYBOARD + 0x10) == 2, "the transmitter is always empty"


def test_mouse_port() -> None:
    rig = VirtRig()
    rig.init_gic(43)
    rig.write(MOUSE, 0x14)
    assert say(rig, MOUSE, 0xFF) == [0xFA, 0xAA, 0x00]
    assert say(rig, MOUSE, 0xF4) == [0xFA]
    for _ in range(100):
        rig.border.sinks["mouse"](bytes((1, 100, 0, 0)))
    assert rig.pins.intr
    data = drain(rig, MOUSE)
    assert len(data) % 3 == 0
    assert sum(data[at + 1] for at in range(0, len(data), 3)) == 10_000


# The generic timer


def test_timer_counts_virtual_time() -> None:
    rig = VirtRig()
    rig.run(SECOND)
    assert rig.board.timer.read(CNTVCT) == rig.board.timer.read(CNTPCT) == FREQUENCY
    rig.icount += 1
    assert rig.board.timer.read(CNTVCT) == FREQUENCY, "two instructions a tick"
    rig.icount += 1
    assert rig.board.timer.read(CNTVCT) == FREQUENCY + 1


@pytest.mark.parametrize(("base", "number"), [(CNTP_CTL, 30), (CNTV_CTL, 27)])
def test_timer_fires_when_its_value_is_reached(base: int, number: int) -> None:
    rig = VirtRig()
    rig.init_gic(number)
    timer = rig.board.timer
    rig.run(1000)
    now = timer.count()
    timer.write(base + CNTP_TVAL, 100)
    timer.write(base + CNTP_CTL, 1)
    assert timer.read(base + CNTP_CVAL) == now + 100
    rig.run(99 * 16)
    assert (timer.read(base + CNTP_CTL), timer.read(base + CNTP_TVAL)) == (1, 1)
    assert not rig.pins.intr
    rig.run(16)
    assert rig.pins.intr
    assert (timer.read(base + CNTP_CTL), timer.read(base + CNTP_TVAL)) == (5, 0)
    rig.run(16)
    assert timer.read(base + CNTP_TVAL) == 0xFFFFFFFF, "it goes on, below zero"
    timer.write(base + CNTP_CTL, 3)
    assert not rig.pins.intr
    assert timer.read(base + CNTP_CTL) == 7, "the condition is still there"
    timer.write(base + CNTP_CTL, 0)
    assert timer.read(base + CNTP_CTL) == 0


def test_timer_set_into_the_past_fires_at_once() -> None:
    rig = VirtRig()
    rig.init_gic(27)
    rig.run(SECOND)
    rig.board.timer.write(CNTV_CTL, 1)
    assert rig.pins.intr, "0 has been reached"
    rig.board.timer.write(CNTV_TVAL, 10)
    assert not rig.pins.intr
    rig.board.timer.write(CNTV_TVAL, 0xFFFFFFFF)
    assert rig.pins.intr, "-1"
    assert rig.board.timer.read(CNTV_CVAL) == FREQUENCY - 1
    rig.board.timer.write(CNTV_CVAL, (1 << 64) - 1)
    assert not rig.pins.intr
    assert rig.clock.next_deadline() is None
