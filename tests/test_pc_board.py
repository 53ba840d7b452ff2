"""The board as a whole: what is where, saving and restoring in the middle of anything."""

from __future__ import annotations

import random

import msgpack
import pytest
from pc_fakes import IOAPIC, LAPIC, Rig

from runtime.bus import Bus
from runtime.clock import VirtualClock
from runtime.device import State
from runtime.devices.base import ByteWindow


def canonical(state: State | dict) -> bytes:
    return msgpack.packb(state, use_bin_type=True)


def test_overlaps_are_refused() -> None:
    rig = Rig()
    window = ByteWindow(lambda at: 0, lambda at, value: None)
    for base, size in ((0x61, 1), (0x3FF, 2), (0x3F0, 9), (0x21, 1)):
        with pytest.raises(ValueError, match="overlaps"):
            rig.board.io.map(base, size, "intruder", window)
    rig.board.io.map(0x2F8, 8, "second port", window)
    with pytest.raises(ValueError, match="overlaps ioapic"):
        rig.board.mmio.map(IOAPIC + 0x10, 0x10, "intruder", window)


def test_unmapped_addresses() -> None:
    rig = Rig()
    assert rig.board.io.read(0x2F8, 1) == 0xFF
    assert rig.board.mmio.read(0xFED00000, 8) == (1 << 64) - 1, "no HPET unless asked for"
    rig.outb(0x2F8, 1)


def test_building_makes_no_noise_at_the_border() -> None:
    rig = Rig(power_on=False)
    assert rig.border.clock_reads == 0
    assert sorted(rig.border.sinks) == ["keyboard", "mouse", "power", "serial0"]


def test_device_names_are_unique_and_states_are_plain() -> None:
    rig = Rig(has_hpet=True)
    names = [device.name for device in rig.board.devices()]
    assert len(set(names)) == len(names)
    state = rig.board.save()
    assert msgpack.unpackb(canonical(state)) == state


def test_every_register_can_be_touched_with_every_size() -> None:
    """A guest may do nonsense; a device may not fail."""
    rig = Rig(has_hpet=True)
    source = random.Random(1)
    for bus in (rig.board.io, rig.board.mmio):
        for found in bus.ranges():
            for offset in range(min(found.size, 0x400)):
                for size in (1, 2, 4, 8) if bus is rig.board.mmio else (1, 2, 4):
                    value = bus.read(found.base + offset, size)
                    assert 0 <= value < 1 << 8 * size
                    bus.write(found.base + offset, size, source.randrange(1 << 8 * size))
    assert msgpack.unpackb(canonical(rig.board.save())) == rig.board.save()


class Guest:
    """Random but repeatable accesses to everything, with interrupts taken, time passing and input arriving."""

    PORTS = (
        *range(0x20, 0x22), *range(0x40, 0x44), 0x60, 0x61, 0x64, 0x70, 0x71, *range(0xA0, 0xA2), *range(0x3C0, 0x3DB),
        *range(0x3F8, 0x400), 0x4D0, *range(0x600, 0x60C), 0x92, 0xCF8,
    )  # fmt: skip
    MEMORY = (*range(LAPIC, LAPIC + 0x400, 16), IOAPIC, IOAPIC + 0x10, *range(0xFED00000, 0xFED00160, 4))

    def __init__(self, seed: int):
        self.source = random.Random(seed)

    def step(self, rig: Rig) -> object:
        pick = self.source.randrange
        if len(rig.all_pins) > 1:
            rig.board.select(pick(len(rig.all_pins)))
        kind = pick(10)
        if kind < 3:
            port = self.PORTS[pick(len(self.PORTS))]
            value = pick(256) & ~1 if port == 0x92 else pick(256)
            rig.outb(port, value)
            return None
        if kind == 3:
            return rig.inb(self.PORTS[pick(len(self.PORTS))])
        if kind < 6:
            address = self.MEMORY[pick(len(self.MEMORY))]
            value = pick(1 << 32) if pick(2) else pick(0x40000)
            rig.board.mmio.write(address, 4, value)
            return None
        if kind == 6:
            return rig.board.mmio.read(self.MEMORY[pick(len(self.MEMORY))], 4)
        if kind == 7:
            channel, size = (("keyboard", 1), ("mouse", 4), ("serial0", 3))[pick(3)]
            return rig.border.sinks[channel](bytes(pick(256) for _ in range(size)))
        if kind == 8:
            vector = rig.take()
            rig.eoi()
            return vector
        rig.run(1 << pick(26))
        return None


