"""8042 with keyboard and mouse, as Linux' i8042, atkbd and psmouse drivers talk to them."""

from __future__ import annotations

import pytest
from pc_fakes import Rig

from runtime.devices.keycodes import TO_SET1, scan_codes

KEY_A, KEY_F7, KEY_UP, KEY_PAUSE = 30, 65, 103, 119


def drain(rig: Rig) -> list[int]:
    """Everything in the output buffer, as the driver reads it."""
    found = []
    while rig.inb(0x64) & 1:
        found.append(rig.inb(0x60))
    return found


def command(rig: Rig, value: int, *arguments: int) -> list[int]:
    rig.outb(0x64, value)
    rig.outb(0x60, *arguments)
    return drain(rig)


def keyboard(rig: Rig, *values: int) -> list[int]:
    rig.outb(0x60, *values)
    return drain(rig)


def mouse(rig: Rig, *values: int) -> list[int]:
    found = []
    for value in values:
        rig.outb(0x64, 0xD4)
        rig.outb(0x60, value)
        while rig.inb(0x64) & 1:
            assert rig.inb(0x64) & 0x20, "data of the mouse is marked"
            found.append(rig.inb(0x60))
    return found


def test_controller_commands() -> None:
    rig = Rig()
    assert command(rig, 0xAA) == [0x55]
    assert command(rig, 0xAB) == [0x00]
    assert command(rig, 0xA9) == [0x00]
    assert command(rig, 0x60, 0x74) == []
    assert command(rig, 0x20) == [0x74]
    assert command(rig, 0xA8) == []
    assert command(rig, 0x20) == [0x54]
    assert command(rig, 0xA7) == []
    assert command(rig, 0x20) == [0x74]
    assert command(rig, 0xD2, 0x12) == [0x12]
    assert command(rig, 0xD0) == [0xCF]


def test_aux_loopback_is_an_echo_marked_as_mouse_data() -> None:
    """Linux takes the echo as the sign of a mouse port, and any other answer as an active multiplexer."""
    rig = Rig()
    for value in (0x5A, 0xF0, 0x56, 0xA4):
        rig.outb(0x64, 0xD3)
        rig.outb(0x60, value)
        assert rig.inb(0x64) & 0x21 == 0x21
        assert rig.inb(0x60) == value


def test_interrupts_follow_the_configuration_byte() -> None:
    rig = Rig()
    command(rig, 0x60, 0x47)
    rig.outb(0x64, 0xD3)
    rig.outb(0x60, 0xA5)
    assert rig.board.irqs[12].level
    assert not rig.board.irqs[1].level
    drain(rig)
    assert not rig.board.irqs[12].level
    rig.outb(0x60, 0xF2)
    assert rig.board.irqs[1].level
    drain(rig)
    command(rig, 0x60, 0x44)
    rig.outb(0x60, 0xF2)
    assert not rig.board.irqs[1].level
    assert drain(rig) == [0xFA, 0xAB, 0x41]


def test_each_byte_is_an_edge() -> None:
    rig = Rig()
    rig.init_apic()
    rig.set_pin(1, 0x31)
    rig.outb(0x60, 0xF2)
    for value in (0xFA, 0xAB, 0x41):
        assert rig.take() == 0x31
        assert rig.inb(0x60) == value
        rig.eoi()
    assert rig.take() is None


def test_keyboard_probe_of_linux() -> None:
    rig = Rig()
    assert keyboard(rig, 0xFF) == [0xFA, 0xAA]
    assert keyboard(rig, 0xF2) == [0xFA, 0xAB, 0x41], "0x83, translated"
    assert keyboard(rig, 0xED) + keyboard(rig, 0x02) == [0xFA, 0xFA]
    assert rig.board.keyboard.leds == 2
    assert keyboard(rig, 0xF3) + keyboard(rig, 0x00) == [0xFA, 0xFA]
    assert keyboard(rig, 0xEE) == [0xEE]
    assert keyboard(rig, 0xF0) + keyboard(rig, 0x00) == [0xFA, 0xFA, 0x41], "code set 2, translated"
    assert keyboard(rig, 0xF0) + keyboard(rig, 0x03) == [0xFA, 0xFE]
    assert keyboard(rig, 0xF5) == [0xFA]
    rig.border.sinks["keyboard"](bytes((KEY_A,)))
    assert drain(rig) == [], "disabled"
    assert keyboard(rig, 0xF4) == [0xFA]
    rig.border.sinks["keyboard"](bytes((KEY_A, KEY_A | 0x80)))
    assert drain(rig) == [0x1E, 0x9E]


