"""Splitting an ARM instruction natively: its length, its bits without plain constants, and those constants.

Constants are masked (and so shared by one template) where an instruction uses them as plain numbers: branch offsets,
offsets of loads and stores, immediates of data processing that do not select the shifter's carry. Within a block
S_CARRY holds ITSTATE; it is part of the key. A block that starts within an IT block (MODE_IT) has one instruction.
"""

from __future__ import annotations

from frontends.arm.state import MODE_IT, MODE_THUMB
from jitrr.engine.constants import S_CARRY, S_DISP, S_IMM, S_KEY_HIGH, S_KEY_LOW, S_SHAPE
from jitrr.engine.native import inner, ld16, ld32, ld64, lsr, st64

#: S_SHAPE: what is masked.
DISP, IMM = 1, 2


@inner
def sext(value, bits):
    """The low ``bits`` of a value as a signed number."""
    low = value & ((1 << bits) - 1)
    return low - ((lsr(low, bits - 1) & 1) << bits)


@inner
def expand_arm(imm12):
    """ARMExpandImm."""
    rotation = 2 * lsr(imm12, 8)
    value = imm12 & 255
    return (lsr(value, rotation) | (value << (32 - rotation))) & 0xFFFFFFFF


@inner
def expand_thumb(imm12):
    """ThumbExpandImm."""
    low = imm12 & 255
    if lsr(imm12, 10) == 0:
        kind = lsr(imm12, 8) & 3
        if kind == 0:
            return low
        if kind == 1:
            return low | (low << 16)
        if kind == 2:
            return (low << 8) | (low << 24)
        return low * 0x01010101
    rotation = lsr(imm12, 7)
    value = 0x80 | (imm12 & 127)
    return (lsr(value, rotation) | (value << (32 - rotation))) & 0xFFFFFFFF


@inner
def masked(out, key, disp, imm, shape):
    st64(out + S_KEY_LOW, key)
    st64(out + S_DISP, disp)
    st64(out + S_IMM, imm)
    st64(out + S_SHAPE, shape)
    return 0


@inner
def signed_by_u(w, offset):
    """An offset that bit 23 says to add or subtract."""
    return offset if w & (1 << 23) else -offset


@inner
def split_a32(w, out):
    kind = lsr(w, 25) & 7
    unconditional = lsr(w, 28) == 15
    if kind == 5:
        offset = sext(w, 24) << 2
        if unconditional:
            return masked(out, w & 0xFE000000, 0, offset | (lsr(w, 23) & 2), IMM)
        return masked(out, w & 0xFF000000, 0, offset, IMM)
    if unconditional:
        return masked(out, w, 0, 0, 0)
    if kind == 2:
        return masked(out, w & ~0x00800FFF, signed_by_u(w, w & 0xFFF), 0, DISP)
    if w & 0x0E400090 == 0x00400090 and lsr(w, 5) & 3 != 0:
        return masked(out, w & ~0x00800F0F, signed_by_u(w, lsr(w, 4) & 0xF0 | w & 15), 0, DISP)
    if w & 0x0F200E00 == 0x0D000A00:
        return masked(out, w & ~0x008000FF, signed_by_u(w, (w & 255) << 2), 0, DISP)
    if kind == 1:
        op, flags = lsr(w, 21) & 15, lsr(w, 20) & 1
        if w & 0x01B00000 == 0x01000000:
            return masked(out, w & ~0x000F0FFF, 0, lsr(w, 4) & 0xF000 | w & 0xFFF, IMM)
        if w & 0x01900000 == 0x01000000 or (lsr(w, 12) & 15 == 15 and op & 12 != 8):
            return masked(out, w, 0, 0, 0)
        if flags and lsr(0xF303, op) & 1:  # AND EOR TST TEQ ORR MOV BIC MVN: a rotation gives the carry
            if w & 0xF00 != 0:
                return masked(out, w, 0, 0, 0)
            return masked(out, w & ~0xFF, 0, w & 255, IMM)
        return masked(out, w & ~0xFFF, 0, expand_arm(w & 0xFFF), IMM)
    return masked(out, w, 0, 0, 0)


@inner
def split_t16(h, out):
    top = lsr(h, 11)
    if top == 0b11100:
        return masked(out, h & 0xF800, 0, sext(h, 11) << 1, IMM)
    if lsr(h, 12) == 13 and h & 0x0E00 != 0x0E00:
        return masked(out, h & 0xFF00, 0, sext(h, 8) << 1, IMM)
    if h & 0xF500 == 0xB100:
        return masked(out, h & ~0x02F8, 0, lsr(h, 3) & 0x40 | lsr(h, 2) & 0x3E, IMM)
    if top == 0b01001 or lsr(h, 12) == 9:
        return masked(out, h & 0xFF00, (h & 255) << 2, 0, DISP)
    if lsr(h, 13) == 3:
        return masked(out, h & ~0x07C0, (lsr(h, 6) & 31) << (0 if h & 0x1000 else 2), 0, DISP)
    if lsr(h, 12) == 8:
        return masked(out, h & ~0x07C0, (lsr(h, 6) & 31) << 1, 0, DISP)
    if lsr(h, 12) == 10:
        return masked(out, h & 0xFF00, 0, (h & 255) << 2, IMM)
    if lsr(h, 8) == 0xB0:
        return masked(out, h & 0xFF80, 0, (h & 127) << 2, IMM)
    if lsr(h, 13) == 1:
        return masked(out, h & 0xFF00, 0, h & 255, IMM)
    if h & 0xFC00 == 0x1C00:
        return masked(out, h & ~0x01C0, 0, lsr(h, 6) & 7, IMM)
    return masked(out, h, 0, 0, 0)


