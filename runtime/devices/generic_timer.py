"""The generic timer of one processor (ARM DDI 0406C, chapter B8): a counter and two timers that compare with it.

The counter runs at 62.5 MHz: a tick is 16 virtual ns, so that counting is a shift, and the native code that reads the
counter needs no division; it is also what guests see on QEMU's board. A counter at 1 GHz would be no finer (an
instruction takes 8 ns), and the 32-bit timer values would reach 2 s instead of 34.

There are no Virtualization Extensions, so the virtual counter is the physical one.
"""

from __future__ import annotations

from functools import partial

from runtime.clock import VirtualClock
from runtime.devices.base import Stateful
from runtime.interrupts import Line

#: A tick of the counter is ``1 << COUNTER_SHIFT`` virtual ns.
COUNTER_SHIFT = 4
FREQUENCY = 1_000_000_000 >> COUNTER_SHIFT

#: The registers, as :meth:`GenericTimer.read` and :meth:`GenericTimer.write` name them.
CNTP_CTL, CNTP_TVAL, CNTP_CVAL, CNTV_CTL, CNTV_TVAL, CNTV_CVAL = range(6)
CNTPCT, CNTVCT = 6, 7
PHYSICAL, VIRTUAL = 0, 1

ENABLE, MASKED, STATUS = 1, 2, 4  # CTL
_MASK64 = (1 << 64) - 1
_NEVER = 1 << 62  # ns: no run gets there


class GenericTimer(Stateful):
    """``physical`` and ``virtual`` are the two output lines: levels, up while the timer is enabled, not masked, and its
    comparator has been reached."""

    STATE = ("control", "compare")

    def __init__(self, name: str, clock: VirtualClock, physical: Line, virtual: Line):
        self.name, self.clock, self.lines = name, clock, (physical, virtual)
        self.deadlines = [clock.timer(f"{name}.{kind}", partial(self._update, which))
                          for which, kind in ((PHYSICAL, "physical"), (VIRTUAL, "virtual"))]  # fmt: skip
        self.control, self.compare = [0, 0], [0, 0]

    def reset(self) -> None:
        """Power-on state; the counter goes on."""
        self.control, self.compare = [0, 0], [0, 0]
        self._update(PHYSICAL)
        self._update(VIRTUAL)

    def count(self) -> int:
        """The system counter."""
        return self.clock.now_ns() >> COUNTER_SHIFT

    def _update(self, which: int) -> None:
        """Settle a timer's line and its next deadline."""
        control, compare = self.control[which], self.compare[which]
        active = control & (ENABLE | MASKED) == ENABLE
        met = active and self.count() >= compare
        self.lines[which].set(met)
        if active and not met and compare << COUNTER_SHIFT < _NEVER:
            self.deadlines[which].arm_ns(compare << COUNTER_SHIFT)
        else:
            self.deadlines[which].cancel()

    def read(self, register: int) -> int:
        """A register by its number (CNTP_CTL ...): 32 bits wide but for CVAL and the counters, 64."""
        if register >= CNTPCT:
            return self.count() & _MASK64
        which, kind = divmod(register, 3)
        if kind == CNTP_CTL:
            control = self.control[which]
            return control | STATUS if control & ENABLE and self.count() >= self.compare[which] else control
        compare = self.compare[which]
        return compare if kind == CNTP_CVAL else compare - self.count() & 0xFFFFFFFF

    def write(self, register: int, value: int) -> None:
        """Write a register by its number; the counters cannot be written."""
        if register >= CNTPCT:
            return
        which, kind = divmod(register, 3)
        if kind == CNTP_CTL:
            self.control[which] = value & (ENABLE | MASKED)
        elif kind == CNTP_CVAL:
            self.compare[which] = value & _MASK64
        else:
            signed = (value & 0xFFFFFFFF ^ 1 << 31) - (1 << 31)
            self.compare[which] = self.count() + signed & _MASK64
        self._update(which)
