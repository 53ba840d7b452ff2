"""One file of a recording and its parents; pieces that replay alone."""

from __future__ import annotations

import os
import random
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from toy_machine import make_machine

from runtime.borders.script import Script, parse_script
from runtime.config import Image, MachineConfig
from runtime.recording import packed as packed_recordings
from runtime.recording.errors import RecordingError
from runtime.recording.labels import recorded_labels
from runtime.recording.pack import pack, unpack
from runtime.recording.recording import Recording
from runtime.timeline.branch import branch
from runtime.timeline.places import resolve
from runtime.timeline.record import Outside, Pace, record
from runtime.timeline.replay import Replay
from runtime.timeline.trim import trim
from runtime.timeline.verify import verify

BUSY = Pace(flush=0.0, digest=0.0, checkpoint=0.0, share=1e9)  # at every poll
CONFIG = MachineConfig(memory=1 << 20, kernel=Image("toy", b"kernel" * 1000), append="off=100000")
A, B = 33_333, 77_777


def typed(text: str) -> Outside:
    return Outside(script=Script(parse_script(text)))


def digest_at(recording: Recording, icount: int) -> bytes:
    replay = Replay(recording, factory=make_machine)
    replay.seek(icount)
    return replay.digest()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("JITRR_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("toy") / "whole.jrr"
    record(path, CONFIG, typed('at 777 keyboard "a"\nat 50000 serial "x"'), pace=BUSY, factory=make_machine)
    return path


@pytest.fixture(scope="module")
def child(whole, tmp_path_factory) -> Path:
    """A branch of a branch of it."""
    folder = tmp_path_factory.mktemp("branches")
    branch(Recording(whole), 40_000, folder / "one.jrr", typed('at 60000 serial "1"'), pace=BUSY, factory=make_machine)
    two = folder / "two.jrr"
    branch(Recording(folder / "one.jrr"), 70_000, two, typed('at 80000 serial "2"'), pace=BUSY, factory=make_machine)
    return two


def same_history(one: Recording, other: Recording) -> None:
    assert one.log.events == other.log.events and one.log.digests == other.log.digests
    assert (one.icount, one.reason, one.message) == (other.icount, other.reason, other.message)
    assert one.checkpoints.icounts == other.checkpoints.icounts
    assert one.config() == other.config()


@pytest.mark.parametrize("name", ["whole", "child"])
def test_a_packed_recording_is_read_as_a_directory_is(name, tmp_path, request):
    path = request.getfixturevalue(name)
    pack(Recording(path), tmp_path / "p.jrrz")
    packed = Recording(tmp_path / "p.jrrz")
    same_history(packed, Recording(path))
    assert packed.past is None and packed.clean_close and packed.info()["path"] == str(tmp_path / "p.jrrz")
    assert verify(packed, factory=make_machine).good
    assert verify(packed, jobs=2, factory=make_machine).good
    for icount in (5, 54_321, 80_001):
        assert digest_at(packed, icount) == digest_at(Recording(path), icount)


def test_the_same_recording_gives_the_same_bytes(child, tmp_path):
    pack(Recording(child), tmp_path / "a.jrrz")
    pack(Recording(tmp_path / "a.jrrz"), tmp_path / "b.jrrz")
    unpack(tmp_path / "a.jrrz", tmp_path / "c.jrr")
    pack(Recording(tmp_path / "c.jrr"), tmp_path / "c.jrrz")
    contents = {(tmp_path / f"{name}.jrrz").read_bytes() for name in "abc"}
    assert len(contents) == 1


def test_console_and_labels_are_found_in_a_packed_recording_and_a_piece(whole, child, tmp_path):
    recorded_labels(Recording(whole)).put("early", 5_000)
    recorded_labels(Recording(child)).put("late", 60_000)
    pack(Recording(child), tmp_path / "p.jrrz")
    trim(Recording(child), A, B, tmp_path / "p.jrr", factory=make_machine)
    packed, piece = Recording(tmp_path / "p.jrrz"), Recording(tmp_path / "p.jrr")
    assert recorded_labels(packed).all() == {"early": 5_000, "late": 60_000}
    assert recorded_labels(piece).all() == {"late": 60_000}
    for recording in (packed, piece, Recording(child)):
        assert recording.log.printed is not None
        assert resolve(recording, "console:50000", factory=make_machine) == 50_001
        assert resolve(recording, "console:[1]", factory=make_machine) == 60_001
        assert resolve(recording, "late") == 60_000
    assert resolve(packed, "console:33000", factory=make_machine) == 33_001
    with pytest.raises(RecordingError, match="never printed"):
        resolve(piece, "console:33000", factory=make_machine)
    with pytest.raises(RecordingError, match="never printed"):
        resolve(piece, "console:78000", factory=make_machine)
    with pytest.raises(RecordingError, match="early is a label of the recording that this one is a branch of"):
        recorded_labels(Recording(child)).remove("early")
    recorded_labels(packed).put("mine", 7)
    assert recorded_labels(Recording(tmp_path / "p.jrrz")).all() == {"mine": 7, "early": 5_000, "late": 60_000}
    for path in (whole, child):
        (path / "labels.json").unlink()


def test_only_pages_that_checkpoints_need_are_packed(whole, tmp_path):
    copy = Path(shutil.copytree(whole, tmp_path / "a.jrr"))
    (copy / "closed.json").unlink()
    recording = Recording(copy)
    for icount in recording.checkpoints.icounts[1:-1]:
        saved = recording.checkpoints.load(icount)[0]
        assert saved.parent >= 0
    pack(recording, tmp_path / "a.jrrz")
    needed: set[bytes] = set()
    for icount in recording.checkpoints.icounts:
        needed.update(row.tobytes() for row in recording.checkpoints.load(icount)[1])
    stored = [name for *_, names in _frames(Recording(tmp_path / "a.jrrz")) for name in names]
    assert len(stored) == len(set(stored)) and set(stored) <= needed


def _frames(recording: Recording) -> list[tuple[int, int, Sequence[bytes]]]:
    from runtime.recording.pages import frames

    return [frame for path in recording.path.glob("pages/*.pack") for frame in frames(path)]


def test_a_branch_may_leave_a_packed_recording(child, tmp_path):
    pack(Recording(child), tmp_path / "p.jrrz")
    parent = Recording(tmp_path / "p.jrrz")
    branch(parent, 75_000, tmp_path / "n.jrr", Outside(), pace=BUSY, factory=make_machine)
    new = Recording(tmp_path / "n.jrr")
    assert new.manifest["parent"]["path"] == "p.jrrz" and verify(new, factory=make_machine).good
    unpack(tmp_path / "p.jrrz", tmp_path / "directory.jrr")
    (tmp_path / "p.jrrz").unlink()
    (tmp_path / "directory.jrr").rename(tmp_path / "p.jrrz")
    assert verify(Recording(tmp_path / "n.jrr"), factory=make_machine).good


def test_a_recording_cut_short_is_packed_as_far_as_it_goes(whole, tmp_path):
    copy = Path(shutil.copytree(whole, tmp_path / "a.jrr"))
    (copy / "closed.json").unlink()
    with (copy / "log.mcap").open("r+b") as file:
        file.truncate((copy / "log.mcap").stat().st_size // 2)
    pack(Recording(copy), tmp_path / "a.jrrz")
    packed = Recording(tmp_path / "a.jrrz")
    assert packed.reason == "cut short" and packed.icount == Recording(copy).icount < 100_000
    assert verify(packed, factory=make_machine).good


def test_a_damaged_file_is_one_line(whole, tmp_path):
    pack(Recording(whole), tmp_path / "a.jrrz")
    data = (tmp_path / "a.jrrz").read_bytes()
    rng = random.Random(5)
    changed = [data[: rng.randrange(len(data))] for _ in range(5)]
    for _ in range(25):
        altered = bytearray(data)
        altered[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        changed.append(bytes(altered))
    for number, content in enumerate(changed):
        path = tmp_path / f"{number}.jrrz"
        path.write_bytes(content)
        try:
            same_history(Recording(path), Recording(whole))  # a bit of a date, say
        except RecordingError as error:
            assert str(path) in str(error) and "\n" not in str(error)


def test_names_that_lead_elsewhere_are_refused(tmp_path):
    for number, name in enumerate(["../escaped", "/tmp/escaped", "a/b/c", "manifest.json/.."]):
        with zipfile.ZipFile(tmp_path / f"{number}.jrrz", "w") as file:
            file.writestr("manifest.json", "{}")
            file.writestr(name, "x")
        with pytest.raises(RecordingError, match="is not a packed recording"):
            Recording(tmp_path / f"{number}.jrrz")
    assert not (tmp_path / "escaped").exists()


def test_unpacked_once_and_kept_within_bounds(whole, tmp_path, cache, monkeypatch):
    pack(Recording(whole), tmp_path / "a.jrrz")
    trim(Recording(whole), A, B, tmp_path / "b.jrr", factory=make_machine)
    pack(Recording(tmp_path / "b.jrr"), tmp_path / "b.jrrz")
    first = Recording(tmp_path / "a.jrrz")
    assert Recording(tmp_path / "a.jrrz").path == first.path
    monkeypatch.setattr(packed_recordings, "LIMIT", 1)
    second = Recording(tmp_path / "b.jrrz")
    assert first.path.exists()  # in use
    path = first.path
    del first
    os.utime(tmp_path / "b.jrrz")
    with (tmp_path / "c.jrrz").open("wb") as file:
        file.write((tmp_path / "b.jrrz").read_bytes())
    with zipfile.ZipFile(tmp_path / "c.jrrz", "a") as more:
        more.writestr("note", "another file")
    Recording(tmp_path / "c.jrrz")
    assert not path.exists() and second.path.exists()
    assert verify(Recording(tmp_path / "a.jrrz"), factory=make_machine).good


@pytest.mark.parametrize("name", ["whole", "child"])
@pytest.mark.parametrize("end", [B, 100_000])
def test_a_piece_replays_alone(name, end, tmp_path, request):
    recording = Recording(request.getfixturevalue(name))
    trim(recording, A, end, tmp_path / "p.jrr", factory=make_machine)
    piece = Recording(tmp_path / "p.jrr")
    assert (piece.begin, piece.icount) == (A, end)
    assert piece.reason == ("trimmed" if end == B else "power-off")
    verdict = verify(piece, factory=make_machine)
    assert verdict.good and verdict.verified == end
    assert verify(piece, jobs=2, factory=make_machine).good
    for icount in (A, A + 1, 50_000, 50_001, end):
        assert digest_at(piece, icount) == digest_at(recording, icount)
    events = [event for event in piece.log.events if event.icount > 0]
    assert events == [event for event in recording.log.events if A <= event.icount < end]
    assert piece.log.digests[-1].icount == end
    assert piece.size()["total"] < sum(recording.size()[part] for part in ("log", "checkpoints")) or name == "child"


def test_pieces_of_pieces_and_branches_of_pieces(whole, tmp_path):
    trim(Recording(whole), A, B, tmp_path / "p.jrr", factory=make_machine)
    trim(Recording(tmp_path / "p.jrr"), 45_000, 55_000, tmp_path / "q.jrr", factory=make_machine)
    piece = Recording(tmp_path / "q.jrr")
    assert (piece.begin, piece.icount) == (45_000, 55_000) and verify(piece, factory=make_machine).good
    assert digest_at(piece, 50_001) == digest_at(Recording(whole), 50_001)
    branch(piece, 50_500, tmp_path / "b.jrr", Outside(), pace=BUSY, factory=make_machine)
    new = Recording(tmp_path / "b.jrr")
    assert (new.begin, new.icount) == (45_000, 100_000) and verify(new, factory=make_machine).good
    pack(new, tmp_path / "b.jrrz")
    packed = Recording(tmp_path / "b.jrrz")
    assert packed.begin == 45_000 and verify(packed, factory=make_machine).good


def test_what_is_not_in_a_piece_is_one_line(whole, tmp_path):
    new = tmp_path / "new.jrr"
    for begin, end, message in [(0, 100_001, "ends at instruction 100000"), (500, 500, "has no instructions"),
                                (600, 500, "has no instructions")]:  # fmt: skip
        with pytest.raises(RecordingError, match=message):
            trim(Recording(whole), begin, end, new, factory=make_machine)
    assert not new.exists()
    trim(Recording(whole), A, B, new, factory=make_machine)
    with pytest.raises(RecordingError, match="is a piece that begins at instruction 33333, not at 33332"):
        Replay(Recording(new), factory=make_machine).seek(A - 1)
    with pytest.raises(RecordingError, match="ends at instruction 77777"):
        Replay(Recording(new), factory=make_machine).seek(B + 1)
    with pytest.raises(RecordingError, match="exists already"):
        trim(Recording(whole), A, B, new, factory=make_machine)
