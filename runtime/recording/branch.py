"""Branches: a recording that left another one at some instruction and shares everything before it.

The manifest of a branch names the other one by path and by the hash of the history that they share, so that a parent
that was moved, or is another one now, is noticed when the branch is opened. docs/format.md, "Branches".
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import xxhash

from runtime.recording.errors import RecordingError

if TYPE_CHECKING:
    from runtime.recording.recording import Recording

_REMEDY = "put it back; jitrr pack makes one file of a branch and its parents"


@dataclass(frozen=True)
class Past:
    """What a branch shares: ``recording`` up to ``icount``, with the first ``events`` events of its log."""

    recording: Recording
    icount: int
    events: int

    def describe(self, branch: Path) -> dict[str, Any]:
        """The manifest's entry ``parent`` in the recording ``branch``: a path relative to where ``branch`` is."""
        path = os.path.relpath(self.recording.given.resolve(), branch.resolve().parent)
        return {"path": path, "icount": self.icount, "events": self.events, "hash": self.hash()}

    def hash(self) -> str:
        """xxh3-128, hex, of the machine and of what is logged before ``icount``: the same whatever checkpoints there
        are, and for a recording that was packed, cut short later on, or is itself a branch."""
        log = self.recording.log
        state = xxhash.xxh3_128(json.dumps(self.recording.manifest["machine"], sort_keys=True).encode())
        state.update(msgpack.packb([list(event) for event in log.events[: self.events]]))
        state.update(msgpack.packb([list(digest) for digest in log.digests if digest.icount <= self.icount]))
        return state.hexdigest()


def open_past(branch: Recording, children: tuple[Path, ...]) -> Past | None:
    """The past of ``branch``, opened, or None if it is no branch; RecordingError if it is missing or another one.
    ``children`` are the recordings being opened whose parent ``branch`` is."""
    from runtime.recording.recording import Recording

    described = branch.manifest.get("parent")
    if described is None:
        return None
    path = Path(os.path.normpath(branch.given.resolve().parent / described["path"]))
    here = branch.given.resolve()
    if not path.exists():
        raise RecordingError(f"{branch.given} is a branch of {path}, which does not exist: {_REMEDY}")
    if path.resolve() in (here, *children):
        raise RecordingError(f"{branch.given} is damaged: it says that it is a branch of itself")
    past = Past(Recording(path, (here, *children)), described["icount"], described["events"])
    if past.recording.icount < past.icount or past.hash() != described["hash"]:
        raise RecordingError(f"{branch.given} is a branch of {path}, which is not that recording any more: {_REMEDY}")
    return past
