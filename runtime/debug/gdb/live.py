"""gdb over a machine that runs live: it goes forward only, and when nobody is connected it just runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from runtime.debug.gdb.company import Alone, Company, LiveMonitors
from runtime.debug.gdb.server import Server
from runtime.debug.monitor.hub import Hub
from runtime.debug.monitor.live import Live
from runtime.debug.monitor.monitor import Monitor
from runtime.debug.target import make_target
from runtime.machine_api import FOREVER, Stop, StopReason
from runtime.recording.errors import RecordingError
from runtime.timeline import turns
from runtime.timeline.points import Point, PointTable
from runtime.timeline.record import ASKED, Advance
from runtime.timeline.travel import Arrival


class LiveSubject:
    """A live machine, as far as ``advance`` lets it go; ``path``: where it is recorded, if it is."""

    reversible = waits = False

    def __init__(self, machine: Any, advance: Advance, limit: int, path: Path | None):
        self.machine, self.target = machine, make_target(machine)
        self.interrupt: Callable[[], bool] = lambda: False
        self._advance, self._limit = advance, limit
        self._table = PointTable(machine)
        #: How it ended: as ``advance`` says it.
        self.outcome: tuple[Stop, str] | None = None
        self._crashed: tuple[Stop, str] | None = None
        self.refusal = ""
        if path is not None:
            self.refusal = f"this is recorded in {path}: what is written from here would not be in it"

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.outcome is not None

    @property
    def icount(self) -> int:
        """Where it is."""
        return int(self.machine.icount)

    @property
    def points(self) -> tuple[Point, ...]:
        """Where motions stop."""
        return self._table.points

    def set_points(self, points: Iterable[Point]) -> None:
        """These and no others from now on."""
        self._table.set(points)

    def run(self, until: int | None = None) -> Arrival:
        """Forward to the next point, to ``until``, or to the end."""
        self.machine.stop_at_points(True)
        self.machine.engine.breakpoints.pass_here()
        return self._moved(lambda: self._to(FOREVER if until is None else until))

    def step(self, processor: int | None = None) -> Arrival:
        """One instruction, or the time in which the machine is halted and the first instruction after it. With
        ``processor``: of that one, and points matter."""
        machine = self.machine
        if processor is not None:
            arrival = self._moved(lambda: self._step_of(processor))
            return replace(arrival, processor=processor) if arrival.why == "reached" else arrival
        since, halted = machine.halted_at, machine.halted
        arrival = self._moved(lambda: self._to(self.icount + 1))
        while halted and machine.halted and machine.halted_at == since and arrival.why == "reached":
            arrival = self._moved(lambda: self._to(self._wakes() + 1))
        return arrival

    def _to(self, goal: int) -> tuple[Stop, str]:
        return self._advance(min(goal, self._limit))

    def _wakes(self) -> int:
        """The next time that something is known to happen, or now."""
        known = (self.machine.clock.next_deadline(), self.machine.border.next_event())
        return min((at for at in known if at is not None and at > self.icount), default=self.icount)

    def _step_of(self, processor: int) -> tuple[Stop, str]:
        reason = ""

        def advance(goal: int) -> Stop:
            nonlocal reason
            stop, reason = self._advance(goal)
            return stop

        self.machine.stop_at_points(True)
        stop, _ = turns.step(self.machine, processor, advance, self._limit, self._wakes)
        return stop, reason

    def back(self, processor: int | None = None) -> Arrival:
        """RecordingError: it cannot."""
        raise RecordingError("this machine runs live: there is no going back, but in a replay of a recording")

    def run_back(self, until: int = 0) -> Arrival:
        """RecordingError: it cannot."""
        return self.back()

    def seek(self, place: str) -> Arrival:
        """RecordingError: it cannot."""
        return self.back()

    def _moved(self, motion: Callable[[], tuple[Stop, str]]) -> Arrival:
        if self._crashed is not None:  # it was shown as it crashed; now it is over
            self.outcome = self._crashed
            return Arrival(self.icount, "power-off", processor=self.machine.turn)
        try:
            stop, reason = motion()
        finally:
            self.machine.stop_at_points(False)
            self.machine.engine.breakpoints.pass_none()
        return replace(self._arrived(stop, reason), processor=self.machine.turn)

    def _arrived(self, stop: Stop, reason: str) -> Arrival:
        if reason == ASKED:
            return Arrival(stop.icount, "interrupted")
        limited = stop.reason is StopReason.REACHED and stop.icount == self._limit
        if reason or limited or stop.reason is StopReason.POWER_OFF:
            self.outcome = stop, reason
            why = reason or ("max-icount" if limited else stop.reason.value)
            return Arrival(stop.icount, "power-off", message=f"the run is over: {why}")
        if stop.reason is StopReason.CRASHED:
            self._crashed = stop, reason
            return Arrival(stop.icount, "crashed", message=f"the guest crashed: {stop.message}")
        if stop.reason is StopReason.REACHED:
            return Arrival(stop.icount, "reached")
        hit = self._table.hit(stop)
        return Arrival(stop.icount, "break" if hit.point.kind == "break" else "watch", hit.point, hit.address)


class LiveDebugger:
    """``--gdb`` of ``run`` and ``record`` (runtime.timeline.record.Debugger). ``announce`` is called when the machine
    stands at its first instruction and waits. ``hub``: monitors of the same machine, its visitor, if there are any."""

    def __init__(self, server: Server, announce: Callable[[str], None], hub: Hub | None = None):
        self._server, self._announce, self._hub = server, announce, hub
        self._company: Company = Alone() if hub is None else LiveMonitors(hub)
        self._subject: LiveSubject | None = None
        self._monitor: Callable[[str], str] | None = None

    def attach(self, machine: Any, border: Any, path: Path | None) -> None:
        """The machine is there."""
        self._machine, self._path = machine, path
        if self._hub is None:
            monitor = Monitor(None, make_target(machine), Live(machine, border, path))
        else:
            assert self._hub.monitor is not None  # visitors come first
            monitor = self._hub.monitor
        self._monitor = monitor.execute

    def asked(self) -> bool:
        """Whether the client wants the machine to stop."""
        return self._subject is not None and (self._subject.interrupt() or self._company.asked())

    def drive(self, advance: Advance, limit: int, ended: Callable[[], str | None]) -> tuple[Stop, str]:
        """Run the machine as clients want it."""
        self._subject = subject = LiveSubject(self._machine, advance, limit, self._path)
        self._announce(subject.target.arch)
        self._company.moving(False)
        self._server.serve(subject, self._monitor, lambda: ended() is not None or self._left, self._company)
        return subject.outcome or (Stop(StopReason.INTERRUPTED, subject.icount), ended() or "left")

    @property
    def _left(self) -> bool:
        """A monitor has ended the machine."""
        return self._hub is not None and self._hub.leave

    def close(self) -> None:
        """Listen no longer."""
        self._server.close()
