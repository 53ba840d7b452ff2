"""Packed recordings: one file that needs no other, and that every command takes as it takes a directory.

The file is a ZIP archive whose members are stored as they are (they are compressed already). To be read it is unpacked
into the cache, once; the cache is bounded, and what is in use stays. docs/format.md, "Packed recordings".
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import BinaryIO

import xxhash

from jitrr.engine.cache import cache_dir
from runtime.recording.errors import RecordingError

SUFFIX = ".jrrz"
#: Bytes of packed recordings whose unpacked form is kept.
LIMIT = 4 << 30
_MEMBER = re.compile(r"([a-z]+/)?[\w-]+(\.[a-z]+)?", re.ASCII)
_DATE = (1980, 1, 1, 0, 0, 0)
_CHUNK = 1 << 20


def archive(directory: Path, path: Path) -> None:
    """Write the recording in ``directory`` as the file ``path``: sorted and with a fixed date, the same bytes for the
    same recording."""
    with zipfile.ZipFile(path, "x") as packed:
        for name in sorted(str(file.relative_to(directory)) for file in directory.rglob("*") if file.is_file()):
            member = zipfile.ZipInfo(name, _DATE)
            member.external_attr = 0o644 << 16
            with packed.open(member, "w", force_zip64=True) as target, (directory / name).open("rb") as source:
                shutil.copyfileobj(source, target, _CHUNK)


def extract(path: Path, directory: Path) -> None:
    """The inverse, into a new directory; RecordingError if the file is no packed recording, or damaged."""
    try:
        with zipfile.ZipFile(path) as packed:
            names = packed.namelist()
            if "manifest.json" not in names or not all(_MEMBER.fullmatch(name) for name in names):
                raise RecordingError(f"{path} is not a packed recording")
            directory.mkdir()
            packed.extractall(directory)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise RecordingError(f"{path} is no packed recording, or it is damaged: {error}") from error


class Unpacked:
    """A packed recording in the cache: ``directory``, which stays for as long as this object does."""

    def __init__(self, path: Path):
        try:
            name = _hash(path)
            folder = cache_dir() / "recordings"
            folder.mkdir(parents=True, exist_ok=True)
            self.directory = folder / name
            self._lock = _lock(folder / f"{name}.lock", fcntl.LOCK_SH)
            while not self.directory.is_dir():
                fcntl.flock(self._lock, fcntl.LOCK_EX)
                if not self.directory.is_dir():
                    self._fill(path)
                fcntl.flock(self._lock, fcntl.LOCK_SH)  # in between it may have been removed again
            os.utime(self._lock.name)
        except OSError as error:
            raise RecordingError(f"cannot unpack {path} into {cache_dir()}: {error.strerror or error}") from error

    def _fill(self, path: Path) -> None:
        folder, name = self.directory.parent, self.directory.name
        _make_room(folder, path.stat().st_size)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as scratch:
            extract(path, Path(scratch) / name)
            (Path(scratch) / name).rename(self.directory)


def _lock(path: Path, how: int) -> BinaryIO:
    file = path.open("ab")
    fcntl.flock(file, how)
    return file


def _hash(path: Path) -> str:
    state = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def _make_room(folder: Path, size: int) -> None:
    """Remove what was not used for the longest time and is not in use, until ``size`` bytes more fit LIMIT."""
    entries = []
    for lock in folder.glob("*.lock"):
        files = list(lock.with_suffix("").rglob("*"))
        entries.append((lock.stat().st_mtime, sum(file.stat().st_size for file in files), lock))
    total = size + sum(size for _, size, _ in entries)
    for _, freed, lock in sorted(entries):
        if total <= LIMIT:
            return
        try:
            with _lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
        except BlockingIOError:
            continue
        total -= freed
