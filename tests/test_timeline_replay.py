"""Record, replay, seek: with a toy machine, whose every source of non-determinism is real."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toy_machine import ToyMachine, make_machine

from runtime.borders.script import Script, parse_script
from runtime.config import Image, MachineConfig
from runtime.recording.errors import Divergence, RecordingError
from runtime.recording.recording import Recording
from runtime.timeline.record import Limits, Outside, Pace, Recorded, record, run
from runtime.timeline.replay import Replay

BUSY = Pace(flush=0.0, digest=0.0, checkpoint=0.0, share=1e9)  # at every poll
CONFIG = MachineConfig(memory=1 << 20, kernel=Image("toy", b"kernel" * 1000), append="off=200000")
SCRIPT = """at 777 keyboard "a"
after "9000\\r\\n" serial "hello\\n"
after "[hello" +5 power button
at 150000 serial "x"
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Recording:
    path = tmp_path_factory.mktemp("toy") / "toy.jrr"
    outside = Outside(script=Script(parse_script(SCRIPT)))
    outcome = record(path, CONFIG, outside, pace=BUSY, factory=make_machine)
    assert (outcome.icount, outcome.reason) == (200000, "power-off")
    return Recording(path)


def test_records_what_crossed_the_border_and_nothing_else(recording):
    kinds = [event.kind for event in recording.log.events]
    assert 40 < kinds.count("clock") <= 68 and 30 < kinds.count("entropy") <= 50
    inputs = [event for event in recording.log.events if event.asynchronous]
    assert [event.kind for event in inputs] == ["input:keyboard", "input:serial0", "input:power", "input:serial0"]
    assert [inputs[0].icount, inputs[3].icount] == [777, 150000]
    assert recording.clean_close and recording.icount == 200000
    assert len(recording.checkpoints.icounts) > 3


@pytest.mark.parametrize(("share", "least", "most"), [(1e-9, 2, 2), (1e9, 20, 1000)])
def test_checkpoints_wait_until_they_are_a_small_part_of_the_processors_time(tmp_path, monkeypatch, share, least, most):
    """Its clock goes on by a second whenever it is read: half of the time is theirs, or more."""
    monkeypatch.setattr("runtime.timeline.record.time.thread_time", count().__next__)
    pace = Pace(flush=0.0, digest=0.0, checkpoint=0.0, share=share)
    record(tmp_path / "toy.jrr", CONFIG, Outside(), pace=pace, factory=make_machine)
    recording = Recording(tmp_path / "toy.jrr")  # the first costs nothing, the second all there is
    assert least <= len(recording.checkpoints.icounts) <= most


def test_the_guest_does_not_wait_for_a_checkpoint_to_be_written_before_it_is_late():
    checkpoints = SimpleNamespace(busy=True)
    writer: Any = SimpleNamespace(checkpoints=checkpoints)
    machine: Any = SimpleNamespace(ram=bytes(1 << 20))
    border: Any = None
    recorded = Recorded(writer, machine, border, Limits(), Pace(checkpoint=0.25), None)
    recorded._next_checkpoint = 10.0
    assert [recorded._is_checkpoint_due(seconds) for seconds in (9.9, 10.0, 10.2, 10.3)] == [False, False, False, True]
    checkpoints.busy = False
    assert [recorded._is_checkpoint_due(seconds) for seconds in (9.9, 10.0)] == [False, True]


def test_replays_to_the_same_digests(recording):
    replay = Replay(recording, factory=make_machine)
    replay.finish()
    assert replay.icount == replay.verified == 200000


def test_two_recordings_differ(recording, tmp_path):
    path = tmp_path / "again.jrr"
    record(path, CONFIG, Outside(), pace=BUSY, factory=make_machine)
    assert Recording(path).log.digests[-1].digest != recording.log.digests[-1].digest


def test_seek_agrees_with_running_there(recording):
    rng = random.Random(1)
    targets = [0, 1, 200000, 777, 778, 150000, 150001, *(rng.randrange(200001) for _ in range(12))]
    straight = {}
    replay = Replay(recording, factory=make_machine)
    for target in sorted(targets):
        replay.run_to(target)
        straight[target] = replay.digest()
    seeker = Replay(recording, factory=make_machine)
    for target in targets:
        seeker.seek(target)
        assert (seeker.icount, seeker.digest()) == (target, straight[target])
    seeker.seek(3)
    seeker.finish()


def test_kept_places_are_come_back_to_exactly(recording):
    replay = Replay(recording, factory=make_machine)
    replay.seek(123456)
    at_place = replay.digest()
    replay.keep()
    replay.run_to(160000)
    replay.seek(123456)
    assert replay.digest() == at_place
    replay.finish()


def test_seek_beyond_the_end_is_refused(recording):
    with pytest.raises(RecordingError, match="ends at instruction 200000, there is no instruction 200001"):
        Replay(recording, factory=make_machine).seek(200001)


def test_a_wrong_state_is_a_divergence(recording):
    with pytest.raises(Divergence, match="divergence at instruction") as caught:
        Replay(recording, factory=partial(ToyMachine, flaw=100_001)).finish()
    assert caught.value.icount > 100_000


