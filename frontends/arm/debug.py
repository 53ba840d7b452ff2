"""Debug events in Monitor debug-mode: breakpoints, watchpoints and vector catch of CP14 (DDI 0406C, part C; v7.1 Debug
without the Security Extensions). Compiled by numba.

While a breakpoint could hit at the current privilege, the translation mode has MODE_DEBUG, under which every
instruction begins with :func:`build`'s ``debug_before``. Accesses are noticed by the engine (softmmu.set_watch; watches
0 to 3 are those of DBGWVR0 to DBGWVR3). Watchpoints are synchronous: the access is not made.

Where the manual leaves a choice: mismatches and unlinked contexts never hit at PL1, and aborts are not caught there,
for their handlers could not run; a breakpoint compares with the address of an instruction's first byte, whether or not
its condition holds.
"""

from __future__ import annotations

from types import SimpleNamespace

from frontends.arm import cp15
from frontends.arm import state as st
from frontends.arm.common import O_ADDRESS, SCTLR_V, TTBCR_EAE, current, fault, pending, update_mode
from frontends.arm.vectors import (
    DEBUG_LONG,
    DEBUG_SHORT,
    ENTRY_BREAKPOINT,
    ENTRY_CATCH,
    ENTRY_WATCHPOINT,
    EXC_DABORT,
    EXC_PABORT,
    FSR_WRITE,
    HIGH_VECTORS,
)
from jitrr.engine.constants import WRITE
from jitrr.engine.native import helper, inner, ld64, lsr, st64

#: Registers there are; breakpoints from FIRST_CONTEXT on can compare CONTEXTIDR instead.
BREAKPOINTS, FIRST_CONTEXT, WATCHPOINTS = cp15.BREAKPOINTS, 4, cp15.WATCHPOINTS
#: Of DBGDSCR: monitor debug-mode, and what a write changes.
MDBGEN, DSCR_BITS = 1 << 15, 1 << 15 | 1 << 12
#: Of DBGVCR: what there is, and what is caught in monitor debug-mode.
VCR_BITS, VCR_CAUGHT = 0xDF, 0xC7
BCR_BITS, WCR_BITS, ADDRESS = 0x1F7F01E7, 0x1F1F1FFF, 0xFFFFFFFC
#: DBGOSLSR: there is a lock; it is locked. What locks it.
OS_LOCK_MODEL, OS_LOCKED, OS_KEY = 8, 2, 0xC5ACCE55
#: Values of BT in DBGBCR; the lowest bit: linked, that is, in the context of another breakpoint (LBN) alone.
LINKED, CONTEXT, LINKED_CONTEXT, MISMATCH = 1, 2, 3, 4


@inner
def monitoring(cpu):
    """Whether breakpoints, watchpoints and vector catch do anything."""
    return ld64(cpu + st.DBGDSCR) & MDBGEN != 0 and ld64(cpu + st.DBGOSLSR) & OS_LOCKED == 0


@inner
def in_context(cpu, control):
    """Whether the breakpoint that LBN names is an enabled one for the current CONTEXTIDR."""
    n = lsr(control, 16) & 15
    if n < FIRST_CONTEXT or n >= BREAKPOINTS:
        return False
    other = ld64(cpu + st.DBGBCR + 8 * n)
    if other & 1 == 0 or lsr(other, 20) & 15 != LINKED_CONTEXT:
        return False
    return ld64(cpu + st.DBGBVR + 8 * n) == ld64(cpu + st.CONTEXTIDR)


@inner
def within(control, value, address):
    """Whether an address is one of those that MASK, or else BAS (8 bits, of which a breakpoint has 4), selects."""
    mask = lsr(control, 24) & 31
    if mask:
        return lsr(address ^ value, mask) == 0
    offset = address - (value & ADDRESS)
    return offset >= 0 and offset < 8 and lsr(control, 5 + offset) & 1 != 0


@inner
def at_level(control, mode):
    """Whether PMC allows a mode: 0 means User, System and Supervisor."""
    levels = lsr(control, 1) & 3
    if levels == 0:
        return mode == st.M_USR or mode == st.M_SYS or mode == st.M_SVC
    return levels & (2 if mode == st.M_USR else 1) != 0


@inner
def breaks(cpu, n, pc, mode):
    """Whether breakpoint ``n`` hits."""
    control, value = ld64(cpu + st.DBGBCR + 8 * n), ld64(cpu + st.DBGBVR + 8 * n)
    kind = lsr(control, 20) & 15
    if control & 1 == 0 or kind == LINKED_CONTEXT or not at_level(control, mode):
        return False
    if kind == CONTEXT:
        return n >= FIRST_CONTEXT and mode == st.M_USR and value == ld64(cpu + st.CONTEXTIDR)
    if kind & LINKED and not in_context(cpu, control):
        return False
    here = within(control, value, pc)
    if kind & MISMATCH:
        return mode == st.M_USR and not here
    return here


