"""Four ARM processors on the virt board: a guest that prints what each sees of the others; the invariant over it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from invariant_tests import SEED, Invariant
from real_machine import BUSY, Walk, places
from test_arm_system import GUESTS, transcript

from runtime.borders.console import ConsoleOutput
from runtime.config import Image, MachineConfig
from runtime.recording.recording import Recording
from runtime.timeline.record import Outside, record


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


class TestInvariant(Invariant):
    """Of this guest."""

    often = 997
