"""Checkpoints: processor, devices and RAM at one instruction count, each as the difference to an earlier one.

The page map of a checkpoint is its ancestors' differences laid over each other. Number n is the difference to n with
its lowest bit cleared, so that even thousands of checkpoints have a dozen ancestors each. When the disk budget is used
up the checkpoints are thinned: old ones end up far apart, recent ones stay close. docs/format.md, "checkpoints/".
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np
import xxhash
import zstandard

from runtime.recording.digest import PAGE, PageHashes, differing
from runtime.recording.errors import RecordingError
from runtime.recording.files import read_file, write_atomic
from runtime.recording.pages import PageWriter

if TYPE_CHECKING:
    from concurrent.futures import Future

#: Bytes that checkpoints may take, if nobody says otherwise.
DEFAULT_BUDGET = 1 << 30
_MAGIC = b"JRCK"
#: Pages that are copied without asking for memory.
_COPIES = 8192
#: Of the thread that writes: where all processors are busy it shall not take the guest's.
_NICE = 10


@dataclass(frozen=True)
class Saved:
    """One checkpoint file: ``parent`` is the icount of the one it differs from (-1: all pages zero), ``events`` how
    many events of the log came before it, ``run_ms`` the time it took to record up to here, ``pages`` (int32 numbers)
    and ``hashes`` (16 bytes each) what changed, ``digest`` the identity of the state."""

    icount: int
    parent: int
    events: int
    run_ms: int
    npages: int
    cpu: bytes
    devices: bytes
    pages: bytes
    hashes: bytes
    digest: bytes

    def encode(self) -> bytes:
        """The bytes of the file."""
        body = zstandard.ZstdCompressor(level=3).compress(msgpack.packb(asdict(self)))
        return _MAGIC + xxhash.xxh3_64_digest(body) + body

    @classmethod
    def read(cls, path: Path) -> Saved:
        """The inverse; RecordingError if the file was cut or altered."""
        data = read_file(path)
        if data[:4] != _MAGIC or data[4:12] != xxhash.xxh3_64_digest(data[12:]):
            raise RecordingError(f"{path} is damaged: its check does not match")
        return cls(**msgpack.unpackb(zstandard.ZstdDecompressor().decompress(data[12:])))

    def lay_over(self, table: np.ndarray) -> None:
        """Turn the parent's page map into this checkpoint's."""
        table[np.frombuffer(self.pages, np.int32)] = np.frombuffer(self.hashes, np.uint64).reshape(-1, 2)

    def without(self, parent: Saved) -> Saved:
        """The same state as a difference to the parent's parent, so that the parent can go."""
        table = np.zeros((self.npages, 2), np.uint64)
        changed = np.zeros(self.npages, bool)
        for saved in (parent, self):
            saved.lay_over(table)
            changed[np.frombuffer(saved.pages, np.int32)] = True
        pages = np.flatnonzero(changed).astype(np.int32)
        fields = asdict(self) | {"parent": parent.parent, "pages": pages.tobytes(), "hashes": table[pages].tobytes()}
        return Saved(**fields)


def checkpoint_path(directory: Path, icount: int) -> Path:
    """The file of the checkpoint at ``icount``."""
    return directory / f"{icount:020}.ckpt"


class Checkpoints:
    """The checkpoints of a recording from ``first`` to ``last``, for reading. In one that left the recording with the
    checkpoints ``below`` at icount ``left``, theirs count up to there."""

    def __init__(self, directory: Path, first: int, last: int, below: Checkpoints | None = None, left: int = 0):
        self._directory, self._below = directory, below
        icounts = [int(path.stem) for path in directory.glob("*.ckpt") if path.stem.isdigit()]
        self._own = {icount for icount in icounts if icount <= last}
        before = [icount for icount in below.icounts if icount <= left] if below is not None else []
        #: Where there is a checkpoint, ascending.
        self.icounts: list[int] = sorted(self._own.union(before))
        if not self.icounts or self.icounts[0] != first:
            raise RecordingError(f"{directory} has no checkpoint of the beginning")

    def load(self, icount: int) -> tuple[Saved, np.ndarray]:
        """The checkpoint at ``icount`` and its page map, (npages, 2) uint64 hashes."""
        if self._below is not None and icount not in self._own:
            return self._below.load(icount)
        chain = [Saved.read(checkpoint_path(self._directory, icount))]
        while chain[-1].parent >= 0:
            chain.append(Saved.read(checkpoint_path(self._directory, chain[-1].parent)))
        table = PageHashes(chain[0].npages).table
        for saved in reversed(chain):
            saved.lay_over(table)
        return chain[0], table


