"""The invariant on the real machines: what the demo guest of an architecture does depends on its image, the instruction
count and what came from outside, and on nothing else - not on how its code was run, where it was stopped, what was
cached, what the host did."""

from __future__ import annotations

import importlib
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from real_machine import (
    ANSWER,
    BUSY,
    FRONTENDS,
    Walk,
    empty_cache,
    places,
    processor,
    random_thresholds,
    record_demo,
    wander,
)

from jitrr.engine.tier import Tier
from runtime.borders.live import LiveBorder
from runtime.config import ARCHES
from runtime.machine_api import Stop
from runtime.recording.errors import RecordingError
from runtime.recording.recording import Recording
from runtime.timeline.record import Pace
from runtime.timeline.replay import Replay
from runtime.timeline.verify import verify

SEED = 20_240_229
EAGER = (2, 3)  # thresholds at which nearly everything is compiled


@pytest.fixture(scope="module", params=ARCHES)
def arch(request: pytest.FixtureRequest) -> str:
    """Every test here is one of each architecture."""
    return request.param


@pytest.fixture(scope="module")
def recording(arch: str, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """With the host's real clock and entropy."""
    path = tmp_path_factory.mktemp("demo") / "demo.jrr"
    assert record_demo(path, arch=arch).reason == "power-off"
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


@pytest.mark.parametrize("tier", ["auto", "jit"])
def test_every_tier_replays_to_the_recorded_digests(recording: Recording, truth: dict[int, bytes], tier: str) -> None:
    walk = Walk(recording, sorted(truth), tier)
    assert walk.verified == recording.icount
    assert walk.digests == truth
    assert tier != "jit" or walk.regions > 50


@pytest.mark.parametrize("seed", range(2))
def test_thresholds_do_not_matter(recording: Recording, truth: dict[int, bytes], seed: int) -> None:
    thresholds = random_thresholds(random.Random(SEED + seed))
    assert Walk(recording, sorted(truth), "auto", thresholds).digests == truth


def test_traces_do_not_matter(
    arch: str, recording: Recording, truth: dict[int, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty_cache(tmp_path / "cache", arch, monkeypatch)
    monkeypatch.setattr("jitrr.engine.tier.TRACE_PAUSE", 0)
    monkeypatch.setattr("jitrr.engine.tier.WIDE", 1)
    monkeypatch.setattr("runtime.machine.POLL_SECONDS", 0.0)
    service = Tier.service

    def complete(tier: Tier) -> None:  # however slow the compiler, there are regions to make traces of
        service(tier)
        tier.finish()

    monkeypatch.setattr(Tier, "service", complete)
    walk = Walk(recording, sorted(truth), "auto", (2, 100))
    assert walk.digests == truth
    assert walk.traces, (walk.traces, walk.regions, walk.compiled)


def test_verify_says_so_in_one_process_and_in_two(recording: Recording) -> None:
    for jobs in (1, 2):
        verdict = verify(recording, jobs=jobs)
        assert verdict.good and verdict.verified == recording.icount, verdict.message


@pytest.mark.parametrize("seed", range(2))
def test_seeks_stops_and_checkpoints_leave_no_trace(recording: Recording, truth: dict[int, bytes], seed: int) -> None:
    rng = random.Random(SEED + seed)
    wander(recording, truth, rng, random_thresholds(rng))


def test_what_a_session_leaves_on_disk_is_where_the_next_one_begins(
    recording: Recording, truth: dict[int, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.timeline.replay.WORTH", 0.0)  # however near it is
    monkeypatch.setattr("runtime.recording.shelf._WAITING", 1000)
    copy = Path(shutil.copytree(recording.path, tmp_path / "copy.jrr"))
    order = random.Random(SEED).sample(sorted(truth), len(truth))
    with closing(Replay(Recording(copy), dense=True)) as replay:
        for icount in order:
            replay.seek(icount)
    assert len(list((copy / "shelf").iterdir())) > len(truth)
    with closing(Replay(Recording(copy))) as replay:
        run, ran = replay.advance, [0]

        def advance(icount: int) -> Stop:
            ran[0] += icount - replay.icount
            return run(icount)

        monkeypatch.setattr(replay, "advance", advance)
        for icount in reversed(order):
            replay.seek(icount)
            assert replay.digest() == truth[icount], f"another state at {icount}"
    assert 0 < ran[0] <= 16 * len(truth)


def test_single_steps_come_where_a_run_comes(recording: Recording, truth: dict[int, bytes]) -> None:
    """Around events and other places: one instruction at a time, which the interpreter does in one run."""
    rng = random.Random(SEED)
    middles = [event.icount for event in rng.sample(recording.log.events, 3)] + rng.sample(sorted(truth), 2)
    ends = sorted(min(recording.icount, middle + 25) for middle in middles)
    steps = {at for end in ends for at in range(max(0, end - 50), end + 1)}
    walk, straight = Walk(recording, sorted(steps), "auto"), Walk(recording, ends, "interp")
    assert {end: walk.digests[end] for end in ends} == straight.digests


def test_a_cold_and_a_warm_cache_agree(
    arch: str, recording: Recording, truth: dict[int, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = empty_cache(tmp_path / "cache", arch, monkeypatch)
    cold = Walk(recording, sorted(truth), "jit", EAGER)
    assert len(list(cache.glob("region-*"))) > 10
    warm = Walk(recording, sorted(truth), "jit", EAGER)
    assert warm.regions > 10 and warm.compiled < cold.compiled // 2
    assert cold.digests == warm.digests == truth


def test_a_damaged_cache_is_no_cache(
    arch: str, recording: Recording, truth: dict[int, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = empty_cache(tmp_path / "cache", arch, monkeypatch)
    Walk(recording, [], "auto", EAGER)
    rng = random.Random(SEED)
    for entry in sorted(cache.iterdir()):
        if not entry.name.startswith(("native", ".")) and entry.is_file() and (data := bytearray(entry.read_bytes())):
            data[rng.randrange(len(data))] ^= 0x10
            entry.write_bytes(data)
    assert Walk(recording, sorted(truth), "auto", EAGER).digests == truth


def test_a_loaded_host_does_not_matter(
    arch: str, recording: Recording, truth: dict[int, bytes], tmp_path: Path
) -> None:
    with busy_host():
        assert Walk(recording, sorted(truth), "auto").digests == truth
        assert record_demo(tmp_path / "loaded.jrr", arch=arch).reason == "power-off"
    verdict = verify(Recording(tmp_path / "loaded.jrr"))
    assert verdict.good, verdict.message


def test_checkpoints_while_recording_do_not_matter(arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two recordings with the same outside, one stopped as often as can be, one never: the same end."""
    monkeypatch.setattr(LiveBorder, "entropy", lambda self, size: bytes(range(7, 7 + size)))
    ends = []
    for name, pace in (("often", BUSY), ("never", Pace(digest=1e9, checkpoint=1e9))):
        record_demo(tmp_path / name, rtc="2024-02-29T12:00:00", pace=pace, arch=arch)
        ends.append(Recording(tmp_path / name))
    often, never = ends
    assert len(often.log.digests) > 2 + len(never.log.digests)
    assert (often.icount, often.log.digests[-1].digest) == (never.icount, never.log.digests[-1].digest)


def test_a_reset_in_the_middle(arch: str, recording: Recording, tmp_path: Path) -> None:
    """The guest starts again, over RAM that it has used; seeking goes to both sides of the reset."""
    script = "at 30_000_000 power reset\n" + ANSWER
    assert record_demo(tmp_path / "reset.jrr", script, arch=arch).reason == "power-off"
    twice = Recording(tmp_path / "reset.jrr")
    assert twice.icount > recording.icount
    at = [*places(twice, random.Random(SEED), 12), 29_999_999, 30_000_000, 30_000_001, 30_000_100]
    wander(twice, Walk(twice, sorted(at), "interp").digests, random.Random(SEED))


def test_the_state_of_another_version_is_refused_with_one_line(
    arch: str, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = importlib.import_module(f"frontends.{FRONTENDS[arch]}.cpu")
    kind = processor(arch)
    monkeypatch.setattr(cpu, "FIELDS", cpu.FIELDS[:-1])
    for version, what in ((kind.state_version, "bytes of processor state"), (255, "of the processor's state, not 255")):
        monkeypatch.setattr(kind, "state_version", version)
        with pytest.raises(RecordingError, match=f"checkpoint at 0 is of another version of jitrr .*{what}"):
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
