"""Rows of shifts and rotates (SDM volume 2: SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD).

A shift left by n is an addition of ``a << (n - 1)`` to itself, flags included, so its flags stay lazy. Where flags
are undefined (OF of counts above 1) they are what the AMD processors give; AF is bit 4 of the recipe. Rows with
``i`` have a count between 1 and the width's mask; those that count by a register take all its low byte and leave
everything alone when it is 0 after masking.
"""

from __future__ import annotations

from typing import Any

from frontends.x86.flags import INTS, any_of, arithmetic, condition, flag, set_bits, set_lazy, zsp
from frontends.x86.state import ARITH, CC_ADD, CF, OF
from jitrr.microops.table import rows

WIDE = (16, 32, 64)


def _mask(w: int) -> int:
    return 63 if w == 64 else 31


# Each of these takes the operand extended to ``wide`` bits and a count n of 1..63 and gives (a, b, result) of an
# addition recipe, or for SHR by one bit, whose OF no recipe gives, the flags as bits.


def _wide(w: int) -> int:
    return 64 if w == 64 else 32


def shl(e: Any, w: int, a: str, n: str) -> tuple[str, str, str]:
    v = _wide(w)
    half = e.trunc(v, e.bin("shl", v, e.zext(w, a, v), e.bin("sub", v, n, 1)), w)
    return half, half, e.bin("shl", w, half, 1)


def sar(e: Any, w: int, a: str, n: str) -> tuple[str, str, str]:
    """res + (CF << top): OF comes out 0, CF as wanted, whatever the sign of the result."""
    v = _wide(w)
    half = e.bin("ashr", v, e.sext(w, a, v), e.bin("sub", v, n, 1))
    res = e.trunc(v, e.bin("ashr", v, half, 1), w)
    return res, e.bin("shl", w, e.trunc(v, half, w), w - 1), res


def shr(e: Any, w: int, a: str, n: str) -> tuple[str, str]:
    """(flags, result): OF is the sign of what was shifted last."""
    v = _wide(w)
    half = e.bin("lshr", v, e.zext(w, a, v), e.bin("sub", v, n, 1))
    res = e.trunc(v, e.bin("lshr", v, half, 1), w)
    over = flag(e, e.icmp("slt", w, e.trunc(v, half, w), 0), OF)
    return any_of(e, e.bin("and", 64, e.zext(v, half), CF), over, zsp(e, w, res)), res


def _shift(op: Any) -> Any:
    """Result and flags of a shift by a count that is not 0: body ``(e, w, a, n)`` gives (result, set flags)."""

    def run(e: Any, w: int, a: str, n: str) -> tuple[str, Any]:
        found = op(e, w, a, n)
        if len(found) == 2:
            bits, res = found
            return res, lambda: set_bits(e, bits)
        x, y, res = found
        return res, lambda: set_lazy(e, CC_ADD, w, x, y, res)

    return run


def _rotate(op: str) -> Any:
    """ROL and ROR: CF is the bit that came in last, OF for a single bit whether the sign changed."""

    def run(e: Any, w: int, a: str, n: str) -> tuple[str, Any]:
        v = _wide(w)
        count = e.trunc(v, n, w) if v != w else n
        res = e.intrinsic("fshl" if op == "rol" else "fshr", w, a, a, count)
        top = e.bin("lshr", w, res, w - 1)
        if op == "rol":
            carry = e.bin("and", w, res, 1)
            over = e.bin("xor", w, carry, top)
        else:
            carry = top
            over = e.bin("xor", w, top, e.bin("and", w, e.bin("lshr", w, res, w - 2), 1))
        return res, lambda: _set_carry_overflow(e, e.zext(w, carry), e.zext(w, over))

    return run


def _set_carry_overflow(e: Any, carry: str, over: str) -> None:
    kept = e.bin("and", 64, arithmetic(e), ARITH & ~(CF | OF))
    set_bits(e, any_of(e, kept, carry, e.bin("shl", 64, over, 11)))


def _rotate_carry(op: str) -> Any:
    """RCL and RCR: ``w`` + 1 bits, CF above the operand, in 128-bit arithmetic."""

    def run(e: Any, w: int, a: str, n: str) -> tuple[str, Any]:
        v = _wide(w)
        if w < 32:
            n = e.bin("urem", v, n, w + 1)
        count = e.let(f"zext i{v} {n} to i128")
        carry = e.let(f"zext i1 {condition(e, 'b')} to i128")
        whole = e.let(f"or i128 {e.let(f'shl i128 {carry}, {w}')}, {e.let(f'zext i{w} {a} to i128')}")
        back = e.let(f"sub i128 {w + 1}, {count}")
        left, right = (count, back) if op == "rcl" else (back, count)
        both = e.let(f"or i128 {e.let(f'shl i128 {whole}, {left}')}, {e.let(f'lshr i128 {whole}, {right}')}")
        res = e.let(f"trunc i128 {both} to i{w}")
        out = e.bin("and", 64, e.let(f"trunc i128 {e.let(f'lshr i128 {both}, {w}')} to i64"), 1)
        top = e.zext(w, e.bin("lshr", w, res, w - 1))
        second = out if op == "rcl" else e.bin("and", 64, e.zext(w, e.bin("lshr", w, res, w - 2)), 1)
        return res, lambda: _set_carry_overflow(e, out, e.bin("xor", 64, top, second))

    return run


