"""The high precision event timer (IA-PC HPET specification 1.0a): a 64-bit counter at 100 MHz and three comparators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runtime.clock import VirtualClock
from runtime.device import State
from runtime.devices.base import Stateful, Window
from runtime.interrupts import Line

BASE = 0xFED00000
SIZE = 0x400
TICK_NS = 10
PERIOD_FS = TICK_NS * 1_000_000
TIMERS = 3
CAPABILITIES = PERIOD_FS << 32 | 0x8086 << 16 | 1 << 15 | 1 << 13 | (TIMERS - 1) << 8 | 1
ROUTES = 0x00F0_0000  # I/O APIC inputs 20..23

ENABLE, LEGACY = 1, 2  # general configuration
LEVEL, INTERRUPT, PERIODIC, CAN_PERIODIC, IS_64, SET_VALUE, MODE_32 = (1 << n for n in (1, 2, 3, 4, 5, 6, 8))
_WRITABLE = LEVEL | INTERRUPT | PERIODIC | SET_VALUE | MODE_32 | 0x3E00
_MASK64 = (1 << 64) - 1
_LONGEST = 1 << 60  # ticks to the next look at the counter: the deadline of a checkpoint has 64 bits
_NOWHERE = Line(lambda level: None)  # a route that does not exist


class Comparator(Stateful):
    """One timer block: configuration, the value waited for, and in periodic mode what is added each time."""

    STATE = ("config", "compare", "period")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Power-on state."""
        self.config, self.compare, self.period = CAN_PERIODIC | IS_64 | ROUTES << 32, _MASK64, 0

    @property
    def mask(self) -> int:
        return 0xFFFFFFFF if self.config & MODE_32 else _MASK64


