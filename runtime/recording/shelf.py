"""States that replays leave for later sessions: files beside the recording's own, each complete in itself.

They are no part of what a recording means: any of them may be missing, damaged or removed at any time, and only how
long a seek takes depends on it. Where a recording cannot be written to (it is read-only, or packed) they are in the
cache. What was not used for longest goes when there is no room. docs/format.md, "shelf/".
"""

from __future__ import annotations

import os
from bisect import insort
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING

import msgpack
import xxhash
import zstandard

from jitrr.engine.cache import cache_dir
from runtime.recording.checkpoints import DEFAULT_BUDGET
from runtime.recording.digest import page_hash

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from runtime.recording.recording import Recording

SHELF = "shelf"
#: Bytes of all states in the cache.
CACHED = 1 << 30
#: States that wait for being written, at most.
_WAITING = 4
_MAGIC, _SUFFIX = b"JRSH", ".state"


@dataclass(frozen=True)
class Shelved:
    """One state: ``base`` is the icount of the recorded checkpoint from whose page map it differs at ``pages`` (int32
    numbers) by ``hashes`` (16 bytes each), ``contents`` has those pages that the recording does not, ``position`` says
    how many reads and inputs of the log came before, ``halted_at`` where a halted processor stopped, if known."""

    icount: int
    base: int
    position: tuple[int, int]
    halted_at: int | None
    cpu: bytes
    devices: bytes
    pages: bytes
    hashes: bytes
    contents: dict[bytes, bytes]
    digest: bytes

    def encode(self, identity: bytes) -> bytes:
        """The bytes of the file; ``identity`` is the recording's."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        body = zstandard.ZstdCompressor(level=1).compress(msgpack.packb(fields | {"recording": identity}))
        return _MAGIC + xxhash.xxh3_64_digest(body) + body

    @classmethod
    def decode(cls, data: bytes, identity: bytes) -> Shelved:
        """The inverse. ValueError: it was cut, altered, or is another recording's or version's."""
        body = data[12:]
        if data[:4] != _MAGIC or data[4:12] != xxhash.xxh3_64_digest(body):
            raise ValueError("damaged")
        fields = msgpack.unpackb(zstandard.ZstdDecompressor().decompress(body))
        if fields.pop("recording") != identity or fields.keys() != cls.__dataclass_fields__.keys():
            raise ValueError("of another recording or version")
        if any(page_hash(content) != name for name, content in fields["contents"].items()):
            raise ValueError("damaged")
        return cls(**fields | {"position": tuple(fields["position"])})


class Shelf:
    """The states that were left for a recording. Sessions may use it at the same time; what one puts there is seen by
    those that begin, or :meth:`look`, later. Not in ``use`` it is empty and takes nothing."""

    def __init__(self, recording: Recording, use: bool = True):
        self._recording, self._use = recording, use
        self._paths: dict[int, Path] = {}
        #: Where there are states, ascending.
        self.icounts: list[int] = []
        inside, beside = recording.path / SHELF, cache_dir() / SHELF / recording.identity.hex()
        #: Folders with states; the first that can be written to gets new ones.
        self._folders = [beside] if recording.packed else [inside, beside]
        self._writing: list[Future[None]] = []
        self.look()

    def __contains__(self, icount: int) -> bool:
        return icount in self._paths

    def look(self) -> None:
        """Find what others have put there."""
        self.settle()
        folders = reversed(self._folders) if self._use else []
        found = [path for folder in folders for path in folder.glob(f"*{_SUFFIX}") if path.stem.isdigit()]
        within = range(self._recording.begin + 1, self._recording.icount + 1)
        self._paths = {int(path.stem): path for path in found if int(path.stem) in within}
        self.icounts[:] = sorted(self._paths)

    def take(self, icount: int) -> Shelved | None:
        """The state at ``icount``; None, and there is none any more, if it is damaged, gone, or another recording's."""
        self.settle()
        path = self._paths[icount]
        try:
            shelved = Shelved.decode(path.read_bytes(), self._recording.identity)
        except (OSError, ValueError, KeyError, TypeError, zstandard.ZstdError):
            self.remove(icount)
            return None
        with suppress(OSError):  # it is read-only
            os.utime(path)
        return shelved

    def put(self, shelved: Shelved) -> bool:
        """Leave a state, in the background; if it cannot be written, it is not there later. False: there is one
        already, or too many are waiting."""
        self._writing = [write for write in self._writing if not write.done()]
        if not self._use or shelved.icount in self._paths or len(self._writing) >= _WAITING:
            return False
        self._paths[shelved.icount] = self._folders[0] / f"{shelved.icount:020}{_SUFFIX}"
        insort(self.icounts, shelved.icount)
        self._writing.append(self._thread.submit(self._write, shelved))
        return True

    def remove(self, icount: int) -> None:
        """What is at ``icount`` is of no use."""
        self.settle()
        self.icounts.remove(icount)
        with suppress(OSError):
            self._paths.pop(icount).unlink()

    def close(self) -> None:
        """Wait until all is written, and end."""
        self.settle()
        if "_thread" in self.__dict__:
            self._thread.shutdown()

    def settle(self) -> None:
        """Wait until all is written."""
        while self._writing:
            self._writing.pop().result()

    @cached_property
    def _thread(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor  # late: most sessions leave nothing

        return ThreadPoolExecutor(1, "shelf")

    @cached_property
    def _room(self) -> int:
        """Bytes that the recorder has left of the space for checkpoints."""
        return self._recording.manifest.get("budget", DEFAULT_BUDGET) - self._recording.size()["checkpoints"]

    def _write(self, shelved: Shelved) -> None:
        data = shelved.encode(self._recording.identity)
        if len(data) > self._room:
            return
        for folder in self._folders:
            path = folder / self._paths[shelved.icount].name
            with suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                _write_alone(path, data)
                self._paths[shelved.icount] = path
                _make_room(folder, self._room)
                _make_room(cache_dir() / SHELF, CACHED)
                return


def _write_alone(path: Path, data: bytes) -> None:
    """Write a whole file although others may be writing the same one."""
    import tempfile

    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(partial, path)
    except OSError:
        with suppress(OSError):
            os.unlink(partial)
        raise


def _make_room(folder: Path, limit: int) -> None:
    """Remove what was not used for longest until all files in ``folder`` have at most ``limit`` bytes."""
    files = []
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # another session was faster
            status = path.stat()
            if S_ISREG(status.st_mode):
                files.append((status.st_mtime_ns, status.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= limit:
            return
        path.unlink(missing_ok=True)
        total -= size
