"""Rows of multiplies, divides, saturation and the instructions on parts of registers (DDI 0406C, A4.4.3-8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from frontends.arm.state import QBIT
from jitrr.microops.table import row

MIN32, MAX32 = -(1 << 31), (1 << 31) - 1


def half(e: Any, value: str, high: bool, signed: bool = True, to: int = 64) -> str:
    """A halfword of an i32, extended."""
    narrow = e.trunc(32, e.bin("lshr", 32, value, 16) if high else value, 16)
    return str(e.sext(16, narrow, to) if signed else e.zext(16, narrow, to))


def sticky(e: Any, condition: str) -> None:
    """Q := 1 where the condition (i1) holds."""
    e.set("qf", e.bin("or", 64, e.get("qf"), e.select(condition, 64, QBIT, 0)))


def clamp(e: Any, value: str, low: int | str, high: int | str, w: int = 64) -> str:
    """A signed number within bounds."""
    return str(e.intrinsic("smin", w, e.intrinsic("smax", w, value, str(low)), str(high)))


def saturate(e: Any, value: str, low: int | str, high: int | str) -> str:
    """An i64 within bounds as an i32; Q if it was not."""
    kept = clamp(e, value, low, high)
    sticky(e, e.icmp("ne", 64, kept, value))
    return str(e.trunc(64, kept, 32))


def overflowing(e: Any, value: str) -> str:
    """The low 32 bits of an i64; Q if it is no 32-bit signed number."""
    low = e.trunc(64, value, 32)
    sticky(e, e.icmp("ne", 64, e.sext(32, low), value))
    return str(low)


def _mul64(e: Any, a: str, b: str, signed: bool) -> str:
    extend = e.sext if signed else e.zext
    return str(e.bin("mul", 64, extend(32, a), extend(32, b)))


# -- multiplies -------------------------------------------------------------------------------------------------------
row("arm_mla", "d32 <- a32 b32 c32", lambda e, a, b, c: e.bin("add", 32, e.bin("mul", 32, a, b), c))
row("arm_mls", "d32 <- a32 b32 c32", lambda e, a, b, c: e.bin("sub", 32, c, e.bin("mul", 32, a, b)))
for _name, _signed in (("u", False), ("s", True)):
    row(f"arm_{_name}mull", "d64 <- a32 b32", lambda e, a, b, s=_signed: _mul64(e, a, b, s))
    row(f"arm_{_name}mlal", "d64 <- a32 b32 c64",
        lambda e, a, b, c, s=_signed: e.bin("add", 64, _mul64(e, a, b, s), c))  # fmt: skip
#: Two registers as one number (a is the lower half), and its halves.
row("arm_pair", "d64 <- a32 b32", lambda e, a, b: e.bin("or", 64, e.zext(32, a), e.bin("shl", 64, e.zext(32, b), 32)))
row("arm_low", "d32 <- a64", lambda e, a: e.trunc(64, a, 32))
row("arm_high", "d32 <- a64", lambda e, a: e.trunc(64, e.bin("lshr", 64, a, 32), 32))
row("arm_add_word64", "d64 <- a64 b32", lambda e, a, b: e.bin("add", 64, a, e.zext(32, b)))

for _x in (False, True):
    for _y in (False, True):
        _xy = ("b", "t")[_x] + ("b", "t")[_y]
        row(f"arm_smul{_xy}", "d32 <- a32 b32",
            lambda e, a, b, x=_x, y=_y: e.bin("mul", 32, half(e, a, x, to=32), half(e, b, y, to=32)))  # fmt: skip
    _t = ("b", "t")[_x]
    row(f"arm_smulw{_t}", "d32 <- a32 b32", lambda e, a, b, x=_x: e.trunc(
        64, e.bin("ashr", 64, e.bin("mul", 64, e.sext(32, a), half(e, b, x)), 16), 32))  # fmt: skip
#: a + b, Q on overflow.
row("arm_addq", "d32 <- a32 b32", lambda e, a, b: overflowing(e, e.bin("add", 64, e.sext(32, a), e.sext(32, b))))
row("arm_sxt64", "d64 <- a32", lambda e, a: e.sext(32, a))


def _dual(e: Any, a: str, b: str, sub: bool) -> str:
    """The product of the lower halves plus or minus that of the upper ones, as an i64."""
    low = e.bin("mul", 64, half(e, a, False), half(e, b, False))
    return str(e.bin("sub" if sub else "add", 64, low, e.bin("mul", 64, half(e, a, True), half(e, b, True))))


for _name, _sub in (("ad", False), ("sd", True)):
    row(f"arm_smu{_name}", "d32 <- a32 b32", lambda e, a, b, s=_sub: overflowing(e, _dual(e, a, b, s)))
    row(f"arm_sml{_name}", "d32 <- a32 b32 c32",
        lambda e, a, b, c, s=_sub: overflowing(e, e.bin("add", 64, _dual(e, a, b, s), e.sext(32, c))))  # fmt: skip
    row(f"arm_dual{_name}", "d64 <- a32 b32", lambda e, a, b, s=_sub: _dual(e, a, b, s))


def _most(e: Any, a: str, b: str, c: str, sub: bool, rounded: bool) -> str:
    """The upper half of c : 0 plus or minus a * b."""
    total = e.bin("sub" if sub else "add", 64, e.bin("shl", 64, e.zext(32, c), 32), _mul64(e, a, b, True))
    total = e.bin("add", 64, total, 1 << 31) if rounded else total
    return str(e.trunc(64, e.bin("lshr", 64, total, 32), 32))


for _r in (False, True):
    _suffix = "r" if _r else ""
    row(f"arm_smmul{_suffix}", "d32 <- a32 b32", lambda e, a, b, r=_r: _most(e, a, b, "0", False, r))
    row(f"arm_smmla{_suffix}", "d32 <- a32 b32 c32", lambda e, a, b, c, r=_r: _most(e, a, b, c, False, r))
    row(f"arm_smmls{_suffix}", "d32 <- a32 b32 c32", lambda e, a, b, c, r=_r: _most(e, a, b, c, True, r))


def _divide(e: Any, a: str, b: str, signed: bool) -> str:
    """Division by 0 gives 0; the quotient is cut to 32 bits (A8.8.165)."""
    zero = e.icmp("eq", 32, b, 0)
    extend = e.sext if signed else e.zext
    quotient = e.bin("sdiv" if signed else "udiv", 64, extend(32, a), e.select(zero, 64, 1, extend(32, b)))
    return str(e.select(zero, 32, 0, e.trunc(64, quotient, 32)))


row("arm_sdiv", "d32 <- a32 b32", lambda e, a, b: _divide(e, a, b, True))
row("arm_udiv", "d32 <- a32 b32", lambda e, a, b: _divide(e, a, b, False))


# -- saturation -------------------------------------------------------------------------------------------------------
def _saturating(e: Any, a: str, b: str, op: str, double: bool) -> str:
    b = e.sext(32, b)
    if double:
        b = e.sext(32, saturate(e, e.bin("shl", 64, b, 1), MIN32, MAX32))
    return saturate(e, e.bin(op, 64, e.sext(32, a), b), MIN32, MAX32)


for _op in ("add", "sub"):
    row(f"arm_q{_op}", "d32 <- a32 b32", lambda e, a, b, op=_op: _saturating(e, a, b, op, False))
    row(f"arm_qd{_op}", "d32 <- a32 b32", lambda e, a, b, op=_op: _saturating(e, a, b, op, True))


def _bounds(e: Any, i: str, signed: bool, w: int) -> tuple[str, str]:
    """Limits of signed numbers of i bits, or of unsigned ones."""
    if not signed:
        return "0", e.bin("sub", w, e.bin("shl", w, 1, i), 1)
    top = e.bin("shl", w, 1, e.bin("sub", w, i, 1))
    return e.bin("sub", w, 0, top), e.bin("sub", w, top, 1)


def _sat(e: Any, a: str, i: str, signed: bool) -> str:
    return saturate(e, e.sext(32, a), *_bounds(e, i, signed, 64))


def _sat16(e: Any, a: str, i: str, signed: bool) -> str:
    low, high = _bounds(e, i, signed, 32)
    parts = [half(e, a, h, to=32) for h in (False, True)]
    kept = [clamp(e, p, low, high, 32) for p in parts]
    changed = [e.icmp("ne", 32, p, k) for p, k in zip(parts, kept, strict=True)]
    sticky(e, e.bin("or", 1, *changed))
    return join(e, 16, kept)


for _name, _signed in (("u", False), ("s", True)):
    row(f"arm_{_name}sat", "d32 <- a32 i64", lambda e, a, i, s=_signed: _sat(e, a, i, s))
    row(f"arm_{_name}sat16", "d32 <- a32 i32", lambda e, a, i, s=_signed: _sat16(e, a, i, s))


# -- parallel addition and subtraction --------------------------------------------------------------------------------
def join(e: Any, w: int, parts: list[str]) -> str:
    """An i32 of the low ``w`` bits of i32 values, lowest first."""
    total = e.bin("and", 32, parts[0], (1 << w) - 1)
    for n, part in enumerate(parts[1:], 1):
        total = e.bin("or", 32, total, e.bin("shl", 32, e.bin("and", 32, part, (1 << w) - 1), w * n))
    return str(total)


def _lane(e: Any, value: str, w: int, n: int, signed: bool) -> str:
    narrow = e.trunc(32, e.bin("lshr", 32, value, w * n), w)
    return str((e.sext if signed else e.zext)(w, narrow, 32))


#: Instruction: lane width, and for each lane of the result: lanes of a and b, and the operation.
PARALLEL: dict[str, tuple[int, tuple[tuple[int, int, str], ...]]] = {
    "add16": (16, ((0, 0, "add"), (1, 1, "add"))), "asx": (16, ((0, 1, "sub"), (1, 0, "add"))),
    "sax": (16, ((0, 1, "add"), (1, 0, "sub"))), "sub16": (16, ((0, 0, "sub"), (1, 1, "sub"))),
    "add8": (8, tuple((n, n, "add") for n in range(4))), "sub8": (8, tuple((n, n, "sub") for n in range(4))),
}  # fmt: skip


def _parallel(e: Any, a: str, b: str, prefix: str, name: str) -> str:
    w, lanes = PARALLEL[name]
    signed = prefix in ("s", "q", "sh")
    results, ge = [], "0"
    for n, (x, y, op) in enumerate(lanes):
        value = e.bin(op, 32, _lane(e, a, w, x, signed), _lane(e, b, w, y, signed))
        if prefix in ("s", "u"):
            carry = e.icmp("sge", 32, value, 1 << w if prefix == "u" and op == "add" else 0)
            bits = ((1 << w // 8) - 1) << 16 + n * w // 8
            ge = e.bin("or", 64, ge, e.select(carry, 64, bits, 0))
        elif prefix == "q":
            value = clamp(e, value, -(1 << w - 1), (1 << w - 1) - 1, 32)
        elif prefix == "uq":
            value = clamp(e, value, 0, (1 << w) - 1, 32)
        else:
            value = e.bin("ashr", 32, value, 1)
        results.append(value)
    if prefix in ("s", "u"):
        e.set("ge", ge)
    return join(e, w, results)


#: In encoding order, from 1.
PREFIXES = ("s", "q", "sh", "u", "uq", "uh")
for _prefix in PREFIXES:
    for _name in PARALLEL:
        row(f"arm_{_prefix}{_name}", "d32 <- a32 b32", lambda e, a, b, p=_prefix, n=_name: _parallel(e, a, b, p, n))


def _select(e: Any, a: str, b: str) -> str:
    """SEL: the bytes of a where GE is 1."""
    ge = e.trunc(64, e.bin("lshr", 64, e.get("ge"), 16), 32)
    mask = "0"
    for n in range(4):
        bit = e.icmp("ne", 32, e.bin("and", 32, ge, 1 << n), 0)
        mask = e.bin("or", 32, mask, e.select(bit, 32, 0xFF << 8 * n, 0))
    return str(e.bin("xor", 32, b, e.bin("and", 32, mask, e.bin("xor", 32, a, b))))


row("arm_sel", "d32 <- a32 b32", _select)


def _differences(e: Any, a: str, b: str) -> str:
    """The sum of the absolute differences of the bytes."""
    total = "0"
    for n in range(4):
        value = e.bin("sub", 32, _lane(e, a, 8, n, False), _lane(e, b, 8, n, False))
        total = e.bin("add", 32, total, e.intrinsic("abs", 32, value, "i1 false"))
    return total


row("arm_usad8", "d32 <- a32 b32", _differences)


# -- parts of registers -----------------------------------------------------------------------------------------------
def _insert(e: Any, a: str, b: str, i: str) -> str:
    """The lowest bits of b in a, as a mask in the immediate's upper half says; its lower half is the place."""
    mask, place = e.trunc(64, e.bin("lshr", 64, i, 32), 32), e.trunc(64, i, 32)
    return str(e.bin("or", 32, e.bin("and", 32, a, e.bin("xor", 32, mask, -1)),
                     e.bin("and", 32, e.bin("shl", 32, b, place), mask)))  # fmt: skip


