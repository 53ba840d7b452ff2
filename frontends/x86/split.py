"""Splitting an x86 instruction natively: its length, its bytes with displacement and immediate masked, and those two.

Follows the opcode maps of SDM volume 2, appendix A. Constants are masked (and so shared by one template) where an
instruction treats them as plain numbers; where they select what it does (shift counts, shuffles, ports, vectors) they
stay in the key.
"""

from __future__ import annotations

import numpy as np

from jitrr.engine.constants import S_DISP, S_IMM, S_KEY_HIGH, S_KEY_LOW, S_SHAPE
from jitrr.engine.native import inner, ld8, ld64, lds8, lds16, lds32, st8, st64

MODRM = 1
I_NONE, I_8, I_16, I_Z, I_V, I_MOFFS, I_ENTER, I_FAR = range(8)
MASKED, REL, INVALID = 16, 32, 64


def _imm(kind: int, flags: int = 0) -> int:
    return kind << 1 | flags


def _one_byte() -> np.ndarray:
    t = np.zeros(256, np.uint8)
    for base in range(0, 0x40, 8):
        t[base : base + 4] = MODRM
        t[base + 4], t[base + 5] = _imm(I_8, MASKED), _imm(I_Z, MASKED)
    t[0x62] = t[0x63] = MODRM
    t[0x68], t[0x6A] = _imm(I_Z, MASKED), _imm(I_8, MASKED)
    t[0x69], t[0x6B] = MODRM | _imm(I_Z, MASKED), MODRM | _imm(I_8, MASKED)
    t[0x70:0x80] = _imm(I_8, MASKED | REL)
    t[0x80] = t[0x82] = t[0x83] = MODRM | _imm(I_8, MASKED)
    t[0x81] = MODRM | _imm(I_Z, MASKED)
    t[0x84:0x90] = MODRM
    t[0x9A] = t[0xEA] = _imm(I_FAR)
    t[0xA0:0xA4] = _imm(I_MOFFS, MASKED)
    t[0xA8], t[0xA9] = _imm(I_8, MASKED), _imm(I_Z, MASKED)
    t[0xB0:0xB8], t[0xB8:0xC0] = _imm(I_8, MASKED), _imm(I_V, MASKED)
    t[0xC0] = t[0xC1] = MODRM | _imm(I_8)
    t[0xC2], t[0xCA] = _imm(I_16, MASKED), _imm(I_16, MASKED)
    t[0xC4] = t[0xC5] = MODRM
    t[0xC6], t[0xC7] = MODRM | _imm(I_8, MASKED), MODRM | _imm(I_Z, MASKED)
    t[0xC8] = _imm(I_ENTER)
    t[0xCD] = _imm(I_8)
    t[0xD0:0xD4] = MODRM
    t[0xD4] = t[0xD5] = _imm(I_8)
    t[0xD8:0xE0] = MODRM
    t[0xE0:0xE4] = _imm(I_8, MASKED | REL)
    t[0xE4:0xE8] = _imm(I_8)
    t[0xE8] = t[0xE9] = _imm(I_Z, MASKED | REL)
    t[0xEB] = _imm(I_8, MASKED | REL)
    t[0xF6] = t[0xF7] = MODRM  # TEST has an immediate as well: handled in code
    t[0xFE] = t[0xFF] = MODRM
    return t


def _two_byte() -> np.ndarray:
    t = np.full(256, MODRM, np.uint8)
    for op in (*range(0x04, 0x0D), 0x0E, *range(0x30, 0x38), 0x77, *range(0xA0, 0xA3)):
        t[op] = 0
    t[0xA8:0xAB] = 0
    t[0xC8:0xD0] = 0
    t[0x80:0x90] = _imm(I_Z, MASKED | REL)
    for op in (0x70, 0x71, 0x72, 0x73, 0xA4, 0xAC, 0xBA, 0xC2, 0xC4, 0xC5, 0xC6):
        t[op] = MODRM | _imm(I_8)
    return t


ONE, TWO = _one_byte(), _two_byte()
_TABLES = np.concatenate([ONE, TWO])


