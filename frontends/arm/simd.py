"""What VFP and Advanced SIMD lifters share: encodings of both instruction sets, registers, availability.

Encodings are written once, as in A32. T32 has the same ones with other first bits (DDI 0406C, A6.3.18, A7.1).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from frontends.arm import state as st
from frontends.arm.lift import Insn
from frontends.arm.patterns import Fields, a32, t32

Bad = Callable[[Fields], Any]
Lifter = Callable[[Insn], None]
Register = Callable[[Lifter], Lifter]


def vfp(text: str, name: str, *, capstone: str = "", bad: Bad | None = None, gate: bool = True) -> Register:
    """Decorator: declare a conditional encoding (its text starts with ``cccc``) in A32 and T32. ``gate``: Undefined
    where VFP is not enabled."""
    rest = text.replace(" ", "").removeprefix("cccc")

    def register(lifter: Lifter) -> Lifter:
        final = _gated(lifter) if gate else lifter
        a32(f"cccc{rest}", name, capstone=capstone, bad=bad)(final)
        t32(f"1110{rest}", name, capstone=capstone, bad=bad)(final)
        return lifter

    return register


def neon(text: str, name: str, *, capstone: str = "", bad: Bad | None = None) -> Register:
    """Decorator: declare an Advanced SIMD encoding, given as in A32, in both instruction sets."""
    bits = text.replace(" ", "")
    data = bits.startswith("1111001")
    thumb = f"111{bits[7]}1111{bits[8:]}" if data else f"11111001{bits[8:]}"

    def register(lifter: Lifter) -> Lifter:
        final = _gated(lifter)
        a32(bits, name, capstone=capstone, bad=bad)(final)
        t32(thumb, name, capstone=capstone, bad=bad)(final)
        return lifter

    return register


def undefined(i: Insn) -> None:
    """The Undefined exception if the condition holds: not allowed here, or no such register."""
    i.emit("arm_undefined")


def _gated(lifter: Lifter) -> Lifter:
    @wraps(lifter)
    def gated(i: Insn) -> None:
        if i.mode & st.MODE_FP:
            lifter(i)
        else:
            undefined(i)

    return gated


def scratch(number: int) -> int:
    """A 128-bit scratch register, 0..7."""
    return st.V + 16 * number


def half(number: int) -> int:
    """A 64-bit half of the vector scratch registers, 0..15."""
    return st.V + 8 * number


def double(i: Insn, letter: str) -> int:
    """Number of the doubleword register in fields ``D:dddd``, ``N:nnnn`` or ``M:mmmm``."""
    return i[letter.upper()] << 4 | i[letter]


def single(i: Insn, letter: str) -> int:
    """Number of the single-precision register there."""
    return i[letter] << 1 | i[letter.upper()]


def odd(*letters: str) -> Bad:
    """UNDEFINED: a quadword register with an odd number."""
    return lambda f: f["Q"] and any(f[letter] & 1 for letter in letters)


def expanded(kind: int, op: int, imm8: int) -> int:
    """AdvSIMDExpandImm: 64 bits; ``kind`` is cmode. (cmode 1111 with op 1 is UNDEFINED.)"""
    if kind < 12:
        if kind & 8:
            return (imm8 << (kind & 2) * 4) * 0x0001000100010001
        return (imm8 << (kind >> 1) * 8) * 0x0000000100000001
    if kind < 14:
        return (imm8 << 8 | 0xFF if kind == 12 else imm8 << 16 | 0xFFFF) * 0x0000000100000001
    if kind == 14:
        if not op:
            return imm8 * 0x0101010101010101
        return sum(0xFF << 8 * bit for bit in range(8) if imm8 >> bit & 1)
    return vfp_immediate(32, imm8) * 0x0000000100000001


def vfp_immediate(n: int, imm8: int) -> int:
    """VFPExpandImm."""
    sign, low, fraction = imm8 >> 7, imm8 >> 6 & 1, imm8 & 63
    exponent_bits = 8 if n == 32 else 11
    exponent = (1 - low) << exponent_bits - 1 | (((1 << exponent_bits - 3) - 1) << 2 if low else 0) | fraction >> 4
    return sign << n - 1 | exponent << n - 1 - exponent_bits | (fraction & 15) << n - 5 - exponent_bits
