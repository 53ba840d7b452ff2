"""Page walks (SDM volume 3, chapter 4): no paging, 32-bit, PAE and 4-level; PSE, NX, WP, SMEP, A and D bits.

A walk that ends in a page fault sets no A bits (the manual leaves it open; the 80386 did not). Table memory outside
RAM reads as all ones, which is a reserved-bit fault. Compiled by numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from frontends.x86 import state as st
from frontends.x86.common import (
    ALIGNMENT,
    CR0,
    CR0_PG,
    CR0_WP,
    CR4,
    CR4_PAE,
    CR4_PSE,
    CR4_SMEP,
    EFER,
    EFER_LMA,
    EFER_NXE,
    GP,
    O_ADDRESS,
    O_MODE,
    O_TLB,
    O_TLB_BASE,
    O_WRAP,
    PF_FAULT,
    SS_FAULT,
    canonical,
    fault,
)
from jitrr.engine.constants import DEVICE, EXEC, MAY_EXEC, MAY_READ, MAY_WRITE, PAGE_DIRTY, PAGE_TABLE, TLB_BYTES, WRITE
from jitrr.engine.native import inner, ld8, ld32, ld64, lsr, st8, st32, st64, ult
from jitrr.engine.physical import locate

P, RW, US, A, D, PS = 1, 2, 4, 0x20, 0x40, 0x80
ADDRESS = (1 << st.PHYSICAL_BITS) - 4096
RESERVED = ((1 << 52) - 1) & -(1 << st.PHYSICAL_BITS)
O_RAM, O_FLAGS = st.LAYOUT["ram"], st.LAYOUT["page_flags"]
CR3, PDPTE = st.CR3, st.PDPTE
#: Bits of a page-fault error code.
E_PRESENT, E_WRITE, E_USER, E_RESERVED, E_FETCH = 1, 2, 4, 8, 16


@inner
def entry_cached(cpu, host):
    """Whether a TLB may hold a translation from the entry (with 32-bit paging: the two entries) at a host address."""
    if ld32(host) & (P | A) == P | A:
        return True
    return ld64(cpu + CR4) & CR4_PAE == 0 and ld32(host + 4) & (P | A) == P | A


@inner
def is_strict(cpu):
    """Whether alignment is checked now (see common.update_mode)."""
    return ld64(cpu + O_TLB) == ld64(cpu + O_TLB_BASE) + 2 * TLB_BYTES


@inner
def refused(cpu, address, size, stack):
    """Whether an access fails before any page is looked at, with that exception pending.

    #GP(0) or #SS(0) where it is not canonical or goes past the 4 GiB of a flat segment (SDM volume 3, 5.3; for others
    limits have been checked, and linear addresses wrap); #AC(0) where it is misaligned and must not be (AMD processors
    put it before page faults). Of ten bytes, eight count.
    """
    last = address + size - 1
    inside = True
    if ld64(cpu + O_WRAP) == -1:
        inside = canonical(address) and canonical(last)
    elif ult(0xFFFFFFFF, last):
        inside = ld64(cpu + O_MODE) & st.MODE_FLAT == 0
    if not inside:
        fault(cpu, SS_FAULT if stack else GP, 0)
        return True
    if is_strict(cpu) and address & (7 if size == 10 else size - 1) != 0:
        fault(cpu, ALIGNMENT, 0)
        return True
    return False


@inner
def read_entry(cpu, place, wide):
    """A table entry of 8 (``wide``) or 4 bytes; -1 outside RAM."""
    if place & DEVICE:
        return -1
    host = ld64(cpu + O_RAM) + place
    return ld64(host) if wide else ld32(host)


@inner
def set_bits(cpu, place, bits):
    """Set accessed and dirty bits of the entry at ``place``."""
    host = ld64(cpu + O_RAM) + place
    st32(host, ld32(host) | bits)
    at = ld64(cpu + O_FLAGS) + lsr(place, 12)
    return st8(at, ld8(at) | PAGE_DIRTY)


@inner
def page_fault(cpu, address, access, user, error):
    """#PF; ``error`` has the present and reserved bits."""
    if access == WRITE:
        error |= E_WRITE
    if user:
        error |= E_USER
    cr4 = ld64(cpu + CR4)
    nx = cr4 & CR4_PAE != 0 and ld64(cpu + EFER) & EFER_NXE != 0
    if access == EXEC and (nx or cr4 & CR4_SMEP != 0):
        error |= E_FETCH
    fault(cpu, PF_FAULT, error)
    st64(cpu + O_ADDRESS, address)
    return -1


@inner
def reserved_bits(entry, level, lma, nxe):
    """Whether an 8-byte entry has a reserved bit set. ``level`` 0: of a page table."""
    bits = RESERVED if lma else RESERVED | 0x7FF << 52
    if not nxe:
        bits |= -1 << 63
    if entry & PS:
        if level == 3:
            return True
        if level == 2:
            bits |= 0x3FFFE000
        elif level == 1:
            bits |= 0x1FE000
    return entry & bits != 0


