"""Hold an executor against an oracle and say, in one line per case, where they differ."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from typing import Protocol

from .memory import memory_differences
from .state import (
    GPR_NAMES,
    RF,
    ST_NAMES,
    TF,
    XMM_NAMES,
    Case,
    Fault,
    X86State,
    default_state,
    differences,
    disassemble,
)
from .undefined import APPROXIMATE_SSE, APPROXIMATE_X87, C1, Undefined, undefined

_POINTERS = ("fop", "fip", "fdp")
_STEPPING = TF | RF
#: The precision exception, in the x87's control and status words.
PE = 0x20
_CHUNK = 500


class Executor(Protocol):
    """Anything that executes one step; see the package."""

    def run(self, state: X86State, code: bytes, mode: int) -> tuple[X86State, Fault | None]:
        """One step of `code` at `state.rip`; must not change `state`. Returns the state after it and its exception."""


def check(
    executor: Executor, cases: Iterable[Case], oracle: Executor, limit: int = 20, shrink: bool = True
) -> list[str]:
    """Run all `cases` (only their inputs count) through both; returns the failing ones as text, at most `limit`.

    A line is the case with the oracle's result, then `# got` and what the executor made of it, or `# raised` and its
    error. With `shrink` the inputs that the failure does not need are first taken out.
    """
    failures: list[str] = []
    rest = iter(cases)
    while len(failures) < limit and (chunk := list(islice(rest, _CHUNK))):
        with getattr(oracle, "pinned", nullcontext)():
            for case in chunk:
                case.out, case.fault = oracle.run(case.state, case.code, case.mode)
        for case in chunk:
            if verdict(executor, case):
                small = minimise(executor, case, oracle) if shrink else case
                failures.append(f"{small} # {verdict(executor, small)}")
                if len(failures) == limit:
                    break
    return failures


def replay(executor: Executor, lines: Iterable[str]) -> list[str]:
    """Check recorded cases (text with results, as in a corpus) without an oracle; returns failures as `check` does."""
    known = (Case.parse(line) for line in lines if line.strip() and not line.startswith("#"))
    return [f"{case} # {what}" for case in known if (what := verdict(executor, case))]


def verdict(executor: Executor, case: Case) -> str:
    """Empty when the executor's result is that of `case` (which must have one), else what it is instead."""
    try:
        out, fault = executor.run(case.state.copy(), case.code, case.mode)
    except Exception as error:  # any failure of the executor under test is a result to report
        return f"raised {type(error).__name__}: {error}".replace("\n", " ")
    return mismatch(case, out, fault)


def mismatch(case: Case, out: X86State, fault: Fault | None) -> str:
    """Empty when `out` and `fault` agree with the results of `case` in all that is defined, else what they have
    instead.
    """
    assert case.out is not None
    expected, ignore = case.out, undefined(case, case.out)
    parts = [f"fault={fault or '-'}"] if fault != case.fault else []
    if out.rip != expected.rip:
        parts.append(f"rip={out.rip:x}")
    for name, value in differences(expected, out).items():
        if not _forgiven(case, name, expected, value, ignore):
            parts.append(f"{name}={'-' if value is None else f'{value:x}'}")
    if not ignore.memory:
        parts += [f"[{at:x}]={data.hex()}" for at, data in memory_differences(expected, out).items()]
    return "got " + " ".join(parts) if parts else ""


def _forgiven(case: Case, name: str, expected: X86State, value: int | None, ignore: Undefined) -> bool:
    """True when a register may differ: undefined, not tracked, or approximate and close."""
    if value is None or name in _POINTERS:
        return name in _POINTERS
    difference = expected.get(name) ^ value
    if name == "rflags":
        return not difference & ~(ignore.flags | _STEPPING)
    if name in GPR_NAMES:
        return ignore.gpr
    mnemonic = disassemble(case.code, case.mode).partition(" ")[0]
    if mnemonic in APPROXIMATE_X87:
        return _near_x87(name, difference, expected, value, ignore)
    if mnemonic in APPROXIMATE_SSE and name in XMM_NAMES:
        return _near_sse(expected.get(name), value)
    if name == "fsw":
        return ignore.fpu or not difference & ~ignore.fsw
    return ignore.fpu and name in (*ST_NAMES, *XMM_NAMES, "fcw", "ftw", "mxcsr")


def _near_x87(name: str, difference: int, expected: X86State, value: int, ignore: Undefined) -> bool:
    """Within one unit in the last place of the true result each; the rounding direction is free, and so is whether a
    result counts as exact (hosts say "inexact" of the logarithm of 2)."""
    if name == "fsw":
        summary = 0 if expected.fcw & PE else 0x8080
        return not difference & ~(ignore.fsw | C1 | PE | summary)
    if name not in ST_NAMES:
        return False
    return abs(_ordinal(expected.get(name)) - _ordinal(value)) <= 2 and not difference >> 79


def _ordinal(value: int) -> int:
    """Number of the magnitude of an 80-bit number among all of them, in order (the highest bit of the significand is
    not counted)."""
    return (value >> 64 & 0x7FFF) << 63 | value & (1 << 63) - 1


def _near_sse(expected: int, value: int) -> bool:
    """Each element equal, or both finite and within twice the specified error of a single result."""
    lanes = (struct.unpack("<4I", v.to_bytes(16, "little")) for v in (expected, value))
    for a, b in zip(*lanes, strict=True):
        if a == b:
            continue
        x, y = (struct.unpack("<f", struct.pack("<I", bits))[0] for bits in (a, b))
        if not abs(x - y) <= abs(x) * 3 / 4096:
            return False
    return True


def minimise(executor: Executor, case: Case, oracle: Executor) -> Case:
    """A case that still fails, with every register and memory run at its default whose value does not matter."""
    best = case
    for simplify in _simplifications(case):
        state = best.state.copy()
        simplify(state)
        trial = Case(case.mode, case.code, state)
        trial.out, trial.fault = oracle.run(state, case.code, case.mode)
        if verdict(executor, trial):
            best = trial
    return best


def _simplifications(case: Case) -> Iterator[Callable[[X86State], None]]:
    """Changes that each take one input of the case away."""
    default = default_state(case.mode)
    for at, data in memory_differences(default, case.state).items():
        yield lambda state, at=at, data=data: state.write(at, bytes(len(data)))  # type: ignore[misc]
    for name in differences(default, case.state):
        if name in default.system or name not in case.state.system:
            value = default.get(name)
            yield lambda state, name=name, value=value: state.set(name, value)  # type: ignore[misc]
