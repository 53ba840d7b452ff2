"""A pc board without a processor: time is a number that tests move, and the border remembers what left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime.clock import VirtualClock
from runtime.devices import ioapic, lapic
from runtime.machines.pc import PcBoard

START = 1_700_000_000  # seconds since 1970 at power-on: 2023-11-14 22:13:20 UTC
LAPIC, IOAPIC = lapic.BASE, ioapic.BASE


class FakeBorder:
    """Implements runtime.border.Border."""

    def __init__(self) -> None:
        self.sinks: dict[str, Callable[[bytes], None]] = {}
        self.sent: dict[str, bytes] = {}
        self.clock_reads = 0

    def wall_clock_ns(self) -> int:
        self.clock_reads += 1
        return START * 1_000_000_000

    def entropy(self, size: int) -> bytes:
        return bytes(size)

    def connect(self, channel: str, sink: Callable[[bytes], None]) -> None:
        self.sinks[channel] = sink

    def output(self, channel: str, data: bytes) -> None:
        self.sent[channel] = self.sent.get(channel, b"") + data


class FakePins:
    """Implements runtime.interrupts.MachinePins and X86Pins."""

    def __init__(self) -> None:
        self.intr = False
        self.nmis = self.resets = self.power_offs = self.inits = 0
        self.started: list[int] = []

    def set_intr(self, level: bool) -> None:
        self.intr = level

    def nmi(self) -> None:
        self.nmis += 1

    def init(self) -> None:
        self.inits += 1

    def start_up(self, vector: int) -> None:
        self.started.append(vector)

    def request_reset(self) -> None:
        self.resets += 1

    def request_power_off(self) -> None:
        self.power_offs += 1


class Rig:
    """A board, switched on unless ``power_on`` is false, with the accesses a guest would make. ``pins`` are those of
    the machine and of its first processor, ``all_pins`` those of each; accesses are the selected processor's."""

    def __init__(self, *, has_hpet: bool = False, power_on: bool = True, processors: int = 1):
        self.icount = 0
        self.clock = VirtualClock()
        self.clock.read_icount = lambda: self.icount
        self.border, self.pins = FakeBorder(), FakePins()
        self.all_pins = [self.pins, *(FakePins() for _ in range(processors - 1))]
        self.ram = memoryview(bytearray(1 << 20))
        self.board = PcBoard(self.clock, self.border, self.ram, self.pins, self.all_pins, has_hpet=has_hpet)
        if power_on:
            self.board.reset()
        #: Vectors that :meth:`run` took, with the virtual time of each.
        self.taken: list[tuple[int, int]] = []

    # A guest's accesses

    def inb(self, port: int) -> int:
        return self.board.io.read(port, 1)

    def outb(self, port: int, *values: int) -> None:
        for value in values:
            self.board.io.write(port, 1, value)

    def apic(self, register: int) -> int:
        return self.board.mmio.read(LAPIC + register, 4)

    def set_apic(self, register: int, value: int) -> None:
        self.board.mmio.write(LAPIC + register, 4, value)

    def pin(self, number: int) -> int:
        """The redirection entry of an I/O APIC input."""
        self.board.mmio.write(IOAPIC, 4, 0x10 + 2 * number)
        low = self.board.mmio.read(IOAPIC + 0x10, 4)
        self.board.mmio.write(IOAPIC, 4, 0x11 + 2 * number)
        return low | self.board.mmio.read(IOAPIC + 0x10, 4) << 32

    def set_pin(self, number: int, entry: int) -> None:
        for half in (1, 0):
            self.board.mmio.write(IOAPIC, 4, 0x10 + 2 * number + half)
            self.board.mmio.write(IOAPIC + 0x10, 4, entry >> 32 * half & 0xFFFFFFFF)

    def eoi(self) -> None:
        self.set_apic(0xB0, 0)

    def take(self) -> int | None:
        """What a processor with interrupts enabled would do now: the vector it takes, or None."""
        return self.board.acknowledge() if self.all_pins[self.board.selected].intr else None

    def took(self) -> dict[int, int]:
        """What each processor takes now, by its number; it is ended there."""
        found, before = {}, self.board.selected
        for number in range(len(self.all_pins)):
            self.board.select(number)
            if (vector := self.take()) is not None:
                found[number] = vector
                self.eoi()
        self.board.select(before)
        return found

    # Time

    @property
    def ns(self) -> int:
        return self.clock.now_ns()

    def run(self, ns: int, handler: Callable[[int], None] | None = None) -> None:
        """Let ``ns`` virtual nanoseconds pass; with ``handler``, interrupts are taken at once and handed to it."""
        end = self.clock.icount_at(self.ns + ns)
        while True:
            while handler and (vector := self.take()) is not None:
                self.taken.append((vector, self.ns))
                handler(vector)
            deadline = self.clock.next_deadline()
            if deadline is None or deadline > end:
                break
            self.icount = max(self.icount, deadline)
            self.clock.run_due()
        self.icount = end

    # Usual preparations

    def init_pic(self) -> None:
        """Program the 8259 pair as Linux and BIOSes do, vectors 0x30 and 0x38, nothing masked."""
        self.outb(0x20, 0x11)
        self.outb(0x21, 0x30, 0x04, 0x01, 0x00)
        self.outb(0xA0, 0x11)
        self.outb(0xA1, 0x38, 0x02, 0x01, 0x00)

    def init_apic(self) -> None:
        """Enable the local APIC with spurious vector 0xFF, flat logical id 1 << number; the 8259 is cut off."""
        self.set_apic(0xF0, 0x1FF)
        self.set_apic(0xE0, 0xFFFFFFFF)
        self.set_apic(0xD0, 1 << 24 + self.board.selected)
        self.set_apic(0x350, 0x10000)

    def init_apics(self) -> None:
        """The same for every processor's; number 0 is the selected one then."""
        for number in reversed(range(len(self.all_pins))):
            self.board.select(number)
            self.init_apic()

    def send(self, destination: int, command: int) -> None:
        """Write the interrupt command register of the selected processor."""
        self.set_apic(0x310, destination << 24)
        self.set_apic(0x300, command)

    def pit(self, channel: int, mode: int, count: int) -> None:
        """Program a PIT channel with a 16-bit count."""
        self.outb(0x43, channel << 6 | 0x30 | mode << 1)
        self.outb(0x40 + channel, count & 0xFF, count >> 8)

    def pit_count(self, channel: int) -> int:
        """Latch and read a channel."""
        self.outb(0x43, channel << 6)
        low = self.inb(0x40 + channel)
        return low | self.inb(0x40 + channel) << 8

    def snapshot(self) -> dict[str, object]:
        """All a checkpoint would hold of the board."""
        return {"board": self.board.save(), "clock": self.clock.save(), "icount": self.icount}

    @classmethod
    def resume(cls, snapshot: dict, **options: Any) -> Rig:
        """A fresh rig continuing from ``snapshot``."""
        rig = cls(power_on=False, **options)
        rig.icount = snapshot["icount"]
        rig.clock.restore(snapshot["clock"])
        rig.board.restore(snapshot["board"])
        return rig
