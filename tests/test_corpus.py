"""Recordings of earlier versions: they still replay, every digest right, and can be sought in."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpus.make import GUESTS, HERE, place
from real_machine import FRONTENDS

from runtime.recording.recording import Recording
from runtime.timeline.replay import Replay
from runtime.timeline.verify import verify

CORPUS = sorted(HERE.glob("*.jrrz"))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_it_replays(path: Path) -> None:
    recording = Recording(path)
    assert recording.clean_close and recording.reason in ("power-off", "max-icount")
    assert len(recording.checkpoints.icounts) > 1
    verdict = verify(recording)
    assert verdict.good and verdict.verified == recording.icount, verdict.message


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_its_checkpoints_can_be_gone_to(path: Path) -> None:
    """The last one, and from there to the end, where the digest is checked."""
    replay = Replay(Recording(path))
    try:
        replay.seek(replay.recording.checkpoints.icounts[-1])
        replay.finish()
        assert replay.verified == replay.recording.icount
    finally:
        replay.close()


@pytest.mark.parametrize("guest", GUESTS)
@pytest.mark.parametrize("arch", FRONTENDS)
def test_there_is_one_of_this_version(arch: str, guest: str) -> None:
    """So that the next version has it (CONTRIBUTING.md)."""
    assert place(arch, guest) in CORPUS
