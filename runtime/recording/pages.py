"""The page store: every distinct page of RAM once, by content hash, compressed 32 to a zstd frame.

Pages arrive in packs, one a checkpoint, append-only. A page is checked against its hash whenever it is read, so a
damaged pack can stop a replay but never bend it. docs/format.md, "pages/".
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

import xxhash
import zstandard

from runtime.recording.digest import PAGE, ZERO_HASH, page_hash
from runtime.recording.errors import RecordingError
from runtime.recording.files import write_atomic

FRAME_PAGES = 32
_MAGIC = b"JRPG"
_HEADER = struct.Struct("<4sIIQ")  # magic, pages, compressed bytes, xxh3-64 of the first three and the hashes


def pack_frame(pages: list[tuple[bytes, bytes]], level: int = 1) -> bytes:
    """One frame of a pack: header, hashes, compressed pages. ``pages`` are (hash, content)."""
    hashes = b"".join(name for name, _ in pages)
    body = zstandard.ZstdCompressor(level=level).compress(b"".join(content for _, content in pages))
    body += xxhash.xxh3_64_digest(body)  # some bits of a zstd frame change nothing that comes out of it
    return _HEADER.pack(_MAGIC, len(pages), len(body), _check(len(pages), len(body), hashes)) + hashes + body


def _check(count: int, size: int, hashes: bytes) -> int:
    return xxhash.xxh3_64_intdigest(struct.pack("<4sII", _MAGIC, count, size) + hashes)


def frames(path: Path) -> Iterator[tuple[int, int, list[bytes]]]:
    """(offset and size of the compressed pages, their hashes) of every complete frame; a cut tail ends the pack."""
    with path.open("rb") as file:
        while len(header := file.read(_HEADER.size)) == _HEADER.size:
            magic, count, size, check = _HEADER.unpack(header)
            if magic != _MAGIC or count > 1024:
                raise RecordingError(f"{path} is damaged: no page frame at byte {file.tell() - _HEADER.size}")
            hashes = file.read(16 * count)
            if len(hashes) < 16 * count:
                return
            if check != _check(count, size, hashes):
                raise RecordingError(f"{path} is damaged: the page frame before byte {file.tell()} does not match")
            yield file.tell(), size, [hashes[at : at + 16] for at in range(0, 16 * count, 16)]
            file.seek(size, 1)


def read_frame(path: Path, offset: int, size: int, count: int) -> bytes:
    """The pages of one frame, uncompressed."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            body = file.read(size)
            if body[-8:] != xxhash.xxh3_64_digest(body[:-8]):
                raise RecordingError(f"{path} is damaged: pages at byte {offset} were altered")
            return zstandard.ZstdDecompressor().decompress(body[:-8], count * PAGE)
    except (OSError, zstandard.ZstdError) as error:
        raise RecordingError(f"{path} is damaged: pages at byte {offset}: {error}") from error


class PageReader:
    """Pages by hash, from all packs of a directory, and those of ``below``, the recording that this one left."""

    def __init__(self, directory: Path, below: PageReader | None = None):
        self._below = below
        self._where: dict[bytes, tuple[Path, int, int, int, int]] = {}
        for path in sorted(directory.glob("*.pack")):
            for offset, size, hashes in frames(path):
                for slot, name in enumerate(hashes):
                    self._where[name] = (path, offset, size, len(hashes), slot)

    def __contains__(self, name: object) -> bool:
        return name in self._where or name == ZERO_HASH or (self._below is not None and name in self._below)

    def fetch(self, wanted: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """(key, content) for every (key, hash) wanted, frame by frame, in no promised order; RecordingError when a page
        is missing or is not what its hash says."""
        by_frame: dict[tuple[Path, int, int, int], list[tuple[int, int, bytes]]] = {}
        elsewhere: list[tuple[int, bytes]] = []
        for key, name in wanted:
            if name == ZERO_HASH:
                yield key, bytes(PAGE)
                continue
            if name not in self._where:
                if self._below is None:
                    raise RecordingError(f"page {name.hex()} is missing from the recording")
                elsewhere.append((key, name))
                continue
            *frame, slot = self._where[name]
            by_frame.setdefault(tuple(frame), []).append((key, slot, name))  # type: ignore[arg-type]
        if self._below is not None:
            yield from self._below.fetch(elsewhere)
        for place, slots in by_frame.items():
            content = read_frame(*place)
            for key, slot, name in slots:
                page = content[slot * PAGE : slot * PAGE + PAGE]
                if page_hash(page) != name:
                    raise RecordingError(f"{place[0]} is damaged: a page is not what its hash says")
                yield key, page


class PageWriter:
    """Adds packs to a directory; knows which pages are there, or in the store ``below``."""

    def __init__(self, directory: Path, below: Container[bytes] = ()):
        self._directory, self._below = directory, below
        directory.mkdir()
        self._known = {ZERO_HASH}
        self._packs = 0

    def new(self, names: Iterable[bytes]) -> dict[bytes, int]:
        """The first position of each hash that is not stored yet; from now on they count as stored."""
        fresh: dict[bytes, int] = {}
        for at, name in enumerate(names):
            if name not in self._known and name not in self._below:
                self._known.add(name)
                fresh[name] = at
        return fresh

    def write(self, pages: list[tuple[bytes, bytes]]) -> None:
        """Append a pack with ``pages`` (hash, content)."""
        if not pages:
            return
        with (self._directory / f"{self._packs:08}.pack").open("xb") as file:
            self._packs += 1
            for at in range(0, len(pages), FRAME_PAGES):
                file.write(pack_frame(pages[at : at + FRAME_PAGES]))

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


def _repack(path: Path, found: list[tuple[int, int, list[bytes]]], live: set[bytes]) -> Iterator[bytes]:
    pending: list[tuple[bytes, bytes]] = []
    for offset, size, names in found:
        content = read_frame(path, offset, size, len(names))
        pending += [(n, content[i * PAGE : (i + 1) * PAGE]) for i, n in enumerate(names) if n in live]
        while len(pending) >= FRAME_PAGES:
            yield pack_frame(pending[:FRAME_PAGES])
            del pending[:FRAME_PAGES]
    if pending:
        yield pack_frame(pending)
