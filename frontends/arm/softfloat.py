"""ARM floating point in integers, after the pseudocode of DDI 0406C, A2.7.8 (compiled by numba).

``control`` is an FPSCR value of which rounding mode, FZ, DN and AHP count; cumulative exceptions go to field
``fpflags``. ``n`` is the format: 16, 32 or 64 bits. A finite number that is not 0 is taken apart into a sign, a
significand whose highest bit is bit 62, and an exponent: significand * 2 ** (exponent - 62).
"""

from __future__ import annotations

from frontends.arm import state as st
from frontends.arm.fpcodes import AHP, DN, DZC, FZ, IDC, IOC, IXC, OFC, RM, RMODE_AT, RN, RP, RZ, UFC
from jitrr.engine.native import clz, inner, ld64, lsr, st64, ult, umulh

FPFLAGS = st.FPFLAGS
#: What an operand is.
ZERO, FINITE, INFINITE, QUIET, SIGNALLING = range(5)


@inner
def raises(cpu, flags):
    """Add cumulative exceptions."""
    return st64(cpu + FPFLAGS, ld64(cpu + FPFLAGS) | flags)


@inner
def fraction_bits(n):
    return 52 if n == 64 else (23 if n == 32 else 10)


@inner
def top_exponent(n):
    """The exponent field of infinities and NaNs."""
    return 2047 if n == 64 else (255 if n == 32 else 31)


@inner
def sign_of(n, x):
    return lsr(x, n - 1) & 1


@inner
def zero(n, sign):
    return sign << (n - 1)


@inner
def infinity(n, sign):
    return (sign << (n - 1)) | (top_exponent(n) << fraction_bits(n))


@inner
def default_nan(n):
    return infinity(n, 0) | (1 << (fraction_bits(n) - 1))


@inner
def invalid(cpu, n):
    """FPDefaultNaN with Invalid Operation."""
    raises(cpu, IOC)
    return default_nan(n)


@inner
def kind(cpu, control, n, x):
    """What an operand is, after flushing (FPUnpack)."""
    f = fraction_bits(n)
    exponent, fraction = lsr(x, f) & top_exponent(n), x & ((1 << f) - 1)
    if exponent == 0:
        if fraction == 0:
            return ZERO
        if control & FZ and n != 16:
            raises(cpu, IDC)
            return ZERO
        return FINITE
    if exponent != top_exponent(n) or (n == 16 and control & AHP):
        return FINITE
    if fraction == 0:
        return INFINITE
    return QUIET if lsr(fraction, f - 1) else SIGNALLING


@inner
def significand(n, x):
    """Of a finite operand, highest bit at 62."""
    f = fraction_bits(n)
    m = x & ((1 << f) - 1)
    if lsr(x, f) & top_exponent(n):
        return (m | (1 << f)) << (62 - f)
    return m << (clz(m) - 1)


@inner
def exponent_of(n, x):
    """Of a finite operand."""
    f, bias = fraction_bits(n), top_exponent(n) >> 1
    e = lsr(x, f) & top_exponent(n)
    if e:
        return e - bias
    return 1 - bias + 63 - f - clz(x & ((1 << f) - 1))


@inner
def jam(m, n):
    """Shift right; bits that are lost stay visible in the lowest."""
    if n >= 63:
        return 1 if m else 0
    return (m >> n) | (1 if m & ((1 << n) - 1) else 0)


@inner
def rounds_up(control, sign, lowest, rest, half):
    """Whether a magnitude with ``rest`` below its lowest bit becomes larger."""
    mode = (control >> RMODE_AT) & 3
    if mode == RN:
        return 1 if rest > half or (rest == half and lowest & 1) else 0
    if mode == RZ or rest == 0:
        return 0
    return 1 if (mode == RP) == (sign == 0) else 0