class Hpet(Stateful):
    """``lines``: inputs of the I/O APIC by number. With ``LEGACY`` set, timers 0 and 1 drive ``legacy_lines``."""

    STATE = ("config", "status", "offset", "held", "seen")

    def __init__(self, name: str, clock: VirtualClock, lines: Mapping[int, Line], legacy_lines: Sequence[Line]):
        self.name, self.clock, self.lines, self.legacy_lines = name, clock, lines, legacy_lines
        self.timers = [Comparator() for _ in range(TIMERS)]
        self.deadline = clock.timer(f"{name}.compare", self._due)
        self.registers = Window(self.read, self.write)
        self.config = self.status = self.offset = self.held = 0
        self.seen = 0  # the count up to which matches have been dealt with

    def reset(self) -> None:
        """Power-on state: the counter stands at zero."""
        self._clear_status(self.status)
        self._configure(0)
        self.offset = self.held = self.seen = 0
        for timer in self.timers:
            timer.reset()
        self.deadline.cancel()

    @property
    def legacy(self) -> bool:
        """Do timers 0 and 1 replace the PIT and the RTC?"""
        return bool(self.config & LEGACY)

    def counter(self) -> int:
        """The main counter."""
        if not self.config & ENABLE:
            return self.held
        return (self.clock.now_ns() // TICK_NS + self.offset) & _MASK64

    def _distance(self, timer: Comparator, count: int) -> int:
        """Ticks until the comparator matches; a full turn when it matches now."""
        return ((timer.compare - count - 1) & timer.mask) + 1

    def _arm(self) -> None:
        self.deadline.cancel()
        self.seen = count = self.counter()
        if not self.config & ENABLE:
            return
        now = self.clock.now_ns() // TICK_NS
        active = [timer for timer in self.timers if timer.config & INTERRUPT]
        if active:
            ticks = min(_LONGEST, *(self._distance(timer, count) for timer in active))
            self.deadline.arm_ns((now + ticks) * TICK_NS)

    def _due(self) -> None:
        """Some comparator has been reached since the count was last looked at."""
        count = self.counter()
        for number, timer in enumerate(self.timers):
            late = count - self.seen - self._distance(timer, self.seen)
            if timer.config & INTERRUPT and late >= 0:
                self._fire(number, timer)
                if timer.config & PERIODIC and timer.period:
                    timer.compare = (timer.compare + timer.period * (late // timer.period + 1)) & timer.mask
        self._arm()

    def _line(self, number: int, timer: Comparator) -> Line:
        if self.legacy and number < 2:
            return self.legacy_lines[number]
        return self.lines.get(timer.config >> 9 & 0x1F, _NOWHERE)

    def _fire(self, number: int, timer: Comparator) -> None:
        line = self._line(number, timer)
        if timer.config & LEVEL:
            self.status |= 1 << number
            line.set(True)
        else:
            line.set(False)
            line.pulse()

    def read(self, offset: int, size: int) -> int:
        """Registers are 64 bits wide; halves may be read."""
        return self._read64(offset & ~7) >> 8 * (offset & 7)

    def _read64(self, offset: int) -> int:
        match offset:
            case 0xF0:
                return self.counter()
            case 0x00:
                return CAPABILITIES
            case 0x10:
                return self.config
            case 0x20:
                return self.status
        number, register = (offset - 0x100) >> 5, offset & 0x18
        if offset < 0x100 or number >= TIMERS:
            return 0
        timer = self.timers[number]
        return timer.config if register == 0 else timer.compare if register == 8 else 0

    def write(self, offset: int, size: int, value: int) -> None:
        """Registers are 64 bits wide; a narrower write leaves the rest of the register alone."""
        base, shift = offset & ~7, 8 * (offset & 7)
        mask = ((1 << 8 * size) - 1) << shift
        if base == 0x20:
            self._clear_status(value << shift)
            return
        self._write64(base, self._read64(base) & ~mask & _MASK64 | value << shift & mask & _MASK64, mask)

    def _write64(self, offset: int, value: int, mask: int) -> None:
        if offset == 0x10:
            self._configure(value)
        elif offset == 0xF0:
            self.held = value
            self.offset = value - self.clock.now_ns() // TICK_NS
        number, register = (offset - 0x100) >> 5, offset & 0x18
        if offset >= 0x100 and number < TIMERS:
            timer = self.timers[number]
            if register == 0:
                self._configure_timer(number, timer, value)
            elif register == 8:
                self._set_compare(timer, value, mask)
        self._arm()

    def _configure(self, value: int) -> None:
        held = self.counter()
        if (value ^ self.config) & ENABLE:
            self.held, self.offset = held, held - self.clock.now_ns() // TICK_NS
        if (value ^ self.config) & LEGACY:
            for line in self.legacy_lines:
                line.set(False)
        self.config = value & (ENABLE | LEGACY)

    def _configure_timer(self, number: int, timer: Comparator, value: int) -> None:
        if self.status >> number & 1 and not value & INTERRUPT:
            self._line(number, timer).set(False)
        timer.config = timer.config & ~_WRITABLE | value & _WRITABLE
        timer.compare &= timer.mask

    def _set_compare(self, timer: Comparator, value: int, mask: int) -> None:
        """In periodic mode a write sets the period, and the next match too when SET_VALUE was set just before."""
        if not timer.config & PERIODIC or timer.config & SET_VALUE:
            timer.compare = value & timer.mask
        if timer.config & PERIODIC:
            low = value if mask & 0xFFFFFFFF else timer.period
            timer.period = low & timer.mask
        timer.config &= ~SET_VALUE

    def _clear_status(self, value: int) -> None:
        for number, timer in enumerate(self.timers):
            if self.status & value & 1 << number:
                self.status &= ~(1 << number)
                self._line(number, timer).set(False)

    def save(self) -> State:
        """The general registers and the three timers."""
        return {**super().save(), "timers": [timer.save() for timer in self.timers]}

    def restore(self, state: State) -> None:
        """The inverse of :meth:`save`."""
        super().restore(state)
        for timer, saved in zip(self.timers, state["timers"], strict=True):
            timer.restore(saved)
