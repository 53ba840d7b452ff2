"""Every integer instruction against the host processor, and REP string instructions against themselves one step at a
time."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from oracle import values
from oracle.compare import check
from oracle.encodings import Encoding
from oracle.generate import cases, encodings
from oracle.host import host, host_available
from oracle.state import AC, DF, Case, Fault, X86State, default_state, layout
from x86_executor import EngineExecutor

NAMES = """
mov movabs movzx movsx movsxd lea xchg bswap add or adc sbb and sub xor cmp test inc dec neg not xadd cmpxchg cmpxchg8b
cmpxchg16b push pop pushaw pushal popaw popal leave enter cbw cwde cdqe cwd cdq cqo xlatb movnti shl sal shr sar rol ror
rcl rcr shld shrd mul imul div idiv bt bts btr btc bsf bsr popcnt crc32 jmp call ret loop loope loopne jcxz jecxz jrcxz
bound nop pause lfence mfence sfence prefetchnta prefetcht0 prefetcht1 prefetcht2 prefetchw prefetch clflush clc stc cmc
cld std lahf sahf arpl daa das aaa aas aam aad endbr32 endbr64
"""
INTEGER = frozenset(NAMES.split())
FAMILIES = re.compile(r"(cmov|set|j)[a-z]+$")
STRINGS = re.compile(r"(movs|stos|lods|scas|cmps)[bwdq]$")
TWO_LOADS = re.compile(r"(cmps[bwdq])$")
PF, PRESENT = 14, 1

pytestmark = pytest.mark.skipif(host_available() is not None, reason=host_available() or "")


def is_integer(encoding: Encoding) -> bool:
    """Whether the instruction belongs to this front end's integer lifters."""
    name = encoding.mnemonic.split()[-1]
    return name in INTEGER or bool(FAMILIES.match(name)) or (bool(STRINGS.match(name)) and encoding.opcode[0] != 0x0F)


def loads_twice(encoding: Encoding) -> bool:
    """CMPS, of whose two loads either may be the one that faults."""
    return bool(TWO_LOADS.match(encoding.mnemonic.split()[-1])) and encoding.opcode[0] != 0x0F


class Alike:
    """Takes out of an executor's exceptions what this machine cannot know: what is mapped above the canonical hole is
    the host kernel's business."""

    def __init__(self, executor: object):
        self.executor = executor

    def run(self, state: X86State, code: bytes, mode: int) -> tuple[X86State, Fault | None]:
        out, fault = self.executor.run(state, code, mode)  # type: ignore[attr-defined]
        if fault and fault.vector == PF and fault.error is not None and (fault.address or 0) >> 47:
            fault = Fault(PF, fault.error & ~PRESENT, fault.address)
        return out, fault


@pytest.fixture(scope="module")
def interpreter() -> EngineExecutor:
    return EngineExecutor()


@pytest.fixture(scope="module")
def compiled() -> EngineExecutor:
    return EngineExecutor("jit")


@pytest.mark.parametrize("mode", [64, 32])
def test_every_form_in_the_interpreter(interpreter: EngineExecutor, mode: int) -> None:
    select = [e for e in encodings(mode) if is_integer(e) and not loads_twice(e)]
    assert len(select) > 1000
    failures = check(Alike(interpreter), cases(mode, 1, 3, lambda e: e in select), Alike(host()))
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("mode", [64, 32])
def test_misaligned_accesses_fault_while_alignment_is_checked(interpreter: EngineExecutor, mode: int) -> None:
    """One form in five with EFLAGS.AC set. (An indirect CALL whose target and stack are both bad: the machine finds the
    target's fault first.)"""
    select = [e for e in encodings(mode) if is_integer(e) and not loads_twice(e) and e.mnemonic != "call"][::5]
    found = list(cases(mode, 3, 3, lambda e: e in select))
    for case in found:
        case.state.rflags |= AC
    failures = check(Alike(interpreter), found, Alike(host()))
    assert not failures, "\n".join(failures)
    assert sum(case.fault is not None and case.fault.vector == 17 for case in found) > 50


#: Instructions that access memory by RAX, RSI or RDI; the same by RSP or RBP; and where they point.
BY_RAX = ("8b00", "0100", "0fb110", "8700", "0f1000", "0f1100", "0fc708", "a5", "ab", "f3ab", "f3a5", "36 8b00",
          "3e 8b00", "26 8b00")  # fmt: skip
BY_STACK = ("50", "58", "6a01", "e800000000", "c3", "c9", "ff30", "8f00", "c8100002", "8b4500", "8b0424", "014500",
            "3e 8b4500", "0f104500", "9c", "9d")  # fmt: skip
NOT_CANONICAL = (0x1234_0000_0000_1000, 0xFFFF_7FFF_FFFF_FFF0, 0xFFFF_FFFF_FFFF_FFFC)
PAST_THE_END = (0xFFFF_FFFC, 0xFFFF_FFFD, 0xFFFF_FFFF)


