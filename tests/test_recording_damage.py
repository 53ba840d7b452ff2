"""What is left after a kill, a full disk, a damaged file: an exact replay of what is there, or one clear line."""

from __future__ import annotations

import errno
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from damage import CHANGES, damage
from toy_machine import make_machine

from runtime.config import Image, MachineConfig
from runtime.recording.errors import Divergence, RecordingError
from runtime.recording.recording import Recording
from runtime.timeline.record import Outside, Pace, record
from runtime.timeline.replay import Replay
from runtime.timeline.verify import verify

BUSY = Pace(flush=0.0, digest=0.0, checkpoint=0.0, share=1e9)  # at every poll
CONFIG = MachineConfig(memory=1 << 20, kernel=Image("toy", b"kernel" * 1000), append="off=100000")
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("toy") / "good.jrr"
    record(path, CONFIG, Outside(), pace=BUSY, factory=make_machine)
    return path


@pytest.fixture
def copy(good, tmp_path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "copy.jrr"))


def killed_recording(path: Path, number: int) -> Recording:
    """A recording whose process was sent a signal when some of it was on disk."""
    child = subprocess.Popen([sys.executable, str(HERE / "toy_recorder.py"), str(path)], cwd=HERE.parent,
                             env={"PYTHONPATH": f"{HERE.parent}:{HERE}"})  # fmt: skip
    while not _has(path, checkpoints=3, digests=3):
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(number)
    child.wait(60)
    return Recording(path)


def _has(path: Path, checkpoints: int, digests: int) -> bool:
    """Whether a recording that goes on has come so far."""
    if len(list(path.glob("checkpoints/*.ckpt"))) < checkpoints:
        return False
    with suppress(RecordingError):
        return len(Recording(path).log.digests) >= digests
    return False


def test_after_kill_9_what_was_flushed_replays(tmp_path):
    recording = killed_recording(tmp_path / "a.jrr", signal.SIGKILL)
    assert not recording.clean_close and recording.reason == "cut short"
    assert recording.icount > 0 and len(recording.log.digests) >= 3
    verdict = verify(recording, factory=make_machine)
    assert verdict.good and verdict.icount == recording.icount
    seeker, straight = (Replay(recording, factory=make_machine) for _ in range(2))
    seeker.seek(recording.icount)
    straight.run_to(recording.icount)
    assert seeker.digest() == straight.digest()


def test_sigterm_closes_the_recording(tmp_path):
    recording = killed_recording(tmp_path / "a.jrr", signal.SIGTERM)
    assert recording.clean_close and recording.reason == "SIGTERM"
    assert verify(recording, factory=make_machine).good


def test_a_log_cut_anywhere_replays_up_to_the_cut_or_is_refused(good, tmp_path):
    """As after a power cut: no closing mark, and the log ends in the middle of something."""
    size = (good / "log.mcap").stat().st_size
    rng = random.Random(2)
    lengths = []
    for cut in sorted(rng.randrange(size) for _ in range(12)):
        path = Path(shutil.copytree(good, tmp_path / f"{cut}.jrr"))
        (path / "closed.json").unlink()
        with (path / "log.mcap").open("r+b") as file:
            file.truncate(cut)
        try:
            recording = Recording(path)
        except RecordingError as error:
            assert "\n" not in str(error)
            continue
        assert not recording.clean_close
        Replay(recording, factory=make_machine).run_to(recording.icount)
        lengths.append(recording.icount)
    assert lengths == sorted(lengths) and len(set(lengths)) > 3


