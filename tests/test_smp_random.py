"""Random programs of several processors come to the same states however they are run: by every tier, with stops
anywhere, and from every checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from smp_random import check

#: Instructions of a recording.
LENGTH = 40_000


@pytest.mark.skipif(not (shutil.which("as") and shutil.which("ld")), reason="binutils are not installed")
@pytest.mark.parametrize("seed", [16, 100])
def test_x86(tmp_path: Path, seed: int) -> None:
    assert check("x86_64", seed, tmp_path, LENGTH).turns > 50


@pytest.mark.skipif(not shutil.which("arm-linux-gnueabihf-as"), reason="binutils for ARM are not installed")
@pytest.mark.parametrize("seed", [100, 105])
def test_arm(tmp_path: Path, seed: int) -> None:
    """With seed 105 the next instruction is changed by one that was left before, for what a page table has become."""
    assert check("arm", seed, tmp_path, LENGTH).turns > 20
