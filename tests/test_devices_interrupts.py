"""8259A pair, local APIC and I/O APIC, as a guest sees them."""

from __future__ import annotations

from pc_fakes import IOAPIC, Rig

MASKED = 0x10000
LEVEL = 0x8000
REMOTE_IRR = 0x4000


def test_pic_interrupt_goes_through_virtual_wire_before_the_apic_is_set_up() -> None:
    rig = Rig()
    rig.init_pic()
    rig.board.irqs[4].set(True)
    assert rig.take() == 0x34
    assert not rig.pins.intr
    rig.outb(0x20, 0x0B)  # read ISR
    assert rig.inb(0x20) == 1 << 4
    rig.outb(0x20, 0x20)  # EOI
    assert rig.inb(0x20) == 0
    assert not rig.pins.intr, "an edge interrupts once"


def test_pic_priorities_and_cascade() -> None:
    rig = Rig()
    rig.init_pic()
    rig.board.irqs[12].set(True)
    assert rig.take() == 0x3C
    rig.board.irqs[4].set(True)
    assert rig.take() is None, "IRQ 4 is less important than 12, which comes through input 2"
    rig.board.irqs[8].set(True)
    assert rig.take() is None, "the master's input 2 is in service"
    rig.outb(0xA0, 0x20)
    rig.outb(0x20, 0x20)
    assert rig.take() == 0x38
    rig.board.irqs[1].set(True)
    assert rig.take() == 0x31
    rig.outb(0x20, 0x20, 0x20)
    rig.outb(0xA0, 0x20)
    assert rig.take() == 0x34


def test_pic_mask_poll_and_spurious() -> None:
    rig = Rig()
    rig.init_pic()
    rig.outb(0x21, 0xFB)
    assert rig.inb(0x21) == 0xFB
    rig.board.irqs[3].set(True)
    assert not rig.pins.intr
    rig.outb(0x21, 0x00)
    assert rig.pins.intr
    rig.outb(0x20, 0x0C)  # poll command
    assert rig.inb(0x20) == 0x83
    assert not rig.pins.intr
    assert rig.board.acknowledge() == 0xFF, "spurious: nothing waits any more"


def test_pic_level_triggered_input_stays_pending() -> None:
    rig = Rig()
    rig.init_pic()
    rig.outb(0x4D0, 0xFF)
    assert rig.inb(0x4D0) == 0xF8, "inputs 0 to 2 are always edge-triggered"
    rig.board.irqs[5].set(True)
    assert rig.take() == 0x35
    rig.outb(0x20, 0x20)
    assert rig.take() == 0x35
    rig.board.irqs[5].set(False)
    rig.outb(0x20, 0x20)
    assert rig.take() is None


def test_apic_identity() -> None:
    rig = Rig()
    assert rig.board.apic.base == 0xFEE00900
    assert rig.apic(0x20) == 0
    assert rig.apic(0x30) == 0x50014
    assert rig.apic(0x350) == 0x700, "virtual wire"
    assert [rig.apic(r) for r in (0x320, 0x330, 0x340, 0x360, 0x370)] == [MASKED] * 5
    rig.set_apic(0x320, 0xEC)
    assert rig.apic(0x320) == 0xEC | MASKED, "local vectors stay masked while software has it disabled"


def test_apic_base_refuses_what_is_not_there() -> None:
    rig = Rig()
    apic = rig.board.apic
    for bit in (0, 7, 9, 10):
        assert not apic.write_base(0xFEE00900 | 1 << bit), "reserved, or x2APIC mode"
    assert apic.write_base(0xFEE00100)
    assert rig.apic(0x30) == 0xFFFFFFFF
    rig.init_pic()
    rig.board.irqs[1].set(True)
    assert rig.take() == 0x31, "without local APIC the 8259 drives the pin itself"
    assert apic.write_base(0xFEE00900)
    assert rig.apic(0x30) == 0x50014


def test_apic_moves() -> None:
    rig = Rig()
    apic, mmio = rig.board.apic, rig.board.mmio
    assert apic.write_base(0xFED40900)
    assert mmio.read(0xFED40030, 4) == 0x50014
    assert rig.apic(0x30) == 0xFFFFFFFF, "nothing is where it was"
    saved = rig.board.save()
    assert apic.write_base(IOAPIC | 0x900)
    assert mmio.read(IOAPIC + 0x30, 4) == 0x50014, "it goes before other devices"
    rig.board.restore(saved)
    assert mmio.read(0xFED40030, 4) == 0x50014
    assert mmio.read(IOAPIC + 0x30, 4) != 0x50014, "it is back"
    rig.board.reset()
    assert rig.apic(0x30) == 0x50014


def test_self_ipi_priorities_tpr_and_eoi() -> None:
    rig = Rig()
    rig.init_apic()
    for vector in (0x41, 0x52, 0x53):
        rig.set_apic(0x300, 0x40000 | vector)
    assert rig.take() == 0x53
    assert rig.apic(0xA0) == 0x50, "processor priority follows what is in service"
    assert rig.take() is None, "0x52 has the same priority class"
    assert rig.apic(0x120) == 1 << 0x13
    assert rig.apic(0x220) == 1 << 0x12 | 1 << 1
    rig.eoi()
    assert rig.take() == 0x52
    rig.eoi()
    rig.board.apic.tpr = 0x40
    assert not rig.pins.intr
    assert rig.apic(0x80) == 0x40
    rig.set_apic(0x80, 0x30)
    assert rig.take() == 0x41
    rig.eoi()
    assert rig.board.acknowledge() == 0xFF, "spurious vector"


