"""Random programs of several blocks of A32 and T32: compiled regions, entered and left anywhere, against the
interpreter one instruction at a time."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from arm_executor import ArmExecutor
from arm_programs import program
from oracle.arm_state import ArmFault, ArmState

Outcome = tuple[ArmState, ArmFault | None]
STEPS = 150
PROGRAMS = 60


@pytest.fixture(scope="module")
def interpreter() -> ArmExecutor:
    return ArmExecutor()


@pytest.fixture(scope="module")
def hot() -> ArmExecutor:
    return ArmExecutor("auto")


def history(executor: ArmExecutor, state: ArmState, code: bytes) -> list[Outcome]:
    """States after 0, 1, 2... instructions; the last one may be that of a fault."""
    executor.start(state, code)
    states = [executor.go_on(state, 0)]
    while len(states) <= STEPS and states[-1][1] is None:
        states.append(executor.go_on(state, len(states)))
    return states


def compare(executor: ArmExecutor, state: ArmState, code: bytes, expected: list[Outcome], rng: Random) -> None:
    """One run with stops at random, and a TLB that loses everything at times."""
    executor.start(state, code)
    now, longest = 0, rng.choice((3, 20, 2 * STEPS))
    while now < len(expected) - 1:
        if rng.random() < 0.2:
            executor.engine.call("flush_tlb")
        now = min(now + rng.randint(1, longest), len(expected) - 1)
        got = executor.go_on(state, now)
        assert got == expected[now], f"{state.r[15]:x} {code.hex()} after {now}: {got} instead of {expected[now]}"


def test_regions_are_single_steps(interpreter: ArmExecutor, hot: ArmExecutor) -> None:
    rng = Random(1)
    before, steps, faults = hot.engine.counters["regions"], 0, 0
    for _ in range(PROGRAMS):
        state, code = program(rng)
        expected = history(interpreter, state, code)
        steps += len(expected)
        faults += expected[-1][1] is not None
        for _ in range(6):
            compare(hot, state, code, expected, rng)
    assert hot.tier is not None and not hot.tier.failures
    assert hot.engine.counters["regions"] - before > PROGRAMS // 2
    assert steps > 40 * PROGRAMS and faults < PROGRAMS // 2


def test_it_blocks_stopped_anywhere(interpreter: ArmExecutor) -> None:
    """A block of one go against single steps: ITSTATE is exact at each, and taken up again."""
    rng = Random(2)
    for _ in range(40):
        state, code = program(rng)
        expected = history(interpreter, state, code)
        for _ in range(3):
            compare(interpreter, state, code, expected, rng)
