"""Ways to reset a PC without the keyboard controller: the chipset's reset control register and port 0x92."""

from __future__ import annotations

from runtime.devices.base import ByteWindow, Stateful, Window
from runtime.interrupts import MachinePins

RESET_NOW = 0x04  # bit 2 of port 0xCF9, on its rising edge


class ResetPorts(Stateful):
    """Port 0xCF9, a byte in the middle of the PCI ports (``beside_pci``: offsets from 0xCF8), and port 0x92."""

    STATE = ("control", "fast_a20")

    def __init__(self, name: str, pins: MachinePins):
        self.name, self.pins = name, pins
        self.beside_pci = Window(self._read_control, self._write_control)
        self.port92 = ByteWindow(self._read92, self._write92)
        self.reset()

    def reset(self) -> None:
        """Power-on state."""
        self.control = 0
        self.fast_a20 = 2

    def _read_control(self, offset: int, size: int) -> int:
        return self.control if offset == 1 and size == 1 else -1

    def _write_control(self, offset: int, size: int, value: int) -> None:
        if offset == 1 and size == 1:
            if value & RESET_NOW and not self.control & RESET_NOW:
                self.pins.request_reset()
            self.control = value & 0x0E

    def _read92(self, _offset: int) -> int:
        return self.fast_a20

    def _write92(self, _offset: int, value: int) -> None:
        self.fast_a20 = value & 2
        if value & 1:
            self.pins.request_reset()