@pytest.mark.parametrize("translate", [True, False])
def test_scan_codes(translate: bool) -> None:
    rig = Rig()
    command(rig, 0x60, 0x45 if translate else 0x05)
    sequences = {
        KEY_A: ("1e 9e", "1c f0 1c"),
        KEY_F7: ("41 c1", "83 f0 83"),
        KEY_UP: ("e0 48 e0 c8", "e0 75 e0 f0 75"),
        KEY_PAUSE: ("e1 1d 45 e1 9d c5", "e1 14 77 e1 f0 14 f0 77"),
        120: ("", ""),
    }
    for key, texts in sequences.items():
        rig.border.sinks["keyboard"](bytes((key, key | 0x80)))
        assert bytes(drain(rig)) == bytes.fromhex(texts[0 if translate else 1])


def test_every_plain_key_translates_to_its_own_number() -> None:
    for key in [*range(1, 84), 87, 88]:
        (code,) = scan_codes(key, 2)
        assert TO_SET1[code] == key
        assert scan_codes(key, 1) == bytes((key,))


def test_keys_that_do_not_fit_are_lost_whole() -> None:
    rig = Rig()
    for _ in range(20):
        rig.border.sinks["keyboard"](bytes((KEY_UP, KEY_UP | 0x80)))
    codes = bytes(drain(rig))
    assert codes.count(0x48) >= 3
    assert codes.replace(bytes.fromhex("e048"), b"").replace(bytes.fromhex("e0c8"), b"") == b""


def test_keyboard_waits_while_its_port_is_off() -> None:
    rig = Rig()
    command(rig, 0xAD)
    rig.border.sinks["keyboard"](bytes((KEY_A,)))
    assert drain(rig) == []
    command(rig, 0x20)
    rig.outb(0x64, 0xAE)
    assert drain(rig) == [0x1E]


def test_mouse_probe_of_linux() -> None:
    rig = Rig()
    command(rig, 0xA8)
    assert mouse(rig, 0xFF) == [0xFA, 0xAA, 0x00]
    assert mouse(rig, 0xF2) == [0xFA, 0x00]
    assert mouse(rig, 0xF3, 200, 0xF3, 100, 0xF3, 80) == [0xFA] * 6
    assert mouse(rig, 0xF2) == [0xFA, 0x03]
    assert mouse(rig, 0xF3, 200, 0xF3, 200, 0xF3, 80) == [0xFA] * 6
    assert mouse(rig, 0xF2) == [0xFA, 0x04]
    assert mouse(rig, 0xE8, 3, 0xE6, 0xF3, 100) == [0xFA] * 5
    assert mouse(rig, 0xF4) == [0xFA]
    assert mouse(rig, 0xE9) == [0xFA, 0x20, 3, 100]
    rig.border.sinks["mouse"](bytes((0x11, 5, 0xFD, 1)))
    assert drain(rig) == [0x29, 5, 0xFD, 0x2F]
    assert mouse(rig, 0xA0) == [0xFE]


def test_mouse_gathers_movement_that_does_not_fit() -> None:
    rig = Rig()
    command(rig, 0xA8)
    mouse(rig, 0xF4)
    for _ in range(100):
        rig.border.sinks["mouse"](bytes((0, 100, 0, 0)))
    total, data = 0, drain(rig)
    assert len(data) % 3 == 0
    for at in range(0, len(data), 3):
        total += data[at + 1] - (256 if data[at] & 0x10 else 0)
    assert total == 10_000
    with pytest.raises(ValueError, match="four-byte"):
        rig.border.sinks["mouse"](b"\0\0\0")


def test_resets() -> None:
    rig = Rig()
    rig.outb(0x64, 0xFE)
    assert rig.pins.resets == 1
    rig.outb(0x92, 1)
    assert rig.pins.resets == 2
    rig.outb(0xCF9, 0x02)
    rig.outb(0xCF9, 0x06)
    assert rig.pins.resets == 3
    rig.outb(0xCF9, 0x06)
    assert rig.pins.resets == 3, "the bit must rise"
