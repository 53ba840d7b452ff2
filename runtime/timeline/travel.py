"""Moving about in a recording: to any instruction, by single steps, and from one breakpoint or watchpoint to the next,
in both directions. What debuggers, the monitor and searches drive.

A *position* is an instruction count: the state before anything that is due there. An instruction may begin with the
delivery of an interrupt or exception, which counts for nothing. A breakpoint is hit when its instruction is about to be
run: at a handler's first instruction that is *within* a position, after the delivery, and an instruction that an
interrupt goes before is hit when the handler has returned. Time in which the machine is halted is one step.
Of several processors, the one whose turn it is at a position is that which has run the instruction before; a step of
one of them is in :mod:`runtime.timeline.turns`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from runtime.borders.console import ConsoleOutput
from runtime.machine import BoardMachine
from runtime.machine_api import FOREVER, Stop, StopReason
from runtime.recording.errors import RecordingError
from runtime.recording.recording import Recording
from runtime.timeline import turns
from runtime.timeline.build import Factory
from runtime.timeline.points import Hit, Point, PointTable
from runtime.timeline.prints import Prints
from runtime.timeline.replay import Replay
from runtime.timeline.search import Search
from runtime.timeline.watch import Interrupted, Watch

if TYPE_CHECKING:
    from runtime.timeline.live import Live
    from runtime.timeline.record import Outside, Pace

#: Hits in a piece of the way, after which only its end is looked at more closely; and the length of that, at first.
_MANY = 256


@dataclass(frozen=True)
class Arrival:
    """Where a motion ended, and ``why``: "reached", "begin", "end" (of the recording), "break", "watch" (at ``point``;
    ``address`` is that of the access), "console" (``point`` says what was printed), "interrupted"; of a live machine
    also "power-off", "crashed". ``message`` is one line for people. ``processor``: the one that has hit the point or
    was stepped, else the one whose turn it is."""

    icount: int
    why: str
    point: Point | None = None
    address: int = 0
    message: str = ""
    processor: int = 0


def _at_print(arrival: Arrival, point: Point | None) -> Arrival:
    """The end of a motion to where the console has printed ``point``, unless something else was on the way."""
    there = point is not None and arrival.why in ("reached", "begin", "end")
    return replace(arrival, why="console", point=point) if there else arrival


class Ended(Exception):
    """The machine does not go on: it has ended, or has nothing to do. ``stop`` says why (INTERRUPTED: it may go on when
    something happens)."""

    def __init__(self, stop: Stop):
        super().__init__(stop)
        self.stop = stop


class _Outside(Watch):
    """Ends a motion when somebody asks, besides the reasons of the program."""

    def __init__(self, program: Watch | None, asked: Callable[[], bool]):
        super().__init__()
        self.program, self._asked = program, asked
        self.was_asked = False
        self._silent = False

    @contextmanager
    def unasked(self) -> Iterator[None]:
        """What is done meanwhile is not ended."""
        self._silent = True
        try:
            yield
        finally:
            self._silent = False

    def reason(self) -> str | None:
        """Signals and time-outs go first."""
        if self._silent:
            return None
        self.was_asked = False
        if self.program is not None and (reason := self.program.reason()):
            return reason
        self.was_asked = self._asked()
        return "interrupted" if self.was_asked else None


class Travel:
    """A replay to move about in, until :meth:`go_live`. Every motion ends in an :class:`Arrival`; Divergence when the
    replay leaves the recorded course, Interrupted when the program is to end."""

    def __init__(self, recording: Recording, *, tier: str = "auto", console: ConsoleOutput | None = None,
                 verify: bool = False, watch: Watch | None = None, factory: Factory | None = None,
                 dense: bool = True):  # fmt: skip
        self.recording = recording
        self._search = Search(self, tier)
        #: Asked every few ms of wall time during a motion; True ends it.
        self.interrupt: Callable[[], bool] = lambda: False
        self._outside = _Outside(watch, lambda: self.interrupt())
        self.replay = Replay(recording, tier=tier, console=console, verify=verify, watch=self._outside,
                             factory=factory, dense=dense)  # fmt: skip
        machine = self.replay.machine
        assert isinstance(machine, BoardMachine)
        self.machine = machine
        self._table = PointTable(machine)
        #: Instruction counts at which runs end as well.
        self.stops: set[int] = set()
        #: The machine when it has left the recording.
        self.live: Live | None = None
        self._console, self._advance = console, self.replay.advance
        #: The breakpoint that it stopped at, perhaps behind a delivery.
        self._within: Hit | None = None

    @property
    def icount(self) -> int:
        """The position."""
        return self.machine.icount

    @property
    def end(self) -> int:
        """The last position of the recording; of a live machine, further than it ever goes."""
        return self.recording.icount if self.live is None else FOREVER

    @property
    def pc(self) -> int:
        """Linear address of the next instruction of the processor whose turn it is."""
        engine = self.machine.engine
        return engine.linear(int(engine.state["pc"]))

    @property
    def _spot(self) -> tuple[int, int]:
        """Whose turn it is, and its pc."""
        return self.machine.turn, self.pc

    def _pc_of(self, processor: int) -> int:
        with self.machine.looking_at(processor):
            return self.pc

    def close(self) -> None:
        """End the machine, and the recording of a live one."""
        self._search.close()
        try:
            if self.live is not None:
                self.live.close(whole=self._within is None)
        finally:
            self.replay.close()

    # -- leaving the recording ----------------------------------------------------------------------------------------
    def go_live(self, path: Path | None = None, *, outside: Outside | None = None, pace: Pace | None = None) -> None:
        """Leave the recording: from this position the machine runs by itself, ``outside`` at its border, recorded as a
        branch in ``path`` or not at all. It goes forward only. RecordingError when that cannot be."""
        from runtime.timeline.live import Live
        from runtime.timeline.record import Outside, Pace

        if self.live is not None:
            raise RecordingError("the machine runs live already")
        if self._within is not None:
            self._seek(self.icount)
        self.live = Live(self.replay, path, outside or Outside(self._console), self._outside, pace or Pace())
        self._advance = self.live.advance

    @property
    def refusal(self) -> str:
        """Why registers and memory cannot be written, in one line; "" when they can."""
        if self.live is None:
            return "this is a replay: what it was cannot be written; golive leaves it"
        if self.live.path is not None:
            return f"this is recorded in {self.live.path}: only what comes through a device can be"
        return ""

    def _check_can_go_back(self) -> None:
        if self.live is not None:
            raise RecordingError("the machine has left the recording and runs live: there is no going back")

    # -- points -------------------------------------------------------------------------------------------------------
    @property
    def points(self) -> tuple[Point, ...]:
        """Where :meth:`run` and :meth:`run_back` stop."""
        return self._table.points

    def set_points(self, points: Iterable[Point]) -> None:
        """Where they stop from now on. ValueError or TooManyWatches leave it as it was."""
        self._table.set(points)

    def uses(self) -> np.ndarray:
        """What a page in which a point is hit is used for, a table as Engine.take_touched gives."""
        return self._table.uses()

    def _hit(self, stop: Stop) -> Hit:
        """What a stop of the machine is."""
        return self._table.hit(stop)

    # -- motions ------------------------------------------------------------------------------------------------------
    def seek(self, icount: int) -> Arrival:
        """To exactly ``icount``. RecordingError when the recording does not go there, or was left."""
        self._check_can_go_back()
        return self._guarded(lambda: self._seek(icount))

    def step(self, count: int = 1) -> Arrival:
        """Forward by ``count`` instructions; points do not matter."""
        return self._guarded(lambda: self._step(count))

    def back(self, count: int = 1) -> Arrival:
        """Backward by ``count`` instructions; points do not matter. RecordingError when the recording was left."""
        self._check_can_go_back()
        return self._guarded(lambda: self._back(count))

    def step_of(self, processor: int) -> Arrival:
        """Forward until a processor has run one instruction, or a point is hit on the way."""
        return self._guarded(lambda: self._step_of(processor))

    def back_of(self, processor: int) -> Arrival:
        """Backward to where the last instruction of a processor before this position was about to run, or to the last
        hit of a point on the way. RecordingError when the recording was left."""
        self._check_can_go_back()
        return self._guarded(lambda: self._back_of(processor))

    def run(self, until: int | None = None) -> Arrival:
        """Forward to the next hit of a point behind this position, to ``until``, one of ``stops`` or the end."""
        goal = self.end if until is None else min(until, self.end)
        goal = min([goal, *(at for at in self.stops if at > self.icount)])
        return self._guarded(lambda: self._run_to_print(goal))

    def run_back(self, until: int = 0) -> Arrival:
        """Backward to the last hit of a point before this position, to ``until``, one of ``stops`` or the beginning.
        RecordingError when the recording was left."""
        self._check_can_go_back()
        goal = max([until, self.recording.begin, *(at for at in self.stops if at < self.icount)])
        return self._guarded(lambda: self._run_back_to_print(goal))

    def _guarded(self, motion: Callable[[], Arrival]) -> Arrival:
        try:
            return motion()
        except Interrupted:
            if not self._outside.was_asked:
                raise
            return Arrival(self.icount, "interrupted", processor=self.machine.turn)
        except Ended as ended:
            reason, message = ended.stop.reason.value, ended.stop.message
            return Arrival(ended.stop.icount, reason, message=message, processor=self.machine.turn)
        finally:
            self.machine.stop_at_points(False)
            self.machine.engine.breakpoints.pass_none()

    def _seek(self, icount: int) -> Arrival:
        self.replay.seek(icount, afresh=self._within is not None)
        self._within = None
        return self._arrived(icount)

    def _arrived(self, icount: int) -> Arrival:
        turn = self.machine.turn
        if self.live is not None:
            return Arrival(icount, "reached", processor=turn)
        if icount == self.end:
            message = f"{self.recording.reason}{': ' * bool(self.recording.message)}{self.recording.message}"
            return Arrival(icount, "end", message=message, processor=turn)
        return Arrival(icount, "begin" if icount == self.recording.begin else "reached", processor=turn)

    def _step(self, count: int) -> Arrival:
        self._within = None
        while count and self.icount < self.end:
            count -= self._steps(count)
        return self._arrived(self.icount)

    def _steps(self, most: int) -> int:
        """Forward by at most ``most`` steps at once; how many: time spent halted belongs to the step that ends it."""
        machine, start, idled = self.machine, self.icount, self.machine.idled
        if machine.halted and (wakes := self._wakes()) > start:
            self._advance(min(wakes, self.end))
        self._advance(min(self.icount + most, self.end))
        return self.icount - start - (machine.idled - idled)

    def _wakes(self) -> int:
        """The next time that something is known to happen to a halted machine."""
        known = (self.machine.clock.next_deadline(), self.machine.border.next_event())
        return min((at for at in known if at is not None), default=self.end)

    def _back(self, count: int) -> Arrival:
        if count and self._within is not None:
            self._back_within()
            count -= 1
        elif count and self.machine.halted:  # to the beginning of that is a step
            count -= self._back_by(1)
        while count and self.icount > self.recording.begin:
            count -= self._back_by(count)
        return self._arrived(self.icount)

    def _back_within(self) -> None:
        """Before the delivery that led to the breakpoint here, or the step before if there was none."""
        turn, pc = self._spot
        self._seek(self.icount)
        if self._pc_of(turn) == pc and self.icount > self.recording.begin:
            self._back_by(1)

    def _back_by(self, most: int) -> int:
        """Backward by at most ``most`` steps at once; how many."""
        machine, here = self.machine, self.icount
        start, steps = max(self.recording.begin, here - most), 1
        self._seek(start)
        if here - start > 1:
            idled = machine.idled
            self.replay.advance(here)
            steps = here - start - (machine.idled - idled)
            self._seek(start)
        self._to_halt()
        return steps

    def _to_halt(self) -> None:
        """If the processor is halted, to where it became so."""
        machine, reach = self.machine, 1
        while machine.halted and machine.halted_at is None:  # the checkpoint is of a halted processor, too
            here = self.icount
            if here == self.recording.begin:
                return
            self._seek(max(self.recording.begin, here - reach))
            if not machine.halted:
                self.replay.advance(here)
            reach *= 16
        if machine.halted and machine.halted_at is not None and machine.halted_at < self.icount:
            self._seek(machine.halted_at)

    def _step_of(self, processor: int) -> Arrival:
        self.machine.stop_at_points(not self._table.none)
        self._within = None
        stop, done = turns.step(self.machine, processor, self._advance, self.end, self._wakes)
        if done:
            return Arrival(stop.icount, "reached", processor=processor)
        if stop.reason in (StopReason.BREAKPOINT, StopReason.WATCHPOINT):
            return self._met(stop)
        return replace(self._arrived(stop.icount), message=f"CPU {processor} runs no instruction until the end")

    def _back_of(self, processor: int) -> Arrival:
        here, begin = self.icount, self.recording.begin
        if self._within is not None:
            pc = self._pc_of(processor)
            self._seek(here)
            if self._pc_of(processor) != pc:  # before the delivery that led to where it was
                return Arrival(here, "reached", processor=processor)
        at = turns.last_instruction(self.replay, processor, begin, here)
        goal = begin if at is None else at
        if not self._table.none and goal < here:
            hit = self._search.last_hit(goal, here, lambda begin, end: self._last_hit(begin, end, None), False)
            if hit is not None and (hit.point.kind != "break" or hit.icount > goal):
                return self._stand_at(hit)
            self.machine.stop_at_points(False)
        arrival = self._seek(goal)
        if at is None:
            return replace(arrival, message=f"CPU {processor} has run no instruction since the beginning")
        return Arrival(goal, "reached", processor=processor)

    def _run_to_print(self, goal: int) -> Arrival:
        """Where the console prints is found first: the rest is a run to there."""
        at, point = min((each for each in self._printed(Prints.first) if each[0] <= goal), default=(goal, None))
        return _at_print(self._run(at), point)

    def _run_back_to_print(self, goal: int) -> Arrival:
        at, point = max((each for each in self._printed(Prints.last) if each[0] >= goal), default=(goal, None))
        return _at_print(self._run_back(at), point)

    def _printed(self, find: Callable[[Prints, bytes, int], int | None]) -> list[tuple[int, Point]]:
        """Where ``find`` finds each point of the console's. RecordingError when the recording was left."""
        points = self._table.prints
        if points and self.live is not None:
            raise RecordingError("the machine has left the recording: where its console prints is not known")
        here, within = self.icount, self._within
        short = self.recording.log.printed is not None  # then it takes less time than to begin it again
        try:
            with self._outside.unasked() if short else nullcontext():
                found = [(find(self.replay.prints, point.text, here), point) for point in points]
        finally:
            if self.icount != here:
                with self._outside.unasked():
                    self._seek(here)
                    if within is not None:
                        self._stand_at(within)
        return [(at, point) for at, point in found if at is not None]

    def _run(self, goal: int) -> Arrival:
        self.machine.stop_at_points(True)
        self.machine.engine.breakpoints.pass_here()
        self._within = None
        stop = self._advance(goal)
        return self._arrived(stop.icount) if stop.reason is StopReason.REACHED else self._met(stop)

    def _met(self, stop: Stop) -> Arrival:
        """Where a run forward has stopped at a point."""
        hit = self._hit(stop)
        if hit.point.kind == "break":
            self._within = hit
        why = "watch" if self._within is None else "break"
        return Arrival(stop.icount, why, hit.point, hit.address, processor=hit.processor)

    def _run_back(self, until: int) -> Arrival:
        start, spot, within = self.icount, self._spot, self._within is not None
        if self._table.none or (start == until and not within):
            return self._seek(until)

        def first(begin: int, end: int) -> Hit | None:
            return self._last_hit(begin, end, spot if within else None)

        hit = self._search.last_hit(until, start, first, within)
        return self._seek(until) if hit is None else self._stand_at(hit)

    def last_hit(self, begin: int, end: int) -> Hit | None:
        """The last hit of a point from ``begin`` on and before ``end``; the machine is left somewhere there.
        Interrupted when the motion is to end."""
        try:
            return self._last_hit(begin, end, None)
        finally:
            self.machine.stop_at_points(False)
            self.machine.engine.breakpoints.pass_none()

    def look_outside(self) -> None:
        """Interrupted when the motion is to end."""
        if reason := self._outside.reason():
            raise Interrupted(reason)

    def _last_hit(self, begin: int, end: int, spot: tuple[int, int] | None) -> Hit | None:
        """The last hit from ``begin`` on and before ``end``; with ``spot`` (as ``_spot``): before the delivery at
        ``end`` that led to the breakpoint there."""
        self.machine.stop_at_points(False)
        self._seek(begin)
        self.machine.stop_at_points(True)
        last, count = None, 0
        while (stop := self.replay.advance(end)).reason is not StopReason.REACHED:
            last, count = self._passed(stop), count + 1
            if count == _MANY and end - self.icount > _MANY:
                return self._last_of_many(end, spot) or last
        if spot is not None and self._spot != spot:
            while (stop := self.replay.advance(end + 1)).reason is StopReason.BREAKPOINT and self._spot != spot:
                last = self._passed(stop)
        self.machine.stop_at_points(False)
        return last

    def _last_of_many(self, end: int, spot: tuple[int, int] | None) -> Hit | None:
        """The last hit from here on, where hits are frequent: looked for from the end in growing pieces."""
        here, until, span = self.icount, end, _MANY
        while until > here:
            begin = max(here, until - span)
            if (hit := self._last_hit(begin, until, spot if until == end else None)) is not None:
                return hit
            until, span = begin, span * 16
        return None

    def _passed(self, stop: Stop) -> Hit:
        if stop.reason is StopReason.BREAKPOINT:
            self.machine.engine.breakpoints.pass_here()
        return self._hit(stop)

    def _stand_at(self, hit: Hit) -> Arrival:
        """Go where a hit was seen."""
        self._within = hit
        self._seek(hit.icount)
        if hit.point.kind != "break":
            return Arrival(hit.icount, "watch", hit.point, hit.address, processor=hit.processor)
        spot = hit.processor, hit.address
        if self._spot != spot:  # behind the delivery of an interrupt or exception, or the beginning of a turn
            self.machine.stop_at_points(True)
            self.machine.engine.breakpoints.pass_none()
            while self._spot != spot:
                self._passed(self.replay.advance(hit.icount + 1))
            self._within = hit
        return Arrival(hit.icount, "break", hit.point, hit.address, processor=hit.processor)
