"""Verify: a good recording passes, a wrong machine or checkpoint is named, narrowing finds the instruction."""

from __future__ import annotations

import time
from functools import partial

import pytest
from toy_machine import ToyMachine, make_machine

from runtime.config import MachineConfig
from runtime.machine_api import Stop, StopReason
from runtime.recording.errors import Divergence, RecordingError
from runtime.recording.recording import Recording
from runtime.timeline.record import Outside, Pace, record
from runtime.timeline.verify import check_checkpoints, narrow, verify
from runtime.timeline.watch import Interrupted, Limits, Watch

FLAW = 100_001
BUSY = Pace(flush=0.0, digest=0.0, checkpoint=0.0, share=1e9)  # at every poll


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Recording:
    path = tmp_path_factory.mktemp("toy") / "toy.jrr"
    record(path, MachineConfig(memory=1 << 20, append="off=200000"), Outside(), pace=BUSY, factory=make_machine)
    return Recording(path)


def flawed_when_compiled(config: MachineConfig, border) -> ToyMachine:
    return ToyMachine(config, border, flaw=None if config.tier == "interp" else FLAW)


def test_a_good_recording_verifies(recording):
    verdict = verify(recording, factory=make_machine)
    assert verdict.good and verdict.verified == recording.icount == 200000


def test_two_processes_verify_as_one_does(recording):
    assert verify(recording, jobs=2, factory=make_machine).good
    verdict = verify(recording, jobs=2, factory=flawed_when_compiled)
    assert not verdict.good and verdict.verified <= FLAW < verdict.icount


def test_a_flaw_of_one_tier_is_narrowed_to_its_instruction(recording):
    verdict = verify(recording, factory=flawed_when_compiled)
    assert not verdict.good
    assert verdict.verified <= FLAW < verdict.icount
    assert f"auto and interp first differ after instruction {FLAW} " in verdict.message


def test_a_flaw_of_every_tier_is_named_by_interval(recording):
    verdict = verify(recording, factory=partial(ToyMachine, flaw=FLAW))
    assert not verdict.good and "the recorded run was another one" in verdict.message


def test_narrow_takes_any_two_machines(recording):
    machines = (make_machine, partial(ToyMachine, flaw=3))
    assert "after instruction 3 " in narrow(recording, 0, 200000, ("auto", "auto"), factories=machines)


def test_a_checkpoint_of_another_state_is_noticed(recording, monkeypatch):
    load = recording.checkpoints.load

    def altered(icount: int):
        saved, table = load(icount)
        table[5] ^= icount > 0
        return saved, table

    monkeypatch.setattr(recording.checkpoints, "load", altered)
    with pytest.raises(Divergence, match=f"at instruction {recording.checkpoints.icounts[1]}: the checkpoint here"):
        check_checkpoints(recording)


class Waiting(ToyMachine):
    """Runs only when it is asked to come back."""

    def run_to(self, icount: int) -> Stop:
        while not self.border.poll(self.icount):
            time.sleep(0.001)
        return Stop(StopReason.INTERRUPTED, self.icount)


def test_a_damaged_checkpoint_ends_the_replay_under_way(recording, monkeypatch):
    def damaged(wanted):
        raise RecordingError("a page is damaged")

    monkeypatch.setattr(recording.pages, "fetch", damaged)
    with pytest.raises(RecordingError, match="a page is damaged"):
        verify(recording, factory=Waiting)


def test_who_ends_it_does_not_wait_for_the_checkpoints(recording, monkeypatch):
    def endless(wanted):
        while True:
            time.sleep(0.001)
            yield 0, b""

    monkeypatch.setattr(recording.pages, "fetch", endless)
    with pytest.raises(Interrupted, match="timeout"):
        verify(recording, watch=Watch(Limits(timeout=0)), factory=Waiting)
