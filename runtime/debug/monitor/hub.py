"""Listens at all places of a monitor, and takes turns: commands are done while the machine stands at an exact
instruction count, then it goes on."""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from runtime.debug.monitor.channel import Channel, Listener, Stdio, parse
from runtime.debug.monitor.hmp import Hmp
from runtime.debug.monitor.live import Live
from runtime.debug.monitor.monitor import Monitor
from runtime.debug.monitor.qmp import Qmp
from runtime.debug.target import make_target
from runtime.recording.errors import Divergence, RecordingError

#: Longest wait between two looks at signals, seconds.
_IDLE = 0.25
#: QEMU's names for the ways in which a run ends.
_REASONS = {"power-off": "guest-shutdown", "crashed": "guest-panic", "left": "host-qmp-quit"}


class Front(Protocol):
    """One conversation, in one of the languages."""

    channel: Channel

    def feed(self, data: bytes) -> None: ...
    @property
    def pending(self) -> bool: ...
    @property
    def wants_stop(self) -> bool: ...
    def perform(self) -> None: ...
    def event(self, name: str, data: dict[str, Any]) -> None: ...


class _Place:
    """One ``--monitor``: at most one conversation at a time."""

    def __init__(self, text: str):
        self.language, listen = parse(text)
        self.listener: Listener | None = listen() if listen is not None else None
        self.front: Front | None = None
        self.channel: Channel | None = None if self.listener else Stdio()
        #: Nobody will ever say anything here again.
        self.gone = False

    def open(self, monitor: Monitor) -> None:
        """Begin the conversation with whoever is there."""
        if self.channel is not None and self.front is None:
            prompt = self.listener is not None or sys.stdin.isatty()
            self.front = Qmp(self.channel, monitor) if self.language == "qmp" else Hmp(self.channel, monitor, prompt)

    def collect(self, monitor: Monitor) -> None:
        """There is something to read, or somebody to talk to."""
        if self.channel is None and self.listener is not None:
            self.channel = self.listener.accept()
            self.open(monitor)
        elif self.channel is not None and self.front is not None:
            data = self.channel.read()
            if data:
                self.front.feed(data)
            else:
                self._hang_up()

    def _hang_up(self) -> None:
        assert self.channel is not None
        if self.listener is None:
            self.gone = True  # what was said before is still done
        else:
            self.channel.close()
            self.channel = self.front = None

    @property
    def reading(self) -> Channel | Listener | None:
        """What to wait for."""
        return None if self.gone else self.channel or self.listener

    def close(self) -> None:
        """End the conversation and listen no longer."""
        for end in (self.channel, self.listener):
            if end is not None:
                end.close()


class Hub:
    """All places of a monitor; ``leave`` when somebody said quit. AddressError when one of them cannot be had."""

    def __init__(self, texts: Iterable[str]):
        self._places: list[_Place] = []
        try:
            for text in texts:
                self._places.append(_Place(text))
        except BaseException:
            self.close()
            raise
        self.monitor: Monitor | None = None

    def close(self) -> None:
        """Listen no longer."""
        for place in self._places:
            place.close()

    @property
    def leave(self) -> bool:
        """The machine is to end."""
        return self.monitor is not None and self.monitor.over

    # -- a replay -----------------------------------------------------------------------------------------------------
    def serve(self, monitor: Monitor, ended: Callable[[], bool]) -> None:
        """Talk about a replay until somebody says quit, standard input has nothing more to say, or ``ended``."""
        self.open(monitor)
        assert monitor.travel is not None
        monitor.travel.interrupt = self.asked
        while not (monitor.over or ended() or self._silent()):
            if self.idle:
                self.wait(_IDLE)
            else:
                self.turn()
        self.ended("left" if monitor.over else "ended")

    @property
    def idle(self) -> bool:
        """Nobody has said anything, and no motion is under way."""
        assert self.monitor is not None
        return self._next() is None and self.monitor.motion is None

    def turn(self) -> None:
        """Do what was said first, or go on with the motion under way."""
        assert self.monitor is not None
        if front := self._next():
            front.perform()
        elif self.monitor.motion is not None:
            self._go_on(self.monitor)

    def _go_on(self, monitor: Monitor) -> None:
        """A motion that fails has ended; there is nobody to tell but by STOP."""
        try:
            monitor.go_on()
        except (RecordingError, Divergence, ValueError) as error:
            print(f"jitrr: {error}", file=sys.stderr)

    def asked(self) -> bool:
        """Whether the motion under way is to end: any command ends one that nobody waits for; it goes on later."""
        self.wait(0)
        assert self.monitor is not None
        alone = self.monitor.motion is not None
        return any(place.front.wants_stop or (alone and place.front.pending) for place in self._places if place.front)

    # -- a machine that runs live -------------------------------------------------------------------------------------
    def attach(self, machine: Any, border: Any, path: Path | None) -> None:
        """From now on this is about a live machine, recorded in ``path`` if anywhere."""
        live, target = Live(machine, border, path), make_target(machine)
        if self.monitor is None:
            self.open(Monitor(None, target, live))
        else:
            self.monitor.travel, self.monitor.target, self.monitor.live = None, target, live

    @property
    def holds(self) -> bool:
        """Somebody stopped the machine."""
        monitor = self.monitor
        return monitor is not None and monitor.live is not None and monitor.live.stopped and not monitor.over

    def visit(self) -> None:
        """Do what was said."""
        monitor = self.monitor
        assert monitor is not None
        self.wait(0)
        while not monitor.over and (front := self._next()):
            front.perform()

    def ended(self, reason: str) -> None:
        """The run is over."""
        assert self.monitor is not None
        how = _REASONS.get(reason, "host-signal")
        self.monitor.emit("SHUTDOWN", guest=how.startswith("guest"), reason=how)

    # -- both ---------------------------------------------------------------------------------------------------------
    def wait(self, seconds: float) -> bool:
        """Until something has come, at most ``seconds``; whether it has."""
        return bool(self._collect([], seconds))

    def wait_with(self, other: socket.socket, seconds: float) -> bool:
        """The same, or until ``other`` can be read; whether that can be."""
        return other in self._collect([other], seconds)

    def _collect(self, others: list[socket.socket], seconds: float) -> list[Any]:
        """Wait, and read what has come; what was ready."""
        ends = {end: place for place in self._places if (end := place.reading) is not None}
        ready, _, _ = select.select([*ends, *others], [], [], seconds)
        assert self.monitor is not None
        for end, place in ends.items():
            if end in ready:
                place.collect(self.monitor)
        return ready

    def open(self, monitor: Monitor) -> None:
        """Begin conversations about a machine."""
        self.monitor = monitor
        monitor.listeners.append(self._tell)
        for place in self._places:
            place.open(monitor)

    def _tell(self, event: str, data: dict[str, Any]) -> None:
        for place in self._places:
            if place.front is not None:
                place.front.event(event, data)

    def _next(self) -> Front | None:
        return next((place.front for place in self._places if place.front is not None and place.front.pending), None)

    def _silent(self) -> bool:
        """Everybody is gone for good and everything is done."""
        assert self.monitor is not None
        return all(place.gone for place in self._places) and self._next() is None and self.monitor.motion is None
