"""States that replays leave for later sessions: these run fewer instructions, everything else stays as it was."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from toy_machine import ToyMachine, make_machine

from runtime.config import MachineConfig
from runtime.recording import shelf as shelves
from runtime.recording.pack import pack
from runtime.recording.recording import CLOSED, Recording, write_closed
from runtime.recording.shelf import SHELF, Shelf, Shelved
from runtime.timeline import replay as replays
from runtime.timeline.record import Outside, Pace, record
from runtime.timeline.replay import Replay
from runtime.timeline.trim import trim
from runtime.timeline.verify import verify

END, FAR = 60_000, 50_000
STORED = [FAR - (16 << 10), FAR - 512, FAR - 16]


@pytest.fixture(autouse=True)
def everything_is_worth_it(tmp_path, monkeypatch) -> None:
    """No threshold in seconds, but for those who set one; a cache of its own."""
    monkeypatch.setattr(replays, "WORTH", 0.0)
    monkeypatch.setattr(replays, "_EVERY", 1e9)
    monkeypatch.setattr(shelves, "_WAITING", 1000)
    monkeypatch.setenv("JITRR_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def path(tmp_path) -> Path:
    """A recording with a checkpoint of its beginning only."""
    made = tmp_path / "toy.jrr"
    config = MachineConfig(memory=1 << 20, append=f"off={END}")
    record(made, config, Outside(), pace=Pace(flush=0.0, digest=0.0, checkpoint=1e9), factory=make_machine)
    return made


def session(path: Path, *places: int, dense: bool = True, machine: type[ToyMachine] = ToyMachine) -> tuple[int, bytes]:
    """Seek to ``places`` in turn: how many instructions that took, and the digest of the last."""
    ran = []

    class Counting(machine):  # type: ignore[valid-type, misc]
        def _step(self) -> None:
            ran.append(self.icount)
            super()._step()

    with closing(Replay(Recording(path), factory=Counting, dense=dense)) as replay:
        for place in places:
            replay.seek(place)
        return len(ran), replay.digest()


def files(path: Path) -> dict[int, bytes]:
    """What is on the shelf."""
    return {int(file.stem): file.read_bytes() for file in sorted((path / SHELF).glob("*.state"))}


def on_shelf(path: Path) -> list[int]:
    return Shelf(Recording(path)).icounts


def test_a_later_session_begins_where_an_earlier_one_was(path):
    first, digest = session(path, FAR)
    assert first >= FAR - 3000 and on_shelf(path) == STORED  # it halts now and then
    for dense in (True, False):
        assert session(path, FAR, dense=dense) == (16, digest)
    assert session(path, FAR - 100)[0] <= 512
    assert session(path, FAR - (16 << 10) - 1)[0] > FAR // 2
    straight = Replay(Recording(path), factory=make_machine)
    straight.run_to(FAR)
    assert straight.digest() == digest


def test_the_places_of_a_long_run_stay_too(path, monkeypatch):
    monkeypatch.setattr(replays, "_EVERY", 0.0)  # one at each poll
    with closing(Replay(Recording(path), factory=make_machine, dense=True)) as replay:
        replay.run_to(END)
    stored = on_shelf(path)
    assert len(stored) > 15 and max(b - a for a, b in zip([0, *stored], [*stored, END], strict=True)) < 8000
    assert session(path, FAR, FAR // 2, FAR - 1)[0] < 24_000


def test_what_is_near_is_not_stored(path, monkeypatch):
    monkeypatch.setattr(replays, "WORTH", 1e9)
    session(path, FAR, FAR // 2)
    assert on_shelf(path) == []


def test_seconds_are_counted_from_what_is_on_disk(path, monkeypatch):
    monkeypatch.setattr(replays.time, "perf_counter", iter(range(1_000_000)).__next__)  # each run takes a second
    monkeypatch.setattr(replays, "WORTH", 2.0)
    with closing(Replay(Recording(path), factory=make_machine, dense=True, verify=False)) as replay:
        replay.seek(FAR)  # runs of one second each: to three places, the second of which is worth it, and to here
        assert replay._shelf.icounts == [FAR - 512]
        replay.seek(FAR - (16 << 10) - 10)  # from the beginning
    assert on_shelf(path) == [FAR - (16 << 10) - 522, FAR - 512]


@pytest.mark.parametrize("how", ["altered", "cut", "empty", "other", "unreadable"])
def test_a_damaged_state_is_ignored(path, tmp_path, how):
    _, digest = session(path, FAR)
    for number, file in enumerate(sorted((path / SHELF).glob("*.state"))):
        data = bytearray(file.read_bytes())
        data[len(data) * number // 3] ^= 4
        if how == "other":
            identity = Recording(path).identity
            data = bytearray(Shelved.decode(file.read_bytes(), identity).encode(bytes(16)))
        elif how == "unreadable":
            file.unlink()
            file.mkdir()
            continue
        file.write_bytes({"cut": data[:-5], "empty": b""}.get(how, data))
    ran, again = session(path, FAR, dense=False)
    assert again == digest and ran > FAR // 2
    assert how == "unreadable" or on_shelf(path) == []


def test_a_state_that_the_machine_refuses_is_ignored(path):
    """Another version of jitrr may have left it, or a page that is not there is missing."""
    _, digest = session(path, FAR)
    recording = Recording(path)
    shelf = Shelf(recording)
    good = shelf.take(FAR - 16)
    assert good is not None

    class Other(ToyMachine):
        def cpu_state(self) -> bytes:
            return b"other" + super().cpu_state()

    class Refusing(ToyMachine):
        def restore_cpu(self, state: bytes, icount: int) -> None:
            if icount:
                raise ValueError("of another version")
            super().restore_cpu(state, icount)

    ran, _ = session(path, FAR, dense=False, machine=Refusing)
    assert ran > FAR // 2 and on_shelf(path) == []
    with closing(shelf):
        for bad in (replace(good, contents={}), replace(good, digest=bytes(16)), replace(good, base=5)):
            assert Shelf(recording).icounts == []
            again = Shelf(recording)
            assert again.put(bad)
            again.close()
            assert session(path, FAR, dense=False)[1] == digest and on_shelf(path) == []


def test_where_the_recording_cannot_be_written_to_the_cache_has_them(path, tmp_path):
    (path / SHELF).write_bytes(b"")  # no folder can be made
    _, digest = session(path, FAR)
    assert on_shelf(path) == STORED and len(list((tmp_path / "cache" / SHELF).glob("*/*.state"))) == 3
    assert session(path, FAR) == (16, digest)
    shutil.copytree(path, tmp_path / "copy.jrr")
    assert session(tmp_path / "copy.jrr", FAR) == (16, digest)  # the same history


def test_those_of_a_packed_recording_are_in_the_cache(path, tmp_path):
    pack(Recording(path), tmp_path / "toy.jrrz")
    before = (tmp_path / "toy.jrrz").read_bytes()
    _, digest = session(tmp_path / "toy.jrrz", FAR)
    assert session(tmp_path / "toy.jrrz", FAR) == (16, digest)
    assert (tmp_path / "toy.jrrz").read_bytes() == before and not files(path)


def test_the_recording_means_what_it_meant(path, tmp_path):
    before = Recording(path)
    length = before.info()
    pack(before, tmp_path / "before.jrrz")
    session(path, FAR)
    after = Recording(path)
    info = after.info()
    assert info["bytes_shelf"] == sum(map(len, files(path).values())) == info["bytes"] - length["bytes"]
    assert info | {"bytes": 0, "bytes_shelf": 0} == length | {"bytes": 0}
    pack(after, tmp_path / "after.jrrz")
    assert (tmp_path / "before.jrrz").read_bytes() == (tmp_path / "after.jrrz").read_bytes()
    trim(after, FAR, FAR + 100, tmp_path / "piece.jrr", factory=make_machine)
    assert not (tmp_path / "piece.jrr" / SHELF).exists()
    assert verify(Recording(tmp_path / "piece.jrr"), factory=make_machine).good


def test_a_recording_that_is_closed_later_does_not_count_them(path):
    """One may be replayed while it is being made."""
    session(path, FAR)
    (path / CLOSED).unlink()
    write_closed(path, Recording(path).icount)
    shutil.rmtree(path / SHELF)
    assert verify(Recording(path), factory=make_machine).good


def test_verify_does_not_rely_on_them(path):
    session(path, FAR)
    for file in (path / SHELF).glob("*.state"):
        file.write_bytes(b"nothing")
    assert verify(Recording(path), factory=make_machine).good
    assert set(files(path).values()) == {b"nothing"}  # it did not look at them


def test_they_stay_within_the_budget_and_those_in_use_stay(path, monkeypatch):
    session(path, END - 1)
    room = 2 * Recording(path).info()["bytes_shelf"]
    shutil.rmtree(path / SHELF)
    monkeypatch.setattr(Shelf, "_room", room)
    for place in range(15_000, END, 5_000):
        session(path, 12_000, place)  # the one in front of 12,000 is used each time
        assert Recording(path).info()["bytes_shelf"] <= room
    assert 12_000 - 16 in on_shelf(path) and 15_000 - 16 not in on_shelf(path)


def test_the_budget_is_the_recorders(tmp_path):
    config = MachineConfig(memory=1 << 20, append=f"off={END}")
    made = tmp_path / "small.jrr"
    record(made, config, Outside(), pace=Pace(checkpoint=1e9, budget=1), factory=make_machine)
    session(made, FAR)
    assert on_shelf(made) == []


def test_those_in_the_cache_are_bounded(path, tmp_path, monkeypatch):
    (path / SHELF).write_bytes(b"")
    monkeypatch.setattr(shelves, "CACHED", 1)
    session(path, FAR)
    assert on_shelf(path) == []


def test_two_sessions_at_once(path):
    recordings = [Recording(path), Recording(path)]
    one, two = (Replay(recording, factory=make_machine, dense=True) for recording in recordings)
    for place in (FAR, FAR // 2, FAR, FAR // 3):
        one.seek(place)
        two.seek(place)
        assert one.digest() == two.digest()
    one.close()
    two._shelf.settle()
    shutil.rmtree(path / SHELF)  # and a third one had no room
    two.seek(FAR)
    two.seek(10)
    two.forget()
    two.seek(FAR)
    assert two.digest() == session(path, FAR)[1]
    two.close()


def test_killed_while_it_writes(path):
    """Right before a state gets its name."""
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_timeline_shelf import *
replays.WORTH, replays._EVERY = 0.0, 1e9
rename = os.replace
def killed(old, new):
    if str(new).endswith("{FAR - 512:020}.state"):
        os.kill(os.getpid(), signal.SIGKILL)
    rename(old, new)
os.replace = killed
session(Path({str(path)!r}), FAR)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", program], env=environment).returncode == -signal.SIGKILL
    assert list(files(path)) == STORED[:1] and len(list((path / SHELF).iterdir())) == 2
    assert verify(Recording(path), factory=make_machine).good
    ran, _ = session(path, FAR)
    assert ran <= 16 << 10 and on_shelf(path) == STORED
