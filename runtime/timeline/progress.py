"""Progress of long work, on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_WIDTH = 24


class Progress:
    """Shows icount, MIPS, log size and time left; ``total`` instructions may be unknown (None)."""

    def __init__(self, label: str, total: int | None = None, *, stream: TextIO | None = None, quiet: bool = False):
        self._label, self._total = label, total
        self._stream = stream or sys.stderr
        self._tty = self._stream.isatty()
        self._period = 0.2 if self._tty else 5.0
        self._next = float("inf") if quiet else time.monotonic() + self._period
        self._last: tuple[float, int] | None = None
        self._shown = False

    def update(self, icount: int, log_bytes: int | None = None) -> None:
        """The work is at ``icount`` now."""
        now = time.monotonic()
        if self._last is None or icount < self._last[1]:
            self._last = (now, icount)
        if now < self._next:
            return
        self._next = now + self._period
        seconds, before = self._last
        rate = (icount - before) / max(now - seconds, 1e-9)
        self._last = (now, icount)
        self._show(self._line(icount, rate, log_bytes))

    def done(self) -> None:
        """Remove the bar."""
        if self._shown and self._tty:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
        self._next = float("inf")

    def _line(self, icount: int, rate: float, log_bytes: int | None) -> str:
        parts = [f"{self._label} {icount:,} instructions", f"{rate / 1e6:.0f} MIPS"]
        if log_bytes is not None:
            parts.append(f"log {log_bytes / 1024:.0f} KB")
        if self._total:
            parts.append(f"{100 * icount // self._total} %")
            if rate > 0:
                parts.append(f"{(self._total - icount) / rate:.0f} s left")
        return ", ".join(parts)

    def _show(self, line: str) -> None:
        self._shown = True
        if not self._tty:
            self._stream.write(line + "\n")
        else:
            self._stream.write(f"\r\x1b[K{line[:_columns()]}")
        self._stream.flush()


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns - 1
