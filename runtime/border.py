"""The border: the only way anything from outside reaches the machine.

A device is given a border and asks it for wall-clock time or entropy, and registers a sink for a channel of input. The
border is a live pass-through (``run``), a recorder (``record``) or a replayer (``replay``); the device cannot tell
which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Sink = Callable[[bytes], None]


class Border(Protocol):
    """Everything non-deterministic, and the console going out (which is a consequence and never logged)."""

    def wall_clock_ns(self) -> int:
        """Host wall-clock time in ns since 1970 UTC. Logged."""

    def entropy(self, size: int) -> bytes:
        """``size`` random bytes of the host. Logged."""

    def connect(self, channel: str, sink: Sink) -> None:
        """Deliver input of ``channel`` ("serial0", "keyboard", "mouse", "power") to ``sink`` at its icount; log it."""

    def output(self, channel: str, data: bytes) -> None:
        """Show ``data`` outside ("serial0", "vga"). Never logged, never fed back."""