@pytest.mark.parametrize("mode", [64, 32])
def test_addresses_that_cannot_be(interpreter: EngineExecutor, mode: int) -> None:
    """#GP(0), and #SS(0) for the stack segment: not canonical, or across 4 GiB."""
    found = []
    for address in NOT_CANONICAL if mode == 64 else PAST_THE_END:
        for codes, registers in ((BY_RAX, (0, 6, 7)), (BY_STACK, (4, 5))):
            for code in codes:
                state = default_state(mode)
                state.gpr[1] = 3
                for register in registers:
                    state.gpr[register] = address
                found.append(Case(mode, bytes.fromhex(code), state))
    failures = check(Alike(interpreter), found, Alike(host()), shrink=False)
    assert not failures, "\n".join(failures)
    assert {12, 13} <= {case.fault.vector for case in found if case.fault}


@pytest.mark.parametrize("mode", [64, 32])
def test_a_sample_of_forms_compiled(compiled: EngineExecutor, mode: int) -> None:
    """One form in four, a different quarter in each mode."""
    select = [e for e in encodings(mode) if is_integer(e) and not loads_twice(e)][mode // 32 :: 4]
    failures = check(Alike(compiled), cases(mode, 2, 1, lambda e: e in select), Alike(host()), shrink=False)
    assert not failures, "\n".join(failures)


# -- REP -------------------------------------------------------------------------------------------------------------


def string_case(rng: Random) -> tuple[X86State, bytes]:
    """A REP string instruction whose operands overlap, cross pages, or run off the mapped ones."""
    state = default_state(64)
    first = layout(64).data[0]
    for page in layout(64).data:
        state.write(page, bytes(rng.choice((0, 0, 0, 1, 2)) for _ in range(4096)))
    spread = rng.choice((1, 3, 8, 9, 64, 1000))
    source = first + rng.choice((100, 4096 - 40, 8192 - 60)) + rng.randrange(16)
    state.gpr[6], state.gpr[7] = source, source + rng.randint(-spread, spread)
    state.gpr[1], state.gpr[0] = rng.choice((0, 1, 2, 17, 60, 200)), values.integer(rng) if rng.random() < 0.5 else 0
    state.rflags |= rng.choice((0, 0, DF))
    opcode = rng.choice((0xA4, 0xA6, 0xAA, 0xAC, 0xAE)) + rng.choice((0, 1))
    size = rng.choice((b"", b"\x66", b"\x48")) if opcode & 1 else b""
    prefix = bytes([rng.choice((0xF2, 0xF3))])
    return state, prefix + size + bytes([opcode]) if size == b"\x48" else size + prefix + bytes([opcode])


def in_one_go(executor: EngineExecutor, state: X86State, code: bytes, steps: int) -> X86State:
    """The state after ``steps`` instructions run without a stop."""
    executor._put_code(state.rip, code)
    executor._put(state, 64)
    executor.engine.set_icount(1000)
    executor.engine.run(1000 + steps)
    return executor._get(state, 64)[0]


def test_rep_in_one_go_is_rep_step_by_step(interpreter: EngineExecutor) -> None:
    """However many iterations one execution does, the result is that of single ones, a fault's state included."""
    rng = Random(7)
    long = 0
    for _ in range(400):
        state, code = string_case(rng)
        now, steps = state, 0
        while now.rip == state.rip and steps < 150:
            after, fault = interpreter.run(now, code, 64)
            if fault:
                break
            now, steps = after, steps + 1
        if not steps:
            continue
        got = in_one_go(interpreter, state, code, steps)
        long += steps > 20
        for name in ("gpr", "rip", "rflags"):
            assert getattr(got, name) == getattr(now, name), (code.hex(), steps, name)
        for page in layout(64).data:
            assert got.read(page, 4096) == now.read(page, 4096), (code.hex(), steps, hex(page))
    assert long > 50


def test_a_budget_cuts_rep_anywhere(interpreter: EngineExecutor) -> None:
    """Two runs that share the iterations out differently meet in the same state."""
    rng = Random(8)
    for _ in range(60):
        state, _ = string_case(rng)
        state.rflags &= ~DF
        first = layout(64).data[0]
        state.gpr[6], state.gpr[7], state.gpr[1] = first + rng.randrange(99), first + 2000, 150
        code = rng.choice((b"\xf3\xa4", b"\xf3\xaa", b"\xf3\xac"))
        total, cut = 100, rng.randrange(1, 100)
        whole = in_one_go(interpreter, state, code, total)
        halves = in_one_go(interpreter, in_one_go(interpreter, state, code, cut), code, total - cut)
        assert whole.gpr[1] == 50
        assert (whole.gpr, whole.rip) == (halves.gpr, halves.rip)
        assert whole.read(first, 4096) == halves.read(first, 4096)
