"""ARM system instructions in guests that print what happens: against a checked-in transcript, and that against QEMU.

A transcript's lines that begin with "~" are about behaviour of the manual that QEMU 7.2 does not have. The guests are
checked in as built, for few hosts have an ARM assembler.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from arm_machine import BareMachine

GUESTS = Path(__file__).parent / "arm_guests"
NAMES = ("modes", "memory", "debug")
#: What needs the whole board as well, and how many processors (test_arm_smp.py).
SMP = {"smp": 4}
LIMIT = 5_000_000
TOOLS = "arm-linux-gnueabihf-"


def image(name: str) -> bytes:
    return (GUESTS / f"{name}.elf").read_bytes()


def transcript(name: str) -> list[str]:
    return (GUESTS / f"{name}.expected").read_text().splitlines()


@pytest.mark.parametrize("tier", ["interp", "jit"])
@pytest.mark.parametrize("name", NAMES)
def test_transcript(name: str, tier: str) -> None:
    machine = BareMachine(64 << 20, tier)
    machine.load(image(name))
    assert machine.run(LIMIT).splitlines() == [line.removeprefix("~") for line in transcript(name)]


@pytest.mark.parametrize("name", NAMES)
def test_stops_everywhere(name: str) -> None:
    """The same when the run is stopped, and its state saved and restored, again and again."""
    machine = BareMachine(64 << 20, "interp")
    machine.load(image(name))
    assert machine.run(LIMIT, every=97).splitlines() == [line.removeprefix("~") for line in transcript(name)]


@pytest.mark.skipif(not shutil.which("qemu-system-arm"), reason="QEMU is not installed")
@pytest.mark.parametrize("name", (*NAMES, *SMP))
def test_qemu_agrees(name: str) -> None:
    options = ["-M", "virt", "-cpu", "cortex-a15", "-m", "64", "-display", "none", "-serial", "stdio"]
    options += ["-smp", str(SMP.get(name, 1))]
    command = ["qemu-system-arm", *options, "-kernel", str(GUESTS / f"{name}.elf")]
    done = subprocess.run(command, timeout=60, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    found, ours = done.stdout.decode().splitlines(), transcript(name)
    assert len(found) == len(ours)
    for theirs, line in zip(found, ours, strict=True):
        assert line.startswith("~") or theirs == line


@pytest.mark.skipif(not shutil.which(f"{TOOLS}as"), reason="there is no ARM assembler")
@pytest.mark.parametrize("name", (*NAMES, *SMP))
def test_source_is_that_of_the_image(name: str, tmp_path: Path) -> None:
    part, linked = tmp_path / "part.o", tmp_path / "linked.elf"
    options = ["-march=armv7-a", "-mfpu=neon", "-I", str(GUESTS)]
    subprocess.run([f"{TOOLS}as", *options, "-o", str(part), str(GUESTS / f"{name}.S")], check=True)
    options = ["-T", str(GUESTS / "guest.ld"), "--build-id=none", "-z", "noexecstack", "-s"]
    subprocess.run([f"{TOOLS}ld", *options, "-o", str(linked), str(part)], check=True, stderr=subprocess.DEVNULL)
    assert linked.read_bytes() == image(name)
