"""Segment registers: descriptor loads, LLDT, LTR, LAR and the like (SDM volume 3, chapters 3 and 5).

A function that can fault returns -1 with the exception pending and nothing changed. Compiled by numba.
"""

from __future__ import annotations

from types import SimpleNamespace

from frontends.x86 import state as st
from frontends.x86.common import (
    A_BIG,
    A_PRESENT,
    ATTR,
    BASE,
    EFER,
    EFER_LMA,
    EFLAGS,
    GP,
    LIMIT,
    NP,
    SEL,
    SS_FAULT,
    VM,
    cpl,
    fault,
    is_code64,
    is_real,
    pending,
    set_segment,
    update_mode,
)
from jitrr.engine.native import helper, inner, ld64, lsr, st64

CS, SS, LDTR, TR = st.CS, st.SS, st.LDTR, st.TR
RSP = st.gpr(4)
GDTR_BASE, GDTR_LIMIT = st.GDTR_BASE, st.GDTR_LIMIT
CODE, CONFORMING_OR_DOWN, RW_BIT, ACCESSED, S_BIT = 8, 4, 2, 1, 16
#: What segment_query asks.
LAR, LSL, VERR, VERW = 0, 1, 2, 3
#: System descriptor types (bit n: type n) that LAR and LSL accept, outside and in long mode.
LAR_TYPES, LAR_TYPES_LONG, LSL_TYPES, LSL_TYPES_LONG = 0x1A3E, 0x1A04, 0x0A0E, 0x0A04


@inner
def d_base(d):
    """Base of a descriptor."""
    return (lsr(d, 16) & 0xFFFFFF) | (lsr(d, 56) << 24)


@inner
def d_limit(d):
    """Limit of a descriptor in bytes, inclusive."""
    limit = (d & 0xFFFF) | (lsr(d, 32) & 0xF0000)
    return (limit << 12) | 0xFFF if lsr(d, 55) & 1 else limit


@inner
def d_attr(d):
    """Attributes of a descriptor as state.SEG_ATTR keeps them."""
    return lsr(d, 40) & 0xF0FF


@inner
def d_dpl(d):
    """Privilege level of a descriptor."""
    return lsr(d, 45) & 3


@inner
def in_limit(limit, attr, offset, size):
    """Whether ``size`` bytes at ``offset`` (below 2**32) are within a segment."""
    last = offset + size - 1
    if attr & (CODE | CONFORMING_OR_DOWN) == CONFORMING_OR_DOWN:
        return offset > limit and last <= (0xFFFFFFFF if attr & A_BIG else 0xFFFF)
    return last <= limit


@inner
def operand_mask(bits):
    """All ones of an operand size."""
    return -1 if bits == 64 else (1 << bits) - 1


@inner
def set_rsp(cpu, value):
    """Write as much of RSP as the current stack segment uses."""
    if is_code64(cpu):
        return st64(cpu + RSP, value)
    if ld64(cpu + ATTR + 8 * SS) & A_BIG:
        return st64(cpu + RSP, value & 0xFFFFFFFF)
    return st64(cpu + RSP, (ld64(cpu + RSP) & ~0xFFFF) | (value & 0xFFFF))


