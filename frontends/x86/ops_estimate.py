"""RCPPS, RSQRTPS and their scalar forms, in integers: hosts differ in their bits (SDM volume 2: a relative error of at
most 1.5 * 2**-12). Here a result has 13 significant bits and is right to 0.51 * 2**-12. Neither raises exceptions or
looks at MXCSR; denormal operands count as zeros, and tiny results are zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitrr.microops.table import row

SIGN, INFINITY, QUIET, DEFAULT_NAN = 1 << 31, 0x7F800000, 0x400000, 0xFFC00000
#: A polynomial within 2.5 % of 1 / sqrt(m), 1 <= m < 4, times 2**16: c0 - c1 m + c2 m m.
C0, C1, C2 = 87509, 26908, 3355


def _parts(e: Any, x: str) -> tuple[str, str, str]:
    """Sign bit, exponent field and significand (with its hidden bit) of a number."""
    exponent = e.bin("and", 64, e.bin("lshr", 64, x, 23), 255)
    return e.bin("and", 64, x, SIGN), exponent, e.bin("or", 64, e.bin("and", 64, x, 0x7FFFFF), 0x800000)


def _packed(e: Any, exponent: str, quotient: str) -> str:
    """``quotient`` (2**12 to 2**13) times 2**(exponent - 127 - 12), without a sign."""
    fraction = e.bin("shl", 64, e.bin("sub", 64, quotient, 1 << 12), 11)
    return e.bin("add", 64, e.bin("shl", 64, exponent, 23), fraction)


def _special(e: Any, x: str, sign: str, exponent: str, of_number: str) -> str:
    """The result, ``of_number`` for a number that is not 0."""
    magnitude = e.bin("and", 64, x, SIGN - 1)
    zero = e.select(e.icmp("eq", 64, exponent, 0), 64, e.bin("or", 64, sign, INFINITY), of_number)
    infinite = e.select(e.icmp("eq", 64, magnitude, INFINITY), 64, sign, zero)
    return e.select(e.icmp("ugt", 64, magnitude, INFINITY), 64, e.bin("or", 64, x, QUIET), infinite)


def reciprocal(e: Any, x: str) -> str:
    """1 / x of a single (bits, i64)."""
    sign, exponent, significand = _parts(e, x)
    rounded = e.let(f"add i64 {1 << 36}, {e.bin('lshr', 64, significand, 1)}")
    result = _packed(e, e.let(f"sub i64 253, {exponent}"), e.bin("udiv", 64, rounded, significand))
    tiny = e.icmp("slt", 64, result, 1 << 23)
    return _special(e, x, sign, exponent, e.bin("or", 64, sign, e.select(tiny, 64, 0, result)))


def reciprocal_root(e: Any, x: str) -> str:
    """1 / sqrt(x) of a single (bits, i64): a polynomial, and two steps of Newton's in 30 bits."""
    sign, exponent, significand = _parts(e, x)
    odd = e.bin("and", 64, e.bin("xor", 64, exponent, 1), 1)
    m = e.bin("shl", 64, significand, odd)
    root = e.let(f"sub i64 {C0 << 14}, {e.bin('lshr', 64, e.bin('mul', 64, m, C1), 9)}")
    high = e.bin("lshr", 64, m, 7)
    square = e.bin("lshr", 64, e.bin("mul", 64, high, high), 16)
    root = e.bin("add", 64, root, e.bin("lshr", 64, e.bin("mul", 64, square, C2), 2))
    for _ in range(2):
        product = e.bin("lshr", 64, e.bin("mul", 64, m, root), 23)
        product = e.bin("lshr", 64, e.bin("mul", 64, product, root), 30)
        root = e.bin("lshr", 64, e.bin("mul", 64, root, e.let(f"sub i64 {3 << 30}, {product}")), 31)
    quotient = e.bin("lshr", 64, e.bin("add", 64, root, 1 << 16), 17)
    half = e.bin("lshr", 64, e.bin("sub", 64, e.bin("add", 64, exponent, 1), odd), 1)  # 64 more than of the exponent
    number = _packed(e, e.let(f"sub i64 190, {half}"), quotient)
    negative = e.icmp("ne", 64, sign, 0)
    result = _special(e, x, sign, exponent, e.select(negative, 64, DEFAULT_NAN, number))
    minus_infinity = e.icmp("eq", 64, x, SIGN | INFINITY)
    return e.select(minus_infinity, 64, DEFAULT_NAN, result)


def _lane(e: Any, vector: str, lane: int, estimate: Callable[[Any, str], str]) -> str:
    """The estimate of a lane (i32)."""
    return e.trunc(64, estimate(e, e.zext(32, e.let(f"extractelement <4 x i32> {vector}, i32 {lane}"))), 32)


def _all_lanes(e: Any, a: str, estimate: Callable[[Any, str], str]) -> str:
    source = found = e.let(f"bitcast <2 x i64> {a} to <4 x i32>")
    for lane in range(4):
        found = e.let(f"insertelement <4 x i32> {found}, i32 {_lane(e, source, lane, estimate)}, i32 {lane}")
    return e.let(f"bitcast <4 x i32> {found} to <2 x i64>")


def _lowest_lane(e: Any, a: str, b: str, estimate: Callable[[Any, str], str]) -> str:
    target = e.let(f"bitcast <2 x i64> {a} to <4 x i32>")
    value = e.trunc(64, estimate(e, e.zext(32, b)), 32)
    return e.let(f"bitcast <4 x i32> {e.let(f'insertelement <4 x i32> {target}, i32 {value}, i32 0')} to <2 x i64>")


for _name, _estimate in (("rcp", reciprocal), ("rsqrt", reciprocal_root)):
    row(f"x86_{_name}ps", "d128 <- a128", lambda e, a, of=_estimate: _all_lanes(e, a, of))
    row(f"x86_{_name}ss", "d128 <- a128 b32", lambda e, a, b, of=_estimate: _lowest_lane(e, a, b, of))
