"""The PrimeCell GPIO controller PL061 (ARM DDI 0190): eight pins, and the power button that hangs on one of them."""

from __future__ import annotations

from runtime.border import Border
from runtime.clock import VirtualClock
from runtime.devices.base import Stateful
from runtime.devices.power import CUT_POWER, PRESS_BUTTON, RESET
from runtime.devices.primecell import Identification, WordWindow
from runtime.interrupts import Line, MachinePins

DATA_END = 0x400  # DATA is there 256 times: address bits 9..2 select the pins
DIR, IS, IBE, IEV, IE, RIS, MIS, IC, AFSEL = range(0x400, 0x424, 4)
_STORED = {DIR: "direction", IS: "sense", IBE: "both", IEV: "event", IE: "mask", AFSEL: "alternate"}

#: How long the power button stays down: longer than any driver debounces.
PRESS_NS = 100_000_000


class Pl061(Stateful):
    """Inputs come from :meth:`set_input`; nothing is connected to pins that the guest makes outputs."""

    STATE = ("inputs", "outputs", "latched", *_STORED.values())

    def __init__(self, name: str, irq: Line):
        self.name, self.irq = name, irq
        self.registers = WordWindow(self._read, self._write)
        self.identification = Identification(0x061, 0)
        self.inputs = 0
        self.reset()

    def reset(self) -> None:
        """Power-on state: all pins are inputs."""
        self.outputs = self.latched = 0
        self.direction = self.sense = self.both = self.event = self.mask = self.alternate = 0
        self._update(self._pins())

    def set_input(self, pin: int, level: bool) -> None:
        """A wire changes."""
        before = self._pins()
        self.inputs = self.inputs | 1 << pin if level else self.inputs & ~(1 << pin)
        self._update(before)

    def _pins(self) -> int:
        return self.outputs & self.direction | self.inputs & ~self.direction & 0xFF

    def _raw(self) -> int:
        """Interrupts before masking: edges are kept until cleared, levels are not."""
        active = ~(self._pins() ^ self.event)
        return (self.latched & ~self.sense | active & self.sense) & 0xFF

    def _update(self, before: int) -> None:
        """Latch edges of inputs from the pins ``before`` to those now; settle the interrupt."""
        now = self._pins()
        self.latched |= (before ^ now) & (self.both | ~(now ^ self.event)) & ~self.sense & ~self.direction & 0xFF
        self.irq.set(bool(self._raw() & self.mask))

    def _read(self, offset: int) -> int:
        if offset < DATA_END:
            return self._pins() & offset >> 2
        if offset == RIS:
            return self._raw()
        if offset == MIS:
            return self._raw() & self.mask
        return int(getattr(self, _STORED[offset])) if offset in _STORED else self.identification.read(offset)

    def _write(self, offset: int, value: int) -> None:
        before = self._pins()
        if offset < DATA_END:
            selected = offset >> 2 & 0xFF & self.direction
            self.outputs = self.outputs & ~selected | value & selected
        elif offset == IC:
            self.latched &= ~value
        elif offset in _STORED:
            setattr(self, _STORED[offset], value & 0xFF)
        self._update(before)


class PowerButton(Stateful):
    """A button on ``line``, pressed from the border's channel "power" (:mod:`runtime.devices.power`)."""

    STATE = ("down",)

    def __init__(self, name: str, clock: VirtualClock, line: Line, pins: MachinePins, border: Border):
        self.name, self.line, self.clock, self.pins = name, line, clock, pins
        self.timer = clock.timer(f"{name}.release", self._release)
        self.down = False
        border.connect("power", self.power_event)

    def reset(self) -> None:
        """A machine that is reset does not let go of a finger: nothing changes."""

    def power_event(self, data: bytes) -> None:
        """Sink of the channel: PRESS_BUTTON, RESET or CUT_POWER, one a byte."""
        for event in data:
            if event == PRESS_BUTTON:
                self.down = True
                self.line.set(True)
                self.timer.arm_ns(self.clock.now_ns() + PRESS_NS)
            elif event == RESET:
                self.pins.request_reset()
            elif event == CUT_POWER:
                self.pins.request_power_off()

    def _release(self) -> None:
        self.down = False
        self.line.set(False)
