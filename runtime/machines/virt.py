"""The ``virt`` board: an ARM machine at the addresses of QEMU's. What is where: :data:`MAP`.

QEMU's has no keyboard and mouse interfaces; ours are where nothing of QEMU's is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Protocol

from runtime.border import Border
from runtime.bus import Bus
from runtime.clock import VirtualClock
from runtime.device import Device, Registers, State
from runtime.devices import gicv2, pl011, primecell, virtio_mmio
from runtime.devices.generic_timer import GenericTimer
from runtime.devices.gicv2 import FIRST_PPI, FIRST_SPI, GicV2
from runtime.devices.pl011 import Pl011
from runtime.devices.pl031 import Pl031
from runtime.devices.pl050 import Pl050
from runtime.devices.pl061 import Pl061, PowerButton
from runtime.devices.ps2 import Keyboard, Mouse
from runtime.interrupts import Line, MachinePins, ProcessorPins

RAM_BASE = 0x40000000
MOST_PROCESSORS = gicv2.MOST_CPUS


class Place(NamedTuple):
    """Where a device is: its first address, how many bytes, and its SPI (the interrupt's number is 32 higher)."""

    base: int
    size: int
    spi: int = -1


MAP = {
    "gic distributor": Place(0x08000000, gicv2.SIZE),
    "gic cpu interface": Place(0x08010000, gicv2.SIZE),
    "serial0": Place(0x09000000, primecell.SIZE, 1),
    "rtc": Place(0x09010000, primecell.SIZE, 2),
    "gpio": Place(0x09030000, primecell.SIZE, 7),
    "keyboard port": Place(0x09100000, primecell.SIZE, 10),
    "mouse port": Place(0x09110000, primecell.SIZE, 11),
}
#: virtio-mmio slots, all of them empty.
SLOTS = tuple(Place(0x0A000000 + number * virtio_mmio.SIZE, virtio_mmio.SIZE, 16 + number) for number in range(32))

#: Outputs of the generic timer; the PPI (the interrupt's number is 16 higher).
SECURE_TIMER_PPI, PHYSICAL_TIMER_PPI, VIRTUAL_TIMER_PPI, HYPERVISOR_TIMER_PPI = 13, 14, 11, 10
POWER_PIN = 3  # of the GPIO controller


class ArmPins(ProcessorPins, Protocol):
    """The pins of an ARM processor: ``set_intr`` is IRQ."""

    def set_fiq(self, level: bool) -> None:
        """A fast interrupt is (no longer) waiting."""


class VirtBoard:
    """All devices of the machine, wired. ``mmio`` is what the processor's accesses outside RAM go to.

    The constructor makes no noise at the border: call :meth:`reset` to switch on, or :meth:`restore` to continue. The
    processor's CP15 accesses to the generic timer go to ``timer``; its firmware calls to
    :func:`runtime.devices.psci.call`. ``processors``: the pins of each, at most MOST_PROCESSORS; :meth:`select` says
    whose accesses are being made.
    """

    def __init__(
        self, clock: VirtualClock, border: Border, ram: memoryview, pins: MachinePins, processors: Sequence[ArmPins]
    ):  # fmt: skip
        self.ram, self.border, self.processors = ram, border, processors
        self.mmio = Bus("memory")
        self.outputs = [(Line(each.set_intr), Line(each.set_fiq)) for each in processors]
        self.gic = GicV2("gic", self.outputs)
        self._spis = {name: self._input(FIRST_SPI + at.spi) for name, at in MAP.items() if at.spi >= 0}
        self._timer_lines = [self._timer_inputs(number) for number in range(len(processors))]
        #: One a processor; ``timer`` is that of the selected one.
        self.timers = [GenericTimer(f"timer{number or ''}", clock, *at) for number, at in enumerate(self._timer_lines)]
        self.timer = self.timers[0]
        self.serial = Pl011("serial0", clock, self._spis["serial0"], border)
        self.rtc = Pl031("rtc", clock, self._spis["rtc"], border)
        self.gpio = Pl061("gpio", self._spis["gpio"])
        self._button_line = Line(partial(self.gpio.set_input, POWER_PIN))
        self.button = PowerButton("power_button", clock, self._button_line, pins, border)
        self.keyboard, self.mouse = Keyboard("keyboard", border), Mouse("mouse", border)
        self.keyboard_port = Pl050("keyboard_port", self.keyboard, self._spis["keyboard port"])
        self.mouse_port = Pl050("mouse_port", self.mouse, self._spis["mouse port"])
        self._map()

    def _input(self, number: int, processor: int = 0) -> Line:
        return Line(partial(self.gic.set_input, number, cpu=processor))

    def _timer_inputs(self, processor: int) -> tuple[Line, Line]:
        """Where the physical and the virtual timer of a processor lead."""
        physical, virtual = FIRST_PPI + PHYSICAL_TIMER_PPI, FIRST_PPI + VIRTUAL_TIMER_PPI
        return self._input(physical, processor), self._input(virtual, processor)

    def _map(self) -> None:
        registers: dict[str, Registers] = {
            "gic distributor": self.gic.distributor,
            "gic cpu interface": self.gic.cpu_interface,
            "serial0": self.serial.registers,
            "rtc": self.rtc.registers,
            "gpio": self.gpio.registers,
            "keyboard port": self.keyboard_port.registers,
            "mouse port": self.mouse_port.registers,
        }
        for name, place in MAP.items():
            self.mmio.map(place.base, place.size, name, registers[name])
        for place in SLOTS:
            self.mmio.map(place.base, place.size, "virtio slot", virtio_mmio.EMPTY_SLOT)

    def select(self, number: int) -> None:
        """Accesses to registers are made by processor ``number`` from now on."""
        self.gic.accessing = number
        self.timer = self.timers[number]

    # The machine's life

    def devices(self) -> list[Device]:
        """All devices in the order in which they are reset and saved: sources of interrupts before controllers."""
        return [
            *self.timers, self.serial, self.rtc, self.button, self.gpio, self.keyboard, self.mouse, self.keyboard_port,
            self.mouse_port, self.gic,
        ]  # fmt: skip

    def _lines(self) -> list[Line]:
        private = [line for pair in (*self.outputs, *self._timer_lines) for line in pair]
        return [*private, *self._spis.values(), self._button_line]

    def reset(self) -> None:
        """Switch on, or reset: every device in its power-on state, and the serial port on, as firmware leaves it for
        programs that only print. The clock goes on."""
        for device in self.devices():
            device.reset()
        self.mmio.write(MAP["serial0"].base + pl011.CR, 4, pl011.ENABLE | pl011.TX_ENABLE | pl011.RX_ENABLE)

    def save(self) -> State:
        """States of all devices by name, and the levels of the wires between them. Timers are saved by the clock."""
        state: State = {device.name: device.save() for device in self.devices()}
        state["lines"] = [line.level for line in self._lines()]
        return state

    def restore(self, state: State) -> None:
        """The inverse of :meth:`save`; nothing is signalled but the processors' interrupt pins, once."""
        for device in self.devices():
            device.restore(state[device.name])
        for line, level in zip(self._lines(), state["lines"], strict=True):
            line.level = level
        for pins, (irq, fiq) in zip(self.processors, self.outputs, strict=True):
            pins.set_intr(irq.level)
            pins.set_fiq(fiq.level)
