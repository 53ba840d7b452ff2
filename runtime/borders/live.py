"""The live border (the real clock, the real entropy, a real person), and the recorder, which also logs what passes.

docs/determinism.md lists what crosses here; nothing else reaches a machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from runtime.border import Sink
from runtime.borders.console import ConsoleInput, ConsoleOutput, NoInput
from runtime.borders.script import STOP, Script
from runtime.recording.log import CLOCK, ENTROPY, INPUT, LogWriter

_CONSOLE = "serial0"
#: Bytes of console input handed over at once: what a 16550 holds.
_BURST = 16
#: Longest real-time wait of an idle guest before the machine polls again, seconds.
_WAIT = 0.25
#: The same where a visitor and the terminal are looked at in turns.
_GLANCE = 0.02


class Visitor(Protocol):
    """Somebody who looks at a live machine now and then, and may tell it something (the monitor)."""

    @property
    def leave(self) -> bool:
        """The run is to end."""

    @property
    def holds(self) -> bool:
        """The machine is to stand still until the next visit."""

    def attach(self, machine: Any, border: LiveBorder, path: Path | None) -> None:
        """The machine is there, recorded in ``path`` if anywhere."""

    def visit(self) -> None:
        """The machine stands at an exact instruction count."""

    def wait(self, seconds: float) -> bool:
        """Until there is a reason for a visit, at most ``seconds``; whether there is."""

    def ended(self, reason: str) -> None:
        """The run is over; ``reason`` as in ``runtime.timeline.record.Outcome``."""

    def close(self) -> None:
        """Nothing more comes."""


class LiveBorder:
    """Everything passes, nothing is logged. ``rtc_base_ns`` replaces the host's wall clock by a fixed one."""

    def __init__(self, console: ConsoleOutput | None = None, terminal: ConsoleInput | None = None,
                 script: Script | None = None, shift: int = 0, rtc_base_ns: int | None = None):  # fmt: skip
        self.read_icount: Callable[[], int] = lambda: 0
        self.on_schedule: Callable[[int], None] = lambda icount: None
        #: Asked at every poll, before input is collected; True ends the run_to.
        self.on_poll: Callable[[int], bool] = lambda icount: False
        #: Seconds that an idle guest waited in real time.
        self.waited = 0.0
        #: Why the run is to end, if so: "left" (the person or the script asked), "idle" (nothing can wake the guest).
        self.leave = ""
        #: Asked at every poll before anything else; with one, an idle guest waits in real time.
        self.visitor: Visitor | None = None
        #: Asked while a visitor holds the machine; True: the run ends all the same.
        self.on_hold: Callable[[], bool] = lambda: False
        self._console = console or ConsoleOutput(None)
        self._terminal: ConsoleInput = terminal or NoInput()
        self._script = script or Script()
        self._shift, self._rtc_base_ns = shift, rtc_base_ns
        self._sinks: dict[str, Sink] = {}
        self._typed = b""

    def wall_clock_ns(self) -> int:
        """The host's clock, or the fixed one."""
        return time.time_ns() if self._rtc_base_ns is None else self._rtc_base_ns

    def entropy(self, size: int) -> bytes:
        """From the host's random source."""
        return os.urandom(size)

    def connect(self, channel: str, sink: Sink) -> None:
        """Input of ``channel`` goes to ``sink`` from now on."""
        self._sinks[channel] = sink

    def inject(self, channel: str, data: bytes, icount: int) -> None:
        """Input for ``channel`` that is due at ``icount``, now at the earliest."""
        self._script.add(icount, channel, data)
        self.on_schedule(icount)

    def output(self, channel: str, data: bytes) -> None:
        """The serial console is shown, and read by the script."""
        if channel != _CONSOLE:
            return
        self._console.write(data)
        due = self._script.printed(data, self.read_icount())
        if due is not None:
            self.on_schedule(due)

    def next_event(self) -> int | None:
        """The next scripted input."""
        return self._script.next()

    def deliver_due(self, icount: int) -> None:
        """Scripted input that is due."""
        due = self._script.next()
        if due is None or due > icount:
            return
        for channel, data in self._script.take(icount):
            if channel == STOP:
                self.leave = "left"
            elif channel in self._sinks:
                self._sinks[channel](data)

    def poll(self, icount: int) -> bool:
        """Show output, collect what was typed and hand over the beginning of it."""
        self._console.flush()
        if self.visitor is not None:
            self._receive(self.visitor)
        self._typed += self._terminal.read()
        if self._terminal.leave:
            self.leave = "left"
        if self.on_poll(icount) or self.leave:
            return True
        if self._typed and _CONSOLE in self._sinks:
            burst, self._typed = self._typed[:_BURST], self._typed[_BURST:]
            self._sinks[_CONSOLE](burst)
        return False

    def _receive(self, visitor: Visitor) -> None:
        """A visit, for as long as it takes."""
        start = time.monotonic()
        visitor.visit()
        while visitor.holds and not self.on_hold():
            visitor.wait(_WAIT)
            visitor.visit()
        self.waited += time.monotonic() - start
        if visitor.leave:
            self.leave = "left"

    def ended(self, reason: str) -> None:
        """The run is over, and why."""
        if self.visitor is not None:
            self.visitor.ended(reason)

    def idle(self, icount: int, deadline: int | None) -> int:
        """Warp to what comes next; with a person at the terminal, get there in real time."""
        self._console.flush()
        event = self._script.next()
        known = [at for at in (deadline, event) if at is not None]
        target = max(icount + 1, min(known)) if known else None
        if self._typed or self.leave:
            return icount + 1
        if self._terminal.interactive or self.visitor is not None or (target is None and self._terminal.open):
            return self._wait(icount, target)
        if target is None:
            self.leave = "idle"
            return icount + 1
        return target

    def _wait(self, icount: int, target: int | None) -> int:
        """Wait in real time for input or ``target``, a moment at most; virtual time passes as real time does."""
        needed = None if target is None else (target - icount) << self._shift
        seconds = _WAIT if needed is None else min(_WAIT, needed / 1e9)
        start = time.monotonic_ns()
        if self.visitor is None:
            self._terminal.wait(seconds)
        elif not self._terminal.wait(0):
            self.visitor.wait(min(seconds, _GLANCE))
        passed = time.monotonic_ns() - start
        self.waited += passed / 1e9
        now = icount + max(1, passed >> self._shift)
        return now if target is None else min(now, target)


