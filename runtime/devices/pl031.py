"""The PrimeCell real-time clock PL031 (ARM DDI 0224): seconds since 1970 and one match register."""

from __future__ import annotations

from runtime.border import Border
from runtime.clock import NS, VirtualClock
from runtime.devices.base import Stateful
from runtime.devices.primecell import Identification, WordWindow
from runtime.interrupts import Line

DR, MR, LR, CR, IMSC, RIS, MIS, ICR = range(0, 0x20, 4)
_TURN = 1 << 32  # seconds


class Pl031(Stateful):
    """Host time is read once, when the machine is first switched on: the clock has a battery and always runs.

    The count is ``offset_ns`` + virtual time, in whole seconds; it and the match are computed when someone looks.
    """

    STATE = ("offset_ns", "has_time", "match", "load", "mask", "raw", "seen")

    def __init__(self, name: str, clock: VirtualClock, irq: Line, border: Border):
        self.name, self.clock, self.irq, self.border = name, clock, irq, border
        self.timer = clock.timer(f"{name}.match", self._settle)
        self.registers = WordWindow(self._read, self._write)
        self.identification = Identification(0x031, 1)
        self.offset_ns, self.has_time = 0, False
        self.match = self.load = self.mask = self.raw = self.seen = 0

    def reset(self) -> None:
        """Power-on or reset: the interrupt off; the battery keeps the time once it is there."""
        if not self.has_time:
            self.offset_ns = self.border.wall_clock_ns() - self.clock.now_ns()
            self.has_time = True
        self.match = self.load = self.mask = self.raw = 0
        self.seen = self._seconds()
        self._settle()

    def _seconds(self) -> int:
        return (self.offset_ns + self.clock.now_ns()) // NS

    def _settle(self) -> None:
        """Bring the raw interrupt, the line and the next deadline up to date."""
        now = self._seconds()
        until = ((self.match - self.seen - 1) & (_TURN - 1)) + 1  # seconds from the last look to the match
        if now - self.seen >= until:
            self.raw = 1
        self.seen = now
        self.irq.set(bool(self.raw & self.mask))
        if self.mask and not self.raw:
            until = ((self.match - now - 1) & (_TURN - 1)) + 1
            self.timer.arm_ns((now + until) * NS - self.offset_ns)
        else:
            self.timer.cancel()

    def _compare(self) -> None:
        """The count or the match register was written: equal now is a match as well."""
        self.seen = self._seconds()
        if (self.match - self.seen) % _TURN == 0:
            self.raw = 1

    def _read(self, offset: int) -> int:
        self._settle()
        match offset:
            case 0x00:
                return self._seconds() & (_TURN - 1)
            case 0x04:
                return self.match
            case 0x08:
                return self.load
            case 0x0C:
                return 1  # runs, and cannot be stopped
            case 0x10:
                return self.mask
            case 0x14:
                return self.raw
            case 0x18:
                return self.raw & self.mask
        return self.identification.read(offset)

    def _write(self, offset: int, value: int) -> None:
        self._settle()
        if offset == MR:
            self.match = value
            self._compare()
        elif offset == LR:
            self.load = value
            self.offset_ns += (value - self._seconds()) * NS  # the next second begins when it would have
            self._compare()
        elif offset == IMSC:
            self.mask = value & 1
        elif offset == ICR:
            self.raw &= ~value
        self._settle()
