"""The log: what crossed the border, digests, and how far the recording had come; an MCAP file.

One MCAP message on topic ``history`` is one batch (msgpack, columns), one batch is one zstd chunk with its CRC. A batch
is written at least once a second, so a log that was cut is good up to its last complete chunk.
docs/format.md, "log.mcap".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgpack
import zstandard

from runtime.recording.errors import RecordingError

TOPIC = "history"
_MAGIC = b"\x89MCAP0\r\n"
_RECORD = struct.Struct("<BQ")  # an MCAP record: opcode, length of what follows
_MESSAGE, _CHUNKS, _DATA_END = 5, 6, 15  # opcodes
#: First and last time, size and CRC-32 of the records, length of the compression's name.
_CHUNK = struct.Struct("<QQQII")
_HEAD = struct.Struct("<HIQQ")  # of a message: channel, number, times
_LONGEST = 1 << 30
CLOCK, ENTROPY, INPUT = "clock", "entropy", "input:"


class Event(NamedTuple):
    """Something that crossed the border. ``kind`` is "clock" (8 bytes, ns since 1970 UTC, little-endian), "entropy" or
    "input:CHANNEL"; the first two answer the guest's reads, input comes by itself."""

    icount: int
    kind: str
    data: bytes

    @property
    def asynchronous(self) -> bool:
        """Input, which replay delivers by icount; the others are asked for by the guest."""
        return self.kind.startswith(INPUT)


class Digest(NamedTuple):
    """The identity (16 bytes) of the machine's state at ``icount``."""

    icount: int
    digest: bytes


class Printed(NamedTuple):
    """What the guest printed on its console by instructions after ``begin`` and up to ``end``. No event: it tells where
    to look for a text."""

    begin: int
    end: int
    data: bytes


class LogWriter:
    """Appends batches. ``event`` and ``digest`` only collect and cannot fail; :meth:`flush` writes (or OSError)."""

    def __init__(self, path: Path, events: int = 0):
        from mcap.writer import Writer  # late: a replay needs none of what it brings

        self._file = path.open("xb")
        self._writer = Writer(self._file, chunk_size=1)  # a chunk ends after each message: one batch, one chunk
        self._writer.start(profile="jitrr", library="jitrr")
        self._channel = self._writer.register_channel(TOPIC, "msgpack", 0)
        self._batches = 0
        self._events: list[Event] = []
        self._digests: list[Digest] = []
        self._printed: bytearray | None = None
        #: Events of the whole history so far: ``events`` of them are another recording's, which this one goes on from.
        self.events = events
        self.bytes = 0

    def event(self, icount: int, kind: str, data: bytes) -> None:
        """Log one event."""
        self._events.append(Event(icount, kind, data))
        self.events += 1

    def printed(self, data: bytes) -> None:
        """Note what the guest printed on its console; called at the beginning, or there is no such note."""
        if self._printed is None:
            self._printed = bytearray()
        self._printed += data

    def digest(self, icount: int, digest: bytes) -> None:
        """Log the identity of the state at ``icount``."""
        self._digests.append(Digest(icount, digest))

    def flush(self, icount: int, end: dict[str, str] | None = None) -> None:
        """Write what was collected, and that the recording has reached ``icount``; ``end`` says how it ended."""
        batch: dict[str, Any] = {"icount": icount}
        if self._events:
            batch["events"] = _pack_events(self._events)
        if self._digests:
            icounts = _deltas([d.icount for d in self._digests])
            batch["digests"] = [icounts, b"".join(d.digest for d in self._digests)]
        if self._printed is not None:
            batch["printed"], self._printed = bytes(self._printed), bytearray()
        if end is not None:
            batch["end"] = end
        self._writer.add_message(self._channel, icount, msgpack.packb(batch), icount, self._batches)
        self._file.flush()
        self._batches += 1
        self._events.clear()
        self._digests.clear()
        self.bytes = self._file.tell()

    def close(self) -> None:
        """Write MCAP's summary and index."""
        self._writer.finish()
        self._file.close()

    def abandon(self) -> None:
        """Close without a summary: the log ends as after a power cut."""
        with suppress(OSError):  # a full disk refuses what is buffered; the file is closed all the same
            self._file.close()


