"""Conversions and estimates of ARM floating point in integers (DDI 0406C, A2.7.8), and the helpers that micro-ops call.

Conventions as in :mod:`frontends.arm.softfloat`. Helpers whose name ends in ``v`` work on vectors: 64 bits a half, the
result's upper half is left in field ``value_hi``.
"""

from __future__ import annotations

from frontends.arm import fpcodes as fc
from frontends.arm import state as st
from frontends.arm.fpcodes import AHP, DN, DZC, FZ, IOC, IXC, RMODE_AT, RZ, UFC
from frontends.arm.softfloat import (
    INFINITE,
    QUIET,
    SIGNALLING,
    ZERO,
    default_nan,
    exponent_of,
    fp_add,
    fp_compare,
    fp_div,
    fp_max,
    fp_mul,
    fp_muladd,
    fp_round,
    fp_sqrt,
    fraction_bits,
    infinity,
    invalid,
    kind,
    raises,
    rounds_up,
    sign_of,
    significand,
    take_nan,
    take_nans,
    with_sign,
    zero,
)  # fmt: skip
from jitrr.engine.native import helper, inner, ld64, lsr, st64

FPSCR, VALUE_HI = st.FPSCR, st.LAYOUT["value_hi"]
ADD, SUB, MUL, DIV, MAX, MIN, RECPS = fc.ADD, fc.SUB, fc.MUL, fc.DIV, fc.MAX, fc.MIN, fc.RECPS
RSQRTS, CEQ, CGE, CGT, ACGE, ACGT = fc.RSQRTS, fc.CEQ, fc.CGE, fc.CGT, fc.ACGE, fc.ACGT
SQRT, RECPE, RSQRTE, WIDEN, NARROW, TO_FIXED, FROM_FIXED = (
    fc.SQRT, fc.RECPE, fc.RSQRTE, fc.WIDEN, fc.NARROW, fc.TO_FIXED, fc.FROM_FIXED,
)  # fmt: skip
TWO, THREE = 0x40000000, 0x40400000


@inner
def converted_nan(cpu, control, n, to, what, x):
    """A NaN in another format: as much of its payload as there is room for, quiet."""
    if what == SIGNALLING or (to == 16 and control & AHP):
        raises(cpu, IOC)
    if to == 16 and control & AHP:
        return zero(16, sign_of(n, x))
    if control & DN:
        return default_nan(to)
    f, g = fraction_bits(n), fraction_bits(to)
    payload = x & ((1 << f) - 1)
    payload = payload << (g - f) if g > f else payload >> (f - g)
    return infinity(to, sign_of(n, x)) | (1 << (g - 1)) | payload


@inner
def fp_convert(cpu, control, n, to, x):
    """FPHalfToSingle, FPSingleToHalf, FPSingleToDouble, FPDoubleToSingle."""
    what, sign = kind(cpu, control, n, x), sign_of(n, x)
    if what >= QUIET:
        return converted_nan(cpu, control, n, to, what, x)
    if what == INFINITE:
        if to == 16 and control & AHP:
            raises(cpu, IOC)
            return (sign << 15) | 0x7FFF
        return infinity(to, sign)
    if what == ZERO:
        return zero(to, sign)
    return fp_round(cpu, control, to, sign, exponent_of(n, x), significand(n, x))


@inner
def saturated(cpu, value, unsigned, bits, inexact):
    """SatQ of a rounded number, with Invalid Operation, or Inexact where it fits."""
    least = 0 if unsigned else -(1 << (bits - 1))
    most = (1 << bits) - 1 if unsigned else (1 << (bits - 1)) - 1
    if value < least or value > most:
        raises(cpu, IOC)
        value = least if value < least else most
    elif inexact:
        raises(cpu, IXC)
    return value & ((1 << bits) - 1)


