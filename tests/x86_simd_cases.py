"""Cases for the floating-point and vector units, and what of them this processor can be held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from oracle.compare import mismatch, verdict
from oracle.generate import cases
from oracle.host import host
from oracle.state import Case, Fault, X86State
from x86_executor import EngineExecutor

STACK_FAULT, SIMD_EXCEPTION, PRECISION = 12, 19, 0x20
POINTERS = ("fop", "fip", "fdp")


class UnitExecutor(EngineExecutor):
    """The engine, with the x87 pointers of the case."""

    def run(self, state: X86State, code: bytes, mode: int) -> tuple[X86State, Fault | None]:
        for name in POINTERS:
            self.engine.state[name] = getattr(state, name)
        out, fault = super().run(state, code, mode)
        for name in POINTERS:
            setattr(out, name, int(self.engine.state[name]))
        return out, fault


def is_x87(encoding: object) -> bool:
    """x87 instructions, but for FXSAVE and FXRSTOR, which have tests of their own."""
    first = encoding.opcode[0]  # type: ignore[attr-defined]
    return 0xD8 <= first <= 0xDF or first == 0x9B


def is_simd(encoding: object) -> bool:
    """MMX and SSE instructions."""
    name, text = encoding.mnemonic, encoding.text  # type: ignore[attr-defined]
    if is_x87(encoding) or name.startswith("fx") or name == "cmpxchg16b":
        return False
    return "mm" in text or name in ("ldmxcsr", "stmxcsr", "emms") or "ss2si" in name or "sd2si" in name


def made(
    mode: int,
    seed: int,
    each: int,
    select: Callable[[object], bool],
    change: Callable[[Case, Random], None] | None = None,
) -> Iterator[Case]:
    """Cases with the host's results. Left out: faults on non-canonical addresses in the stack segment (#SS here, #GP
    with us), and addresses of the host's own kernel, where its page faults look different."""
    rng = Random(seed)
    with host().pinned():
        for case in cases(mode, seed, each, select):
            if change is not None:
                change(case, rng)
            case.out, case.fault = host().run(case.state, case.code, case.mode)
            fault = case.fault
            if fault is None or not (fault.vector == STACK_FAULT or (fault.address or 0) >> 63):
                yield case


def failures(executor: EngineExecutor, found: Iterator[Case], limit: int = 5) -> list[str]:
    """One line for each case that comes out differently, at most ``limit``."""
    lines: list[str] = []
    for case in found:
        what = verdict(executor, case)
        if what and not _precision_only(executor, case):
            lines.append(f"{case} # {what}")
        if len(lines) == limit:
            break
    return lines


def _precision_only(executor: EngineExecutor, case: Case) -> bool:
    """#XM where just MXCSR.PE differs: next to an unmasked overflow or underflow it is that of the result in its usual
    format, not of the scaled one that the handler never sees."""
    if case.fault is None or case.fault.vector != SIMD_EXCEPTION or case.out is None:
        return False
    out, fault = executor.run(case.state.copy(), case.code, case.mode)
    if not (out.mxcsr ^ case.out.mxcsr) & PRECISION or not out.mxcsr & ~(case.state.mxcsr >> 7) & 0x18:
        return False
    out.mxcsr ^= PRECISION
    return not mismatch(case, out, fault)
