"""The core set of kvm-unit-tests: each program on the board for test programs, on ARM on ``virt``."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from verdict import FAIL, PASS, SKIPPED, Job, Missing, Result, console

#: On a PC a program is a file, and is told by an initial file what it runs on. A number goes with one that gets that
#: many processors. ``ioapic`` gets three: with four it also wants logical destinations as only x2APIC mode has them.
PROGRAMS: dict[str, tuple[str | tuple[str, int], ...]] = {
    "i386": ("realmode", "taskswitch", "taskswitch2", "eventinj", "emulator", "smap", "umip", "cmpxchg8b", "setjmp",
             "sieve", "tsc", "tsc_adjust", ("smptest", 3)),
    "x86_64": ("eventinj", "emulator", "idt_test", "memory", "smap", "umip", "access_test", "apic", "ioapic", "setjmp",
               "sieve", "tsc", "debug", ("smptest", 2), ("smptest", 3), ("apic", 2), ("ioapic", 3)),
}  # fmt: skip
#: On ARM it does one of several things: its file, its arguments, and how many processors it gets.
ARM_PROGRAMS = (
    ("selftest", "setup smp=1 mem=256", 1), ("selftest", "setup smp=2 mem=256", 2), ("selftest", "vectors-kernel", 1),
    ("selftest", "vectors-user", 1), ("selftest", "smp", 8), ("psci", "", 8), ("gic", "ipi", 8), ("gic", "active", 8),
    ("gic", "mmio", 8), ("gic", "mmio", 3), ("gic", "mmio", 1), ("pl031", "", 1), ("spinlock-test", "", 4),
    ("sieve", "", 1),
)  # fmt: skip
#: So that ``psci`` also lets several processors start another one at once, which KVM once got wrong.
ARM_ENVIRONMENT = "ERRATA_6c7a5dce22b3=y\n"
#: Programs that print no summary: what they print when all is well.
FINISHED = {"taskswitch": "post fault", "sieve": "virtual:5761455", "realmode": "PASS: nopl"}
ENVIRONMENT = "NR_CPUS={}\nMEMSIZE=128\nTEST_DEVICE=1\n"
#: Without the test device ``apic`` makes no hypercalls, which are KVM's and an invalid opcode elsewhere.
OWN_ENVIRONMENT = {"apic": ENVIRONMENT.replace("TEST_DEVICE=1", "TEST_DEVICE=0")}
#: Why a program does not pass, where that is known.
EXPLAINED = {
    ("arm", "gic mmio"): "With one processor ITARGETSR reads as zero (GICv2 architecture, 4.3.12); the same on QEMU",
}


def jobs(arch: str, source: Path, work: Path) -> list[Job]:
    """One for each program. ``source``: a checkout of the suite, built for ``arch``."""
    on_pc = [each if isinstance(each, tuple) else (each, 1) for each in PROGRAMS.get(arch, ())]
    files = [file for file, *_ in (ARM_PROGRAMS if arch == "arm" else on_pc)]
    images = {file: source / ("arm" if arch == "arm" else "x86") / f"{file}.flat" for file in files}
    missing = [image.name for image in images.values() if not image.exists()]
    if missing:
        raise Missing(f"kvm-unit-tests, configured and built for {arch} (not there: {missing[0]})")
    if arch == "arm":
        return [partial(_run_arm, images[file], arguments, count, work) for file, arguments, count in ARM_PROGRAMS]
    return [partial(_run, arch, images[file], count, work) for file, count in on_pc]


def _run(arch: str, image: Path, processors: int, work: Path) -> list[Result]:
    program = image.stem + _on_several(processors)
    folder = work / f"kvm-{arch}-{program.replace(' ', '-')}"
    environment = folder.with_suffix(".environment")
    environment.write_text(OWN_ENVIRONMENT.get(image.stem, ENVIRONMENT).format(processors))
    options = ["--arch", arch, "--machine", "pc-test", "-m", "128M", "--smp", processors, "--initrd", environment]
    return [judged(arch, program, console([*options, "--append", image.name, "--kernel", image], folder))]


def _on_several(processors: int) -> str:
    return f", {processors} processors" if processors > 1 else ""


def _run_arm(image: Path, arguments: str, processors: int, work: Path) -> list[Result]:
    program = f"{image.stem} {arguments}".strip() + _on_several(processors)
    folder = work / f"kvm-arm-{program.replace(' ', '-')}"
    environment = folder.with_suffix(".environment")
    environment.write_text(ARM_ENVIRONMENT)
    options = ["--arch", "arm", "-m", "256M", "--smp", processors, "--append", arguments, "--initrd", environment]
    return [judged("arm", program, console([*options, "--kernel", image], folder))]


def judged(arch: str, program: str, text: str) -> Result:
    """What a program's console says of it."""
    lines = text.splitlines()
    failures = [line for line in lines if line.startswith("FAIL")]
    summary = re.search(r"^SUMMARY: (\d+) tests(?:.*, (\d+) skipped)?.*", text, re.MULTILINE)
    finished = bool(summary) or FINISHED.get(program, "\0") in text
    detail = ("comes" if finished else "does not come") + " to its end"
    if summary:
        detail = summary.group().removeprefix("SUMMARY: ")
    if failures or not finished:
        return Result(f"kvm-unit-tests, {arch}", program, FAIL, "; ".join([detail, *failures[:3]]),
                      EXPLAINED.get((arch, program), ""))  # fmt: skip
    nothing = summary is not None and int(summary.group(1)) == int(summary.group(2) or 0)
    skipped = "; ".join(line.removeprefix("SKIP: ") for line in lines if line.startswith("SKIP"))
    if nothing and not skipped:  # a program that has nothing to do says why, in its last words
        skipped = next(line for line in reversed(lines) if line and not line.startswith(("SUMMARY", "EXIT")))
    return Result(f"kvm-unit-tests, {arch}", program, SKIPPED if nothing else PASS, detail, skipped)