def test_not_verifying_still_notices_a_read_that_was_not_recorded(recording):
    class Reader(ToyMachine):
        def _step(self):
            if self.icount == 100_001:
                self.border.entropy(4)
            super()._step()

    with pytest.raises(Divergence, match="at instruction 100001: the guest reads entropy of 4 bytes"):
        Replay(recording, verify=False, factory=Reader).finish()


def test_max_icount_ends_exactly(tmp_path):
    outcome = record(tmp_path / "a.jrr", CONFIG, Outside(), Limits(max_icount=12345), pace=BUSY, factory=make_machine)
    assert (outcome.icount, outcome.reason) == (12345, "max-icount")
    replay = Replay(Recording(tmp_path / "a.jrr"), factory=make_machine)
    replay.finish()
    assert replay.icount == 12345


def test_timeout_closes_the_recording(tmp_path):
    config = MachineConfig(memory=1 << 20, append="slow")
    outcome = record(tmp_path / "a.jrr", config, Outside(), Limits(timeout=0.3), pace=BUSY, factory=make_machine)
    assert outcome.reason == "timeout"
    recording = Recording(tmp_path / "a.jrr")
    assert recording.clean_close and recording.icount == outcome.icount > 0
    Replay(recording, factory=make_machine).finish()


def test_a_crash_is_recorded_and_happens_again(tmp_path):
    config = MachineConfig(memory=1 << 20, append="crash=50001")
    outcome = record(tmp_path / "a.jrr", config, Outside(), pace=BUSY, factory=make_machine)
    assert (outcome.reason, outcome.icount, outcome.message) == ("crashed", 50001, "triple fault")
    recording = Recording(tmp_path / "a.jrr")
    Replay(recording, factory=make_machine).finish()
    replay = Replay(recording, factory=lambda config, border: make_machine(MachineConfig(memory=1 << 20), border))
    with pytest.raises(Divergence, match="crashed here when it was recorded"):
        replay.finish()


def test_a_guest_that_halts_for_good_ends_the_recording(tmp_path):
    outside = Outside(script=Script(parse_script('at 30001 serial "halt"')))
    outcome = record(tmp_path / "a.jrr", MachineConfig(memory=1 << 20), outside, pace=BUSY, factory=make_machine)
    assert (outcome.reason, outcome.icount) == ("idle", 30002)
    Replay(Recording(tmp_path / "a.jrr"), factory=make_machine).finish()


def test_a_failure_inside_the_machine_closes_the_recording(tmp_path):
    class Broken(ToyMachine):
        def _step(self):
            if self.icount == 77_777:
                raise RuntimeError("broken")
            super()._step()

    with pytest.raises(RuntimeError, match="broken"):
        record(tmp_path / "a.jrr", CONFIG, Outside(), pace=BUSY, factory=Broken)
    recording = Recording(tmp_path / "a.jrr")
    assert (recording.reason, recording.message) == ("error", "broken")
    assert 0 < recording.icount <= 77_777
    Replay(recording, factory=make_machine).finish()


def test_a_machine_that_cannot_be_built_leaves_nothing(tmp_path):
    config = MachineConfig(memory=1 << 20, append="badkernel")
    with pytest.raises(ValueError, match="this is not a kernel"):
        record(tmp_path / "a.jrr", config, Outside(), factory=make_machine)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_output_is_refused(recording):
    with pytest.raises(RecordingError, match="exists already"):
        record(recording.path, CONFIG, Outside(), factory=make_machine)
    assert Recording(recording.path).icount == 200000


def test_a_script_gives_the_same_run_twice(tmp_path):
    """With a fixed clock nothing but entropy is left, and stepping over it the script itself must not vary."""
    script = 'after "9000\\r\\n" serial "hello\\n"\nafter "[hello" +5 serial "b"'
    stamps = []
    for _ in range(2):
        seen: list[tuple[int, bytes]] = []

        class Seen(ToyMachine):
            def _input(self, channel, data, seen=seen):
                seen.append((self.icount, data))

        run(CONFIG, Outside(script=Script(parse_script(script))), factory=Seen)
        stamps.append(seen)
    assert stamps[0] == stamps[1] and len(stamps[0]) == 1


def test_thinned_checkpoints_stay_within_budget_and_still_seek(tmp_path):
    path = tmp_path / "a.jrr"
    config = MachineConfig(memory=1 << 20, append="off=300000")
    pace = replace(BUSY, budget=500_000)
    record(path, config, Outside(), pace=pace, factory=make_machine)
    recording = Recording(path)
    assert recording.size()["checkpoints"] <= 500_000
    assert 2 < len(recording.checkpoints.icounts) < len(recording.log.digests)
    straight, seeker = (Replay(recording, factory=make_machine) for _ in range(2))
    for target in (250_000, 10, 299_999, 123_456):
        seeker.seek(target)
        straight = Replay(recording, factory=make_machine)
        straight.run_to(target)
        assert seeker.digest() == straight.digest()


def test_replay_shows_the_console_again(recording, tmp_path):
    from runtime.borders.console import ConsoleOutput

    shown = tmp_path / "console"
    replay = Replay(recording, console=ConsoleOutput.file(shown), factory=make_machine)
    replay.finish()
    replay.close()
    text = Path(shown).read_bytes()
    assert text.startswith(b"0\r\n[\x1e\x9e]1000\r\n") and b"[hello\n]" in text