class Recorder(LiveBorder):
    """A live border that logs everything on its way in."""

    def __init__(self, log: LogWriter, console: ConsoleOutput | None = None, terminal: ConsoleInput | None = None,
                 script: Script | None = None, shift: int = 0, rtc_base_ns: int | None = None):  # fmt: skip
        super().__init__(console, terminal, script, shift, rtc_base_ns)
        self._log = log
        log.printed(b"")

    def wall_clock_ns(self) -> int:
        """The host's clock, logged."""
        now = super().wall_clock_ns()
        self._log.event(self.read_icount(), CLOCK, now.to_bytes(8, "little"))
        return now

    def entropy(self, size: int) -> bytes:
        """From the host's random source, logged."""
        data = super().entropy(size)
        self._log.event(self.read_icount(), ENTROPY, data)
        return data

    def output(self, channel: str, data: bytes) -> None:
        """To the console; the log notes what it printed, for those who look for it."""
        super().output(channel, data)
        if channel == _CONSOLE:
            self._log.printed(data)

    def connect(self, channel: str, sink: Sink) -> None:
        """Input of ``channel`` is logged with its icount, then goes to ``sink``."""

        def logged(data: bytes) -> None:
            self._log.event(self.read_icount(), INPUT + channel, data)
            sink(data)

        super().connect(channel, logged)
