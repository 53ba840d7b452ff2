"""The page store: every distinct page of RAM once, by content hash, compressed 32 to a zstd frame.

Pages arrive in packs, one a checkpoint, append-only. A page is checked against its hash whenever it is read, so a
damaged pack can stop a replay but never bend it. docs/format.md, "pages/".
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from threading import Thread
from typing import Any

import xxhash
import zstandard

from runtime.recording.digest import PAGE, ZERO_HASH
from runtime.recording.errors import RecordingError
from runtime.recording.files import write_atomic, write_parts

FRAME_PAGES = 32
#: A frame's pack, where its compressed pages are, and their size.
Frame = tuple[Path, int, int]
#: What a frame may have at most.
MOST_PAGES = 1024
#: Frames that are uncompressed at once, and by how many threads.
_TOGETHER, _THREADS = 128, min(4, len(os.sched_getaffinity(0)))
#: Frames that are uncompressed before they are asked for, at most: 64 MB.
_AHEAD = 512
#: Of zstd, while recording: two thirds of the time of level 1 for a third more bytes (docs/performance.md).
_LEVEL = -5
_ZEROS = bytes(PAGE)
_MAGIC = b"JRPG"
_HEADER = struct.Struct("<4sIIQ")  # magic, pages, compressed bytes, xxh3-64 of the first three and the hashes


def pack_frame(pages: Sequence[tuple[bytes, bytes | memoryview]], level: int = 1) -> bytes:
    """One frame of a pack: header, hashes, compressed pages. ``pages`` are (hash, content)."""
    content = b"".join(content for _, content in pages)
    body = zstandard.ZstdCompressor(level=level).compress(content)
    return b"".join(_frame([name for name, _ in pages], body))


def _frame(names: Sequence[bytes], body: Any) -> tuple[bytes, Any, bytes]:
    """The parts of a frame whose pages are compressed in ``body``, a buffer."""
    hashes, size = b"".join(names), len(body) + 8
    header = _HEADER.pack(_MAGIC, len(names), size, _check(len(names), size, hashes))
    return header + hashes, body, xxhash.xxh3_64_digest(body)  # some bits of body change nothing that comes out of it


def _check(count: int, size: int, hashes: bytes) -> int:
    return xxhash.xxh3_64_intdigest(struct.pack("<4sII", _MAGIC, count, size) + hashes)


def frames(path: Path) -> Iterator[tuple[int, int, Sequence[bytes]]]:
    """(offset and size of the compressed pages, their hashes) of every complete frame; a cut tail ends the pack."""
    with path.open("rb", buffering=0) as file:
        at, end = 0, os.fstat(file.fileno()).st_size
        while at + _HEADER.size <= end:
            head = os.pread(file.fileno(), _HEADER.size + 16 * FRAME_PAGES, at)
            magic, count, size, check = _HEADER.unpack_from(head)
            if magic != _MAGIC or count > MOST_PAGES:
                raise RecordingError(f"{path} is damaged: no page frame at byte {at}")
            at += _HEADER.size
            hashes = head[_HEADER.size :] if count <= FRAME_PAGES else os.pread(file.fileno(), 16 * count, at)
            if len(hashes) < 16 * count:
                return
            at, hashes = at + 16 * count, hashes[: 16 * count]
            if check != _check(count, size, hashes):
                raise RecordingError(f"{path} is damaged: the page frame before byte {at} does not match")
            yield at, size, _rows(count).unpack(hashes)
            at += size


@cache
def _rows(count: int) -> struct.Struct:
    """The hashes of a frame."""
    return struct.Struct("16s" * count)


def read_frames(places: Sequence[Frame], threads: int = _THREADS) -> list[memoryview]:
    """The pages of frames, uncompressed by several threads."""
    bodies: list[Any] = [body for path, group in groupby(places, itemgetter(0)) for body in _bodies(path, group)]
    try:
        if len(bodies) == 1:
            return [memoryview(zstandard.ZstdDecompressor().decompress(bodies[0]))]
        found: Any = zstandard.ZstdDecompressor().multi_decompress_to_buffer(bodies, threads=threads)
        return [memoryview(found[number]) for number in range(len(found))]
    except zstandard.ZstdError as error:
        raise RecordingError(f"{places[0][0]} is damaged, or one behind it: {error}") from error


def _bodies(path: Path, places: Iterable[Frame]) -> Iterator[memoryview]:
    """The compressed pages of frames of one pack."""
    try:  # mapped: a read lets other threads go on each time, and waits until they let this one
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for _, offset, size in places:
                body = memoryview(data[offset : offset + size])
                if body[-8:] != xxhash.xxh3_64_digest(body[:-8]):
                    raise RecordingError(f"{path} is damaged: pages at byte {offset} were altered")
                yield body[:-8]
    except (OSError, ValueError) as error:
        raise RecordingError(f"{path} is damaged: {error}") from error


class PageReader:
    """Pages by hash, from all packs of a directory, and those of ``below``, the recording that this one left."""

    def __init__(self, directory: Path, below: PageReader | None = None):
        self._below = below
        self._frames: list[Frame] = []
        #: Of each page: MOST_PAGES times the number of its frame, and its place there.
        self._where: dict[bytes, int] = {}
        #: Frames that were uncompressed before they are asked for, and who is at it.
        self._ahead: dict[int, memoryview] = {}
        self._reading: Thread | None = None
        for path in sorted(directory.glob("*.pack")):
            self._add(path)

    def _add(self, path: Path) -> None:
        for offset, size, hashes in frames(path):
            first = len(self._frames) * MOST_PAGES
            self._frames.append((path, offset, size))
            self._where.update(zip(hashes, range(first, first + len(hashes)), strict=True))

    def __contains__(self, name: object) -> bool:
        return name in self._where or name == ZERO_HASH or (self._below is not None and name in self._below)

    def fetch(self, wanted: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes | memoryview]]:
        """(key, content) for every (key, hash) wanted, frame by frame, in no promised order; RecordingError when a page
        is missing or is not what its hash says."""
        by_frame: dict[int, list[tuple[int, int, bytes]]] = {}
        elsewhere: list[tuple[int, bytes]] = []
        for key, name in wanted:
            if name == ZERO_HASH:
                yield key, _ZEROS
                continue
            place = self._where.get(name)
            if place is None:
                if self._below is None:
                    raise RecordingError(f"page {name.hex()} is missing from the recording")
                elsewhere.append((key, name))
                continue
            by_frame.setdefault(place // MOST_PAGES, []).append((key, place % MOST_PAGES, name))
        if self._below is not None:
            yield from self._below.fetch(elsewhere)
        digest = xxhash.xxh3_128_digest
        for number, content in self._contents(sorted(by_frame)):
            for key, slot, name in by_frame[number]:
                page = content[slot * PAGE : slot * PAGE + PAGE]
                if digest(page) != name:
                    raise RecordingError(f"{self._frames[number][0]} is damaged: a page is not what its hash says")
                yield key, page

    def read_ahead(self, names: Iterable[bytes]) -> None:
        """Begin, in the background, to uncompress what a :meth:`fetch` of these pages will need. What is not used by
        the next one is dropped."""
        names = list(names)
        numbers = sorted({self._where[name] // MOST_PAGES for name in names if name in self._where})
        if self._below is not None:
            self._below.read_ahead(name for name in names if name not in self._where)
        self._reading = Thread(target=self._read_ahead, args=(numbers[:_AHEAD],))
        self._reading.start()

    def _read_ahead(self, numbers: list[int]) -> None:
        with suppress(RecordingError):  # whoever fetches the page will hear of it
            self._ahead.update(self._read(numbers, max(1, _THREADS - 1)))

    def _contents(self, numbers: list[int]) -> Iterator[tuple[int, memoryview]]:
        """The pages of frames, by their numbers."""
        if self._reading is not None:
            self._reading.join()
            self._reading = None
        ahead, self._ahead = self._ahead, {}
        yield from ((number, ahead[number]) for number in numbers if number in ahead)
        yield from self._read([number for number in numbers if number not in ahead], _THREADS)

    def _read(self, numbers: list[int], threads: int) -> Iterator[tuple[int, memoryview]]:
        for at in range(0, len(numbers), _TOGETHER):
            together = numbers[at : at + _TOGETHER]
            yield from zip(together, read_frames([self._frames[n] for n in together], threads), strict=True)


class PageWriter:
    """Adds packs to a directory; knows which pages are there, or in the store ``below``."""

    def __init__(self, directory: Path, below: Container[bytes] = ()):
        self._directory, self._below = directory, below
        directory.mkdir()
        self._known = {ZERO_HASH}
        self._packs = 0
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)

    def new(self, names: Iterable[bytes]) -> dict[bytes, int]:
        """The first position of each hash that is not stored yet; from now on they count as stored."""
        known, below = self._known, self._below
        fresh: dict[bytes, int] = {}
        for at, name in enumerate(names):
            if name not in known and name not in below:
                fresh[name] = at
                known.add(name)
        return fresh

    def write(self, names: Sequence[bytes], content: memoryview) -> int:
        """Append a pack with the pages of these hashes, whose contents are joined; returns its size in bytes. All are
        compressed by one call and written by another, in which Python is free for the thread that runs the guest."""
        if not names:
            return 0
        starts = range(0, len(names), FRAME_PAGES)
        bodies: Any = self._compressor.multi_compress_to_buffer(
            [content[at * PAGE : (at + FRAME_PAGES) * PAGE] for at in starts]
        )
        parts = [_frame(names[at : at + FRAME_PAGES], bodies[number]) for number, at in enumerate(starts)]
        with (self._directory / f"{self._packs:08}.pack").open("xb", buffering=0) as file:
            self._packs += 1
            return write_parts(file, [*chain.from_iterable(parts)])

    def collect(self, live: set[bytes]) -> None:
        """Drop pages that no checkpoint needs: packs that are more than a quarter dead are written again or removed."""
        for path in sorted(self._directory.glob("*.pack")):
            found = list(frames(path))
            total = sum(len(names) for *_, names in found)
            kept = [name for *_, names in found for name in names if name in live]
            if len(kept) * 4 >= total * 3:
                continue
            self._known -= {name for *_, names in found for name in names if name not in live}
            if kept:
                write_atomic(path, b"".join(_repack(path, found, live)))
            else:
                path.unlink()


def _repack(path: Path, found: list[tuple[int, int, Sequence[bytes]]], live: set[bytes]) -> Iterator[bytes]:
    pending: list[tuple[bytes, bytes]] = []
    for offset, size, names in found:
        (content,) = read_frames([(path, offset, size)])
        pending += [(n, bytes(content[i * PAGE : (i + 1) * PAGE])) for i, n in enumerate(names) if n in live]
        while len(pending) >= FRAME_PAGES:
            yield pack_frame(pending[:FRAME_PAGES])
            del pending[:FRAME_PAGES]
    if pending:
        yield pack_frame(pending)
