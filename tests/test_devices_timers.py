"""PIT, local APIC timer, PM timer, HPET and RTC on virtual time."""

from __future__ import annotations

import datetime

import pytest
from pc_fakes import START, Rig

from runtime.devices.calendar import date_from_days, days_from_date, weekday

SECOND = 1_000_000_000
MS = 1_000_000
PIT_HZ = 1_193_182


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


# PIT


def test_pit_mode_0_counts_down_and_raises_output_once() -> None:
    rig = Rig()
    rig.outb(0x61, 1)
    rig.pit(2, 0, 1000)
    assert rig.pit_count(2) == 1000
    assert not rig.inb(0x61) & 0x20
    end = ceil_div(1000 * SECOND, PIT_HZ)
    rig.run(end - 100)
    assert rig.pit_count(2) == 1
    assert not rig.inb(0x61) & 0x20
    rig.run(200)
    assert rig.inb(0x61) & 0x20
    assert rig.pit_count(2) == 0
    rig.run(1000)
    assert rig.pit_count(2) == 0xFFFF, "it goes on counting"


def test_pit_as_linux_calibrates_the_tsc_with_it() -> None:
    """Without latching, low and high byte alternate; the high byte falls by one each 256 ticks."""
    rig = Rig()
    rig.outb(0x61, rig.inb(0x61) & ~2 | 1)
    rig.outb(0x43, 0xB0)
    rig.outb(0x42, 0xFF, 0xFF)
    seen: dict[int, int] = {}
    for _ in range(3000):
        rig.inb(0x42)
        seen.setdefault(rig.inb(0x42), rig.ns)
        rig.run(1000)
    highs = sorted(seen, reverse=True)
    assert highs == list(range(0xFF, highs[-1] - 1, -1))
    ticks = (highs[0] - highs[-1]) * 256
    assert abs(seen[highs[-1]] - ticks * SECOND // PIT_HZ) < 2000


def test_pit_gate_pauses_mode_0() -> None:
    rig = Rig()
    rig.outb(0x61, 1)
    rig.pit(2, 0, 5000)
    rig.run(MS)
    before = rig.pit_count(2)
    rig.outb(0x61, 0)
    rig.run(MS)
    assert rig.pit_count(2) == before
    rig.outb(0x61, 1)
    assert rig.pit_count(2) == before
    rig.run(MS)
    assert before - rig.pit_count(2) == pytest.approx(1193, abs=1)


def test_pit_periodic_interrupts_do_not_drift() -> None:
    rig = Rig()
    rig.init_pic()
    rig.outb(0x21, 0xFE)
    rig.pit(0, 2, 1193)
    rig.take()  # setting the mode raised the output
    rig.outb(0x20, 0x20)
    rig.run(SECOND, lambda vector: rig.outb(0x20, 0x20))
    assert len(rig.taken) == PIT_HZ // 1193
    for number, (vector, at) in enumerate(rig.taken, 1):
        exact = ceil_div(number * 1193 * SECOND, PIT_HZ)
        assert vector == 0x30
        assert exact <= at < exact + 8


def test_pit_mode_3_counts_by_two_and_is_square() -> None:
    rig = Rig()
    rig.outb(0x61, 1)
    rig.pit(2, 3, 1000)
    tick = SECOND // PIT_HZ
    rig.run(100 * tick + 400)
    assert rig.pit_count(2) == 1000 - 200
    assert rig.inb(0x61) & 0x20
    rig.run(500 * tick)
    assert not rig.inb(0x61) & 0x20
    assert rig.pit_count(2) == pytest.approx(1000 - 200, abs=2)


def test_pit_one_shot_mode_4() -> None:
    rig = Rig()
    rig.init_apic()
    rig.pit(0, 4, 11932)
    rig.set_pin(2, 0x30)
    rig.run(0, lambda vector: rig.eoi())
    rig.taken.clear()
    rig.run(SECOND, lambda vector: rig.eoi())
    assert len(rig.taken) == 1
    assert rig.taken[0][1] == pytest.approx(10 * MS, abs=2000)


def test_pit_read_back_and_byte_access() -> None:
    rig = Rig()
    rig.outb(0x43, 0x14)  # channel 0, low byte only, mode 2
    rig.outb(0x43, 0xE2)  # read back status
    assert rig.inb(0x40) & 0x7F == 0x40 | 0x14, "null count: nothing loaded yet"
    rig.outb(0x40, 200)
    rig.outb(0x43, 0xC2)  # status and count
    assert rig.inb(0x40) == 0x80 | 0x14
    assert rig.inb(0x40) == 200
    rig.outb(0x43, 0x31)  # BCD, both bytes, mode 0
    rig.outb(0x40, 0x00, 0x10)
    assert rig.pit_count(0) == 0x1000
    rig.run(SECOND // PIT_HZ + 8)
    assert rig.pit_count(0) == 0x0999


# Local APIC timer


def test_apic_timer_one_shot() -> None:
    rig = Rig()
    rig.init_apic()
    rig.set_apic(0x3E0, 3)  # divide by 16
    rig.set_apic(0x320, 0xEC)
    rig.set_apic(0x380, 1000)
    rig.run(8000)
    assert rig.apic(0x390) == 500
    rig.run(7992)
    assert not rig.pins.intr
    rig.run(8)
    assert rig.take() == 0xEC
    assert rig.apic(0x390) == 0
    rig.eoi()
    rig.run(MS)
    assert not rig.pins.intr


def test_apic_timer_periodic_keeps_its_phase() -> None:
    rig = Rig()
    rig.init_apic()
    rig.set_apic(0x3E0, 0xB)  # divide by 1
    rig.set_apic(0x320, 0x200EC)
    rig.set_apic(0x380, 4_000_001)
    rig.run(40_000_020, lambda vector: rig.eoi())
    assert [at for _, at in rig.taken] == [ceil_div(n * 4_000_001, 8) * 8 for n in range(1, 11)]


def test_apic_timer_that_is_over_stays_so_when_it_becomes_periodic() -> None:
    rig = Rig()
    rig.init_apic()
    rig.set_apic(0x320, 0x40)
    rig.set_apic(0x3E0, 0xB)
    rig.set_apic(0x380, 1000)
    rig.run(2000)
    rig.set_apic(0x320, 0x20040)
    rig.run(500)
    assert rig.apic(0x390) == 0
    rig.set_apic(0x380, 1000)
    rig.run(1504)
    assert rig.apic(0x390) == 496


def test_apic_timer_is_silent_while_masked_but_counts() -> None:
    rig = Rig()
    rig.init_apic()
    rig.set_apic(0x3E0, 0xB)
    rig.set_apic(0x320, 0x300EC)
    rig.set_apic(0x380, 10_000)
    rig.run(25_000)
    assert not rig.pins.intr
    assert rig.apic(0x390) == 5000
    rig.set_apic(0x320, 0x200EC)
    rig.run(5000)
    assert rig.take() == 0xEC


def test_tsc_deadline() -> None:
    rig = Rig()
    rig.init_apic()
    apic = rig.board.apic
    apic.write_tsc_deadline(5000)
    assert apic.read_tsc_deadline() == 0, "ignored outside its mode"
    rig.set_apic(0x320, 0x400EC)
    apic.write_tsc_deadline(8001)
    assert apic.read_tsc_deadline() == 8001
    rig.run(8000)
    assert not rig.pins.intr
    rig.run(8)
    assert rig.take() == 0xEC
    assert apic.read_tsc_deadline() == 0
    rig.eoi()
    apic.write_tsc_deadline(rig.ns + 100)
    apic.write_tsc_deadline(0)
    rig.run(MS)
    assert not rig.pins.intr
    apic.write_tsc_deadline(1)
    rig.run(0)
    assert rig.take() == 0xEC, "a deadline in the past is due at once"
    rig.set_apic(0x380, 77)
    assert rig.apic(0x380) == 0, "the count register is out of use in this mode"


# ACPI PM


def test_pm_timer_rate_and_width() -> None:
    rig = Rig()
    rig.run(SECOND)
    assert rig.board.io.read(0x608, 4) == 3_579_545
    rig.run(4 * SECOND)
    assert rig.board.io.read(0x608, 4) == 5 * 3_579_545 % (1 << 24)


def test_pm_timer_status_and_sci() -> None:
    rig = Rig()
    rig.init_apic()
    rig.set_pin(9, 0x8049)
    assert rig.board.io.read(0x604, 2) == 1, "always in ACPI mode"
    rig.run(3 * SECOND)
    assert rig.board.io.read(0x600, 2) & 1
    rig.board.io.write(0x600, 2, 1)
    assert not rig.board.io.read(0x600, 2) & 1
    rig.board.io.write(0x602, 2, 1)
    taken_at = []

    def handler(vector: int) -> None:
        taken_at.append(rig.ns)
        rig.board.io.write(0x600, 2, 1)
        rig.eoi()

    rig.run(5 * SECOND, handler)
    half = 1 << 23
    assert taken_at == [ceil_div(ceil_div(n * half * SECOND, 3_579_545), 8) * 8 for n in (2, 3)]


def test_power_button_and_soft_off() -> None:
    rig = Rig()
    rig.init_apic()
    rig.set_pin(9, 0x8049)
    rig.border.sinks["power"](b"\x01")
    assert not rig.pins.intr
    assert rig.board.io.read(0x600, 2) == 0x100
    rig.board.io.write(0x602, 2, 0x120)
    assert rig.take() == 0x49
    rig.board.io.write(0x600, 2, 0x100)
    rig.eoi()
    assert not rig.pins.intr
    rig.board.io.write(0x604, 2, 5 << 10)
    assert not rig.pins.power_offs
    rig.board.io.write(0x604, 2, 5 << 10 | 1 << 13)
    assert rig.pins.power_offs == 1
    rig.border.sinks["power"](b"\x02\x03")
    assert (rig.pins.resets, rig.pins.power_offs) == (1, 2)


# HPET


def hpet(rig: Rig, register: int, value: int | None = None, size: int = 4) -> int:
    if value is not None:
        rig.board.mmio.write(0xFED00000 + register, size, value)
    return rig.board.mmio.read(0xFED00000 + register, size)


def test_hpet_counts_and_interrupts() -> None:
    rig = Rig(has_hpet=True)
    rig.init_apic()
    assert hpet(rig, 4) == 10_000_000, "femtoseconds a tick"
    rig.run(MS)
    assert hpet(rig, 0xF0) == 0, "it stands until enabled"
    hpet(rig, 0x10, 3)  # enable, legacy replacement
    rig.set_pin(2, 0x30)
    hpet(rig, 0x100, 0x14C)  # 32 bits, periodic, set value, enable
    hpet(rig, 0x108, 100_000)
    hpet(rig, 0x108, 100_000)
    rig.run(10 * MS, lambda vector: rig.eoi())
    assert [at - MS for _, at in rig.taken] == [n * MS for n in range(1, 11)]
    assert hpet(rig, 0xF0, size=8) == MS
    hpet(rig, 0x100, 0)
    rig.run(5 * MS, lambda vector: rig.eoi())
    assert len(rig.taken) == 10


def test_hpet_comparator_of_64_bits_that_has_just_been_passed() -> None:
    """It matches in thousands of years; the deadline until then still fits a checkpoint."""
    rig = Rig(has_hpet=True)
    hpet(rig, 0x10, 1)
    rig.run(MS)
    hpet(rig, 0x100, 4)
    hpet(rig, 0x108, 99_999, size=8)
    assert rig.ns < rig.clock.save()["hpet.compare"] << 3 < 1 << 64


def test_hpet_replaces_the_pit() -> None:
    rig = Rig(has_hpet=True)
    rig.init_apic()
    rig.set_pin(2, 0x30)
    hpet(rig, 0x10, 3)
    rig.pit(0, 2, 1193)
    rig.run(10 * MS)
    assert not rig.pins.intr
    hpet(rig, 0x10, 1)
    rig.run(10 * MS)
    assert rig.take() == 0x30


def test_hpet_level_interrupt_needs_its_status_cleared() -> None:
    rig = Rig(has_hpet=True)
    rig.init_apic()
    rig.set_pin(20, 0x8055)
    hpet(rig, 0x10, 1)
    hpet(rig, 0x140, 20 << 9 | 0x106)
    hpet(rig, 0x148, 1000)
    rig.run(10_000)
    assert rig.take() == 0x55
    assert hpet(rig, 0x20) == 4
    rig.eoi()
    assert rig.take() == 0x55
    hpet(rig, 0x20, 4)
    rig.eoi()
    assert not rig.pins.intr


# RTC


def cmos(rig: Rig, register: int, value: int | None = None) -> int:
    rig.outb(0x70, register)
    if value is not None:
        rig.outb(0x71, value)
    return rig.inb(0x71)


def rtc_time(rig: Rig) -> datetime.datetime:
    second, minute, hour, day, month, year, century = (
        int(f"{cmos(rig, register):x}") for register in (0, 2, 4, 7, 8, 9, 0x32)
    )
    return datetime.datetime(century * 100 + year, month, day, hour, minute, second)


def test_calendar_agrees_with_the_hosts() -> None:
    for days in [*range(-800, 60_000, 37), *range(19_000, 19_800)]:
        date = datetime.date(1970, 1, 1) + datetime.timedelta(days)
        assert date_from_days(days) == (date.year, date.month, date.day)
        assert days_from_date(date.year, date.month, date.day) == days
        assert weekday(days) == date.isoweekday() % 7 + 1


def test_rtc_starts_at_host_time_and_follows_virtual_time() -> None:
    rig = Rig()
    start = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=START)
    assert rtc_time(rig) == start
    rig.run(7 * 3600 * SECOND)
    assert rtc_time(rig) == start + datetime.timedelta(hours=7)
    assert rig.border.clock_reads == 1
    rig.board.reset()
    assert rig.border.clock_reads == 1, "a reset does not stop the battery"
    assert rtc_time(rig) == start + datetime.timedelta(hours=7)
    assert cmos(rig, 13) == 0x80


def test_rtc_update_in_progress_just_before_the_second() -> None:
    rig = Rig()
    assert not cmos(rig, 10) & 0x80
    rig.run(SECOND - 200_000)
    assert cmos(rig, 10) & 0x80
    assert cmos(rig, 0) == 0x20
    rig.run(200_000)
    assert not cmos(rig, 10) & 0x80
    assert cmos(rig, 0) == 0x21


def test_rtc_can_be_set() -> None:
    rig = Rig()
    cmos(rig, 11, 0x82)
    for register, value in ((0, 0x58), (2, 0x59), (4, 0x23), (7, 0x28), (8, 0x02), (9, 0x24), (0x32, 0x20)):
        cmos(rig, register, value)
    rig.run(5 * SECOND)
    assert cmos(rig, 0) == 0x58, "held while SET"
    cmos(rig, 11, 0x02)
    rig.run(2 * SECOND)
    assert rtc_time(rig) == datetime.datetime(2024, 2, 29, 0, 0, 0)


def test_rtc_binary_and_12_hours() -> None:
    rig = Rig()
    cmos(rig, 11, 0x04)
    assert [cmos(rig, register) for register in (0, 2, 4)] == [20, 13, 0x80 | 10]


@pytest.mark.parametrize(("enable", "flag"), [(0x10, 0x10), (0x20, 0x20)])
def test_rtc_update_and_alarm_interrupts(enable: int, flag: int) -> None:
    rig = Rig()
    rig.init_apic()
    rig.set_pin(8, 0x48)
    for register, value in ((1, 0x25), (3, 0xC0), (5, 0xFF)):  # at second 25 of any minute
        cmos(rig, register, value)
    cmos(rig, 11, 0x02 | enable)
    flags = []

    def handler(vector: int) -> None:
        flags.append((rig.ns // SECOND, rig.ns % SECOND, cmos(rig, 12)))
        rig.eoi()

    rig.run(130 * SECOND, handler)
    expected = list(range(1, 131)) if enable == 0x10 else [5, 65, 125]
    assert [second for second, _, _ in flags] == expected
    assert all(late < 8 and value & 0x80 and value & flag for _, late, value in flags)


def test_rtc_alarm_at_a_time_of_day() -> None:
    rig = Rig()
    rig.init_apic()
    rig.set_pin(8, 0x48)
    for register, value in ((1, 0x00), (3, 0x30), (5, 0x01)):  # 01:30:00, tomorrow
        cmos(rig, register, value)
    cmos(rig, 11, 0x22)
    rig.run(86_400 * SECOND, lambda vector: rig.eoi())
    to_midnight = 86_400 - START % 86_400
    assert [at // SECOND for _, at in rig.taken] == [to_midnight + 5400]


def test_rtc_periodic_interrupt_waits_for_register_c() -> None:
    rig = Rig()
    rig.init_apic()
    rig.set_pin(8, 0x48)
    cmos(rig, 10, 0x26)  # 1024 Hz
    cmos(rig, 11, 0x42)
    rig.run(SECOND // 2, lambda vector: rig.eoi())
    assert len(rig.taken) == 1, "register C was not read"

    def handler(vector: int) -> None:
        assert cmos(rig, 12) & 0xC0 == 0xC0
        rig.eoi()

    cmos(rig, 12)
    rig.taken.clear()
    rig.run(SECOND, handler)
    assert len(rig.taken) == 1024
