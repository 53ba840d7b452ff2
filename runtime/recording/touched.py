"""What pages were used for between one checkpoint and the next: where a search need not look. docs/format.md,
"touched".

A table has a byte for each of 65,536 classes of pages, so that it may say of a page that it was used when another one
of its class was, and never the other way round. Without tables, or where there is a gap, everything may have been used.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash
import zstandard

from jitrr.engine.constants import TOUCHED
from runtime.recording.errors import RecordingError

_MAGIC = b"JRTC"
_HEADER = struct.Struct("<4sQQIQ")  # magic, begin, end, bytes of the table, xxh3-64 of these three and the table


@dataclass(frozen=True)
class Interval:
    """From the state at ``begin`` to that at ``end`` (icounts) pages were used as ``table`` says (Engine.take_touched);
    ``table`` is compressed."""

    begin: int
    end: int
    table: bytes

    @property
    def uses(self) -> np.ndarray:
        """The table, TOUCHED bytes."""
        return np.frombuffer(zstandard.ZstdDecompressor().decompress(self.table), np.uint8)

    def clipped(self, begin: int, end: int) -> Interval:
        """The part of it that lies there; it may say of pages that they were used that were not."""
        return Interval(max(self.begin, begin), min(self.end, end), self.table)

    def encode(self) -> bytes:
        """As it is in the file."""
        size = len(self.table)
        return _HEADER.pack(_MAGIC, self.begin, self.end, size, self._check()) + self.table

    def _check(self) -> int:
        return xxhash.xxh3_64_intdigest(struct.pack("<QQI", self.begin, self.end, len(self.table)) + self.table)

    @classmethod
    def read(cls, path: Path) -> Iterator[Interval]:
        """Those in a file that may be missing or cut; RecordingError when it was altered."""
        data = path.read_bytes() if path.exists() else b""
        at = 0
        while at + _HEADER.size <= len(data):
            magic, begin, end, size, check = _HEADER.unpack_from(data, at)
            at += _HEADER.size
            found = cls(begin, end, data[at : at + size])
            if magic == _MAGIC and len(found.table) < size:
                return
            if magic != _MAGIC or found._check() != check:
                raise RecordingError(f"{path} is damaged: its check does not match at byte {at}")
            yield found
            at += size


class TouchedWriter:
    """Appends to the file ``path``, whole intervals; OSError when the disk fails."""

    def __init__(self, path: Path):
        self._path, self._begin = path, -1
        self._uses, self._compressor = np.zeros(TOUCHED, np.uint8), zstandard.ZstdCompressor()

    def add(self, icount: int, uses: np.ndarray) -> None:
        """The interval from the last call to the state at ``icount`` ends; the first call only begins one."""
        if self._begin >= 0:
            self._uses |= uses
        if 0 <= self._begin < icount:
            table = self._compressor.compress(self._uses.tobytes())
            write(self._path, [Interval(self._begin, icount, table)])
            self._uses[:] = 0
        self._begin = icount


def write(path: Path, intervals: Iterable[Interval]) -> None:
    """Append to a file."""
    with path.open("ab", buffering=0) as file:
        for interval in intervals:
            file.write(interval.encode())


class Touched:
    """The intervals of a recording, from the file ``path`` and up to icount ``left`` those of ``below``, the recording
    that it left."""

    def __init__(self, path: Path, below: Touched | None = None, left: int = 0):
        before = below.intervals if below is not None else []
        #: In order.
        self.intervals: list[Interval] = [each.clipped(0, left) for each in before if each.begin < left]
        self.intervals += Interval.read(path)
        self._uses: dict[int, np.ndarray] = {}

    def within(self, begin: int, end: int) -> Iterator[tuple[int, Interval]]:
        """Those that have a part between two icounts, numbered."""
        return ((n, each) for n, each in enumerate(self.intervals) if each.begin < end and begin < each.end)

    def last_use(self, begin: int, end: int, wanted: np.ndarray) -> int:
        """Up to where between two icounts a page may have been used in a way that the table ``wanted`` has, too;
        ``begin``: nowhere."""
        unused = end
        for number, interval in reversed(list(self.within(begin, end))):
            if interval.end < unused:
                return unused
            if number not in self._uses:
                self._uses[number] = interval.uses
            if (self._uses[number] & wanted).any():
                return unused
            unused = interval.begin
        return max(begin, unused)

    def write(self, path: Path, begin: int, end: int) -> None:
        """Those between two icounts, as a file."""
        write(path, (each.clipped(begin, end) for _, each in self.within(begin, end)))
