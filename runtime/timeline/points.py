"""Where a machine stops for a debugger: breakpoints and watchpoints in its engine, and which of them a stop was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from jitrr.engine.breakpoints import TooManyWatches
from jitrr.engine.constants import DEBUG_WATCHES, EXEC, READ, TOUCHED, TOUCHED_PLACE, WATCHES, WRITE
from runtime.machine import BoardMachine
from runtime.machine_api import Stop, StopReason
from runtime.recording.digest import PAGE

_PHYSICAL = WATCHES - DEBUG_WATCHES  # where Stop.watches goes on with those of physical addresses
KINDS = ("break", "write", "read", "access", "console")
KINDS_OF_ACCESS = KINDS[1:4]
#: What a page with a hit is used for (Engine.take_touched).
_USES = {"break": 1 << EXEC, "write": 1 << WRITE, "read": 1 << READ, "access": 1 << READ}


@dataclass(frozen=True, order=True)
class Point:
    """Where to stop: ``kind`` is "break" (before the instruction at ``address``), or "write", "read", "access" (by the
    guest, of any of ``size`` bytes). Addresses are linear; with ``physical`` (not "break") physical. "console": where
    the console has printed ``text``, right behind the instruction that did in both directions."""

    kind: str
    address: int = 0
    size: int = 1
    physical: bool = False
    text: bytes = b""

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.size < 1:
            raise ValueError(f"{self} is no point: a kind is one of {', '.join(KINDS)}, a size 1 or more")
        if (self.kind == "console") != bool(self.text):
            raise ValueError(f"{self} is no point: a text is what the console prints")
        if self.physical and self.kind not in KINDS_OF_ACCESS:
            raise ValueError("a physical address can be watched, and cannot be a breakpoint")


@dataclass(frozen=True)
class Hit:
    """A hit of a point by a processor, seen on the way: stopping there going backward means being at ``icount``."""

    icount: int
    point: Point
    address: int
    processor: int = 0


class PointTable:
    """The points of one machine."""

    def __init__(self, machine: BoardMachine):
        self._machine = machine
        self.points: tuple[Point, ...] = ()
        #: Those of the console's output, which stop no machine.
        self.prints: list[Point] = []

    def set(self, points: Iterable[Point]) -> None:
        """These and no others from now on. ValueError or TooManyWatches leave it as it was."""
        before, wanted = self.points, tuple(dict.fromkeys(points))
        try:
            self._install(wanted)
        except (ValueError, TooManyWatches):
            self._install(before)
            raise

    def _install(self, points: tuple[Point, ...]) -> None:
        breakpoints = self._machine.engine.breakpoints
        self.points = points
        self.prints = [p for p in points if p.kind == "console"]
        self._linear = [p for p in points if p.kind in KINDS_OF_ACCESS and not p.physical]
        self._physical = [p for p in points if p.physical]
        self._breaks = {p.address: p for p in points if p.kind == "break"}
        breakpoints.watch((p.address, p.size, p.kind) for p in self._linear)
        breakpoints.watch_physical((p.address, p.size, p.kind) for p in self._physical)
        breakpoints.set(self._breaks)

    @property
    def none(self) -> bool:
        """Whether there is nothing that stops the machine."""
        return len(self.prints) == len(self.points)

    def uses(self) -> np.ndarray:
        """A table as Engine.take_touched gives: where it has nothing of this, no point is hit."""
        table = np.zeros(TOUCHED, np.uint8)
        for point in (*self._breaks.values(), *self._linear, *self._physical):
            for entries in self._entries(point):
                table[entries] |= TOUCHED_PLACE if point.physical and point.kind == "write" else _USES[point.kind]
        return table

    def _entries(self, point: Point) -> Iterator[int | slice]:
        """Where in such a table the pages of a point are."""
        engine, first = self._machine.engine, point.address & -PAGE
        behind = point.address + (1 if point.kind == "break" else point.size)
        if behind - first > TOUCHED * PAGE or (point.physical and point.kind != "write"):
            yield slice(None)
            return
        for address in range(first, behind, PAGE):
            if point.physical:
                place = engine.locate(address)
                yield slice(None) if place is None else place // PAGE % TOUCHED
                continue
            yield engine.touched_entry(address)
            if point.address < 1 << 32 <= address:  # where linear addresses wrap at 4 GiB
                yield engine.touched_entry(address % (1 << 32))

    def hit(self, stop: Stop) -> Hit:
        """What a stop of the machine at BREAKPOINT or WATCHPOINT is."""
        engine, turn = self._machine.engine, self._machine.turn
        if stop.reason is StopReason.BREAKPOINT:
            pc = engine.linear(int(engine.state["pc"]))
            return Hit(stop.icount, self._breaks[pc], pc, turn)
        number = (stop.watches & -stop.watches).bit_length() - 1
        if number < _PHYSICAL:
            return Hit(stop.icount - 1, self._linear[number], stop.address, turn)
        point = self._physical[number - _PHYSICAL]
        inside = stop.address - (engine.locate(point.address) or 0)
        return Hit(stop.icount - 1, point, point.address + inside, turn)
