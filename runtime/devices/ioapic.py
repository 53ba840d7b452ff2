"""The I/O APIC with 24 inputs (Intel 82093AA data sheet; version 0x20, with an EOI register)."""

from __future__ import annotations

from runtime.devices.apic_bus import EXTINT, FIXED, LOWEST, ApicBus
from runtime.devices.base import Stateful, Window

BASE = 0xFEC00000
SIZE = 0x1000
PINS = 24
VERSION = 0x20 | (PINS - 1) << 16
REMOTE_IRR, LEVEL, MASKED = 1 << 14, 1 << 15, 1 << 16
_WRITABLE = 0xFF00_0000_0001_AFFF


class IoApic(Stateful):
    """Turns its inputs into messages for local APICs, as the redirection table says."""

    STATE = ("apic_id", "select", "entries", "pending", "levels")

    def __init__(self, name: str, bus: ApicBus):
        self.name, self.bus = name, bus
        self.registers = Window(self.read, self.write)
        self.levels = 0
        self.reset()

    def reset(self) -> None:
        """Power-on state: all inputs masked."""
        self.apic_id = self.select = 0
        self.entries = [MASKED] * PINS
        self.pending = 0

    def set_input(self, pin: int, level: bool) -> None:
        """Input ``pin`` is asserted or not (polarity is the wiring's business: asserted is asserted)."""
        bit = 1 << pin
        if level:
            rose = not self.levels & bit
            self.levels |= bit
            entry = self.entries[pin]
            if entry & LEVEL or (rose and not entry & MASKED):  # a masked edge is lost (82093AA, 3.2.4)
                self.pending |= bit
                self._service(pin)
        else:
            self.levels &= ~bit
            if self.entries[pin] & LEVEL:
                self.pending &= ~bit

    def _service(self, pin: int) -> None:
        """Send the message of a pending, unmasked input."""
        entry = self.entries[pin]
        if not self.pending >> pin & 1 or entry & MASKED:
            return
        mode, level = entry >> 8 & 7, bool(entry & LEVEL)
        if level and mode in (FIXED, LOWEST):
            if entry & REMOTE_IRR:
                return
            self.entries[pin] |= REMOTE_IRR
        else:
            self.pending &= ~(1 << pin)
        destination, logical = entry >> 56, bool(entry & 0x800)
        if mode == EXTINT:
            self.bus.send_external(destination, logical)
        else:
            self.bus.send(mode, entry & 0xFF, self.bus.addressed(destination, logical), level)

    def eoi(self, vector: int) -> None:
        """A processor has finished ``vector``: inputs still asserted interrupt again."""
        for pin, entry in enumerate(self.entries):
            if entry & 0xFF == vector and entry & REMOTE_IRR:
                self.entries[pin] &= ~REMOTE_IRR
                if entry & LEVEL and self.levels >> pin & 1:
                    self.pending |= 1 << pin
                    self._service(pin)

    def read(self, offset: int, size: int) -> int:
        """IOREGSEL at 0, IOWIN at 0x10."""
        if offset == 0:
            return self.select
        return self._read_register(self.select) if offset == 0x10 else 0

    def write(self, offset: int, size: int, value: int) -> None:
        """IOREGSEL at 0, IOWIN at 0x10, EOI at 0x40."""
        if offset == 0:
            self.select = value & 0xFF
        elif offset == 0x10:
            self._write_register(self.select, value & 0xFFFFFFFF)
        elif offset == 0x40:
            self.eoi(value & 0xFF)

    def _read_register(self, register: int) -> int:
        if register in (0, 2):
            return self.apic_id << 24
        if register == 1:
            return VERSION
        pin = (register - 0x10) >> 1
        return self.entries[pin] >> 32 * (register & 1) & 0xFFFFFFFF if 0 <= pin < PINS else 0

    def _write_register(self, register: int, value: int) -> None:
        pin = (register - 0x10) >> 1
        if register == 0:
            self.apic_id = value >> 24 & 0xF
        elif 0 <= pin < PINS:
            self._set_entry(pin, register & 1, value)

    def _set_entry(self, pin: int, half: int, value: int) -> None:
        entry = self.entries[pin]
        shift = 32 * half
        entry = entry & ~((0xFFFFFFFF << shift) & _WRITABLE) | (value << shift) & _WRITABLE
        if not entry & LEVEL:
            entry &= ~REMOTE_IRR  # documented side effect that software uses in place of an EOI register
        self.entries[pin] = entry
        if entry & LEVEL:
            bit = 1 << pin
            self.pending = self.pending | bit if self.levels & bit else self.pending & ~bit
        self._service(pin)
