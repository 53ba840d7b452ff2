"""What the system-side helpers share: exceptions, flags, privilege, segment registers, the translation mode (numba)."""

from __future__ import annotations

from frontends.x86 import state as st
from jitrr.engine.constants import TLB_BYTES
from jitrr.engine.native import helper, inner, ld64, lsr, st64

O_VECTOR, O_ERROR, O_ADDRESS = st.LAYOUT["exc_vector"], st.LAYOUT["exc_error"], st.LAYOUT["exc_address"]
O_PC, O_IC, O_LIMIT, O_NOW = (st.LAYOUT[n] for n in ("pc", "ic", "limit", "icount_now"))
O_MODE, O_BASE, O_WRAP = st.LAYOUT["mode"], st.LAYOUT["code_base"], st.LAYOUT["linear_mask"]
O_EPOCH, O_KEY, O_TLB, O_TLB_BASE = (st.LAYOUT[n] for n in ("jc_epoch", "jc_key", "tlb", "tlb_base"))
CC_OP, CC_A, CC_B, CC_RES, EFLAGS = st.CC_OP, st.CC_A, st.CC_B, st.CC_RES, st.EFLAGS
CR0, CR4, EFER, DR7 = st.CR0, st.CR4, st.EFER, st.DR + 56
SEL, BASE, LIMIT, ATTR = st.SEG_SEL, st.SEG_BASE, st.SEG_LIMIT, st.SEG_ATTR

DB, UD, DOUBLE, TS, NP, SS_FAULT, GP, PF_FAULT, ALIGNMENT = 1, 6, 8, 10, 11, 12, 13, 14, 17
CR0_PE, CR0_MP, CR0_EM, CR0_TS, CR0_WP, CR0_AM, CR0_PG = 1, 2, 4, 8, 1 << 16, 1 << 18, 1 << 31
CR4_PSE, CR4_PAE, CR4_OSFXSR, CR4_SMEP = 16, 32, 1 << 9, 1 << 20
EFER_SCE, EFER_LME, EFER_LMA, EFER_NXE = 1, 1 << 8, 1 << 10, 1 << 11
RF, VM, NT, IOPL, AC, ID = 1 << 16, 1 << 17, 1 << 14, 3 << 12, 1 << 18, 1 << 21
#: What RFLAGS can hold besides the arithmetic flags and RF (VIF and VIP are those of VME, which is not announced).
WRITABLE_FLAGS = st.TF | st.IF | st.DF | IOPL | NT | VM | AC | ID
#: Attribute bits (state.SEG_ATTR) besides type (0-3), S (4), DPL (5-6).
A_PRESENT, A_LONG, A_BIG = 1 << 7, 1 << 13, 1 << 14


@inner
def fault(cpu, vector, error):
    """Leave an exception pending; ``error`` -1: without error code. Returns -1."""
    st64(cpu + O_VECTOR, vector)
    st64(cpu + O_ERROR, error)
    return -1


@inner
def pending(cpu):
    """Whether an exception is pending."""
    return ld64(cpu + O_VECTOR) != -1


@inner
def arith_flags(cpu):
    """CF PF AF ZF SF OF as RFLAGS bits; the same formulas as flags.arithmetic."""
    op, a, b, res = ld64(cpu + CC_OP), ld64(cpu + CC_A), ld64(cpu + CC_B), ld64(cpu + CC_RES)
    if op == st.CC_EFL:
        return a
    if op == st.CC_SUB or op == st.CC_DEC:
        carry = (~a & b) | ((~a | b) & res)
        over = (res ^ a) & (b ^ a)
    else:
        carry = (a & b) | ((a | b) & ~res)
        over = (res ^ a) & (b ^ res)
    if op > st.CC_SUB:
        carry = -b
    bits = (a ^ b ^ res) & st.AF
    if carry < 0:
        bits |= st.CF
    if over < 0:
        bits |= st.OF
    if res == 0:
        bits |= st.ZF
    if res < 0:
        bits |= st.SF
    nibble = (res ^ (res >> 4)) & 15
    if (0x9669 >> nibble) & 1:
        bits |= st.PF
    return bits


@inner
def get_flags(cpu):
    """RFLAGS as a whole."""
    return ld64(cpu + EFLAGS) | arith_flags(cpu)


@inner
def set_flags(cpu, value):
    """RFLAGS as a whole; reserved bits are fixed, RF is not kept (only IRET sets it: debug.return_flags)."""
    st64(cpu + EFLAGS, (value & WRITABLE_FLAGS) | 2)
    st64(cpu + CC_OP, st.CC_EFL)
    return st64(cpu + CC_A, value & st.ARITH)