def prepare(rig: Rig) -> None:
    """Everything running, so that random accesses find something to disturb."""
    rig.init_pic()
    rig.init_apic()
    rig.set_apic(0x3E0, 0xB)
    rig.set_apic(0x320, 0x200EC)
    rig.set_apic(0x380, 777_777)
    for pin in range(24):
        rig.set_pin(pin, 0x30 + pin)
    rig.pit(0, 2, 4772)
    rig.outb(0x70, 11)
    rig.outb(0x71, 0x72)
    rig.outb(0x3F9, 0x0F)
    rig.outb(0x3FC, 0x0B)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("processors", [1, 3])
def test_restored_in_the_middle_equals_uninterrupted(seed: int, processors: int) -> None:
    rig = Rig(has_hpet=True, processors=processors)
    rig.init_apics()
    prepare(rig)
    guest = Guest(seed)
    for _ in range(300):
        guest.step(rig)
    copy = Rig.resume(rig.snapshot(), has_hpet=True, processors=processors)
    assert canonical(copy.snapshot()) == canonical(rig.snapshot())
    assert [pins.intr for pins in copy.all_pins] == [pins.intr for pins in rig.all_pins]
    twin = Guest(0)
    twin.source.setstate(guest.source.getstate())
    for number in range(400):
        assert guest.step(rig) == twin.step(copy), number
        assert [pins.intr for pins in rig.all_pins] == [pins.intr for pins in copy.all_pins], number
    assert canonical(copy.snapshot()) == canonical(rig.snapshot())


def test_reset_brings_back_the_power_on_state() -> None:
    """But for the battery-backed clock, the time, and input still on its way."""
    fresh = Rig(has_hpet=True).board.save()
    rig = Rig(has_hpet=True)
    prepare(rig)
    guest = Guest(99)
    for _ in range(500):
        guest.step(rig)
    rig.board.reset()
    state = rig.board.save()
    for name in fresh:
        if name not in ("rtc", "acpi_pm", "lines"):
            keep = {"backlog"} if name == "serial0" else set()
            before = {key: value for key, value in fresh[name].items() if key not in keep}
            assert {key: value for key, value in state[name].items() if key not in keep} == before, name
    assert state["lines"] == fresh["lines"]


def test_one_access_is_fast() -> None:
    """Not a benchmark: it fails when a hot register becomes ten times too slow."""
    from time import perf_counter_ns

    rig = Rig()
    rig.init_apic()
    best = 1 << 60
    for _ in range(5):
        start = perf_counter_ns()
        for _ in range(1000):
            rig.board.mmio.write(LAPIC + 0xB0, 4, 0)
            rig.board.io.read(0x3FD, 1)
        best = min(best, perf_counter_ns() - start)
    assert best / 2000 < 30_000


def test_bus_boundaries() -> None:
    bus = Bus("test")
    bus.map(0x10, 2, "two", ByteWindow(lambda at: at + 1, lambda at, value: None))
    assert [bus.read(at, 1) for at in (0x0F, 0x10, 0x11, 0x12)] == [0xFF, 1, 2, 0xFF]
    assert bus.read(0x10, 2) == 0x0201


def test_clock_of_the_board_is_the_only_one() -> None:
    """Two boards whose clocks show the same time agree, however they got there."""
    one, two = Rig(), Rig()
    one.run(123_456_789)
    for _ in range(1000):
        two.run(123_456)
    two.run(789)
    two.icount = one.icount
    assert canonical(one.board.save()) == canonical(two.board.save())
    assert isinstance(one.clock, VirtualClock)