#: name -> body ``(e, w, a, n)`` for n of at least 1, giving (result, function that sets the flags).
SHIFTS = {
    "shl": _shift(shl), "shr": _shift(shr), "sar": _shift(sar), "rol": _rotate("rol"), "ror": _rotate("ror"),
    "rcl": _rotate_carry("rcl"), "rcr": _rotate_carry("rcr"),
}  # fmt: skip


def _by_constant(shift: Any) -> Any:
    def body(e: Any, w: int, a: str, i: str) -> str:
        v = _wide(w)
        res, set_flags = shift(e, w, a, e.cast("trunc", 64, i, v))
        set_flags()
        return str(res)

    return body


def _flags_if(e: Any, wanted: str, set_flags: Any) -> None:
    """Set flags, or keep them where ``wanted`` (i1) is false."""
    names = ("cc_op", "cc_a", "cc_b", "cc_res")
    before = [e.get(n) for n in names]
    set_flags()
    for name, old in zip(names, before, strict=True):
        e.set(name, e.select(wanted, 64, e.get(name), old))
    e.notes.pop("flags", None)


def _masked(e: Any, w: int, count: str) -> tuple[str, str]:
    """(count in 1..mask, whether it is really not 0)."""
    v = _wide(w)
    n = e.bin("and", v, e.zext(8, count, v), _mask(w))
    some = e.icmp("ne", v, n, 0)
    return e.select(some, v, n, 1), some


def _by_register(shift: Any) -> Any:
    def body(e: Any, w: int, a: str, count: str) -> str:
        n, some = _masked(e, w, count)
        res, set_flags = shift(e, w, a, n)
        _flags_if(e, some, set_flags)
        return e.select(some, w, res, a)

    return body


def _stored(shift: Any) -> Any:
    """In memory: the store comes before the flags; a count of 0 writes the old value back."""

    def body(e: Any, w: int, at: str, a: str, count: str, i: str) -> None:
        n, some = _masked(e, w, count)
        res, set_flags = shift(e, w, a, n)
        e.store(w, e.bin("add", 64, at, i), e.select(some, w, res, a))
        _flags_if(e, some, set_flags)

    return body


for _name, _body in SHIFTS.items():
    rows(f"x86_{_name}{{w}}i", INTS, "d{w} <- a{w} i64", _by_constant(_body), cold=_name[:2] == "rc")
    rows(f"x86_{_name}{{w}}", INTS, "d{w} <- a{w} b8", _by_register(_body), cold=_name[:2] == "rc")
    rows(f"x86_{_name}st{{w}}", INTS, "a64 b{w} c8 i64", _stored(_body), cold=_name[:2] == "rc")


def _double(op: str) -> Any:
    """SHLD and SHRD of a with bits from b. In 16 bits a count above 16 goes round in b and clears CF, SHLD's OF too,
    as AMD processors do it."""
    name = "fshl" if op == "shld" else "fshr"

    def run(e: Any, w: int, a: str, b: str, n: str) -> tuple[str, Any]:
        def at(count: str) -> str:
            """The operand after ``count`` steps, 0 included."""
            narrow = e.trunc(_wide(w), count, w)
            pair = (a, b) if op == "shld" else (b, a)
            within = e.intrinsic(name, w, *pair, narrow)
            if w != 16:
                return str(within)
            beyond = e.intrinsic(name, w, b, b, narrow)
            return e.select(e.icmp("ult", 32, count, 16), w, within, beyond)

        v = _wide(w)
        half, res = at(e.bin("sub", v, n, 1)), at(n)
        if op == "shld" and w != 16:
            return res, lambda: set_lazy(e, CC_ADD, w, half, half, res)
        over = e.bin("lshr", 64, e.zext(w, e.bin("xor", w, half, res)), w - 1)
        last = half if op == "shrd" else e.bin("lshr", w, half, w - 1)
        carry = e.bin("and", 64, e.zext(w, last), CF)
        if w == 16:
            within = e.icmp("ule", 32, n, 16)
            carry = e.select(within, 64, carry, 0)
            over = e.select(within, 64, over, 0) if op == "shld" else over
        bits = any_of(e, carry, e.bin("shl", 64, over, 11), zsp(e, w, res))
        return res, lambda: set_bits(e, bits)

    return run


def _double_by_register(shift: Any) -> Any:
    def body(e: Any, w: int, a: str, b: str, count: str) -> str:
        n, some = _masked(e, w, count)
        res, set_flags = shift(e, w, a, b, n)
        _flags_if(e, some, set_flags)
        return e.select(some, w, res, a)

    return body


def _double_stored(shift: Any) -> Any:
    """The second operand comes in the immediate's place: d is read for it."""

    def body(e: Any, w: int, at: str, a: str, b: str, count: str) -> None:
        n, some = _masked(e, w, count)
        res, set_flags = shift(e, w, a, b, n)
        e.store(w, at, e.select(some, w, res, a))
        _flags_if(e, some, set_flags)

    return body


for _name in ("shld", "shrd"):
    rows(f"x86_{_name}{{w}}", WIDE, "d{w} <- a{w} b{w} c8", _double_by_register(_double(_name)))
    #: a: linear address, b: its value, c: the other operand, d: the count.
    rows(f"x86_{_name}st{{w}}", WIDE, "a64 b{w} c{w} d8", _double_stored(_double(_name)))
