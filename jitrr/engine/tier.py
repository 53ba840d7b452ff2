"""The hot tier: which blocks form a region, where its code comes from, and putting it in place.

Heads that became hot are drained between native runs. A region's code is found in the disk cache by its content, or
compiled by a worker process; either way it is put in place later, between two runs, and nothing the guest can see
depends on when.
"""

from __future__ import annotations

import os
import select
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import msgpack
import numpy as np
import xxhash

from jitrr.engine import cache
from jitrr.engine.cells import BRANCH, CELL, CELL_SIZE, CROSS, EXIT, KERNEL_32, KERNEL_64, NEAR
from jitrr.engine.constants import MAX_CELLS
from jitrr.engine.former import LARGE, SMALL, Body, Formed, Former
from jitrr.engine.memory import CodeArena
from jitrr.engine.templates import signed
from jitrr.engine.traces import Trace
from jitrr.engine.workers import Worker

MASK64 = (1 << 64) - 1
CODE_BYTES = 128 << 20
#: How often a block must be the one in which a run ended (every few ms) before it is made a large region.
SAMPLES = 8
#: Regions that the worker has before it: enough to keep it busy from one service to the next.
AHEAD = 3
#: Regions that wait for the worker, at most: what was asked for longer ago may ask again.
MOST_WAITING = 80
#: While others wait, a region of a trace, which takes the worker as long as several others, is every twelfth.
TURN = 12
#: A trace takes 20 ms. Regions entered often that it takes for one; services (every 10 ms) from one to the next, at
#: least: three times as many while the worker is behind, doubled by each trace that shows nothing new. Where MANY are
#: entered, the guest must be doing something else now: only the least.
WIDE, TRACE_PAUSE, LONGEST_PAUSE, MANY = 8, 30, 1000, 100
#: Times as many executions as otherwise, before a block is compiled while the tier is sparing.
SPARING = 128
#: Services from one look at what other processes have added to the cache to the next.
LOOK = 100


