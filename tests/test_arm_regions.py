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
from oracle.arm_state import PLACES, PREFETCH, SYS, A, ArmFault, ArmState, F, I, T, default_state

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


def test_blocks_of_instructions_that_are_long(interpreter: ArmExecutor, hot: ArmExecutor) -> None:
    """Loads of 16 doublewords, 32 cells and more each: a block ends early, and is compiled like any other."""
    state = default_state()
    state.cpsr, state.r[7] = SYS | A | I | F, PLACES.data[0]
    state.write(PLACES.data[0], Random(3).randbytes(256))
    words = [0xEC970B20] * 40 + [0xECB70B20, 0xE2477080, 0xEAFFFFD4]  # vldm r7; vldm r7!; sub r7, #128; b the first
    code = b"".join(word.to_bytes(4, "little") for word in words)
    for executor in (interpreter, hot):
        executor.start(state, code)
    for icount in (*range(0, 2000, 97), 2000):
        assert hot.go_on(state, icount) == interpreter.go_on(state, icount)
    assert hot.tier is not None and not hot.tier.failures


# -- code in data pages: across a page, written by itself --------------------------------------------------------------
def in_data(executor: ArmExecutor, address: int, code: str, steps: int, *, thumb: bool) -> Outcome:
    """The state after a few instructions that lie in the data pages."""
    state = default_state()
    state.cpsr = SYS | A | I | F | (T if thumb else 0)
    state.r[15] = address
    state.write(address, bytes.fromhex(code))
    executor.engine.flush_code()
    executor.start(state, b"")
    return executor.go_on(state, steps)


def test_instructions_across_pages(interpreter: ArmExecutor) -> None:
    """32 bits of T32 at the end of a page, also in an IT block; with nothing behind it, a prefetch abort there."""
    first, second = PLACES.data
    out, fault = in_data(interpreter, second - 2, "40f2 3412", 1, thumb=True)  # movw r2, #0x134
    assert fault is None and out.r[15] == second + 2 and out.r[2] == 0x134
    out, fault = in_data(interpreter, second - 4, "1cbf 40f2 3412 0123", 4, thumb=True)  # itt ne; movw; movne
    assert fault is None and out.r[2] == 0x134 and out.r[3] == 1 and out.cpsr >> 25 & 3 == 0
    out, fault = in_data(interpreter, second - 4, "0cbf 40f2 3412 0123", 3, thumb=True)  # ite eq
    assert fault is None and out.r[2] == 0 and out.r[3] == 1
    end = second + 0x1000
    out, fault = in_data(interpreter, end - 2, "40f2", 1, thumb=True)
    assert fault == ArmFault(PREFETCH) and out.r[15] == end - 2 and interpreter.engine.state["ifar"] == end
    assert first + 0x1000 == second


@pytest.mark.parametrize("tier", ["interpreter", "hot"])
def test_code_that_writes_itself(request: pytest.FixtureRequest, tier: str) -> None:
    """The next instruction is what has just been stored, in the same block or not, in every round of a loop."""
    executor = request.getfixturevalue(tier)
    words = (0xE59F000C, 0xE2800001, 0xE58F0004, 0xE1A00000, 0xE1A00000, 0xE2811000, 0xEAFFFFF8)
    # ldr r0, [there]; add r0, #1; str r0, [there]; nop; nop; there: add r1, r1, #0; b the first
    code = b"".join(word.to_bytes(4, "little") for word in words)
    out, fault = in_data(executor, PLACES.data[0] + 0x100, code.hex(), 7 * 40, thumb=False)
    assert fault is None and out.r[1] == 40 * 41 // 2
