"""Rows of MUL, IMUL, DIV and IDIV. Flags that a multiplication leaves undefined come out as those of 0 or of 0x80..0
+ 0x80..0."""

from __future__ import annotations

from typing import Any

from frontends.x86.flags import INTS, set_lazy
from frontends.x86.ops_integer import RAX, RDX, low, put
from frontends.x86.state import CC_ADD
from jitrr.microops.table import rows

DE = 0


def _set_overflow(e: Any, w: int, lost: str) -> None:
    """CF = OF = ``lost`` (i1)."""
    top = e.select(lost, w, -(1 << (w - 1)), 0)
    set_lazy(e, CC_ADD, w, top, top, "0")


def _multiply(sign: bool) -> Any:
    """rDX:rAX (or AX) := rAX * a."""
    extend = "sext" if sign else "zext"

    def body(e: Any, w: int, a: str) -> None:
        wide = f"i{2 * w}"
        x, y = (e.let(f"{extend} i{w} {v} to {wide}") for v in (low(e, RAX, w), a))
        product = e.let(f"mul {wide} {x}, {y}")
        below = e.let(f"trunc {wide} {product} to i{w}")
        same = e.let(f"{extend} i{w} {below} to {wide}")
        _set_overflow(e, w, e.let(f"icmp ne {wide} {product}, {same}"))
        if w == 8:
            put(e, RAX, 16, product)
            return
        above = e.let(f"trunc {wide} {e.let(f'lshr {wide} {product}, {w}')} to i{w}")
        put(e, RAX, w, below)
        put(e, RDX, w, above)

    return body


rows("x86_mul{w}", INTS, "a{w}", _multiply(False))
rows("x86_imul{w}", INTS, "a{w}", _multiply(True))


def _product(e: Any, w: int, a: str, b: str) -> str:
    """IMUL of two operands: the low half; CF = OF = it does not fit."""
    wide = f"i{2 * w}"
    x, y = (e.let(f"sext i{w} {v} to {wide}") for v in (a, b))
    product = e.let(f"mul {wide} {x}, {y}")
    below: str = e.let(f"trunc {wide} {product} to i{w}")
    _set_overflow(e, w, e.let(f"icmp ne {wide} {product}, {e.let(f'sext i{w} {below} to {wide}')}"))
    return below


rows("x86_imul2_{w}", (16, 32, 64), "d{w} <- a{w} b{w}", _product)
rows("x86_imul2_{w}i", (16, 32, 64), "d{w} <- a{w} i{w}", _product)


def _dividend(e: Any, w: int) -> str:
    """The dividend of 2 * w bits, for w below 64."""
    if w == 8:
        return low(e, RAX, 16)
    high = e.let(f"zext i{w} {low(e, RDX, w)} to i{2 * w}")
    below = e.let(f"zext i{w} {low(e, RAX, w)} to i{2 * w}")
    return str(e.let(f"or i{2 * w} {e.let(f'shl i{2 * w} {high}, {w}')}, {below}"))


def _set_quotient(e: Any, w: int, quotient: str, remainder: str) -> None:
    if w == 8:
        both = e.bin("or", 16, e.bin("shl", 16, e.zext(8, remainder, 16), 8), e.zext(8, quotient, 16))
        put(e, RAX, 16, both)
    else:
        put(e, RAX, w, quotient)
        put(e, RDX, w, remainder)


def _divide(sign: bool) -> Any:
    """w below 64: a division of 2 * w bits, which must fit."""
    div, rem, extend = ("sdiv", "srem", "sext") if sign else ("udiv", "urem", "zext")

    def body(e: Any, w: int, a: str) -> None:
        v = 2 * w
        wide = f"i{v}"
        e.raise_if(e.icmp("eq", w, a, 0), DE)
        n, d = _dividend(e, w), e.let(f"{extend} i{w} {a} to {wide}")
        if sign:
            least = e.icmp("eq", v, n, -(1 << (v - 1)))
            e.raise_if(e.bin("and", 1, least, e.icmp("eq", v, d, -1)), DE)
        quotient = e.bin(div, v, n, d)
        remainder = e.trunc(v, e.bin(rem, v, n, d), w)
        narrow = e.trunc(v, quotient, w)
        e.raise_if(e.icmp("ne", v, quotient, e.let(f"{extend} i{w} {narrow} to {wide}")), DE)
        _set_quotient(e, w, narrow, remainder)

    return body


def _divq(e: Any, high: str, below: str, divisor: str) -> tuple[str, str]:
    """The host's 128 by 64 bit division; ``high`` < ``divisor``, so it does not trap."""
    pair = e.let(
        f'call {{ i64, i64 }} asm "divq $4", "={{ax}},={{dx}},{{ax}},{{dx}},r,~{{flags}}"'
        f"(i64 {below}, i64 {high}, i64 {divisor})"
    )
    return e.let(f"extractvalue {{ i64, i64 }} {pair}, 0"), e.let(f"extractvalue {{ i64, i64 }} {pair}, 1")


def _div64(e: Any, divisor: str) -> None:
    high, below = e.get("gpr", index=RDX), e.get("gpr", index=RAX)
    e.raise_if(e.icmp("uge", 64, high, divisor), DE)
    quotient, remainder = _divq(e, high, below, divisor)
    _set_quotient(e, 64, quotient, remainder)


def _magnitude(e: Any, value: str) -> tuple[str, str]:
    """(absolute value, whether it was negative as 0 or -1)."""
    sign = e.bin("ashr", 64, value, 63)
    return e.bin("sub", 64, e.bin("xor", 64, value, sign), sign), sign


def _idiv64(e: Any, divisor: str) -> None:
    """Division of magnitudes, then the signs: the quotient truncates towards 0, the remainder follows the dividend."""
    high, below = e.get("gpr", index=RDX), e.get("gpr", index=RAX)
    sign = e.bin("ashr", 64, high, 63)
    flipped = e.bin("xor", 64, below, sign)
    small = e.bin("sub", 64, flipped, sign)
    borrow = e.zext(1, e.icmp("ult", 64, flipped, sign), 64)
    large = e.bin("sub", 64, e.bin("sub", 64, e.bin("xor", 64, high, sign), sign), borrow)
    size, divisor_sign = _magnitude(e, divisor)
    e.raise_if(e.icmp("uge", 64, large, size), DE)
    quotient, remainder = _divq(e, large, small, size)
    negative = e.bin("xor", 64, sign, divisor_sign)
    # At most 2**63 - 1, or 2**63 for a negative quotient.
    e.raise_if(e.icmp("ugt", 64, quotient, e.bin("sub", 64, str((1 << 63) - 1), negative)), DE)
    quotient = e.bin("sub", 64, e.bin("xor", 64, quotient, negative), negative)
    remainder = e.bin("sub", 64, e.bin("xor", 64, remainder, sign), sign)
    _set_quotient(e, 64, quotient, remainder)


rows("x86_div{w}", (8, 16, 32), "a{w}", _divide(False))
rows("x86_idiv{w}", (8, 16, 32), "a{w}", _divide(True))
rows("x86_div{w}", (64,), "a64", lambda e, w, a: _div64(e, a))
rows("x86_idiv{w}", (64,), "a64", lambda e, w, a: _idiv64(e, a))