@pytest.mark.parametrize("name", ["log.mcap", "manifest.json", "closed.json", "*.ckpt", "*.pack", "images/*"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_damaged_file_of_a_closed_recording_is_refused(copy, name, change):
    path = damage(copy, name, change)
    if (name, change) == ("closed.json", "remove"):
        assert not Recording(copy).clean_close  # the same as never closed
        return
    with pytest.raises(RecordingError) as caught:
        verify(Recording(copy), factory=make_machine)
    assert "\n" not in str(caught.value) and path.name in str(caught.value)


def test_a_bit_that_decoders_ignore_is_not_ignored(copy):
    path = sorted(copy.rglob("*.pack"))[-1]
    data = bytearray(path.read_bytes())
    data[data.index(b"\x28\xb5\x2f\xfd") + 4] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(RecordingError, match="damaged"):
        verify(Recording(copy), factory=make_machine)


def test_no_altered_byte_of_the_log_gives_a_wrong_replay(good, tmp_path):
    """Without the closing mark there is no hash over the log: chunk CRCs and batch numbers have to do."""
    path = Path(shutil.copytree(good, tmp_path / "a.jrr"))
    (path / "closed.json").unlink()
    data = (path / "log.mcap").read_bytes()
    rng = random.Random(3)
    for _ in range(60):
        altered = bytearray(data)
        altered[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (path / "log.mcap").write_bytes(altered)
        try:
            recording = Recording(path)
        except RecordingError:
            continue
        full = Recording(good).log
        assert recording.log.events == full.events[: len(recording.log.events)]
        assert recording.log.digests == full.digests[: len(recording.log.digests)]


def test_a_full_disk_ends_the_recording_with_one_line(tmp_path, monkeypatch):
    from runtime.recording.log import LogWriter

    flush, calls = LogWriter.flush, []

    def full(self, icount, end=None):
        calls.append(icount)
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(self, icount, end)

    monkeypatch.setattr(LogWriter, "flush", full)
    path = tmp_path / "a.jrr"
    with pytest.raises(RecordingError, match="No space left on device; the recording is good up to instruction"):
        record(path, CONFIG, Outside(), pace=BUSY, factory=make_machine)
    recording = Recording(path)
    assert not recording.clean_close and recording.icount == calls[4]
    Replay(recording, factory=make_machine).run_to(recording.icount)


def test_a_file_that_cannot_grow_ends_the_recording_with_one_line(tmp_path):
    """The system itself refuses to write: in the log or in a page pack, whichever is at it first."""
    path = tmp_path / "a.jrr"
    command = [sys.executable, str(HERE / "toy_recorder.py"), str(path), "14000"]
    env = {"PYTHONPATH": f"{HERE.parent}:{HERE}"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert re.search(r"RecordingError: cannot write .*; the recording is good up to instruction \d+\n$", done.stderr)
    recording = Recording(path)
    assert not recording.clean_close and recording.icount > 0
    assert verify(recording, factory=make_machine).good


def test_what_is_not_a_recording(tmp_path):
    with pytest.raises(RecordingError, match="does not exist"):
        Recording(tmp_path / "nothing")
    with pytest.raises(RecordingError, match=r"is not a recording \(it has no manifest.json\)"):
        Recording(tmp_path)


def test_a_newer_format_is_refused(copy):
    from runtime.recording.files import read_json, write_json

    manifest = read_json(copy / "manifest.json") | {"format": 99}
    write_json(copy / "manifest.json", manifest)
    (copy / "closed.json").unlink()
    with pytest.raises(RecordingError, match="has format 99; this version reads format 3"):
        Recording(copy)


def test_a_recording_is_self_contained(good, tmp_path):
    moved = Path(shutil.copytree(good, tmp_path / "elsewhere" / "moved.jrr"))
    recording = Recording(moved)
    kernel = recording.config().kernel
    assert kernel is not None and kernel.data == b"kernel" * 1000
    assert verify(recording, factory=make_machine).good


def test_events_of_another_run_diverge(good, tmp_path):
    other = tmp_path / "b.jrr"
    record(other, CONFIG, Outside(), pace=BUSY, factory=make_machine)
    recording = Recording(good)
    recording.log.events[5:] = Recording(other).log.events[5:]
    with pytest.raises(Divergence):
        Replay(recording, factory=make_machine).finish()
