"""The monitor for people: a line in, text out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.debug.monitor.commands import ALIASES
from runtime.debug.monitor.look import version

if TYPE_CHECKING:
    from runtime.debug.monitor.channel import Channel
    from runtime.debug.monitor.monitor import Monitor

PROMPT = "(jitrr) "
_INTERRUPT = b"\x03"
_LONGEST = 1 << 16


class Hmp:
    """One conversation in text. Lines wait for their turn while the machine moves; ``stop``, ``quit`` and Ctrl-C end
    the motion."""

    def __init__(self, channel: Channel, monitor: Monitor, prompt: bool):
        self.channel, self._monitor = channel, monitor
        self._prompt = PROMPT if prompt else ""
        self._lines: list[str] = []
        self._rest = b""
        self._interrupted = False
        if prompt:
            self._say(f"jitrr {version()} monitor - type 'help' for more information\n")
        self._say(self._prompt)

    def feed(self, data: bytes) -> None:
        """More was typed."""
        self._interrupted |= _INTERRUPT in data
        *lines, self._rest = (self._rest + data.replace(_INTERRUPT, b"")).split(b"\n")
        self._lines += [line.decode(errors="replace").strip("\r") for line in lines]
        self._rest = self._rest[:_LONGEST]

    @property
    def pending(self) -> bool:
        """A line waits."""
        return bool(self._lines)

    @property
    def wants_stop(self) -> bool:
        """The motion under way is to end."""
        if self._interrupted:
            self._interrupted = False
            return True
        word = self._lines[0].strip() if self._lines else ""
        return ALIASES.get(word, word) in ("stop", "quit")

    def perform(self) -> None:
        """Do what the next line says."""
        self._interrupted = False
        output = self._monitor.execute(self._lines.pop(0))
        if not self._monitor.over:
            output += self._prompt
        self._say(output)

    def event(self, name: str, data: dict[str, Any]) -> None:
        """People see for themselves."""

    def _say(self, text: str) -> None:
        self.channel.write(text.encode())