@inner
def catches(cpu, pc, mode):
    """Whether ``pc`` is a vector that DBGVCR names."""
    base = HIGH_VECTORS if ld64(cpu + st.SCTLR) & SCTLR_V else ld64(cpu + st.VBAR)
    vector = lsr((pc - base) & 0xFFFFFFFF, 2)
    caught = ld64(cpu + st.DBGVCR) & VCR_CAUGHT
    return mode != st.M_USR and pc & 3 == 0 and vector < 8 and lsr(caught, vector) & 1 != 0


@inner
def debug_fault(cpu, vector, entry, flags):
    """Leave a debug exception pending; ``entry``: DBGDSCR.MOE."""
    status = DEBUG_LONG if ld64(cpu + st.TTBCR) & TTBCR_EAE else DEBUG_SHORT
    return fault(cpu, vector, status | flags | (entry << 32))


@inner
def watches(cpu, n, address, size, user):
    """Whether watchpoint ``n`` hits; that it is for accesses of this kind is known."""
    control, value = ld64(cpu + st.DBGWCR + 8 * n), ld64(cpu + st.DBGWVR + 8 * n)
    if lsr(control, 1 + user) & 1 == 0 or (lsr(control, 20) & 1 and not in_context(cpu, control)):
        return False
    hit = False
    for i in range(size):
        hit = hit or within(control, value, (address + i) & 0xFFFFFFFF)
    return hit


@inner
def guarded(cpu, hits, address, size, access, user):
    """Whether a watchpoint keeps an access from being made (softmmu.build)."""
    for n in range(WATCHPOINTS):
        if lsr(hits, n) & 1 and watches(cpu, n, address, size, user):
            st64(cpu + O_ADDRESS, address)
            debug_fault(cpu, EXC_DABORT, ENTRY_WATCHPOINT, FSR_WRITE if access == WRITE else 0)
            return True
    return False


def build(memory: SimpleNamespace) -> SimpleNamespace:
    """The helpers; returns those that others use."""
    done, set_watch = memory.finish, memory.set_watch

    @helper
    def debug_before(cpu, pc):
        """Before an instruction under MODE_DEBUG: a prefetch abort for a breakpoint or a vector catch at it."""
        mode = current(cpu)
        for n in range(BREAKPOINTS):
            if not pending(cpu) and breaks(cpu, n, pc, mode):
                debug_fault(cpu, EXC_PABORT, ENTRY_BREAKPOINT, 0)
        if not pending(cpu) and catches(cpu, pc, mode):
            debug_fault(cpu, EXC_PABORT, ENTRY_CATCH, 0)
        return done(cpu)

    @helper
    def arm(cpu):
        """Make watches and field ``debug_levels`` what the registers say."""
        active = monitoring(cpu)
        levels = 1 if active and ld64(cpu + st.DBGVCR) & VCR_CAUGHT else 0
        for n in range(BREAKPOINTS):
            control = ld64(cpu + st.DBGBCR + 8 * n)
            if active and control & 1:
                levels |= lsr(control, 1) & 3 if lsr(control, 1) & 3 else 3
        st64(cpu + st.DEBUG_LEVELS, levels)
        for n in range(WATCHPOINTS):
            control, value = ld64(cpu + st.DBGWCR + 8 * n), ld64(cpu + st.DBGWVR + 8 * n)
            size = 1 << (lsr(control, 24) & 31)
            if size == 1:
                size = 8
            start = value & (-4 if size == 8 else -size)
            set_watch(cpu, n, start, size, lsr(control, 3) & 3 if active and control & 1 else 0)
        return update_mode(cpu)

    @inner
    def debug_write(cpu, what, value):
        """Write a debug register (cp15.W_BVR and up)."""
        n = what & 7
        if what == cp15.W_DSCR:
            st64(cpu + st.DBGDSCR, (ld64(cpu + st.DBGDSCR) & ~DSCR_BITS) | (value & DSCR_BITS))
        elif what == cp15.W_VCR:
            st64(cpu + st.DBGVCR, value & VCR_BITS)
        elif what == cp15.W_OSLAR:
            st64(cpu + st.DBGOSLSR, OS_LOCK_MODEL | (OS_LOCKED if value == OS_KEY else 0))
        elif what == cp15.W_CLAIMSET:
            st64(cpu + st.DBGCLAIM, ld64(cpu + st.DBGCLAIM) | (value & 0xFF))
        elif what == cp15.W_CLAIMCLR:
            st64(cpu + st.DBGCLAIM, ld64(cpu + st.DBGCLAIM) & ~value)
        elif what - n == cp15.W_BVR:
            st64(cpu + st.DBGBVR + 8 * n, value if n >= FIRST_CONTEXT else value & ADDRESS)
        elif what - n == cp15.W_BCR:
            st64(cpu + st.DBGBCR + 8 * n, value & BCR_BITS)
        elif what - n == cp15.W_WVR:
            st64(cpu + st.DBGWVR + 8 * n, value & ADDRESS)
        else:
            st64(cpu + st.DBGWCR + 8 * n, value & WCR_BITS)
        return arm(cpu)

    return SimpleNamespace(debug_write=debug_write)
