"""MMX and SSE to SSE4.2 against the host processor: both tiers, 32 and 64 bit code, masked and unmasked exceptions."""

from __future__ import annotations

from functools import cache
from random import Random

import pytest
from oracle.encodings import encodings
from oracle.host import host, host_available
from oracle.state import PAGE, Case, Fault, default_state, layout
from x86_executor import EngineExecutor
from x86_simd_cases import failures, is_simd, made

from frontends.x86 import state as st
from frontends.x86.simd import SIMD

needs_host = pytest.mark.skipif(host_available() is not None, reason=str(host_available()))


@cache
def engine(tier: str) -> EngineExecutor:
    return EngineExecutor(tier)


@needs_host
@pytest.mark.parametrize("mode", [64, 32])
def test_every_form(mode: int) -> None:
    assert not failures(engine("interp"), made(mode, 1, 3, is_simd))


@needs_host
def test_compiled_regions() -> None:
    """One form in five, compiled."""
    chosen = {str(e) for n, e in enumerate(filter(is_simd, encodings(64))) if n % 5 == 0}
    assert not failures(engine("jit"), made(64, 2, 1, lambda e: str(e) in chosen))


@needs_host
@pytest.mark.parametrize("mode", [64, 32])
def test_unmasked_exceptions(mode: int) -> None:
    """#XM with the destination as it was and the flags of the stage that raised it."""

    def unmask(case: Case, rng: Random) -> None:
        case.state.mxcsr = case.state.mxcsr & ~0x1F80 | rng.getrandbits(6) << 7
        if rng.random() < 0.5:
            case.state.mxcsr &= ~0x3F

    assert not failures(engine("interp"), made(mode, 3, 3, is_simd, unmask))


@needs_host
@pytest.mark.parametrize("rdi", [0, PAGE * 0x20002 - 7, PAGE * 0x20002 - 15, 0x20000100])
@pytest.mark.parametrize("code", ["0ff7ec", "660ff7ec"])
def test_masked_stores(code: str, rdi: int) -> None:
    """MASKMOVQ and MASKMOVDQU touch all their bytes, whatever the mask."""
    for mask in (0, 0x80, 0x80 << 56, 0x80 << 120, (1 << 128) - 1):
        state = default_state(64)
        state.gpr[7], state.ftw = rdi, 0xFF
        state.st[4], state.st[5] = mask & (1 << 64) - 1, 0x0123456789ABCDEF
        state.xmm[4], state.xmm[5] = mask, 0x0123456789ABCDEF << 60
        case = Case(64, bytes.fromhex(code), state)
        case.out, case.fault = host().run(state, case.code, 64)
        assert not failures(engine("interp"), iter([case]))


@pytest.mark.parametrize(
    ("code", "cr0", "cr4", "fault"),
    [
        ("0f58c1", st.CR0, 0x8, Fault(7)),  # ADDPS with CR0.TS
        ("0f58c1", st.CR0, 0x4, Fault(6)),  # and with CR0.EM
        ("0ffcc1", st.CR0, 0x8, Fault(7)),  # PADDB
        ("0ffcc1", st.CR0, 0x4, Fault(6)),
        ("d9e8", st.CR0, 0x8, Fault(7)),  # FLD1
        ("d9e8", st.CR0, 0x4, Fault(7)),
        ("9b", st.CR0, 0x8, Fault(7)),  # WAIT: CR0.MP is set as well
        ("9b", st.CR0, 0x4, None),
        ("0fae07", st.CR0, 0x8, Fault(7)),  # FXSAVE
    ],
)
def test_units_switched_off(code: str, cr0: int, cr4: int, fault: Fault | None) -> None:
    executor = engine("interp")
    words = executor.words
    words[cr0 // 8] |= cr4
    try:
        state = default_state(64)
        state.gpr[7] = layout(64).data[0]
        assert executor.run(state, bytes.fromhex(code), 64)[1] == fault
    finally:
        words[cr0 // 8] &= ~cr4


def test_sse_needs_the_system_to_say_so() -> None:
    """CR4.OSFXSR clear: SSE is #UD, MMX is not. CR4.OSXMMEXCPT clear: an unmasked exception is #UD."""
    executor = engine("interp")
    before = executor.words[st.CR4 // 8]
    state = default_state(64)
    try:
        executor.words[st.CR4 // 8] = before & ~0x200
        assert executor.run(state, bytes.fromhex("0f58c1"), 64)[1] == Fault(6)
        assert executor.run(state, bytes.fromhex("0ffcc1"), 64)[1] is None
        executor.words[st.CR4 // 8] = before & ~0x400
        state.mxcsr, state.xmm[0] = 0x1D80, 0x3F800000
        assert executor.run(state, bytes.fromhex("0f5ec1"), 64)[1] == Fault(6)
    finally:
        executor.words[st.CR4 // 8] = before


def test_the_table_has_all_that_decodes() -> None:
    """Every MMX and SSE opcode that Capstone decodes as such for x86-64-v2 is in the table."""
    for encoding in filter(is_simd, encodings(64)):
        prefix = next((p for p in encoding.prefixes if p in (0xF2, 0xF3)), 0x66 if 0x66 in encoding.prefixes else 0)
        opcode = encoding.opcode
        groups = [-1] if encoding.reg is None else [-1, encoding.reg]
        assert any((prefix, opcode, group) in SIMD for group in groups), str(encoding)
