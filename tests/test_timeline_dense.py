"""Temporary checkpoints: steps back run a few instructions, memory stays bounded, and states are exact all the same."""

from __future__ import annotations

import random

import numpy as np
import pytest
from toy_machine import ToyMachine, make_machine

from runtime.config import MachineConfig
from runtime.recording.digest import PAGE
from runtime.recording.recording import Recording
from runtime.timeline import dense
from runtime.timeline.record import Outside, Pace, record
from runtime.timeline.replay import Replay

END = 200_000
NONE, PAGE_MAP = np.empty(0, np.int64), np.zeros((4, 2), np.uint64)


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Recording:
    path = tmp_path_factory.mktemp("toy") / "toy.jrr"
    pace = Pace(flush=0.0, digest=0.0, checkpoint=1e9)  # the beginning only
    record(path, MachineConfig(memory=1 << 20, append=f"off={END}"), Outside(), pace=pace, factory=make_machine)
    assert Recording(path).checkpoints.icounts == [0]
    return Recording(path)


def test_stepping_back_runs_few_instructions(recording):
    ran = []

    class Counting(ToyMachine):
        def _step(self) -> None:
            ran.append(self.icount)
            super()._step()

    replay = Replay(recording, factory=Counting, verify=False, dense=True, shelf=False)
    replay.run_to(END)
    replay.seek(END - 1)  # from the beginning
    before = len(ran)
    for at in range(END - 2, END - 1002, -1):
        replay.seek(at)
    assert len(ran) - before < 1000 * 64
    straight = Replay(recording, factory=make_machine)
    straight.run_to(END - 1001)
    assert (replay.icount, replay.digest()) == (END - 1001, straight.digest())


def test_a_walk_among_places_is_exact(recording, monkeypatch):
    monkeypatch.setattr(dense, "MOST", 12)
    monkeypatch.setattr(dense, "MOST_BYTES", 40 * PAGE)
    rng = random.Random(7)
    targets, here = [], END
    for _ in range(120):
        here = rng.choice((rng.randrange(END + 1), max(0, here - rng.randrange(200)), min(END, here + 77)))
        targets.append(here)
    straight, expected = Replay(recording, factory=make_machine), {}
    for target in sorted(set(targets)):
        straight.run_to(target)
        expected[target] = straight.digest()
    replay = Replay(recording, factory=make_machine, dense=True, shelf=False)
    for target in targets:
        replay.seek(target)
        assert (replay.icount, replay.digest()) == (target, expected[target])
        assert len(replay._kept.icounts) <= 12 and len(replay._kept._pages) <= 40 + len(replay.machine.ram) // PAGE
    replay.forget()
    assert replay.places() == [0] and not replay._kept._pages


def test_places_are_dense_near_the_position_and_sparse_far_from_it():
    kept = dense.Kept(())
    for icount in range(0, 64_000, 100):
        kept.icounts.append(icount)
        kept._places[icount] = dense.Place(icount, b"", b"", PAGE_MAP, (0, 0), NONE, PAGE_MAP[NONE])
        kept.thin(icount)
    gaps = [b - a for a, b in zip(kept.icounts, kept.icounts[1:], strict=False)]
    assert len(kept.icounts) <= dense.MOST
    assert kept.icounts[-1] == 63_900 and sum(gaps[:4]) > 8 * sum(gaps[-4:])
