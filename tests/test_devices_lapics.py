"""Local APICs of several processors: who gets which message, and the registers that each of them sees."""

from __future__ import annotations

import pytest
from pc_fakes import IOAPIC, LAPIC, Rig

LOGICAL, ASSERT, LEVEL, MASKED = 0x800, 0x4000, 0x8000, 0x10000
LOWEST, NMI, INIT, START_UP = 0x100, 0x400, 0x500, 0x600
SELF, ALL, OTHERS = 0x40000, 0x80000, 0xC0000


def rig_of(processors: int) -> Rig:
    rig = Rig(processors=processors)
    rig.init_apics()
    return rig


def test_each_processor_sees_its_own() -> None:
    rig = Rig(processors=3)
    for number in range(3):
        rig.board.select(number)
        assert rig.apic(0x20) == number << 24
        assert rig.board.apic.base == (0xFEE00900 if number == 0 else 0xFEE00800), "only one was started by firmware"
        assert rig.apic(0x350) == (0x700 if number == 0 else MASKED), "virtual wire to that one"
        rig.set_apic(0x80, number << 4)
    for number in range(3):
        rig.board.select(number)
        assert rig.board.apic.tpr == rig.apic(0x80) == number << 4


def test_names_of_the_first_do_not_depend_on_the_others() -> None:
    names = [device.name for device in Rig(processors=3).board.devices()]
    assert [name for name in names if name.startswith("lapic")] == ["lapic", "lapic1", "lapic2"]
    rig = rig_of(2)
    rig.board.select(1)
    rig.set_apic(0x320, 0xEC)
    rig.set_apic(0x380, 1000)
    assert list(rig.clock.save()) == ["lapic1.timer"]


@pytest.mark.parametrize(("destination", "command", "arrives"), [
    (2, 0x61, [2]), (0, 0x61, [0]), (7, 0x61, []), (0xFF, 0x61, [0, 1, 2, 3]),
    (0b1010, 0x61 | LOGICAL, [1, 3]), (0b0001, 0x61 | LOGICAL, [0]), (0xFF, 0x61 | LOGICAL, [0, 1, 2, 3]),
    (0xF0, 0x61 | LOGICAL, []),
    (3, 0x61 | SELF, [1]), (3, 0x61 | ALL, [0, 1, 2, 3]), (3, 0x61 | OTHERS, [0, 2, 3]),
])  # fmt: skip
def test_who_gets_a_message(destination: int, command: int, arrives: list[int]) -> None:
    rig = rig_of(4)
    rig.board.select(1)
    rig.send(destination, command)
    assert rig.took() == dict.fromkeys(arrives, 0x61)


@pytest.mark.parametrize(("destination", "arrives"), [
    (0x01, [0]), (0x02, [1]), (0x03, [0, 1]), (0x11, [2]), (0x13, [2, 3]), (0x21, []), (0xF1, [0, 2]),
    (0xFF, [0, 1, 2, 3]), (0x10, []),
])  # fmt: skip
def test_logical_clusters(destination: int, arrives: list[int]) -> None:
    """Two clusters of two: the upper half of the address is the cluster's, or all of them."""
    rig = rig_of(4)
    for number, address in ((0, 0x01), (1, 0x02), (2, 0x11), (3, 0x12)):
        rig.board.select(number)
        rig.set_apic(0xE0, 0x0FFFFFFF)
        rig.set_apic(0xD0, address << 24)
    rig.send(destination, 0x61 | LOGICAL)
    assert rig.took() == dict.fromkeys(arrives, 0x61)


def test_lowest_priority_goes_to_one() -> None:
    rig = rig_of(4)
    every = 0xFF, 0x61 | LOGICAL | LOWEST
    rig.send(*every)
    assert rig.took() == {0: 0x61}, "the first of equals"
    for number, priority in enumerate((0x30, 0x20, 0x10, 0x10)):
        rig.board.select(number)
        rig.set_apic(0x80, priority)
    rig.send(*every)
    assert rig.took() == {2: 0x61}
    rig.board.select(2)
    rig.send(0, 0x71 | SELF)
    assert rig.take() == 0x71
    rig.send(*every)
    assert rig.took() == {3: 0x61}, "what is in service counts as well"
    rig.board.select(3)
    rig.set_apic(0xF0, 0xFF)
    rig.send(*every)
    assert rig.took() == {1: 0x61}, "an APIC that software has disabled is the last choice"
    rig.send(3, 0x61 | LOWEST)
    assert rig.apic(0x230) == 1 << 1, "... but the only one of a single destination"


