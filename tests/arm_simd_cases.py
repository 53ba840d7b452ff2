"""Random cases for the VFP and Advanced SIMD rows of the ARM table, and where the oracle is not to be believed."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from random import Random

from arm_cases import address, in_it_block, random_state
from oracle import values
from oracle.arm_state import DATA, SYS, A, ArmCase, ArmFault, ArmState, E, F, I, default_state

from frontends.arm.decode import code_of, word_of
from frontends.arm.patterns import A32, PATTERNS, T32, Pattern, find

#: What the front end declares VFP and Advanced SIMD by.
GROUP = "simd"
AHP, DN, FZ, IXC = 1 << 26, 1 << 25, 1 << 24, 16
#: FPSCR as a Cortex-A15 has it: no traps, no short vectors.
FPSCR_BITS = 0xFFC0009F
_VFP = frozenset(p.text[4:] for p in PATTERNS if p.isa == A32 and p.group == GROUP and p.conditional)


def is_vfp(pattern: Pattern) -> bool:
    """VFP (conditional in A32), not Advanced SIMD."""
    return pattern.text[4:] in _VFP


def simd_patterns(isa: str, vfp: bool) -> list[Pattern]:
    """The rows of an instruction set, of VFP or of Advanced SIMD."""
    return [p for p in PATTERNS if p.isa == isa and p.group == GROUP and is_vfp(p) == vfp]


def simd_word(name: str, vfp: bool, **fields: int) -> bytes:
    """An A32 instruction."""
    (pattern,) = [p for p in simd_patterns(A32, vfp) if p.name == name]
    return struct.pack("<I", pattern.encode(**fields))


def system_state(**fields: int) -> ArmState:
    """A processor in System mode, with these fields of its state."""
    state = default_state()
    state.cpsr = SYS | A | I | F
    for name, value in fields.items():
        state.set(name, value)
    return state


def _lanes(rng: Random, bits: int, one: Callable[[Random], int]) -> int:
    return sum(one(rng) << at for at in range(0, 128, bits))


_HALVES = (0, 1, 0x3FF, 0x400, 0x3C00, 0x7BFF, 0x7C00, 0x7C01, 0x7E00, 0x7FFF)
_BYTES = (0, 1, 2, 0x7F, 0x80, 0xFF)


def _half(rng: Random) -> int:
    return rng.choice((rng.getrandbits(16), rng.getrandbits(1) << 15 | rng.choice(_HALVES)))


def _small(rng: Random) -> int:
    """A word with a shift count in its low byte."""
    return (rng.randint(-70, 70) & 255) | rng.getrandbits(24) << 8


_KINDS: list[Callable[[Random], int]] = [
    lambda rng: _lanes(rng, 32, values.float32),
    lambda rng: _lanes(rng, 64, values.float64),
    lambda rng: _lanes(rng, 16, _half),
    lambda rng: _lanes(rng, 32, _small),
    lambda rng: _lanes(rng, 8, lambda r: r.choice((*_BYTES, r.randrange(16), r.getrandbits(8)))),
    lambda rng: _lanes(rng, 32, lambda r: values.integer(r) & 0xFFFFFFFF),
    values.vector,
]


def registers(rng: Random, state: ArmState) -> None:
    """Vectors mostly of one kind, now and then equal to another; FPSCR."""
    kind = rng.choice(_KINDS)
    for n in range(16):
        state.q[n] = (kind if rng.random() < 0.9 else rng.choice(_KINDS))(rng)
        if n and rng.random() < 0.15:
            state.q[n] = state.q[rng.randrange(n)]
    modes = rng.choice((AHP, DN, FZ, DN | FZ)), rng.randrange(4) << 22
    state.fpscr = rng.choice((0, IXC, rng.getrandbits(32) & FPSCR_BITS, *modes)) | rng.choice((0, IXC))


def _aim(rng: Random, fields: dict[str, int], state: ArmState, words: bool) -> None:
    """An address mostly in the data pages, often aligned; what is added to it."""
    if fields["n"] != 15:
        state.r[fields["n"]] = address(rng) & (-4 if words else -1)
        if rng.random() < 0.5:
            state.r[fields["n"]] &= -32
    if fields.get("m", 15) not in (13, 15, fields["n"]):
        state.r[fields["m"]] = rng.randrange(0x100)


def simd_case(rng: Random, pattern: Pattern, word: int = 0) -> ArmCase:
    """One case of a row, or of an instruction of it. FPSCR is written without the bits that this processor does not
    have."""
    thumb = pattern.isa == T32
    word = word or pattern.random(rng)
    fields = pattern.extract(word)
    memory = pattern.name.startswith(("vld", "vst"))
    state = random_state(rng, thumb, memory)
    registers(rng, state)
    if memory:
        _aim(rng, fields, state, is_vfp(pattern))
    else:
        state.cpsr &= ~E
    if pattern.name == "vmsr":
        state.r[fields["t"]] &= FPSCR_BITS
    code, steps = code_of(word, pattern.bits, thumb), 1
    if thumb and is_vfp(pattern) and rng.random() < 0.2:
        code, steps = in_it_block(rng, pattern, word, state, code)
    return ArmCase(code, state, steps)


def simd_cases(seed: str, each: int, select: Iterable[Pattern]) -> Iterator[ArmCase]:
    """``each`` cases of every row, every other one with an instruction that differs from the one before in its low bits
    only, so that constants which are taken out of the key of a template must be constants."""
    rng = Random(seed)
    for pattern in select:
        for _ in range(each // 2):
            word = pattern.random(rng)
            yield simd_case(rng, pattern, word)
            twin = word ^ (rng.getrandbits(12) & ~pattern.mask)
            same = find(pattern.isa, twin) is pattern and not pattern.unpredictable(twin)
            yield simd_case(rng, pattern, twin if same else word)


# -- where the oracle is wrong ---------------------------------------------------------------------------------------


def forgiven(case: ArmCase, out: ArmState, fault: ArmFault | None) -> bool:
    """Whether a difference is the oracle's fault. What is forgiven has tests of its own. Unicorn 2.1 (QEMU 5):

    * rounds conversions of VFP from fixed point as FPSCR says, not to nearest (A8.8.309);
    * checks neither the alignment that element and structure loads and stores ask for (A8.8.320 and others) nor that of
      VLDR, VLDM and their stores, which is words always (A3.2.1);
    * has loaded some registers when an access of a list aborts (they are UNKNOWN here; ours are as before);
    * leaves ITSTATE as it was when the last instruction of an IT block is VMRS of MVFR0 or MVFR1;
    * has another of the two UNKNOWN results of VTRN, VZIP, VUZP of a register with itself."""
    assert case.out is not None
    code = case.code[2:] if case.steps == 2 else case.code
    word = word_of(code, case.state.thumb)
    pattern = find(T32 if case.state.thumb else A32, word, 32)
    assert pattern is not None
    fields = pattern.extract(word)
    if pattern.name == "vcvt_fixed":
        return not fields["o"] and case.state.fpscr >> 22 & 3 != 0
    if pattern.name == "vmrs":
        return case.steps == 2 and (out.r, fault) == (case.out.r, case.fault) and fields["r"] in (6, 7)
    if pattern.name in ("vtrn", "vzip", "vuzp"):
        return (fields["D"], fields["d"]) == (fields["M"], fields["m"])
    if not pattern.name.startswith(("vld", "vst")) or fault is None or fault.vector != DATA or fault.address is None:
        return False
    if fault == case.fault:
        return out.q == case.state.q and out.r[:15] == case.state.r[:15]
    return bool(fault.address & 31)
