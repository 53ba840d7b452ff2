"""What ARM's peripherals share: registers of 32 bits, and the identification at the end of a PrimeCell's 4 KiB."""

from __future__ import annotations

from collections.abc import Callable

SIZE = 0x1000
_IDENTIFICATION = 0xFE0
_CELL = (0x0D, 0xF0, 0x05, 0xB1)
_ARM = 0x41


class WordWindow:
    """Registers of 32 bits, one at each multiple of four.

    A narrower read gives part of the register. The bus behind has no byte lanes: a narrower write of a register is a
    write of all of it with zeros above, one to the middle of a register goes nowhere.
    """

    __slots__ = ("_read", "_write")

    def __init__(self, read: Callable[[int], int], write: Callable[[int, int], None]):
        self._read, self._write = read, write

    def read(self, offset: int, size: int) -> int:
        """The register at ``offset``, or two of them; what is too wide for ``size`` is cut off by the bus."""
        if size == 8:
            return self._read(offset & ~3) | self._read((offset & ~3) + 4) << 32
        return self._read(offset & ~3) >> 8 * (offset & 3)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write the register at ``offset``, or two of them."""
        if offset & 3:
            return
        self._write(offset, value & 0xFFFFFFFF)
        if size == 8:
            self._write(offset + 4, value >> 32 & 0xFFFFFFFF)


class Identification:
    """PeriphID0-3 and PCellID0-3 at 0xFE0: the ``part`` number of ARM's data sheet and its ``revision``."""

    def __init__(self, part: int, revision: int):
        low = (part & 0xFF, part >> 8 | (_ARM & 15) << 4, _ARM >> 4 | revision << 4, 0)
        self._bytes = (*low, *_CELL)

    def read(self, offset: int) -> int:
        """The register at ``offset``; 0 for one that is not there."""
        return self._bytes[offset - _IDENTIFICATION >> 2] if _IDENTIFICATION <= offset < SIZE else 0