def test_nmi_init_and_start_up() -> None:
    rig = rig_of(3)
    for delivery in (NMI, INIT | ASSERT, START_UP | 0x9A):
        rig.send(0, delivery | OTHERS)
        rig.send(2, delivery)
    assert [(pins.nmis, pins.inits, pins.started) for pins in rig.all_pins] == [
        (0, 0, []), (1, 1, [0x9A]), (2, 2, [0x9A, 0x9A]),
    ]  # fmt: skip
    rig.send(0xFF, INIT | LEVEL)
    assert [pins.inits for pins in rig.all_pins] == [0, 1, 2], "de-assertion is for processors before these"
    rig.send(0xFF, INIT | LEVEL | ASSERT)
    assert [pins.inits for pins in rig.all_pins] == [1, 2, 3]


def test_init_resets_the_local_apic_but_for_its_place() -> None:
    rig = rig_of(2)
    rig.board.select(1)
    assert rig.board.apic.write_base(0xFED40800)
    base = 0xFED40000

    def register(at: int) -> int:
        return rig.board.mmio.read(base + at, 4)

    for at, value in ((0x80, 0x20), (0x320, 0x200EC), (0x3E0, 0xB), (0x380, 100_000), (0x370, 0xFE), (0x310, 5 << 24)):
        rig.board.mmio.write(base + at, 4, value)
    rig.board.select(0)
    rig.send(1, 0x61)
    assert rig.all_pins[1].intr
    rig.send(1, INIT | ASSERT)
    assert not rig.all_pins[1].intr, "what waited is forgotten"
    rig.run(1_000_000)
    assert not rig.all_pins[1].intr, "and the timer is off"
    rig.board.select(1)
    assert rig.board.apic.base == 0xFED40800
    expected = {0x20: 1 << 24, 0x80: 0, 0xD0: 0, 0xE0: 0xFFFFFFFF, 0xF0: 0xFF, 0x230: 0, 0x310: 0, 0x380: 0, 0x3E0: 0}
    expected |= dict.fromkeys(range(0x320, 0x380, 0x10), MASKED)
    assert {at: register(at) for at in expected} == expected


def test_apic_id_can_be_another() -> None:
    rig = rig_of(2)
    rig.board.select(1)
    rig.set_apic(0x20, 0x42 << 24)
    for saved in (rig, Rig.resume(rig.snapshot(), processors=2)):
        saved.board.select(0)
        saved.send(1, 0x61)
        saved.send(0x42, 0x62)
        assert saved.took() == {1: 0x62}
    rig.send(0x42, INIT | ASSERT)
    assert rig.all_pins[1].inits == 1
    rig.board.select(1)
    assert rig.apic(0x20) == 0x42 << 24, "it is not INIT's"
    assert rig.board.apic.write_base(0xFEE00000)
    assert rig.board.apic.write_base(0xFEE00800)
    assert rig.apic(0x20) == 1 << 24
    rig.set_apic(0x20, 0x42 << 24)
    rig.board.reset()
    assert rig.apic(0x20) == 1 << 24


def test_each_can_be_moved() -> None:
    rig = Rig(processors=2)
    mmio = rig.board.mmio
    rig.board.select(1)
    assert rig.board.apic.write_base(0xFED40800)
    assert mmio.read(0xFED40020, 4) == 1 << 24
    assert rig.apic(0x20) == 0xFFFFFFFF, "nothing is where it was"
    rig.board.select(0)
    assert rig.apic(0x20) == 0
    assert mmio.read(0xFED40020, 4) == 0xFFFFFFFF
    copy = Rig.resume(rig.snapshot(), processors=2)
    copy.board.select(1)
    assert copy.board.mmio.read(0xFED40020, 4) == 1 << 24
    rig.board.reset()
    rig.board.select(1)
    assert rig.apic(0x20) == 1 << 24


def test_one_that_is_switched_off_gets_nothing() -> None:
    rig = rig_of(3)
    rig.board.select(1)
    assert rig.board.apic.write_base(0xFEE00000)
    rig.board.select(0)
    for destination, command in ((1, 0x61), (0xFF, 0x61), (0, 0x61 | ALL), (0, 0x61 | OTHERS), (1, START_UP)):
        rig.send(destination, command)
    assert 1 not in rig.took()
    assert rig.all_pins[1].started == []


