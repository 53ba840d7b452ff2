"""QEMU's ``tests/tcg``: programs for Linux, run in one boot of a Debian guest.

The guest's init runs each of them and prints its exit status and, packed, its output. Both have to be what the program
gives natively, on this CPU for x86 and in QEMU's user mode (``qemu-arm``) for ARM, or else what the suite's reference
file says.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import gzip
import os
import re
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verdict import FAIL, PASS, Job, Missing, Result, console

from runtime.guests import GuestError, cpio, debian, fetch

#: For each architecture the guest, and what runs a program natively.
SETTINGS: dict[str, tuple[str, list[str]]] = {
    "i386": ("debian-i386", []),
    "x86_64": ("debian-cloud-x86_64", []),
    "arm": ("debian-arm", ["qemu-arm", "-cpu", "cortex-a15"]),
}
#: The guest's own time for a program, and the host's for one that runs natively.
SECONDS, SECONDS_HERE = 60, 600
#: Programs that print addresses, times, or from several threads: numbers and the order of lines are not compared.
VARYING = ("commpage", "signals", "test-mmap", "testthread", "vsyscall")
#: Why a program does not pass, where that is known.
EXPLAINED = {
    ("i386", "test-i386-bmi2"): "CPUID does not announce BMI1 and BMI2",
    ("x86_64", "test-i386-bmi2"): "CPUID does not announce BMI1 and BMI2",
    ("x86_64", "test-avx"): "CPUID does not announce AVX",
    ("x86_64", "test-3dnow"): "3DNow! is announced by neither",
    ("arm", "hello-arm"): "System calls of the old ABI, which Debian's kernel does not have; the same on QEMU",
    ("arm", "test-arm-iwmmxt"): "iWMMXt is a coprocessor of XScale; a Cortex-A15 has none",
}
#: The C library takes other ways with these, and NaNs come out otherwise: no CPU shall announce them.
NATIVELY = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4,-XSAVE"}


@dataclass(frozen=True)
class Outcome:
    """How a program ended: its exit status as a shell sees it, and its standard output."""

    status: int
    output: bytes


def jobs(arch: str, source: Path, work: Path) -> list[Job]:
    """One boot that runs all programs in ``source``: static ones, each with its ``.ref`` file if the suite has one."""
    names = sorted(file.name for file in source.glob("*") if file.is_file() and os.access(file, os.X_OK))
    if not names:
        raise Missing(f"the programs of QEMU's tests/tcg for {arch}, linked statically, and their .ref files")
    runner = SETTINGS[arch][1]
    if runner and not shutil.which(runner[0]):
        raise Missing(f"{runner[0]} on the path (Debian's package qemu-user)")
    return [lambda: _run(arch, source, names, work)]


def _run(arch: str, source: Path, names: list[str], work: Path) -> list[Result]:
    name, runner = SETTINGS[arch]
    try:
        guest = fetch(name)
    except GuestError as error:
        raise Missing(str(error)) from error
    image = work / f"tcg-{arch}.initrd"
    image.write_bytes(initrd(guest.initrd, source, names))
    boot = [*guest.record_args, "-m", "512M", "--initrd", image, "--append", f"{guest.append} vsyscall=xonly"]
    found = dict(outcomes(console(boot, work / f"tcg-{arch}")))
    results = []
    for program in names:
        passed, detail = compared(program, found.get(program), reference(source / program, runner))
        reason = "" if passed else EXPLAINED.get((arch, program), "")
        results.append(Result(f"tests/tcg, {arch}", program, PASS if passed else FAIL, detail, reason))
    return results


def reference(program: Path, runner: list[str]) -> Outcome:
    """How the program has to end."""
    file = program.with_name(f"{program.name}.ref")
    return Outcome(0, file.read_bytes()) if file.exists() else once(program, runner)


def once(program: Path, runner: list[str]) -> Outcome:
    """Run a program here."""
    command = [*runner, f"./{program.name}"]
    ended = subprocess.run(["timeout", str(SECONDS_HERE), *command], cwd=program.parent, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                           env={**os.environ, **NATIVELY}, check=False)  # fmt: skip
    return Outcome(ended.returncode if ended.returncode >= 0 else 128 - ended.returncode, ended.stdout)


def init(names: list[str]) -> str:
    """The guest's init: as ever, then each program's status and packed output."""
    return f"""{debian.INIT.partition("if [")[0]}ip link set lo up
cd /tcg
for name in {" ".join(names)}; do
    timeout {SECONDS} ./$name </dev/null >/tmp/output 2>/dev/null
    echo "program $name $?"
    gzip -c /tmp/output | base64
    echo done
done
poweroff -f
"""


def initrd(guest: Path, folder: Path, names: list[str]) -> bytes:
    """The guest's initramfs with the programs and the other init; a second archive may follow as it is, aligned."""
    files = [cpio.program(f"tcg/{name}", (folder / name).read_bytes()) for name in names]
    first = guest.read_bytes()
    added = cpio.archive([cpio.program("init", init(names).encode()), cpio.directory("tcg"), *files])
    return first + bytes(-len(first) % 4) + added


def outcomes(console: str) -> Iterator[tuple[str, Outcome]]:
    """What the guest's console says of each program."""
    for name, status, packed in re.findall(r"^program (\S+) (\d+)\n(.*?)^done$", console, re.MULTILINE | re.DOTALL):
        output = b"(the console is not readable)"
        with contextlib.suppress(binascii.Error, OSError, EOFError, zlib.error):
            output = gzip.decompress(base64.b64decode(packed))
        yield name, Outcome(int(status), output)


def text(program: str, outcome: Outcome) -> list[bytes]:
    """The lines of a program's output, as far as they are always the same."""
    if program not in VARYING:
        return outcome.output.splitlines()
    return sorted(re.sub(rb"(0x)?[0-9a-f]*[0-9][0-9a-f]*", b"#", outcome.output).splitlines())


def compared(program: str, found: Outcome | None, expected: Outcome) -> tuple[bool, str]:
    """Whether a program ended as it has to, and how it did."""
    if found is None:
        return False, "does not come to its end"
    if expected.status:
        return False, f"status {found.status}; natively it does not pass either: {expected.status}"
    if found.status:
        return False, f"status {found.status}, natively 0"
    lines, due = text(program, found), text(program, expected)
    different = sum(a != b for a, b in zip(lines, due, strict=False)) + abs(len(lines) - len(due))
    return not different, f"status 0, {len(lines):,} lines" + f", {different} differ" * bool(different)
