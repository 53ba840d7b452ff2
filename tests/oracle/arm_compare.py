"""Hold an executor of ARM cases against an oracle and say, in one line per case, where they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from .arm_state import DATA, NAMES, UNDEF, ArmCase, ArmFault, ArmState, default_state, differences
from .memory import PAGE, memory_differences

#: What is left out of a comparison: a function of the case (with its expected result) and ours.
Forgiven = Callable[[ArmCase, ArmState, ArmFault | None], bool]


class ArmExecutor(Protocol):
    """Anything that runs ARM cases."""

    def run(self, state: ArmState, code: bytes, steps: int = 1) -> tuple[ArmState, ArmFault | None]:
        """``steps`` instructions; must not change ``state``. The state after them and the exception of the last."""


def check(
    executor: ArmExecutor,
    cases: Iterable[ArmCase],
    oracle: ArmExecutor,
    forgiven: Forgiven | None = None,
    limit: int = 20,
    shrink: bool = True,
) -> list[str]:
    """Run all cases (only their inputs count) through both; the failing ones as text, at most ``limit``.

    A line is the case with the oracle's result and ``# got`` with what is different. ``forgiven`` says which
    differences are the oracle's fault."""
    failures: list[str] = []
    for case in cases:
        case.out, case.fault = oracle.run(case.state, case.code, case.steps)
        what = verdict(executor, case, forgiven)
        if what:
            small = minimise(executor, case, oracle, forgiven) if shrink else case
            failures.append(f"{small} # {verdict(executor, small, forgiven)}")
            if len(failures) == limit:
                break
    return failures


def replay(executor: ArmExecutor, lines: Iterable[str]) -> list[str]:
    """Check recorded cases (text with results) without an oracle; failures as :func:`check` gives them."""
    known = (ArmCase.parse(line) for line in lines if line.strip() and not line.startswith("#"))
    return [f"{case} # {what}" for case in known if (what := verdict(executor, case, None))]


def verdict(executor: ArmExecutor, case: ArmCase, forgiven: Forgiven | None) -> str:
    """Empty when the executor's result is that of ``case``, else what it is instead."""
    try:
        out, fault = executor.run(case.state.copy(), case.code, case.steps)
    except Exception as error:  # any failure of the executor under test is a result to report
        return f"raised {type(error).__name__}: {error}".replace("\n", " ")[:500]
    what = mismatch(case, out, fault)
    return "" if what and forgiven is not None and forgiven(case, out, fault) else what


def mismatch(case: ArmCase, out: ArmState, fault: ArmFault | None) -> str:
    """Where ``out`` and ``fault`` are not the results of ``case``. After an exception the registers must be those from
    before (the oracle may have loaded some of a list)."""
    assert case.out is not None
    expected = case.out
    if case.fault is not None and fault == case.fault:
        expected = at_fault(case)
    parts = [f"fault={fault or '-'}"] if fault != case.fault else []
    parts += [f"{name}={value:x}" for name, value in differences(expected, out).items()]
    parts += [f"[{at:x}]={data.hex()}" for at, data in memory_differences(expected, out).items()]
    return "got " + " ".join(parts) if parts else ""


def at_fault(case: ArmCase) -> ArmState:
    """What an exception that the last instruction raises finds: registers, flags and pc as if it had not been there (it
    is behind an IT at most); only memory may have been written. A call is no such exception."""
    assert case.out is not None and case.fault is not None
    state = case.state.copy()
    state.memory = case.out.memory
    if case.steps == 2:
        itstate = case.code[0]
        state.cpsr |= (itstate & 3) << 25 | (itstate & 0xFC) << 8
        state.r[15] += 2
    if case.fault.vector not in (UNDEF, DATA):
        state.r[15], state.cpsr = case.out.r[15], case.out.cpsr
    return state


def minimise(executor: ArmExecutor, case: ArmCase, oracle: ArmExecutor, forgiven: Forgiven | None) -> ArmCase:
    """A case that still fails, with every register and page at its default whose value does not matter."""
    best = case
    for simplify in _simplifications(case):
        state = best.state.copy()
        simplify(state)
        trial = ArmCase(case.code, state, case.steps)
        trial.out, trial.fault = oracle.run(state, case.code, case.steps)
        if verdict(executor, trial, forgiven):
            best = trial
    return best


def _simplifications(case: ArmCase) -> Iterator[Callable[[ArmState], None]]:
    plain = default_state()

    def default(name: str) -> Callable[[ArmState], None]:
        return lambda state: state.set(name, plain.get(name))

    def blank(page: int) -> Callable[[ArmState], None]:
        return lambda state: state.write(page, bytes(PAGE))

    for name in NAMES:
        if name not in ("r15", "cpsr") and case.state.get(name) != plain.get(name):
            yield default(name)
    for page in sorted(case.state.memory):
        yield blank(page)
