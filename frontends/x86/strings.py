"""REP string instructions natively: many iterations at once, equal to one at a time (SDM volume 2, REP).

One execution stays within the pages of its first iteration, whose translations it has, and ends before anything that
could fault: a new page, an element across pages. So a fault is always that of an execution's first iteration, with
nothing done, and no page is walked before its time. Elements that are not in plain RAM (devices, code, page tables)
are done one an execution.
"""

from __future__ import annotations

from types import SimpleNamespace

from frontends.x86 import state as st
from frontends.x86.common import A_PRESENT, GP, SS_FAULT, fault
from frontends.x86.lift_string import CMPS, LODS, MOVS, SCAS, STOS
from frontends.x86.mmu import is_strict, refused
from frontends.x86.segments import in_limit
from jitrr.engine.constants import DEVICE, READ, TLB_BYTES, TLB_ENTRY, TLB_SIZE, WRITE
from jitrr.engine.native import (
    helper,
    inner,
    ld8,
    ld64,
    lds8,
    lds16,
    lds32,
    lsr,
    st8,
    st16,
    st32,
    st64,
    ult,
)  # fmt: skip

RAX, RCX, RSI, RDI = st.gpr(0), st.gpr(1), st.gpr(6), st.gpr(7)
#: Segment types (bit n: type n) that an access is refused to: execute-only code; all but writable data.
READ_REFUSED, WRITE_REFUSED = 0x3300, 0xFF33


@inner
def load_host(at, size):
    """1, 2, 4 or 8 bytes, sign-extended."""
    if size == 8:
        return ld64(at)
    if size == 4:
        return lds32(at)
    if size == 2:
        return lds16(at)
    return lds8(at)


@inner
def sign_extend(value, size):
    """The low ``size`` bytes as a signed number."""
    shift = 64 - 8 * size
    return (value << shift) >> shift


@inner
def store_host(at, size, value):
    """1, 2, 4 or 8 bytes."""
    if size == 8:
        return st64(at, value)
    if size == 4:
        return st32(at, value)
    if size == 2:
        return st16(at, value)
    return st8(at, value)


@inner
def copy_elements(target, source, n, size, step):
    """``n`` elements one after the other, or the same by eight bytes where no element is read after it was written."""
    if step == size and not ult(target - source, 8):
        length = n * size
        at = 0
        while at + 8 <= length:
            st64(target + at, ld64(source + at))
            at += 8
        while at < length:
            st8(target + at, ld8(source + at))
            at += 1
        return 0
    for i in range(n):
        store_host(target + i * step, size, load_host(source + i * step, size))
    return 0


@inner
def fill_elements(target, n, size, step, value):
    """``n`` copies of an element."""
    start = target if step > 0 else target + (n - 1) * step
    pattern = value
    bits = 8 * size
    while bits < 64:
        pattern = (pattern & ((1 << bits) - 1)) | (pattern << bits)
        bits *= 2
    length = n * size
    at = 0
    while at + 8 <= length:
        st64(start + at, pattern)
        at += 8
    while at < length:
        store_host(start + at, size, value)
        at += size
    return 0


@inner
def set_register(cpu, at, value, width):
    """Write a register of an address size: 16 bits leave the rest alone, 32 zero-extend."""
    if width == 0:
        return st16(cpu + at, value)
    if width == 1:
        return st64(cpu + at, value & 0xFFFFFFFF)
    return st64(cpu + at, value)


@inner
def compared(cpu, a, b, size):
    """Flags of a comparison of sign-extended elements."""
    st64(cpu + st.CC_OP, st.CC_SUB)
    st64(cpu + st.CC_A, a)
    st64(cpu + st.CC_B, b)
    return st64(cpu + st.CC_RES, sign_extend(a - b, size))


