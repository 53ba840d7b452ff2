"""The x87's transcendental instructions in software, the same bits on every host (SDM volume 1, 8.3.10; numba).

A finite operand that is not 0 is computed here, with 128 bits, then rounded once: so results are those nearest to the
true ones, but for a case in 2**50 or so. Angles are taken from the nearest multiple of pi / 2, by the manual's 66-bit
value of pi (8.3.8). For all other operands - zeros, infinities, NaNs, angles out of range - the manual has tables of
what comes out: the row has run the host's instruction before, and its result stays. Outside their domains the manual
leaves results undefined: F2XM1 beyond 1 and FYL2XP1 of -1 and less give ST as it was.
"""

from __future__ import annotations

from types import SimpleNamespace

from frontends.x86 import state as st
from frontends.x86.wide import (
    BIAS,
    DE,
    PE,
    SIZE,
    add,
    copy,
    divide,
    less,
    multiply,
    over,
    put,
    put_integer,
    scale,
    store80,
    subtract,
)  # fmt: skip
from jitrr.engine.native import helper, inner, ld16, ld64, lsr, st64, ult

SIN, COS, SINCOS, TAN, EXP2, ATAN, LOG, LOG1P = range(8)
#: Where a result goes, and FPTAN's and FSINCOS's second one.
RESULT, SECOND = st.FTMP + 32, st.FTMP + 48
#: Numbers in the scratch field: the operands, 1, intermediate ones.
X, Y, ONE, A, B, C, D, R = (st.WIDE + SIZE * n for n in range(8))


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


PI_HIGH, PI_LOW = _signed(0xC90FDAA22168C234), _signed(0xC4C6628B80DC1CD1)
LN2_HIGH, LN2_LOW = _signed(0xB17217F7D1CF79AB), _signed(0xC9E3B39803F2F6AF)
LOG2E_HIGH, LOG2E_LOW = _signed(0xB8AA3B295C17F0BB), _signed(0xBE87FED0691D3E88)
#: Pi in 66 bits, times 2**64.
ANGLE_HIGH, ANGLE_LOW = 3, 0x243F6A8885A308D3
#: The upper words of tan(pi / 8) and 4/3, rounded up, as numbers with exponents -2 and 0.
TAN_PI_8, FOUR_THIRDS = _signed(0xD413CCCFE7799212), _signed(0xAAAAAAAAAAAAAAAB)
TOP = -(1 << 63)


@inner
def pi(d):
    return put(d, PI_HIGH, PI_LOW, 1)


@inner
def loaded(d, at):
    """``d`` = the magnitude of the register at ``at``. 0 when it is none that is computed with, else 1, or 1 | DE << 1
    for a denormal one."""
    significand, exponent = ld64(at), ld16(at + 8) & 0x7FFF
    if significand == 0 or exponent == 0x7FFF or (exponent != 0 and significand >= 0):
        return 0
    put(d, significand, 0, (exponent if exponent else 1) - BIAS)
    return 1 if exponent else 1 | (DE << 1)


@inner
def negative(at):
    return lsr(ld16(at + 8), 15)


# -- angles -----------------------------------------------------------------------------------------------------------
@inner
def reduced(cpu, significand):
    """R = the distance of X (its ``significand``, 64 bits) from the nearest multiple of pi / 2. Bits 0 and 1 of the
    result: the quadrant that X is in; bit 2: R is the distance from the next multiple, not from the one before."""
    exponent = ld64(cpu + X + 16)
    if exponent < -1:
        copy(cpu + R, cpu + X)
        return 0
    high, low, quadrant = 0, 0, 0
    for _ in range(exponent + 66):
        high = (high << 1) | lsr(low, 63)
        low = (low << 1) | lsr(significand, 63)
        significand <<= 1
        quadrant <<= 1
        if high > ANGLE_HIGH or (high == ANGLE_HIGH and ult(low, ANGLE_LOW) == 0):
            high -= ANGLE_HIGH + ult(low, ANGLE_LOW)
            low -= ANGLE_LOW
            quadrant |= 1
    quadrant &= 3
    left_high, left_low = ANGLE_HIGH - high - ult(ANGLE_LOW, low), ANGLE_LOW - low
    if left_high < high or (left_high == high and ult(left_low, low)):
        high, low, quadrant = left_high, left_low, quadrant | 4
    put(cpu + R, high, low, 62)
    return quadrant


@inner
def alternating(cpu, d, odd):
    """``d`` = 1 - z / ((2 - odd)(3 - odd)) (1 - z / ((4 - odd)(5 - odd)) (...)), z = R squared, for R up to pi / 4."""
    multiply(cpu + C, cpu + R, cpu + R)
    copy(d, cpu + ONE)
    for i in range(17):
        k = 34 - 2 * i - odd
        multiply(d, d, cpu + C)
        over(d, k * (k + 1))
        subtract(d, cpu + ONE, d)
    return 0


