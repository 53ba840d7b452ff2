"""The invariant on the real machine: what the demo guest does depends on its image, the instruction count and what came
from outside, and on nothing else - not on how its code was run, where it was stopped, what was cached, what the host
did."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from real_machine import ANSWER, BUSY, Walk, empty_cache, places, random_thresholds, record_demo, wander

from frontends.x86 import cpu
from runtime.borders.live import LiveBorder
from runtime.recording.errors import RecordingError
from runtime.recording.recording import Recording
from runtime.timeline.record import Pace
from runtime.timeline.replay import Replay
from runtime.timeline.verify import verify

SEED = 20_240_229
EAGER = (2, 3)  # thresholds at which nearly everything is compiled


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """With the host's real clock and entropy."""
    path = tmp_path_factory.mktemp("demo") / "demo.jrr"
    assert record_demo(path).reason == "power-off"
    return Recording(path)


@pytest.fixture(scope="module")
def truth(recording: Recording) -> dict[int, bytes]:
    """Digests at many places, by the interpreter, which runs instruction by instruction up to each of them."""
    return Walk(recording, places(recording, random.Random(SEED), 60), "interp").digests


def test_the_recording_is_worth_the_tests_below(recording: Recording) -> None:
    kinds = {event.kind for event in recording.log.events}
    assert kinds == {"clock", "entropy", "input:keyboard"}
    assert len(recording.log.digests) > 5 and len(recording.checkpoints.icounts) > 5
    assert recording.icount > 50_000_000


@pytest.mark.parametrize("tier", ["interp", "auto", "jit"])
def test_every_tier_replays_to_the_recorded_digests(recording: Recording, truth: dict[int, bytes], tier: str) -> None:
    walk = Walk(recording, sorted(truth), tier)
    assert walk.verified == recording.icount
    assert walk.digests == truth


@pytest.mark.parametrize("seed", range(4))
def test_thresholds_do_not_matter(recording: Recording, truth: dict[int, bytes], seed: int) -> None:
    thresholds = random_thresholds(random.Random(SEED + seed))
    assert Walk(recording, sorted(truth), "auto", thresholds).digests == truth


def test_verify_says_so_in_one_process_and_in_two(recording: Recording) -> None:
    for jobs in (1, 2):
        verdict = verify(recording, jobs=jobs)
        assert verdict.good and verdict.verified == recording.icount, verdict.message


@pytest.mark.parametrize("seed", range(3))
def test_seeks_stops_and_checkpoints_leave_no_trace(recording: Recording, truth: dict[int, bytes], seed: int) -> None:
    rng = random.Random(SEED + seed)
    wander(recording, truth, rng, random_thresholds(rng))


def test_single_steps_come_where_a_run_comes(recording: Recording) -> None:
    """Around each event: one instruction at a time, against one run."""
    rng = random.Random(SEED)
    for event in rng.sample(recording.log.events, 4):
        end = min(recording.icount, event.icount + 40)
        steps = Walk(recording, list(range(max(0, event.icount - 40), end + 1)), "auto")
        assert steps.digests[end] == Walk(recording, [end], "auto").digests[end]


def test_a_cold_and_a_warm_cache_agree(
    recording: Recording, truth: dict[int, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = empty_cache(tmp_path / "cache", monkeypatch)
    cold = Walk(recording, sorted(truth), "jit", EAGER)
    assert len(list(cache.glob("region-*"))) > 10
    warm = Walk(recording, sorted(truth), "jit", EAGER)
    assert warm.regions > 10 and warm.compiled < cold.compiled // 2
    assert cold.digests == warm.digests == truth


def test_a_damaged_cache_is_no_cache(
    recording: Recording, truth: dict[int, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = empty_cache(tmp_path / "cache", monkeypatch)
    Walk(recording, [], "auto", EAGER)
    rng = random.Random(SEED)
    for entry in sorted(cache.iterdir()):
        if not entry.name.startswith("native") and entry.is_file() and (data := bytearray(entry.read_bytes())):
            data[rng.randrange(len(data))] ^= 0x10
            entry.write_bytes(data)
    assert Walk(recording, sorted(truth), "auto", EAGER).digests == truth


def test_a_loaded_host_does_not_matter(recording: Recording, truth: dict[int, bytes], tmp_path: Path) -> None:
    with busy_host():
        assert Walk(recording, sorted(truth), "auto").digests == truth
        assert record_demo(tmp_path / "loaded.jrr").reason == "power-off"
    verdict = verify(Recording(tmp_path / "loaded.jrr"))
    assert verdict.good, verdict.message


def test_checkpoints_while_recording_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two recordings with the same outside, one stopped as often as can be, one never: the same end."""
    monkeypatch.setattr(LiveBorder, "entropy", lambda self, size: bytes(range(7, 7 + size)))
    ends = []
    for name, pace in (("often", BUSY), ("never", Pace(digest=1e9, checkpoint=1e9))):
        record_demo(tmp_path / name, rtc="2024-02-29T12:00:00", pace=pace)
        ends.append(Recording(tmp_path / name))
    often, never = ends
    assert len(often.log.digests) > 2 + len(never.log.digests)
    assert (often.icount, often.log.digests[-1].digest) == (never.icount, never.log.digests[-1].digest)


def test_the_i386_guest(tmp_path: Path) -> None:
    """Task switches, virtual-8086 mode and the x87 of a 32-bit guest: by tier, thresholds, stops and seeks."""
    assert record_demo(tmp_path / "i386.jrr", arch="i386").reason == "power-off"
    recording, rng = Recording(tmp_path / "i386.jrr"), random.Random(SEED)
    truth = Walk(recording, places(recording, rng, 30), "interp").digests
    for tier, thresholds in (("jit", None), ("auto", random_thresholds(rng))):
        assert Walk(recording, sorted(truth), tier, thresholds).digests == truth
    wander(recording, truth, rng, random_thresholds(rng))
    for event in rng.sample(recording.log.events, 2):
        end = min(recording.icount, event.icount + 30)
        steps = Walk(recording, list(range(max(0, event.icount - 30), end + 1)), "auto")
        assert steps.digests[end] == Walk(recording, [end], "interp").digests[end]


def test_a_reset_in_the_middle(recording: Recording, tmp_path: Path) -> None:
    """The guest starts again, over RAM that it has used; seeking goes to both sides of the reset."""
    assert record_demo(tmp_path / "reset.jrr", "at 30_000_000 power reset\n" + ANSWER).reason == "power-off"
    twice = Recording(tmp_path / "reset.jrr")
    assert twice.icount > recording.icount
    at = [*places(twice, random.Random(SEED), 12), 29_999_999, 30_000_000, 30_000_001, 30_000_100]
    wander(twice, Walk(twice, sorted(at), "interp").digests, random.Random(SEED))


def test_the_state_of_another_version_is_refused_with_one_line(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "FIELDS", tuple(name for name in cpu.FIELDS if name != "tsc_aux"))
    with pytest.raises(RecordingError, match="checkpoint at 0 is of another version of jitrr"):
        Replay(recording)


@contextmanager
def busy_host() -> Iterator[None]:
    """Other programs want the processors too."""
    children = [subprocess.Popen([sys.executable, "-c", "while True: sum(range(1000))"]) for _ in range(3)]
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()
