"""Four ARM processors on the virt board: a guest that prints what each sees of the others; the invariant over it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from real_machine import BUSY, Walk, places, random_thresholds, wander
from test_arm_system import GUESTS, transcript

from runtime.borders.console import ConsoleOutput
from runtime.config import Image, MachineConfig
from runtime.recording.recording import Recording
from runtime.timeline.record import Outside, record
from runtime.timeline.verify import verify

SEED = 20_240_229


def run(path: Path, tier: str) -> list[str]:
    """Record the guest; what it printed."""
    kernel = Image.load(GUESTS / "smp.elf", "kernel")
    config = MachineConfig(arch="arm", memory=64 << 20, kernel=kernel, smp=4, tier=tier)
    console = path.with_suffix(".console")
    output = ConsoleOutput.file(console)
    try:
        assert record(path, config, Outside(console=output), pace=BUSY).reason == "power-off"
    finally:
        output.close()
    return console.read_text().splitlines()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    path = tmp_path_factory.mktemp("smp") / "smp.jrr"
    run(path, "interp")
    return Recording(path)


@pytest.fixture(scope="module")
def truth(recording: Recording) -> dict[int, bytes]:
    return Walk(recording, places(recording, random.Random(SEED), 100), "interp").digests


@pytest.mark.parametrize("tier", ["interp", "auto", "jit"])
def test_transcript(tmp_path: Path, tier: str) -> None:
    assert run(tmp_path / "smp.jrr", tier) == [line.removeprefix("~") for line in transcript("smp")]


@pytest.mark.parametrize("tier", ["auto", "jit"])
def test_every_tier_and_every_stop_comes_to_the_same_states(
    recording: Recording, truth: dict[int, bytes], tier: str
) -> None:
    walk = Walk(recording, sorted(truth), tier)
    assert walk.verified == recording.icount
    assert walk.digests == truth


def test_stopped_again_and_again(recording: Recording, truth: dict[int, bytes]) -> None:
    """So that turns, waits and starts are in the middle of nothing."""
    last = recording.icount
    often = sorted({*truth, *range(0, last, 997)})
    digests = Walk(recording, often, "interp").digests
    assert {icount: digests[icount] for icount in truth} == truth


@pytest.mark.parametrize("seed", range(2))
def test_seeking_comes_to_the_same_states(recording: Recording, truth: dict[int, bytes], seed: int) -> None:
    rng = random.Random(SEED + seed)
    wander(recording, truth, rng, random_thresholds(rng))


def test_it_verifies(recording: Recording) -> None:
    verdict = verify(recording)
    assert verdict.good and verdict.verified == recording.icount, verdict.message
