"""Who else drives the machine that gdb drives: nobody, or monitors (``--monitor``). There is one machine and one
thread: what one asks for while the other moves it waits until it stands; ``stop``, ``quit`` and Ctrl-C end a motion,
whosever it is. As in QEMU gdb is told of a ``stop``, and not of what a monitor does while gdb believes that the machine
stands."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Protocol

from runtime.debug.monitor.hub import Hub
from runtime.debug.subject import Subject


class Company(Protocol):
    """The others, as the server sees them."""

    @property
    def busy(self) -> bool:
        """Somebody waits for a turn."""

    @property
    def holds(self) -> bool:
        """A live machine is to stand still although no client is there."""

    def wait(self, end: socket.socket, seconds: float) -> bool:
        """Until ``end`` can be read or the others have said something, at most that long; whether ``end`` can."""

    def turn(self, subject: Subject, stand: Callable[[], None], disturbed: Callable[[bool], bool]) -> bool:
        """Do what the others said, if anything, at a machine that stands; ``stand`` is called before that. A motion
        ends when ``disturbed``, which is told whether anybody waits for it. Whether anything has been done."""

    def asked(self) -> bool:
        """Whether a motion of gdb's is to end."""

    def moving(self, on: bool) -> None:
        """gdb moves the machine from now on, or it stands for gdb."""


class Alone:
    """Nobody."""

    busy = holds = False

    def wait(self, end: socket.socket, seconds: float) -> bool:
        """Just that."""
        return bool(select.select([end], [], [], seconds)[0])

    def turn(self, subject: Subject, stand: Callable[[], None], disturbed: Callable[[bool], bool]) -> bool:
        """Nothing."""
        return False

    def asked(self) -> bool:
        """Never."""
        return False

    def moving(self, on: bool) -> None:
        """Nobody to tell."""


class _Monitors:
    """Those of a hub that has its monitor."""

    def __init__(self, hub: Hub):
        self._hub = hub

    def wait(self, end: socket.socket, seconds: float) -> bool:
        """Monitors are listened to as well."""
        return self._hub.wait_with(end, seconds)

    def asked(self) -> bool:
        """``stop`` or ``quit``."""
        return self._hub.asked()


class ReplayMonitors(_Monitors):
    """Monitors of a replay. QMP's ``cont`` begins a motion that nobody waits for: it goes on between the requests of
    gdb's, until gdb moves the machine."""

    holds = False

    def __init__(self, hub: Hub):
        super().__init__(hub)
        self._moving = False

    @property
    def busy(self) -> bool:
        """A command waits, or such a motion."""
        return not self._hub.idle

    def turn(self, subject: Subject, stand: Callable[[], None], disturbed: Callable[[bool], bool]) -> bool:
        """One command, or a part of such a motion."""
        hub, before = self._hub, subject.interrupt
        assert hub.monitor is not None
        if not self.busy:
            return False
        stand()
        waited = hub.monitor.motion is None
        subject.interrupt = lambda: hub.asked() or disturbed(waited)
        try:
            hub.turn()
        finally:
            subject.interrupt = before
        return True

    def moving(self, on: bool) -> None:
        """QMP's clients hear of it, and their own motion is over."""
        monitor = self._hub.monitor
        assert monitor is not None
        running = self._moving or monitor.motion is not None
        monitor.motion, self._moving = None, on
        if on != running:
            monitor.emit("RESUME" if on else "STOP")


class LiveMonitors(_Monitors):
    """Monitors of a machine that runs live: it runs unless gdb or one of them has stopped it."""

    @property
    def holds(self) -> bool:
        """``stop`` was said, or gdb has stopped it."""
        return self._hub.holds

    @property
    def busy(self) -> bool:
        """``cont`` was said while gdb had it stopped."""
        return not self._hub.holds

    def turn(self, subject: Subject, stand: Callable[[], None], disturbed: Callable[[bool], bool]) -> bool:
        """All commands; after ``cont`` the machine runs."""
        hub, before = self._hub, subject.interrupt
        hub.visit()
        if hub.holds or hub.leave:
            return False
        stand()
        subject.interrupt = lambda: hub.holds or disturbed(False)
        try:
            subject.run()
        finally:
            subject.interrupt = before
        return True

    def asked(self) -> bool:
        """``stop``, which has been done already: commands are done while the machine runs."""
        return self._hub.holds

    def moving(self, on: bool) -> None:
        """As ``cont`` and ``stop`` do it."""
        monitor = self._hub.monitor
        assert monitor is not None and monitor.live is not None
        (monitor.live.go_on if on else monitor.live.stop)(monitor)