def build(mmu: SimpleNamespace) -> SimpleNamespace:
    """The helpers; returns the functions that exceptions and system instructions use too."""
    load_as, store_as, done = mmu.load_as, mmu.store_as, mmu.finish

    @inner
    def entry_address(cpu, selector):
        """Linear address of a selector's descriptor, -1 when it is outside its table."""
        base, limit = ld64(cpu + GDTR_BASE), ld64(cpu + GDTR_LIMIT)
        if selector & 4:
            base, limit = ld64(cpu + BASE + 8 * LDTR), ld64(cpu + LIMIT + 8 * LDTR)
            if ld64(cpu + ATTR + 8 * LDTR) & A_PRESENT == 0:
                return -1
        if (selector & 0xFFF8) + 7 > limit:
            return -1
        return base + (selector & 0xFFF8)

    @inner
    def read_descriptor(cpu, selector, vector, ext):
        """The descriptor of a non-null selector; check for a pending exception."""
        at = entry_address(cpu, selector)
        if at == -1:
            return fault(cpu, vector, (selector & 0xFFFC) | ext)
        return load_as(cpu, at, 8, 0)

    @inner
    def mark_accessed(cpu, selector, d):
        """Set the accessed bit of a code or data descriptor in memory."""
        if lsr(d, 40) & ACCESSED == 0:
            store_as(cpu, entry_address(cpu, selector) + 5, 1, (lsr(d, 40) & 255) | ACCESSED, 0)
        return 0

    @inner
    def install(cpu, seg, selector, d):
        """Load a segment register from a checked descriptor."""
        return set_segment(cpu, seg, selector, d_base(d), d_limit(d), d_attr(d) | ACCESSED)

    @inner
    def load_real(cpu, seg, selector):
        """Real mode: only the base follows the selector; virtual-8086 mode: all of it."""
        st64(cpu + SEL + 8 * seg, selector)
        st64(cpu + BASE + 8 * seg, selector << 4)
        if ld64(cpu + EFLAGS) & VM:
            st64(cpu + LIMIT + 8 * seg, 0xFFFF)
            st64(cpu + ATTR + 8 * seg, 0xF3)
        elif seg == CS:
            st64(cpu + ATTR + 8 * seg, (ld64(cpu + ATTR + 8 * seg) & A_BIG) | 0x93)
        return 0

    @inner
    def check_stack(cpu, selector, d, level, vector, ext):
        """A descriptor that is to become SS at a privilege level."""
        attr = d_attr(d)
        error = (selector & 0xFFFC) | ext
        if selector & 3 != level or d_dpl(d) != level or attr & (S_BIT | CODE | RW_BIT) != S_BIT | RW_BIT:
            return fault(cpu, vector, error)
        if attr & A_PRESENT == 0:
            return fault(cpu, SS_FAULT, error)
        return 0

    @inner
    def check_data(cpu, selector, d, vector, ext):
        """A descriptor that is to become DS, ES, FS or GS."""
        attr, error = d_attr(d), (selector & 0xFFFC) | ext
        if attr & S_BIT == 0 or attr & (CODE | RW_BIT) == CODE:
            return fault(cpu, vector, error)
        if attr & (CODE | CONFORMING_OR_DOWN) != CODE | CONFORMING_OR_DOWN:
            dpl = d_dpl(d)
            if selector & 3 > dpl or cpl(cpu) > dpl:
                return fault(cpu, vector, error)
        if attr & A_PRESENT == 0:
            return fault(cpu, NP, error)
        return 0

    @inner
    def load_null(cpu, seg, selector):
        if seg != SS:
            return set_segment(cpu, seg, selector, 0, 0, 0)
        level = cpl(cpu)
        if not is_code64(cpu) or level == 3 or selector & 3 != level:
            return fault(cpu, GP, 0)
        return set_segment(cpu, SS, selector, 0, 0, level << 5)

    @inner
    def load_segment(cpu, seg, selector):
        """Load ES, SS, DS, FS or GS."""
        if is_real(cpu):
            load_real(cpu, seg, selector)
        elif selector & 0xFFFC == 0:
            load_null(cpu, seg, selector)
        else:
            d = read_descriptor(cpu, selector, GP, 0)
            if pending(cpu):
                return -1
            if seg == SS:
                check_stack(cpu, selector, d, cpl(cpu), GP, 0)
            else:
                check_data(cpu, selector, d, GP, 0)
            if pending(cpu):
                return -1
            mark_accessed(cpu, selector, d)
            if not pending(cpu):
                install(cpu, seg, selector, d)
        return update_mode(cpu)

    @helper
    def load_seg(cpu, seg, selector):
        """MOV and POP to a segment register, LDS and its like."""
        load_segment(cpu, seg, selector & 0xFFFF)
        return done(cpu)

    @inner
    def load_table(cpu, selector):
        if selector & 0xFFFC == 0:
            return set_segment(cpu, LDTR, selector, 0, 0, 0)
        return load_system(cpu, LDTR, selector, 2, 2)

    @inner
    def load_system(cpu, seg, selector, type1, type2):
        """LDTR or TR from a system descriptor of one of two types, 16 bytes long in long mode."""
        long_mode = ld64(cpu + EFER) & EFER_LMA != 0
        error = selector & 0xFFFC
        if error == 0:
            return fault(cpu, GP, 0)
        at = entry_address(cpu, selector)
        if selector & 4 or at == -1 or (long_mode and error + 15 > ld64(cpu + GDTR_LIMIT)):
            return fault(cpu, GP, error)
        d = load_as(cpu, at, 8, 0)
        if pending(cpu):
            return -1
        kind = d_attr(d) & 31
        if kind != type1 and kind != type2:
            return fault(cpu, GP, error)
        if d_attr(d) & A_PRESENT == 0:
            return fault(cpu, NP, error)
        base = d_base(d)
        if long_mode:
            base |= load_as(cpu, at + 8, 4, 0) << 32
        attr = d_attr(d)
        if seg == TR and not pending(cpu):
            attr |= 2
            store_as(cpu, at + 5, 1, attr & 255, 0)
        if pending(cpu):
            return -1
        return set_segment(cpu, seg, selector, base, d_limit(d), attr)

    @helper
    def load_system_seg(cpu, seg, selector):
        """LLDT (``seg`` LDTR) and LTR (TR)."""
        if seg == LDTR:
            load_table(cpu, selector & 0xFFFF)
        else:
            load_system(cpu, TR, selector & 0xFFFF, 9, 9 if ld64(cpu + EFER) & EFER_LMA else 1)
        return done(cpu)

    @inner
    def visible(cpu, selector, d):
        """Privilege check of LAR, LSL, VERR, VERW."""
        if d_attr(d) & (S_BIT | CODE | CONFORMING_OR_DOWN) == S_BIT | CODE | CONFORMING_OR_DOWN:
            return True
        return d_dpl(d) >= cpl(cpu) and d_dpl(d) >= selector & 3

    @inner
    def answer(cpu, what, selector):
        at = entry_address(cpu, selector)
        if selector & 0xFFFC == 0 or at == -1:
            return -1
        d = load_as(cpu, at, 8, 0)
        if pending(cpu) or not visible(cpu, selector, d):
            return -1
        attr = d_attr(d)
        long_mode = ld64(cpu + EFER) & EFER_LMA != 0
        if what == VERR:
            return 0 if attr & S_BIT and attr & (CODE | RW_BIT) != CODE else -1
        if what == VERW:
            return 0 if attr & (S_BIT | CODE | RW_BIT) == S_BIT | RW_BIT else -1
        if attr & S_BIT == 0:
            types = (LAR_TYPES_LONG if long_mode else LAR_TYPES) if what == LAR else (
                LSL_TYPES_LONG if long_mode else LSL_TYPES)  # fmt: skip
            if (types >> (attr & 15)) & 1 == 0:
                return -1
        return lsr(d, 32) & 0xF0FF00 if what == LAR else d_limit(d)

    @helper
    def segment_query(cpu, what, selector):
        """LAR, LSL, VERR, VERW: the value, or -1 where ZF becomes 0."""
        result = answer(cpu, what, selector & 0xFFFF)
        done(cpu)
        return result

    return SimpleNamespace(**{k: v for k, v in locals().items() if callable(v)})
