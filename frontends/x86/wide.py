"""Numbers of 128 bits for the x87's transcendental instructions, in integers (compiled by numba).

A number is three words in memory, at an address: the upper and the lower half of its significand, whose highest bit is
set (0: the number is 0), and its exponent: (upper * 2**64 + lower) * 2 ** (exponent - 127). It has no sign: each
algorithm knows its own. Products and quotients are cut off; where a sum or a difference loses bits, they stay visible
in the lowest one, on the side where they are. So each operation is right to 2 or 3 units of the 128th bit.
"""

from __future__ import annotations

from jitrr.engine.native import clz, inner, ld64, lsr, st64, ult, umulh

#: Bytes of a number.
SIZE = 24
#: Rounding control of the control word (SDM volume 1, 4.8.4).
NEAREST, DOWN, UP, CHOP = range(4)
IE, DE, ZE, OE, UE, PE = 1, 2, 4, 8, 16, 32
ROUNDED_UP = 0x200  # C1
BIAS, SCALE = 16383, 24576


@inner
def put(d, high, low, exponent):
    """``d`` = (high:low) * 2 ** (exponent - 127), made normal."""
    if high == 0:
        if low == 0:
            st64(d, 0)
            st64(d + 8, 0)
            return st64(d + 16, 0)
        high, low, exponent = low, 0, exponent - 64
    n = clz(high)
    if n:
        high, low = (high << n) | lsr(low, 64 - n), low << n
    st64(d, high)
    st64(d + 8, low)
    return st64(d + 16, exponent - n)


@inner
def copy(d, a):
    st64(d, ld64(a))
    st64(d + 8, ld64(a + 8))
    return st64(d + 16, ld64(a + 16))


@inner
def put_integer(d, n):
    """``n``: 0 to 2**64 - 1."""
    return put(d, n, 0, 63)


@inner
def scale(d, n):
    """``d`` = d * 2**n."""
    return st64(d + 16, ld64(d + 16) + n)


@inner
def multiply(d, a, b):
    """``d`` = a * b."""
    ah, al, bh, bl = ld64(a), ld64(a + 8), ld64(b), ld64(b + 8)
    exponent = ld64(a + 16) + ld64(b + 16) + 1
    low, high = ah * bh, umulh(ah, bh)
    cross = umulh(ah, bl)
    low += cross
    high += ult(low, cross)
    cross = umulh(al, bh)
    low += cross
    high += ult(low, cross)
    return put(d, high, low, exponent)


