"""Random cases for the rows of the ARM table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from random import Random

from oracle import values
from oracle.arm_compare import at_fault
from oracle.arm_state import (
    DATA,
    PLACES,
    SYS,
    USR,
    A,
    ArmCase,
    ArmFault,
    ArmState,
    C,
    E,
    F,
    I,
    N,
    Q,
    T,
    V,
    Z,
    differences,
)

import frontends.arm.table  # noqa: F401  (declares the rows)
from frontends.arm.decode import code_of, word_of
from frontends.arm.patterns import A32, PATTERNS, T32, Pattern, find

#: What this front end's integer part declares.
GROUPS = ("data", "media", "load", "block", "flow")
MEMORY = ("load", "block")
#: UNPREDICTABLE in an IT block, or there only with a case that is its last.
NOT_IN_IT = {"it", "b_cond", "b_cond_wide", "cbz", "setend", "cps", "bkpt", "isb"}
#: Unicorn stops at them.
NOT_COMPARED = {"yield"}
#: Always aligned.
ALIGNED = re.compile("ldrd|strd|ldm|stm|push|pop|ldrex|strex")
LAST_IN_IT = {"b", "b_wide", "bl", "blx_imm", "bx", "bxj", "blx_reg", "tbb", "pop", "ldm", "ldmdb", "add_high",
              "mov_high"}  # fmt: skip


def patterns(isa: str, groups: Iterable[str] = GROUPS) -> list[Pattern]:
    """The rows of an instruction set, in the order of declaration."""
    wanted = set(groups)
    return [p for p in PATTERNS if p.isa == isa and p.group in wanted and p.name not in NOT_COMPARED]


def address(rng: Random, aligned: bool = False) -> int:
    """Mostly within the data pages, at times near the end of one, outside, or read-only."""
    kind, first = rng.random(), PLACES.data[0]
    if kind < 0.7:
        at = first + rng.randrange(0x100, 0x1F00)
    elif kind < 0.85:
        at = first + rng.choice((0, 0x1000, 0x2000)) + rng.randrange(-20, 20)
    elif kind < 0.95:
        at = PLACES.stack + rng.randrange(0x1000)
    else:
        at = rng.choice((PLACES.read_only or 0, 0, 0xFFFFFFF0)) + rng.randrange(0x20)
    return at & (-4 if aligned or rng.random() < 0.6 else -1) & 0xFFFFFFFF


def random_state(rng: Random, thumb: bool, memory: bool = False) -> ArmState:
    """Registers and flags at random; with ``memory``, also pages and endianness."""
    state = ArmState()
    state.r[:] = [values.integer(rng) & 0xFFFFFFFF for _ in range(16)]
    state.r[13] = PLACES.stack + rng.randrange(0x400, 0xC00) * 4 // 4 & ~3
    state.r[15] = PLACES.code + (rng.randrange(0x200, 0x700) << 1 if thumb else rng.randrange(0x100, 0x380) << 2)
    flags = sum(bit for bit in (N, Z, C, V, Q) if rng.random() < 0.5) | rng.getrandbits(4) << 16
    state.cpsr = flags | A | I | F | rng.choice((USR, SYS)) | (T if thumb else 0)
    if memory:
        for page in (*PLACES.data, PLACES.stack):
            state.write(page, values.memory(rng, 4096))
        if rng.random() < 0.15:
            state.cpsr |= E
    return state


def aim(rng: Random, pattern: Pattern, word: int, state: ArmState) -> None:
    """Make the address registers of a load or store, and the target of a branch, what they are likely to be."""
    fields = pattern.extract(word)
    if pattern.group in MEMORY or pattern.name.startswith("tb"):
        base = fields.get("n", 13)
        if base != 15:
            state.r[base] = address(rng, base == 13 or ALIGNED.match(pattern.name) is not None)
            if pattern.name.startswith(("ldrd", "strd")) and "i" in fields:  # the offset is anything
                state.r[base] -= fields["i"] & 3 if fields["U"] else -(fields["i"] & 3)
        if "m" in fields and fields["m"] not in (15, base):
            offset = rng.randrange(0x100) if rng.random() < 0.8 else -rng.randrange(0x40)
            state.r[fields["m"]] = offset & 0xFFFFFFFF
    elif pattern.group == "flow" and "m" in fields and fields["m"] != 15:
        # Whole words, or with bit 0 set: what else there is, is UNPREDICTABLE.
        target = state.r[fields["m"]]
        state.r[fields["m"]] = target | 1 if rng.random() < 0.5 else target & ~3


def in_it_block(rng: Random, pattern: Pattern, word: int, state: ArmState, code: bytes) -> tuple[bytes, int]:
    """The instruction behind an IT, or with ITSTATE as if it were; code and number of steps."""
    fields = pattern.extract(word)
    last = pattern.name in LAST_IN_IT or 15 in (fields.get("t"), fields.get("d"))
    condition = rng.randrange(15)
    mask = 8 if last or condition == 14 else rng.randrange(1, 16)
    if rng.random() < 0.3:
        itstate = condition << 4 | mask
        state.cpsr |= (itstate & 3) << 25 | (itstate & 0xFC) << 8
        return code, 1
    return bytes([condition << 4 | mask, 0xBF]) + code, 2


def case(rng: Random, pattern: Pattern) -> ArmCase:
    """One case of a row."""
    thumb = pattern.isa == T32
    word = pattern.random(rng)
    state = random_state(rng, thumb, pattern.group in MEMORY or pattern.name == "tbb")
    aim(rng, pattern, word, state)
    code, steps = code_of(word, pattern.bits, thumb), 1
    fields = pattern.extract(word)
    # MOVS as LSL by 0 is UNPREDICTABLE there; where BX PC goes, Unicorn does not stop at once.
    allowed = pattern.name not in NOT_IN_IT and (pattern.name, fields.get("i")) != ("lsl_imm", 0)
    allowed = allowed and (pattern.name, fields.get("m")) != ("bx", 15)
    if thumb and allowed and rng.random() < 0.3:
        code, steps = in_it_block(rng, pattern, word, state, code)
    return ArmCase(code, state, steps)


def cases(isa: str, seed: int, each: int, select: Iterable[Pattern]) -> Iterator[ArmCase]:
    """``each`` cases of every row."""
    rng = Random(f"{isa}{seed}")
    for pattern in select:
        for _ in range(each):
            yield case(rng, pattern)


def forgiven(case: ArmCase, out: ArmState, fault: ArmFault | None) -> bool:
    """Where the oracle is at fault: it does not check the alignment of lists and pairs, says nothing about that of
    exclusives, and writes the bytes of a store before the page that it may not write."""
    if fault is None or fault.vector != DATA or fault.address is None:
        return False
    if fault == case.fault:
        return fault.write and not differences(at_fault(case), out)
    code = case.code[2:] if case.steps == 2 else case.code
    found = find(T32 if case.state.thumb else A32, word_of(code, case.state.thumb), 8 * len(code))
    return found is not None and ALIGNED.match(found.name) is not None and fault.address & 7 != 0
