"""What a debugger drives: a replay that goes both ways, or a machine that runs live."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from runtime.debug.target import Target, make_target
from runtime.timeline.places import resolve
from runtime.timeline.travel import Arrival, Point, Travel


class Subject(Protocol):
    """A machine that stands still unless it is told to move; see runtime.timeline.travel for the motions."""

    target: Target
    machine: Any
    #: Whether it stands still while there is no client.
    waits: bool
    #: Asked every few ms of wall time during a motion; True ends it.
    interrupt: Callable[[], bool]

    @property
    def icount(self) -> int:
        """Where it is."""

    @property
    def over(self) -> bool:
        """Whether the machine has ended, and nothing can be asked any more."""

    @property
    def points(self) -> tuple[Point, ...]:
        """Where motions stop."""

    @property
    def reversible(self) -> bool:
        """Whether it can go backwards."""

    @property
    def refusal(self) -> str:
        """Why registers and memory cannot be written; "" when they can."""

    def set_points(self, points: Iterable[Point]) -> None: ...
    def step(self, processor: int | None = None) -> Arrival: ...
    def back(self, processor: int | None = None) -> Arrival: ...
    def run(self, until: int | None = None) -> Arrival: ...
    def run_back(self, until: int = 0) -> Arrival: ...
    def seek(self, place: str) -> Arrival: ...


class ReplaySubject:
    """A replay, by its :class:`Travel`."""

    waits, over = True, False

    def __init__(self, travel: Travel):
        self.travel, self.machine = travel, travel.machine
        self.target = make_target(travel.machine)
        self.set_points, self.run, self.run_back = travel.set_points, travel.run, travel.run_back

    @property
    def icount(self) -> int:
        """Where it is."""
        return self.travel.icount

    @property
    def reversible(self) -> bool:
        """Whether it has not left the recording."""
        return self.travel.live is None

    @property
    def refusal(self) -> str:
        """Why registers and memory cannot be written."""
        return self.travel.refusal

    @property
    def points(self) -> tuple[Point, ...]:
        """Where motions stop."""
        return self.travel.points

    @property
    def interrupt(self) -> Callable[[], bool]:
        """Asked during a motion; True ends it."""
        return self.travel.interrupt

    @interrupt.setter
    def interrupt(self, asked: Callable[[], bool]) -> None:
        self.travel.interrupt = asked

    def step(self, processor: int | None = None) -> Arrival:
        """One instruction forward; with ``processor``: of that one, and points matter."""
        return self.travel.step() if processor is None else self.travel.step_of(processor)

    def back(self, processor: int | None = None) -> Arrival:
        """One instruction backward, in the same way."""
        return self.travel.back() if processor is None else self.travel.back_of(processor)

    def seek(self, place: str) -> Arrival:
        """To a place as ``replay --seek`` takes it."""
        return self.travel.seek(resolve(self.travel.recording, place, self.icount))
