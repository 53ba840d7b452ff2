"""What hosts differ in is software's: RCPPS and RSQRTPS, and the x87's transcendental instructions. Their results are
those that exact arithmetic gives, rounded; the host's are near (tests/oracle/compare.py)."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import cache
from random import Random

import pytest
from oracle.state import default_state
from x86_simd_cases import UnitExecutor

#: Fixed point: numbers times 2**BITS.
BITS = 600
ONE = 1 << BITS
#: Pi as the manual has it for angles (SDM volume 1, 8.3.8), and as it is.
ANGLE_PI = 0x3243F6A8885A308D3 << BITS - 64
NAN, INFINITY, SIGN = 0x7FC00000, 0x7F800000, 1 << 31


@cache
def engine() -> UnitExecutor:
    return UnitExecutor()


# -- estimates --------------------------------------------------------------------------------------------------------
def estimates(code: str, values: list[int]) -> list[int]:
    """RCPPS or RSQRTPS XMM0, XMM1 of four singles."""
    state = default_state(64)
    state.xmm[1] = int.from_bytes(struct.pack("<4I", *values), "little")
    state.mxcsr = 0x7F80  # everything masked, towards zero: neither matters
    out, fault = engine().run(state, bytes.fromhex(code), 64)
    assert fault is None and out.mxcsr == state.mxcsr
    scalar = state.copy()
    lowest, _ = engine().run(scalar, bytes.fromhex("f3" + code), 64)
    assert lowest.xmm[0] == out.xmm[0] & 0xFFFFFFFF
    return list(struct.unpack("<4I", out.xmm[0].to_bytes(16, "little")))


def single(bits: int) -> float:
    return struct.unpack("<f", struct.pack("<I", bits))[0]


@pytest.mark.parametrize(("code", "power"), [("0f53c1", -1.0), ("0f52c1", -0.5)], ids=["rcp", "rsqrt"])
def test_estimates_are_within_the_specified_error(code: str, power: float) -> None:
    rng = Random(power)
    for _ in range(400):
        values = [rng.randrange(0x00800000, 0x7E800000) for _ in range(4)]
        for value, found in zip(values, estimates(code, values), strict=True):
            assert abs(single(found) / single(value) ** power - 1) < 1.5 / 4096, hex(value)


def test_estimates_of_special_values() -> None:
    for value, reciprocal, root in (
        (0, INFINITY, INFINITY), (SIGN, SIGN | INFINITY, SIGN | INFINITY), (INFINITY, 0, 0),
        (SIGN | INFINITY, SIGN, SIGN | NAN), (1, INFINITY, INFINITY),
        (SIGN | 0x7FFFFF, SIGN | INFINITY, SIGN | INFINITY), (0x7F800001, 0x7FC00001, 0x7FC00001),
        (0xFFD00000, 0xFFD00000, 0xFFD00000), (0x7F000000, 0, 0x1FB504F3 & ~0x7FF),
        (0xFF7FFFFF, SIGN, SIGN | NAN), (0x3F800000, 0x3F800000, 0x3F800000), (0xBF800000, 0xBF800000, SIGN | NAN),
        (0x40000000, 0x3F000000, 0x3F3504F3 & ~0x7FF), (0x00800000, 0x7E800000, 0x5F000000),
    ):  # fmt: skip
        assert estimates("0f53c1", [value] * 4) == [reciprocal] * 4, hex(value)
        assert all(abs(found - root) <= 0x800 for found in estimates("0f52c1", [value] * 4)), hex(value)


# -- the x87's functions, in integers of 600 bits --------------------------------------------------------------------
def series(first: int, following: Callable[[int, int], int]) -> int:
    """A sum of terms until they vanish; ``following(term, n)`` is the one behind term n."""
    total, term, n = 0, first, 0
    while term:
        total += term
        term = following(term, n)
        n += 1
    return total


def sine(x: int) -> int:
    square = x * x >> BITS
    return series(x, lambda term, n: -(term * square >> BITS) // ((2 * n + 2) * (2 * n + 3)))


def cosine(x: int) -> int:
    square = x * x >> BITS
    return series(ONE, lambda term, n: -(term * square >> BITS) // ((2 * n + 1) * (2 * n + 2)))


def exponential_less_one(x: int) -> int:
    return series(x, lambda term, n: (term * x >> BITS) // (n + 2))


def half_logarithm(x: int) -> int:
    """Of x from 1/2 to 2: the inverse hyperbolic tangent of (x - 1) / (x + 1)."""
    ratio = (x - ONE << BITS) // (x + ONE)
    return sum_of_odd(ratio, ratio * ratio >> BITS)


def sum_of_odd(first: int, square: int) -> int:
    total, power, n = 0, first, 0
    while power not in (0, -1):
        total += power // (2 * n + 1)
        power = power * square >> BITS
        n += 1
    return total


def arctangent(x: int) -> int:
    """Of 0 to 1: halved twice, so that the series ends soon."""
    for _ in range(2):
        root = math.isqrt(ONE * ONE + x * x)
        x = (x << BITS) // (ONE + root)
    return 4 * sum_of_odd(x, -(x * x >> BITS))


LN2 = 2 * half_logarithm(2 * ONE)
PI = 4 * arctangent(ONE)


def logarithm(x: int) -> int:
    """The binary one."""
    whole = x.bit_length() - 1 - BITS
    return (2 * half_logarithm(x >> whole if whole > 0 else x << -whole) << BITS) // LN2 + (whole << BITS)


def angle(y: int, x: int) -> int:
    a, b = abs(y), abs(x)
    found = arctangent((a << BITS) // b) if a <= b else PI // 2 - arctangent((b << BITS) // a)
    found = PI - found if x < 0 else found
    return -found if y < 0 else found


def of_angle(x: int) -> tuple[int, int]:
    """Sine and cosine, by those of the distance from the nearest multiple of pi / 2 by the manual's pi."""
    quarters = (2 * x + ANGLE_PI // 2) // ANGLE_PI
    rest = x - quarters * ANGLE_PI // 2
    s, c = sine(rest), cosine(rest)
    return [(s, c), (c, -s), (-s, -c), (-c, s)][quarters & 3]


#: Name: code, exponents of ST and of ST(1), the results of both from the top of the stack on.
FUNCTIONS: dict[str, tuple[str, range, range, Callable[[int, int], list[int]]]] = {
    "fsin": ("d9fe", range(-30, 63), range(1), lambda x, y: [of_angle(x)[0]]),
    "fcos": ("d9ff", range(-30, 63), range(1), lambda x, y: [of_angle(x)[1]]),
    "fsincos": ("d9fb", range(-20, 10), range(1), lambda x, y: list(reversed(of_angle(x)))),
    "fptan": ("d9f2", range(-20, 30), range(1),
              lambda x, y: [ONE, (of_angle(x)[0] << BITS) // of_angle(x)[1]]),
    "f2xm1": ("d9f0", range(-60, 0), range(1), lambda x, y: [exponential_less_one(x * LN2 >> BITS)]),
    "fpatan": ("d9f3", range(-20, 20), range(-20, 20), lambda x, y: [angle(y, x)]),
    "fyl2x": ("d9f1", range(-60, 60), range(-5, 5), lambda x, y: [y * logarithm(abs(x)) >> BITS]),
    "fyl2xp1": ("d9f9", range(-60, -2), range(-5, 5), lambda x, y: [y * logarithm(ONE + x) >> BITS]),
}  # fmt: skip
POSITIVE = ("fyl2x",)


def number(rng: Random, exponents: range, signed: bool) -> int:
    """A random 80-bit number."""
    sign = rng.getrandbits(1) if signed else 0
    return sign << 79 | rng.choice(exponents) + 16383 << 64 | 1 << 63 | rng.getrandbits(63)


def fixed(value: int) -> int:
    shift = (value >> 64 & 0x7FFF) - 16383 - 63 + BITS
    magnitude = (value & (1 << 64) - 1) << shift
    return -magnitude if value >> 79 else magnitude


def rounded(value: int, mode: int) -> int:
    """The 80-bit number for one in fixed point, by a rounding mode of the control word."""
    sign, magnitude = int(value < 0), abs(value)
    shift = magnitude.bit_length() - 64
    low, high = magnitude & (1 << shift) - 1, magnitude >> shift
    if mode == 0:
        high += low >> shift - 1
    elif mode in (1, 2) and low and (mode == 2) == (not sign):
        high += 1
    if high >> 64:
        high, shift = high >> 1, shift + 1
    return sign << 79 | shift + 63 - BITS + 16383 << 64 | high


@pytest.mark.parametrize("name", FUNCTIONS)
def test_transcendental_results_are_rounded_right(name: str) -> None:
    code, first, second, exactly = FUNCTIONS[name]
    rng = Random(name)
    for count in range(60):
        state = default_state(64)
        state.st[0], state.st[1] = number(rng, first, name not in POSITIVE), number(rng, second, True)
        state.ftw, mode = 3, count & 3
        state.fcw = 0x37F | mode << 10
        out, fault = engine().run(state.copy(), bytes.fromhex(code), 64)
        expected = [rounded(value, mode) for value in exactly(fixed(state.st[0]), fixed(state.st[1]))]
        assert fault is None and out.st[: len(expected)] == expected, (name, hex(state.st[0]), hex(state.st[1]), mode)
        assert out.fsw & 0x3F == 0x20


def test_exact_results() -> None:
    """Of powers of two; nothing else is."""
    for code, top, below, expected in (
        ("d9f0", 0x3FFF << 64 | 1 << 63, 0, 0x3FFF << 64 | 1 << 63),  # 2**1 - 1
        ("d9f0", 0xBFFF << 64 | 1 << 63, 0, 0xBFFE << 64 | 1 << 63),  # 2**-1 - 1
        ("d9f1", 0x4009 << 64 | 1 << 63, 0x4000 << 64 | 1 << 63, 0x4003 << 64 | 0xA << 60),  # 2 log2 1024
    ):
        state = default_state(64)
        state.st[0], state.st[1], state.ftw = top, below, 3
        out, _ = engine().run(state, bytes.fromhex(code), 64)
        assert (out.st[0], out.fsw & 0x3F) == (expected, 0)