@inner
def sine_and_cosine(cpu, quadrant):
    """A = the magnitude of the sine, B = that of the cosine, of the angle that :func:`reduced` has taken apart."""
    swap = (quadrant ^ (quadrant >> 2)) & 1
    sine = cpu + (B if swap else A)
    alternating(cpu, sine, 0)
    multiply(sine, sine, cpu + R)
    return alternating(cpu, cpu + (A if swap else B), 1)


@inner
def of_angle(cpu, operation, at):
    """FSIN, FCOS, FSINCOS and FPTAN of the register at ``at``."""
    control, sign = ld64(cpu + st.FCW), negative(at)
    quadrant = reduced(cpu, ld64(cpu + X))
    sine_and_cosine(cpu, quadrant)
    cosine_sign = ((quadrant + 1) >> 1) & 1
    sine_sign = sign ^ ((quadrant >> 1) & 1)
    if operation == COS:
        return store80(cpu + RESULT, control, cosine_sign, cpu + B)
    if operation == SIN:
        return store80(cpu + RESULT, control, sine_sign, cpu + A)
    if operation == TAN:
        divide(cpu + A, cpu + A, cpu + B)
        st64(cpu + A + 8, ld64(cpu + A + 8) | 1)  # never exact; of the smallest ones both are the angle, cut off
        st64(cpu + RESULT, TOP)
        st64(cpu + RESULT + 8, BIAS)
        return store80(cpu + SECOND, control, sine_sign ^ cosine_sign, cpu + A)
    flags = store80(cpu + RESULT, control, cosine_sign, cpu + B) & 0x3F
    return flags | store80(cpu + SECOND, control, sine_sign, cpu + A)


@inner
def arctangent(cpu, d):
    """``d`` = the arctangent of ``d`` up to tan(pi / 8): Euler's series, whose terms are all positive."""
    multiply(cpu + B, d, d)
    add(cpu + C, cpu + ONE, cpu + B)
    divide(d, d, cpu + C)
    divide(cpu + B, cpu + B, cpu + C)
    copy(cpu + C, cpu + ONE)
    for i in range(47):
        k = 47 - i
        multiply(cpu + C, cpu + C, cpu + B)
        put_integer(cpu + D, 2 * k)
        multiply(cpu + C, cpu + C, cpu + D)
        over(cpu + C, 2 * k + 1)
        add(cpu + C, cpu + ONE, cpu + C)
    return multiply(d, d, cpu + C)


@inner
def of_point(cpu, at, at_y):
    """FPATAN: the angle of the point X, Y."""
    swap = less(cpu + X, cpu + Y)
    if swap:
        divide(cpu + A, cpu + X, cpu + Y)
    else:
        divide(cpu + A, cpu + Y, cpu + X)
    put(cpu + R, TAN_PI_8, 0, -2)
    if less(cpu + R, cpu + A):  # pi / 4 less that of (1 - A) / (1 + A), which is exact in X and Y
        large, small = cpu + (Y if swap else X), cpu + (X if swap else Y)
        subtract(cpu + B, large, small)
        add(cpu + C, large, small)
        copy(cpu + A, cpu + B)
        if ld64(cpu + B):
            divide(cpu + A, cpu + B, cpu + C)
            arctangent(cpu, cpu + A)
        pi(cpu + R)
        scale(cpu + R, -2)
        subtract(cpu + A, cpu + R, cpu + A)
    else:
        arctangent(cpu, cpu + A)
    pi(cpu + R)
    if swap:
        scale(cpu + R, -1)
        subtract(cpu + A, cpu + R, cpu + A)
        pi(cpu + R)
    if negative(at):
        subtract(cpu + A, cpu + R, cpu + A)
    return store80(cpu + RESULT, ld64(cpu + st.FCW), negative(at_y), cpu + A)


# -- powers and logarithms --------------------------------------------------------------------------------------------
@inner
def of_power(cpu, at):
    """F2XM1: y times the sum of y**k / (k + 1)!, y = X ln 2."""
    sign, exponent = negative(at), ld64(cpu + X + 16)
    if exponent >= 0:
        st64(cpu + RESULT, ld64(at))
        st64(cpu + RESULT + 8, ld16(at + 8))
        if exponent == 0 and ld64(at) == TOP and sign:
            st64(cpu + RESULT + 8, 0x8000 | (BIAS - 1))
        return 0
    put(cpu + R, LN2_HIGH, LN2_LOW, -1)
    multiply(cpu + R, cpu + R, cpu + X)
    copy(cpu + A, cpu + ONE)
    for i in range(32):
        multiply(cpu + A, cpu + A, cpu + R)
        over(cpu + A, 33 - i)
        if sign:
            subtract(cpu + A, cpu + ONE, cpu + A)
        else:
            add(cpu + A, cpu + ONE, cpu + A)
    multiply(cpu + A, cpu + A, cpu + R)
    return store80(cpu + RESULT, ld64(cpu + st.FCW), sign, cpu + A) | PE


