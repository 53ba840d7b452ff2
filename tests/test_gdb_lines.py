"""Debian's gdb by source lines, forward and backward: the demo guests with the lines of their sources."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from debug_recordings import ARCHITECTURES, demo_recording
from real_gdb import Debugger, installed

from jitrr.demo import GUESTS

#: Assembler and linker with what they are told in the guests' Makefiles, and -g.
TOOLS = {
    "x86_64": ("as --64 -mx86-used-note=no", "ld -m elf_x86_64"),
    "i386": ("as --32 -mx86-used-note=no", "ld -m elf_i386"),
    "arm": ("arm-linux-gnueabihf-as", "arm-linux-gnueabihf-ld --no-warn-rwx-segments"),
}


def with_lines(arch: str, folder: Path) -> tuple[Path, Path]:
    """The guest's sources, and an ELF file of them that has their lines."""
    sources = GUESTS[arch].IMAGE.parent
    assembler, linker = (line.split() for line in TOOLS[arch])
    if not all(map(shutil.which, (assembler[0], linker[0]))):
        pytest.skip(f"{assembler[0]} is not installed")
    parts = re.search(r"^PARTS := (.*)$", (sources / "Makefile").read_text(), re.MULTILINE)
    assert parts is not None
    objects = [folder / f"{part}.o" for part in parts.group(1).split()]
    for path in objects:
        command: list[str | Path] = [*assembler, "-g", "-I", "../pc", "-I", ".", "-o", path, f"{path.stem}.S"]
        subprocess.run(command, cwd=sources, check=True)
    layout = ["-z", "max-page-size=4096", "-z", "noexecstack", "--build-id=none", "-T", "demo.ld"]
    subprocess.run([*linker, *layout, "-o", folder / "demo.debug", *objects], cwd=sources, check=True)
    return sources, folder / "demo.debug"


def line_of(path: Path, text: str, behind: str = "") -> int:
    """The number of the first line that has ``text``, from the one with ``behind`` on."""
    lines = path.read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if behind in line)
    return next(n for n, line in enumerate(lines[start:], start + 1) if text in line)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Debugger, Path]]:
    arch = request.param
    installed(arch)
    sources, symbols = with_lines(arch, tmp_path_factory.mktemp("lines"))
    recording = demo_recording(arch, tmp_path_factory.getbasetemp())
    debugger = Debugger(recording.path, arch, 0, symbols)
    yield debugger, sources
    debugger.close()


def numbers(shown: str) -> list[int]:
    return [int(number) for number in re.findall(r"^\$\d+ = (-?\d+)$", shown, re.MULTILINE)]


def test_lines_both_ways(guest: tuple[Debugger, Path]) -> None:
    """Into a function, out of it, over it and into it backward; a line of the caller is several instructions."""
    debugger, sources = guest
    icount = "p $icount"
    shown = debugger.run(
        f"directory {sources}", "tbreak puts", "continue", icount, "bt", "finish", icount, "reverse-next", icount,
        "next", icount, "reverse-step", icount, "reverse-finish", icount, "step", icount, "next", "next", icount,
        "reverse-next", "reverse-next", icount, "reverse-step", icount, "until", icount,
    )  # fmt: skip
    code, arm = sources / "console.S", debugger.arch == "arm"
    said = line_of(sources / "main.S", "text_hello", "main:")
    first, last = line_of(code, "push", "puts:"), line_of(code, "pop" if arm else "ret", "puts:")
    second, third = line_of(code, "mov", "puts:"), line_of(code, "ldrb" if arm else "(%", "puts:")
    inside, after, before, again, returning, calling, stepped, on, back, out, over = numbers(shown)
    assert before < calling < inside < on < returning < after, shown
    assert (again, returning, calling, stepped) == (after, after - 1, inside - 1, inside), shown
    assert (back, out, over) == (inside, before, after), shown
    assert re.search(rf"^#0 .*puts \(\) at console\.S:{first}\n#1 .* main \(\) at main\.S:{said}$", shown, re.MULTILINE)
    lines = [int(number) for number in re.findall(r"^(\d+)\t", shown, re.MULTILINE)]
    assert lines[-13:-7] == [first, said + 1, said, said + 1, last, said], shown
    assert lines[-7:] == [first, second, third, second, first, said, said + 1], shown


def test_back_to_the_line_that_set_a_variable(guest: tuple[Debugger, Path]) -> None:
    """Input changes the guest's fingerprint: forward to that, and backward before it, by the variable's name."""
    debugger, sources = guest
    value, icount = "p *(int*)&fingerprint", "p $icount"
    shown = debugger.run(f"directory {sources}", value, "watch *(int*)&fingerprint", "continue", "info symbol $pc",
                         value, icount, "reverse-continue", value, icount)  # fmt: skip
    old, new, after, restored, at = numbers(shown)
    assert old == restored != new and at == after - 1, shown
    assert re.search(r"^fingerprint_add\b", shown, re.MULTILINE), shown
