"""Breakpoints and watchpoints of a debugger: what makes a run stop at exact places without changing what is run.

A block that begins at the page offset of a breakpoint has a cell in front (``break``) that asks whether its linear
address is one; no block goes across such an offset. Code elsewhere runs as always, compiled regions included.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from jitrr.engine.constants import (
    DEBUG_WATCHES,
    PAGE_WATCH,
    PAGE_WATCH_READ,
    PHYSICAL_WATCHES,
    READ,
    WATCH_LEAVE,
    WATCHES,
    WRITE,
)  # fmt: skip

if TYPE_CHECKING:
    from jitrr.engine.engine import Engine

#: Page offsets that are no longer in use, after which the blocks cut there are made afresh.
STALE_OFFSETS = 64
NEVER = 1 << 62
MASK64 = (1 << 64) - 1
#: Kinds of watchpoints -> bits of field ``watch_kind``.
KINDS = {"read": 1 << READ, "write": 1 << WRITE, "access": 1 << READ | 1 << WRITE}


class TooManyWatches(Exception):
    """There is no room for another watchpoint; one line for people."""


class Breakpoints:
    """Those of one engine; off until :meth:`enable`."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._addresses: list[int] = []
        #: Page offsets at which blocks begin with a ``break`` cell; none goes across one.
        self.offsets: set[int] = set()
        self._ordered: list[int] = []
        self._cuts = np.zeros(4096 + 1, np.uint16)
        engine.state["cuts"] = self._cuts.ctypes.data
        self._sorted = np.zeros(1, np.uint64)
        self._enabled = False
        #: As set, whether they are in use or not: (first, bytes, bits of ``watch_kind``).
        self._watches: list[tuple[int, int, int]] = []
        self._physical: list[tuple[int, int, int]] = []  # of places, 1 << READ and 1 << WRITE

    def set(self, addresses: Iterable[int]) -> None:
        """Stop (Exit.BREAK) before the instructions at these linear addresses, mapped or not."""
        self._addresses = sorted({address & MASK64 for address in addresses})
        self._sorted = np.array(self._addresses or [0], np.uint64)
        self._engine.state["breakpoints"] = self._sorted.ctypes.data
        wanted = {address & 4095 for address in self._addresses}
        fresh = wanted - self.offsets
        if len(self.offsets - wanted) > STALE_OFFSETS:
            stale, self.offsets = self.offsets - wanted, wanted
            self._engine.cut_blocks(stale | fresh)
        elif fresh:
            self.offsets |= fresh
            self._engine.cut_blocks(fresh)
        self._ordered = sorted(self.offsets)
        self._cuts[:] = np.searchsorted(self._ordered, np.arange(4096 + 1))
        self.enable(self._enabled)

    def enable(self, on: bool) -> None:
        """Whether breakpoints and watchpoints stop a run. While they do not, they cost nothing."""
        self._engine.state["break_count"] = len(self._addresses) if on else 0
        if on != self._enabled:
            self._enabled = on
            self._use_watches(len(self._watches))
            if self._physical:
                self._use_physical()

    def pass_here(self) -> None:
        """The breakpoint at the instruction that comes next does not stop it this time."""
        engine = self._engine
        engine.state["break_passed"] = engine.icount
        engine.state["break_passed_at"] = engine.linear(int(engine.state["pc"]))

    def pass_none(self) -> None:
        """Every breakpoint stops the run again."""
        self._engine.state["break_passed"] = MASK64

    def watch(self, watches: Iterable[tuple[int, int, str]]) -> None:
        """End a run (Exit.REQUEST) after instructions that access these linear addresses: (first, bytes, kind)."""
        wanted = [(_signed(address), size, KINDS[kind] | WATCH_LEAVE) for address, size, kind in watches]
        room = WATCHES - DEBUG_WATCHES
        if len(wanted) > room:
            raise TooManyWatches(f"there are {len(wanted)} watchpoints, and room for {room}: delete one")
        before, self._watches = len(self._watches), wanted
        self._use_watches(max(before, len(wanted)))

    def _use_watches(self, count: int) -> None:
        """Tell the engine of the first ``count`` watches, those of them that there are now."""
        used = self._watches if self._enabled else []
        for number, watch in enumerate([*used, *[(0, 0, 0)] * (count - len(used))]):
            self._engine.call("set_watch", DEBUG_WATCHES + number, *watch)

    def watch_physical(self, watches: Iterable[tuple[int, int, str]]) -> None:
        """The same for guest physical addresses of RAM; ValueError when it is none. Every access is seen but those of
        page walks and of fetching code."""
        places = []
        for address, size, kind in watches:
            first, last = self._engine.locate(address), self._engine.locate(address + size - 1)
            if first is None or last is None:
                raise ValueError(f"there is no RAM at physical address {address:#x}")
            places.append((first, size, KINDS[kind]))
        if len(places) > PHYSICAL_WATCHES:
            raise TooManyWatches(f"there is room for {PHYSICAL_WATCHES} physical watchpoints: delete one")
        if places or self._physical:
            self._physical = places
            self._use_physical()

    def _use_physical(self) -> None:
        engine, places = self._engine, self._physical if self._enabled else []
        engine.page_flags &= 0xFF ^ PAGE_WATCH ^ PAGE_WATCH_READ
        fields = [engine.state[name] for name in ("watch_place", "watch_length", "watch_access")]
        for number in range(PHYSICAL_WATCHES):
            watch = places[number] if number < len(places) else (0, 0, 0)
            for field, value in zip(fields, watch, strict=True):
                field[number] = value
            first, size, accesses = watch
            flags = accesses >> WRITE & 1 and PAGE_WATCH
            flags |= accesses >> READ & 1 and PAGE_WATCH_READ
            engine.page_flags[first >> 12 : first + size + 4095 >> 12] |= flags
        engine.call("flush_all")

    def take_hits(self) -> int:
        """Which watches were hit by the instruction that retired last, bit n: the n-th one of :meth:`watch`, bit
        WATCHES - DEBUG_WATCHES + n: the n-th of :meth:`watch_physical`; and forget them."""
        state = self._engine.state
        hits = int(state["watch_hits"])
        if not hits or self.delivered:
            return 0
        self.forget_hits()
        return hits >> DEBUG_WATCHES if int(state["watch_at"]) + 1 == self._engine.icount else 0

    @property
    def delivered(self) -> bool:
        """The delivery of an interrupt or exception here has hit a watch: with the first instruction behind it, it is
        a step to be told of."""
        state = self._engine.state
        return bool(state["watch_hits"]) and int(state["watch_at"]) == self._engine.icount

    def forget_hits(self) -> None:
        """The machine is put into another state."""
        self._engine.state["watch_hits"] = 0

    def front_cell(self, head: int, count: int) -> int:
        """Put the ``break`` cell in front of the block at index ``head`` (of ``count`` cells); cells it has now."""
        cells, native = self._engine.cells, self._engine.native
        cells[head + 2 : head + 2 + count] = cells[head + 1 : head + 1 + count].copy()
        uncount = cells[head]["uncount"]
        row = self._engine.frontend.row_numbers["break"]
        cells[head + 1] = (native["op_break"], 0, 0, 0, 0, 0, uncount, 0, row, 0)
        cells[head]["imm"] = NEVER  # it is never worth compiling
        return count + 1

    def first_cut(self, head: int, count: int, start: int) -> int:
        """Instructions of a block (its cells from index ``head`` on, its code at page offset ``start``) that go before
        the first break offset within it, or 0 where there is none."""
        length = int(self._engine.cells["patch"][head])
        first = bisect_right(self._ordered, start)
        if first == len(self._ordered) or self._ordered[first] >= start + length:
            return 0
        cells = self._engine.cells[head + 1 : head + count]
        at = cells["off"].astype(np.int64) + start
        inside = np.isin(at, list(self.offsets)) & (cells["off"] != 0)
        found = np.flatnonzero(inside)
        return int(self._engine.cells[head]["uncount"]) - int(cells["uncount"][found[0]]) if len(found) else 0


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
