"""The ``pc`` board: an IBM PC compatible with ACPI. What is where: :meth:`PcBoard._map`.

As ``pc-test`` it has a device for test programs as well."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from runtime.border import Border
from runtime.bus import Bus, Range
from runtime.clock import VirtualClock
from runtime.device import Device, Registers, State
from runtime.devices import acpi_pm, hpet, ioapic, lapic, pci, test_device, vga
from runtime.devices.acpi_pm import AcpiPm
from runtime.devices.apic_bus import ApicBus
from runtime.devices.debug_port import DebugPorts
from runtime.devices.hpet import Hpet
from runtime.devices.i440fx import HostBridge
from runtime.devices.i8042 import I8042
from runtime.devices.i8254 import I8254
from runtime.devices.i8259 import PicPair
from runtime.devices.ioapic import IoApic
from runtime.devices.lapic import Lapic
from runtime.devices.mc146818 import Mc146818
from runtime.devices.pci import PciBus
from runtime.devices.ps2 import Keyboard, Mouse
from runtime.devices.reset_ports import ResetPorts
from runtime.devices.test_device import TestDevice
from runtime.devices.uart16550 import Uart16550
from runtime.devices.vga import Vga
from runtime.interrupts import Line, MachinePins, X86Pins
from runtime.machines import acpi, smbios

TIMER_IRQ, KEYBOARD_IRQ, SERIAL_IRQ, RTC_IRQ, MOUSE_IRQ = 0, 1, 4, 8, 12
MOST_PROCESSORS = 8  # as many as a logical destination can name one by one
TIMER_PIN = 2  # of the I/O APIC: its input 0 is the 8259A pair


class PcBoard:
    """All devices of the machine, wired. ``io`` and ``mmio`` are what the processor's accesses go to.

    ``processors`` are the pins of each processor, in the order of their numbers. The constructor makes no noise at the
    border: call :meth:`reset` to switch on, or :meth:`restore` to continue. Accesses are those of the processor that
    was selected last, at first number 0; it finds its local APIC in ``apic`` for IA32_APIC_BASE (``base``,
    ``write_base``), CR8 (``tpr`` >> 4) and IA32_TSC_DEADLINE.
    """

    def __init__(
        self, clock: VirtualClock, border: Border, ram: memoryview, pins: MachinePins, processors: Sequence[X86Pins], *,
        has_hpet: bool = False, has_test_device: bool = False,
    ):  # fmt: skip
        self.ram, self.processors, self.has_hpet = ram, processors, has_hpet
        self.io, self.mmio = Bus("I/O port"), Bus("memory")
        self.irqs = [Line(partial(self._set_irq, number)) for number in range(16)]
        self.inputs = {pin: Line(partial(self._set_pin, pin)) for pin in range(16, ioapic.PINS)}
        self._pit_line = Line(partial(self._set_legacy, TIMER_IRQ))
        self._rtc_line = Line(partial(self._set_legacy, RTC_IRQ))
        self._pic_line = Line(self._set_pic_output)

        self.pic = PicPair("pic", self._pic_line)
        self.apic_bus = ApicBus()
        self.intrs = [Line(each.set_intr) for each in processors]
        self.selected, self._places = 0, dict[int, Range]()
        self.apics = [self._local_apic(number, clock) for number in range(len(processors))]
        self.apic = self.apics[0]
        self.ioapic = IoApic("ioapic", self.apic_bus)
        self.pit = I8254("pit", clock, self._pit_line)
        self.rtc = Mc146818("rtc", clock, self._rtc_line, border)
        self.pm = AcpiPm("acpi_pm", clock, self.irqs[acpi.SCI_IRQ], pins, border)
        self.resets = ResetPorts("reset_ports", pins)
        self.host_bridge = HostBridge("host_bridge")
        self.pci = PciBus("pci", {(0, 0): self.host_bridge}, self.resets.beside_pci)
        self.keyboard, self.mouse = Keyboard("keyboard", border), Mouse("mouse", border)
        self.i8042 = I8042("i8042", self.keyboard, self.mouse, self.irqs[KEYBOARD_IRQ], self.irqs[MOUSE_IRQ], pins)
        self.serial = Uart16550("serial0", clock, self.irqs[SERIAL_IRQ], border)
        self.vga = Vga("vga", clock)
        self.debug = DebugPorts("debug", border)
        self.hpet = Hpet("hpet", clock, self.inputs, (self.irqs[TIMER_IRQ], self.irqs[RTC_IRQ])) if has_hpet else None
        self.test = TestDevice("test", self._set_any, pins) if has_test_device else None
        self.rtc.set_memory_size(len(ram))
        self._map()
        if self.test:
            self._map_test_device(self.test)

    def _map(self) -> None:
        ports: tuple[tuple[int, int, str, Registers], ...] = (
            (0x20, 2, "pic", self.pic.master_ports),
            (0x40, 4, "pit", self.pit.ports),
            (0x60, 1, "i8042 data", self.i8042.data_port),
            (0x61, 1, "port 61", self.pit.port61),
            (0x64, 1, "i8042 command", self.i8042.command_port),
            (0x70, 2, "rtc", self.rtc.ports),
            (0x80, 1, "post", self.debug.post),
            (0x92, 1, "port 92", self.resets.port92),
            (0xA0, 2, "pic 2", self.pic.slave_ports),
            (0xE9, 1, "debug console", self.debug.console),
            (vga.BASE, vga.SIZE, "vga", self.vga.ports),
            (0x3F8, 8, "serial0", self.serial.ports),
            (0x4D0, 2, "elcr", self.pic.elcr_ports),
            (acpi_pm.BASE, acpi_pm.SIZE, "acpi pm", self.pm.registers),
            (pci.BASE, pci.SIZE, "pci configuration", self.pci.ports),
        )
        memory: list[tuple[int, int, str, Registers]] = [
            (ioapic.BASE, ioapic.SIZE, "ioapic", self.ioapic.registers),
        ]
        if self.hpet:
            memory.append((hpet.BASE, hpet.SIZE, "hpet", self.hpet.registers))
        for row in ports:
            self.io.map(*row)
        for row in memory:
            self.mmio.map(*row)

    def _local_apic(self, number: int, clock: VirtualClock) -> Lapic:
        return Lapic(
            f"lapic{number or ''}", number, clock, self.intrs[number], self.processors[number], self.apic_bus,
            self.pic.acknowledge, self._end_of_interrupt, partial(self._place_apic, number),
        )  # fmt: skip

    def _place_apic(self, number: int, address: int, registers: Registers) -> None:
        """A local APIC's registers are where IA32_APIC_BASE says; where RAM is, they are not to be seen."""
        self._places[number] = Range(address, lapic.SIZE, "lapic", registers)
        if number == self.selected:
            self.mmio.nearest = self._places[number]

    def select(self, number: int) -> None:
        """Accesses from now on are made by processor ``number``."""
        self.selected, self.apic, self.mmio.nearest = number, self.apics[number], self._places[number]

    def _map_test_device(self, test: TestDevice) -> None:
        self.io.map(0xE0, 4, "test ports", test.ports)
        self.io.map(0xF4, 4, "test exit", test.exit)
        self.io.map(0x2000, test_device.LINES, "test lines", test.lines)
        self.mmio.map(0xFF000000, test_device.MEMORY_SIZE, "test memory", test.memory)

    # Wiring

    def _set_irq(self, number: int, level: bool) -> None:
        """An ISA interrupt line goes to both controllers; the guest masks one of them."""
        self.pic.set_input(number, level)
        self.ioapic.set_input(TIMER_PIN if number == TIMER_IRQ else number, level)

    def _set_pin(self, pin: int, level: bool) -> None:
        self.ioapic.set_input(pin, level)

    def _set_any(self, number: int, level: bool) -> None:
        (self.irqs[number] if number < len(self.irqs) else self.inputs[number]).set(level)

    def _set_legacy(self, number: int, level: bool) -> None:
        """PIT and RTC are cut off while the HPET stands in for them."""
        if not (self.hpet and self.hpet.legacy):
            self.irqs[number].set(level)

    def _set_pic_output(self, level: bool) -> None:
        for apic in self.apics:
            apic.set_lint0(level)
        self.ioapic.set_input(0, level)

    def _end_of_interrupt(self, vector: int) -> None:
        self.ioapic.eoi(vector)

    def acknowledge(self) -> int:
        """The selected processor takes an interrupt: its vector (the spurious one if none is waiting any more)."""
        return self.apic.acknowledge()

    # The machine's life

    def devices(self) -> list[Device]:
        """All devices in the order in which they are reset and saved: sources of interrupts before controllers."""
        found: list[Device] = [
            self.pit, self.rtc, self.pm, self.resets, self.keyboard, self.mouse, self.i8042, self.serial, self.vga,
            self.debug, self.host_bridge, self.pci, self.pic, *self.apics, self.ioapic,
        ]  # fmt: skip
        return [device for device in (self.hpet, self.test) if device] + found

    def _lines(self) -> list[Line]:
        own = [self.intrs[0], self._pic_line, self._pit_line, self._rtc_line]
        return [*own, *self.irqs, *self.inputs.values(), *self.intrs[1:]]

    def reset(self) -> None:
        """Switch on, or reset: every device in its power-on state. The clock goes on."""
        for device in self.devices():
            device.reset()

    def install_tables(self) -> int:
        """Write what firmware tells of the machine into RAM; the address of the ACPI tables' root pointer."""
        processors = len(self.processors)
        smbios.install(self.ram, processors)
        return acpi.install(self.ram, has_hpet=self.has_hpet, processors=processors)

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
        for pins, intr in zip(self.processors, self.intrs, strict=True):
            pins.set_intr(intr.level)
