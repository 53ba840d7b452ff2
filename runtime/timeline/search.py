"""Searching backward on all processors: segments between checkpoints, each replayed for its last hit. Runs of segments
are searched, those at the end first and each of them forward, by whoever is free. Besides the replay of the session
itself there are worker processes, started for the first long search and kept.

A segment's hit counts when no later segment has one; what is being searched before a hit is given up.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from select import select
from typing import TYPE_CHECKING, Any

from jitrr.engine.messages import message, read_message
from runtime.timeline.watch import Interrupted

if TYPE_CHECKING:
    from runtime.timeline.travel import Hit, Point, Travel

#: Checkpoints, or instructions, that are worth other processes.
MANY, LONG = 8, 2 << 30
#: Processes at most, the session's own among them.
MOST = 8
#: Instructions of the last run of segments (besides the last segment itself), how much longer each is than the one
#: behind it, and segments that are worth sharing.
FIRST, GROWTH, WORTH = 64 << 20, 4, 3


def segments(
    places: Sequence[int], begin: int, end: int, last: Callable[[int, int], int] = lambda _, end: end
) -> list[tuple[int, int]]:
    """``begin`` to ``end`` cut at ``places`` (ascending), the last first. From one place to the next only what is
    before ``last(place, next)`` has to be searched."""
    cuts = [begin, *(at for at in places if begin < at < end), end]
    found = [(at, behind) for at, to in pairwise(cuts) if at < to and at < (behind := last(at, to))]
    return found[::-1]


class Shares:
    """Who searches which of ``segments``, known by their numbers: runs of them, each searched forward, for a machine
    that comes out of one has all that the next one needs. The runs get longer toward the first segment. Whoever has
    nothing left takes the later half of what somebody else has before it. A run in which there is a hit is gone on with
    from its end: there may well be others, and only the last one counts."""

    def __init__(self, segments: Sequence[tuple[int, int]]):
        self._segments = segments
        self._waiting: list[list[int]] = []  # nobody's, the next segment of each last
        self._own: dict[object, list[int]] = {}
        self._hit: set[object] = set()  # whose run has one
        run, length, least = list[int](), 0, 0
        for number, (at, to) in enumerate(segments):
            run.append(number)
            length += to - at
            if length >= least:
                self._waiting.append(run)
                run, length, least = [], 0, GROWTH * least or FIRST
        self._waiting.append(run)

    def take(self, who: object, limit: int, begins: Container[int] | None = None) -> int | None:
        """The next segment for ``who``, or None: a number below ``limit``, and unless it goes on with a run, one that
        begins at one of ``begins``."""
        for run in (*self._waiting, *self._own.values()):
            run[:] = [number for number in run if number < limit]
        run = self._own.get(who, [])
        if not run:
            run = self._own[who] = self._run(begins)
            self._hit.discard(who)
        return run.pop(0 if who in self._hit else -1) if run else None

    def hit(self, who: object) -> None:
        """There was one in the segment that ``who`` took last."""
        self._hit.add(who)

    def give_back(self, who: object, number: int) -> None:
        """Somebody else has to search this segment, and what ``who`` had before it."""
        self._waiting.append([*self._own.pop(who, ()), number])
        self._waiting.sort()

    def _run(self, begins: Container[int] | None) -> list[int]:
        for run in self._waiting:
            if part := self._later(run, len(run), begins):
                return part
        longest = max(self._own.values(), key=len, default=[])
        return self._later(longest, len(longest) // 2, begins) if len(longest) >= WORTH else []

    def _later(self, run: list[int], most: int, begins: Container[int] | None) -> list[int]:
        """Out of a run its later part of at most ``most`` segments."""
        for size in range(most, 0, -1):
            if begins is None or self._segments[run[size - 1]][0] in begins:
                part, run[:] = run[:size], run[size:]
                return part
        return []


class Worker:
    """A process with a replay of its own; see runtime.timeline.search_worker."""

    def __init__(self, path: Path, tier: str):
        command = [sys.executable, "-P", "-m", "runtime.timeline.search_worker", str(path.resolve()), tier]
        paths = [str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
                                         start_new_session=True)  # fmt: skip
        #: The number of the segment it searches.
        self.task: int | None = None
        self.cancelled = False

    def fileno(self) -> int:
        """Readable when it has an answer."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def start(self, task: int, points: Sequence[Point], segment: tuple[int, int]) -> None:
        """Search a segment."""
        self.task, self.cancelled = task, False
        self._send((tuple(points), *segment))

    def cancel(self) -> None:
        """Its segment is of no interest any more; it answers all the same."""
        if self.task is not None and not self.cancelled:
            self.cancelled = True
            self._send(())

    def answer(self) -> tuple[str, Any]:
        """("hit", a Hit or None), ("cancelled", None), ("error", the exception), or ("ended", None)."""
        assert self._process.stdout is not None
        self.task = None
        return read_message(self._process.stdout) or ("ended", None)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def _send(self, value: Any) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # its end is noticed when it is asked for an answer
            self._process.stdin.write(message(value))
            self._process.stdin.flush()


