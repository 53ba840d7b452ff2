"""Numbers shared by VFP and NEON micro-ops and the software floating point behind them (DDI 0406C, A2.7)."""

from __future__ import annotations

#: FPSCR: alternative half precision, default NaN, flush to zero, rounding mode (2 bits from 22 on).
AHP, DN, FZ, RMODE_AT = 1 << 26, 1 << 25, 1 << 24, 22
RN, RP, RM, RZ = range(4)
#: Cumulative exceptions.
IOC, DZC, OFC, UFC, IXC, IDC = 1, 2, 4, 8, 16, 128

# Operations of two operands (``arm_fp2``, ``arm_fp2v``).
ADD, SUB, MUL, DIV, MAX, MIN, RECPS, RSQRTS, CEQ, CGE, CGT, ACGE, ACGT = range(13)
# Operations of one operand (``arm_fp1``, ``arm_fp1v``). WIDEN and NARROW change between formats: to twice or half the
# bits. Fixed-point: TO_FIXED | fraction bits << 8 | unsigned << 16 | bits of the integer << 24 | rounds to zero << 32;
# FROM_FIXED the same, rounding to nearest in place of to zero.
SQRT, RECPE, RSQRTE, WIDEN, NARROW, TO_FIXED, FROM_FIXED = range(7)
#: Comparisons that signal quiet NaNs too.
SIGNAL = 1


def fixed(code: int, fraction: int, unsigned: bool, bits: int, own_rounding: bool) -> int:
    """The operation TO_FIXED or FROM_FIXED; ``own_rounding``: to zero and to nearest, respectively, whatever FPSCR
    says."""
    return code | fraction << 8 | int(unsigned) << 16 | bits << 24 | int(own_rounding) << 32
