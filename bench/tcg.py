"""QEMU's ``tests/tcg``: programs for Linux, built by the suite's own makefile, run in one boot of a Debian guest.

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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime.guests import cpio, debian, fetch

#: One program's verdict: its name, whether it passes, and what there is to say.
Verdict = tuple[str, bool, str]
#: For each architecture the compiler, the guest, and what runs a program natively.
SETTINGS = {
    "i386": ("i686-linux-gnu-gcc", "debian-i386", []),
    "x86_64": ("gcc", "debian-cloud-x86_64", []),
    "arm": ("arm-linux-gnueabihf-gcc", "debian-arm", ["qemu-arm", "-cpu", "cortex-a15"]),
}  # fmt: skip
SECONDS = 60
#: Programs that print addresses, times, or from several threads: numbers and the order of lines are not compared.
VARYING = ("commpage", "signals", "test-mmap", "testthread", "vsyscall")
#: Why a program does not pass, where that is known.
UNDEFINED_SHIFTS = "Only CF after SHLD and SHRD of 16 bits by more than 16, which is undefined (SDM volume 2)"
EXPLAINED = {
    ("i386", "test-i386"): UNDEFINED_SHIFTS,
    ("i386", "test-i386-bmi2"): "CPUID does not announce BMI1 and BMI2",
    ("x86_64", "test-x86_64"): UNDEFINED_SHIFTS,
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


def build(arch: str, source: Path, folder: Path) -> list[str]:
    """Build the suite's programs for ``arch`` into ``folder``; all the names, also of those that could not be built."""
    folder.mkdir()
    command = ["make", "-s", "-k", "-j2", "-C", str(folder), "-f", str(source / "tests/tcg/Makefile.target")]
    command += ["--eval", "names: ; @echo $(TESTS)", f"TARGET={arch}-linux-user", f"TARGET_NAME={arch}"]
    command += [f"SRC_PATH={source}", f"CC={SETTINGS[arch][0]}", "BUILD_STATIC=y", "PYTHON=python3"]
    command.append("CROSS_CC_HAS_I386_NOPIE=y")  # the suite finds out by itself only in its own build directory
    names = subprocess.run([*command, "names"], capture_output=True, text=True, check=True).stdout.split()
    subprocess.run([*command, "all"], capture_output=True, check=False)
    return sorted(set(names))


def once(program: Path, runner: list[str]) -> Outcome:
    """Run a program here."""
    command = [*runner, f"./{program.name}"]
    ended = subprocess.run(["timeout", str(SECONDS), *command], cwd=program.parent, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                           env={**os.environ, **NATIVELY}, check=False)  # fmt: skip
    return Outcome(ended.returncode if ended.returncode >= 0 else 128 - ended.returncode, ended.stdout)


def reference(arch: str, program: Path, source: Path) -> Outcome:
    """How the program has to end."""
    file = source / "tests/tcg" / arch / f"{program.name}.ref"
    return Outcome(0, file.read_bytes()) if file.exists() else once(program, SETTINGS[arch][2])


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


def run(arch: str, source: Path, work: Path, boot: Callable[..., str]) -> list[Verdict]:
    """Build, boot once, judge. ``boot`` runs a machine with the given arguments and gives back its console."""
    compiler, name, runner = SETTINGS[arch]
    missing = [tool for tool in (compiler, *runner[:1]) if not shutil.which(tool)]
    if missing:
        return [("-", False, f"{' and '.join(missing)} not installed")]
    folder = work / f"tcg-{arch}"
    names = build(arch, source, folder)
    built = [name for name in names if os.access(folder / name, os.X_OK)]
    for program in built:
        subprocess.run([SETTINGS[arch][0].replace("gcc", "strip"), str(folder / program)], check=True)
    guest = fetch(name)
    image = work / "initrd"
    image.write_bytes(initrd(guest.initrd, folder, built))
    found = dict(outcomes(boot("--arch", arch, "-m", "512M", "--kernel", guest.kernel, "--initrd", image, "--append",
                               f"{guest.append} vsyscall=xonly", console=work / "console")))  # fmt: skip
    verdicts: list[Verdict] = []
    for program in names:
        passed, detail = False, "cannot be built"
        if program in built:
            passed, detail = compared(program, found.get(program), reference(arch, folder / program, source))
        explanation = EXPLAINED.get((arch, program), "")
        verdicts.append((program, passed, f"{detail}. {explanation}".strip(". ")))
    return verdicts