@inner
def overflow(cpu, control, n, sign):
    """The result too large for the format."""
    if n == 16 and control & AHP:
        raises(cpu, IOC)
        return (sign << 15) | 0x7FFF
    raises(cpu, OFC | IXC)
    mode = (control >> RMODE_AT) & 3
    if mode == RN or (mode == RP and sign == 0) or (mode == RM and sign == 1):
        return infinity(n, sign)
    return infinity(n, sign) - 1


@inner
def fp_round(cpu, control, n, sign, exponent, m):
    """FPRound: the number sign, m * 2 ** (exponent - 62) in format ``n``; m is not 0 and below 2 ** 63."""
    shift = clz(m) - 1
    m <<= shift
    exponent -= shift
    f, lowest = fraction_bits(n), 1 - (top_exponent(n) >> 1)
    if exponent < lowest and control & FZ and n != 16:
        raises(cpu, UFC)
        return zero(n, sign)
    biased, drop = exponent - lowest + 1, 62 - f
    if biased <= 0:
        drop += 1 - biased
        biased = 0
        if drop > 63:
            drop, m = 63, 1
    rest, result = m & ((1 << drop) - 1), m >> drop
    if rest and biased == 0:
        raises(cpu, UFC)
    if rounds_up(control, sign, result, rest, 1 << (drop - 1)):
        result += 1
        if biased == 0 and result >> f:
            biased = 1
        if result >> (f + 1):
            biased += 1
            result >>= 1
    if biased >= top_exponent(n) + (1 if n == 16 and control & AHP else 0):
        return overflow(cpu, control, n, sign)
    if rest:
        raises(cpu, IXC)
    return (sign << (n - 1)) | (biased << f) | (result & ((1 << f) - 1))


@inner
def take_nan(cpu, control, n, what, x):
    """FPProcessNaN."""
    if what == SIGNALLING:
        raises(cpu, IOC)
        x |= 1 << (fraction_bits(n) - 1)
    return default_nan(n) if control & DN else x


@inner
def take_nans(cpu, control, n, what1, what2, x1, x2):
    """FPProcessNaNs, where at least one of both is a NaN."""
    if what1 == SIGNALLING or (what1 == QUIET and what2 != SIGNALLING):
        return take_nan(cpu, control, n, what1, x1)
    return take_nan(cpu, control, n, what2, x2)


@inner
def exact_zero(control, n):
    """The zero that a sum of opposites is."""
    return zero(n, 1 if (control >> RMODE_AT) & 3 == RM else 0)


@inner
def with_sign(n, x, sign):
    return (x & ((1 << (n - 1)) - 1)) | (sign << (n - 1))


@inner
def fp_add(cpu, control, n, x1, x2, minus):
    """FPAdd, or FPSub with ``minus`` 1."""
    what1, what2 = kind(cpu, control, n, x1), kind(cpu, control, n, x2)
    if what1 >= QUIET or what2 >= QUIET:
        return take_nans(cpu, control, n, what1, what2, x1, x2)
    sign1, sign2 = sign_of(n, x1), sign_of(n, x2) ^ minus
    if what1 == INFINITE:
        return invalid(cpu, n) if what2 == INFINITE and sign1 != sign2 else infinity(n, sign1)
    if what2 == INFINITE:
        return infinity(n, sign2)
    if what1 == ZERO and what2 == ZERO:
        return zero(n, sign1) if sign1 == sign2 else exact_zero(control, n)
    if what1 == ZERO:
        return with_sign(n, x2, sign2)
    if what2 == ZERO:
        return x1
    m1, m2 = significand(n, x1) >> 1, significand(n, x2) >> 1
    e1, e2 = exponent_of(n, x1), exponent_of(n, x2)
    e = max(e1, e2)
    m1, m2 = jam(m1, e - e1), jam(m2, e - e2)
    m = m1 + m2 if sign1 == sign2 else m1 - m2
    if m == 0:
        return exact_zero(control, n)
    return fp_round(cpu, control, n, sign1 if m > 0 else sign2, e + 1, abs(m))


