"""Runs independent test suites and writes docs/conformance.md: ``make conformance``.

``JITRR_SUITES`` is a directory with each suite's material under the name that SUITES gives it; none of it is part of
this repository. Everything that is there runs, a program a processor at a time. The page is written when all of it is,
and at once. The exit code is 1 when something fails for a reason that no table gives.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import kernels
import kvm_unit_tests
import tcg
from verdict import FAIL, PASS, Job, Missing, Result, console

PAGE = Path(__file__).parent.parent / "docs" / "conformance.md"


def test386(source: Path, work: Path) -> list[Job]:
    """The ROM's text is compared line by line; its last POST code would end it early."""
    rom, reference = source / "test386.bin", source / "test386-EE-reference.txt"
    if not (rom.exists() and reference.exists()):
        raise Missing("barotto's test386.bin of 128 KiB that prints on COM1, and test386-EE-reference.txt")

    def run() -> list[Result]:
        found = console(["--arch", "i386", "-m", "16M", "--bios", rom], work / "test386").splitlines()
        expected = reference.read_text().splitlines()
        different = sum(a != b for a, b in zip(found, expected, strict=False)) + abs(len(found) - len(expected))
        detail = f"{len(found):,} lines, {different} different from the reference"
        return [Result("test386", "EE", FAIL if different else PASS, detail)]

    return [run]


@dataclass(frozen=True)
class Suite:
    """Where a suite is in ``JITRR_SUITES`` (nowhere: it needs none), and what makes its jobs."""

    folder: str
    jobs: Callable[[Path, Path], list[Job]]


SUITES = (
    Suite("test386", test386),
    *(Suite(f"kvm-unit-tests-{arch}", partial(kvm_unit_tests.jobs, arch)) for arch in ("i386", "x86_64", "arm")),
    *(Suite(f"tests-tcg-{arch}", partial(tcg.jobs, arch)) for arch in tcg.SETTINGS),
    Suite("", lambda source, work: kernels.jobs(work)),
)


@dataclass
class Found:
    """What one run found: the lines of the page by suite and job, and what is missing."""

    results: list[Result]
    missing: list[str]


def attempt(job: Job) -> list[Result] | Missing:
    """A job's results, shown as soon as they are there."""
    try:
        results = job()
    except Missing as missing:
        return missing
    for found in results:
        print(f"{found.suite:<24} {found.program:<28} {found.outcome:<7} {found.detail}", flush=True)
    return results


def run_all(where: Path, work: Path) -> Found:
    """Run everything in ``where``, the long boots first."""
    jobs: list[Job] = []
    found = Found([], [])
    for suite in SUITES:
        try:
            jobs += suite.jobs(where / suite.folder, work)
        except Missing as missing:
            found.missing.append(f"{where / suite.folder}: put there {missing}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = [pool.submit(attempt, job) for job in reversed(jobs)]
    for future in reversed(futures):
        outcome = future.result()
        if isinstance(outcome, Missing):
            found.missing.append(str(outcome))
        else:
            found.results += outcome
    return found


def page(results: list[Result]) -> str:
    """docs/conformance.md."""
    lines = [
        "# Conformance", "",
        "What independent test suites say; written by `make conformance`, which takes them from the directory that",
        "`JITRR_SUITES` names (bench/conformance.py says how it is laid out). None of them is part of this repository.",
        "The last column is why something does not pass, or what a program left out in its own words.", "",
        "| suite | program | result | detail | why |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for found in results:
        cells = (found.suite, found.program, found.outcome, found.detail, found.reason)
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    counts = {outcome: sum(found.outcome == outcome for found in results) for outcome in (PASS, FAIL, "skipped")}
    lines += ["", f"{counts[PASS]} pass, {counts[FAIL]} fail, {counts['skipped']} are skipped."]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run what there is."""
    where = os.environ.get("JITRR_SUITES")
    if not where:
        print("conformance: set JITRR_SUITES to the directory with the suites", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="jitrr-conformance-") as folder:
        found = run_all(Path(where), Path(folder))
    for line in found.missing:
        print(f"missing: {line}")
    if found.missing:
        print(f"{PAGE.name} stays as it is: it is written when nothing is missing")
    else:
        fresh = PAGE.with_suffix(".new")
        fresh.write_text(page(found.results))
        fresh.replace(PAGE)
    unexplained = [result for result in found.results if result.unexplained]
    for result in unexplained:
        print(f"unexplained: {result.suite}, {result.program}: {result.detail}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
