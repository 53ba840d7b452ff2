"""Where a machine stops for a debugger: breakpoints and watchpoints in its engine, and which of them a stop was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jitrr.engine.breakpoints import TooManyWatches
from jitrr.engine.constants import DEBUG_WATCHES, WATCHES
from runtime.machine import BoardMachine
from runtime.machine_api import Stop, StopReason

_PHYSICAL = WATCHES - DEBUG_WATCHES  # where Stop.watches goes on with those of physical addresses
KINDS = ("break", "write", "read", "access", "console")
KINDS_OF_ACCESS = KINDS[1:4]


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
    """A hit of a point seen on the way: stopping there going backward means being at ``icount``."""

    icount: int
    point: Point
    address: int


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

    def hit(self, stop: Stop) -> Hit:
        """What a stop of the machine at BREAKPOINT or WATCHPOINT is."""
        if stop.reason is StopReason.BREAKPOINT:
            engine = self._machine.engine
            pc = engine.linear(int(engine.state["pc"]))
            return Hit(stop.icount, self._breaks[pc], pc)
        number = (stop.watches & -stop.watches).bit_length() - 1
        if number < _PHYSICAL:
            return Hit(stop.icount - 1, self._linear[number], stop.address)
        point = self._physical[number - _PHYSICAL]
        inside = stop.address - (self._machine.engine.locate(point.address) or 0)
        return Hit(stop.icount - 1, point, point.address + inside)
