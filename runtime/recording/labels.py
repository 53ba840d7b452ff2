"""Names for instruction counts of a recording, given by ``savevm`` of the monitor. The recording decides the state at
an instruction count, so that a name and a number are the whole of a named checkpoint. docs/format.md, "labels.json".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import xxhash

from runtime.recording.errors import RecordingError
from runtime.recording.files import read_json, write_json

LABELS = "labels.json"
_NAME = re.compile(r"[A-Za-z_][\w.-]*")


class Labels:
    """The labels of a recording at ``path``. Where that cannot be written (it is read-only, or one packed file) they
    are kept in the user's cache, under ``identity``: anything that only this recording has. ``inherited`` are those of
    the recording that this one is a branch of."""

    def __init__(self, path: Path, identity: Any, inherited: dict[str, int] | None = None, packed: bool = False):
        from runtime.guests.store import default_directory  # late: guests and where they are fetched from come with it

        self._inside, self._inherited, self._packed = path / LABELS, inherited or {}, packed
        self._beside = (
            default_directory().parent / "labels" / f"{xxhash.xxh3_128_hexdigest(repr(identity).encode())}.json"
        )

    def all(self) -> dict[str, int]:
        """Every label and its instruction count, in the order of these. RecordingError: a file is damaged."""
        found = {**self._inherited, **self._read(self._inside), **self._read(self._beside)}
        return dict(sorted(found.items(), key=lambda label: (label[1], label[0])))

    def put(self, name: str, icount: int) -> None:
        """Give a name to ``icount``; it may have been another's. ValueError for what is no name; RecordingError."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name: a letter, then letters, digits, dots, dashes")
        if not self._write(self._inside, {**self._read(self._inside), name: icount}):
            self._write(self._beside, {**self._read(self._beside), name: icount}, must=True)

    def remove(self, name: str) -> None:
        """Forget a name. KeyError: there is none; RecordingError: it cannot be removed, or is another recording's."""
        if name not in self.all():
            raise KeyError(name)
        if not any(name in self._read(path) for path in (self._inside, self._beside)):
            raise RecordingError(f"{name} is a label of the recording that this one is a branch of")
        for path in (self._inside, self._beside):
            if name in (labels := self._read(path)):
                del labels[name]
                self._write(path, labels, must=True)

    def _read(self, path: Path) -> dict[str, int]:
        return dict(read_json(path)["labels"]) if path.is_file() else {}

    def _write(self, path: Path, labels: dict[str, int], must: bool = False) -> bool:
        if path == self._inside and self._packed and not must:
            return False
        try:
            if path == self._beside:
                path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, {"labels": labels})
        except OSError as error:
            if must:
                raise RecordingError(f"cannot write {path}: {error.strerror}") from error
            return False
        return True


def recorded_labels(recording: Any) -> Labels:
    """The labels of a :class:`runtime.recording.recording.Recording`."""
    past, inherited = recording.past, {}
    if past is not None:
        inherited = {name: at for name, at in recorded_labels(past.recording).all().items() if at <= past.icount}
    packed = recording.given != recording.path
    return Labels(recording.path, (recording.manifest, recording.icount), inherited, packed)


def write_labels(path: Path, labels: dict[str, int]) -> None:
    """Put labels into a recording that is being made at ``path``."""
    write_json(path / LABELS, {"labels": labels})
