"""Where a recorded console has printed a text, to the instruction. The log notes what was printed between two
instruction counts (runtime.recording.log.Printed); only where a text may be is replayed, and what is learned there is
kept.

The *position* of a text is right after the instruction that printed its last byte.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.recording.recording import Recording
    from runtime.timeline.replay import Replay

_CONSOLE = "serial0"


@dataclass
class _Part:
    """What was printed by instructions after ``begin`` and up to ``end``; ``positions`` of the bytes, once it was
    listened to."""

    begin: int
    end: int
    data: bytes
    positions: list[int] | None = None


class Prints:
    """The console's output of one recording, by way of ``replay``, which is moved about."""

    def __init__(self, replay: Replay):
        self._replay = replay
        recording = replay.recording
        noted = recording.log.printed
        if noted is None:  # an older recording
            self._parts = [_Part(recording.begin, recording.icount, b"")]
            self._unsure = list(self._parts)
        else:
            self._parts = [_Part(*each) for each in noted if each.data]
            cuts = _cuts(recording)
            self._unsure = [part for part in self._parts if part.begin in cuts or part.end in cuts]

    def first(self, text: bytes, behind: int) -> int | None:
        """The first position of ``text`` behind ``behind``."""
        return next((at for at in self._walk(text, behind, self._replay.recording.icount) if at > behind), None)

    def last(self, text: bytes, before: int) -> int | None:
        """The last position of ``text`` before ``before``."""
        return next((at for at in self._walk(text, -1, before, -1) if at < before), None)

    def numbered(self, text: bytes, number: int) -> int | None:
        """The position of ``text`` of that number: 1 is the first, -1 the last one."""
        step = 1 if number > 0 else -1
        return next(self._walk(text, -1, self._replay.recording.icount + 1, step, abs(number)), None)

    def _walk(self, text: bytes, begin: int, end: int, step: int = 1, skip: int = 1) -> Iterator[int]:
        """Positions of ``text``, in order or (``step`` -1) backward, the parts between ``begin`` and ``end`` and
        perhaps some more; the first ``skip - 1`` are left out, unseen."""
        for part in self._unsure:
            self._listen(part)
        self._unsure.clear()
        sizes = list(accumulate(len(part.data) for part in self._parts))
        for at in _occurrences(b"".join(part.data for part in self._parts), text)[::step][skip - 1 :]:
            number = bisect_right(sizes, at)
            part = self._parts[number]
            if part.end > begin and part.begin < end:
                if part.positions is None and self._listen(part):
                    yield from self._walk(text, begin, end, step, skip)
                    return
                assert part.positions is not None
                yield part.positions[at - sizes[number]]

    def _listen(self, part: _Part) -> bool:
        """Replay a part, and note what it prints and where; whether that is not what was noted."""
        heard, positions = bytearray(), list[int]()

        def listen(icount: int, channel: str, data: bytes) -> None:
            if channel == _CONSOLE:
                heard.extend(data)
                positions.extend([icount + 1] * len(data))

        replay = self._replay
        replay.seek(part.begin)
        before, replay.on_output = replay.on_output, listen
        try:
            replay.run_to(part.end)
        finally:
            replay.on_output = before
        noted, part.data, part.positions = part.data, bytes(heard), positions
        return part.data != noted


def _cuts(recording: Recording) -> set[int]:
    """Where what is noted may be that of a longer stretch: at the ends of a piece, and where a branch left."""
    ends = {recording.begin, recording.icount} if recording.begin or recording.reason == "trimmed" else set()
    return ends | set(recording.cuts)


def _occurrences(whole: bytes, text: bytes) -> list[int]:
    """Where the last byte of each ``text`` in ``whole`` is."""
    found, at = [], whole.find(text)
    while at >= 0:
        found.append(at + len(text) - 1)
        at = whole.find(text, at + 1)
    return found