@inner
def over(d, n):
    """``d`` = d / n, for an integer from 1 to 2**31 - 1."""
    words = d
    high, low, rest, exponent = lsr(ld64(d), 31), 0, 0, ld64(d + 16)
    # Four digits: 33, 31, 32 and 32 bits, so that none is negative with what is left of the one before.
    q0 = high // n
    rest = high - q0 * n
    part = (rest << 31) | (ld64(d) & 0x7FFFFFFF)
    q1 = part // n
    rest = part - q1 * n
    part = (rest << 32) | lsr(ld64(d + 8), 32)
    q2 = part // n
    rest = part - q2 * n
    part = (rest << 32) | (ld64(d + 8) & 0xFFFFFFFF)
    low = (q2 << 32) | (part // n)
    rest = part - (part // n) * n
    high = (q0 << 31) | q1
    # The bits behind the last digit, so that all 128 of the result count.
    part = ((rest << 32) // n) << 32
    n0 = clz(high | 1)
    if n0 and high:
        high, low = (high << n0) | lsr(low, 64 - n0), (low << n0) | lsr(part, 64 - n0)
        exponent -= n0
    return put(words, high, low, exponent)


@inner
def divide(d, a, b):
    """``d`` = a / b, bit by bit; neither is 0."""
    high, low, bh, bl = ld64(a), ld64(a + 8), ld64(b), ld64(b + 8)
    exponent = ld64(a + 16) - ld64(b + 16)
    qh, ql, carry = 0, 0, 0
    for _ in range(128):
        qh = (qh << 1) | lsr(ql, 63)
        ql <<= 1
        if carry or ult(bh, high) or (bh == high and ult(low, bl) == 0):
            borrow = ult(low, bl)
            low -= bl
            high -= bh + borrow
            ql |= 1
        carry = lsr(high, 63)
        high = (high << 1) | lsr(low, 63)
        low <<= 1
    return put(d, qh, ql, exponent)


@inner
def shifted_high(high, n):
    """The upper word of (high:low) >> n, n >= 0."""
    return lsr(high, n) if n < 64 else 0


@inner
def shifted_low(high, low, n):
    """The lower word of (high:low) >> n, n >= 0; bits that are lost stay visible in the lowest."""
    if n == 0:
        return low
    if n < 64:
        lost = low << (64 - n)
        return (high << (64 - n)) | lsr(low, n) | (1 if lost else 0)
    if n == 64:
        return high | (1 if low else 0)
    if n < 128:
        lost = low | (high << (128 - n))
        return lsr(high, n - 64) | (1 if lost else 0)
    return 1 if high | low else 0


@inner
def add(d, a, b):
    """``d`` = a + b, a's exponent not below b's."""
    high, low, exponent = ld64(a), ld64(a + 8), ld64(a + 16)
    if ld64(b) == 0:
        return put(d, high, low, exponent)
    n = exponent - ld64(b + 16)
    bh, bl = shifted_high(ld64(b), n), shifted_low(ld64(b), ld64(b + 8), n)
    low += bl
    carry = ult(low, bl)
    total = high + bh + carry
    if ult(total, high) or (total == high and carry):
        low = lsr(low, 1) | (total << 63) | (low & 1)
        total = lsr(total, 1) | -(1 << 63)
        exponent += 1
    return put(d, total, low, exponent)


@inner
def subtract(d, a, b):
    """``d`` = a - b, a >= b."""
    high, low, exponent = ld64(a), ld64(a + 8), ld64(a + 16)
    if ld64(b) == 0:
        return put(d, high, low, exponent)
    n = exponent - ld64(b + 16)
    bh, bl = shifted_high(ld64(b), n), shifted_low(ld64(b), ld64(b + 8), n)
    borrow = ult(low, bl)
    return put(d, high - bh - borrow, low - bl, exponent)


@inner
def less(a, b):
    """Whether a < b; neither is 0."""
    if ld64(a + 16) != ld64(b + 16):
        return 1 if ld64(a + 16) < ld64(b + 16) else 0
    return ult(ld64(a), ld64(b)) or (ld64(a) == ld64(b) and ult(ld64(a + 8), ld64(b + 8)))


@inner
def rounds_up(control, sign, odd, rest):
    """Whether a magnitude becomes larger: ``rest`` is what is below its lowest bit, as 64 bits."""
    mode = lsr(control, 10) & 3
    if mode == NEAREST:
        return 1 if rest < 0 and (odd or rest << 1) else 0
    if mode == CHOP or rest == 0:
        return 0
    return 1 if (mode == UP) == (sign == 0) else 0


@inner
def store80(to, control, sign, a):
    """Round a number to an 80-bit one at ``to``, as the control word says of rounding and of unmasked overflow and
    underflow (SDM volume 1, 4.9.1.4 and 4.9.1.5). Returns the exceptions, and C1 if the magnitude became larger."""
    high, low, exponent = ld64(a), ld64(a + 8), ld64(a + 16) + BIAS
    up = rounds_up(control, sign, high & 1, low)
    carried = up & (1 if high == -1 else 0)
    flags = 0
    if exponent + carried > 32766:
        flags = OE
        if control & OE:
            return infinite(to, control, sign)
        exponent -= SCALE
    elif exponent + carried < 1:
        if control & UE:
            return denormal(to, control, sign, a)
        flags = UE
        exponent += SCALE
    high += up
    if carried:
        high = -(1 << 63)
        exponent += 1
    st64(to, high)
    st64(to + 8, (sign << 15) | exponent)
    return flags | (PE if low else 0) | (ROUNDED_UP if up else 0)


@inner
def infinite(to, control, sign):
    """The masked answer to overflow."""
    mode = lsr(control, 10) & 3
    up = 1 if mode == NEAREST or (mode != CHOP and (mode == UP) == (sign == 0)) else 0
    st64(to, -(1 << 63) if up else -1)
    st64(to + 8, (sign << 15) | (0x7FFE + up))
    return OE | PE | (ROUNDED_UP if up else 0)


@inner
def denormal(to, control, sign, a):
    """The masked answer to underflow."""
    n = 1 - (ld64(a + 16) + BIAS)
    high, low = shifted_high(ld64(a), n), shifted_low(ld64(a), ld64(a + 8), n)
    up = rounds_up(control, sign, high & 1, low)
    high += up
    st64(to, high)
    st64(to + 8, (sign << 15) | (1 if high < 0 else 0))
    return (UE | PE if low else 0) | (ROUNDED_UP if up else 0)