class CheckpointWriter:
    """Writes checkpoints and their pages on a thread of its own; at most one is under way."""

    def __init__(self, directory: Path, pages: PageWriter, npages: int, budget: int):
        from concurrent.futures import ThreadPoolExecutor  # late: only recording needs it

        self._directory, self._pages, self._budget = directory, pages, budget
        directory.mkdir()
        self._table = PageHashes(npages).table
        #: Of the last checkpoint and its ancestors: number, icount, pages written since the one before in this list.
        #: The first is RAM of zeros.
        self._ancestors = [(-1, -1, np.empty(0, np.int64))]
        self._taken = 0
        self._times: dict[int, int] = {}
        self._parents: dict[int, int] = {}
        self._thread = ThreadPoolExecutor(1, "checkpoints", os.nice, (_NICE,))
        #: Room for pages between being copied and being written.
        self._copies = np.empty((min(_COPIES, npages), PAGE), np.uint8)
        self._pending: Future[Any] | None = None
        #: Bytes on disk, pages included, as of the last one that was completed.
        self.bytes = 0

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._times)

    @property
    def busy(self) -> bool:
        """Whether :meth:`save` would wait for the one before."""
        return self._pending is not None and not self._pending.done()

    def save(self, icount: int, events: int, run_ms: int, cpu: bytes, devices: bytes, digest: bytes,
             table: np.ndarray, ram: memoryview) -> None:  # fmt: skip
        """Take a checkpoint of the state described; ``table`` is the current page map of ``ram``. OSError: the disk
        failed (perhaps for the one before)."""
        self.wait()
        written = differing(table, self._table)
        hashes = table[written].tobytes()
        self._table[written] = table[written]
        fresh = self._pages.new([hashes[at : at + 16] for at in range(0, len(hashes), 16)])
        content = self._copy(ram, written[np.fromiter(fresh.values(), np.int64, len(fresh))])
        parent, changed = self._parent(icount, written)
        pages = changed.astype(np.int32)
        saved = Saved(icount, parent, events, run_ms, len(table), cpu, devices, pages.tobytes(),
                      table[pages].tobytes(), digest)  # fmt: skip
        self._pending = self._thread.submit(self._write, saved, list(fresh), content)
        if saved.parent < 0:
            self.wait()  # nothing replays without the beginning
            self._pending = self._thread.submit(self._copies.fill, 0)  # the guest shall not wait for the host's memory

    def _copy(self, ram: memoryview, pages: np.ndarray) -> memoryview:
        """The contents of ``pages``, until the next call."""
        fits = len(pages) <= len(self._copies)
        out = self._copies[: len(pages)] if fits else np.empty((len(pages), PAGE), np.uint8)
        np.take(np.frombuffer(ram, np.uint8).reshape(-1, PAGE), pages, axis=0, out=out, mode="clip")  # "raise" buffers
        return out.reshape(-1).data

    def _parent(self, icount: int, written: np.ndarray) -> tuple[int, np.ndarray]:
        """Icount of the checkpoint that the next one, at ``icount``, is the difference to, and the pages that have been
        written since; ``written``: those since the last one."""
        number, self._taken = self._taken, self._taken + 1
        last = number & (number - 1) if number else -1
        changed = np.zeros(len(self._table), bool)
        changed[written] = True
        while (top := self._ancestors[-1])[0] > last or top[1] not in {-1, *self._times}:  # some were thinned out
            changed[self._ancestors.pop()[2]] = True
        written = np.flatnonzero(changed)
        self._ancestors.append((number, icount, written))
        return top[1], written

    def wait(self) -> None:
        """Until the one under way is on disk."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def close(self) -> None:
        """Wait, and end the thread."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def _write(self, saved: Saved, names: list[bytes], content: memoryview) -> None:
        self.bytes += self._pages.write(names, content)
        data = saved.encode()
        write_atomic(checkpoint_path(self._directory, saved.icount), data)
        self.bytes += len(data)
        self._times[saved.icount], self._parents[saved.icount] = saved.run_ms, saved.parent
        while self.bytes > self._budget and len(self._times) > 2:
            self._thin()

    def _size(self) -> int:
        folders = (self._directory, self._directory.parent / "pages")
        return sum(path.stat().st_size for folder in folders for path in folder.iterdir())

    def _thin(self) -> None:
        """Drop a quarter of the checkpoints, and the pages only they had."""
        for _ in range(max(1, len(self._times) // 4)):
            self._drop(_least_missed(self._times))
        live: set[bytes] = set()
        for icount in self._times:
            hashes = Saved.read(checkpoint_path(self._directory, icount)).hashes
            live.update(hashes[at : at + 16] for at in range(0, len(hashes), 16))
        self._pages.collect(live)
        self.bytes = self._size()

    def _drop(self, icount: int) -> None:
        path = checkpoint_path(self._directory, icount)
        gone = Saved.read(path)
        for child in [each for each, parent in self._parents.items() if parent == icount]:
            after = checkpoint_path(self._directory, child)
            write_atomic(after, Saved.read(after).without(gone).encode())
            self._parents[child] = gone.parent
        path.unlink()
        del self._times[icount], self._parents[icount]


def _least_missed(times: dict[int, int]) -> int:
    """The checkpoint (icount -> ms of recording) whose loss leaves the smallest gap for its age; not first or last."""
    icounts, ms = list(times), list(times.values())
    now = ms[-1]
    inner = range(1, len(icounts) - 1)
    return icounts[min(inner, key=lambda i: ((ms[i + 1] - ms[i - 1] + 1) / (now - ms[i] + 1), i))]
