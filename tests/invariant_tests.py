"""Tests of the invariant for modules that have fixtures ``recording`` and ``truth`` (digests at places, by the
interpreter alone): a class there is derived from this one."""

from __future__ import annotations

import random

import pytest
from real_machine import Walk, random_thresholds, wander

from runtime.recording.recording import Recording
from runtime.timeline.verify import verify

SEED = 20_240_229


class Invariant:
    """However it is run and stopped."""

    #: Instructions between two stops.
    often = 499

    @pytest.mark.parametrize("tier", ["auto", "jit"])
    def test_every_tier_comes_to_the_same_states(
        self, recording: Recording, truth: dict[int, bytes], tier: str
    ) -> None:
        walk = Walk(recording, sorted(truth), tier)
        assert walk.verified == recording.icount
        assert walk.digests == truth

    def test_stopped_again_and_again(self, recording: Recording, truth: dict[int, bytes]) -> None:
        """So that turns, waits and starts are in the middle of nothing."""
        stops = sorted({*truth, *range(0, recording.icount, self.often)})
        digests = Walk(recording, stops, "interp").digests
        assert {icount: digests[icount] for icount in truth} == truth

    @pytest.mark.parametrize("seed", range(2))
    def test_seeking_comes_to_the_same_states(
        self, recording: Recording, truth: dict[int, bytes], seed: int
    ) -> None:
        rng = random.Random(SEED + seed)
        wander(recording, truth, rng, random_thresholds(rng))

    def test_it_verifies(self, recording: Recording) -> None:
        verdict = verify(recording)
        assert verdict.good and verdict.verified == recording.icount, verdict.message
