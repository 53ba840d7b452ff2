"""Runs independent test suites, where they lie on this machine, and writes docs/conformance.md: ``make conformance``.

``JITRR_SUITES`` is a directory with a checkout of each suite that is to run, under its own name: ``test386.asm``,
``kvm-unit-tests`` (configured and built for i386; ``kvm-unit-tests-x86_64`` for x86_64, ``kvm-unit-tests-arm`` for
ARM), and ``qemu`` (QEMU's source; bench/tcg.py builds its ``tests/tcg``). Nothing of them is committed here. What is
not there is said to be not there.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tcg

PAGE = Path(__file__).parent.parent / "docs" / "conformance.md"
TIMEOUT = 300
#: kvm-unit-tests for each architecture: the programs of the core set, and why one of them does not pass.
PROGRAMS = {
    "i386": ("realmode", "taskswitch", "taskswitch2", "eventinj", "emulator", "smap", "umip", "cmpxchg8b", "setjmp",
             "sieve", "tsc", "tsc_adjust"),
    "x86_64": ("eventinj", "emulator", "idt_test", "memory", "smap", "umip", "access_test", "apic", "ioapic", "setjmp",
               "sieve", "tsc", "debug"),
}  # fmt: skip
#: The same for ARM, where a program does one of several things: its file, and its arguments.
ARM_PROGRAMS = (
    ("selftest", "setup smp=1 mem=256"), ("selftest", "vectors-kernel"), ("selftest", "vectors-user"),
    ("selftest", "smp"), ("psci", ""), ("gic", "active"), ("gic", "mmio"), ("pl031", ""), ("spinlock-test", ""),
    ("sieve", ""),
)  # fmt: skip
#: Programs that print no summary: what they print when all is well.
FINISHED = {"taskswitch": "post fault", "sieve": "virtual:5761455", "realmode": "PASS: nopl"}
ENVIRONMENT = b"NR_CPUS=1\nMEMSIZE=128\nTEST_DEVICE=1\n"
#: Why a program does not pass, where that is known.
EXPLAINED: dict[tuple[str, str], str] = {
    ("x86_64", "apic"): "CPUID announces the APIC even while it is off; it cannot be moved to another address",
    ("arm", "gic mmio"): "With one processor ITARGETSR reads as zero (GICv2 architecture, 4.3.12); the same on QEMU",
    ("arm", "psci"): "Needs two processors",
}


@dataclass(frozen=True)
class Result:
    """One line of the page."""

    suite: str
    program: str
    passed: bool
    detail: str


def jitrr(*arguments: object, console: Path) -> str:
    """Run a machine to its end; what its serial port printed."""
    command = [sys.executable, "-m", "jitrr", "run", *map(str, arguments), "--serial", f"file:{console}"]
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False)
    text = console.read_text(errors="replace").replace("\r", "") if console.exists() else ""
    console.unlink(missing_ok=True)
    return text


def test386(source: Path, work: Path) -> list[Result]:
    """The ROM is assembled to print on COM1; its text is compared line by line, the last POST code is at its end."""
    if not shutil.which("nasm"):
        return [Result("test386", "-", False, "nasm is not installed")]
    build = work / "test386"
    shutil.copytree(source, build, ignore=shutil.ignore_patterns(".git"))
    settings = build / "src" / "configuration.asm"
    text = settings.read_text()
    for name, value in (("POST_PORT", "0x80"), ("COM_PORT", "1"), ("ROM128", "1")):
        text = re.sub(rf"^{name} equ .*", f"{name} equ {value}", text, flags=re.MULTILINE)
    settings.write_text(text)
    subprocess.run(["make", "-s", "-C", str(build)], check=True, capture_output=True)
    printed = jitrr("--arch", "i386", "-m", "16M", "--bios", build / "test386.bin", console=work / "console")
    expected = (build / "test386-EE-reference.txt").read_text().splitlines()
    found = printed.splitlines()
    different = sum(a != b for a, b in zip(found, expected, strict=False)) + abs(len(found) - len(expected))
    return [Result("test386", "EE", different == 0, f"{len(found):,} lines, {different} different from the reference")]


def kvm_unit_tests(arch: str, source: Path, work: Path) -> list[Result]:
    """Each program of the core set on the board for test programs."""
    environment = work / "environment"
    environment.write_bytes(ENVIRONMENT)
    suite, results = f"kvm-unit-tests, {arch}", []
    for program in PROGRAMS[arch]:
        image = source / "x86" / f"{program}.flat"
        if not image.exists():
            results.append(Result(suite, program, False, "is not built"))
            continue
        options = ["--arch", arch, "--machine", "pc-test", "-m", "128M", "--kernel", image, "--initrd", environment]
        text = jitrr(*options, "--append", image.name, console=work / "console")
        results.append(Result(suite, program, *judged(program, text, EXPLAINED.get((arch, program), ""))))
    return results


def kvm_unit_tests_arm(source: Path, work: Path) -> list[Result]:
    """The same for ARM: flat images on ``virt``."""
    suite, results = "kvm-unit-tests, arm", []
    for file, arguments in ARM_PROGRAMS:
        program, image = f"{file} {arguments}".strip(), source / "arm" / f"{file}.flat"
        if not image.exists():
            results.append(Result(suite, program, False, "is not built"))
            continue
        options = ["--arch", "arm", "-m", "256M", "--kernel", image, "--append", arguments]
        text = jitrr(*options, console=work / "console")
        results.append(Result(suite, program, *judged(program, text, EXPLAINED.get(("arm", program), ""))))
    return results


def tests_tcg(source: Path, work: Path) -> list[Result]:
    """Programs for Linux, on each architecture in one boot."""
    return [Result(f"tests/tcg, {arch}", *verdict)
            for arch in tcg.SETTINGS for verdict in tcg.run(arch, source, work, jitrr)]  # fmt: skip


def judged(program: str, text: str, explanation: str) -> tuple[bool, str]:
    """Whether a program's console says that all is well, and what it says."""
    failures = [line for line in text.splitlines() if line.startswith("FAIL")]
    summary = re.search(r"^SUMMARY: (.*)", text, re.MULTILINE)
    finished = bool(summary) or FINISHED.get(program, "\0") in text
    detail = summary.group(1) if summary else "comes to its end" if finished else "does not come to its end"
    if failures:
        detail += "; " + "; ".join(failures[:3])
    return finished and not failures, f"{detail}. {explanation}".strip(". ")