@inner
def cpl(cpu):
    """Current privilege level: the DPL of SS (SDM volume 3, 24.4.1)."""
    return (ld64(cpu + ATTR + 8 * st.SS) >> 5) & 3


@inner
def is_real(cpu):
    """Segment registers load as in real mode (real or virtual-8086 mode)."""
    return ld64(cpu + CR0) & CR0_PE == 0 or ld64(cpu + EFLAGS) & VM != 0


@inner
def is_code64(cpu):
    """64-bit mode."""
    return ld64(cpu + EFER) & EFER_LMA != 0 and ld64(cpu + ATTR + 8 * st.CS) & A_LONG != 0


@inner
def canonical(address):
    """Whether bits 63..47 agree."""
    return (address << 16) >> 16 == address


@inner
def set_segment(cpu, seg, selector, base, limit, attr):
    """Write a segment register with its hidden part."""
    st64(cpu + SEL + 8 * seg, selector)
    st64(cpu + BASE + 8 * seg, base)
    st64(cpu + LIMIT + 8 * seg, limit)
    return st64(cpu + ATTR + 8 * seg, attr)


@inner
def flat(cpu, seg, code):
    """Whether every access through a segment is allowed and needs no base: readable code, or writable data."""
    attr = ld64(cpu + ATTR + 8 * seg)
    if ld64(cpu + BASE + 8 * seg) != 0 or ld64(cpu + LIMIT + 8 * seg) != 0xFFFFFFFF:
        return False
    return attr & 0x9A == 0x9A if code else attr & 0x9E == 0x92


@inner
def armed(cpu, number):
    """R/W of a debug register that DR7 enables, -1 of one it does not."""
    dr7 = ld64(cpu + DR7)
    return lsr(dr7, 16 + 4 * number) & 3 if lsr(dr7, 2 * number) & 3 else -1


@inner
def executes(cpu):
    """Whether an instruction breakpoint is enabled."""
    if ld64(cpu + DR7) & 0xFF == 0:
        return False
    return armed(cpu, 0) == 0 or armed(cpu, 1) == 0 or armed(cpu, 2) == 0 or armed(cpu, 3) == 0


@helper
def update_mode(cpu):
    """Recompute what translation, addressing and privilege depend on; call after any change of it. Returns 0."""
    cr0, attr, flags = ld64(cpu + CR0), ld64(cpu + ATTR + 8 * st.CS), ld64(cpu + EFLAGS)
    if is_code64(cpu):
        mode, base, wrap = st.MODE_64 | st.MODE_FLAT, 0, -1
    else:
        mode, base, wrap = st.MODE_32 if attr & A_BIG else st.MODE_16, ld64(cpu + BASE + 8 * st.CS), 0xFFFFFFFF
        if ld64(cpu + ATTR + 8 * st.SS) & A_BIG:
            mode |= st.MODE_SS32
        if is_real(cpu):
            mode |= st.MODE_REAL
        if flat(cpu, st.CS, True) and flat(cpu, st.DS, False) and flat(cpu, st.ES, False) and flat(cpu, st.SS, False):
            mode |= st.MODE_FLAT
    user = cpl(cpu) == 3
    if user:
        mode |= st.MODE_USER
    unmasked = lsr(ld64(cpu + st.MXCSR), 32)
    if cr0 & (CR0_EM | CR0_TS) or ld64(cpu + CR4) & CR4_OSFXSR == 0 or unmasked != 0:
        mode |= st.MODE_NOFPU
    if flags & st.TF or ld64(cpu + st.DEBUG_HITS) != 0 or executes(cpu):
        mode |= st.MODE_TRAP
    if ld64(cpu + O_BASE) != base or ld64(cpu + O_WRAP) != wrap:
        st64(cpu + O_BASE, base)
        st64(cpu + O_WRAP, wrap)
        st64(cpu + O_EPOCH, ld64(cpu + O_EPOCH) + 1)
    st64(cpu + O_MODE, mode)
    st64(cpu + O_KEY, (ld64(cpu + O_EPOCH) << 16) | mode)
    # Supervisor, user, or user with alignment checks (SDM volume 3, 2.3): see constants.TLBS.
    which = 0 if not user else (2 if flags & AC and cr0 & CR0_AM else 1)
    return st64(cpu + O_TLB, ld64(cpu + O_TLB_BASE) + which * TLB_BYTES)
