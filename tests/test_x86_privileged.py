"""System instructions, row by row: every form that the table lifts, in each mode and at several privilege levels, with
real descriptor tables, against Unicorn; where Unicorn is not the processor, against what the manual says
(oracle/system_corrections.py).

A failure prints cases, one a line, with both outcomes.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from oracle.system_corrections import CORRECTIONS, USED, expected
from oracle.system_generate import cases, forms, name_of, system_names, undefined_forms, worlds_of
from oracle.system_state import Outcome, SystemCase, verdict
from oracle.unicorn_system import unicorn_system
from oracle.world import NAMES, world
from x86_system_executor import SystemExecutor

from frontends.x86.coverage import survey

MODES = (16, 32, 64)
LIMIT = 20


@pytest.fixture(scope="module")
def interpreter() -> SystemExecutor:
    return SystemExecutor()


@pytest.fixture(scope="module")
def compiled() -> SystemExecutor:
    return SystemExecutor("jit")


def failures(executor: SystemExecutor, some: Iterable[SystemCase]) -> list[str]:
    """Lines of the cases that differ, at most LIMIT."""
    out: list[str] = []
    for case in some:
        if len(out) == LIMIT:
            break
        case.out = expected(case)
        try:
            wrong = verdict(case, executor.run(case))
        except Exception as error:
            wrong = f"{case} # raised {type(error).__name__}: {error}"
        out += [wrong] if wrong else []
    return out


@pytest.mark.parametrize("name", NAMES)
def test_both_start_alike(interpreter: SystemExecutor, name: str) -> None:
    """After the same boot code (LGDT, LIDT, MOV CR, LTR, LLDT, MOV to segments, IRET). Unicorn's TR is not busy."""
    theirs, ours = unicorn_system(name).start, interpreter.start(name)
    hidden = ("tr.attr", "cs.attr") if world(name).real else ("tr.attr",)
    ignored = {*hidden, *(f"{s}.{part}" for s in ("tr", "ldtr") for part in ("limit", "attr") if world(name).real)}
    assert {n: ours[n] for n in theirs if n in ours and n not in ignored} == {
        n: v for n, v in theirs.items() if n in ours and n not in ignored
    }


@pytest.mark.parametrize("mode", MODES)
def test_every_form_in_the_interpreter(interpreter: SystemExecutor, mode: int) -> None:
    wrong = failures(interpreter, cases(mode, 1, 5))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("mode", MODES)
def test_every_form_compiled(compiled: SystemExecutor, mode: int) -> None:
    wrong = failures(compiled, cases(mode, 2, 1))
    assert not wrong, "\n".join(wrong)


def test_every_system_row_has_cases() -> None:
    """In each mode that the table has it in; corrections are of instructions that exist, and each has been needed."""
    for name in sorted(system_names()):
        have = {mode for mode in MODES for n, _ in forms(mode) if n == name}
        assert survey()[name].modes <= have, name
    assert set(CORRECTIONS) <= system_names()


def test_cases_reach_both_ends(interpreter: SystemExecutor) -> None:
    """Each instruction succeeds in some case, unless it cannot, and faults in some, unless it never does."""
    succeeded, faulted = Counter[str](), Counter[str]()
    for mode in MODES:
        for case in cases(mode, 1, 5):
            name = name_of(case.code, mode) or ""
            (faulted if expected(case).fault else succeeded)[name] += 1
    assert system_names() - set(succeeded) == {"int", "int1", "int3", "rdpmc"}
    assert system_names() - set(faulted) == {"cpuid", "rdrand"}
