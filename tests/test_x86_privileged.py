"""System instructions, row by row: every form that the table lifts, in each mode and at several privilege levels, with
real descriptor tables, against Unicorn; where Unicorn is not the processor, against what the manual says
(oracle/system_corrections.py).

A failure prints cases, one a line, with both outcomes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from oracle import delivery
from oracle.system_corrections import CORRECTIONS, USED, expected
from oracle.system_generate import cases, forms, fpu_cases, name_of, system_names, undefined_forms
from oracle.system_lines import ASKED, WRITTEN
from oracle.system_state import Exception_, Outcome, SystemCase, verdict
from oracle.unicorn_system import unicorn_system
from oracle.world import NAMES, world
from x86_system_executor import SystemExecutor

from frontends.x86.coverage import survey

MODES = (16, 32, 64)
LIMIT = 20
#: Cases of a form in a world.
COUNT = 3


@pytest.fixture(scope="module")
def interpreter() -> SystemExecutor:
    return SystemExecutor()


@pytest.fixture(scope="module")
def compiled() -> SystemExecutor:
    return SystemExecutor("jit")


@cache
def judged(mode: int, seed: int, count: int) -> list[SystemCase]:
    """Cases with what is expected of them."""
    found = list(cases(mode, seed, count))
    for case in found:
        case.out = expected(case)
    return found


def failures(executor: SystemExecutor, some: Iterable[SystemCase]) -> list[str]:
    """Lines of the cases that differ, at most LIMIT."""
    out: list[str] = []
    for case in some:
        if len(out) == LIMIT:
            break
        try:
            wrong = verdict(case, executor.run(case))
        except Exception as error:
            wrong = f"{case} # raised {type(error).__name__}: {error}"
        out += [wrong] if wrong else []
    return out


@pytest.mark.parametrize("name", NAMES)
def test_both_start_alike(interpreter: SystemExecutor, name: str) -> None:
    """After the same boot code: LGDT, LIDT, MOV CR, LTR, LLDT, MOV to segments, IRET. (Unicorn's TR is not busy; what
    TR and LDTR hold in real mode, and CS's attributes there, nobody can see.)"""
    theirs, ours = unicorn_system(name).start, interpreter.start(name)
    unseen = {"tr.attr"}
    if world(name).real:
        unseen |= {"cs.attr", *(f"{s}.{part}" for s in ("tr", "ldtr") for part in ("limit", "attr"))}
    common = theirs.keys() & ours.keys() - unseen
    assert {n: ours[n] for n in sorted(common)} == {n: theirs[n] for n in sorted(common)}


@pytest.mark.parametrize("mode", MODES)
def test_every_form_in_the_interpreter(interpreter: SystemExecutor, mode: int) -> None:
    wrong = failures(interpreter, judged(mode, 1, COUNT))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("mode", MODES)
def test_every_form_compiled(compiled: SystemExecutor, mode: int) -> None:
    wrong = failures(compiled, judged(mode, 1, COUNT)[::8])
    assert not wrong, "\n".join(wrong)


def test_every_system_row_has_cases() -> None:
    """In each mode that the table has it in, and most of them decided by Unicorn alone."""
    for name in sorted(system_names()):
        have = {mode for mode in MODES for n, _ in forms(mode) if n == name}
        assert survey()[name].modes <= have, name
    assert set(CORRECTIONS) <= system_names()


def test_corrections_are_needed_and_few() -> None:
    """How many cases each has decided is printed (pytest -rP)."""
    for line in ASKED:
        expected(SystemCase.parse(line))
    total = sum(len(judged(mode, 1, COUNT)) for mode in MODES)
    said = "\n".join(f"{count:5} {why}" for why, count in sorted(USED.items()))
    print(f"{total} cases, of which corrections have decided {sum(USED.values())}:\n{said}")
    assert {why for rules in CORRECTIONS.values() for why, _ in rules} == set(USED)
    assert sum(USED.values()) < total / 3


def test_cases_reach_both_ends() -> None:
    """Each instruction succeeds in some case, unless it cannot, and faults in some, unless it never does."""
    succeeded: set[str | None] = set()
    faulted: set[str | None] = set()
    for mode in MODES:
        for case in judged(mode, 1, COUNT):
            assert case.out is not None
            (faulted if case.out.fault else succeeded).add(name_of(case.code, mode))
    assert system_names() - succeeded == {"int", "int1", "int3", "rdpmc"}
    assert system_names() - faulted == {"cpuid", "rdrand"}


@pytest.mark.parametrize("tier", ["interpreter", "compiled"])
def test_interrupts_through_gates(tier: str, request: pytest.FixtureRequest) -> None:
    """Gates of every kind, same and inner privilege, IST, stacks that are wrong: against the manual."""
    executor: SystemExecutor = request.getfixturevalue(tier)
    found = list(delivery.cases(1, 150 if tier == "interpreter" else 15))
    for case in found:
        case.out = delivery.expected(case, unicorn_system(case.world).start)
    wrong = failures(executor, found)
    assert not wrong, "\n".join(wrong)
    if tier == "interpreter":
        assert {None, 10, 11, 12, 13} <= {case.out.fault and case.out.fault.vector for case in found if case.out}


@pytest.mark.parametrize("mode", MODES)
def test_floating_point_units_off(interpreter: SystemExecutor, mode: int) -> None:
    """#UD, #NM and #MF by CR0.TS, EM and MP, CR4.OSFXSR and the x87's own state: against the manual."""
    wrong = []
    for case, vector in fpu_cases(mode, 1, 4):
        fault = interpreter.run(case).fault
        if (fault and fault.vector) != vector:
            wrong.append(f"{case} -> fault={vector}:- # got {fault}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("tier", ["interpreter", "compiled"])
def test_lines(tier: str, request: pytest.FixtureRequest) -> None:
    """Cases that the random ones seldom hit, and those of bugs that were found: see oracle/system_lines.py."""
    executor: SystemExecutor = request.getfixturevalue(tier)
    written, asked = [SystemCase.parse(line) for line in WRITTEN], [SystemCase.parse(line) for line in ASKED]
    for case in asked:
        case.out = expected(case)
    wrong = failures(executor, written + asked)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_announced_is_undefined(interpreter: SystemExecutor, name: str) -> None:
    """At every privilege level: #UD comes before #GP."""
    some = [SystemCase(name, code[:12], {}) for code in undefined_forms(world(name).bits)]
    for case in some:
        case.out = Outcome(fault=Exception_(6))
    assert len(some) > 50
    wrong = failures(interpreter, some)
    assert not wrong, "\n".join(wrong)
