"""Temporary checkpoints, in memory: they make the neighbourhood of a position cheap to go back to.

A *place* is a state to come back to. Pages are known by their hashes, as in a recording: a kept place holds the
difference of its page map to a recorded checkpoint's, and only contents that the recording does not have are copied.
Places are left at growing distances before the position that was sought (DISTANCES), so that a step back runs a few
instructions, and after it the next one does too. There are at most MOST of them, dense near the position and sparse
far from it.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Container
from dataclasses import dataclass

import numpy as np

from runtime.recording.digest import PAGE, differing

#: Instructions before the position sought at which places are left.
DISTANCES = (16 << 20, 512 << 10, 16 << 10, 512, 16)
#: Places, and bytes of their pages, at most.
MOST, MOST_BYTES = 64, 256 << 20


@dataclass(frozen=True)
class Place:
    """A state to come back to: processor, encoded device states, the page map as ``base`` with ``hashes`` at ``pages``,
    the position in the log; ``halted_at`` is the icount at which a halted processor stopped, where that is known."""

    icount: int
    cpu: bytes
    devices: bytes
    base: np.ndarray
    position: tuple[int, int]
    pages: np.ndarray
    hashes: np.ndarray
    halted_at: int | None = None
    #: How long the machine ran to come here from a state that is on disk.
    seconds: float = 0.0

    def table(self) -> np.ndarray:
        """The page map, (npages, 2) uint64; not to be changed."""
        if not len(self.pages):
            return self.base
        table = self.base.copy()
        table[self.pages] = self.hashes
        return table


class Kept:
    """The temporary checkpoints of one replay; ``recorded`` are the hashes of pages that need not be kept."""

    def __init__(self, recorded: Container[bytes]):
        self._recorded = recorded
        self._places: dict[int, Place] = {}
        self._pages: dict[bytes, bytes] = {}
        #: A page map whose pages are all to be had; None: only the bases' are.
        self._known: np.ndarray | None = None
        #: Where there are places, ascending.
        self.icounts: list[int] = []

    def __contains__(self, icount: int) -> bool:
        return icount in self._places

    def __getitem__(self, icount: int) -> Place:
        return self._places[icount]

    def page(self, name: bytes) -> bytes | None:
        """The content of a page that was kept."""
        return self._pages.get(name)

    def came_from(self, table: np.ndarray) -> None:
        """The machine was put into the state of a place with this page map."""
        self._known = table

    def add(self, place: Place, ram: memoryview) -> None:
        """Keep ``place``, the state in which ``ram`` is."""
        table = place.table()
        for page in differing(table, place.base if self._known is None else self._known).tolist():
            name = table[page].tobytes()
            if name not in self._pages and name not in self._recorded:
                self._pages[name] = bytes(ram[page * PAGE : page * PAGE + PAGE])
        self._known = table
        self._insert(place)

    def put(self, place: Place, contents: dict[bytes, bytes]) -> None:
        """Keep ``place``, whose pages are the recording's or in ``contents``."""
        self._pages |= contents
        self._insert(place)

    def drop(self, icount: int) -> None:
        """What is kept of ``icount``, if anything, is of no use."""
        if self._places.pop(icount, None) is not None:
            self.icounts.remove(icount)

    def _insert(self, place: Place) -> None:
        if place.icount not in self._places:
            insort(self.icounts, place.icount)
        self._places[place.icount] = place

    def thin(self, here: int) -> None:
        """Drop places when there are too many: those that leave the smallest gap for their distance from ``here``."""
        if len(self.icounts) <= MOST and len(self._pages) * PAGE <= MOST_BYTES:
            return
        while len(self.icounts) > MOST * 3 // 4 or (self.icounts and self._collect() > MOST_BYTES * 3 // 4):
            del self._places[self.icounts.pop(self._least_missed(here))]
        self._collect()

    def forget(self) -> None:
        """Drop all places."""
        self._places.clear()
        self._pages.clear()
        self.icounts.clear()
        self._known = None

    def _least_missed(self, here: int) -> int:
        at = [0, *self.icounts, max(here, self.icounts[-1])]
        return min(range(len(self.icounts)), key=lambda i: ((at[i + 2] - at[i]) / (abs(here - at[i + 1]) + 1), i))

    def _collect(self) -> int:
        """Drop pages that no place needs; returns the bytes of the others."""
        live = {name.tobytes() for place in self._places.values() for name in place.hashes}
        self._pages = {name: page for name, page in self._pages.items() if name in live}
        self._known = None
        return len(self._pages) * PAGE


def nearest(icounts: list[int], icount: int) -> int:
    """The last of the ascending ``icounts`` at or before ``icount``, or -1."""
    at = bisect_right(icounts, icount)
    return icounts[at - 1] if at else -1
