"""The slow half of guest memory: TLB refill, devices, pages that need care when written. Compiled by numba.

The TLB is *coherent*: it never holds a translation that a fresh page walk would not give, so its contents cannot be
seen by the guest and need no place in a checkpoint. Pages that a walk has read are flagged; a write to such a page that
changes an entry with Present and Accessed set (the only ones a TLB may hold) flushes it, and those of all processors.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from jitrr.engine import contexts
from jitrr.engine.cells import H_PATCH
from jitrr.engine.constants import (
    CALL_MMIO_READ,
    CALL_MMIO_WRITE,
    DEVICE,
    EXEC,
    FOR_WRITE,
    JC_ENTRY,
    JC_SIZE,
    MAY_EXEC,
    MAY_READ,
    MAY_WRITE,
    PAGE_CODE,
    PAGE_DIRTY,
    PAGE_ROM,
    PAGE_TABLE,
    PAGE_WATCH,
    PAGE_WATCH_READ,
    PHYSICAL_WATCHES,
    PT_HEAT_LIMIT,
    READ,
    TAG_SLOW,
    TLB_BYTES,
    TLB_ENTRY,
    TLB_SIZE,
    TOUCHED,
    WATCH_LEAVE,
    WATCHES,
    WRITE,
)  # fmt: skip
from jitrr.engine.layout import Layout
from jitrr.engine.native import (
    call4,
    helper,
    inner,
    ld8,
    ld16,
    ld32,
    ld64,
    ldmxcsr,
    lsr,
    st8,
    st16,
    st32,
    st64,
    stmxcsr,
    ult,
)  # fmt: skip
from jitrr.engine.physical import locate
from jitrr.microops.table import P_STACK


def _host_call(target: int, host_mxcsr: int, guest: int) -> Any:
    """``host_call(cpu, kind, a, b)``: Python's callback; the result is in io_value too. ``guest``: the field whose
    value is in the host's MXCSR while the guest runs, or 0; it is put aside meanwhile."""
    if not guest:

        @inner
        def host_call(cpu, kind, a, b):
            return call4(ld64(cpu + target), cpu, kind, a, b)

        return host_call

    @inner
    def host_call_with_fp(cpu, kind, a, b):
        stmxcsr(cpu + guest)
        ldmxcsr(cpu + host_mxcsr)
        result = call4(ld64(cpu + target), cpu, kind, a, b)
        st32(cpu + guest, ld32(cpu + guest) | 0x1F80)
        ldmxcsr(cpu + guest)
        return result

    return host_call_with_fp


@inner
def unwatched(cpu, hits):
    """For a front end that has no watches of its own."""
    return 0


@inner
def unguarded(cpu, hits, address, size, access, user):
    """For a front end whose watches keep no access from being made."""
    return False


