"""A guest of two processors for each architecture (tests/smp_guests), assembled, and recordings of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from runtime.config import Image, MachineConfig
from runtime.recording.recording import Recording
from runtime.timeline.record import Limits, Outside, Pace, record

ARCHITECTURES = ("x86_64", "i386", "arm")
#: Instructions of a recording.
LENGTH = 3_000_000
#: An address at which each processor has other memory.
PRIVATE = {"x86_64": 0x800000, "i386": 0x800000, "arm": 0x40800000}
_SOURCES = Path(__file__).parent / "smp_guests"
_X86_LAYOUT = Path(__file__).parent / "x86_guests" / "guest.ld"
_ARM_LAYOUT = Path(__file__).parent / "arm_guests" / "guest.ld"
_TOOLS = {"x86_64": "", "i386": "", "arm": "arm-linux-gnueabihf-"}


def build(arch: str, folder: Path) -> tuple[Path, Path]:
    """The guest to be loaded, and the same with the names of its places. Skips the test where there is no assembler."""
    tools = _TOOLS[arch]
    if not all(shutil.which(f"{tools}{tool}") for tool in ("as", "ld", "objcopy")):
        pytest.skip(f"{tools}as is not installed")
    part, linked, image = (folder / f"smp-{arch}.{kind}" for kind in ("o", "linked", "elf"))
    if arch == "arm":
        assembler = ["-march=armv7-a"]
        linker = ["--no-warn-rwx-segments", "-T", str(_ARM_LAYOUT)]
        source = "arm.S"
    else:
        long = arch == "x86_64"
        assembler = ["--64", "--defsym", "LONG=1"] if long else ["--32"]
        linker = ["-m", "elf_x86_64" if long else "elf_i386", "-z", "max-page-size=4096", "-T", str(_X86_LAYOUT)]
        source = "x86.S"
    note = [] if arch == "arm" else ["-mx86-used-note=no"]
    subprocess.run([f"{tools}as", *assembler, *note, "--fatal-warnings", "-o", part, _SOURCES / source], check=True)
    subprocess.run([f"{tools}ld", "-z", "noexecstack", "--build-id=none", *linker, "-o", linked, part], check=True)
    kind = ["-O", "elf32-i386"] if arch == "x86_64" else []
    subprocess.run([f"{tools}objcopy", "--strip-all", *kind, linked, image], check=True)
    return image, linked


def places(linked: Path, arch: str) -> dict[str, int]:
    """The addresses of a guest's names."""
    found = subprocess.run([f"{_TOOLS[arch]}nm", linked], capture_output=True, text=True, check=True).stdout
    return {name: int(address, 16) for address, name in re.findall(r"^(\w+) \w (\w+)$", found, re.MULTILINE)}


_made: dict[str, tuple[Path, Path]] = {}


def smp_recording(arch: str, folder: Path) -> tuple[Recording, Path]:
    """A recording of the guest below ``folder``, made the first time it is asked for, and its file with names."""
    if arch not in _made:
        image, linked = build(arch, folder)
        path = folder / f"smp-{arch}.jrr"
        config = smp_config(arch, image)
        pace = Pace(flush=0.1, digest=0.05, checkpoint=0.05)
        record(path, config, Outside(), Limits(max_icount=LENGTH), pace=pace)
        _made[arch] = path, linked
    path, linked = _made[arch]
    return Recording(path), linked


def smp_config(arch: str, image: Path) -> MachineConfig:
    """A machine for the guest."""
    return MachineConfig(arch=arch, memory=32 << 20, kernel=Image.load(image, "guest"), smp=2)