class Search:
    """The searches of one session, whose replay is ``travel``. ``jobs``: processes (by default: as many as there are
    processors)."""

    def __init__(self, travel: Travel, tier: str, jobs: int | None = None):
        self._travel, self._tier = travel, tier
        self._jobs = min(jobs or len(os.sched_getaffinity(0)), MOST)
        self._workers: list[Worker] = []

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.close()
        self._workers.clear()

    def last_hit(self, begin: int, end: int, first: Callable[[int, int], Hit | None], within: bool) -> Hit | None:
        """The last hit from ``begin`` on and before ``end``. The last segment is searched here, by ``first(begin,
        end)``; ``within``: it has to be. Interrupted when the session's motion is to end."""
        travel = self._travel
        uses, touched = travel.uses(), travel.recording.touched

        def last(at: int, to: int) -> int:
            return end if within and to == end else touched.last_use(at, to, uses)

        places = travel.replay.places()
        parts = segments(places, begin, end, last)
        if within and not parts:
            parts = [(begin, end)]
        count = sum(any(at <= place < to for at, to in parts) for place in travel.recording.checkpoints.icounts)
        if len(parts) > 1 and (count >= MANY or sum(to - at for at, to in parts) >= LONG):
            while len(self._workers) < self._jobs - 1:
                self._workers.append(Worker(travel.recording.given, self._tier))
        return _Hunt(travel, self._workers, parts).last_hit(first)


class _Hunt:
    """One search. What workers still do for an earlier one is cancelled, and their answer is none."""

    def __init__(self, travel: Travel, workers: list[Worker], parts: list[tuple[int, int]]):
        self._travel, self._workers, self._parts = travel, workers, parts
        self._shares = Shares(parts)
        #: Where workers can begin; the session has temporary checkpoints besides.
        self._shared = travel.replay.shared() if workers else set()
        self._done: dict[int, Hit | None] = {}
        self._mine: int | None = None
        self._asked = False

    def last_hit(self, first: Callable[[int, int], Hit | None]) -> Hit | None:
        """Search all parts, the first of them with ``first``."""
        asked, self._travel.interrupt = self._travel.interrupt, self._interrupt(self._travel.interrupt)
        tier = self._travel.machine.engine.tier
        if tier is not None and self._workers:
            tier.spare(True)
        try:
            self._mine = self._next()
            while not self._decided():
                if self._mine is None:
                    self._wait()
                else:
                    self._search(self._travel.last_hit if self._mine else first)
                self._mine = self._next()
        finally:
            self._travel.interrupt = asked
            if tier is not None:
                tier.spare(False)
            for worker in self._workers:
                worker.cancel()
        return next((self._done[part] for part in sorted(self._done) if self._done[part] is not None), None)

    def _limit(self) -> int:
        """Segments from here on are of no interest: there is a later hit."""
        return min((part for part, hit in self._done.items() if hit is not None), default=len(self._parts))

    def _decided(self) -> bool:
        return all(part in self._done for part in range(min(self._limit() + 1, len(self._parts))))

    def _next(self) -> int | None:
        """The part that is searched here next."""
        return self._shares.take(self, self._limit())

    def _search(self, search: Callable[[int, int], Hit | None]) -> None:
        assert self._mine is not None
        try:
            self._put(self, self._mine, search(*self._parts[self._mine]))
        except Interrupted:
            if self._asked or self._mine < self._limit():
                raise

    def _put(self, who: object, part: int, hit: Hit | None) -> None:
        self._done[part] = hit
        if hit is not None:
            self._shares.hit(who)

    def _interrupt(self, asked: Callable[[], bool]) -> Callable[[], bool]:
        def interrupt() -> bool:
            self._asked = self._asked or asked()
            self._exchange(0.0)
            return self._asked or (self._mine is not None and self._mine > self._limit())

        return interrupt

    def _wait(self) -> None:
        self._exchange(0.02)
        self._travel.look_outside()

    def _exchange(self, seconds: float) -> None:
        """Take answers, give tasks."""
        for worker in self._workers:
            if worker.task is not None:
                continue
            if (part := self._shares.take(worker, self._limit(), self._shared)) is not None:
                worker.start(part, self._travel.points, self._parts[part])
        busy = [worker for worker in self._workers if worker.task is not None]
        for worker in select(busy, [], [], seconds)[0]:
            self._take(worker)
        for worker in self._workers:
            if worker.task is not None and worker.task > self._limit():
                worker.cancel()

    def _take(self, worker: Worker) -> None:
        part, cancelled = worker.task, worker.cancelled
        assert part is not None
        kind, value = worker.answer()
        if kind == "ended":  # killed from outside: somebody else does its work
            worker.close()
            self._workers.remove(worker)
        if cancelled:
            return
        if kind == "error":
            raise value
        if kind == "hit":
            self._put(worker, part, value)
        elif kind == "ended":
            self._shares.give_back(worker, part)
