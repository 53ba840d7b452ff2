"""Packets that move the machine: steps and runs in both directions, ranges (gdb manual, E.2: s, c, bs, bc, vCont). A
thread is a processor. All of them go on whenever one does, in their turns; only steps are those of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from runtime.debug.gdb.handlers import Place
from runtime.debug.gdb.points import Points
from runtime.debug.gdb.stops import stop_reply
from runtime.debug.subject import Subject
from runtime.recording.errors import RecordingError
from runtime.timeline.travel import Arrival

#: Steps of a range between two looks at the connection.
_STEPS = 64
_PC = {"x86_64": "rip", "i386": "eip", "arm": "pc"}


class Motions:
    """Moves ``subject`` as a client asks; ``tell`` shows it a line before the stop reply; ``moving`` hears of each
    motion's beginning (True) and end."""

    def __init__(self, subject: Subject, points: Points, tell: Callable[[str], None], moving: Callable[[bool], None]):
        self._subject, self._points, self._tell, self._moving = subject, points, tell, moving
        self._pc = _PC[subject.target.arch]
        #: gdb takes it that ARM's watchpoints stop before the access, makes one more step in the direction it goes, and
        #: looks then. (On x86 they are traps: the access has been made.)
        self._before_access = subject.target.arch == "arm"
        #: Reasons for a stop that the client knows.
        self.understood: frozenset[str] = frozenset()
        #: The processor that steps are of; None: the one that is looked at.
        self.stepped: int | None = None
        self._processors = int(subject.machine.processors)
        self._last = Arrival(subject.icount, "reached", processor=subject.machine.turn)

    def handle(self, name: str, data: str) -> bytes:
        """The reply to a packet that is one of these; empty for one that nobody knows."""
        if name == "?":
            return self._reply()
        if name == "vCont":
            return self._vcont(data)
        if name in ("s", "S"):
            return self._moved(self.step)
        if name in ("c", "C"):
            return self._moved(self.run)
        if name in ("bs", "bc"):
            return self._moved(self.back if name == "bs" else self.run_back)
        if name == "vRun":
            return self._restart(data)
        return b""

    def _vcont(self, data: str) -> bytes:
        """``vCont;action:thread;...``: the first action that is for a thread is its own."""
        if data == "?":
            return b"vCont;c;C;s;S;r"
        actions: dict[int, str] = {}
        for part in data.lstrip(";").split(";"):
            action, _, thread = part.partition(":")
            number = int(thread, 16) if thread else -1
            for processor in range(self._processors) if number < 1 else (number - 1,):
                actions.setdefault(processor, action)
        looked_at = self._subject.target.processor
        order = sorted(actions, key=lambda processor: (processor != looked_at, processor))
        for kinds in ("rsS", "cC"):
            for processor in order:
                if actions[processor][:1] in kinds and processor < self._processors:
                    return self._moved(self._motion(actions[processor], processor))
        return b"E16"

    def _motion(self, action: str, processor: int) -> Callable[[], Arrival]:
        """What an action of ``vCont`` asks for."""
        if action[:1] == "r":
            start, end = (int(number, 16) for number in action[1:].split(","))
            return partial(self._range, start, end, processor)
        return self.run if action[:1] in ("c", "C") else partial(self.step, processor)

    def _moved(self, motion: Callable[[], Arrival]) -> bytes:
        """The reply to a motion; one that fails ends where it is, and the client is told."""
        try:
            self._points.apply()
            self._moving(True)
            self._last = motion()
        except (RecordingError, ValueError) as error:
            self._tell(f"jitrr: {error}")
            self._last = Arrival(self._subject.icount, "failed", processor=self._subject.machine.turn)
        finally:
            self._moving(False)
        if self._last.message:
            self._tell(f"jitrr: {self._last.message}")
        return self._reply()

    def _reply(self) -> bytes:
        """The client looks at the processor that it is told of."""
        self._subject.target.chosen = self._last.processor
        hardware = self._last.why == "break" and self._points.is_hardware(self._last.point)
        return stop_reply(self._subject.target, self._last, hardware, self.understood)

    def run(self) -> Arrival:
        """Forward to the next point."""
        return self._seen(self._subject.run(), True)

    def run_back(self) -> Arrival:
        """Backward to the last point."""
        return self._seen(self._subject.run_back(), False)

    def step(self, processor: int | None = None) -> Arrival:
        """One instruction forward, of a processor; a watchpoint that it hits is the reason of the stop."""
        subject, here = self._subject, self._subject.icount
        if self._processors > 1:
            return self._seen(subject.step(self._chosen(processor)), True)
        watched = self._points.watched and not subject.machine.halted
        return self._plain(self._seen(subject.run(here + 1) if watched else subject.step(), True), here)

    def back(self) -> Arrival:
        """One instruction back, in the same way."""
        subject, here = self._subject, self._subject.icount
        if self._processors > 1:
            return self._seen(subject.back(self._chosen(None)), False)
        arrival = subject.back()
        if self._points.watched and arrival.icount < here:
            over = subject.run(here)
            while over.why == "break" and over.icount < here:
                over = subject.run(here)
            arrival = subject.back()
            if over.why == "watch":
                arrival = self._seen(replace(over, icount=arrival.icount), False)
        return self._plain(arrival, here)

    def _chosen(self, processor: int | None) -> int:
        """The processor that a step is of."""
        if processor is not None:
            return processor
        return self._subject.target.processor if self.stepped is None else self.stepped

    def _seen(self, arrival: Arrival, forward: bool) -> Arrival:
        """Where gdb wants to be when a watchpoint was hit: on ARM one instruction short of that."""
        if arrival.why == "watch" and self._before_access:
            processor = arrival.processor if self._processors > 1 else None
            moved = self._subject.back(processor) if forward else self._subject.step(processor)
            return replace(arrival, icount=moved.icount)
        return arrival

    def _plain(self, arrival: Arrival, before: int) -> Arrival:
        """A step that came to an end of the recording is a step; the next one goes nowhere and says so."""
        if arrival.why in ("begin", "end") and arrival.icount != before:
            return replace(arrival, why="reached")
        return arrival

    def _range(self, start: int, end: int, processor: int) -> Arrival:
        """Steps until the pc is outside ``start`` to ``end``, or something else happens; handlers of interrupts are
        gone through at once."""
        subject, read = self._subject, self._subject.target.read_register
        subject.target.chosen = processor
        while True:
            for _ in range(_STEPS):
                place = Place(subject.target)
                arrival = self.step(processor)
                if arrival.why != "reached":
                    return arrival
                if not start <= read(self._pc) < end:
                    if not place.was_interrupted():
                        return arrival
                    if (met := place.back(subject)) is not None:
                        return self._seen(met, True)
                if self._points.is_break(subject.target.pc):
                    return arrival
            if subject.interrupt():
                return Arrival(subject.icount, "interrupted", processor=processor)

    def _restart(self, data: str) -> bytes:
        """``run PLACE`` of an extended client: go to an instruction, the first without a place."""
        words = [bytes.fromhex(word).decode(errors="replace") for word in data.split(";")[2:]]
        return self._moved(lambda: self._subject.seek(" ".join(words) or "0"))