def test_ipi_destinations() -> None:
    rig = Rig()
    rig.init_apic()
    for high, low, arrives in (
        (0x00, 0x61, True),  # physical, own id
        (0x05, 0x61, False),
        (0xFF, 0x61, True),  # broadcast
        (0x01, 0x861, True),  # logical, flat
        (0x02, 0x861, False),
        (0x00, 0xC0061, False),  # all but itself
        (0x00, 0x80061, True),  # all
    ):
        rig.set_apic(0x310, high << 24)
        rig.set_apic(0x300, low)
        assert (rig.take() == 0x61) is arrives, hex(low)
        rig.eoi()
    rig.set_apic(0x310, 0)
    rig.set_apic(0x300, 0x400)
    assert rig.pins.nmis == 1


def test_illegal_vector_is_an_error() -> None:
    rig = Rig()
    rig.init_apic()
    rig.set_apic(0x370, 0xFE)
    rig.set_apic(0x300, 0x40005)
    assert rig.take() == 0xFE
    rig.set_apic(0x280, 0)
    assert rig.apic(0x280) == 1 << 5
    rig.set_apic(0x280, 0)
    assert rig.apic(0x280) == 0


def test_ioapic_registers() -> None:
    rig = Rig()
    rig.board.mmio.write(IOAPIC, 4, 1)
    assert rig.board.mmio.read(IOAPIC + 0x10, 4) == 0x170020
    rig.set_pin(5, 0x01000000_0001F834)
    assert rig.pin(5) == 0x01000000_0001A834, "status bits are read-only"


def test_ioapic_edge() -> None:
    rig = Rig()
    rig.init_apic()
    line = rig.board.irqs[4]
    rig.set_pin(4, 0x34 | MASKED)
    line.pulse()
    assert not rig.pins.intr
    rig.set_pin(4, 0x34)
    assert rig.take() is None, "an edge is lost while masked"
    rig.eoi()
    assert rig.take() is None
    line.set(True)
    assert rig.take() == 0x34
    rig.eoi()
    assert rig.take() is None, "high is not an edge"
    line.set(False)
    line.set(True)
    assert rig.take() == 0x34
    line.set(False)
    line.pulse()
    rig.eoi()
    assert rig.take() == 0x34, "a new edge during service interrupts again"


def test_ioapic_level_and_eoi_broadcast() -> None:
    rig = Rig()
    rig.init_apic()
    rig.set_pin(9, 0x01000000_00000000 | LEVEL | 0x800 | 0x100 | 0x49)  # lowest priority, logical
    sci = rig.board.irqs[9]
    sci.set(True)
    assert rig.take() == 0x49
    assert rig.pin(9) & REMOTE_IRR
    assert rig.apic(0x1A0) == 1 << 9, "TMR"
    rig.eoi()
    assert rig.take() == 0x49, "still asserted"
    sci.set(False)
    rig.eoi()
    assert rig.take() is None
    assert not rig.pin(9) & REMOTE_IRR
    sci.set(True)
    rig.take()
    sci.set(False)
    sci.set(True)
    rig.set_pin(9, rig.pin(9) | MASKED)
    rig.eoi()
    assert rig.take() is None
    rig.set_pin(9, rig.pin(9) & ~MASKED)
    assert rig.take() == 0x49


def test_ioapic_explicit_eoi_register() -> None:
    rig = Rig()
    rig.init_apic()
    rig.set_pin(9, LEVEL | 0x49)
    rig.board.irqs[9].set(True)
    rig.take()
    rig.board.irqs[9].set(False)
    rig.board.mmio.write(IOAPIC + 0x40, 4, 0x49)
    assert not rig.pin(9) & REMOTE_IRR


def test_pic_through_ioapic_input_zero() -> None:
    rig = Rig()
    rig.init_pic()
    rig.init_apic()
    rig.set_pin(0, 0x700)  # ExtINT
    rig.board.irqs[1].set(True)
    assert rig.take() == 0x31


def test_lint0_as_fixed_interrupt_and_nmi() -> None:
    rig = Rig()
    rig.init_pic()
    rig.init_apic()
    rig.set_apic(0x350, 0x77)
    rig.board.irqs[1].set(True)
    assert rig.take() == 0x77
    rig.board.acknowledge()
    rig.board.pic.acknowledge()
    rig.set_apic(0x350, 0x400)
    rig.outb(0x20, 0x20)
    rig.board.irqs[3].set(True)
    assert rig.pins.nmis == 1


def test_timer_reaches_input_two() -> None:
    """The MADT says so, and Linux checks it by counting ticks."""
    rig = Rig()
    rig.init_apic()
    rig.set_pin(2, 0x30)
    rig.pit(0, 2, 4772)  # 250 Hz
    rig.run(40_000_000, lambda vector: rig.eoi())
    assert [vector for vector, _ in rig.taken].count(0x30) in (10, 11)
    assert {vector for vector, _ in rig.taken} == {0x30}