@inner
def to_fixed(cpu, control, n, x, op):
    """FPToFixed; ``op`` as fpcodes.fixed makes it."""
    fraction, unsigned, bits = (op >> 8) & 255, (op >> 16) & 1, (op >> 24) & 255
    if op >> 32:
        control = (control & ~(3 << RMODE_AT)) | (RZ << RMODE_AT)
    what, sign = kind(cpu, control, n, x), sign_of(n, x)
    if what >= QUIET:
        raises(cpu, IOC)
        return 0
    if what == ZERO:
        return 0
    e = exponent_of(n, x) + fraction
    if what == INFINITE or e > 40:
        return saturated(cpu, -(1 << 40) if sign else 1 << 40, unsigned, bits, 0)
    m, drop = significand(n, x), 62 - e
    if drop > 63:
        m, drop = 1, 63
    rest, result = m & ((1 << drop) - 1), m >> drop
    result += rounds_up(control, sign, result, rest, 1 << (drop - 1))
    return saturated(cpu, -result if sign else result, unsigned, bits, rest)


@inner
def from_fixed(cpu, control, n, x, op):
    """FixedToFP of the low bits of ``x``."""
    fraction, unsigned, bits = (op >> 8) & 255, (op >> 16) & 1, (op >> 24) & 255
    if op >> 32:
        control &= ~(3 << RMODE_AT)
    x &= (1 << bits) - 1
    if not unsigned and lsr(x, bits - 1):
        x -= 1 << bits
    if x == 0:
        return 0
    return fp_round(cpu, control, n, 1 if x < 0 else 0, 62 - fraction, abs(x))


# -- estimates and steps (single precision) --------------------------------------------------------------------------


@inner
def recip_estimate(q):
    """Of a number in [0.5, 1) given in 512ths: 256 times the estimate, 256..511."""
    return (524288 + 2 * q + 1) // (2 * (2 * q + 1))


@inner
def recip_sqrt_estimate(q):
    """Of a number in [0.25, 1) given in 512ths (256ths from 0.5 on, plus 256): 256 times the estimate, 256..511."""
    # The largest s with (s - 0.5) / 256 at most 1 / sqrt of the middle of the interval.
    middle = 2 * (q & 255) + 1
    one = 1 << (28 if q < 256 else 27)
    s = 256
    while s < 511 and (2 * s + 1) * (2 * s + 1) * middle <= one:
        s += 1
    return s


@inner
def fp_recip_estimate(cpu, control, x):
    """FPRecipEstimate."""
    what, sign = kind(cpu, control, 32, x), sign_of(32, x)
    if what >= QUIET:
        return take_nan(cpu, control, 32, what, x)
    if what == INFINITE:
        return zero(32, sign)
    if what == ZERO:
        raises(cpu, DZC)
        return infinity(32, sign)
    exponent = (x >> 23) & 255
    if exponent >= 253:
        raises(cpu, UFC)
        return zero(32, sign)
    estimate = recip_estimate(256 | ((x >> 15) & 255))
    return (sign << 31) | ((253 - exponent) << 23) | ((estimate & 255) << 15)


@inner
def fp_rsqrt_estimate(cpu, control, x):
    """FPRSqrtEstimate."""
    what, sign = kind(cpu, control, 32, x), sign_of(32, x)
    if what >= QUIET:
        return take_nan(cpu, control, 32, what, x)
    if what == ZERO:
        raises(cpu, DZC)
        return infinity(32, sign)
    if sign:
        return invalid(cpu, 32)
    if what == INFINITE:
        return 0
    exponent, top = (x >> 23) & 255, (x >> 15) & 255
    estimate = recip_sqrt_estimate(128 | (top >> 1) if exponent & 1 else 384 | (top >> 1))
    return (((380 - exponent) >> 1) << 23) | ((estimate & 255) << 15)


