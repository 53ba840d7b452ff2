"""The breakpoints and watchpoints of a client. gdb takes all of them out at every stop and puts them back before the
next motion, so that only a motion hands them on, and only if they have changed."""

from __future__ import annotations

from jitrr.engine.breakpoints import TooManyWatches
from runtime.debug.subject import Subject
from runtime.timeline.travel import Point

#: By the number in Z and z packets; 0 and 1, software and hardware breakpoints, are the same thing here.
_KINDS = ("break", "break", "write", "read", "access")
_HARDWARE = 1


class Points:
    """What is inserted now; :meth:`apply` before a motion."""

    def __init__(self, subject: Subject):
        self._subject = subject
        self._inserted: dict[tuple[int, int, int, bool], Point] = {}

    @property
    def watched(self) -> bool:
        """Whether there are watchpoints."""
        return any(point.kind != "break" for point in self._inserted.values())

    def is_break(self, address: int) -> bool:
        """Whether a breakpoint is at a linear address."""
        return any((kind, address, 0, False) in self._inserted for kind in (0, _HARDWARE))

    def is_hardware(self, point: Point | None) -> bool:
        """Whether a breakpoint was asked for as a hardware one only."""
        return point is not None and (0, point.address, 0, False) not in self._inserted

    def insert(self, kind: int, address: int, size: int, physical: bool) -> str:
        """Put in a point; "" or why it cannot be. The page need not be mapped. ValueError, IndexError: no such kind."""
        if _KINDS[kind] == "break":
            self._inserted[kind, address, 0, False] = Point("break", address)
            return ""
        key = (kind, address, size, physical)
        known = key in self._inserted
        self._inserted[key] = Point(_KINDS[kind], address, size, physical)
        try:
            self.apply()
        except (ValueError, TooManyWatches) as error:
            if not known:
                del self._inserted[key]
            return str(error)
        return ""

    def remove(self, kind: int, address: int, size: int) -> None:
        """Take out a point; nothing happens if it is not there."""
        if _KINDS[kind] == "break":
            self._inserted.pop((kind, address, 0, False), None)
        for physical in (False, True):
            self._inserted.pop((kind, address, size, physical), None)

    def clear(self) -> None:
        """Take out all."""
        self._inserted.clear()
        self.apply()

    def apply(self) -> None:
        """Hand them on, if they have changed. ValueError, TooManyWatches: they cannot be."""
        wanted = tuple(sorted(set(self._inserted.values())))
        if wanted != self._subject.points:
            self._subject.set_points(wanted)
