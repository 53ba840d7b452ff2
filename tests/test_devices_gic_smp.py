"""The interrupt controller and the timers of the virt board with several processors (ARM IHI 0048B)."""

from __future__ import annotations

import pytest
from virt_fakes import GICC, GICD, VirtRig

from runtime.devices.generic_timer import CNTP_CTL, CNTP_TVAL, CNTV_CTL, CNTV_CVAL, CNTV_TVAL
from runtime.devices.gicv2 import GicV2
from runtime.interrupts import Line
from runtime.machines.virt import MOST_PROCESSORS

SPURIOUS = 1023
GROUP, ENABLE, DISABLE, SET_PENDING, CLEAR_PENDING, SET_ACTIVE, CLEAR_ACTIVE = (
    GICD + at for at in range(0x80, 0x400, 0x80)
)
PRIORITY, TARGETS, CONFIGURATION, SGIR, CPENDSGIR, SPENDSGIR = (
    GICD + at for at in (0x400, 0x800, 0xC00, 0xF00, 0xF10, 0xF20)
)
CTLR, RPR, HPPIR, DIR = (GICC + at for at in (0, 0x14, 0x18, 0x1000))
ALL_OTHERS, ITSELF = 1 << 24, 2 << 24
SPI = 40
COUNTS = pytest.mark.parametrize("count", [2, 4, 8])


def smp(count: int, *interrupts: int) -> VirtRig:
    """A board whose processors have all initialised their interfaces; the first one's accesses come next."""
    rig = VirtRig(count)
    for number in reversed(range(count)):
        rig.on(number).init_gic(*interrupts)
    return rig


def up(rig: VirtRig) -> list[int]:
    """The processors that are asked to take an interrupt."""
    return [number for number, pins in enumerate(rig.processors) if pins.intr]


def aim(rig: VirtRig, targets: int, number: int = SPI) -> None:
    rig.write(TARGETS + number, targets, 1)


@COUNTS
def test_what_it_says_of_the_processors(count: int) -> None:
    rig = smp(count)
    for number in range(count):
        rig.on(number)
        assert rig.read(GICD + 4) >> 5 & 7 == count - 1, "TYPER.CPUNumber"
        assert rig.read(TARGETS) == 0x01010101 << number, "a private interrupt targets who asks"
        assert rig.read(TARGETS + 28) == 0x01010101 << number
        rig.write(TARGETS + 28, 0xFFFFFFFF)
        assert rig.read(TARGETS + 28) == 0x01010101 << number
    assert rig.read(TARGETS + 32) == 0, "shared ones go to nobody at first"
    rig.write(TARGETS + 32, 0xFF010280)
    everybody = (1 << count) - 1
    assert rig.read(TARGETS + 32) == everybody << 24 | 0x010200 | 0x80 & everybody
    rig.write(TARGETS + 34, 2, 1)
    assert rig.on(0).read(TARGETS + 34, 1) == 2
    rig.write(TARGETS + 288, 0xFFFFFFFF)
    assert rig.read(TARGETS + 288) == 0, "no interrupt 288"


def test_no_more_than_a_byte_of_targets() -> None:
    assert MOST_PROCESSORS == 8
    lines = [(Line(lambda level: None), Line(lambda level: None))] * 9
    with pytest.raises(ValueError, match="at most 8"):
        GicV2("gic", lines)


# Shared interrupts


@COUNTS
def test_shared_interrupts_go_to_their_targets_only(count: int) -> None:
    rig = smp(count, SPI)
    rig.board.gic.set_input(SPI, True)
    assert up(rig) == []
    for number in range(count):
        aim(rig, 1 << number)
        assert up(rig) == [number]
    aim(rig, 0xFF)
    assert up(rig) == list(range(count))


@COUNTS
def test_the_first_to_acknowledge_takes_it(count: int) -> None:
    """The 1-N model: of all that were asked one gets the number, the others a spurious interrupt."""
    rig = smp(count, SPI)
    aim(rig, 0xFF)
    rig.board.gic.set_input(SPI, True)
    last = count - 1
    assert rig.on(last).take() == SPI
    assert up(rig) == [], "active for all"
    assert [rig.on(number).take() for number in range(last)] == [SPURIOUS] * last
    assert [rig.on(number).read(RPR) for number in range(count)] == [0xFF] * last + [0xA0]
    rig.on(last).end(SPI)
    assert up(rig) == list(range(count)), "the line is still up"
    rig.board.gic.set_input(SPI, False)
    assert up(rig) == []


