"""PCI: configuration mechanism #1 and the functions behind it (PCI Local Bus Specification 2.1, 3.2.2.3.2 and 6.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from runtime.device import Registers
from runtime.devices.base import Stateful, Window

BASE, SIZE = 0xCF8, 8  # CONFIG_ADDRESS, CONFIG_DATA
ENABLE = 1 << 31
_ADDRESS_BITS = 0x80FF_FFFC
_CONFIGURATION = 256  # bytes a function


class PciFunction(Stateful):
    """A function's configuration space: ``VALUES`` and ``WRITABLE`` (masks) by offset, bytes; what is in neither is 0.

    Reserved registers read as 0 and ignore writes, as 6.1 has it."""

    STATE = ("configuration",)
    VALUES: ClassVar[Mapping[int, int]] = {}
    WRITABLE: ClassVar[Mapping[int, int]] = {}

    def __init__(self, name: str):
        self.name = name
        self.reset()

    def reset(self) -> None:
        """Power-on state."""
        self.configuration = bytearray(_CONFIGURATION)
        for offset, value in self.VALUES.items():
            self.configuration[offset] = value

    def read(self, offset: int, size: int) -> int:
        """``size`` bytes of the configuration space."""
        return int.from_bytes(self.configuration[offset : offset + size], "little")

    def write(self, offset: int, size: int, value: int) -> None:
        """Write what can be written of ``size`` bytes."""
        for at in range(offset, offset + size):
            mask = self.WRITABLE.get(at, 0)
            self.configuration[at] = self.configuration[at] & ~mask | value & mask
            value >>= 8


class PciBus(Stateful):
    """Bus 0: ``functions`` by (device, function). ``ports`` are BASE to BASE + SIZE; only an access to all four bytes
    of CONFIG_ADDRESS is the bridge's, others pass on to ``beyond`` (as offsets from BASE), where a reset port hides."""

    STATE = ("address",)

    def __init__(self, name: str, functions: Mapping[tuple[int, int], PciFunction], beyond: Registers):
        self.name, self.functions, self.beyond = name, functions, beyond
        self.ports = Window(self._read, self._write)
        self.reset()

    def reset(self) -> None:
        """Power-on state."""
        self.address = 0

    def _target(self) -> PciFunction | None:
        """The function that CONFIG_ADDRESS names; None where nobody answers."""
        if not self.address & ENABLE or self.address >> 16 & 0xFF:
            return None
        return self.functions.get((self.address >> 11 & 0x1F, self.address >> 8 & 7))

    def _read(self, offset: int, size: int) -> int:
        if offset >= 4:
            target = self._target()
            return target.read((self.address & 0xFC) + offset - 4, size) if target else -1
        return self.address if size == 4 else self.beyond.read(offset, size)

    def _write(self, offset: int, size: int, value: int) -> None:
        if offset >= 4:
            if target := self._target():
                target.write((self.address & 0xFC) + offset - 4, size, value)
        elif size == 4:
            self.address = value & _ADDRESS_BITS
        else:
            self.beyond.write(offset, size, value)
