"""What the system-side helpers share: exceptions, CPSR, banked registers, the translation mode. Compiled by numba."""

from __future__ import annotations

from frontends.arm import state as st
from jitrr.engine.constants import TLB_BYTES
from jitrr.engine.native import helper, inner, ld64, lsr, st64

O_VECTOR, O_ERROR, O_ADDRESS = (st.LAYOUT[n] for n in ("exc_vector", "exc_error", "exc_address"))
O_PC, O_IC, O_LIMIT, O_NOW = (st.LAYOUT[n] for n in ("pc", "ic", "limit", "icount_now"))
O_MODE, O_EPOCH, O_KEY = (st.LAYOUT[n] for n in ("mode", "jc_epoch", "jc_key"))
O_TLB, O_TLB_BASE = st.LAYOUT["tlb"], st.LAYOUT["tlb_base"]
CPSR, SPSR = st.CPSR, st.BANKED_SPSR
R8, SP, LR = st.gpr(8), st.gpr(13), st.gpr(14)
MODE_BITS = 0x1F
#: What field ``cpsr`` holds; the other bits are in fields of their own. J is always 0: there is no Jazelle or ThumbEE.
HELD = MODE_BITS | st.F | st.I | st.A | st.E
#: SCTLR bits (B4.1.130).
SCTLR_M, SCTLR_A, SCTLR_C, SCTLR_CP15BEN, SCTLR_Z = 1, 1 << 1, 1 << 2, 1 << 5, 1 << 11
SCTLR_I, SCTLR_V, SCTLR_EE, SCTLR_TRE, SCTLR_AFE, SCTLR_TE = 1 << 12, 1 << 13, 1 << 25, 1 << 28, 1 << 29, 1 << 30
TTBCR_EAE = 1 << 31
#: Of FPSCR: RMode, FZ, DN.
FP_CONTROL, FPEXC_EN = 3 << 22 | 1 << 24 | 1 << 25, 1 << 30


@inner
def fault(cpu, vector, error):
    """Leave an exception pending. Returns -1."""
    st64(cpu + O_VECTOR, vector)
    st64(cpu + O_ERROR, error)
    return -1


@inner
def pending(cpu):
    """Whether an exception is pending."""
    return ld64(cpu + O_VECTOR) != -1


@inner
def current(cpu):
    """The mode field of CPSR."""
    return ld64(cpu + CPSR) & MODE_BITS


@inner
def bank(mode):
    """Index of a mode's banked registers (state.BANK_*), or -1 where there is no such mode (B1.3.1)."""
    if mode == st.M_USR or mode == st.M_SYS:
        return st.BANK_USER
    if mode == st.M_FIQ:
        return st.BANK_FIQ
    if mode == st.M_IRQ:
        return st.BANK_IRQ
    if mode == st.M_SVC:
        return st.BANK_SVC
    if mode == st.M_ABT:
        return st.BANK_ABT
    return st.BANK_UND if mode == st.M_UND else -1


@inner
def get_cpsr(cpu):
    """CPSR as a whole."""
    it = ld64(cpu + st.ITSTATE)
    op, a, b = ld64(cpu + st.CV_OP), ld64(cpu + st.CV_A), ld64(cpu + st.CV_B)
    carry, overflow = a, b
    if op == st.CV_SUB:
        carry = 1 if a >= b else 0
        overflow = (a ^ b) & (a ^ (a - b))
    elif op == st.CV_ADD:
        carry = (a + b) >> 32
        overflow = (a ^ (a + b)) & (b ^ (a + b))
    flags = (ld64(cpu + st.NF) & st.N) | (lsr(overflow, 3) & st.VBIT) | (carry << 29)
    if ld64(cpu + st.ZF) == 0:
        flags |= st.Z
    flags |= ld64(cpu + st.QF) | ld64(cpu + st.GE) | ((it & 3) << 25) | ((it & 0xFC) << 8)
    return flags | (ld64(cpu + st.THUMB) << 5) | ld64(cpu + CPSR)


@inner
def set_arithmetic(cpu, value):
    """N, Z, C, V and Q from CPSR bits."""
    st64(cpu + st.NF, value & st.N)
    st64(cpu + st.ZF, 0 if value & st.Z else 1)
    st64(cpu + st.CV_OP, st.CV_PLAIN)
    st64(cpu + st.CV_A, lsr(value, 29) & 1)
    st64(cpu + st.CV_B, (value & st.VBIT) << 3)
    return st64(cpu + st.QF, value & st.QBIT)


@inner
def set_state(cpu, value):
    """ITSTATE and T from CPSR bits."""
    st64(cpu + st.ITSTATE, (lsr(value, 25) & 3) | (lsr(value, 8) & 0xFC))
    return st64(cpu + st.THUMB, lsr(value, 5) & 1)


@inner
def swap_high(cpu, out_of, into):
    """R8..R12 to one bank and from another."""
    for n in range(5):
        st64(cpu + out_of + 8 * n, ld64(cpu + R8 + 8 * n))
        st64(cpu + R8 + 8 * n, ld64(cpu + into + 8 * n))
    return 0


@inner
def set_control(cpu, value):
    """M, F, I, A and E from CPSR bits; registers are banked. The mode is one that exists. Then call update_mode."""
    old, new = current(cpu), value & MODE_BITS
    if old != new:
        was, now = 8 * bank(old), 8 * bank(new)
        st64(cpu + st.BANKED_R13 + was, ld64(cpu + SP))
        st64(cpu + st.BANKED_R14 + was, ld64(cpu + LR))
        st64(cpu + SP, ld64(cpu + st.BANKED_R13 + now))
        st64(cpu + LR, ld64(cpu + st.BANKED_R14 + now))
        if old == st.M_FIQ:
            swap_high(cpu, st.FIQ_R8_R12, st.USER_R8_R12)
        if new == st.M_FIQ:
            swap_high(cpu, st.USER_R8_R12, st.FIQ_R8_R12)
    return st64(cpu + CPSR, value & HELD)


@helper
def update_mode(cpu):
    """Recompute what translation and privilege depend on; call after any change of it. Returns 0."""
    cpsr, mode = ld64(cpu + CPSR), 0
    user = cpsr & MODE_BITS == st.M_USR
    if user:
        mode |= st.MODE_USER
    if ld64(cpu + st.THUMB):
        mode |= st.MODE_THUMB
    if cpsr & st.E:
        mode |= st.MODE_BIG
    if ld64(cpu + st.ITSTATE):
        mode |= st.MODE_IT
    access = lsr(ld64(cpu + st.CPACR), 20) & 3
    if (access == 3 or (access == 1 and not user)) and ld64(cpu + st.FPEXC) & FPEXC_EN:
        mode |= st.MODE_FP
    if ld64(cpu + st.SCTLR) & SCTLR_A:
        mode |= st.MODE_ALIGN
    if ld64(cpu + st.FPSCR) & FP_CONTROL == 0:
        mode |= st.MODE_DEFAULT_FP
    if lsr(ld64(cpu + st.DEBUG_LEVELS), 1 if user else 0) & 1:
        mode |= st.MODE_DEBUG
    st64(cpu + O_MODE, mode)
    st64(cpu + O_KEY, (ld64(cpu + O_EPOCH) << 16) | mode)
    return st64(cpu + O_TLB, ld64(cpu + O_TLB_BASE) + (TLB_BYTES if user else 0))
