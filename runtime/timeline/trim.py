"""Cutting a piece out of a recording, from any instruction to any other: the states at both ends are replayed."""

from __future__ import annotations

from bisect import bisect_right
from contextlib import closing
from pathlib import Path

from runtime.recording.checkpoints import Saved
from runtime.recording.digest import PAGE, encode_state, machine_digest
from runtime.recording.errors import RecordingError
from runtime.recording.recording import Recording
from runtime.recording.trim import Edge, write_piece
from runtime.timeline.build import Factory
from runtime.timeline.progress import Progress
from runtime.timeline.replay import Replay
from runtime.timeline.watch import Watch


def trim(recording: Recording, begin: int, end: int, path: Path, *, tier: str = "auto", watch: Watch | None = None,
         progress: Progress | None = None, factory: Factory | None = None) -> None:  # fmt: skip
    """Write what ``recording`` has from instruction ``begin`` to ``end`` as ``path``, a recording that replays alone.
    RecordingError if that cannot be."""
    for icount in (begin, end):
        recording.check_within(icount)
    if begin >= end:
        raise RecordingError(f"a piece from {begin} to {end} has no instructions")
    if path.exists():
        raise RecordingError(f"{path} exists already")
    replay = Replay(recording, tier=tier, watch=watch, progress=progress, factory=factory)
    with closing(replay):
        replay.seek(begin)
        first = _edge(replay)
        replay.seek(end)
        last = None if end == recording.icount else _edge(replay)
    write_piece(recording, path, first, last)


def _edge(replay: Replay) -> Edge:
    """The state that ``replay`` is in."""
    machine, stored, table = replay.machine, replay.recording.pages, replay.page_map()
    cpu, devices, hashes = machine.cpu_state(), encode_state(machine.device_state()), table.tobytes()
    checkpoints = replay.recording.checkpoints
    near = checkpoints.load(checkpoints.icounts[bisect_right(checkpoints.icounts, replay.icount) - 1])[0]
    digest = machine_digest(cpu, devices, table)
    saved = Saved(replay.icount, -1, replay.events, near.run_ms, len(table), cpu, devices, b"", b"", digest)
    names = ((page, hashes[16 * page : 16 * page + 16]) for page in range(len(table)))
    pages = {name: bytes(machine.ram[page * PAGE : page * PAGE + PAGE]) for page, name in names if name not in stored}
    return Edge(saved, table, pages)