def test_a_target_that_is_busy_leaves_it_to_another() -> None:
    rig = smp(2, SPI, SPI + 1)
    aim(rig, 1, SPI)
    aim(rig, 3, SPI + 1)
    rig.write(SET_PENDING + 4, 1 << SPI % 32)
    assert rig.on(0).take() == SPI
    rig.write(SET_PENDING + 4, 1 << SPI % 32 + 1)
    assert up(rig) == [1]
    assert rig.on(0).read(HPPIR) == SPI + 1, "it is pending for both"
    assert rig.on(1).take() == SPI + 1
    rig.on(0).end(SPI)
    assert up(rig) == []


def test_targets_may_change_while_it_is_pending_or_active() -> None:
    rig = smp(2, SPI)
    aim(rig, 1)
    rig.board.gic.set_input(SPI, True)
    aim(rig, 2)
    assert up(rig) == [1]
    assert rig.on(1).take() == SPI
    rig.on(0)
    aim(rig, 1)
    assert up(rig) == []
    rig.on(1).end(SPI)
    assert up(rig) == [0]


def test_deactivating_by_another_register() -> None:
    """EOImode 1: whoever writes DIR, all targets see the interrupt again."""
    rig = smp(2, SPI)
    aim(rig, 3)
    for number in (0, 1):
        rig.on(number).write(CTLR, 0x201)
    rig.board.gic.set_input(SPI, True)
    assert rig.on(0).take() == SPI
    rig.end(SPI)
    assert up(rig) == []
    rig.write(DIR, SPI)
    assert up(rig) == [0, 1]


