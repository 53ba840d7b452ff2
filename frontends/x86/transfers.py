"""What far transfers of every kind share: checked code and stack segments, pushes, pops, and what commits a transfer.

SDM volume 3, 5.8 and 6.12. A function that can fault returns -1 with the exception pending. Compiled by numba.
"""

from __future__ import annotations

from types import SimpleNamespace

from frontends.x86.common import (
    A_BIG,
    A_LONG,
    A_PRESENT,
    ATTR,
    BASE,
    EFER,
    EFER_LMA,
    GP,
    LIMIT,
    NP,
    O_ERROR,
    O_PC,
    O_VECTOR,
    SEL,
    SS_FAULT,
    TS,
    canonical,
    cpl,
    fault,
    is_code64,
    pending,
    set_segment,
    update_mode,
)
from frontends.x86.segments import (
    CODE,
    CONFORMING_OR_DOWN,
    CS,
    RSP,
    S_BIT,
    SS,
    TR,
    d_attr,
    d_dpl,
    d_limit,
    in_limit,
    set_rsp,
)
from jitrr.engine.native import inner, ld64, lsr, st64


def build(mmu: SimpleNamespace, seg: SimpleNamespace) -> SimpleNamespace:
    """The functions, and those of ``segments.build``."""
    load_as, load_data, store_data = mmu.load_as, mmu.load_data, mmu.store_data
    read_descriptor, mark_accessed, install = seg.read_descriptor, seg.mark_accessed, seg.install
    check_stack, load_real = seg.check_stack, seg.load_real

    # -- code segments ------------------------------------------------------------------------------------------------
    @inner
    def check_code_form(cpu, selector, attr):
        """L and D are not set together in long mode, and the segment is present."""
        if ld64(cpu + EFER) & EFER_LMA and attr & (A_LONG | A_BIG) == A_LONG | A_BIG:
            return fault(cpu, GP, selector & 0xFFFC)
        if attr & A_PRESENT == 0:
            return fault(cpu, NP, selector & 0xFFFC)
        return 0

    @inner
    def check_target(cpu, d, offset):
        """The new pc is within the code segment (#GP(0))."""
        if ld64(cpu + EFER) & EFER_LMA and d_attr(d) & A_LONG:
            return 0 if canonical(offset) else fault(cpu, GP, 0)
        return 0 if not lsr(offset, 32) and offset <= d_limit(d) else fault(cpu, GP, 0)

    @inner
    def gate_code(cpu, selector, ext):
        """The checked code descriptor of a gate; check for a pending exception."""
        error = (selector & 0xFFFC) | ext
        if selector & 0xFFFC == 0:
            return fault(cpu, GP, ext)
        d = read_descriptor(cpu, selector, GP, ext)
        if pending(cpu):
            return -1
        if d_attr(d) & (S_BIT | CODE) != S_BIT | CODE or d_dpl(d) > cpl(cpu):
            return fault(cpu, GP, error)
        if ld64(cpu + EFER) & EFER_LMA and d_attr(d) & (A_LONG | A_BIG) != A_LONG:
            return fault(cpu, GP, error)
        if d_attr(d) & A_PRESENT == 0:
            return fault(cpu, NP, error)
        return d

    @inner
    def new_level(cpu, d):
        """CPL after entering code through a gate: conforming code keeps it."""
        return cpl(cpu) if d_attr(d) & CONFORMING_OR_DOWN else d_dpl(d)

    # -- stacks -------------------------------------------------------------------------------------------------------
    @inner
    def push_on(cpu, base, limit, attr, sp, size, value, user):
        """Push on a stack segment that is not 64-bit, unless an exception is pending; returns the new stack pointer."""
        if pending(cpu):
            return sp
        sp = (sp - size) & (0xFFFFFFFF if attr & A_BIG else 0xFFFF)
        if not in_limit(limit, attr, sp, size):
            fault(cpu, SS_FAULT, 0)
        else:
            store_data(cpu, (base + sp) & 0xFFFFFFFF, size, value, user)
        return sp

    @inner
    def push64(cpu, sp, value, user):
        """Push 8 bytes on a 64-bit stack."""
        if not pending(cpu):
            store_data(cpu, sp - 8, 8, value, user)
        return sp - 8

    @inner
    def push(cpu, sp, size, value):
        """Push on the current stack."""
        user = 1 if cpl(cpu) == 3 else 0
        if is_code64(cpu):
            if not pending(cpu):
                store_data(cpu, sp - size, size, value, user)
            return sp - size
        at = cpu + 8 * SS
        return push_on(cpu, ld64(at + BASE), ld64(at + LIMIT), ld64(at + ATTR), sp, size, value, user)

    @inner
    def peek(cpu, depth, size):
        """The ``size`` bytes ``depth`` bytes above the stack pointer."""
        if pending(cpu):
            return 0
        user = 1 if cpl(cpu) == 3 else 0
        sp = ld64(cpu + RSP) + depth
        if is_code64(cpu):
            return load_data(cpu, sp, size, user)
        at = cpu + 8 * SS
        sp &= 0xFFFFFFFF if ld64(at + ATTR) & A_BIG else 0xFFFF
        if not in_limit(ld64(at + LIMIT), ld64(at + ATTR), sp, size):
            return fault(cpu, SS_FAULT, 0)
        return load_data(cpu, (ld64(at + BASE) + sp) & 0xFFFFFFFF, size, user)

    @inner
    def tss_stack(cpu, level, ext):
        """(SS << 32) | ESP for a privilege level from a 32 or 16 bit TSS; check for a pending exception."""
        wide = ld64(cpu + ATTR + 8 * TR) & 8 != 0
        size = 4 if wide else 2
        slot = 2 * size * level + size
        if slot + 2 * size - 1 > ld64(cpu + LIMIT + 8 * TR):
            return fault(cpu, TS, (ld64(cpu + SEL + 8 * TR) & 0xFFFC) | ext)
        at = ld64(cpu + BASE + 8 * TR) + slot
        sp = load_as(cpu, at, size, 0)
        return sp | ((load_as(cpu, at + size, size, 0) & 0xFFFF) << 32)

    @inner
    def tss_stack64(cpu, slot, ext):
        """RSP from a 64-bit TSS; check for a pending exception."""
        if slot + 7 > ld64(cpu + LIMIT + 8 * TR):
            return fault(cpu, TS, (ld64(cpu + SEL + 8 * TR) & 0xFFFC) | ext)
        return load_as(cpu, ld64(cpu + BASE + 8 * TR) + slot, 8, 0)

    @inner
    def inner_stack(cpu, selector, level, ext):
        """The checked descriptor of a more privileged level's stack; check for a pending exception."""
        if selector & 0xFFFC == 0:
            return fault(cpu, TS, ext)
        d = read_descriptor(cpu, selector, TS, ext)
        if pending(cpu) or check_stack(cpu, selector, d, level, TS, ext) != 0:
            return -1
        return d

    @inner
    def blame_stack(cpu, selector, ext):
        """A push on a new stack has failed: #SS names it."""
        if ld64(cpu + O_VECTOR) == SS_FAULT and ld64(cpu + O_ERROR) == 0:
            st64(cpu + O_ERROR, (selector & 0xFFFC) | ext)
        return -1

    @inner
    def set_rsp_legacy(cpu, attr, sp):
        """RSP on a stack segment with given attributes."""
        mask = 0xFFFFFFFF if attr & A_BIG else 0xFFFF
        st64(cpu + RSP, sp & mask if attr & A_BIG else (ld64(cpu + RSP) & ~mask) | (sp & mask))
        return 0

    # -- commits ------------------------------------------------------------------------------------------------------
    @inner
    def enter_code(cpu, selector, d, offset):
        """CS and pc; CPL stays."""
        install(cpu, CS, (selector & 0xFFFC) | cpl(cpu), d)
        st64(cpu + O_PC, offset)
        return update_mode(cpu)

    @inner
    def enter_real(cpu, selector, offset):
        load_real(cpu, CS, selector)
        st64(cpu + O_PC, offset)
        return update_mode(cpu)

    # -- returns ------------------------------------------------------------------------------------------------------
    @inner
    def return_code(cpu, selector, offset):
        """The checked descriptor that RETF or IRET goes to; check for a pending exception."""
        if selector & 0xFFFC == 0:
            return fault(cpu, GP, 0)
        d = read_descriptor(cpu, selector, GP, 0)
        if pending(cpu):
            return -1
        attr, rpl, dpl = d_attr(d), selector & 3, d_dpl(d)
        if rpl < cpl(cpu) or attr & (S_BIT | CODE) != S_BIT | CODE:
            return fault(cpu, GP, selector & 0xFFFC)
        if dpl > rpl or (attr & CONFORMING_OR_DOWN == 0 and dpl != rpl):
            return fault(cpu, GP, selector & 0xFFFC)
        if check_code_form(cpu, selector, attr) != 0 or check_target(cpu, d, offset) != 0:
            return -1
        mark_accessed(cpu, selector, d)
        return d

    @inner
    def return_stack(cpu, selector, level, to64):
        """The checked descriptor of an outer stack (0: a null one, for 64-bit code below CPL 3)."""
        if selector & 0xFFFC == 0:
            return 0 if to64 and level != 3 else fault(cpu, GP, 0)
        d = read_descriptor(cpu, selector, GP, 0)
        if pending(cpu) or check_stack(cpu, selector, d, level, GP, 0) != 0:
            return -1
        mark_accessed(cpu, selector, d)
        return d

    @inner
    def drop_segments(cpu, level):
        """On the way out, data segments that the new level may not use become null; their bases stay, which 64-bit code
        can see in FS and GS."""
        for seg in range(6):
            attr = ld64(cpu + ATTR + 8 * seg)
            conforming = attr & (CODE | CONFORMING_OR_DOWN) == CODE | CONFORMING_OR_DOWN
            if seg != CS and seg != SS and attr & S_BIT and (attr >> 5) & 3 < level and not conforming:
                st64(cpu + SEL + 8 * seg, 0)
                st64(cpu + ATTR + 8 * seg, 0)
        return 0

    @inner
    def leave_to(cpu, selector, d, offset, stack_selector, stack, sp):
        """Commit a return with a new stack: CS, pc, SS, RSP."""
        level = selector & 3
        outer = level != cpl(cpu)
        install(cpu, CS, selector, d)
        if stack_selector & 0xFFFC == 0:
            set_segment(cpu, SS, stack_selector, 0, 0, level << 5)
        else:
            install(cpu, SS, stack_selector, stack)
        set_rsp(cpu, sp)
        st64(cpu + O_PC, offset)
        if outer:
            drop_segments(cpu, level)
        return update_mode(cpu)

    own = {k: v for k, v in locals().items() if callable(v)}
    return SimpleNamespace(**{**vars(seg), **own})