class Tier:
    """Hot regions of one engine. A block is looked for in the disk cache after ``threshold`` executions and compiled
    after ``patience``; where the guest spends its time, larger regions are made of the same blocks. ``synchronous``:
    wait for all regions asked for before the guest goes on."""

    def __init__(self, engine: Any, threshold: int, patience: int, synchronous: bool = False):
        self.engine, self.threshold, self.patience, self.synchronous = engine, threshold, patience, synchronous
        self.arena = CodeArena(CODE_BYTES)
        self.workers: list[Worker] = []
        self.waiting: dict[int, Formed] = {}
        self.queue: list[Formed] = []
        self.later: list[Formed] = []  # large ones of traces: they take long, and are not dropped
        self.dropped: dict[int, Formed] = {}  # by their heads: those for which there was no time
        self.bodies: dict[int, Body] = {}
        self.installed: dict[int, list[int]] = {}  # entry head -> heads of its blocks
        self.large: dict[int, None] = {}  # those of large ones
        self.users: dict[int, set[int]] = defaultdict(set)  # head -> entries of regions it is part of
        self.asked: set[int] = set()
        #: Regions in the disk cache: most questions need no file to be opened. Large ones that were looked for in vain.
        self.stored = cache.names("region")
        self.wanted: dict[str, tuple[int, int]] = {}
        self._cache_changed, self._look = cache.last_change(), LOOK
        self.samples: Counter[int] = Counter()
        #: Entries of small regions that have been entered often, and how often each has been.
        self.entered: list[int] = []
        self.promotions: Counter[int] = Counter()
        #: What the guest does now, while a trace is made.
        self.trace: Trace | None = None
        self._pause, self._next_pause = 0, TRACE_PAUSE
        #: See :meth:`spare`; heads that were left to the interpreter for it.
        self.sparing = False
        self._spared: set[int] = set()
        self.number = 0
        self.pools = engine.new_memory(8 << 20)
        self.pool_words = np.frombuffer(self.pools.map, np.uint64)
        self.pool_used = 0
        self.full = False
        self.failures: list[str] = []
        self._arena, self._words = engine.arena.address, memoryview(engine.arena.map).cast("q")
        self._stale, self._unhot = (signed(engine.native[name]) for name in ("stale", "head"))
        engine.state["hot_reset"] = threshold
        # Now if all is to be compiled, so that it is ready when the first region is; otherwise when it is needed. A
        # guest that waits leaves its core to a second one.
        self._most_workers = len(os.sched_getaffinity(0)) if synchronous else 1
        # The code generator's level: a guest that waits for all its code has too much of it to spend time on each.
        self._opt = 0 if synchronous else 1
        if not synchronous and not self.stored:
            self._start_worker()
        numbers = engine.frontend.row_numbers
        self.near = {numbers[f"goto{s}"] for s in ("", "32", "16")}
        self.far = {numbers[f"gofar{s}"] for s in ("", "32", "16")}
        self.jump, self.poll, self.cross = numbers["jump"], numbers["poll"], numbers["cross"]
        self.pcrel = {numbers[f"pcrel{s}"] for s in ("", "32", "16")}
        #: A byte per row, as block_body needs it; whether a region ends there.
        self.kinds, self.is_cold = np.zeros(1 << 16, np.uint8), np.zeros(1 << 16, bool)
        wide = {64: KERNEL_64, 32: KERNEL_32}
        for number, row in enumerate(engine.frontend.outlines):
            kind = {"exit": EXIT, "branch": BRANCH}.get(row.kind, 0) | wide.get(row.bits, 0)
            self.kinds[number] = kind | (NEAR if number in self.near else 0)
            self.is_cold[number] = row.cold
        self.kinds[self.cross] |= CROSS  # where the next page is is no part of the code; no region goes on behind it
        self._room = np.empty(MAX_CELLS, CELL), np.empty(MAX_CELLS, np.uint64)
        self._body_arguments = [each.ctypes.data for each in (self.kinds, *self._room)]

    # -- between runs -------------------------------------------------------------------------------------------------
    def service(self) -> None:
        """Take newly hot blocks, and code that is ready."""
        s = self.engine.state
        count = int(s["hot_count"])
        if count:
            hot = self.engine.hot_words[:count].tolist()
            s["hot_count"] = 0
            # Large regions first: what they cover need not be looked for.
            for head, pc in [each for each in hot if not self._starts_large(*each)]:
                self._hot(head, pc)
        if s["sample"]:
            self._sampled(int(s["sample"]), int(s["sample_pc"]))
            s["sample"] = 0
        self._collect(0.0)
        self._feed()
        self._look_around()
        if self.synchronous:
            self.finish()
        self._follow()
        if self.full:  # start afresh: what is still hot comes back, from the disk cache
            self.engine.flush_code()

    def finish(self) -> None:
        """Wait for all outstanding code."""
        while self.queue or self.later or self.waiting:
            self._feed()
            self._collect(1.0)

    def spare(self, on: bool) -> None:
        """Whether the processors have better to do than compiling: what is not in the cache is left to the interpreter,
        except what it runs all the time, and no traces are made."""
        self.sparing = on and not self.synchronous

    def close(self) -> None:
        """End the workers. Large regions of traces come late and are what makes the next run faster: if there are any
        left, or if there was not enough time for others, a worker finishes on its own what was asked for."""
        dropped = [formed for formed in self.dropped.values() if formed.head not in self.installed]
        rest = [*reversed(self.later), *reversed(self.queue), *reversed(dropped)]
        large = [formed for formed in (*self.later, *self.waiting.values()) if formed.limits == LARGE]
        if (large or dropped) and self.workers and not self.synchronous:
            self.workers.pop().leave([self._request(formed) for formed in rest])
        for worker in self.workers:
            worker.close()
        self.workers.clear()

    def _collect(self, wait: float) -> None:
        """Put in place what has been compiled."""
        if not self.waiting:
            return
        select.select(self.workers, [], [], wait)
        for worker in list(self.workers):
            for number, code, failure in worker.results():
                self._arrived(number, code, failure)
            if worker.ended:  # killed from outside: the next hot block starts another
                self.failures.append(worker.last_words())
                worker.close()
                self.workers.remove(worker)
                for number in worker.waiting:
                    self.waiting.pop(number, None)

    def _start_worker(self) -> Worker:
        worker = Worker(self.engine.frontend.name)
        self.workers.append(worker)
        return worker

    def _starts_large(self, head: int, pc: int) -> bool:
        """The cache has a large region for a block that became hot for the first time."""
        if head in self.asked or head in self.installed or self._is_stale(head):
            return False
        return self._put_cached(head, pc, LARGE)

    def _hot(self, head: int, pc: int) -> None:
        if self._is_stale(head):
            return
        if head in self.installed:
            # By now a large one may be in the cache, or all its blocks be there.
            if head in self.large or not self._put_cached(head, pc, LARGE):
                self.entered.append(head)
            return
        if head not in self.asked:
            self.asked.add(head)
            covered = not self.sparing and any(entry in self.large for entry in self.users.get(head, ()))
            if not covered and self._put_cached(head, pc, SMALL):
                return
            if self.patience > self.threshold:
                self._cell(head)["imm"] = self.threshold if covered else self.patience - self.threshold
                return
        if head in self.users and not self.promotions[head] and not self.sparing:
            # Part of a region already, which is left before it or not entered: perhaps a larger one helps.
            self.entered.append(head)
            return
        if self._put_cached(head, pc, LARGE) or self._put_cached(head, pc, SMALL):
            return
        if self.sparing and head not in self._spared:
            self._spared.add(head)
            self._cell(head)["imm"] = SPARING * self.patience
            return
        self._ask_for(Former(self, head, pc, SMALL).form(), self.queue)
        if len(self.queue) > MOST_WAITING and not self.synchronous:
            dropped = self.queue.pop(0)
            self.dropped.pop(dropped.head, None)
            self.dropped[dropped.head] = dropped
            self._rearm(dropped.head)

    def _sampled(self, head: int, pc: int) -> None:
        """The guest was in this block when a run ended."""
        self.samples[head] += 1
        self._hurry(head)
        if self.samples[head] != SAMPLES or self._is_stale(head):
            return
        former = Former(self, head, pc, LARGE)
        if former.find(pc) == head and not self._put_cached(head, pc, LARGE) and not self.sparing:
            self._ask_for(former.form(), self.queue)

    def _put_cached(self, head: int, pc: int, limits: tuple[int, int]) -> bool:
        """Put a region in place that an earlier run compiled for this block, if all its blocks are the same here."""
        name = self._name(self.body(head), head, pc, limits)
        data = cache.load(name) if name in self.stored else None
        if data is None:
            if limits == LARGE:
                self.wanted[name] = head, pc
            return False
        deltas, digests, code = msgpack.unpackb(data)
        former = Former(self, head, pc, limits)
        heads: list[int] = []
        for delta, digest in zip(deltas, digests, strict=True):
            # Some may not have been run here yet: those by which it is rarely left come late.
            part = former.make((pc + delta) & former.mask)
            if not part or self.body(part).digest != digest:
                return False
            heads.append(part)
        if heads[0] != head:
            return False
        bodies = [self.body(part) for part in heads]
        self._install(Formed(head, pc, heads, deltas, bodies, [], former.bits, limits), code)
        return True

    def _look_around(self) -> None:
        """Other processes may have added to the cache what this one has looked for."""
        self._look -= 1
        if self._look:
            return
        self._look, change = LOOK, cache.last_change()
        if change == self._cache_changed:
            return
        self._cache_changed = change
        before, self.stored = self.stored, cache.names("region")
        for name in sorted(self.stored - before):
            head, pc = self.wanted.get(name, (0, 0))
            if head and head not in self.large and not self._is_stale(head):
                self._put_cached(head, pc, LARGE)

    def _name(self, body: Body, head: int, pc: int, limits: tuple[int, int]) -> str:
        """Of a region in the cache. Many blocks are the same (the ends of functions); a kernel moves by whole pages."""
        variant = f"{self.mode_of(head)} {pc & 4095} {self._opt} {limits}"
        return cache.key("region", self.engine.frontend.name, body.digest, variant)

    def _ask_for(self, formed: Formed, queue: list[Formed]) -> None:
        """Have a region compiled."""
        for part in formed.heads:
            self.users[part].add(formed.head)
        queue.append(formed)

    def _hurry(self, head: int) -> None:
        """A region that this block is part of is compiled next."""
        entries = self.users.get(head, ())
        for at, formed in enumerate(self.queue):
            if formed.head in entries:
                self.queue.append(self.queue.pop(at))
                return

    def _feed(self) -> None:
        """Give the workers something to do: what was asked for last, for it is what the guest does now."""
        while (self.queue or self.later) and (self.synchronous or len(self.waiting) < AHEAD):
            if self.sparing and not (self.queue and self.queue[-1].head in self._spared):
                return
            turn = self.later and (not self.queue or self.number % TURN == 0)
            formed = (self.later if turn else self.queue).pop()
            if any(self._is_stale(h) for h in formed.heads):
                continue
            worker = min(self.workers, key=lambda each: len(each.waiting), default=None)
            if worker is None or (worker.waiting and len(self.workers) < self._most_workers):
                worker = self._start_worker()
            self.number += 1
            self.waiting[self.number] = formed
            worker.send(self.number, self._request(formed))

    def _request(self, formed: Formed) -> tuple[Any, ...]:
        """What a worker needs to compile a region and to keep it."""
        name = self._name(formed.bodies[0], formed.head, formed.pc, formed.limits)
        return name, [b.digest for b in formed.bodies], self._opt, *formed.request()

    def _arrived(self, number: int, code: bytes | None, failure: str) -> None:
        formed = self.waiting.pop(number, None)
        if formed is None:
            return
        if code is None:
            self.failures.append(failure)
            return
        name = self._name(formed.bodies[0], formed.head, formed.pc, formed.limits)
        cache.added(name)
        self.stored.add(name)
        self._install(formed, code)

    def _install(self, formed: Formed, code: bytes) -> None:
        if any(self._is_stale(h) for h in formed.heads) or (formed.limits == SMALL and formed.head in self.large):
            return
        # Heads, the jump-cache key under which each is known to be mapped, entries until it is hot, literals.
        literals = (value & MASK64 for value in formed.literals)
        pool = [*formed.heads, *(0 for _ in formed.heads), 0, *literals]
        address = self.arena.add(code)
        if address is None or self.pool_used + len(pool) > len(self.pool_words):
            self.full = True
            return
        at = self.pool_used
        self.pool_words[at : at + len(pool)] = pool
        self.pool_used += len(pool)
        cell = self._cell(formed.head)
        cell["imm"] = self.pools.address + 8 * at
        cell["handler"] = address
        self.installed[formed.head] = formed.heads
        if formed.limits == LARGE:
            self.large[formed.head] = None
        elif not self.synchronous:
            self.large.pop(formed.head, None)
            self._count(formed.head, formed.heads, self.patience // 2)
        for h in formed.heads:
            self.users[h].add(formed.head)
        self.engine.counters["regions"] += 1

    # -- invalidation -------------------------------------------------------------------------------------------------
    def forget(self, heads: Iterable[int]) -> None:
        """Blocks are stale: so are the regions they are part of."""
        for head in heads:
            if head in self.bodies or head in self.asked or head in self.users or head in self.samples:
                self._forget(head)

    def _forget(self, head: int) -> None:
        self.asked.discard(head)
        self._spared.discard(head)
        self.bodies.pop(head, None)
        self.samples.pop(head, None)
        for entry in self.users.pop(head, ()):
            self.large.pop(entry, None)
            if self.installed.pop(entry, None) is not None and entry != head and not self._is_stale(entry):
                self.asked.discard(entry)
                cell = self._cell(entry)
                cell["imm"] = self.threshold
                cell["handler"] = self.engine.native["head"]

    def forget_all(self) -> None:
        """All cells are about to be dropped."""
        self.installed.clear()
        self.large.clear()
        self.users.clear()
        self.waiting.clear()
        self.queue.clear()
        self.later.clear()
        self.dropped.clear()
        self.bodies.clear()
        self.asked.clear()
        self._spared.clear()
        self.wanted.clear()
        self.samples.clear()
        self.entered.clear()
        self.promotions.clear()
        self.trace = None
        self.arena.used = self.pool_used = 0
        self.full = False

    # -- traces -------------------------------------------------------------------------------------------------------
    def _follow(self) -> None:
        """Begin a trace where regions are entered often, and make large regions of one that is complete."""
        self._pause -= 1
        if self.trace is not None and self.trace.done:
            self._traced(self.trace)
            self.trace = None
        elif self.trace is None and len(self.entered) >= WIDE and not self.sparing:
            passed = self._pause <= (-2 * TRACE_PAUSE if self.queue else 0)
            if passed or (len(self.entered) >= MANY and self._pause <= self._next_pause - TRACE_PAUSE):
                self.trace = Trace(self)

    def _traced(self, trace: Trace) -> None:
        known = {head: set(self.installed[head]) for head in self.large}
        coming = [formed for formed in (*self.queue, *self.later, *self.waiting.values()) if formed.limits == LARGE]
        known |= {formed.head: set(formed.heads) for formed in coming}
        found = trace.regions(known)
        self.engine.counters["traces"] += 1
        self._pause = self._next_pause = TRACE_PAUSE if found else min(2 * self._next_pause, LONGEST_PAUSE)
        for region in found:
            if not self._is_stale(region.heads[0]) and not self._put_cached(region.heads[0], region.pc, LARGE):
                self._ask_for(region.form(), self.later)
        for head in self.entered:
            self.promotions[head] += 1
            if head in self.installed:
                self._count(head, self.installed[head], self.patience << min(self.promotions[head], 16))
            else:
                self._rearm(head)
        self.entered.clear()

    def _rearm(self, head: int) -> None:
        """A block that is the interpreter's becomes hot once more."""
        if head not in self.installed and not self._is_stale(head):
            self._cell(head)["imm"] = 4 * self.patience

    def _count(self, head: int, heads: list[int], entries: int) -> None:
        """Ask for a trace after so many entries of a region (0: never)."""
        at = (int(self._cell(head)["imm"]) - self.pools.address) // 8
        self.pool_words[at + 2 * len(heads)] = entries

    def _is_stale(self, head: int) -> bool:
        return self._word(head, 0) == self._stale

    def _cell(self, address: int) -> Any:
        return self.engine.cells[(address - self._arena) // CELL_SIZE]

    def _word(self, head: int, number: int) -> int:
        """One of the words of a block's cells, four a cell."""
        return self._words[(head - self._arena >> 3) + number]

    # -- blocks -------------------------------------------------------------------------------------------------------
    def mode_of(self, head: int) -> int:
        """Translation mode of a block: its head cell keeps ``phys | mode << 44`` in its second word."""
        return self._word(head, 1) >> 44 & 255

    def worth(self, head: int) -> bool:
        """A block that has been run often enough to be part of a region."""
        handler = self._word(head, 0)
        if handler == self._stale:
            return False
        return handler != self._unhot or self._word(head, 2) < self.threshold - self.threshold // 16

    def length(self, head: int) -> int:
        """Instructions of a block."""
        return self._word(head, 3) & 0xFFFF

    def size(self, head: int) -> tuple[int, bool]:
        """Cells of a block, and whether a region ends in it for sure."""
        start = (head - self.engine.arena.address) // CELL_SIZE + 1
        ops = self.engine.cells["op"][start : start + MAX_CELLS]
        ops = ops[: int(np.flatnonzero(self.kinds[ops] & EXIT)[0]) + 1]
        return len(ops), bool(self.is_cold[ops].any())

    def link(self, head: int, index: int) -> int:
        """Head cell that a near goto leads to, or 0 where it has not been taken yet."""
        return self._word(head, 4 * index + 1)

    def body(self, head: int) -> Body:
        """A block's cells without addresses."""
        body = self.bodies.get(head)
        if body is None:
            body = self.bodies[head] = self._body(head)
        return body

    def _body(self, head: int) -> Body:
        found = self.engine.call("block_body", head, *self._body_arguments)
        count, literals, exits = found & 0xFFFF, found >> 16 & 0xFFFF, found >> 32
        cells = self._room[0][:count].copy()
        values = self._room[1][:literals].tolist()
        return Body(cells, values, list(range(count - exits, count)), xxhash.xxh3_128_digest(cells.tobytes()))
