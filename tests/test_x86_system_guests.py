"""System instructions in guests that print what happens: against a checked-in transcript, and that against QEMU.

A transcript's lines that begin with "~" are about behaviour of the manual that QEMU 7.2 does not have.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bare_machine import BareMachine

SOURCES = Path(__file__).parent / "x86_guests"
GUESTS = ("protected", "long")
LIMIT = 5_000_000

pytestmark = pytest.mark.skipif(not (shutil.which("as") and shutil.which("ld")), reason="binutils are not installed")


def build(name: str, directory: Path) -> Path:
    """Assemble and link a guest to a 32-bit ELF file."""
    bits, emulation = ("--64", "elf_x86_64") if name == "long" else ("--32", "elf_i386")
    part, linked, image = directory / f"{name}.o", directory / f"{name}.linked", directory / f"{name}.elf"
    source, layout = str(SOURCES / f"{name}.S"), str(SOURCES / "guest.ld")
    command = ["as", bits, "-mx86-used-note=no", "--fatal-warnings", "-I", str(SOURCES), "-o", str(part), source]
    subprocess.run(command, check=True)
    script = ["-z", "noexecstack", "-z", "max-page-size=4096", "--build-id=none", "-T", layout]
    subprocess.run(["ld", "-m", emulation, *script, "-o", str(linked), str(part)], check=True)
    subprocess.run(["objcopy", "--strip-all", "-O", "elf32-i386", linked, image], check=True)
    return image


def transcript(name: str) -> list[str]:
    return (SOURCES / f"{name}.expected").read_text().splitlines()


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
    printed = tmp_path / "printed"
    cpu = "qemu64,vendor=GenuineIntel,+smep,+rdtscp"
    options = ["-display", "none", "-cpu", cpu, "-m", "32", "-no-reboot", "-nodefaults"]
    devices = ["-debugcon", f"file:{printed}", "-device", "isa-debug-exit,iobase=0xf4"]
    command = ["qemu-system-x86_64", *options, *devices, "-kernel", str(build(name, tmp_path))]
    subprocess.run(command, timeout=60, check=False)
    found = printed.read_text().splitlines()
    ours = transcript(name)
    assert [line.split(":")[0] for line in found] == [line.split(":")[0] for line in ours]
    for theirs, line in zip(found, ours, strict=True):
        assert line.startswith("~") or theirs == line