@inner
def split_branch(w, out):
    """T32 branches of 32 bits: hw1 is 11110..., bit 15 of hw2 is set."""
    kind = w & 0xD000
    if kind == 0x8000:
        if lsr(w, 23) & 7 == 7:
            return masked(out, w, 0, 0, 0)
        bits = lsr(w, 26 - 19) & (1 << 19) | (w & 0x0800) << 7 | (w & 0x2000) << 4 | lsr(w, 5) & 0x1F800 | w & 0x7FF
        return masked(out, w & 0xFBC0D000, 0, sext(bits, 20) << 1, IMM)
    s = lsr(w, 26) & 1
    i1, i2 = (lsr(w, 13) & 1) ^ s ^ 1, (lsr(w, 11) & 1) ^ s ^ 1
    bits = (s << 23) | (i1 << 22) | (i2 << 21) | lsr(w, 5) & 0x1FF800 | w & 0x7FF
    keep = 0xF800D001 if kind == 0xC000 else 0xF800D000
    return masked(out, w & keep, 0, sext(bits, 24) << 1, IMM)


@inner
def split_immediate(w, out):
    """T32 data processing with an immediate: hw1 is 11110..., bit 15 of hw2 is clear."""
    imm12 = lsr(w, 15) & 0x800 | lsr(w, 4) & 0x700 | w & 255
    op = lsr(w, 20) & 31
    if w & (1 << 25) == 0:
        if op & 1 and lsr(op, 1) < 5:  # the logical ones with flags: a rotation gives the carry
            if lsr(imm12, 10) != 0:
                return masked(out, w, 0, 0, 0)
            return masked(out, w & ~0xFF, 0, expand_thumb(imm12), IMM)
        return masked(out, w & ~0x040070FF, 0, expand_thumb(imm12), IMM)
    if op == 0 or op == 10:
        return masked(out, w & ~0x040070FF, 0, imm12, IMM)
    if op == 4 or op == 12:
        return masked(out, w & ~0x040F70FF, 0, lsr(w, 4) & 0xF000 | imm12, IMM)
    return masked(out, w, 0, 0, 0)


@inner
def split_t32(w, out):
    if lsr(w, 27) == 0b11110:
        return split_branch(w, out) if w & 0x8000 else split_immediate(w, out)
    if w & 0xFF100000 == 0xF9000000:  # elements and structures of Advanced SIMD
        return masked(out, w, 0, 0, 0)
    if w & 0xFE000000 == 0xF8000000:
        if lsr(w, 16) & 15 == 15 and w & (1 << 20):
            return masked(out, w & ~0x00800FFF, signed_by_u(w, w & 0xFFF), 0, DISP)
        if w & (1 << 23):
            return masked(out, w & ~0xFFF, w & 0xFFF, 0, DISP)
        if w & 0x800:
            return masked(out, w & ~0xFF, w & 255 if w & 0x200 else -(w & 255), 0, DISP)
        return masked(out, w, 0, 0, 0)
    if w & 0xFE400000 == 0xE8400000 and w & 0x01200000:
        return masked(out, w & ~0x008000FF, signed_by_u(w, (w & 255) << 2), 0, DISP)
    if w & 0xFF200E00 == 0xED000A00:
        return masked(out, w & ~0x008000FF, signed_by_u(w, (w & 255) << 2), 0, DISP)
    return masked(out, w, 0, 0, 0)


@inner
def split(code, available, mode, out):
    """Length of the instruction at host address ``code`` (0: more than ``available`` bytes)."""
    if mode & MODE_THUMB == 0:
        if available < 4:
            return 0
        split_a32(ld32(code), out)
        st64(out + S_KEY_HIGH, mode << 56)
        return 4
    if available < 2:
        return 0
    half = ld16(code)
    itstate = 0 if mode & MODE_IT else ld64(out + S_CARRY)
    if lsr(half, 11) < 0b11101:
        length = 2
        split_t16(half, out)
    else:
        if available < 4:
            return 0
        length = 4
        split_t32((half << 16) | ld16(code + 2), out)
    st64(out + S_KEY_HIGH, (mode << 56) | (itstate << 48) | length)
    if half & 0xFF00 == 0xBF00 and half & 15 != 0:
        itstate = half & 255
    elif itstate & 7:
        itstate = (itstate & 0xE0) | ((itstate << 1) & 0x1F)
    else:
        itstate = 0
    st64(out + S_CARRY, itstate)
    return length
