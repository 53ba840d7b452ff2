"""ARM floating point in exact fractions: the pseudocode of DDI 0406C, A2.7.8, written down once more and slowly.

Every function returns ``(bits, flags)``. A :class:`Control` holds what FPSCR decides; flags are its cumulative bits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import isqrt

IOC, DZC, OFC, UFC, IXC, IDC = 1, 2, 4, 8, 16, 128
SHAPE = {16: (5, 10), 32: (8, 23), 64: (11, 52)}


@dataclass
class Control:
    """Rounding ``mode`` (0 nearest, 1 up, 2 down, 3 to zero), flush to zero, default NaN, alternative half precision;
    ``flags`` collects."""

    mode: int = 0
    fz: bool = False
    dn: bool = False
    ahp: bool = False
    flags: int = field(default=0)


def from_fpscr(value: int) -> Control:
    """What an FPSCR value says."""
    return Control(value >> 22 & 3, bool(value >> 24 & 1), bool(value >> 25 & 1), bool(value >> 26 & 1))


def standard(value: int) -> Control:
    """StandardFPSCRValue()."""
    return Control(0, True, True, bool(value >> 26 & 1))


def unpack(c: Control, n: int, x: int) -> tuple[str, int, Fraction]:
    """FPUnpack: kind ("zero", "finite", "inf", "qnan", "snan"), sign, value."""
    e_bits, f_bits = SHAPE[n]
    sign, exponent, fraction = x >> (n - 1), x >> f_bits & ((1 << e_bits) - 1), x & ((1 << f_bits) - 1)
    bias = (1 << (e_bits - 1)) - 1
    if exponent == 0:
        if fraction == 0:
            return "zero", sign, Fraction(0)
        if c.fz and n != 16:
            c.flags |= IDC
            return "zero", sign, Fraction(0)
        value = Fraction(fraction, 1 << f_bits) * Fraction(2) ** (1 - bias)
    elif exponent == (1 << e_bits) - 1 and not (n == 16 and c.ahp):
        if fraction == 0:
            return "inf", sign, Fraction(0)
        return ("qnan" if fraction >> (f_bits - 1) else "snan"), sign, Fraction(0)
    else:
        value = (1 + Fraction(fraction, 1 << f_bits)) * Fraction(2) ** (exponent - bias)
    return "finite", sign, -value if sign else value


def inf(n: int, sign: int) -> int:
    e_bits, f_bits = SHAPE[n]
    return sign << (n - 1) | ((1 << e_bits) - 1) << f_bits


def default_nan(n: int) -> int:
    return inf(n, 0) | 1 << (SHAPE[n][1] - 1)


def invalid(c: Control, n: int) -> int:
    c.flags |= IOC
    return default_nan(n)


def _increases(c: Control, floor: int, error: Fraction, sign: int) -> bool:
    """Whether rounding makes a magnitude larger."""
    half = Fraction(1, 2)
    nearest = error > half or (error == half and floor & 1 == 1)
    return (nearest, error != 0 and sign == 0, error != 0 and sign == 1, False)[c.mode]


def fp_round(c: Control, n: int, value: Fraction) -> int:
    """FPRound of a value that is not 0."""
    e_bits, f_bits = SHAPE[n]
    minimum = 2 - (1 << (e_bits - 1))
    sign, mantissa = (1, -value) if value < 0 else (0, value)
    exponent = mantissa.numerator.bit_length() - mantissa.denominator.bit_length()
    if Fraction(2) ** exponent > mantissa:
        exponent -= 1
    if c.fz and n != 16 and exponent < minimum:
        c.flags |= UFC
        return sign << (n - 1)
    biased = max(exponent - minimum + 1, 0)
    scaled = mantissa / Fraction(2) ** (max(exponent, minimum) - f_bits)
    whole = scaled.numerator // scaled.denominator
    error = scaled - whole
    if biased == 0 and error:
        c.flags |= UFC
    if _increases(c, whole, error, sign):
        whole += 1
        if whole == 1 << f_bits:
            biased = 1
        if whole == 1 << (f_bits + 1):
            biased += 1
            whole >>= 1
    if n != 16 or not c.ahp:
        if biased >= (1 << e_bits) - 1:
            c.flags |= OFC | IXC
            to_infinity = (True, sign == 0, sign == 1, False)[c.mode]
            return inf(n, sign) - (0 if to_infinity else 1)
    elif biased >= 1 << e_bits:
        c.flags |= IOC
        return sign << 15 | 0x7FFF
    if error:
        c.flags |= IXC
    return sign << (n - 1) | biased << f_bits | whole & ((1 << f_bits) - 1)


def _nan(c: Control, n: int, kind: str, x: int) -> int:
    if kind == "snan":
        c.flags |= IOC
        x |= 1 << (SHAPE[n][1] - 1)
    return default_nan(n) if c.dn else x


def nans(c: Control, n: int, *operands: tuple[str, int]) -> int | None:
    """FPProcessNaNs and FPProcessNaNs3: the first signalling operand, or else the first quiet one."""
    for wanted in ("snan", "qnan"):
        for kind, x in operands:
            if kind == wanted:
                return _nan(c, n, kind, x)
    return None


def _zero_sum(c: Control, n: int) -> int:
    return int(c.mode == 2) << (n - 1)


def add(c: Control, n: int, x: int, y: int, negate: bool = False) -> int:
    """FPAdd; with ``negate`` FPSub."""
    (k1, s1, v1), (k2, s2, v2) = unpack(c, n, x), unpack(c, n, y)
    done = nans(c, n, (k1, x), (k2, y))
    if done is not None:
        return done
    if negate:
        s2, v2 = 1 - s2, -v2
    if k1 == k2 == "inf" and s1 != s2:
        return invalid(c, n)
    if "inf" in (k1, k2):
        return inf(n, s1 if k1 == "inf" else s2)
    if k1 == k2 == "zero" and s1 == s2:
        return s1 << (n - 1)
    return fp_round(c, n, v1 + v2) if v1 + v2 else _zero_sum(c, n)


def sub(c: Control, n: int, x: int, y: int) -> int:
    return add(c, n, x, y, True)


def mul(c: Control, n: int, x: int, y: int) -> int:
    """FPMul."""
    (k1, s1, v1), (k2, s2, v2) = unpack(c, n, x), unpack(c, n, y)
    done = nans(c, n, (k1, x), (k2, y))
    if done is not None:
        return done
    if {k1, k2} == {"inf", "zero"}:
        return invalid(c, n)
    if "inf" in (k1, k2):
        return inf(n, s1 ^ s2)
    if "zero" in (k1, k2):
        return (s1 ^ s2) << (n - 1)
    return fp_round(c, n, v1 * v2)


def div(c: Control, n: int, x: int, y: int) -> int:
    """FPDiv."""
    (k1, s1, v1), (k2, s2, v2) = unpack(c, n, x), unpack(c, n, y)
    done = nans(c, n, (k1, x), (k2, y))
    if done is not None:
        return done
    if k1 == k2 and k1 in ("inf", "zero"):
        return invalid(c, n)
    if k1 == "inf" or k2 == "zero":
        c.flags |= DZC if k1 != "inf" else 0
        return inf(n, s1 ^ s2)
    if k1 == "zero" or k2 == "inf":
        return (s1 ^ s2) << (n - 1)
    return fp_round(c, n, v1 / v2)


def muladd(c: Control, n: int, a: int, x: int, y: int) -> int:
    """FPMulAdd: a + x * y."""
    (ka, sa, va), (k1, s1, v1), (k2, s2, v2) = unpack(c, n, a), unpack(c, n, x), unpack(c, n, y)
    done = nans(c, n, (ka, a), (k1, x), (k2, y))
    none = {k1, k2} == {"inf", "zero"}
    if ka == "qnan" and none:
        return invalid(c, n)
    if done is not None:
        return done
    sp, infinite = s1 ^ s2, "inf" in (k1, k2)
    if none or (ka == "inf" and infinite and sa != sp):
        return invalid(c, n)
    if ka == "inf" or infinite:
        return inf(n, sa if ka == "inf" else sp)
    if ka == "zero" and "zero" in (k1, k2) and sa == sp:
        return sa << (n - 1)
    value = va + v1 * v2
    return fp_round(c, n, value) if value else _zero_sum(c, n)


def _sqrt(value: Fraction, bits: int) -> Fraction:
    """A number that rounds as the square root does: ``bits`` exact bits and one below that says that there are more."""
    shift = 0
    while value.numerator << shift < value.denominator << bits:
        shift += 2
    scaled = Fraction(value.numerator << shift, value.denominator)
    whole = scaled.numerator // scaled.denominator
    root = isqrt(whole)
    exact = scaled.denominator == 1 and root * root == whole
    return (Fraction(root) if exact else root + Fraction(1, 4)) / (1 << shift // 2)


def sqrt(c: Control, n: int, x: int) -> int:
    """FPSqrt."""
    kind, sign, value = unpack(c, n, x)
    if kind in ("qnan", "snan"):
        return _nan(c, n, kind, x)
    if kind == "zero":
        return sign << (n - 1)
    if sign:
        return invalid(c, n)
    return inf(n, 0) if kind == "inf" else fp_round(c, n, _sqrt(value, 140))


def compare(c: Control, n: int, x: int, y: int, signal: bool) -> int:
    """FPCompare: NZCV as a number of 4 bits."""
    (k1, _, v1), (k2, _, v2) = unpack(c, n, x), unpack(c, n, y)
    kinds = {k1, k2}
    if kinds & {"qnan", "snan"}:
        c.flags |= IOC if signal or "snan" in kinds else 0
        return 3
    huge = Fraction(2) ** 5000
    a, b = (((-huge if z >> (n - 1) else huge) if k == "inf" else v) for k, v, z in ((k1, v1, x), (k2, v2, y)))
    return 6 if a == b else (8 if a < b else 2)


def maximum(c: Control, n: int, x: int, y: int, smaller: bool = False) -> int:
    """FPMax; with ``smaller`` FPMin."""
    (k1, s1, v1), (k2, s2, v2) = unpack(c, n, x), unpack(c, n, y)
    done = nans(c, n, (k1, x), (k2, y))
    if done is not None:
        return done
    huge = Fraction(2) ** 5000
    a = (-huge if s1 else huge) if k1 == "inf" else v1
    b = (-huge if s2 else huge) if k2 == "inf" else v2
    kind, sign, value = (k1, s1, v1) if (a < b if smaller else a > b) else (k2, s2, v2)
    if kind == "inf":
        return inf(n, sign)
    if kind == "zero":
        return ((s1 | s2) if smaller else (s1 & s2)) << (n - 1)
    return fp_round(c, n, value)


def minimum(c: Control, n: int, x: int, y: int) -> int:
    return maximum(c, n, x, y, True)


def to_fixed(c: Control, n: int, x: int, fraction: int, unsigned: bool, bits: int, to_zero: bool) -> int:
    """FPToFixed."""
    c.mode = 3 if to_zero else c.mode
    kind, sign, value = unpack(c, n, x)
    if kind in ("qnan", "snan"):
        c.flags |= IOC
        return 0
    value = Fraction((-1) ** sign * 2**2000) if kind == "inf" else value * 2**fraction
    magnitude = abs(value)
    whole = magnitude.numerator // magnitude.denominator
    error = magnitude - whole
    whole += _increases(c, whole, error, sign)
    whole = -whole if sign else whole
    low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if not low <= whole <= high:
        c.flags |= IOC
    elif error:
        c.flags |= IXC
    return min(max(whole, low), high) & (2**bits - 1)


def from_fixed(c: Control, n: int, x: int, fraction: int, unsigned: bool, bits: int, to_nearest: bool) -> int:
    """FixedToFP."""
    c.mode = 0 if to_nearest else c.mode
    x &= 2**bits - 1
    if not unsigned and x >> (bits - 1):
        x -= 2**bits
    return fp_round(c, n, Fraction(x, 2**fraction)) if x else 0


def convert(c: Control, n: int, to: int, x: int) -> int:
    """FPHalfToSingle, FPSingleToHalf, FPSingleToDouble, FPDoubleToSingle."""
    kind, sign, value = unpack(c, n, x)
    if kind in ("qnan", "snan"):
        alternative = to == 16 and c.ahp
        c.flags |= IOC if kind == "snan" or alternative else 0
        if alternative:
            return sign << 15
        if c.dn:
            return default_nan(to)
        f, g = SHAPE[n][1], SHAPE[to][1]
        payload = x & ((1 << (f - 1)) - 1)
        return inf(to, sign) | 1 << (g - 1) | (payload << (g - f) if g > f else payload >> (f - g))
    if kind == "inf":
        if to == 16 and c.ahp:
            c.flags |= IOC
            return sign << 15 | 0x7FFF
        return inf(to, sign)
    return sign << (to - 1) if kind == "zero" else fp_round(c, to, value)


# -- estimates (single precision) ------------------------------------------------------------------------------------


def _recip_estimate(a: float) -> float:
    q = int(a * 512.0)
    s = int(256.0 * (1.0 / ((q + 0.5) / 512.0)) + 0.5)
    return s / 256.0


def _recip_sqrt_estimate(a: float) -> float:
    scale = 512.0 if a < 0.5 else 256.0
    r = 1.0 / (((int(a * scale) + 0.5) / scale) ** 0.5)
    return int(256.0 * r + 0.5) / 256.0


def recip_estimate(c: Control, x: int) -> int:
    """FPRecipEstimate."""
    kind, sign, value = unpack(c, 32, x)
    if kind in ("qnan", "snan"):
        return _nan(c, 32, kind, x)
    if kind == "inf":
        return sign << 31
    if kind == "zero":
        c.flags |= DZC
        return inf(32, sign)
    if abs(value) >= Fraction(2) ** 126:
        c.flags |= UFC
        return sign << 31
    estimate = _recip_estimate(0.5 * (1 + (x & 0x7FFFFF) / 2**23))
    return sign << 31 | (253 - (x >> 23 & 255)) << 23 | int((estimate - 1) * 2**23)


def rsqrt_estimate(c: Control, x: int) -> int:
    """FPRSqrtEstimate."""
    kind, sign, _ = unpack(c, 32, x)
    if kind in ("qnan", "snan"):
        return _nan(c, 32, kind, x)
    if kind == "zero":
        c.flags |= DZC
        return inf(32, sign)
    if sign:
        return invalid(c, 32)
    if kind == "inf":
        return 0
    scale = 0.25 if x >> 23 & 1 else 0.5
    estimate = _recip_sqrt_estimate(scale * (1 + (x & 0x7FFFFF) / 2**23))
    return (380 - (x >> 23 & 255)) // 2 << 23 | int((estimate - 1) * 2**23)


def recip_step(c: Control, x: int, y: int, root: bool = False) -> int:
    """FPRecipStep; with ``root`` FPRSqrtStep."""
    (k1, _, _), (k2, _, _) = unpack(c, 32, x), unpack(c, 32, y)
    done = nans(c, 32, (k1, x), (k2, y))
    if done is not None:
        return done
    product = 0 if {k1, k2} == {"inf", "zero"} else mul(c, 32, x, y)
    if not root:
        return sub(c, 32, 0x40000000, product)
    kind, sign, value = unpack(c, 32, product)  # FPHalvedSub of 3
    if kind == "inf":
        return inf(32, 1 - sign)
    return fp_round(c, 32, (3 - value) / 2) if value != 3 else 0


def rsqrt_step(c: Control, x: int, y: int) -> int:
    return recip_step(c, x, y, True)


def unsigned_recip_estimate(x: int) -> int:
    if not x >> 31:
        return 0xFFFFFFFF
    return 1 << 31 | int((_recip_estimate(x / 2**32) - 1) * 2**31)


def unsigned_rsqrt_estimate(x: int) -> int:
    if not x >> 30:
        return 0xFFFFFFFF
    return 1 << 31 | int((_recip_sqrt_estimate(x / 2**32) - 1) * 2**31)
