"""Rows of integer instructions that are not plain arithmetic: BSWAP, CMPXCHG and its pairs, alignment, bounds,
CRC32."""

from __future__ import annotations

from typing import Any

from frontends.x86.flags import INTS, arithmetic, flag, set_bits, set_lazy
from frontends.x86.state import ARITH, CC_SUB, ZF
from jitrr.microops.table import row, rows

GP, BR = 13, 5
RAX, RCX, RDX, RBX = 0, 1, 2, 3

#: Does nothing; every instruction has a cell.
row("x86_nop", "", lambda e: None)
rows("x86_bswap{w}", (32, 64), "d{w} <- a{w}", lambda e, w, a: e.intrinsic("bswap", w, a))


def low(e: Any, index: int, w: int) -> str:
    """The low ``w`` bits of a general register."""
    return e.trunc(64, e.get("gpr", index=index), w)


def put(e: Any, index: int, w: int, value: str) -> None:
    """Write ``w`` bits of a general register: 32 zero-extend, 8 and 16 leave the rest alone."""
    wide = e.zext(w, value)
    if w < 32:
        wide = e.bin("or", 64, e.bin("and", 64, e.get("gpr", index=index), -(1 << w)), wide)
    e.set("gpr", wide, index=index)


def _exchange(e: Any, w: int, old: str, equal: str, accumulator: str) -> None:
    """Flags and accumulator of CMPXCHG: an equal one is not written at all."""
    set_lazy(e, CC_SUB, w, accumulator, old, e.bin("sub", w, accumulator, old))
    rax, wide = e.get("gpr", index=RAX), e.zext(w, old)
    if w < 32:
        wide = e.bin("or", 64, e.bin("and", 64, rax, -(1 << w)), wide)
    e.set("gpr", e.select(equal, 64, rax, wide), index=RAX)


def _cmpxchg_store(e: Any, w: int, at: str, old: str, new: str, offset: str) -> None:
    accumulator = low(e, RAX, w)
    equal = e.icmp("eq", w, accumulator, old)
    e.store(w, e.bin("add", 64, at, offset), e.select(equal, w, new, old))
    _exchange(e, w, old, equal, accumulator)


rows("x86_cmpxchgst{w}", INTS, "a64 b{w} c{w} i64", _cmpxchg_store)


def _cmpxchg(e: Any, w: int, whole: str, new: str) -> str:
    """Register form; gives all 64 bits of the destination, which a failed comparison leaves alone."""
    accumulator, old = low(e, RAX, w), e.trunc(64, whole, w)
    equal = e.icmp("eq", w, accumulator, old)
    _exchange(e, w, old, equal, accumulator)
    wide = e.zext(w, new)
    if w < 32:
        wide = e.bin("or", 64, e.bin("and", 64, whole, -(1 << w)), wide)
    return e.select(equal, 64, wide, whole)


rows("x86_cmpxchg{w}", (16, 32, 64), "d64 <- a64 b{w}", _cmpxchg)


def _cmpxchg8(e: Any, d: str, new: str) -> str:
    """Byte form: the destination may be the high byte of a register, AH among them."""
    accumulator = low(e, RAX, 8)
    equal = e.icmp("eq", 8, accumulator, d)
    _exchange(e, 8, d, equal, accumulator)
    return e.select(equal, 8, new, d)


row("x86_cmpxchg8", "d8 <- a8 b8", _cmpxchg8)


def _pair(e: Any, high: int, below: int, w: int) -> str:
    """Two registers side by side, as a value of 2 * ``w`` bits (128: a vector)."""
    if w == 32:
        return e.bin("or", 64, e.bin("shl", 64, e.get("gpr", index=high), 32), e.zext(32, low(e, below, 32)))
    first = e.let(f"insertelement <2 x i64> zeroinitializer, i64 {e.get('gpr', index=below)}, i64 0")
    return e.let(f"insertelement <2 x i64> {first}, i64 {e.get('gpr', index=high)}, i64 1")


def _halves(e: Any, w: int, value: str) -> tuple[str, str]:
    if w == 32:
        return e.bin("and", 64, value, 0xFFFFFFFF), e.bin("lshr", 64, value, 32)
    return tuple(e.let(f"extractelement <2 x i64> {value}, i64 {n}") for n in (0, 1))  # type: ignore[return-value]


def _cmpxchg_pair(e: Any, bits: int, at: str, old: str, offset: str) -> None:
    """CMPXCHG8B and 16B: only ZF changes."""
    w = bits // 2
    below, above = _halves(e, w, old)
    wanted = _pair(e, RDX, RAX, w)
    want_below, want_above = _halves(e, w, wanted)
    equal = e.bin("and", 1, e.icmp("eq", 64, below, want_below), e.icmp("eq", 64, above, want_above))
    e.store(bits, e.bin("add", 64, at, offset), e.select(equal, bits, _pair(e, RCX, RBX, w), old))
    set_bits(e, e.bin("or", 64, e.bin("and", 64, arithmetic(e), ARITH & ~ZF), flag(e, equal, ZF)))
    e.set("gpr", e.select(equal, 64, e.get("gpr", index=RAX), below), index=RAX)
    e.set("gpr", e.select(equal, 64, e.get("gpr", index=RDX), above), index=RDX)


rows("x86_cmpxchgpair{w}", (64, 128), "a64 b{w} i64", _cmpxchg_pair)


def _aligned(e: Any, at: str, offset: str) -> None:
    misplaced = e.bin("and", 64, e.bin("add", 64, at, offset), 15)
    e.raise_if(e.icmp("ne", 64, misplaced, 0), GP, 0)


#: #GP(0) unless a + imm is a multiple of 16.
row("x86_aligned16", "a64 i64", _aligned)


def _bound(e: Any, w: int, index: str, lower: str, upper: str) -> None:
    outside = e.bin("or", 1, e.icmp("slt", w, index, lower), e.icmp("sgt", w, index, upper))
    e.raise_if(outside, BR)


#: #BR unless lower <= index <= upper.
rows("x86_bound{w}", (16, 32), "a{w} b{w} c{w}", _bound, cold=True)
