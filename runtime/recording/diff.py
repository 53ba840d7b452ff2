"""Comparing what is logged of two recordings of the same machine: events and digests, without running anything."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

from runtime.recording.errors import RecordingError
from runtime.recording.log import Event
from runtime.recording.recording import Recording

Pair = tuple[Event | None, Event | None]


@dataclass(frozen=True)
class LogDifference:
    """Two logs from ``begin`` to ``end``, which is what both recordings have. ``events``: the first two that are not
    the same (None: one has no more), or None. The digests are the same at ``good`` and not at ``bad``: the last and the
    first such icounts that both have a digest of, or None."""

    begin: int
    end: int
    events: Pair | None
    good: int | None
    bad: int | None

    @property
    def event_icount(self) -> int | None:
        """The first icount at which something else happened."""
        return min(event.icount for event in self.events if event is not None) if self.events else None


def compare_logs(a: Recording, b: Recording) -> LogDifference:
    """RecordingError if these are recordings of different machines, or of different times."""
    _check_same_machine(a, b)
    begin, end = max(a.begin, b.begin), min(a.icount, b.icount)
    if begin > end:
        early, late = (a, b) if a.icount < b.begin else (b, a)
        raise RecordingError(f"{early.given} ends at instruction {early.icount}, {late.given} begins at {late.begin}")
    digests = [{digest.icount: digest.digest for digest in recording.log.digests} for recording in (a, b)]
    common = [icount for icount in sorted(digests[0].keys() & digests[1].keys()) if begin <= icount <= end]
    bad = next((icount for icount in common if digests[0][icount] != digests[1][icount]), None)
    good = max((icount for icount in common if bad is None or icount < bad), default=None)
    return LogDifference(begin, end, _first_pair(_between(a, begin, end), _between(b, begin, end)), good, bad)


def _between(recording: Recording, begin: int, end: int) -> list[Event]:
    """The events behind the state at ``begin`` and before that at ``end``; those of switching on count for 0."""
    events = recording.log.events
    return events[bisect_left(events, begin, key=_icount) : bisect_left(events, end, key=_icount)]


def _icount(event: Event) -> int:
    return event.icount


def _first_pair(a: list[Event], b: list[Event]) -> Pair | None:
    at = next((at for at, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))
    if at == len(a) == len(b):
        return None
    return a[at] if at < len(a) else None, b[at] if at < len(b) else None


def _check_same_machine(a: Recording, b: Recording) -> None:
    first, second = (_described(recording) for recording in (a, b))
    for name in sorted(first.keys() | second.keys()):
        if first.get(name) != second.get(name):
            what = f"{name} {first.get(name)} and {second.get(name)}"
            raise RecordingError(f"{a.given} and {b.given} are of different machines: {what}")


def _described(recording: Recording) -> dict[str, Any]:
    """The machine; an image by its hash alone."""
    machine: dict[str, Any] = recording.manifest["machine"]
    return {name: value["hash"] if isinstance(value, dict) else value for name, value in machine.items()}
