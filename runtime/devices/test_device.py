"""What test programs for x86 processors expect of their machine (QEMU's pc-testdev and isa-debug-exit): interrupt lines
at will, registers and memory that are a device's, and a port that ends the run."""

from __future__ import annotations

from collections.abc import Callable

from runtime.devices.base import ByteWindow, Stateful, Window
from runtime.interrupts import MachinePins

LINES = 24
MEMORY_SIZE = 0x10000


class TestDevice(Stateful):
    """``lines``: a port for each interrupt input, whose level is whether the value written is not 0; ``ports``: four
    bytes that keep what is written; ``memory``: the same, 64 KiB; ``exit``: any write switches the machine off."""

    __test__ = False  # no test case, whatever its name
    STATE = ("kept", "contents")

    def __init__(self, name: str, set_line: Callable[[int, bool], None], pins: MachinePins):
        self.name, self.set_line = name, set_line
        self.kept, self.contents = bytearray(4), bytearray(MEMORY_SIZE)
        self.lines = Window(lambda offset, size: 0, lambda offset, size, value: set_line(offset, value != 0))
        self.ports = ByteWindow(lambda offset: self.kept[offset], self._keep)
        self.memory = Window(self._read_memory, self._write_memory)
        self.exit = Window(lambda offset, size: -1, lambda offset, size, value: pins.request_power_off())

    def reset(self) -> None:
        """Power-on state."""
        self.kept[:], self.contents[:] = bytes(4), bytes(MEMORY_SIZE)

    def _keep(self, offset: int, value: int) -> None:
        self.kept[offset] = value

    def _read_memory(self, offset: int, size: int) -> int:
        return int.from_bytes(self.contents[offset : offset + size], "little")

    def _write_memory(self, offset: int, size: int, value: int) -> None:
        size = min(size, MEMORY_SIZE - offset)
        self.contents[offset : offset + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
