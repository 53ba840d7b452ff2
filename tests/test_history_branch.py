"""Branches: a recording that leaves another one, shares its past, and is as good as any other."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_machine import make_machine

from runtime.borders.script import Script, parse_script
from runtime.config import ConfigError, Image, MachineConfig
from runtime.recording.errors import RecordingError
from runtime.recording.pages import frames
from runtime.recording.recording import Recording
from runtime.timeline.branch import branch
from runtime.timeline.record import Limits, Outside, Pace, record
from runtime.timeline.replay import Replay
from runtime.timeline.verify import verify

BUSY = Pace(flush=0.0, digest=0.0, checkpoint=0.0, share=1e9)  # at every poll
CONFIG = MachineConfig(memory=1 << 20, kernel=Image("toy", b"kernel" * 1000), append="off=100000")
HERE = Path(__file__).parent
AT = 54_321


def typed(text: str) -> Outside:
    return Outside(script=Script(parse_script(text)))


def leave(parent: Path, at: int, path: Path, text: str = "", limits: Limits | None = None) -> Recording:
    branch(Recording(parent), at, path, typed(text), limits, pace=BUSY, factory=make_machine)
    return Recording(path)


def digest_at(recording: Recording, icount: int) -> bytes:
    replay = Replay(recording, factory=make_machine)
    replay.seek(icount)
    return replay.digest()


@pytest.fixture(scope="module")
def parent(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("toy") / "parent.jrr"
    record(path, CONFIG, typed('at 777 keyboard "a"\nat 90000 serial "x"'), pace=BUSY, factory=make_machine)
    return path


@pytest.fixture
def family(parent, tmp_path) -> tuple[Path, Path]:
    """A parent and its branch in one directory."""
    copy = Path(shutil.copytree(parent, tmp_path / "parent.jrr"))
    leave(copy, AT, tmp_path / "child.jrr", 'at 60000 serial "hello"')
    return copy, tmp_path / "child.jrr"


def test_a_branch_goes_its_own_way_from_there_on(family):
    parent, child = map(Recording, family)
    assert (child.icount, child.reason, child.begin) == (100_000, "power-off", 0)
    assert digest_at(child, AT) == digest_at(parent, AT)
    assert digest_at(child, 60_001) != digest_at(parent, 60_001)
    before = [event for event in parent.log.events if event.icount < AT]
    assert child.log.events[: len(before)] == before
    inputs = [(event.icount, event.data) for event in child.log.events if event.kind == "input:serial0"]
    assert inputs == [(60_000, b"hello")]


def test_a_branch_replays_seeks_and_verifies(family):
    child = Recording(family[1])
    verdict = verify(child, factory=make_machine)
    assert verdict.good and verdict.verified == 100_000
    assert verify(child, jobs=2, factory=make_machine).good
    straight, seeker = Replay(child, factory=make_machine), Replay(child, factory=make_machine)
    for target in (100, AT - 1, AT, AT + 1, 77_777, 100_000):
        straight.run_to(target)
        seeker.seek(100_000 - target)
        seeker.seek(target)
        assert seeker.digest() == straight.digest()
    straight.finish()


def test_a_branch_is_small_and_has_only_what_is_new(family):
    parent, child = map(Recording, family)
    assert not list(child.path.glob("images/*"))
    assert child.config().kernel == CONFIG.kernel
    own = {path.name for path in (child.path / "checkpoints").iterdir()}
    assert min(own) == f"{AT:020}.ckpt" and len(child.checkpoints.icounts) > len(own)
    assert child.checkpoints.icounts == sorted(set(child.checkpoints.icounts))
    stored = {name for path in child.path.glob("pages/*.pack") for *_, names in frames(path) for name in names}
    assert stored and not any(name in parent.pages for name in stored)


@pytest.mark.parametrize("at", [0, 1, 777, 778, 5000, 9_974, 99_999])
def test_a_branch_leaves_anywhere(parent, tmp_path, at):
    """Before and after input, at a timer, in a halt: what was due then happens once, and live."""
    child = leave(parent, at, tmp_path / "child.jrr")
    assert verify(child, factory=make_machine).good and child.icount == 100_000
    keys = [event.icount for event in child.log.events if event.kind == "input:keyboard"]
    assert keys == ([777] if at > 777 else [])


def test_a_branch_of_a_branch(family, tmp_path):
    _, child = family
    for at in (AT - 10_000, AT, AT + 20_000):
        grandchild = leave(child, at, tmp_path / f"{at}.jrr", 'at 80000 keyboard "b"')
        assert verify(grandchild, factory=make_machine).good
        assert digest_at(grandchild, at) == digest_at(Recording(child), at)
        hello = [event for event in grandchild.log.events if event.data == b"hello"]
        assert len(hello) == (1 if at > 60_000 else 0)


def test_parent_and_branch_move_together(family, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for path in family:
        path.rename(tmp_path / "elsewhere" / path.name)
    assert verify(Recording(tmp_path / "elsewhere" / "child.jrr"), factory=make_machine).good


def test_a_missing_parent_is_one_line(family):
    parent, child = family
    parent.rename(parent.with_name("gone.jrr"))
    with pytest.raises(RecordingError, match=r"child.jrr is a branch of .*parent.jrr, which does not exist: .* pack"):
        Recording(child)


def test_another_parent_is_noticed(family):
    parent, child = family
    shutil.rmtree(parent)
    record(parent, CONFIG, Outside(), pace=BUSY, factory=make_machine)
    with pytest.raises(RecordingError, match=r"parent.jrr, which is not that recording any more: .*jitrr pack"):
        Recording(child)


def test_a_branch_of_itself_is_refused(family):
    parent, child = family
    shutil.rmtree(parent)
    parent.symlink_to(child)
    with pytest.raises(RecordingError, match="says that it is a branch of itself"):
        Recording(child)


def test_what_cannot_be_left_is_one_line(parent, tmp_path):
    new = tmp_path / "new.jrr"
    with pytest.raises(RecordingError, match="ends at instruction 100000, there is no instruction 100001"):
        leave(parent, 100_001, new)
    with pytest.raises(RecordingError, match="at instruction 100000 the machine is switched off"):
        leave(parent, 100_000, new)
    with pytest.raises(ConfigError, match="has a step at instruction 777, but the branch begins at 1000"):
        leave(parent, 1000, new, 'at 777 serial "x"')
    with pytest.raises(ConfigError, match="--max-icount 10 is before 1000"):
        leave(parent, 1000, new, limits=Limits(max_icount=10))
    assert not new.exists()


def test_limits_count_from_the_beginning_of_the_parent(parent, tmp_path):
    child = leave(parent, 1000, tmp_path / "a.jrr", limits=Limits(max_icount=2345))
    assert (child.icount, child.reason) == (2345, "max-icount")
    assert verify(child, factory=make_machine).good


def killed_branch(parent: Path, path: Path, checkpoints: int) -> Recording:
    """A branch whose process was killed when it had so many checkpoints."""
    child = subprocess.Popen([sys.executable, str(HERE / "toy_recorder.py"), str(path), "0", str(parent), "3000"],
                             cwd=HERE.parent, env={"PYTHONPATH": f"{HERE.parent}:{HERE}"})  # fmt: skip
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and child.poll() is None:
        if (path / "manifest.json").exists() and len(list(path.glob("checkpoints/*.ckpt"))) >= checkpoints:
            break
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    child.wait(60)
    return Recording(path)


@pytest.mark.parametrize("checkpoints", [0, 1, 4])
def test_after_kill_9_a_branch_replays_what_was_flushed(tmp_path, checkpoints):
    slow = MachineConfig(memory=1 << 20, append="slow")
    record(tmp_path / "a.jrr", slow, Outside(), Limits(max_icount=5000), pace=BUSY, factory=make_machine)
    recording = killed_branch(tmp_path / "a.jrr", tmp_path / "b.jrr", checkpoints)
    assert not recording.clean_close and recording.icount >= 3000
    verdict = verify(recording, factory=make_machine)
    assert verdict.good and verdict.icount == recording.icount