@inner
def fp_step(cpu, control, x1, x2, root):
    """FPRecipStep: 2 - x1 * x2, each rounded; with ``root`` FPRSqrtStep: (3 - x1 * x2) / 2."""
    what1, what2 = kind(cpu, control, 32, x1), kind(cpu, control, 32, x2)
    if what1 >= QUIET or what2 >= QUIET:
        return take_nans(cpu, control, 32, what1, what2, x1, x2)
    product = 0
    if not ((what1 == INFINITE and what2 == ZERO) or (what1 == ZERO and what2 == INFINITE)):
        product = fp_mul(cpu, control, 32, x1, x2)
    if not root:
        return fp_add(cpu, control, 32, TWO, product, 1)
    # Halving first is exact: whatever is small enough to lose bits by it is lost beside 3 too.
    return fp_add(cpu, control, 32, 0x3FC00000, halved(product), 1)


@inner
def halved(x):
    """x / 2; numbers too small for that, which 1.5 swallows all the same, stay as they are."""
    exponent = (x >> 23) & 255
    return x if exponent == 255 or exponent < 2 else x - (1 << 23)


# -- what micro-ops call ---------------------------------------------------------------------------------------------


@inner
def mask_of(condition):
    return 0xFFFFFFFF if condition else 0


@inner
def compare_mask(cpu, control, op, x1, x2):
    """VCEQ, VCGE, VCGT, VACGE, VACGT of single precision: all ones or 0."""
    if op >= ACGE:
        x1, x2 = with_sign(32, x1, 0), with_sign(32, x2, 0)
    found = fp_compare(cpu, control, 32, x1, x2, 0 if op == CEQ else 1)
    if op == CEQ:
        return mask_of(found == 6)
    if op in (CGE, ACGE):
        return mask_of(found == 6 or found == 2)
    return mask_of(found == 2)


@inner
def two(cpu, control, op, n, x1, x2):
    """An operation of two operands."""
    if op in (ADD, SUB):
        return fp_add(cpu, control, n, x1, x2, 1 if op == SUB else 0)
    if op == MUL:
        return fp_mul(cpu, control, n, x1, x2)
    if op == DIV:
        return fp_div(cpu, control, n, x1, x2)
    if op in (MAX, MIN):
        return fp_max(cpu, control, n, x1, x2, 1 if op == MIN else 0)
    if op in (RECPS, RSQRTS):
        return fp_step(cpu, control, x1, x2, 1 if op == RSQRTS else 0)
    return compare_mask(cpu, control, op, x1, x2)


@inner
def one(cpu, control, op, n, x):
    """An operation of one operand."""
    code = op & 255
    if code == SQRT:
        return fp_sqrt(cpu, control, n, x)
    if code == RECPE:
        return fp_recip_estimate(cpu, control, x)
    if code == RSQRTE:
        return fp_rsqrt_estimate(cpu, control, x)
    if code == WIDEN:
        return fp_convert(cpu, control, n, 2 * n, x)
    if code == NARROW:
        return fp_convert(cpu, control, n, n >> 1, x)
    if code == TO_FIXED:
        return to_fixed(cpu, control, n, x, op)
    return from_fixed(cpu, control, n, x, op)


@inner
def standard(cpu):
    """StandardFPSCRValue."""
    return (ld64(cpu + FPSCR) & AHP) | DN | FZ


@helper
def arm_fp1(cpu, op, n, x):
    """A scalar operation of one operand of ``n`` bits, as FPSCR says."""
    return one(cpu, ld64(cpu + FPSCR), op, n, x)


@helper
def arm_fp2(cpu, op, n, x1, x2):
    """A scalar operation of two operands."""
    return two(cpu, ld64(cpu + FPSCR), op, n, x1, x2)


@helper
def arm_fp3(cpu, n, x, x1, x2):
    """Scalar x + x1 * x2, rounded once."""
    return fp_muladd(cpu, ld64(cpu + FPSCR), n, x, x1, x2)


