"""Which states a replay leaves for later sessions (runtime.recording.shelf), and what becomes of them there.

Worth leaving is what took long to come to from the last state before it that is on disk: the places of a long way, and
one a little before a position that somebody wanted, but none of those that are a millisecond apart. Seconds are the
host's; they decide what is stored and nothing else.
"""

from __future__ import annotations

import numpy as np

from runtime.recording.digest import hash_rows, machine_digest
from runtime.recording.recording import Recording
from runtime.recording.shelf import Shelved
from runtime.timeline.dense import Kept, Place

#: Seconds of running that a state on disk has to spare.
WORTH = 0.1


class Lead:
    """How long the machine has run since the last state that is on disk."""

    def __init__(self) -> None:
        self._begin, self._seconds = 0, 0.0

    def restart(self, icount: int, seconds: float) -> None:
        """The machine was put into the state at ``icount``, which is ``seconds`` from one on disk."""
        self._begin, self._seconds = icount, seconds

    def ran(self, seconds: float) -> None:
        """It has run."""
        self._seconds += seconds

    def seconds(self, icount: int, stored: int) -> float:
        """From ``stored``, the last state on disk before ``icount``, to there, where the machine is: in proportion, if
        it ran past that one."""
        if stored <= self._begin:
            return self._seconds
        return self._seconds * (icount - stored) / (icount - self._begin)


def shelve(place: Place, base: int, kept: Kept, recording: Recording) -> Shelved | None:
    """``place`` as a file: the difference to the recorded checkpoint at ``base``; None if a page is not at hand."""
    contents = {}
    for name in map(bytes, place.hashes.view(np.uint8)):
        if name not in recording.pages:
            if (content := kept.page(name)) is None:
                return None
            contents[name] = content
    digest = machine_digest(place.cpu, place.devices, place.table())
    return Shelved(place.icount, base, place.position, place.halted_at, place.cpu, place.devices,
                   place.pages.astype(np.int32).tobytes(), place.hashes.tobytes(), contents, digest)  # fmt: skip


def unshelve(shelved: Shelved, base: Place, recording: Recording) -> Place | None:
    """The place of a file, ``base`` being that of the checkpoint it differs from; None if it is not what it should be,
    or a page of it is missing."""
    pages, hashes = np.frombuffer(shelved.pages, np.int32).astype(np.int64), hash_rows(shelved.hashes)
    names = map(bytes, hashes.view(np.uint8))
    if not all(name in shelved.contents or name in recording.pages for name in names):
        return None
    place = Place(shelved.icount, shelved.cpu, shelved.devices, base.base, shelved.position, pages, hashes,
                  shelved.halted_at)  # fmt: skip
    right = machine_digest(place.cpu, place.devices, place.table()) == shelved.digest
    return place if right else None
