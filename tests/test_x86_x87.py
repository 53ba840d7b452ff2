"""x87, FXSAVE and FXRSTOR against the host processor: 80-bit values, stack faults, unmasked exceptions, images."""

from __future__ import annotations

from functools import cache
from random import Random

import pytest
from oracle import values
from oracle.generate import random_state
from oracle.host import host, host_available
from oracle.state import Case, Fault, X86State, default_state, layout
from x86_simd_cases import POINTERS, UnitExecutor, failures, is_x87, made

needs_host = pytest.mark.skipif(host_available() is not None, reason=str(host_available()))
AREA = layout(64).data[0] + 0x100


@cache
def engine() -> UnitExecutor:
    return UnitExecutor()


@needs_host
@pytest.mark.parametrize("mode", [64, 32])
def test_every_form(mode: int) -> None:
    assert not failures(engine(), made(mode, 1, 5, is_x87))


def _unmask(case: Case, rng: Random) -> None:
    """Any masks, nothing pending yet, mostly full registers."""
    state = case.state
    state.fcw = state.fcw & ~0x3F | rng.getrandbits(6)
    state.fsw &= ~0x80BF
    if rng.random() < 0.3:
        state.fsw |= rng.getrandbits(6) & state.fcw
    if rng.random() < 0.5:
        state.ftw = rng.choice((0xFF, rng.getrandbits(8)))


@needs_host
@pytest.mark.parametrize("mode", [64, 32])
def test_unmasked_exceptions(mode: int) -> None:
    """Results unwritten or scaled, ES and B, the stack as it was; and the pointers where the processor keeps them."""
    executor, wrong = engine(), []
    for case in made(mode, 2, 6, is_x87, _unmask):
        wrong += failures(executor, iter([case]))
        assert case.out is not None
        if case.out.fip and not case.fault:  # an AMD processor gives them only with an exception pending
            out, _ = executor.run(case.state, case.code, mode)
            if any(getattr(out, name) != getattr(case.out, name) for name in POINTERS):
                wrong.append(f"{case} # pointers")
    assert not wrong


def _image(executor: UnitExecutor | None, state: X86State, code: str, mode: int) -> bytes:
    runner = executor or host()
    out, fault = runner.run(state, bytes.fromhex(code), mode)
    assert fault is None
    return out.read(AREA, 512)


@needs_host
@pytest.mark.parametrize(("mode", "code"), [(64, "0fae07"), (64, "480fae07"), (32, "0fae07")])
def test_fxsave(mode: int, code: str) -> None:
    """All bytes but the pointers and MXCSR_MASK (the host has a feature there that we do not announce)."""
    for seed in range(20):
        state = random_state(mode, Random(seed), True, True)
        state.gpr[7] = AREA
        state.write(AREA, Random(seed).randbytes(512))
        expected, got = (_image(e, state, code, mode) for e in (None, engine()))
        assert got[:6] == expected[:6]
        assert got[24:28] + got[32:] == expected[24:28] + expected[32:]
        assert got[28:32] == b"\xff\xff\0\0"


@needs_host
@pytest.mark.parametrize(("mode", "code"), [(64, "0fae0f"), (64, "480fae0f"), (32, "0fae0f")])
def test_fxrstor(mode: int, code: str) -> None:
    """Any image; a reserved bit of MXCSR is #GP(0) with nothing changed."""
    for seed in range(20):
        rng = Random(seed)
        state = random_state(mode, rng, True, True)
        state.gpr[7] = AREA
        image = bytearray(rng.randbytes(512))
        image[0:2], image[2:4] = values.x87_control(rng).to_bytes(2, "little"), rng.randbytes(2)
        image[24:28] = (values.mxcsr(rng) | (1 << 20 if seed % 4 == 0 else 0)).to_bytes(4, "little")
        state.write(AREA, bytes(image))
        case = Case(mode, bytes.fromhex(code), state)
        case.out, case.fault = host().run(state, case.code, mode)
        assert bool(case.fault) == (seed % 4 == 0)
        assert not failures(engine(), iter([case]))


def test_images_must_be_aligned() -> None:
    state = default_state(64)
    state.gpr[7] = AREA + 8
    for code in ("0fae07", "0fae0f"):
        assert engine().run(state, bytes.fromhex(code), 64)[1] == Fault(13, 0)


def test_pointers_of_an_instruction_without_exception() -> None:
    """Set by every instruction but the control ones; the operand pointer only by those with a memory operand."""
    state = default_state(64)
    state.gpr[7], state.fdp = AREA - 4, 5
    for code, expected in (
        ("d94704", [0x147, state.rip, AREA]),  # FLD m32
        ("d9e8", [0x1E8, state.rip, 5]),  # FLD1
        ("9b", [0, 0, 5]),  # WAIT
    ):
        out, fault = engine().run(state, bytes.fromhex(code), 64)
        assert fault is None
        assert [getattr(out, name) for name in POINTERS] == expected