@inner
def fp_mul(cpu, control, n, x1, x2):
    """FPMul."""
    what1, what2 = kind(cpu, control, n, x1), kind(cpu, control, n, x2)
    if what1 >= QUIET or what2 >= QUIET:
        return take_nans(cpu, control, n, what1, what2, x1, x2)
    sign = sign_of(n, x1) ^ sign_of(n, x2)
    if what1 == INFINITE or what2 == INFINITE:
        return invalid(cpu, n) if what1 == ZERO or what2 == ZERO else infinity(n, sign)
    if what1 == ZERO or what2 == ZERO:
        return zero(n, sign)
    m1, m2 = significand(n, x1), significand(n, x2)
    m = umulh(m1, m2) | (1 if m1 * m2 else 0)
    return fp_round(cpu, control, n, sign, exponent_of(n, x1) + exponent_of(n, x2) + 2, m)


@inner
def fp_div(cpu, control, n, x1, x2):
    """FPDiv."""
    what1, what2 = kind(cpu, control, n, x1), kind(cpu, control, n, x2)
    if what1 >= QUIET or what2 >= QUIET:
        return take_nans(cpu, control, n, what1, what2, x1, x2)
    sign = sign_of(n, x1) ^ sign_of(n, x2)
    if what1 == what2 and what1 != FINITE:
        return invalid(cpu, n)
    if what1 == INFINITE or what2 == ZERO:
        if what1 != INFINITE:
            raises(cpu, DZC)
        return infinity(n, sign)
    if what1 == ZERO or what2 == INFINITE:
        return zero(n, sign)
    rest, m2 = significand(n, x1) >> 10, significand(n, x2) >> 10
    m = 1 if rest >= m2 else 0
    rest -= m * m2
    for _ in range(6):
        rest <<= 10
        digit = rest // m2
        m = (m << 10) | digit
        rest -= digit * m2
    return fp_round(cpu, control, n, sign, exponent_of(n, x1) - exponent_of(n, x2) + 2, m | (1 if rest else 0))


@inner
def fp_sqrt(cpu, control, n, x):
    """FPSqrt."""
    what = kind(cpu, control, n, x)
    if what >= QUIET:
        return take_nan(cpu, control, n, what, x)
    sign = sign_of(n, x)
    if what == ZERO:
        return zero(n, sign)
    if sign:
        return invalid(cpu, n)
    if what == INFINITE:
        return infinity(n, 0)
    e = exponent_of(n, x)
    source, root, rest = significand(n, x) << (e & 1), 0, 0
    for i in range(60):
        rest = (rest << 2) | (lsr(source, 62 - 2 * i) & 3 if i < 32 else 0)
        trial = (root << 2) | 1
        root <<= 1
        if rest >= trial:
            rest -= trial
            root |= 1
    return fp_round(cpu, control, n, 0, (e >> 1) + 3, root | (1 if rest else 0))


@inner
def low_of_shifted(high, low, n):
    """Low half of (high:low) >> n with what is lost in its lowest bit; high is below 2 ** 63."""
    if n == 0:
        return low
    if n < 64:
        return lsr(low, n) | (high << (64 - n)) | (1 if low << (64 - n) else 0)
    if n >= 127:
        return 1 if high | low else 0
    lost = low | (high & ((1 << (n - 64)) - 1))
    return lsr(high, n - 64) | (1 if lost else 0)


@inner
def fused_sum(cpu, control, n, sign_a, x, sign_p, x1, x2):
    """x + x1 * x2, finite and not 0 all three, rounded once; 128 bits wide."""
    m1, m2 = significand(n, x1), significand(n, x2)
    high_p, low_p, e_p = umulh(m1, m2), m1 * m2, exponent_of(n, x1) + exponent_of(n, x2)
    high_a, low_a, e_a = significand(n, x) >> 2, 0, exponent_of(n, x)
    e = max(e_p, e_a)
    low_p, low_a = low_of_shifted(high_p, low_p, e - e_p), low_of_shifted(high_a, low_a, e - e_a)
    high_p, high_a = high_p >> min(e - e_p, 63), high_a >> min(e - e_a, 63)
    sign = sign_p
    if sign_a == sign_p:
        low = low_p + low_a
        high = high_p + high_a + (1 if ult(low, low_p) else 0)
    else:
        low = low_p - low_a
        high = high_p - high_a - (1 if ult(low_p, low_a) else 0)
        if high < 0:
            sign, low = sign_a, -low
            high = ~high + (1 if low == 0 else 0)
    if high == 0:
        if low == 0:
            return exact_zero(control, n)
        return fp_round(cpu, control, n, sign, e - 61, lsr(low, 1) | (low & 1))
    shift = clz(high) - 1
    if shift:
        high, low = (high << shift) | lsr(low, 64 - shift), low << shift
    return fp_round(cpu, control, n, sign, e - shift + 2, high | (1 if low else 0))