def test_an_illegal_vector_is_the_senders_error() -> None:
    rig = rig_of(2)
    rig.send(1, 0x05)
    assert rig.took() == {}
    for number, errors in ((0, 1 << 5), (1, 0)):
        rig.board.select(number)
        rig.set_apic(0x280, 0)
        assert rig.apic(0x280) == errors


def test_timers_are_each_processors_own() -> None:
    rig = rig_of(2)
    for number, count in ((0, 8000), (1, 3200)):
        rig.board.select(number)
        rig.set_apic(0x3E0, 0xB)
        rig.set_apic(0x320, 0x40 + number)
        rig.set_apic(0x380, count)
    rig.run(3200)
    assert rig.took() == {1: 0x41}
    rig.board.select(1)
    rig.set_apic(0x320, 0x400EC)
    rig.board.apic.write_tsc_deadline(rig.ns + 800)
    rig.run(800)
    assert rig.took() == {1: 0xEC}
    rig.run(4000)
    assert rig.took() == {0: 0x40}


@pytest.mark.parametrize(("entry", "arrives"), [
    (0x02 << 56 | 0x49, [2]), (0xFF << 56 | 0x49, [0, 1, 2, 3]), (0x05 << 56 | LOGICAL | 0x49, [0, 2]),
    (0x0C << 56 | LOGICAL | LOWEST | 0x49, [2]), (0xFF << 56 | LOWEST | 0x49, [0]), (0x09 << 56 | 0x49, []),
])  # fmt: skip
def test_io_apic_destinations(entry: int, arrives: list[int]) -> None:
    rig = rig_of(4)
    rig.set_pin(4, entry)
    rig.board.irqs[4].set(True)
    assert rig.took() == dict.fromkeys(arrives, 0x49)


def test_level_triggered_interrupt_is_ended_by_the_one_that_took_it() -> None:
    rig = rig_of(3)
    rig.set_pin(9, 0x02 << 56 | LEVEL | 0x49)
    rig.board.irqs[9].set(True)
    rig.board.select(2)
    assert rig.take() == 0x49
    rig.board.select(1)
    rig.eoi()
    assert rig.pin(9) & 0x4000, "another one's EOI is not its"
    rig.board.irqs[9].set(False)
    rig.board.select(2)
    rig.eoi()
    assert not rig.pin(9) & 0x4000


def test_io_apic_sends_nmi_and_init() -> None:
    rig = rig_of(3)
    rig.set_pin(4, 0x06 << 56 | LOGICAL | NMI)
    rig.set_pin(5, 0x02 << 56 | INIT)
    rig.board.irqs[4].pulse()
    rig.board.irqs[5].pulse()
    assert [pins.nmis for pins in rig.all_pins] == [0, 1, 1]
    assert [pins.inits for pins in rig.all_pins] == [0, 0, 1]


def test_8259_reaches_only_the_first_unless_another_lets_it_in() -> None:
    rig = Rig(processors=2)
    rig.init_pic()
    rig.board.irqs[4].set(True)
    assert rig.took() == {0: 0x34}
    rig.outb(0x20, 0x20)
    rig.board.select(1)
    rig.set_apic(0xF0, 0x1FF)
    rig.set_apic(0x350, 0x700)
    rig.board.irqs[3].set(True)
    assert [pins.intr for pins in rig.all_pins] == [True, True]
    assert rig.take() == 0x33
    assert [pins.intr for pins in rig.all_pins] == [False, False], "it has been answered"


def test_8259_by_way_of_the_io_apic_asks_one() -> None:
    rig = rig_of(3)
    rig.init_pic()
    for entry, number in ((0x01 << 56 | 0x700, 1), (0x07 << 56 | LOGICAL | 0x700, 0), (0x09 << 56 | 0x700, 0)):
        rig.set_pin(0, entry)
        rig.board.irqs[1].pulse()
        assert rig.took() == {number: 0x31}
        rig.outb(0x20, 0x20)


def test_accesses_of_others_are_not_in_the_way() -> None:
    """The I/O APIC is the machine's: who is selected is nothing to it."""
    rig = rig_of(2)
    rig.set_pin(4, 0x34)
    rig.board.select(1)
    assert rig.pin(4) == 0x34
    assert rig.board.mmio.find(IOAPIC).name == "ioapic"  # type: ignore[union-attr]
    assert rig.board.mmio.find(LAPIC).registers is rig.board.apics[1].registers  # type: ignore[union-attr]