@inner
def logarithm(cpu):
    """A = twice the inverse hyperbolic tangent of R up to 1/5, over ln 2."""
    multiply(cpu + B, cpu + R, cpu + R)
    put_integer(cpu + A, 0)
    for i in range(29):
        multiply(cpu + A, cpu + A, cpu + B)
        copy(cpu + C, cpu + ONE)
        over(cpu + C, 57 - 2 * i)
        add(cpu + A, cpu + C, cpu + A)
    multiply(cpu + A, cpu + A, cpu + R)
    put(cpu + C, LOG2E_HIGH, LOG2E_LOW, 1)
    return multiply(cpu + A, cpu + A, cpu + C)


@inner
def log2(cpu):
    """A = the magnitude of the binary logarithm of X; returns its sign."""
    whole = ld64(cpu + X + 16)
    if ult(FOUR_THIRDS, ld64(cpu + X)):
        whole += 1
    scale(cpu + X, -whole)
    add(cpu + D, cpu + ONE, cpu + X)
    below = less(cpu + X, cpu + ONE)
    if below:
        subtract(cpu + R, cpu + ONE, cpu + X)
    else:
        subtract(cpu + R, cpu + X, cpu + ONE)
    if ld64(cpu + R):
        divide(cpu + R, cpu + R, cpu + D)
    logarithm(cpu)
    if whole == 0:
        return below
    sign = 1 if whole < 0 else 0
    put_integer(cpu + B, -whole if sign else whole)
    if sign == below:
        add(cpu + A, cpu + B, cpu + A)
    else:
        subtract(cpu + A, cpu + B, cpu + A)
    return sign


@inner
def log2_plus_1(cpu, minus):
    """A = the magnitude of the binary logarithm of 1 + X, or with ``minus`` of 1 - X, X < 1; returns its sign."""
    if ld64(cpu + X + 16) < -2:
        put_integer(cpu + D, 2)
        if minus:
            subtract(cpu + D, cpu + D, cpu + X)
        else:
            add(cpu + D, cpu + D, cpu + X)
        divide(cpu + R, cpu + X, cpu + D)
        logarithm(cpu)
        return minus
    if minus:
        subtract(cpu + X, cpu + ONE, cpu + X)
    elif ld64(cpu + X + 16) < 0:
        add(cpu + X, cpu + ONE, cpu + X)
    else:
        add(cpu + X, cpu + X, cpu + ONE)
    return log2(cpu)


@inner
def of_logarithm(cpu, operation, at, at_y, status):
    """FYL2X and FYL2XP1: Y times a logarithm."""
    minus = negative(at)
    if operation == LOG:
        sign = log2(cpu)
    elif minus and ld64(cpu + X + 16) >= 0:
        st64(cpu + RESULT, ld64(at))
        st64(cpu + RESULT + 8, ld16(at + 8))
        return 0
    else:
        sign = log2_plus_1(cpu, minus)
    if ld64(cpu + A) == 0:
        return status
    multiply(cpu + A, cpu + A, cpu + Y)
    return store80(cpu + RESULT, ld64(cpu + st.FCW), sign ^ negative(at_y), cpu + A)


def build() -> SimpleNamespace:
    """Declare the helper."""

    @helper
    def x87_transcendental(cpu, operation, status):
        """An instruction on ST and, for those with two operands, ST(1), whose result on the host and status word
        ``status`` are there: returns the status word that counts, the results are in the scratch slots."""
        top = ld64(cpu + st.FTOP)
        at, at_y = cpu + st.FPR + 16 * top, cpu + st.FPR + 16 * ((top + 1) & 7)
        found = loaded(cpu + X, at)
        if found == 0 or (operation < EXP2 and ld64(cpu + X + 16) > 62):
            return status
        if operation >= ATAN:
            other = loaded(cpu + Y, at_y)
            if other == 0 or (operation == LOG and negative(at)):
                return status
            found |= other
        denormal = (found >> 1) & DE
        if denormal & ~ld64(cpu + st.FCW):
            return denormal
        put_integer(cpu + ONE, 1)
        if operation < EXP2:
            return denormal | of_angle(cpu, operation, at)
        if operation == EXP2:
            return denormal | of_power(cpu, at)
        if operation == ATAN:
            return denormal | of_point(cpu, at, at_y)
        return denormal | of_logarithm(cpu, operation, at, at_y, status)

    return SimpleNamespace()