class Log:
    """A log read back: ``events`` and ``digests`` in order, ``icount`` reached, ``end`` (None if it was cut short)."""

    def __init__(self, path: Path):
        self.events: list[Event] = []
        self.digests: list[Digest] = []
        #: The console's output by batches; None if the recording does not have it.
        self.printed: list[Printed] | None = None
        self.icount = 0
        self.end: dict[str, str] | None = None
        for number, (sequence, data) in enumerate(_messages(path)):
            if sequence != number:
                raise RecordingError(f"{path} is damaged: batch {number} is missing")
            self._add(msgpack.unpackb(data))

    def goes_on_from(self, before: Log, icount: int, events: int) -> None:
        """Put in front what ``before`` has: its first ``events`` events, its digests up to ``icount``. Of the console's
        output that batch is taken whole which lies on both sides of ``icount``."""
        self.events[:0] = before.events[:events]
        own = {digest.icount for digest in self.digests[:1]}
        self.digests[:0] = [digest for digest in before.digests if digest.icount <= icount and digest.icount not in own]
        if before.printed is None:
            self.printed = None
        elif self.printed is not None:
            own_output = [each._replace(begin=max(each.begin, icount)) for each in self.printed]
            self.printed = [p._replace(end=min(p.end, icount)) for p in before.printed if p.begin < icount] + own_output
        self.icount = max(self.icount, icount)

    def _add(self, batch: dict[str, Any]) -> None:
        if "printed" in batch:
            self.printed = [*(self.printed or []), Printed(self.icount, batch["icount"], batch["printed"])]
        self.icount = batch["icount"]
        self.end = batch.get("end")
        if "events" in batch:
            self.events += _unpack_events(batch["events"])
        if "digests" in batch:
            deltas, joined = batch["digests"]
            for number, icount in enumerate(accumulate(deltas)):
                self.digests.append(Digest(icount, joined[number * 16 : number * 16 + 16]))


def _deltas(numbers: list[int]) -> list[int]:
    return [now - before for now, before in zip(numbers, [0, *numbers], strict=False)]


def _pack_events(events: list[Event]) -> list[Any]:
    kinds: dict[str, int] = {}
    codes = [kinds.setdefault(event.kind, len(kinds)) for event in events]
    lengths = [len(event.data) for event in events]
    joined = b"".join(event.data for event in events)
    return [list(kinds), _deltas([event.icount for event in events]), codes, lengths, joined]


def _unpack_events(columns: list[Any]) -> list[Event]:
    kinds, deltas, codes, lengths, joined = columns
    ends = list(accumulate(lengths))
    rows = zip(accumulate(deltas), codes, lengths, ends, strict=True)
    return [Event(icount, kinds[code], joined[end - length : end]) for icount, code, length, end in rows]


def _messages(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and content of the message in every complete chunk; RecordingError if one was altered."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error
    with file:
        for content in _chunks(file, path):
            try:
                yield from _in_chunk(content)
            except (ValueError, struct.error, zstandard.ZstdError) as error:
                raise RecordingError(f"{path} is damaged: {error}") from error


def _in_chunk(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages of a chunk record (MCAP's specification, "Chunk", "Message")."""
    _, _, size, crc, length = _CHUNK.unpack_from(content)
    at = _CHUNK.size + length
    (stored,) = struct.unpack_from("<Q", content, at)
    packed = content[at + 8 : at + 8 + stored]
    if content[_CHUNK.size : at] != b"zstd" or len(packed) < stored or size > _LONGEST:
        raise ValueError("a chunk is not what it should be")
    records = zstandard.decompress(packed, size)
    if len(records) != size or not crc or crc != zlib.crc32(records):
        raise ValueError("the CRC of a chunk does not match")
    at = 0
    while at < size:
        opcode, length = _RECORD.unpack_from(records, at)
        at += _RECORD.size
        if opcode == _MESSAGE:
            _, sequence, _, _ = _HEAD.unpack_from(records, at)
            yield sequence, records[at + _HEAD.size : at + length]
        at += length


def _chunks(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """The content of every complete chunk record; the file may end anywhere."""
    magic = file.read(len(_MAGIC))
    if magic != _MAGIC[: len(magic)]:
        raise RecordingError(f"{path} is damaged: it is no MCAP file")
    while len(header := file.read(_RECORD.size)) == _RECORD.size:
        opcode, length = _RECORD.unpack(header)
        content = file.read(min(length, _LONGEST))
        if len(content) < length or opcode == _DATA_END:
            return
        if opcode == _CHUNKS:
            yield content