@inner
def split(code, available, mode, out):
    """Length of the instruction at host address ``code`` (0: more than ``available`` bytes or than 15)."""
    code64 = (mode & 3) == 2
    size16 = (mode & 3) == 0
    addr16 = size16
    at, rexw = 0, False
    limit = available if available < 15 else 15
    opsize, addrsize = False, False
    while True:
        if at >= limit:
            return 0
        byte = ld8(code + at)
        if byte == 0x66:
            opsize = True
        elif byte == 0x67:
            addrsize = True
        elif byte & 0xE7 != 0x26 and byte & 0xFE != 0x64 and byte & 0xFE != 0xF2 and byte != 0xF0:
            break  # not ES CS SS DS, FS GS, REPNE REP, LOCK
        at += 1
    if code64 and byte & 0xF0 == 0x40:
        rexw = (byte & 8) != 0
        at += 1
        if at >= limit:
            return 0
        byte = ld8(code + at)
    size16 = size16 != opsize
    addr16 = addr16 != addrsize
    at += 1
    which = 0
    op = byte
    if byte == 0x0F:
        if at >= limit:
            return 0
        op = ld8(code + at)
        at += 1
        which = 256
        if op == 0x38 or op == 0x3A:
            if at >= limit:
                return 0
            three = op
            at += 1
            info = 1 if three == 0x38 else 1 | (1 << 1)
        else:
            info = int(_TABLES[256 + op])
    else:
        info = int(_TABLES[op])
    vex = which == 0 and (op == 0xC4 or op == 0xC5 or op == 0x62)
    if vex:
        if at >= limit:
            return 0
        if code64 or ld8(code + at) & 0xC0 == 0xC0:
            info = 0  # VEX and EVEX: not announced; the prefix byte alone is enough to know
    disp_at, disp_size = at, 0
    modrm = 0
    if info & 1:
        if at >= limit:
            return 0
        modrm = ld8(code + at)
        at += 1
        mod, rm = modrm >> 6, modrm & 7
        if which == 256 and op >= 0x20 and op <= 0x23:
            mod = 3  # MOV to and from control and debug registers ignores mod
        if mod != 3:
            if addr16 and not code64:
                disp_size = 1 if mod == 1 else (2 if mod == 2 or rm == 6 else 0)
            else:
                base = rm
                if rm == 4:
                    if at >= limit:
                        return 0
                    base = ld8(code + at) & 7
                    at += 1
                disp_size = 1 if mod == 1 else (4 if mod == 2 or base == 5 else 0)
        disp_at = at
        at += disp_size
    kind = (info >> 1) & 7
    masked = (info & 16) != 0
    if which == 0 and (op == 0xF6 or op == 0xF7) and (modrm >> 3) & 7 < 2:
        kind, masked = (1 if op == 0xF6 else 3), True
    imm_at, imm_size = at, 0
    if kind == 1:
        imm_size = 1
    elif kind == 2:
        imm_size = 2
    elif kind == 3:
        imm_size = 2 if size16 and not rexw else 4
        if (info & 32) != 0 and code64:
            imm_size = 4
    elif kind == 4:
        imm_size = 8 if rexw else (2 if size16 else 4)
    elif kind == 5:
        imm_size = (4 if addrsize else 8) if code64 else (2 if addr16 else 4)
    elif kind == 6:
        imm_size = 3
    elif kind == 7:
        imm_size = 4 if size16 else 6
    at += imm_size
    if at > limit:
        return 0
    disp, imm = 0, 0
    if disp_size == 1:
        disp = lds8(code + disp_at)
    elif disp_size == 2:
        disp = lds16(code + disp_at)
    elif disp_size == 4:
        disp = lds32(code + disp_at)
    if masked:
        if imm_size == 1:
            imm = lds8(code + imm_at)
        elif imm_size == 2:
            imm = lds16(code + imm_at)
            if kind == 2 or kind == 5:
                imm &= 0xFFFF
        elif imm_size == 4:
            imm = lds32(code + imm_at)
            if kind == 5:
                imm &= 0xFFFFFFFF
        elif imm_size == 8:
            imm = ld64(code + imm_at)
    st64(out + S_KEY_LOW, 0)
    st64(out + S_KEY_HIGH, 0)
    for i in range(at):
        hidden = (i >= disp_at and i < disp_at + disp_size) or (masked and i >= imm_at and i < imm_at + imm_size)
        if not hidden:
            st8(out + S_KEY_LOW + i, ld8(code + i))
    st8(out + S_KEY_LOW + 15, mode)
    st64(out + S_DISP, disp)
    st64(out + S_IMM, imm)
    st64(out + S_SHAPE, disp_at | (disp_size << 8) | (imm_at << 16) | (imm_size << 24) | ((1 << 32) if masked else 0))
    return at
