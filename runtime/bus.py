"""Address spaces of devices: port I/O and memory-mapped I/O. Overlaps are refused when a machine is built."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from runtime.device import Registers


@dataclass(frozen=True)
class Range:
    base: int
    size: int
    name: str
    registers: Registers


class _NoRegisters:
    """What nothing is at."""

    def read(self, offset: int, size: int) -> int:
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        pass


_NO_REGISTERS = _NoRegisters()


def _nothing(write: bool) -> None:
    """Nobody minds."""


class Bus:
    """One address space. Reads of unmapped addresses give all ones, writes to them are dropped, as on a PC; where that
    is not all, ``absent`` is told of them (true: a write)."""

    def __init__(self, name: str):
        self.name = name
        self.absent: Callable[[bool], None] = _nothing
        #: The range that goes before all others: the processor's own.
        self.nearest = Range(0, 0, "", _NO_REGISTERS)
        self._bases: list[int] = []
        self._ranges: list[Range] = []

    def map(self, base: int, size: int, name: str, registers: Registers) -> None:
        """Place ``registers`` at ``[base, base + size)``; ValueError if something is there already."""
        at = bisect_right(self._bases, base)
        before = self._ranges[at - 1] if at else None
        after = self._ranges[at] if at < len(self._ranges) else None
        if before is not None and before.base + before.size > base:
            raise ValueError(f"{self.name}: {name} at {base:#x} overlaps {before.name}")
        if after is not None and base + size > after.base:
            raise ValueError(f"{self.name}: {name} at {base:#x} overlaps {after.name}")
        self._bases.insert(at, base)
        self._ranges.insert(at, Range(base, size, name, registers))

    def find(self, address: int) -> Range | None:
        """The range that holds ``address``."""
        nearest = self.nearest
        if 0 <= address - nearest.base < nearest.size:
            return nearest
        at = bisect_right(self._bases, address) - 1
        if at < 0:
            return None
        found = self._ranges[at]
        return found if address < found.base + found.size else None

    def read(self, address: int, size: int) -> int:
        found = self.find(address)
        if found is None:
            self.absent(False)
            return (1 << (8 * size)) - 1
        return found.registers.read(address - found.base, size) & ((1 << (8 * size)) - 1)

    def write(self, address: int, size: int, value: int) -> None:
        found = self.find(address)
        if found is None:
            self.absent(True)
        else:
            found.registers.write(address - found.base, size, value)

    def ranges(self) -> list[Range]:
        """Every mapped range, by address, behind the nearest."""
        return [self.nearest, *self._ranges] if self.nearest.size else list(self._ranges)
