"""A virt board without a processor: time is a number that tests move, and the border remembers what left."""

from __future__ import annotations

from collections.abc import Callable

from pc_fakes import START, FakeBorder, FakePins

from runtime.clock import VirtualClock
from runtime.machines.virt import MAP, VirtBoard

GICD, GICC = MAP["gic distributor"].base, MAP["gic cpu interface"].base
UART, RTC, GPIO = MAP["serial0"].base, MAP["rtc"].base, MAP["gpio"].base
KEYBOARD, MOUSE = MAP["keyboard port"].base, MAP["mouse port"].base

__all__ = ["GICC", "GICD", "GPIO", "KEYBOARD", "MOUSE", "RTC", "START", "UART", "ArmFakePins", "VirtRig"]


class ArmFakePins(FakePins):
    """Implements runtime.interrupts.MachinePins and runtime.machines.virt.ArmPins."""

    fiq = False

    def set_fiq(self, level: bool) -> None:
        self.fiq = level


class VirtRig:
    """A board, switched on unless ``power_on`` is false, with the accesses a guest would make. ``processors``: the pins
    of each; ``pins`` are those of the first and of the machine."""

    def __init__(self, processors: int = 1, *, power_on: bool = True):
        self.icount = 0
        self.clock = VirtualClock()
        self.clock.read_icount = lambda: self.icount
        self.border, self.processors = FakeBorder(), [ArmFakePins() for _ in range(processors)]
        self.pins = self.processors[0]
        self.ram = memoryview(bytearray(1 << 20))
        self.board = VirtBoard(self.clock, self.border, self.ram, self.pins, self.processors)
        if power_on:
            self.board.reset()
        #: Interrupts that :meth:`run` took, with the virtual time of each.
        self.taken: list[tuple[int, int]] = []

    # A guest's accesses

    def read(self, address: int, size: int = 4) -> int:
        return self.board.mmio.read(address, size)

    def write(self, address: int, value: int, size: int = 4) -> None:
        self.board.mmio.write(address, size, value)

    def on(self, processor: int) -> VirtRig:
        """It is this one whose accesses come next."""
        self.board.select(processor)
        return self

    def init_gic(self, *interrupts: int, priority: int = 0xA0) -> None:
        """As Linux does: group 0 on everywhere, every priority lets in, ``interrupts`` enabled with ``priority``."""
        self.write(GICD, 1)
        self.write(GICC + 0x04, 0xF0)
        self.write(GICC, 1)
        for number in interrupts:
            self.write(GICD + 0x400 + number, priority, 1)
            self.write(GICD + 0x100 + 4 * (number // 32), 1 << number % 32)

    def take(self) -> int:
        """Read GICC_IAR."""
        return self.read(GICC + 0x0C)

    def end(self, number: int) -> None:
        """Write GICC_EOIR."""
        self.write(GICC + 0x10, number)

    # Time

    @property
    def ns(self) -> int:
        return self.clock.now_ns()

    def run(self, ns: int, handler: Callable[[int], None] | None = None) -> None:
        """Let ``ns`` virtual nanoseconds pass; with ``handler``, interrupts are taken at once and handed to it."""
        end = self.clock.icount_at(self.ns + ns)
        while True:
            while handler and self.pins.intr:
                number = self.take()
                self.taken.append((number, self.ns))
                handler(number)
                self.end(number)
            deadline = self.clock.next_deadline()
            if deadline is None or deadline > end:
                break
            self.icount = max(self.icount, deadline)
            self.clock.run_due()
        self.icount = end

    def snapshot(self) -> dict:
        """All a checkpoint would hold of the board."""
        return {"board": self.board.save(), "clock": self.clock.save(), "icount": self.icount}

    @classmethod
    def resume(cls, snapshot: dict) -> VirtRig:
        """A fresh rig continuing from ``snapshot``."""
        rig = cls(len(snapshot["board"]["gic"]["interfaces"]), power_on=False)
        rig.icount = snapshot["icount"]
        rig.clock.restore(snapshot["clock"])
        rig.board.restore(snapshot["board"])
        return rig
