"""The guests of tests/x86_guests: building them, what they print, and what they print under QEMU."""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent / "x86_guests"
#: Those with 64-bit code.
LONG = ("long", "debug")


def build(name: str, directory: Path) -> Path:
    """Assemble and link a guest to a 32-bit ELF file."""
    bits, emulation = ("--64", "elf_x86_64") if name in LONG else ("--32", "elf_i386")
    part, linked, image = directory / f"{name}.o", directory / f"{name}.linked", directory / f"{name}.elf"
    source, layout = str(SOURCES / f"{name}.S"), str(SOURCES / "guest.ld")
    command = ["as", bits, "-mx86-used-note=no", "--fatal-warnings", "-I", str(SOURCES), "-o", str(part), source]
    subprocess.run(command, check=True)
    script = ["-z", "noexecstack", "-z", "max-page-size=4096", "--build-id=none", "-T", layout]
    subprocess.run(["ld", "-m", emulation, *script, "-o", str(linked), str(part)], check=True)
    subprocess.run(["objcopy", "--strip-all", "-O", "elf32-i386", linked, image], check=True)
    return image


def address_of(image: Path, symbol: str) -> int:
    """Address of a symbol of a guest that was built."""
    linked = image.with_suffix(".linked")
    found = subprocess.run(["nm", str(linked)], capture_output=True, text=True, check=True).stdout
    return next(int(line.split()[0], 16) for line in found.splitlines() if line.split()[-1] == symbol)


def transcript(name: str) -> list[str]:
    """The lines it is to print."""
    return (SOURCES / f"{name}.expected").read_text().splitlines()


def qemu_prints(image: Path, directory: Path) -> list[str]:
    """The lines it prints under QEMU."""
    printed = directory / "printed"
    cpu = "qemu64,vendor=GenuineIntel,+smep,+rdtscp"
    options = ["-display", "none", "-cpu", cpu, "-m", "32", "-no-reboot", "-nodefaults"]
    devices = ["-debugcon", f"file:{printed}", "-device", "isa-debug-exit,iobase=0xf4"]
    subprocess.run(["qemu-system-x86_64", *options, *devices, "-kernel", str(image)], timeout=60, check=False)
    return printed.read_text().splitlines()
