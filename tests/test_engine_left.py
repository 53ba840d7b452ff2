"""What has not been compiled when a run ends is compiled all the same, for the next one; nobody waits for it."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from real_machine import empty_cache, record_demo

from jitrr.engine import cache
from jitrr.engine.former import LARGE, Former
from jitrr.engine.workers import Worker
from runtime.machine import make_machine
from runtime.recording.recording import Recording
from runtime.timeline.replay import Replay

THRESHOLDS = (2, 100)
STEP = 2_000_000
#: Seconds. The worker that goes on gives way to everybody, and the machine may be busy.
PATIENCE = 600


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    path = tmp_path_factory.mktemp("left") / "demo.jrr"
    assert record_demo(path).reason == "power-off"
    return Recording(path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache; runs compile nothing themselves."""
    monkeypatch.setattr("jitrr.engine.tier.AHEAD", 0)
    monkeypatch.setattr("jitrr.engine.tier.LOOK", 1)
    monkeypatch.setattr("runtime.machine.POLL_SECONDS", 0.0)
    return empty_cache(tmp_path / "cache", "x86_64", monkeypatch)


class Run:
    """A replay that goes on only as far as it is told."""

    def __init__(self, recording: Recording):
        self.recording = recording
        self.replay = Replay(recording, factory=partial(make_machine, thresholds=THRESHOLDS))
        self.tier = cast(Any, self.replay.machine).engine.tier

    def until(self, condition: Callable[[Any], object]) -> Run:
        """Go on until something holds of the tier."""
        while not condition(self.tier):
            assert self.replay.icount < self.recording.icount, "the run has ended without it"
            self.replay.run_to(min(self.replay.icount + STEP, self.recording.icount))
        return self

    def ask_for_large(self) -> Run:
        """What a trace does: large regions wait for the worker, beginning where small ones have been asked for."""
        self.until(lambda tier: len(tier.queue) > 5)
        for small in self.tier.queue:
            self.tier._ask_for(Former(self.tier, small.head, small.pc, LARGE).form(), self.tier.later)
        return self

    def end(self) -> tuple[Worker, set[str]]:
        """Close it: the worker that goes on (stopped for now), and the names of what it has been left."""
        (worker,) = self.tier.workers
        names = {self.tier._request(formed)[0] for formed in (*self.tier.later, *self.tier.queue)}
        os.kill(worker.process.pid, signal.SIGSTOP)
        self.replay.close()
        return worker, names


@pytest.fixture
def left(recording: Recording, folder: Path) -> Iterator[tuple[Worker, set[str]]]:
    worker, names = Run(recording).ask_for_large().end()
    yield worker, names
    worker.process.kill()
    worker.process.wait()


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, for as long as a busy machine may need."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def go_on(worker: Worker) -> subprocess.Popen[bytes]:
    os.kill(worker.process.pid, signal.SIGCONT)
    return worker.process


def test_the_next_run_finds_what_this_one_has_left(recording: Recording, left: tuple[Worker, set[str]]) -> None:
    worker, names = left
    assert names and not names & cache.names("region")
    assert go_on(worker).wait(PATIENCE) == 0
    assert names <= cache.names("region")
    run = Run(recording).until(lambda tier: tier.large)
    assert run.tier.number == 0  # it has compiled nothing itself
    run.replay.finish()
    run.replay.close()


def test_a_run_finds_what_others_have_left_meanwhile(recording: Recording, left: tuple[Worker, set[str]]) -> None:
    worker, _ = left
    run = Run(recording).until(lambda tier: len(tier.queue) > 5)
    assert not run.tier.large
    assert go_on(worker).wait(PATIENCE) == 0
    run.until(lambda tier: tier.large)
    run.replay.finish()
    run.replay.close()


def test_a_killed_worker_leaves_a_good_cache(recording: Recording, left: tuple[Worker, set[str]]) -> None:
    worker, names = left
    process = go_on(worker)
    wait_for(lambda: names & cache.names("region"))
    process.kill()
    process.wait()
    assert all(cache.load(name) for name in cache.names("region"))
    run = Run(recording)
    run.replay.finish()
    run.replay.close()


def test_a_cache_that_is_removed_stays_removed(folder: Path, left: tuple[Worker, set[str]]) -> None:
    shutil.rmtree(folder)
    assert go_on(left[0]).wait(PATIENCE) == 0
    assert not folder.exists()


def test_there_is_one_at_a_time(folder: Path, left: tuple[Worker, set[str]]) -> None:
    worker, names = left
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    assert go_on(worker).wait(PATIENCE) == 0
    os.close(held)
    assert not names & cache.names("region")


def test_without_large_regions_nothing_goes_on(recording: Recording, folder: Path) -> None:
    run = Run(recording)
    run.until(lambda tier: tier.queue)
    (worker,) = run.tier.workers
    run.replay.close()
    assert worker.process.returncode == -signal.SIGKILL


def test_what_a_worker_says_when_it_fails_is_kept(folder: Path) -> None:
    worker = Worker("no such front end")
    worker.process.wait(PATIENCE)
    assert "no such front end" in worker.last_words()
    worker.close()
