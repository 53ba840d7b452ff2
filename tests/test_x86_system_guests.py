"""System instructions in guests that print what happens: against a checked-in transcript, and that against QEMU.

A transcript's lines that begin with "~" are about behaviour of the manual that QEMU 7.2 does not have.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bare_machine import BareMachine
from x86_guest_images import build, qemu_prints, transcript

GUESTS = ("protected", "tasks", "long")
LIMIT = 5_000_000

pytestmark = pytest.mark.skipif(not (shutil.which("as") and shutil.which("ld")), reason="binutils are not installed")


@pytest.mark.parametrize("tier", ["interp", "jit"])
@pytest.mark.parametrize("name", GUESTS)
def test_transcript(name: str, tier: str, tmp_path: Path) -> None:
    machine = BareMachine(32 << 20, tier)
    machine.load(build(name, tmp_path).read_bytes())
    assert machine.run(LIMIT).splitlines() == transcript(name)


@pytest.mark.parametrize("name", GUESTS)
def test_stops_everywhere(name: str, tmp_path: Path) -> None:
    """The same when the run is stopped, and its state saved and restored, again and again."""
    machine = BareMachine(32 << 20, "interp")
    machine.load(build(name, tmp_path).read_bytes())
    assert machine.run(LIMIT, every=37).splitlines() == transcript(name)


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="QEMU is not installed")
@pytest.mark.parametrize("name", GUESTS)
def test_qemu_agrees(name: str, tmp_path: Path) -> None:
    found = qemu_prints(build(name, tmp_path), tmp_path)
    ours = transcript(name)
    assert [line.split(":")[0] for line in found] == [line.split(":")[0] for line in ours]
    for theirs, line in zip(found, ours, strict=True):
        assert line.startswith("~") or theirs == line