@inner
def check_limit(cpu, segment, offset, size, write):
    """The segment checks of an access outside 64-bit mode (SDM volume 3, 5.3 and 5.5); false with an exception
    pending."""
    attr, limit = ld64(cpu + st.SEG_ATTR + 8 * segment), ld64(cpu + st.SEG_LIMIT + 8 * segment)
    refused = WRITE_REFUSED if write else READ_REFUSED
    if attr & A_PRESENT and not lsr(refused, attr & 15) & 1 and in_limit(limit, attr, offset, size):
        return True
    fault(cpu, SS_FAULT if segment == st.SS else GP, 0)
    return False


@inner
def load_accumulator(cpu, value, size):
    """AL, AX, EAX or RAX."""
    if size == 4:
        st64(cpu + RAX, value & 0xFFFFFFFF)
    else:
        store_host(cpu + RAX, size, value)
    return 0


def build(mmu: SimpleNamespace) -> None:
    """Declare the helpers ``rep_string`` and ``probe_read``."""
    O_VECTOR, O_RAM, O_SALT, O_TLB_BASE, O_WRAP = (
        st.LAYOUT[n] for n in ("exc_vector", "ram", "tlb_salt", "tlb_base", "linear_mask")
    )
    translate, is_user, finish = mmu.translate, mmu.is_user, mmu.finish
    load_data, store_data = mmu.load_data, mmu.store_data

    @helper
    def probe_read(cpu, address):
        """Fault as a load of a byte would."""
        translate(cpu, address, READ, is_user(cpu))
        return finish(cpu)

    @inner
    def elements(linear, offset, mask, shift, down):
        """How many elements from this one on lie wholly in its page, and before the offset wraps; 0: not even this
        one."""
        within = linear & 4095
        size = 1 << shift
        if within + size > 4096 or (mask != -1 and offset + size > mask + 1):
            return 0
        if down:
            by_offset = 4096 if mask == -1 else lsr(offset, shift) + 1
            by_page = lsr(within, shift) + 1
        else:
            by_offset = 4096 if mask == -1 else lsr(mask + 1 - offset, shift)
            by_page = lsr(4096 - within, shift)
        return by_page if by_page < by_offset else by_offset

    @inner
    def plain(cpu, linear, access, user):
        """Host address of an element whose page is plain RAM for this access; 0 if it is not, -1 with an exception
        pending."""
        place = translate(cpu, linear, access, user)
        if place == -1:
            return -1
        if place & DEVICE:
            return 0
        entry = ld64(cpu + O_TLB_BASE) + user * TLB_BYTES + (lsr(linear, 12) & (TLB_SIZE - 1)) * TLB_ENTRY
        if ld64(entry + 8 * access) != (linear & -4096) | ld64(cpu + O_SALT):
            return 0
        return ld64(cpu + O_RAM) + place

    @inner
    def single(cpu, op, source, target, size, user):
        """One iteration by ordinary accesses."""
        value, other = ld64(cpu + RAX), 0
        if op in (SCAS, CMPS) and not refused(cpu, target, size, 0):
            other = load_data(cpu, target, size, user)
        if op in (MOVS, LODS, CMPS) and ld64(cpu + O_VECTOR) == -1 and not refused(cpu, source, size, 0):
            value = load_data(cpu, source, size, user)
        if op in (MOVS, STOS) and ld64(cpu + O_VECTOR) == -1 and not refused(cpu, target, size, 0):
            store_data(cpu, target, size, value, user)
        if ld64(cpu + O_VECTOR) != -1:
            return 0
        if op == LODS:
            load_accumulator(cpu, value, size)
        elif op in (SCAS, CMPS):
            compared(cpu, sign_extend(value, size), sign_extend(other, size), size)
        return 1

    @inner
    def compare_elements(cpu, op, source, target, n, size, step, repne):
        """Up to ``n`` comparisons, until one ends the loop; returns how many."""
        a, b = sign_extend(ld64(cpu + RAX), size), 0
        done = 0
        while done < n:
            if op == CMPS:
                a = load_host(source + done * step, size)
            b = load_host(target + done * step, size)
            done += 1
            if (a == b) == (repne != 0):
                break
        compared(cpu, a, b, size)
        return done

    @inner
    def several(cpu, op, source, target, n, size, step, repne):
        """Up to ``n`` iterations in plain RAM, by host addresses; returns how many."""
        if op == MOVS:
            copy_elements(target, source, n, size, step)
        elif op == STOS:
            fill_elements(target, n, size, step, ld64(cpu + RAX))
        elif op == LODS:
            load_accumulator(cpu, load_host(source + (n - 1) * step, size), size)
        else:
            return compare_elements(cpu, op, source, target, n, size, step, repne)
        return n

    @inner
    def linear_address(cpu, segment, offset):
        """Of an offset; ``segment`` is 0 where no base counts, else its number + 1."""
        if segment == 0:
            return offset & ld64(cpu + O_WRAP)
        return (offset + ld64(cpu + st.SEG_BASE + 8 * (segment - 1))) & ld64(cpu + O_WRAP)

    @inner
    def limits(cpu, op, what, source, target, size):
        """Segment checks of one iteration; false with an exception pending."""
        if op in (MOVS, LODS, CMPS) and not check_limit(cpu, ((what >> 12) & 15) - 1, source, size, 0):
            return False
        if op != LODS:
            return check_limit(cpu, ((what >> 16) & 15) - 1, target, size, 1 if op in (MOVS, STOS) else 0)
        return True

    @inner
    def iterate(cpu, what, op, most, user):
        """Up to ``most`` iterations; returns how many, 0 with an exception pending."""
        shift, width = (what >> 4) & 15, (what >> 8) & 15
        repne, checked = (what >> 20) & 1, (what >> 21) & 1
        size = 1 << shift
        mask = -1 if width == 2 else (0xFFFFFFFF if width == 1 else 0xFFFF)
        down = ld64(cpu + st.EFLAGS) & st.DF != 0
        from_offset, to_offset = ld64(cpu + RSI) & mask, ld64(cpu + RDI) & mask
        source = linear_address(cpu, (what >> 12) & 15, from_offset)
        target = linear_address(cpu, (what >> 16) & 15, to_offset)
        n = 1 if is_strict(cpu) else most
        if checked:
            n = 1
            if not limits(cpu, op, what, from_offset, to_offset, size):
                return 0
        reads, other = op in (MOVS, LODS, CMPS), op != LODS
        if reads:
            n = min(n, elements(source, from_offset, mask, shift, down))
        if other:
            n = min(n, elements(target, to_offset, mask, shift, down))
        host_source, host_target = 1, 1
        if n > 1 and op == CMPS:
            host_target = plain(cpu, target, READ, user)
        if n > 1 and reads and host_target != -1:
            host_source = plain(cpu, source, READ, user)
        if n > 1 and other and op != CMPS and host_source != -1:
            host_target = plain(cpu, target, WRITE if op in (MOVS, STOS) else READ, user)
        if host_source == -1 or host_target == -1:
            return 0
        step = -size if down else size
        if n > 1 and host_source != 0 and host_target != 0:
            done = several(cpu, op, host_source, host_target, n, size, step, repne)
        else:
            done = single(cpu, op, source, target, size, user)
        if done != 0:
            if reads:
                set_register(cpu, RSI, from_offset + done * step, width)
            if other:
                set_register(cpu, RDI, to_offset + done * step, width)
            set_register(cpu, RCX, (ld64(cpu + RCX) & mask) - done, width)
        return done

    @helper
    def rep_string(cpu, what, budget):
        """Iterations of a REP string instruction, at most 1 + ``budget``; returns how many beyond the first (see
        describe)."""
        width = (what >> 8) & 15
        count = ld64(cpu + RCX)
        if width == 0:
            count &= 0xFFFF
        elif width == 1:
            count &= 0xFFFFFFFF
        if count == 0:
            finish(cpu)
            return 0
        most = budget + 1
        if (what >> 22) & 1:
            most = 1
        if ult(count, most):
            most = count
        done = iterate(cpu, what, what & 15, most, is_user(cpu))
        finish(cpu)
        return done - 1 if done > 0 else 0
