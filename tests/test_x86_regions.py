"""Random programs of several blocks: compiled regions, entered and left anywhere, against the interpreter one
instruction at a time."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from oracle.state import Fault, X86State
from x86_executor import EngineExecutor
from x86_programs import ALIAS, program

Outcome = tuple[X86State, Fault | None]
STEPS = 150
PROGRAMS = 60


@pytest.fixture(scope="module")
def interpreter() -> EngineExecutor:
    return EngineExecutor()


@pytest.fixture(scope="module")
def hot() -> EngineExecutor:
    return EngineExecutor("auto")


def history(executor: EngineExecutor, state: X86State, code: bytes, mode: int) -> list[Outcome]:
    """States after 0, 1, 2... instructions; the last one may be that of a fault."""
    executor.start(state, code, mode)
    states = [executor.go_on(state, 0, mode)]
    while len(states) <= STEPS and states[-1][1] is None:
        states.append(executor.go_on(state, len(states), mode))
    return states


def compare(
    executor: EngineExecutor, state: X86State, code: bytes, mode: int, expected: list[Outcome], rng: Random
) -> None:
    """One run with stops at random, and a TLB that loses everything at times."""
    executor.start(state, code, mode)
    now, longest = 0, rng.choice((3, 20, 2 * STEPS))
    while now < len(expected) - 1:
        if rng.random() < 0.2:
            executor.engine.call("flush_tlb")
        now = min(now + rng.randint(1, longest), len(expected) - 1)
        got = executor.go_on(state, now, mode)
        assert got == expected[now], f"{mode} {state.rip:x} {code.hex()} after {now}: {got} instead of {expected[now]}"


@pytest.mark.parametrize("mode", [64, 32])
def test_regions_are_single_steps(interpreter: EngineExecutor, hot: EngineExecutor, mode: int) -> None:
    rng = Random(mode)
    before, steps = hot.engine.counters["regions"], 0
    for _ in range(PROGRAMS):
        state, code = program(mode, rng)
        expected = history(interpreter, state, code, mode)
        steps += len(expected)
        for _ in range(6):
            compare(hot, state, code, mode, expected, rng)
    assert hot.tier is not None and not hot.tier.failures
    assert hot.engine.counters["regions"] - before > PROGRAMS // 2
    assert steps > 40 * PROGRAMS


@pytest.fixture(scope="module")
def changeable(interpreter: EngineExecutor, hot: EngineExecutor) -> None:
    for executor in (interpreter, hot):
        for mode in (32, 64):
            executor.let_code_change(mode, ALIAS)


def current(executor: EngineExecutor, state: X86State, code: bytes, mode: int) -> list[Outcome]:
    """As ``history``, each instruction translated when it is executed: what it is then, and not what it was."""
    executor.forget_code()
    executor.start(state, code, mode)
    states = [executor.go_on(state, 0, mode)]
    while len(states) <= STEPS and states[-1][1] is None:
        executor.forget_code()
        states.append(executor.go_on(state, len(states), mode))
    return states


@pytest.mark.usefixtures("changeable")
@pytest.mark.parametrize("mode", [64, 32])
def test_code_that_is_written_to_is_what_it_is_now(interpreter: EngineExecutor, hot: EngineExecutor, mode: int) -> None:
    rng = Random(mode + 1)
    before, steps = hot.engine.counters["regions"], 0
    for _ in range(PROGRAMS):
        state, code = program(mode, rng, self_modifying=True)
        expected = current(interpreter, state, code, mode)
        steps += len(expected)
        for executor in (interpreter, hot):
            for _ in range(3):
                executor.forget_code()
                compare(executor, state, code, mode, expected, rng)
    assert hot.engine.counters["regions"] - before > PROGRAMS // 2
    assert steps > 40 * PROGRAMS