@inner
def fp_muladd(cpu, control, n, x, x1, x2):
    """FPMulAdd: x + x1 * x2, rounded once."""
    what, what1, what2 = kind(cpu, control, n, x), kind(cpu, control, n, x1), kind(cpu, control, n, x2)
    none = (what1 == INFINITE and what2 == ZERO) or (what1 == ZERO and what2 == INFINITE)
    if what == QUIET and none:
        return invalid(cpu, n)
    if what >= QUIET or what1 >= QUIET or what2 >= QUIET:
        if what == SIGNALLING or (what == QUIET and what1 != SIGNALLING and what2 != SIGNALLING):
            return take_nan(cpu, control, n, what, x)
        return take_nans(cpu, control, n, what1, what2, x1, x2)
    sign, sign_p = sign_of(n, x), sign_of(n, x1) ^ sign_of(n, x2)
    infinite = what1 == INFINITE or what2 == INFINITE
    if none or (what == INFINITE and infinite and sign != sign_p):
        return invalid(cpu, n)
    if what == INFINITE:
        return infinity(n, sign)
    if infinite:
        return infinity(n, sign_p)
    if what1 == ZERO or what2 == ZERO:
        if what != ZERO:
            return x
        return zero(n, sign) if sign == sign_p else exact_zero(control, n)
    if what == ZERO:
        return fp_mul(cpu, control, n, x1, x2)
    return fused_sum(cpu, control, n, sign, x, sign_p, x1, x2)


@inner
def compared(n, x1, x2):
    """-1, 0, 1 of two operands without NaN; neither is flushed."""
    a, b = with_sign(n, x1, 0), with_sign(n, x2, 0)
    a, b = -a if sign_of(n, x1) else a, -b if sign_of(n, x2) else b
    return 0 if a == b else (-1 if a < b else 1)


@inner
def flushed(n, what, x):
    """The operand as what it was found to be: a flushed one is 0."""
    return x if what else zero(n, sign_of(n, x))


@inner
def fp_compare(cpu, control, n, x1, x2, signal):
    """FPCompare: N, Z, C, V in bits 3 to 0; ``signal``: quiet NaNs are invalid too."""
    what1, what2 = kind(cpu, control, n, x1), kind(cpu, control, n, x2)
    if what1 >= QUIET or what2 >= QUIET:
        if signal or what1 == SIGNALLING or what2 == SIGNALLING:
            raises(cpu, IOC)
        return 3
    order = compared(n, flushed(n, what1, x1), flushed(n, what2, x2))
    return 6 if order == 0 else (8 if order < 0 else 2)


@inner
def fp_max(cpu, control, n, x1, x2, smaller):
    """FPMax, or FPMin with ``smaller`` 1."""
    what1, what2 = kind(cpu, control, n, x1), kind(cpu, control, n, x2)
    if what1 >= QUIET or what2 >= QUIET:
        return take_nans(cpu, control, n, what1, what2, x1, x2)
    x1, x2 = flushed(n, what1, x1), flushed(n, what2, x2)
    if what1 == ZERO and what2 == ZERO:
        return (x1 | x2) if smaller else (x1 & x2)
    order = compared(n, x1, x2)
    return x1 if (order < 0) == (smaller == 1) else x2