def make_walk(mark_page: Callable[..., int]) -> Any:
    """``walk(cpu, address, access, user)``: ``page | MAY_*``, or -1 with an exception pending (softmmu.build)."""

    @inner
    def allowed(cpu, rights, executable, user):
        """MAY_* for a page; ``rights``: the RW and US bits common to all levels."""
        cr0, cr4 = ld64(cpu + CR0), ld64(cpu + CR4)
        if user and rights & US == 0:
            return 0
        may = MAY_READ
        if rights & RW or (not user and cr0 & CR0_WP == 0):
            may |= MAY_WRITE
        if executable and (user or rights & US == 0 or cr4 & CR4_SMEP == 0):
            may |= MAY_EXEC
        return may

    @inner
    def finish(cpu, address, access, user, entry, at, rights, executable, page):
        """Check the access, set A and D of the leaf."""
        may = allowed(cpu, rights, executable, user)
        if may & (1 << access) == 0:
            return page_fault(cpu, address, access, user, E_PRESENT)
        want = A | D if access == WRITE else A
        if entry & want != want:
            set_bits(cpu, at, want)
            entry |= want
        if entry & D == 0:
            may &= ~MAY_WRITE
        return page | may

    @inner
    def walk32(cpu, address, access, user):
        at = locate(cpu, (ld64(cpu + CR3) & 0xFFFFF000) + ((lsr(address, 22) & 0x3FF) << 2))
        entry = read_entry(cpu, at, False)
        if entry & P == 0:
            return page_fault(cpu, address, access, user, 0)
        large = entry & PS != 0 and ld64(cpu + CR4) & CR4_PSE != 0
        if entry == -1 or (large and entry & 0x200000 != 0):
            return page_fault(cpu, address, access, user, E_PRESENT | E_RESERVED)
        mark_page(cpu, at & -4096, PAGE_TABLE)
        if large:
            page = (entry & 0xFFC00000) | ((entry & 0x1FE000) << 19) | (address & 0x3FF000)
            return finish(cpu, address, access, user, entry, at, entry, True, page)
        upper, upper_at = entry, at
        at = locate(cpu, (entry & 0xFFFFF000) + ((lsr(address, 12) & 0x3FF) << 2))
        entry = read_entry(cpu, at, False)
        if entry & P == 0:
            return page_fault(cpu, address, access, user, 0)
        if entry == -1:
            return page_fault(cpu, address, access, user, E_PRESENT | E_RESERVED)
        mark_page(cpu, at & -4096, PAGE_TABLE)
        found = finish(cpu, address, access, user, entry, at, upper & entry, True, entry & 0xFFFFF000)
        if found != -1 and upper & A == 0:
            set_bits(cpu, upper_at, A)
        return found

    @inner
    def set_accessed(cpu, address, table, level, last):
        """A in the entries that a walk from ``table`` on has used, down to above level ``last``."""
        while level > last:
            at = locate(cpu, table + ((lsr(address, 12 + 9 * level) & 511) << 3))
            set_bits(cpu, at, A)
            table = read_entry(cpu, at, True) & ADDRESS
            level -= 1
        return 0

    @inner
    def walk64(cpu, address, access, user):
        """4-level paging, and PAE from its PDPTE registers."""
        nxe = ld64(cpu + EFER) & EFER_NXE != 0
        lma = ld64(cpu + EFER) & EFER_LMA != 0
        rights, executable = RW | US, True
        if lma:
            level, table = 3, ld64(cpu + CR3) & ADDRESS
        else:
            pdpte = ld64(cpu + PDPTE + 8 * (lsr(address, 30) & 3))
            if pdpte & P == 0:
                return page_fault(cpu, address, access, user, 0)
            level, table = 1, pdpte & ADDRESS
        top, root, accessed = level, table, A
        while True:
            at = locate(cpu, table + ((lsr(address, 12 + 9 * level) & 511) << 3))
            entry = read_entry(cpu, at, True)
            if entry & P == 0:
                return page_fault(cpu, address, access, user, 0)
            if reserved_bits(entry, level, lma, nxe):
                return page_fault(cpu, address, access, user, E_PRESENT | E_RESERVED)
            mark_page(cpu, at & -4096, PAGE_TABLE)
            rights &= entry
            if entry < 0:
                executable = False
            if level == 0 or entry & PS:
                inside = (1 << (12 + 9 * level)) - 1
                page = (entry & ADDRESS & ~inside) | (address & inside & -4096)
                found = finish(cpu, address, access, user, entry, at, rights, executable, page)
                if found != -1 and accessed == 0:
                    set_accessed(cpu, address, root, top, level)
                return found
            accessed &= entry
            table = entry & ADDRESS
            level -= 1

    @inner
    def walk(cpu, address, access, user):
        cr0 = ld64(cpu + CR0)
        if cr0 & CR0_PG == 0:
            return (address & 0xFFFFF000) | MAY_READ | MAY_WRITE | MAY_EXEC
        if ld64(cpu + CR4) & CR4_PAE:
            if not canonical(address):
                return fault(cpu, GP, 0)
            return walk64(cpu, address, access, user)
        return walk32(cpu, address & 0xFFFFFFFF, access, user)

    return walk