SUITES: dict[str, Callable[[Path, Path], list[Result]]] = {
    "test386.asm": test386,
    "kvm-unit-tests": lambda source, work: kvm_unit_tests("i386", source, work),
    "kvm-unit-tests-x86_64": lambda source, work: kvm_unit_tests("x86_64", source, work),
    "kvm-unit-tests-arm": kvm_unit_tests_arm,
    "qemu": tests_tcg,
}


def page(results: list[Result]) -> str:
    """docs/conformance.md."""
    lines = [
        "# Conformance", "",
        "What independent test suites say; written by `make conformance`, which takes them from the directory that",
        "`JITRR_SUITES` names (bench/conformance.py says how it is laid out). None of them is part of this repository.",
        "",
        "| suite | program | result | detail |", "|---|---|---|---|",
    ]  # fmt: skip
    for found in results:
        lines.append(f"| {found.suite} | {found.program} | {'pass' if found.passed else 'FAIL'} | {found.detail} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run what there is; exit code 1 when something does not pass."""
    where = os.environ.get("JITRR_SUITES")
    if not where:
        print("conformance: set JITRR_SUITES to the directory with the suites", file=sys.stderr)
        return 2
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="jitrr-conformance-") as folder:
        for name, run in SUITES.items():
            source = Path(where) / name
            found = run(source, Path(folder)) if source.is_dir() else [Result(name, "-", False, "is not there")]
            for result in found:
                print(f"{result.suite:<24} {result.program:<14} {'pass' if result.passed else 'FAIL'}  {result.detail}")
            results += found
    PAGE.write_text(page(results))
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
