"""The interrupt controller of the virt board, as ARM IHI 0048B describes it and Linux' irq-gic drives it."""

from __future__ import annotations

import pytest
from virt_fakes import GICC, GICD, VirtRig

from runtime.devices.generic_timer import CNTV_CTL, CNTV_CVAL

SPURIOUS = 1023
ENABLE, DISABLE, SET_PENDING, CLEAR_PENDING, SET_ACTIVE, CLEAR_ACTIVE = (
    GICD + at for at in (0x100, 0x180, 0x200, 0x280, 0x300, 0x380)
)
CTLR, PMR, BPR, RPR, HPPIR, ABPR, AIAR, AEOIR, DIR = (
    GICC + at for at in (0, 0x04, 0x08, 0x14, 0x18, 0x1C, 0x20, 0x24, 0x1000)
)


def pend(rig: VirtRig, number: int) -> None:
    rig.write(SET_PENDING + 4 * (number // 32), 1 << number % 32)


def set_edge(rig: VirtRig, number: int) -> None:
    rig.write(GICD + 0xC00 + 4 * (number // 16), 2 << 2 * (number % 16))


def bit(rig: VirtRig, register: int, number: int) -> int:
    return rig.read(register + 4 * (number // 32)) >> number % 32 & 1


def test_probe_of_linux() -> None:
    rig = VirtRig()
    assert rig.read(GICD + 0x004) & 0x1F == 8, "288 interrupts"
    assert rig.read(GICD + 0x004) >> 5 & 7 == 0, "one processor"
    assert rig.read(GICD + 0xFE8) >> 4 & 15 == 2, "architecture 2"
    assert rig.read(GICC + 0xFC) & 0xFF0FFF == 0x02043B, "what Linux takes for a GICv2 with EOImode"
    assert rig.read(GICD + 0x800) == 0, "ITARGETSR of a uniprocessor"
    rig.write(GICD + 0x820, 0xFFFFFFFF)
    assert rig.read(GICD + 0x820) == 0
    assert rig.read(ENABLE) == 0xFFFF, "SGIs are always enabled"
    rig.write(DISABLE, 0xFFFFFFFF)
    assert rig.read(ENABLE) == 0xFFFF
    assert [rig.read(GICD + 0xC00), rig.read(GICD + 0xC04)] == [0xAAAAAAAA, 0]


def test_priorities_are_bytes_of_five_bits() -> None:
    rig = VirtRig()
    rig.write(GICD + 0x420, 0xA1B7C9FF)
    assert rig.read(GICD + 0x420) == 0xA0B0C8F8
    rig.write(GICD + 0x422, 0x17, 1)
    assert rig.read(GICD + 0x420) == 0xA010C8F8
    assert rig.read(GICD + 0x423, 1) == 0xA0
    rig.write(GICD + 0x520, 0xFFFFFFFF)
    assert rig.read(GICD + 0x520) == 0, "no interrupt 288"


def test_level_is_pending_until_the_line_falls() -> None:
    rig = VirtRig()
    rig.init_gic(33)
    rig.board.gic.set_input(33, True)
    assert rig.pins.intr
    assert rig.take() == 33
    assert not rig.pins.intr, "active"
    assert bit(rig, SET_ACTIVE, 33) == bit(rig, SET_PENDING, 33) == 1
    rig.end(33)
    assert rig.pins.intr, "still up"
    rig.write(CLEAR_PENDING + 4, 2)
    assert bit(rig, SET_PENDING, 33) == 1, "ICPENDR does not lower a line"
    assert rig.take() == 33
    rig.board.gic.set_input(33, False)
    rig.end(33)
    assert not rig.pins.intr
    assert rig.take() == SPURIOUS


def test_edge_is_pending_once() -> None:
    rig = VirtRig()
    rig.init_gic(40)
    set_edge(rig, 40)
    rig.board.gic.set_input(40, True)
    rig.board.gic.set_input(40, False)
    assert rig.take() == 40
    rig.board.gic.set_input(40, True)
    assert bit(rig, SET_PENDING, 40), "active and pending"
    assert not rig.pins.intr
    rig.end(40)
    assert rig.take() == 40
    rig.end(40)
    assert not rig.pins.intr, "the line is up, but that is no edge"
    rig.board.gic.set_input(40, False)
    rig.board.gic.set_input(40, True)
    rig.write(CLEAR_PENDING + 4, 1 << 8)
    assert not rig.pins.intr


def test_pending_by_software() -> None:
    rig = VirtRig()
    rig.init_gic(50)
    pend(rig, 50)
    assert rig.take() == 50
    rig.end(50)
    assert not rig.pins.intr
    rig.write(SET_PENDING, 0xFFFF)
    assert rig.read(SET_PENDING) == 0, "SGIs have registers of their own"


def test_disabled_or_masked_interrupts_wait() -> None:
    rig = VirtRig()
    rig.init_gic(33, priority=0xA0)
    rig.board.gic.set_input(33, True)
    for register, off, on in ((DISABLE + 4, 2, None), (PMR, 0xA0, 0xA8), (CTLR, 0, 1), (GICD, 0, 1)):
        rig.write(register, off)
        assert not rig.pins.intr, hex(register)
        assert rig.take() == SPURIOUS
        rig.write(*((ENABLE + 4, 2) if on is None else (register, on)))
        assert rig.pins.intr, hex(register)


def test_most_important_first_then_lowest_number() -> None:
    rig = VirtRig()
    rig.init_gic(70, 60, 50, priority=0x80)
    rig.write(GICD + 0x400 + 60, 0x40, 1)
    for number in (70, 60, 50):
        pend(rig, number)
    assert rig.read(HPPIR) == 60
    taken = []
    for _ in range(3):
        taken.append(rig.take())
        rig.end(taken[-1])
    assert taken == [60, 50, 70]


def test_preemption_by_running_priority() -> None:
    rig = VirtRig()
    rig.init_gic(40, priority=0x80)
    rig.init_gic(41, priority=0x88)
    rig.init_gic(42, priority=0x40)
    assert rig.read(RPR) == 0xFF
    pend(rig, 40)
    assert rig.take() == 40
    assert rig.read(RPR) == 0x80
    pend(rig, 41)
    assert not rig.pins.intr, "less important"
    pend(rig, 42)
    assert rig.pins.intr
    assert rig.take() == 42
    assert rig.read(RPR) == 0x40
    assert rig.read(GICC + 0xD0) == 1 << 16 | 1 << 8
    rig.end(42)
    assert rig.read(RPR) == 0x80
    assert not rig.pins.intr
    rig.end(40)
    assert rig.take() == 41


@pytest.mark.parametrize(("point", "preempts"), [(2, True), (3, True), (4, False), (7, False)])
def test_binary_point(point: int, preempts: bool) -> None:
    """0xA0 against a running 0xB0: they differ in bit 4."""
    rig = VirtRig()
    rig.init_gic(40, priority=0xB0)
    rig.init_gic(41, priority=0xA0)
    rig.write(BPR, point)
    pend(rig, 40)
    rig.take()
    pend(rig, 41)
    assert rig.pins.intr == preempts
    assert rig.read(RPR) == 0xB0 & 0xFF << point + 1


def test_binary_points_have_a_least_value() -> None:
    rig = VirtRig()
    rig.write(BPR, 0)
    rig.write(ABPR, 0)
    assert (rig.read(BPR), rig.read(ABPR)) == (2, 3)


def test_split_end_of_interrupt() -> None:
    """EOImode 1: EOIR only drops the priority, DIR deactivates."""
    rig = VirtRig()
    rig.init_gic(33)
    rig.write(CTLR, 0x201)
    rig.board.gic.set_input(33, True)
    assert rig.take() == 33
    rig.end(33)
    assert rig.read(RPR) == 0xFF
    assert bit(rig, SET_ACTIVE, 33)
    assert not rig.pins.intr, "active until deactivated"
    rig.write(DIR, 33)
    assert not bit(rig, SET_ACTIVE, 33)
    assert rig.pins.intr


def test_active_state_by_software() -> None:
    rig = VirtRig()
    rig.init_gic(33)
    rig.write(SET_ACTIVE + 4, 2)
    rig.board.gic.set_input(33, True)
    assert not rig.pins.intr
    rig.write(CLEAR_ACTIVE + 4, 2)
    assert rig.pins.intr


def test_ending_what_was_never_taken() -> None:
    rig = VirtRig()
    rig.init_gic(33, 34)
    pend(rig, 33)
    rig.end(SPURIOUS)
    rig.end(34)
    assert rig.take() == 33


def test_groups() -> None:
    """Group 1 is acknowledged by its alias unless AckCtl is set; group 0 may come as FIQ."""
    rig = VirtRig()
    rig.init_gic(40, 41)
    rig.write(GICD, 3)
    rig.write(GICD + 0x084, 1 << 9)
    pend(rig, 41)
    assert not rig.pins.intr, "the interface has group 1 off"
    rig.write(CTLR, 0x0B)
    assert rig.pins.intr
    assert not rig.pins.fiq
    assert rig.take() == 1022
    assert rig.read(AIAR) == 41
    pend(rig, 40)
    assert not rig.pins.fiq, "not more important than what is served"
    rig.write(AEOIR, 41)
    assert rig.pins.fiq
    assert not rig.pins.intr
    assert rig.read(AIAR) == SPURIOUS
    assert rig.take() == 40
    assert not rig.pins.fiq
    rig.end(40)
    rig.write(CTLR, 0x0F)
    pend(rig, 41)
    assert rig.take() == 41


@pytest.mark.parametrize(("control", "preempts"), [(0x02, False), (0x12, True)])
def test_group_1_has_its_own_binary_point(control: int, preempts: bool) -> None:
    """Bits 7 to 5 are equal; with CBPR, BPR decides instead."""
    rig = VirtRig()
    rig.init_gic(40, priority=0xB0)
    rig.init_gic(41, priority=0xA0)
    rig.write(GICD, 3)
    rig.write(GICD + 0x084, 3 << 8)
    rig.write(CTLR, control)
    rig.write(ABPR, 5)
    pend(rig, 40)
    assert rig.read(AIAR) == 40
    pend(rig, 41)
    assert rig.pins.intr == preempts


def test_timer_is_a_private_interrupt() -> None:
    rig = VirtRig()
    rig.init_gic(27)
    rig.board.timer.write(CNTV_CVAL, 1000)
    rig.board.timer.write(CNTV_CTL, 1)
    rig.run(15_992)
    assert not rig.pins.intr
    rig.run(8)
    assert rig.take() == 27
    rig.board.timer.write(CNTV_CTL, 3)
    rig.end(27)
    assert not rig.pins.intr
