"""The ACPI fixed hardware: PM1a event and control registers and the PM timer (ACPI specification, 4.8.3)."""

from __future__ import annotations

from runtime.border import Border
from runtime.clock import NS, VirtualClock
from runtime.devices.base import Stateful, Window
from runtime.devices.power import CUT_POWER, PRESS_BUTTON, RESET
from runtime.interrupts import Line, MachinePins

BASE = 0x600
SIZE = 12
FREQUENCY = 3_579_545
TIMER_BITS = 24
SLEEP_S5 = 5  # the SLP_TYP value of the \_S5 object

TIMER_STATUS, POWER_BUTTON, SCI_ENABLE, SLEEP_ENABLE = 1 << 0, 1 << 8, 1 << 0, 1 << 13
_STATUS_BITS = TIMER_STATUS | 1 << 4 | 1 << 5 | POWER_BUTTON | 1 << 9 | 1 << 10 | 1 << 15
_ENABLE_BITS = TIMER_STATUS | 1 << 5 | POWER_BUTTON | 1 << 9 | 1 << 10


class AcpiPm(Stateful):
    """PM1a_STS +0, PM1a_EN +2, PM1a_CNT +4, PM_TMR +8. The machine is always in ACPI mode: there is no SMI command."""

    STATE = ("status", "enable", "control", "timer_seen")

    def __init__(self, name: str, clock: VirtualClock, sci: Line, pins: MachinePins, border: Border):
        self.name, self.clock, self.sci, self.pins = name, clock, sci, pins
        self.timer = clock.timer(f"{name}.timer", self._update)
        self.registers = Window(self.read, self.write)
        border.connect("power", self.power_event)
        self.status = self.enable = self.control = self.timer_seen = 0

    def reset(self) -> None:
        """Power-on state."""
        self.status = self.enable = 0
        self.control = SCI_ENABLE
        self.timer_seen = self._half_periods()
        self._update()

    def power_event(self, data: bytes) -> None:
        """Sink of the channel "power": PRESS_BUTTON, RESET or CUT_POWER, one a byte."""
        for event in data:
            if event == PRESS_BUTTON:
                self.status |= POWER_BUTTON
                self._update()
            elif event == RESET:
                self.pins.request_reset()
            elif event == CUT_POWER:
                self.pins.request_power_off()

    def _ticks(self) -> int:
        return self.clock.now_ns() * FREQUENCY // NS

    def _half_periods(self) -> int:
        """How often the top bit of the timer has changed."""
        return self._ticks() >> (TIMER_BITS - 1)

    def _update(self) -> None:
        """Settle the timer's status bit, the interrupt and the next deadline."""
        half_periods = self._half_periods()
        if half_periods != self.timer_seen:
            self.timer_seen = half_periods
            self.status |= TIMER_STATUS
        self.sci.set(bool(self.status & self.enable))
        if self.enable & TIMER_STATUS and not self.status & TIMER_STATUS:
            self.timer.arm_ns(-(-((half_periods + 1) << (TIMER_BITS - 1)) * NS // FREQUENCY))
        else:
            self.timer.cancel()

    def read(self, offset: int, size: int) -> int:
        """Any access within the block; wider ones see the neighbouring registers."""
        if offset >= 8:
            return (self._ticks() & ((1 << TIMER_BITS) - 1)) >> 8 * (offset - 8)
        self._update()
        return (self.status | self.enable << 16 | self.control << 32) >> 8 * offset

    def write(self, offset: int, size: int, value: int) -> None:
        """Status bits are cleared by ones; the timer ignores writes."""
        self._update()
        for at in range(size):
            self._write_byte(offset + at, value >> 8 * at & 0xFF)
        self._update()

    def _write_byte(self, offset: int, value: int) -> None:
        shift = 8 * (offset & 1)
        register = offset >> 1
        if register == 0:
            self.status &= ~(value << shift & _STATUS_BITS)
        elif register == 1:
            self.enable = (self.enable & ~(0xFF << shift) | value << shift) & _ENABLE_BITS
        elif register == 2:
            control = self.control & ~(0xFF << shift) | value << shift
            self.control = control & 0x1C07 | SCI_ENABLE
            if control & SLEEP_ENABLE and control >> 10 & 7 == SLEEP_S5:
                self.pins.request_power_off()
