"""Packing: a recording and what it needs of its parents in one file, and back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from runtime.recording.errors import RecordingError
from runtime.recording.packed import archive, extract
from runtime.recording.recording import Recording
from runtime.recording.trim import write_whole


def pack(recording: Recording, path: Path) -> None:
    """Write ``recording`` as the file ``path``, which needs no parents; RecordingError if that fails."""

    def build(scratch: Path, packed: Path) -> None:
        write_whole(recording, scratch / "whole")
        archive(scratch / "whole", packed)

    _place(path, build)


def unpack(packed: Path, path: Path) -> None:
    """Write the recording in the file ``packed`` as the directory ``path``; RecordingError if that fails."""
    if not packed.is_file():
        raise RecordingError(f"{packed} {'is not a packed recording' if packed.exists() else 'does not exist'}")
    _place(path, lambda scratch, directory: extract(packed, directory))


def _place(path: Path, build: Callable[[Path, Path], None]) -> None:
    """What ``build`` makes appears at ``path`` when it is whole."""
    if path.exists():
        raise RecordingError(f"{path} exists already")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
            build(Path(scratch), Path(scratch) / "done")
            (Path(scratch) / "done").rename(path)
    except OSError as error:
        raise RecordingError(f"cannot write {path}: {error.strerror or error}") from error