def build(
    layout: Layout,
    make_walk: Callable[[Any], Any],
    entry_cached: Callable[..., bool],
    refused: Callable[..., bool],
    host_fp: str | None = None,
    watched: Callable[..., int] = unwatched,
    guarded: Callable[..., bool] = unguarded,
) -> SimpleNamespace:
    """The helpers for one architecture.

    ``make_walk(mark_page)`` gives ``walk(cpu, address, access, user)``, which returns ``page | MAY_*`` (a physical
    address) or -1 with ``exc_*`` filled in and flags every table page it reads. ``entry_cached(cpu, host)`` says
    whether the page-table entry at a host address may be cached in a TLB (present and accessed). ``refused(cpu,
    address, size, stack)`` says whether an access fails before any page is looked at (``stack``: it is one through the
    stack segment), and leaves that exception pending. ``host_fp``: Frontend.host_fp. ``watched(cpu, hits)`` is told
    which watches (bit n: watch n) an access has hit, while its instruction runs. ``guarded(cpu, hits, address, size,
    access, user)`` is asked before, about an access that nothing else forbids, and may leave an exception pending that
    keeps it from being made. Returns the functions other helpers use: ``load_data`` and ``store_data`` are the guest's
    own accesses, ``load_as`` and ``store_as`` those that no watch sees (descriptors and the like).
    """
    o = SimpleNamespace(**{k.replace(".", "_"): v for k, v in layout.offsets.items()})
    O_RAM, O_RAM_SIZE, O_FLAGS, O_LINES, O_SMC = o.ram, o.ram_size, o.page_flags, o.code_lines, o.smc
    O_TLB, O_TLB_BASE, O_SALT, O_EPOCH, O_KEY, O_MODE = o.tlb, o.tlb_base, o.tlb_salt, o.jc_epoch, o.jc_key, o.mode
    O_VECTOR, O_STATUS, O_LEAVE, O_VALUE_HI, O_NOW, O_LIMIT = (
        o.exc_vector, o.status, o.leave, o.value_hi, o.icount_now, o.limit,
    )  # fmt: skip
    O_HOST_CALL, O_HOST_MXCSR, O_JC, O_HEAT, O_IO = o.host_call, o.host_mxcsr, o.jc, o.pt_heat, o.io_value
    O_TABLE, O_MASK, O_PC, O_BASE, O_ARG = o.block_table, o.block_mask, o.pc, o.code_base, o.exit_arg
    O_WRAP, O_WATCHES, O_HITS, O_HIT_AT = o.linear_mask, o.watches, o.watch_hits, o.watch_address
    O_START, O_SIZE, O_KIND = o.watch_start, o.watch_size, o.watch_kind
    O_PLACE, O_LENGTH, O_ACCESS, O_HIT_TIME = o.watch_place, o.watch_length, o.watch_access, o.watch_at
    O_TOUCHED, O_YIELDED = o.touched, o.yielded
    O_BREAKS, O_BREAK_COUNT, O_PASSED, O_PASSED_AT = o.breakpoints, o.break_count, o.break_passed, o.break_passed_at

    host_call = _host_call(O_HOST_CALL, O_HOST_MXCSR, layout[host_fp] if host_fp else 0)

    context = contexts.build(layout)
    flush_tlb, forget_others, switch_context = context.flush_tlb, context.forget_others, context.switch_context
    flush_all, shoot_down = context.flush_all, context.shoot_down

    @inner
    def drop_write_tags(cpu, page):
        """Make stores to a page of RAM slow (it has just become special)."""
        base, host = ld64(cpu + O_TLB_BASE), ld64(cpu + O_RAM) + page
        for i in range(2 * TLB_SIZE):
            entry = base + i * TLB_ENTRY
            tag = ld64(entry + 8)
            if tag != 0 and (tag & -4096) + ld64(entry + 24) == host:
                st64(entry + 8, 0)
        shoot_down(cpu)
        return forget_others(cpu)

    @helper
    def mark_page(cpu, page, flag):
        """Flag the RAM page at place ``page`` (PAGE_CODE or PAGE_TABLE)."""
        at = ld64(cpu + O_FLAGS) + lsr(page, 12)
        flags = ld8(at)
        if flags & flag == 0:
            st8(at, flags | flag)
            drop_write_tags(cpu, page)
        if flag == PAGE_TABLE:
            st8(ld64(cpu + O_HEAT) + lsr(page, 12), 0)
        return 0

    walk = make_walk(mark_page)

    # -- watches ------------------------------------------------------------------------------------------------------
    @inner
    def hits_of(cpu, address, size, kinds):
        """Bit n: watch n is of one of these kinds and covers some of these addresses."""
        hits, wrap = 0, ld64(cpu + O_WRAP)
        for i in range(ld64(cpu + O_WATCHES)):
            start, length = ld64(cpu + O_START + 8 * i), ld64(cpu + O_SIZE + 8 * i)
            if ld64(cpu + O_KIND + 8 * i) & kinds == 0 or ult(wrap, start):
                continue
            if ult((start - address) & wrap, size) or ult((address - start) & wrap, length):
                hits |= 1 << i
        return hits

    @inner
    def note_hit(cpu, number, address):
        """A watch was hit by the running instruction, after which the run ends."""
        if ld64(cpu + O_HIT_TIME) != ld64(cpu + O_NOW):  # hits of an instruction that did not retire are void
            st64(cpu + O_HITS, 0)
        st64(cpu + O_HITS, ld64(cpu + O_HITS) | (1 << number))
        st64(cpu + O_HIT_AT, address)
        st64(cpu + O_HIT_TIME, ld64(cpu + O_NOW))
        return st64(cpu + O_LEAVE, ld64(cpu + O_LEAVE) | 3)

    @inner
    def note_access(cpu, address, size, access):
        """An access of the guest's own has been made, unless an exception is pending: does it hit a watch?"""
        if ld64(cpu + O_WATCHES) == 0 or ld64(cpu + O_VECTOR) != -1:
            return 0
        hits = hits_of(cpu, address, size, 1 << access)
        if hits == 0:
            return 0
        for i in range(WATCHES):
            if lsr(hits, i) & 1 and ld64(cpu + O_KIND + 8 * i) & WATCH_LEAVE:
                note_hit(cpu, i, address)
        return watched(cpu, hits)

    @inner
    def note_place(cpu, place, size, access):
        """An access to a page with watches for physical addresses."""
        for i in range(PHYSICAL_WATCHES):
            start, length = ld64(cpu + O_PLACE + 8 * i), ld64(cpu + O_LENGTH + 8 * i)
            if place < start + length and start < place + size and lsr(ld64(cpu + O_ACCESS + 8 * i), access) & 1:
                note_hit(cpu, WATCHES + i, place)
        return 0

    @helper
    def at_breakpoint(cpu, linear):
        """Whether the run is to stop before the instruction at ``linear``."""
        low, high = 0, ld64(cpu + O_BREAK_COUNT)
        while low < high:
            middle = lsr(low + high, 1)
            if ult(ld64(ld64(cpu + O_BREAKS) + 8 * middle), linear):
                low = middle + 1
            else:
                high = middle
        if low == ld64(cpu + O_BREAK_COUNT) or ld64(ld64(cpu + O_BREAKS) + 8 * low) != linear:
            return 0
        return 0 if ld64(cpu + O_PASSED) == ld64(cpu + O_NOW) and ld64(cpu + O_PASSED_AT) == linear else 1

    @helper
    def set_watch(cpu, number, start, size, kind):
        """Watch ``size`` bytes (at least 1) of linear addresses; ``kind``: 1 << READ and 1 << WRITE; 0: no more. With
        WATCH_LEAVE the run ends after the instruction (Exit.REQUEST), and field ``watch_hits`` tells."""
        at = cpu + 8 * number
        old = ld64(at + O_KIND)
        if old == kind and (kind == 0 or (ld64(at + O_START) == start and ld64(at + O_SIZE) == size)):
            return 0
        st64(at + O_START, start)
        st64(at + O_SIZE, size)
        st64(at + O_KIND, kind)
        count = 0
        for i in range(WATCHES):
            if ld64(cpu + O_KIND + 8 * i) != 0:
                count = i + 1
        st64(cpu + O_WATCHES, count)
        return flush_all(cpu)

    @inner
    def touch(cpu, address, uses):
        """Note what the page of a linear address is used for (Engine.take_touched)."""
        page = lsr(address, 12)
        at = ld64(cpu + O_TOUCHED) + ((page ^ lsr(page, 16) ^ lsr(page, 32)) & (TOUCHED - 1))
        return st8(at, ld8(at) | uses)

    @inner
    def fill(cpu, tlb, address, frame, found):
        entry = tlb + (lsr(address, 12) & (TLB_SIZE - 1)) * TLB_ENTRY
        page = address & -4096
        tag = page | ld64(cpu + O_SALT)
        flags = ld8(ld64(cpu + O_FLAGS) + lsr(frame, 12))
        fast_write = (found & MAY_WRITE) != 0 and flags == PAGE_DIRTY
        read, write = tag if found & MAY_READ else 0, tag if fast_write else 0
        if ld64(cpu + O_WATCHES) != 0 and hits_of(cpu, page, 4096, 1 << READ | 1 << WRITE) != 0:
            flags |= PAGE_WATCH | PAGE_WATCH_READ  # all accesses to the page are to be seen
        if flags & PAGE_WATCH_READ and read:
            read = tag ^ TAG_SLOW
        if flags & PAGE_WATCH:
            fast_write, write = False, tag ^ TAG_SLOW if found & MAY_WRITE else 0
        st64(entry, read)
        st64(entry + 8, write)
        st64(entry + 16, tag if found & MAY_EXEC else 0)
        st64(entry + 24, ld64(cpu + O_RAM) + frame - page)
        return touch(cpu, address, 1 << WRITE if fast_write else 0)

    @inner
    def translate(cpu, address, access, user):
        """Place (physical.locate) of a linear address, or -1 with an exception pending."""
        tlb = ld64(cpu + O_TLB_BASE) + user * TLB_BYTES
        entry = tlb + (lsr(address, 12) & (TLB_SIZE - 1)) * TLB_ENTRY
        other = ld64(entry + access * 8) ^ ((address & -4096) | ld64(cpu + O_SALT))
        if other == TAG_SLOW:
            touch(cpu, address, 1 << READ | 1 << access)
        if other & ~TAG_SLOW == 0:
            return address + ld64(entry + 24) - ld64(cpu + O_RAM)
        found = walk(cpu, address, access, user)
        if found == -1:
            return -1
        page = locate(cpu, found & -4096)
        if page & DEVICE == 0:
            fill(cpu, tlb, address, page, found)
        touch(cpu, address, 1 << READ | 1 << access)
        return page | (address & 4095)

    @inner
    def is_user(cpu):
        return 1 if ld64(cpu + O_TLB) != ld64(cpu + O_TLB_BASE) else 0

    @inner
    def load_at(cpu, place, size):
        """1, 2, 4 or 8 bytes of RAM or of a device."""
        if place & DEVICE == 0:
            host = ld64(cpu + O_RAM) + place
            if ld8(ld64(cpu + O_FLAGS) + lsr(place, 12)) & PAGE_WATCH_READ:
                note_place(cpu, place, size, READ)
            if size == 8:
                return ld64(host)
            if size == 4:
                return ld32(host)
            if size == 2:
                return ld16(host)
            return ld8(host)
        host_call(cpu, CALL_MMIO_READ, place & ~DEVICE, size)
        return ld64(cpu + O_IO)

    @inner
    def wrote(cpu, place, size):
        """Note a write to RAM that is about to happen (``size`` bytes within one page)."""
        page = lsr(place, 12)
        at = ld64(cpu + O_FLAGS) + page
        flags = ld8(at)
        st8(at, flags | PAGE_DIRTY)
        if flags & PAGE_CODE:
            lines = ld64(ld64(cpu + O_LINES) + page * 8)
            first, last = lsr(place & 4095, 6), lsr((place & 4095) + size - 1, 6)
            if lsr(lines, first) & 1 or lsr(lines, last) & 1:
                smc = ld64(cpu + O_SMC)
                n = ld64(smc)
                if n == 0 or ld64(smc + n * 8) != page:
                    if n < 500:
                        st64(smc, n + 1)
                        st64(smc + 8 * n + 8, page)
                    else:
                        st64(smc + 8 * 511, 1)
                st64(cpu + O_LEAVE, ld64(cpu + O_LEAVE) | 3)
        if flags & PAGE_WATCH:
            note_place(cpu, place, size, WRITE)
        if flags & PAGE_TABLE:
            first_entry = place & -8
            stale = entry_cached(cpu, ld64(cpu + O_RAM) + first_entry)
            if ((place + size - 1) & -8) != first_entry:
                stale = stale or entry_cached(cpu, ld64(cpu + O_RAM) + first_entry + 8)
            heat = ld8(ld64(cpu + O_HEAT) + page) + 1
            if heat >= PT_HEAT_LIMIT:
                st8(at, ld8(at) & ~PAGE_TABLE)
                heat = 0
                stale = True
            st8(ld64(cpu + O_HEAT) + page, heat)
            if stale:
                flush_all(cpu)
                st64(cpu + O_LEAVE, ld64(cpu + O_LEAVE) | 1)
        return 0

    @inner
    def store_at(cpu, place, size, value):
        """1, 2, 4 or 8 bytes to RAM or a device; ROM is left alone."""
        if place & DEVICE:
            st64(cpu + O_IO, value)
            host_call(cpu, CALL_MMIO_WRITE, place & ~DEVICE, size)
            return 0
        if ld8(ld64(cpu + O_FLAGS) + lsr(place, 12)) & PAGE_ROM:
            return 0
        wrote(cpu, place, size)
        host = ld64(cpu + O_RAM) + place
        if size == 8:
            st64(host, value)
        elif size == 4:
            st32(host, value)
        elif size == 2:
            st16(host, value)
        else:
            st8(host, value)
        return 0

    @inner
    def translate_last(cpu, address, size, access, user):
        """Place of the second page of an access that crosses pages (-1: exception pending)."""
        if ld64(cpu + O_VECTOR) != -1:
            return -1
        return translate(cpu, (address + size - 1) & -4096 & ld64(cpu + O_WRAP), access, user)

    @inner
    def load_checked(cpu, address, size, access, user):
        """Guest load of 1..8 bytes where ``access`` (READ or WRITE) is allowed."""
        if (address & 4095) + size <= 4096:
            place = translate(cpu, address, access, user)
            if place == -1:
                return 0
            return load_at(cpu, place, size)
        low, high = translate(cpu, address, access, user), translate_last(cpu, address, size, access, user)
        if low == -1 or high == -1:
            return 0
        value = 0
        first = 4096 - (address & 4095)
        for i in range(size):
            at = low + i if i < first else high + i - first
            value |= load_at(cpu, at, 1) << (8 * i)
        return value

    @inner
    def load_as(cpu, address, size, user):
        """Guest load of 1..8 bytes with a given privilege; check ``exc_vector`` afterwards."""
        return load_checked(cpu, address, size, READ, user)

    @inner
    def store_as(cpu, address, size, value, user):
        """Guest store of 1..8 bytes with a given privilege; nothing is written when an exception is pending after."""
        if (address & 4095) + size <= 4096:
            place = translate(cpu, address, WRITE, user)
            if place != -1:
                store_at(cpu, place, size, value)
            return 0
        low, high = translate(cpu, address, WRITE, user), translate_last(cpu, address, size, WRITE, user)
        if low == -1 or high == -1:
            return 0
        first = 4096 - (address & 4095)
        for i in range(size):
            at = low + i if i < first else high + i - first
            store_at(cpu, at, 1, lsr(value, 8 * i) & 255)
        return 0

    @inner
    def load_data(cpu, address, size, user):
        """As ``load_as``, for what watches see."""
        value = load_as(cpu, address, size, user)
        note_access(cpu, address, size, READ)
        return value

    @inner
    def store_data(cpu, address, size, value, user):
        """As ``store_as``, for what watches see."""
        store_as(cpu, address, size, value, user)
        return note_access(cpu, address, size, WRITE)

    @inner
    def finish(cpu):
        st64(cpu + O_STATUS, 1 if ld64(cpu + O_VECTOR) != -1 else (2 if ld64(cpu + O_LEAVE) != 0 else 0))
        return 0

    @helper
    def yield_turn(cpu):
        """The running processor waits for another one: its turn ends after this instruction."""
        st64(cpu + O_YIELDED, 1)
        st64(cpu + O_LEAVE, ld64(cpu + O_LEAVE) | 3)
        return finish(cpu)

    @inner
    def stamp(cpu, ip, ic):
        """Exact icount for device callbacks of this access."""
        st64(cpu + O_NOW, ld64(cpu + O_LIMIT) - ic - ld16(ip + 24))
        return 0

    @inner
    def held_back(cpu, address, size, access, user):
        """Whether a watch of the front end's keeps an access from being made; an exception is pending then, if only
        that the access itself faults."""
        if ld64(cpu + O_WATCHES) == 0:
            return False
        hits = hits_of(cpu, address, size, 1 << access)
        if hits == 0:
            return False
        if translate(cpu, address, access, user) == -1 or translate_last(cpu, address, size, access, user) == -1:
            return True
        return guarded(cpu, hits, address, size, access, user)

    @helper
    def slow_load(cpu, address, size, ip, ic):
        """A load whose inline probe missed: 1..8 or 16 bytes (``value_hi`` gets the upper half), perhaps FOR_WRITE."""
        stamp(cpu, ip, ic)
        user = is_user(cpu)
        access = WRITE if size & FOR_WRITE else READ
        size &= FOR_WRITE - 1
        low = 0
        if not refused(cpu, address, size, ld16(ip + H_PATCH) & P_STACK) and not held_back(
            cpu, address, size, access, user
        ):
            if size == 16:
                low = load_checked(cpu, address, 8, access, user)
                if ld64(cpu + O_VECTOR) == -1:
                    st64(cpu + O_VALUE_HI, load_checked(cpu, (address + 8) & ld64(cpu + O_WRAP), 8, access, user))
            else:
                low = load_checked(cpu, address, size, access, user)
            note_access(cpu, address, size, READ)
        finish(cpu)
        return low

    @helper
    def slow_store(cpu, address, size, value, ip, ic):
        """A store whose inline probe missed (16 bytes: the upper half is in ``value_hi``)."""
        stamp(cpu, ip, ic)
        user = is_user(cpu)
        if not refused(cpu, address, size, ld16(ip + H_PATCH) & P_STACK) and not held_back(
            cpu, address, size, WRITE, user
        ):
            if size == 16:
                # Both halves are checked before either is written.
                if translate(cpu, address, WRITE, user) != -1 and translate_last(cpu, address, 16, WRITE, user) != -1:
                    store_as(cpu, address, 8, value, user)
                    store_as(cpu, (address + 8) & ld64(cpu + O_WRAP), 8, ld64(cpu + O_VALUE_HI), user)
            else:
                store_as(cpu, address, size, value, user)
            note_access(cpu, address, size, WRITE)
        finish(cpu)
        return 0

    @helper
    def check_exec(cpu, address):
        """Place of code at a linear address, or -1 with an exception pending."""
        place = translate(cpu, address, EXEC, is_user(cpu))
        finish(cpu)
        return place

    @helper
    def lookup(cpu):
        """The head cell of the block at ``pc``, or 0: status 1 (fetching faults) or 3 (not translated: at exit_arg)."""
        pc = ld64(cpu + O_PC)
        linear = (ld64(cpu + O_BASE) + pc) & ld64(cpu + O_WRAP)
        place = translate(cpu, linear, EXEC, is_user(cpu))
        if place == -1:
            st64(cpu + O_STATUS, 1)
            return 0
        touch(cpu, linear, 1 << EXEC)
        key = place | (ld64(cpu + O_MODE) << 44)
        mask, table = ld64(cpu + O_MASK), ld64(cpu + O_TABLE)
        at = lsr(key * -7046029254386353131, 20) & mask
        while True:
            found = ld64(table + at * 16)
            if found == key and ld64(table + at * 16 + 8) != 0:
                break
            if found == 0 or found == key:
                st64(cpu + O_ARG, place)
                st64(cpu + O_STATUS, 3)
                return 0
            at = (at + 1) & mask
        cell = ld64(table + at * 16 + 8)
        entry = ld64(cpu + O_JC) + ((lsr(pc, 2) ^ lsr(pc, 14)) & (JC_SIZE - 1)) * JC_ENTRY
        st64(entry, pc)
        st64(entry + 8, ld64(cpu + O_KEY))
        st64(entry + 16, cell)
        return cell

    given = ("make_walk", "entry_cached", "refused", "watched", "guarded")
    return SimpleNamespace(**{k: v for k, v in locals().items() if callable(v) and k not in given})
