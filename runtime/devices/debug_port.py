"""Ports for diagnostics: 0x80 (power-on self test codes) and 0xE9 (characters, as Bochs and QEMU have it)."""

from __future__ import annotations

from runtime.border import Border
from runtime.devices.base import ByteWindow, Stateful


class DebugPorts(Stateful):
    """``post`` keeps the last code written; ``console`` sends characters to the border's channel "debug"."""

    STATE = ("code",)

    def __init__(self, name: str, border: Border):
        self.name, self.border = name, border
        self.post = ByteWindow(lambda offset: self.code, self._write_code)
        self.console = ByteWindow(lambda offset: 0xE9, self._write_console)
        self.code = 0

    def reset(self) -> None:
        """Power-on state."""
        self.code = 0

    def _write_code(self, _offset: int, value: int) -> None:
        self.code = value

    def _write_console(self, _offset: int, value: int) -> None:
        self.border.output("debug", bytes((value,)))
