"""A border in front of another one, which can be exchanged: how a replay goes live with the machine it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime.border import Sink


class Exchange:
    """What a machine and its devices hold when the border behind may become another one. The methods are those of the
    border behind, not wrapped: nothing is slower for it."""

    wall_clock_ns: Callable[[], int]
    entropy: Callable[[int], bytes]
    output: Callable[[str, bytes], None]
    next_event: Callable[[], int | None]
    deliver_due: Callable[[int], None]
    poll: Callable[[int], bool]
    idle: Callable[[int, int | None], int]

    def __init__(self, behind: Any):
        self.read_icount: Callable[[], int] = lambda: 0
        self.on_schedule: Callable[[int], None] = lambda icount: None
        self._sinks: dict[str, Sink] = {}
        self.exchange(behind)

    def connect(self, channel: str, sink: Sink) -> None:
        """Input of ``channel`` goes to ``sink``, whatever border it comes from."""
        self._sinks[channel] = sink
        self._behind.connect(channel, sink)

    def exchange(self, behind: Any) -> None:
        """From now on the machine is behind ``behind``."""
        self._behind = behind
        for name in ("wall_clock_ns", "entropy", "output", "next_event", "deliver_due", "poll", "idle"):
            setattr(self, name, getattr(behind, name))
        behind.read_icount = lambda: self.read_icount()
        behind.on_schedule = lambda icount: self.on_schedule(icount)
        for channel, sink in self._sinks.items():
            behind.connect(channel, sink)
