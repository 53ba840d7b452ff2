"""The virt board as a whole: what is where, its device tree, saving and restoring in the middle of anything."""

from __future__ import annotations

import random

import msgpack
import pytest
from virt_fakes import GICC, GICD, GPIO, KEYBOARD, MOUSE, RTC, UART, VirtRig

from runtime.devices.base import ByteWindow
from runtime.machines.virt import MAP, SLOTS


def canonical(state: object) -> bytes:
    return msgpack.packb(state, use_bin_type=True)


def test_overlaps_are_refused() -> None:
    rig = VirtRig()
    window = ByteWindow(lambda at: 0, lambda at, value: None)
    with pytest.raises(ValueError, match="overlaps rtc"):
        rig.board.mmio.map(RTC + 0xFFF, 1, "intruder", window)


def test_building_makes_no_noise_at_the_border() -> None:
    rig = VirtRig(power_on=False)
    assert rig.border.clock_reads == 0
    assert sorted(rig.border.sinks) == ["keyboard", "mouse", "power", "serial0"]


def test_device_names_are_unique_and_states_are_plain() -> None:
    rig = VirtRig()
    names = [device.name for device in rig.board.devices()]
    assert len(set(names)) == len(names)
    state = rig.board.save()
    assert msgpack.unpackb(canonical(state)) == state


def test_every_primecell_says_what_it_is() -> None:
    """The bus driver of Linux composes the number of PeriphID0-3 and wants this PCellID."""
    rig = VirtRig()
    expected = {"serial0": 0x00141011, "rtc": 0x00141031, "gpio": 0x00041061, "keyboard port": 0x00041050,
                "mouse port": 0x00041050}  # fmt: skip
    for name, number in expected.items():
        base = MAP[name].base
        assert sum(rig.read(base + 0xFE0 + 4 * at) << 8 * at for at in range(4)) == number, name
        assert sum(rig.read(base + 0xFF0 + 4 * at) << 8 * at for at in range(4)) == 0xB105F00D, name


def test_virtio_slots_are_empty() -> None:
    rig = VirtRig()
    for slot in SLOTS:
        assert [rig.read(slot.base + at) for at in (0, 4, 8)] == [0x74726976, 2, 0]


def test_every_register_can_be_touched_with_every_size() -> None:
    """A guest may do nonsense; a device may not fail."""
    rig = VirtRig()
    source = random.Random(1)
    for found in rig.board.mmio.ranges()[:8]:
        for offset in range(min(found.size, 0x1010)):
            for size in (1, 2, 4, 8):
                value = rig.read(found.base + offset, size)
                assert 0 <= value < 1 << 8 * size
                rig.write(found.base + offset, source.randrange(1 << 8 * size), size)
    state = rig.board.save()
    assert msgpack.unpackb(canonical(state)) == state


def pins(rig: VirtRig) -> list[tuple[bool, bool]]:
    """What each processor is asked."""
    return [(each.intr, each.fiq) for each in rig.processors]


class Guest:
    """Random but repeatable accesses to everything, with interrupts taken, time passing and input arriving."""

    REGISTERS = (
        *(GICD + at for at in (0, *range(0x80, 0x3A0, 4), *range(0x400, 0x440, 4), *range(0xC00, 0xC20, 4), 0xF00)),
        *(GICD + at for at in (*range(0x820, 0x840, 4), *range(0xF10, 0xF30, 4))),
        *(GICC + at for at in range(0, 0x2C, 4)), GICC + 0xD0, GICC + 0x1000,
        *(UART + at for at in (0, 0, 0x18, 0x2C, 0x30, 0x34, 0x38, 0x3C, 0x40, 0x44)),
        *(RTC + at for at in range(0, 0x20, 4)), *(GPIO + at for at in (0x3FC, *range(0x400, 0x420, 4))),
        *(port + at for port in (KEYBOARD, MOUSE) for at in range(0, 0x14, 4)),
    )  # fmt: skip

    def __init__(self, seed: int):
        self.source = random.Random(seed)

    def step(self, rig: VirtRig) -> object:
        pick = self.source.randrange
        if len(rig.processors) > 1 and pick(4) == 0:
            rig.on(pick(len(rig.processors)))
        kind = pick(10)
        if kind < 3:
            value = (pick(1 << 32), pick(256), 1 << pick(32), 0xFFFFFFFF)[pick(4)]
            rig.write(self.REGISTERS[pick(len(self.REGISTERS))], value)
            return None
        if kind < 5:
            return rig.read(self.REGISTERS[pick(len(self.REGISTERS))])
        if kind == 5:
            register = pick(6)
            if pick(2):
                return rig.board.timer.read(register)
            value = rig.board.timer.count() + pick(1 << 16) if register % 3 == 2 else pick(1 << 16)
            rig.board.timer.write(register, value)
            return None
        if kind == 6:
            channel, size = (("keyboard", 1), ("mouse", 4), ("serial0", 3), ("power", 1))[pick(4)]
            return rig.border.sinks[channel](bytes(pick(256) for _ in range(size)))
        if kind == 7:
            number = rig.take()
            rig.end(number)
            return number
        if kind == 8:
            rig.init_gic(pick(96))
            return None
        rig.run(1 << pick(26))
        return None


@pytest.mark.parametrize(("seed", "processors"), [*((seed, 1) for seed in range(12)), (12, 2), (13, 4), (14, 8)])
def test_restored_in_the_middle_equals_uninterrupted(seed: int, processors: int) -> None:
    rig = VirtRig(processors)
    rig.init_gic(*range(16, 48))
    guest = Guest(seed)
    for _ in range(300):
        guest.step(rig)
    copy = VirtRig.resume(rig.snapshot()).on(rig.board.gic.accessing)
    assert canonical(copy.snapshot()) == canonical(rig.snapshot())
    assert pins(copy) == pins(rig)
    twin = Guest(0)
    twin.source.setstate(guest.source.getstate())
    for number in range(400):
        assert guest.step(rig) == twin.step(copy), number
        assert pins(copy) == pins(rig), number
    assert canonical(copy.snapshot()) == canonical(rig.snapshot())


def test_reset_brings_back_the_power_on_state() -> None:
    """But for the battery-backed clock."""
    fresh = VirtRig().board.save()
    rig = VirtRig()
    rig.init_gic(*range(16, 48))
    guest = Guest(99)
    for _ in range(500):
        guest.step(rig)
    rig.run(1_000_000_000)  # the button is let go
    rig.board.serial.backlog.clear()  # input on its way would still arrive
    rig.board.reset()
    state = rig.board.save()
    assert state["rtc"]["has_time"] and fresh["rtc"]["has_time"]
    for name in fresh:
        if name != "rtc":
            assert state[name] == fresh[name], name


def test_one_access_is_fast() -> None:
    """Not a benchmark: it fails when a hot register becomes ten times too slow."""
    from time import perf_counter_ns

    rig = VirtRig()
    rig.init_gic(33, 27)
    best = 1 << 60
    for _ in range(5):
        start = perf_counter_ns()
        for _ in range(500):
            rig.read(UART + 0x18)
            rig.write(UART, 0x41)
            rig.take()
            rig.end(1023)
        best = min(best, perf_counter_ns() - start)
    assert best / 2000 < 30_000
