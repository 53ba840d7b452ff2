"""Page walks (DDI 0406C, B3): MMU off, short descriptors, long descriptors. Compiled by numba.

No walk writes a table: there is no hardware management of the access flag (ID_MMFR2). Table memory outside RAM gives a
synchronous external abort.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from frontends.arm import state as st
from frontends.arm.common import O_ADDRESS, SCTLR_AFE, SCTLR_M, TTBCR_EAE, fault
from frontends.arm.vectors import EXC_DABORT, EXC_PABORT, EXTERNAL_LONG, EXTERNAL_SHORT, FSR_WRITE
from jitrr.engine.constants import DEVICE, EXEC, MAY_EXEC, MAY_READ, MAY_WRITE, PAGE_TABLE, WRITE
from jitrr.engine.native import inner, ld32, ld64, lsr, st64
from jitrr.engine.physical import locate

O_RAM = st.LAYOUT["ram"]
TTBR0, TTBR1, TTBCR, DACR, SCTLR = st.TTBR0, st.TTBR1, st.TTBCR, st.DACR, st.SCTLR
#: Kinds of faults: in the long format, status is kind and level.
TRANSLATION, ACCESS_FLAG, PERMISSION, WALK, DOMAIN = 0x04, 0x08, 0x0C, 0x14, 0x3C
LONG_FORMAT = 0x200
#: Domain fields of DACR; the others allow nothing.
CLIENT, MANAGER = 1, 3
ALL = MAY_READ | MAY_WRITE | MAY_EXEC
#: What the tables on the way to a page have said against it (long descriptors, bits 59..62).
PXN_TABLE, XN_TABLE, AP_TABLE_USER, AP_TABLE_WRITE = 1, 2, 4, 8
#: Physical addresses have 40 bits.
OUTPUT = ((1 << 40) - 1) & -4096


@inner
def entry_cached(cpu, host):
    """Whether a TLB may hold a translation from the entry (short descriptors: the two entries) at a host address."""
    if ld64(cpu + TTBCR) & TTBCR_EAE:
        return ld64(host) & 1 != 0
    return ld32(host) & 3 != 0 or ld32(host + 4) & 3 != 0


@inner
def refused(cpu, address, size, stack):
    """Whether an access fails before any page is looked at: never, instructions that want alignment check it. But where
    it leads to no device, the fault will be at this address (cpu.ArmCpu.external_abort)."""
    st64(cpu + O_ADDRESS, address)
    return False


@inner
def short_status(kind, level):
    """FS[3:0] of a fault (table B3-23)."""
    second = level == 2
    if kind == TRANSLATION:
        return 7 if second else 5
    if kind == ACCESS_FLAG:
        return 6 if second else 3
    if kind == PERMISSION:
        return 15 if second else 13
    if kind == DOMAIN:
        return 11 if second else 9
    return 14 if second else 12


@inner
def walk_fault(cpu, address, access, kind, level, domain):
    """Data or prefetch abort; -1. ``domain``: of the short format, 0 where it is not known."""
    st64(cpu + O_ADDRESS, address)
    long_format = ld64(cpu + TTBCR) & TTBCR_EAE != 0
    status = LONG_FORMAT | kind | level if long_format else short_status(kind, level)
    if access == EXEC:
        return fault(cpu, EXC_PABORT, status)
    if not long_format:
        status |= domain << 4
    return fault(cpu, EXC_DABORT, status | FSR_WRITE if access == WRITE else status)


@inner
def allowed(ap, xn, pxn, user):
    """MAY_* of AP[2:0] (tables B3-8 and B3-9); memory that cannot be read cannot be executed either."""
    read_only = ap & 4 != 0
    if user:
        if ap & 2 == 0:
            return 0
        may = MAY_READ | MAY_WRITE if ap == 3 else MAY_READ
    else:
        if ap & 3 == 0:
            return 0
        may = MAY_READ if read_only else MAY_READ | MAY_WRITE
    if ap == 4:
        return 0
    return may if xn or (pxn and not user) else may | MAY_EXEC


def make_walk(mark_page: Callable[..., int]) -> Any:
    """``walk(cpu, address, access, user)``: ``page | MAY_*``, or -1 with an exception pending (softmmu.build)."""

    @inner
    def short_leaf(cpu, address, access, user, level, page, domain, ap, xn, pxn):
        """Access flag, domain, permission (B3.7)."""
        if ld64(cpu + SCTLR) & SCTLR_AFE and ap & 1 == 0:
            return walk_fault(cpu, address, access, ACCESS_FLAG, level, domain)
        rights = lsr(ld64(cpu + DACR), 2 * domain) & 3
        if rights == MANAGER:
            return page | ALL
        if rights != CLIENT:
            return walk_fault(cpu, address, access, DOMAIN, level, domain)
        may = allowed(ap, xn, pxn, user)
        if may & (1 << access) == 0:
            return walk_fault(cpu, address, access, PERMISSION, level, domain)
        return page | may

    @inner
    def first_table(cpu, address):
        """Address of the first-level entry, or -1 where the walk is disabled (B3.5.4)."""
        ttbcr = ld64(cpu + TTBCR)
        n = ttbcr & 7
        if n == 0 or lsr(address, 32 - n) == 0:
            if ttbcr & 0x10:
                return -1
            base = ld64(cpu + TTBR0) & (0xFFFFFFFF << (14 - n)) & 0xFFFFFFFF
            return base + ((lsr(address, 20) & (0xFFF >> n)) << 2)
        if ttbcr & 0x20:
            return -1
        return (ld64(cpu + TTBR1) & 0xFFFFC000) + (lsr(address, 20) << 2)

    @inner
    def short_walk(cpu, address, access, user):
        at = first_table(cpu, address)
        if at == -1:
            return walk_fault(cpu, address, access, TRANSLATION, 1, 0)
        place = locate(cpu, at)
        if place & DEVICE:
            return walk_fault(cpu, address, access, WALK, 1, 0)
        entry = ld32(ld64(cpu + O_RAM) + place)
        kind = entry & 3
        if kind == 0:
            return walk_fault(cpu, address, access, TRANSLATION, 1, 0)
        mark_page(cpu, place & -4096, PAGE_TABLE)
        if kind & 2:
            ap, xn, pxn = (lsr(entry, 13) & 4) | (lsr(entry, 10) & 3), entry & 16, entry & 1
            if entry & (1 << 18):
                page = (entry & 0xFF000000) | ((entry & 0xF00000) << 12) | ((entry & 0x1E0) << 31)
                return short_leaf(cpu, address, access, user, 1, page | (address & 0xFFF000), 0, ap, xn, pxn)
            page = (entry & 0xFFF00000) | (address & 0xFF000)
            return short_leaf(cpu, address, access, user, 1, page, lsr(entry, 5) & 15, ap, xn, pxn)
        domain, pxn = lsr(entry, 5) & 15, entry & 4
        place = locate(cpu, (entry & 0xFFFFFC00) | (lsr(address, 10) & 0x3FC))
        if place & DEVICE:
            return walk_fault(cpu, address, access, WALK, 2, domain)
        entry = ld32(ld64(cpu + O_RAM) + place)
        if entry & 3 == 0:
            return walk_fault(cpu, address, access, TRANSLATION, 2, domain)
        mark_page(cpu, place & -4096, PAGE_TABLE)
        ap = (lsr(entry, 7) & 4) | (lsr(entry, 4) & 3)
        if entry & 2:
            return short_leaf(cpu, address, access, user, 2, entry & 0xFFFFF000, domain, ap, entry & 1, pxn)
        page = (entry & 0xFFFF0000) | (address & 0xF000)
        return short_leaf(cpu, address, access, user, 2, page, domain, ap, entry & (1 << 15), pxn)

    @inner
    def region(cpu, address):
        """Which TTBR translates an address, as ``number << 8 | TnSZ``; -1: none, or its walks are disabled (B3.6.4)."""
        ttbcr = ld64(cpu + TTBCR)
        size0, size1 = ttbcr & 7, lsr(ttbcr, 16) & 7
        if size1 != 0 and lsr(address, 32 - size1) == (1 << size1) - 1:
            high = True
        elif size0 == 0 or lsr(address, 32 - size0) == 0:
            high = False
        elif size1 == 0:
            high = True
        else:
            return -1
        if ttbcr & (1 << 23 if high else 1 << 7):
            return -1
        return 0x100 | size1 if high else size0

    @inner
    def long_leaf(cpu, address, access, user, level, entry, tables):
        """A block or page descriptor: access flag, permission; ``tables``: what the tables before have taken away."""
        if entry & (1 << 10) == 0:
            return walk_fault(cpu, address, access, ACCESS_FLAG, level, 0)
        ap = (lsr(entry, 5) & 6) | 1
        if tables & AP_TABLE_WRITE:
            ap |= 4
        if tables & AP_TABLE_USER:
            ap &= ~2
        xn, pxn = lsr(entry, 54) & 1 or tables & XN_TABLE, lsr(entry, 53) & 1 or tables & PXN_TABLE
        may = allowed(ap, xn, pxn, user)
        if may & (1 << access) == 0:
            return walk_fault(cpu, address, access, PERMISSION, level, 0)
        inside = (1 << (39 - 9 * level)) - 1
        return (entry & OUTPUT & ~inside) | (address & inside & -4096) | may

    @inner
    def long_walk(cpu, address, access, user):
        which = region(cpu, address)
        if which == -1:
            return walk_fault(cpu, address, access, TRANSLATION, 1, 0)
        size, high = which & 7, which & 0x100
        level = 1 if size < 2 else 2
        top = 32 - size - (39 - 9 * level)
        index = lsr(address, 39 - 9 * level) & ((1 << top) - 1)
        table = ld64(cpu + (TTBR1 if high else TTBR0)) & ((1 << 40) - 1) & (-8 << top)
        tables = 0
        while True:
            place = locate(cpu, table + 8 * index)
            if place & DEVICE:
                return walk_fault(cpu, address, access, WALK, level, 0)
            entry = ld64(ld64(cpu + O_RAM) + place)
            if entry & 1 == 0 or (level == 3 and entry & 2 == 0):
                return walk_fault(cpu, address, access, TRANSLATION, level, 0)
            mark_page(cpu, place & -4096, PAGE_TABLE)
            if level == 3 or entry & 2 == 0:
                return long_leaf(cpu, address, access, user, level, entry, tables)
            tables |= lsr(entry, 59) & 15
            table = entry & OUTPUT
            level += 1
            index = lsr(address, 39 - 9 * level) & 511

    @inner
    def mapped(cpu, address, access, user):
        if ld64(cpu + SCTLR) & SCTLR_M == 0:
            return (address & 0xFFFFF000) | ALL
        if ld64(cpu + TTBCR) & TTBCR_EAE:
            return long_walk(cpu, address, access, user)
        return short_walk(cpu, address, access, user)

    @inner
    def walk(cpu, address, access, user):
        address &= 0xFFFFFFFF
        found = mapped(cpu, address, access, user)
        if access == EXEC and found != -1 and locate(cpu, found & -4096) & DEVICE:
            # No device gives instructions.
            st64(cpu + O_ADDRESS, address)
            return fault(cpu, EXC_PABORT, EXTERNAL_LONG if ld64(cpu + TTBCR) & TTBCR_EAE else EXTERNAL_SHORT)
        return found

    return walk