def test_shared_state_is_one_for_all() -> None:
    rig = smp(2, SPI)
    bit = 1 << SPI % 32
    rig.on(1).write(PRIORITY + SPI, 0x50, 1)
    rig.write(CONFIGURATION + 4 * (SPI // 16), 2 << 2 * (SPI % 16))
    rig.write(GROUP + 4, bit)
    rig.write(SET_PENDING + 4, bit)
    rig.on(0)
    assert rig.read(PRIORITY + SPI, 1) == 0x50
    assert rig.read(CONFIGURATION + 4 * (SPI // 16)) == 2 << 2 * (SPI % 16)
    assert [rig.read(bank + 4) for bank in (GROUP, ENABLE, SET_PENDING)] == [bit] * 3
    rig.write(SET_ACTIVE + 4, bit)
    assert rig.on(1).read(CLEAR_ACTIVE + 4) == bit
    for bank in (GROUP, DISABLE, CLEAR_PENDING, CLEAR_ACTIVE):
        rig.write(bank + 4, bit if bank != GROUP else 0)
    rig.on(0)
    assert [rig.read(bank + 4) for bank in (GROUP, ENABLE, SET_PENDING, SET_ACTIVE)] == [0] * 4


# Private interrupts


@COUNTS
def test_private_state_is_banked(count: int) -> None:
    """Every register of a PPI is another one for each processor."""
    rig = smp(count)
    bit = 1 << 27
    mine = count - 1
    rig.on(mine)
    rig.write(GROUP, bit)
    rig.write(ENABLE, bit)
    rig.write(PRIORITY + 27, 0x50, 1)
    rig.write(SET_PENDING, bit)
    rig.write(SET_ACTIVE, bit)
    for number in range(count):
        rig.on(number)
        here = bit if number == mine else 0
        assert [rig.read(bank) & bit for bank in (GROUP, ENABLE, SET_PENDING, SET_ACTIVE)] == [here] * 4
        assert rig.read(PRIORITY + 27, 1) == (0x50 if number == mine else 0)
    rig.on(0)
    for bank in (DISABLE, CLEAR_PENDING, CLEAR_ACTIVE):
        rig.write(bank, 0xFFFFFFFF)
    rig.on(mine)
    assert [rig.read(bank) & bit for bank in (ENABLE, SET_PENDING, SET_ACTIVE)] == [bit] * 3


@COUNTS
def test_a_private_line_is_that_of_one_processor(count: int) -> None:
    rig = smp(count, 27)
    for number in range(count):
        rig.board.gic.set_input(27, True, cpu=number)
        assert up(rig) == [number]
        assert rig.on(number).take() == 27
        assert [rig.on(other).take() for other in range(count) if other != number] == [SPURIOUS] * (count - 1)
        rig.on(number).end(27)
        rig.board.gic.set_input(27, False, cpu=number)
    assert up(rig) == []


# Software generated interrupts


@COUNTS
def test_filters_of_software_generated_interrupts(count: int) -> None:
    rig = smp(count)
    everybody = set(range(count))
    for sender in range(count):
        for value, targets in (
            (0, set()), (1 << 16 + sender, {sender}), (0xFF << 16, everybody), (0x05 << 16, everybody & {0, 2}),
            (ALL_OTHERS, everybody - {sender}), (ALL_OTHERS | 0xFF << 16, everybody - {sender}),
            (ITSELF, {sender}), (ITSELF | 0xFE << 16, {sender}), (3 << 24 | 0xFF << 16, set()),
        ):  # fmt: skip
            rig.on(sender).write(SGIR, value | 9)
            assert set(up(rig)) == targets, hex(value)
            for number in sorted(targets):
                assert rig.on(number).take() == sender << 10 | 9
                rig.end(sender << 10 | 9)
            assert up(rig) == []


@COUNTS
def test_each_sender_is_acknowledged_by_itself(count: int) -> None:
    rig = smp(count)
    for sender in range(count):
        rig.on(sender).write(SGIR, 1 << 16 | 5)
    rig.on(0)
    assert rig.read(SPENDSGIR + 5, 1) == (1 << count) - 1, "pending from all"
    for sender in range(count):
        assert up(rig) == [0]
        assert rig.read(HPPIR) == sender << 10 | 5
        assert rig.take() == sender << 10 | 5
        assert up(rig) == [], "one at a time"
        rig.end(sender << 10 | 5)
    assert up(rig) == []
    assert rig.read(SPENDSGIR + 5, 1) == 0


def test_pending_software_generated_interrupts_by_register() -> None:
    rig = smp(4)
    rig.on(2).write(SPENDSGIR + 4, 0x0A << 24)
    assert up(rig) == [2]
    assert rig.read(CPENDSGIR + 4) == 0x0A << 24
    assert rig.on(1).read(CPENDSGIR + 4) == 0, "banked"
    rig.on(2).write(CPENDSGIR + 7, 0x02, 1)
    assert rig.take() == 3 << 10 | 7
    rig.end(3 << 10 | 7)
    rig.write(SPENDSGIR + 7, 0xF0, 1)
    assert up(rig) == [], "from processors that are not there"


def test_more_important_ones_first_on_each_processor() -> None:
    rig = smp(2, 27)
    rig.on(0).write(PRIORITY + 3, 0x80, 1)
    rig.on(1).write(PRIORITY + 3, 0xC0, 1)
    rig.on(0).write(SGIR, 3 << 16 | 3)
    for number in (0, 1):
        rig.board.gic.set_input(27, True, cpu=number)
    assert [rig.on(number).read(HPPIR) for number in (0, 1)] == [3, 27]


# Timers


@COUNTS
@pytest.mark.parametrize(("base", "number"), [(CNTP_CTL, 30), (CNTV_CTL, 27)])
def test_each_processor_has_its_timer(count: int, base: int, number: int) -> None:
    rig = smp(count, number)
    for processor in range(count):
        rig.on(processor).board.timer.write(base + CNTP_TVAL, 100 * (count - processor))
        rig.board.timer.write(base, 1)
    assert len({id(timer) for timer in rig.board.timers}) == count
    for processor in reversed(range(count)):
        rig.run(99 * 16)
        assert processor not in up(rig)
        rig.run(16)
        assert up(rig) == list(range(processor, count))
    for processor in range(count):
        assert rig.on(processor).take() == number
        rig.board.timer.write(base, 0)
        rig.end(number)
    assert up(rig) == []


def test_the_counter_is_one_for_all() -> None:
    rig = smp(4)
    rig.run(12_345_678)
    assert len({rig.on(number).board.timer.count() for number in range(4)}) == 1


def test_names_and_order() -> None:
    """With one processor they are those of recordings that know of no other."""
    rig = VirtRig(3)
    names = [device.name for device in rig.board.devices()]
    assert names[:4] == ["timer", "timer1", "timer2", "serial0"]
    for number in range(3):
        rig.on(number).board.timer.write(CNTV_TVAL, 1000)
        rig.board.timer.write(CNTV_CTL, 1)
    assert list(rig.clock.save()) == ["timer.virtual", "timer1.virtual", "timer2.virtual"]
    assert [device.name for device in VirtRig().board.devices()][:2] == ["timer", "serial0"]
    assert len(VirtRig().board.save()["lines"]) + 2 * 4 == len(rig.board.save()["lines"])


def test_a_board_restored_asks_the_same_processors() -> None:
    rig = smp(4, 27, SPI)
    aim(rig, 0x06)
    rig.board.gic.set_input(SPI, True)
    rig.on(3).board.timer.write(CNTV_CVAL, 10)
    rig.board.timer.write(CNTV_CTL, 1)
    rig.on(0).write(SGIR, 1 << 16 | 2)
    assert up(rig) == [0, 1, 2]
    copy = VirtRig.resume(rig.snapshot())
    assert up(copy) == [0, 1, 2]
    for each in (rig, copy):
        each.run(160)
        assert up(each) == [0, 1, 2, 3]
        assert [each.on(number).take() for number in range(4)] == [2, SPI, SPURIOUS, 27]
    assert copy.snapshot() == rig.snapshot()
