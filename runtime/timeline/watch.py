"""When a run is to end although the guest goes on: signals, a time-out, the person leaving."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Limits:
    """Ends of a run set in advance: instructions, seconds of wall time."""

    max_icount: int | None = None
    timeout: float | None = None


class Interrupted(Exception):
    """The work was ended from outside; the message says how."""


class Watch:
    """Says why to stop, if so. Entered, it catches SIGINT, SIGTERM and SIGHUP; a second one ends it at once."""

    def __init__(self, limits: Limits | None = None):
        timeout = limits.timeout if limits else None
        self._end = time.monotonic() + timeout if timeout is not None else None
        self._caught: str | None = None
        self._before: dict[int, Any] = {}

    def reason(self) -> str | None:
        """Why to stop now: "timeout" or the name of a signal; None to go on."""
        if self._caught is not None:
            return self._caught
        return "timeout" if self._end is not None and time.monotonic() >= self._end else None

    def __enter__(self) -> Watch:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._catch) for number in _SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self._caught is not None:
            raise KeyboardInterrupt
        self._caught = signal.Signals(number).name