row("arm_bfi", "d32 <- a32 b32 i64", _insert)
#: Bits from i & 31 on; i >> 8 is 32 minus how many.
for _name, _op in (("u", "lshr"), ("s", "ashr")):
    row(f"arm_{_name}bfx", "d32 <- a32 i32", lambda e, a, i, op=_op: e.bin(
        op, 32, e.bin("shl", 32, a, e.bin("sub", 32, e.bin("lshr", 32, i, 8), e.bin("and", 32, i, 31))),
        e.bin("lshr", 32, i, 8)))  # fmt: skip


def _extend(e: Any, a: str, i: str, w: int, signed: bool) -> str:
    """The low ``w`` bits, after a rotation to the right."""
    narrow = e.trunc(32, e.intrinsic("fshr", 32, a, a, i), w)
    return str((e.sext if signed else e.zext)(w, narrow, 32))


def _extend16(e: Any, a: str, i: str, signed: bool) -> str:
    turned = e.intrinsic("fshr", 32, a, a, i)
    return join(e, 16, [_lane(e, turned, 8, n, signed) for n in (0, 2)])


def _add16(e: Any, a: str, b: str) -> str:
    return join(e, 16, [e.bin("add", 32, _lane(e, a, 16, n, False), _lane(e, b, 16, n, False)) for n in (0, 1)])


