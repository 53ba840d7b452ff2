"""Debug exceptions among interrupts on the real machine: the same however the code runs and wherever it is stopped."""

from __future__ import annotations

import random
import shutil
import struct
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from real_machine import Walk, places, wander
from x86_guest_images import address_of, build

from runtime.config import Image, MachineConfig
from runtime.recording.recording import Recording
from runtime.timeline.record import Outside, Pace, record
from runtime.timeline.replay import Replay

SEED = 1_704
pytestmark = pytest.mark.skipif(not (shutil.which("as") and shutil.which("ld")), reason="binutils are not installed")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("debug_timer", tmp_path_factory.mktemp("guest"))


@pytest.fixture(scope="module")
def recording(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    path = tmp_path_factory.mktemp("recorded") / "debug.jrr"
    config = MachineConfig(memory=16 << 20, kernel=Image.load(image, "guest"), rtc="2024-02-29T12:00:00")
    assert record(path, config, Outside(), pace=Pace(digest=1e9, checkpoint=1e9)).reason == "power-off"
    return Recording(path)


@pytest.fixture(scope="module")
def truth(recording: Recording) -> dict[int, bytes]:
    return Walk(recording, places(recording, random.Random(SEED), 60), "interp").digests


def test_there_is_something_to_see(recording: Recording, image: Path) -> None:
    replay = Replay(recording, tier="interp")
    try:
        replay.run_to(recording.icount)
        at = address_of(image, "sum")
        total, traps, ticks = struct.unpack_from("<3I", replay.machine.ram, at)
    finally:
        replay.close()
    assert total != 0
    assert traps > 3 * 3000
    assert ticks > 300


@pytest.mark.parametrize("tier", ["auto", "jit"])
def test_tiers_agree(recording: Recording, truth: dict[int, bytes], tier: str) -> None:
    assert Walk(recording, sorted(truth), tier, (2, 3)).digests == truth


def test_seeks_and_checkpoints_leave_no_trace(recording: Recording, truth: dict[int, bytes]) -> None:
    wander(recording, truth, random.Random(SEED))


def test_single_steps_come_where_a_run_comes(recording: Recording) -> None:
    """A few hundred instructions at a time, one by one, against one run."""
    rng = random.Random(SEED)
    for first in (rng.randrange(recording.icount - 400) for _ in range(4)):
        steps = Walk(recording, list(range(first, first + 400)), "auto")
        assert steps.digests[first + 399] == Walk(recording, [first + 399], "interp").digests[first + 399]
