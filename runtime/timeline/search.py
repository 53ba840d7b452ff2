"""Searching backward on all processors: segments between checkpoints, from the last to the first, each replayed for its
last hit by whoever is free. Besides the replay of the session itself there are worker processes, started for the first
long search and kept.

A segment's hit counts when no later segment has one; what is being searched before a hit is given up.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from select import select
from typing import TYPE_CHECKING, Any

from jitrr.engine.messages import message, read_message
from runtime.timeline.watch import Interrupted

if TYPE_CHECKING:
    from runtime.timeline.travel import Hit, Point, Travel

#: Checkpoints in a segment, at most.
LONGEST = 4
#: Checkpoints, or instructions, that are worth other processes.
MANY, LONG = 8, 2 << 30
#: Processes at most, the session's own among them.
MOST = 8


def segments(places: Sequence[int], begin: int, end: int) -> list[tuple[int, int]]:
    """``begin`` to ``end`` cut at some of ``places`` (ascending), the last first; they get longer toward the first."""
    cuts = [at for at in places if begin < at < end]
    found, size = [], 1
    while end > begin:
        start = cuts[-size] if size <= len(cuts) else begin
        del cuts[-size:]
        found.append((start, end))
        end, size = start, min(size + 1, LONGEST)
    return found


class Worker:
    """A process with a replay of its own; see runtime.timeline.search_worker."""

    def __init__(self, path: Path, tier: str):
        command = [sys.executable, "-P", "-m", "runtime.timeline.search_worker", str(path.resolve()), tier]
        paths = [str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
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

    def last_hit(self, parts: list[tuple[int, int]], first: Callable[[int, int], Hit | None]) -> Hit | None:
        """The last hit in any of ``parts`` (as :func:`segments` gives them). The first of them is searched here, by
        ``first(begin, end)``. Interrupted when the session's motion is to end."""
        begin, end = parts[-1][0], parts[0][1]
        recorded = [at for at in self._travel.recording.checkpoints.icounts if begin <= at < end]
        if len(recorded) >= MANY or end - begin >= LONG:
            while len(self._workers) < self._jobs - 1:
                self._workers.append(Worker(self._travel.recording.given, self._tier))
        hunt = _Hunt(self._travel, self._workers, parts)
        return hunt.near(first) or (hunt.far() if len(parts) > 1 else None)


class _Hunt:
    """One search."""

    def __init__(self, travel: Travel, workers: list[Worker], parts: list[tuple[int, int]]):
        self._travel, self._workers, self._parts = travel, workers, parts
        self._left = list(reversed(range(len(parts))))  # the next one last
        self._done: dict[int, Hit | None] = {}
        self._mine: int | None = None
        self._asked = False

    def near(self, first: Callable[[int, int], Hit | None]) -> Hit | None:
        """Search the first part, here."""
        self._done[self._left.pop()] = first(*self._parts[0])
        return self._done[0]

    def far(self) -> Hit | None:
        """Search the other parts, together with the workers."""
        asked, self._travel.interrupt = self._travel.interrupt, self._interrupt(self._travel.interrupt)
        try:
            while not self._decided():
                self._mine = self._next()
                if self._mine is None:
                    self._wait()
                else:
                    self._search()
        finally:
            self._travel.interrupt = asked
            self._end()
        return next((self._done[part] for part in sorted(self._done) if self._done[part] is not None), None)

    def _limit(self) -> int:
        """Segments from here on are of no interest: there is a later hit."""
        return min((part for part, hit in self._done.items() if hit is not None), default=len(self._parts))

    def _decided(self) -> bool:
        return all(part in self._done for part in range(min(self._limit() + 1, len(self._parts))))

    def _next(self) -> int | None:
        while self._left and self._left[-1] < self._limit():
            return self._left.pop()
        return None

    def _search(self) -> None:
        assert self._mine is not None
        try:
            self._done[self._mine] = self._travel.last_hit(*self._parts[self._mine])
        except Interrupted:
            if self._asked or self._mine < self._limit():
                raise
        self._mine = None

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
            if worker.task is None and (part := self._next()) is not None:
                worker.start(part, self._travel.points, self._parts[part])
        busy = [worker for worker in self._workers if worker.task is not None]
        for worker in select(busy, [], [], seconds)[0]:
            self._take(worker)
        for worker in self._workers:
            if worker.task is not None and worker.task > self._limit():
                worker.cancel()

    def _take(self, worker: Worker) -> None:
        part = worker.task
        assert part is not None
        kind, value = worker.answer()
        if kind == "error":
            raise value
        if kind == "hit":
            self._done[part] = value
        elif kind == "ended":  # killed from outside: somebody else does its work
            worker.close()
            self._workers.remove(worker)
            self._left.append(part)

    def _end(self) -> None:
        """Whatever is still being searched is given up."""
        for worker in list(self._workers):
            worker.cancel()
        for worker in list(self._workers):
            if worker.task is not None and worker.answer()[0] in ("ended", "error"):
                worker.close()
                self._workers.remove(worker)