for _name, _signed in (("u", False), ("s", True)):
    for _letter, _w in (("b", 8), ("h", 16)):
        row(f"arm_{_name}xt{_letter}", "d32 <- a32 i32",
            lambda e, a, i, w=_w, s=_signed: _extend(e, a, i, w, s))  # fmt: skip
    row(f"arm_{_name}xtb16", "d32 <- a32 i32", lambda e, a, i, s=_signed: _extend16(e, a, i, s))
#: Halfwords on their own.
row("arm_addhalves", "d32 <- a32 b32", _add16)
#: The lower half of a, the upper half of b.
row("arm_pkh", "d32 <- a32 b32",
    lambda e, a, b: e.bin("or", 32, e.bin("and", 32, a, 0xFFFF), e.bin("and", 32, b, -0x10000)))  # fmt: skip

_UNARY: dict[str, Callable[[Any, str], Any]] = {
    "rev": lambda e, a: e.intrinsic("bswap", 32, a),
    "rev16": lambda e, a: e.intrinsic("fshr", 32, *[e.intrinsic("bswap", 32, a)] * 2, "16"),
    "revsh": lambda e, a: e.sext(16, e.intrinsic("bswap", 16, e.trunc(32, a, 16)), 32),
    "rbit": lambda e, a: e.intrinsic("bitreverse", 32, a),
    "clz": lambda e, a: e.intrinsic("ctlz", 32, a, "i1 false"),
}
for _name, _unary in _UNARY.items():
    row(f"arm_{_name}", "d32 <- a32", _unary)