@helper
def arm_fpcmp(cpu, signal, n, x1, x2):
    """N, Z, C, V of a scalar comparison in bits 31 to 28."""
    return fp_compare(cpu, ld64(cpu + FPSCR), n, x1, x2, signal) << 28


@helper
def arm_fp1v(cpu, op, lanes, low, high):
    """An operation of one operand on 2 or 4 words, by the standard rules."""
    control = standard(cpu)
    low = one(cpu, control, op, 32, low & 0xFFFFFFFF) | (one(cpu, control, op, 32, lsr(low, 32)) << 32)
    if lanes == 4:
        high = one(cpu, control, op, 32, high & 0xFFFFFFFF) | (one(cpu, control, op, 32, lsr(high, 32)) << 32)
        st64(cpu + VALUE_HI, high)
    return low


@inner
def pair2(cpu, control, op, a, b):
    """An operation of two operands on both words of 64 bits."""
    low = two(cpu, control, op, 32, a & 0xFFFFFFFF, b & 0xFFFFFFFF)
    return low | (two(cpu, control, op, 32, lsr(a, 32), lsr(b, 32)) << 32)


@helper
def arm_fp2v(cpu, op, lanes, low1, high1, low2, high2):
    """An operation of two operands on 2 or 4 words."""
    control = standard(cpu)
    low = pair2(cpu, control, op, low1, low2)
    if lanes == 4:
        st64(cpu + VALUE_HI, pair2(cpu, control, op, high1, high2))
    return low


@inner
def pair3(cpu, control, x, a, b):
    """x + a * b, rounded once, on both words of 64 bits."""
    low = fp_muladd(cpu, control, 32, x & 0xFFFFFFFF, a & 0xFFFFFFFF, b & 0xFFFFFFFF)
    return low | (fp_muladd(cpu, control, 32, lsr(x, 32), lsr(a, 32), lsr(b, 32)) << 32)


@helper
def arm_fp3v(cpu, lanes, low, high, low1, high1, low2, high2):
    """x + x1 * x2, rounded once, on 2 or 4 words."""
    control = standard(cpu)
    result = pair3(cpu, control, low, low1, low2)
    if lanes == 4:
        st64(cpu + VALUE_HI, pair3(cpu, control, high, high1, high2))
    return result


@helper
def arm_fp_widen(cpu, x):
    """VCVT.F32.F16: four halves to words."""
    control = standard(cpu)
    low, high = 0, 0
    for i in range(2):
        low |= fp_convert(cpu, control, 16, 32, lsr(x, 16 * i) & 0xFFFF) << (32 * i)
        high |= fp_convert(cpu, control, 16, 32, lsr(x, 16 * i + 32) & 0xFFFF) << (32 * i)
    st64(cpu + VALUE_HI, high)
    return low


@helper
def arm_fp_narrow(cpu, low, high):
    """VCVT.F16.F32: four words to halves."""
    control, result = standard(cpu), 0
    for i in range(2):
        result |= fp_convert(cpu, control, 32, 16, lsr(low, 32 * i) & 0xFFFFFFFF) << (16 * i)
        result |= fp_convert(cpu, control, 32, 16, lsr(high, 32 * i) & 0xFFFFFFFF) << (16 * i + 32)
    return result


@inner
def unsigned_estimate(root, x):
    """UnsignedRecipEstimate, or UnsignedRSqrtEstimate with ``root``."""
    if root:
        if x >> 30 == 0:
            return 0xFFFFFFFF
        return recip_sqrt_estimate(256 + (x >> 24) if x >> 31 else x >> 23) << 23
    return recip_estimate(x >> 23) << 23 if x >> 31 else 0xFFFFFFFF


@helper
def arm_estimate(cpu, root, x):
    """VRECPE.U32, or VRSQRTE.U32 with ``root``, of two words."""
    return unsigned_estimate(root, x & 0xFFFFFFFF) | (unsigned_estimate(root, lsr(x, 32)) << 32)
