"""Writing a recording, or a piece of one, as a recording of its own that needs no other. docs/format.md, "Pieces"."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from runtime.recording.checkpoints import Saved, checkpoint_path
from runtime.recording.digest import ZERO_HASH, hash_rows
from runtime.recording.errors import RecordingError
from runtime.recording.files import write_atomic, write_json
from runtime.recording.labels import recorded_labels, write_labels
from runtime.recording.log import Digest, Log, LogWriter
from runtime.recording.pages import FRAME_PAGES, pack_frame
from runtime.recording.recording import FORMAT, LOG, MANIFEST, TOUCHED, Recording, store_images, write_closed

#: How a piece ends whose recording goes on.
TRIMMED = "trimmed"
#: zstd's level for pages: they are written once, without hurry.
_LEVEL = 6
_BATCH = 10_000  # events
_SLICE = 256 * FRAME_PAGES  # pages in memory at a time


@dataclass(frozen=True)
class Edge:
    """A state at which a piece begins or ends: ``saved`` has all but its pages, ``table`` their hashes, ``pages`` the
    content of those that the recording does not have."""

    saved: Saved
    table: np.ndarray
    pages: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def digest(self) -> Digest:
        """As logged."""
        return Digest(self.saved.icount, self.saved.digest)


def write_whole(recording: Recording, path: Path) -> None:
    """All of ``recording``, its parents' parts too, as the directory ``path``."""
    write_piece(recording, path, Edge(*recording.checkpoints.load(recording.begin)))


def write_piece(recording: Recording, path: Path, begin: Edge, end: Edge | None = None) -> None:
    """What ``recording`` has from ``begin`` to ``end`` (or its own end), as the directory ``path``. RecordingError if
    it cannot be written."""
    last = recording.icount if end is None else end.saved.icount
    try:
        path.mkdir()
        store_images(path, recording.config())
        _write_log(recording, path / LOG, begin, end)
        _write_checkpoints(recording, path, begin, last)
        recording.touched.write(path / TOUCHED, begin.saved.icount, last)
        manifest = {key: value for key, value in recording.manifest.items() if key not in ("parent", "begin", "cuts")}
        if begin.saved.icount:
            manifest["begin"] = begin.saved.icount
        if cuts := [icount for icount in recording.cuts if icount > begin.saved.icount]:
            manifest["cuts"] = cuts
        write_json(path / MANIFEST, manifest | {"format": FORMAT})
        _write_labels(recording, path, begin, end)
        write_closed(path, last)
    except FileExistsError:
        raise RecordingError(f"{path} exists already") from None
    except OSError as error:
        raise RecordingError(f"cannot write {path}: {error.strerror or error}") from error


def _write_labels(recording: Recording, path: Path, begin: Edge, end: Edge | None) -> None:
    last = recording.icount if end is None else end.saved.icount
    labels = {name: at for name, at in recorded_labels(recording).all().items() if begin.saved.icount <= at <= last}
    if labels:
        write_labels(path, labels)


def _power_on(recording: Recording) -> int:
    """How many events come from switching the machine on, which every replay begins with."""
    return recording.checkpoints.load(recording.begin)[0].events


def _write_log(recording: Recording, path: Path, begin: Edge, end: Edge | None) -> None:
    log: Log = recording.log
    first, last = begin.saved.icount, recording.icount if end is None else end.saved.icount
    digests = {digest.icount: digest for digest in log.digests if first <= digest.icount <= last}
    for edge in (begin, end):
        if edge is not None:
            digests.setdefault(edge.saved.icount, edge.digest)
    writer = LogWriter(path)
    if log.printed is not None:
        writer.printed(b"")
    for event in log.events[: _power_on(recording)]:
        writer.event(*event)
    writer.digest(*digests.pop(first))
    writer.flush(first)
    events = deque(log.events[begin.saved.events : end.saved.events if end is not None else None])
    pending = deque(digests[icount] for icount in sorted(digests))
    whole = last == recording.icount
    reason, message = (recording.reason, recording.message) if whole else (TRIMMED, "")
    batches = list(_batches(log, first, last))
    for icount, printed in batches:
        while events and (events[0].icount < icount or icount == last):
            writer.event(*events.popleft())
        while pending and pending[0].icount <= icount:
            writer.digest(*pending.popleft())
        if printed is not None:
            writer.printed(printed)
        writer.flush(icount, {"reason": reason, "message": message} if icount == last else None)
    writer.close()


def _batches(log: Log, first: int, last: int) -> Iterator[tuple[int, bytes | None]]:
    """Icounts at which batches end, ``last`` the last of them; with the console's output, if that is known."""
    if log.printed is None:
        ends = {event.icount for event in log.events[_BATCH::_BATCH] if first < event.icount < last}
        yield from ((icount, None) for icount in [*sorted(ends), last])
        return
    output: dict[int, bytes] = {last: b""}
    for begin, end, data in log.printed:
        if begin < last and end > first:
            output[min(end, last)] = output.get(min(end, last), b"") + data
    yield from sorted(output.items())


def _edges(recording: Recording, begin: Edge, last: int) -> Iterator[Edge]:
    yield begin
    for icount in recording.checkpoints.icounts:
        if begin.saved.icount < icount <= last:
            yield Edge(*recording.checkpoints.load(icount))


def _write_checkpoints(recording: Recording, path: Path, begin: Edge, last: int) -> None:
    folder = path / "checkpoints"
    folder.mkdir()
    (path / "pages").mkdir()
    earlier = begin.saved.events - _power_on(recording)
    known = {ZERO_HASH}
    before = Edge(replace(begin.saved, icount=-1), np.tile(hash_rows(ZERO_HASH), (begin.saved.npages, 1)))
    with (path / "pages" / f"{0:08}.pack").open("xb") as pack:
        for edge in _edges(recording, begin, last):
            pages = np.flatnonzero((edge.table != before.table).any(axis=1)).astype(np.int32)
            hashes = edge.table[pages].tobytes()
            names = [name for at in range(0, len(hashes), 16) if (name := hashes[at : at + 16]) not in known]
            fresh = list(dict.fromkeys(names))
            known.update(fresh)
            for frame in _frames(recording, edge, fresh):
                pack.write(frame)
            saved = replace(
                edge.saved, parent=before.saved.icount, events=edge.saved.events - earlier,
                run_ms=edge.saved.run_ms - begin.saved.run_ms, pages=pages.tobytes(), hashes=hashes,
            )  # fmt: skip
            write_atomic(checkpoint_path(folder, saved.icount), saved.encode())
            before = edge


def _frames(recording: Recording, edge: Edge, names: list[bytes]) -> Iterator[bytes]:
    """The pages of ``names``, in this order, as frames of a pack."""
    for at in range(0, len(names), _SLICE):
        part = names[at : at + _SLICE]
        content = {name: edge.pages[name] for name in part if name in edge.pages}
        content.update(recording.pages.fetch((name, name) for name in part if name not in content))  # type: ignore
        for first, behind in pairwise([*range(0, len(part), FRAME_PAGES), len(part)]):
            yield pack_frame([(name, content[name]) for name in part[first:behind]], _LEVEL)
