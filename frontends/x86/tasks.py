"""Hardware task switches (SDM volume 3, chapter 7). Compiled by numba.

Up to the point where TR changes, what faults does so in the old task and nothing has changed: all memory that is
written is translated first. From there on the new task faults, before its first instruction.
"""

from __future__ import annotations

from types import SimpleNamespace

from frontends.x86 import state as st
from frontends.x86.common import (
    A_PRESENT,
    ATTR,
    BASE,
    CR0,
    CR0_PG,
    CR0_TS,
    DR7,
    EFLAGS,
    GP,
    LIMIT,
    NP,
    NT,
    O_PC,
    SEL,
    TS,
    VM,
    cpl,
    fault,
    pending,
    set_flags,
    set_segment,
    update_mode,
)
from frontends.x86.debug import note
from frontends.x86.segments import (
    CODE,
    CONFORMING_OR_DOWN,
    CS,
    LDTR,
    S_BIT,
    SS,
    TR,
    d_attr,
    d_base,
    d_dpl,
    d_limit,
)
from jitrr.engine.constants import READ, WRITE
from jitrr.engine.native import inner, ld64, st64

#: How a task switch comes about; exceptions and interrupts are calls.
BY_JUMP, BY_CALL, BY_RETURN = 0, 1, 2
DS, ES, FS, GS = st.DS, st.ES, st.FS, st.GS
BUSY, TSS_32BIT = 2, 8
#: L0 to L3 and LE of DR7, and the bit of DR6 for a task whose TSS has T set.
DR7_LOCAL, DR6_BT = 0x155, 1 << 15
#: What a 32-bit and a 16-bit TSS hold where: CR3, pc (flags and registers follow), segments, LDTR, T.
CR3_32, PC_32, FLAGS_32, REGISTERS_32, SEGMENTS_32, LDT_32, TRAP_32, LAST_32 = (
    0x1C, 0x20, 0x24, 0x28, 0x48, 0x60, 0x64, 0x67,
)  # fmt: skip
PC_16, FLAGS_16, REGISTERS_16, SEGMENTS_16, LDT_16, LAST_16 = 0x0E, 0x10, 0x12, 0x22, 0x2A, 0x2B


def build(
    mmu: SimpleNamespace, seg: SimpleNamespace, control: SimpleNamespace, debug: SimpleNamespace
) -> SimpleNamespace:
    """``switch_task``."""
    load_as, store_as, translate = mmu.load_as, mmu.store_as, mmu.translate
    entry_address, read_descriptor, mark_accessed, install = (
        seg.entry_address, seg.read_descriptor, seg.mark_accessed, seg.install,
    )  # fmt: skip
    check_stack, check_data, check_target, load_real = seg.check_stack, seg.check_data, seg.check_target, seg.load_real
    write_cr3, arm = control.write_cr3, debug.arm

    # -- before the switch --------------------------------------------------------------------------------------------
    @inner
    def tss_descriptor(cpu, selector, source, ext):
        """The checked descriptor of the new task; check for a pending exception."""
        vector, error = TS if source == BY_RETURN else GP, (selector & 0xFFFC) | ext
        if selector & 4 or selector & 0xFFFC == 0:
            return fault(cpu, vector, error)
        d = read_descriptor(cpu, selector, vector, ext)
        if pending(cpu):
            return -1
        if d_attr(d) & 31 & ~TSS_32BIT != (1 | BUSY if source == BY_RETURN else 1):
            return fault(cpu, vector, error)
        if d_attr(d) & A_PRESENT == 0:
            return fault(cpu, NP, error)
        if d_limit(d) < (LAST_32 if d_attr(d) & TSS_32BIT else LAST_16):
            return fault(cpu, TS, error)
        return d

    @inner
    def reach(cpu, address, size, access):
        """Whether a page or less can be accessed; false with an exception pending."""
        if translate(cpu, address & 0xFFFFFFFF, access, 0) == -1:
            return False
        return translate(cpu, (address + size - 1) & 0xFFFFFFFF, access, 0) != -1

    @inner
    def reach_old(cpu, ext):
        """Whether the running task can be saved."""
        base, limit = ld64(cpu + BASE + 8 * TR), ld64(cpu + LIMIT + 8 * TR)
        if ld64(cpu + ATTR + 8 * TR) & TSS_32BIT:
            first, last = PC_32, LDT_32 - 1
        else:
            first, last = PC_16, LDT_16 - 1
        if last > limit:
            fault(cpu, TS, (ld64(cpu + SEL + 8 * TR) & 0xFFFC) | ext)
            return False
        return reach(cpu, base + first, last - first + 1, WRITE)

    @inner
    def reach_new(cpu, selector, d, source):
        """Whether the new task can be loaded, linked and marked busy."""
        if not reach(cpu, d_base(d), (LAST_32 if d_attr(d) & TSS_32BIT else LAST_16) + 1, READ):
            return False
        if source == BY_CALL and not reach(cpu, d_base(d), 2, WRITE):
            return False
        return source == BY_RETURN or reach(cpu, entry_address(cpu, selector) + 5, 1, WRITE)

    # -- the switch ---------------------------------------------------------------------------------------------------
    @inner
    def set_busy(cpu, selector, busy):
        """The busy bit of a TSS descriptor in memory."""
        at = entry_address(cpu, selector) + 5
        return store_as(cpu, at, 1, (load_as(cpu, at, 1, 0) & ~BUSY) | busy, 0)

    @inner
    def save_task(cpu, next_pc, flags):
        """Registers to the running task's TSS."""
        base = ld64(cpu + BASE + 8 * TR)
        if ld64(cpu + ATTR + 8 * TR) & TSS_32BIT:
            at, size, segments = base + PC_32, 4, base + SEGMENTS_32
        else:
            at, size, segments = base + PC_16, 2, base + SEGMENTS_16
        store_as(cpu, at, size, next_pc, 0)
        store_as(cpu, at + size, size, flags, 0)
        for i in range(8):
            store_as(cpu, at + size * (2 + i), size, ld64(cpu + st.GPR + 8 * i), 0)
        for i in range(6 if size == 4 else 4):
            store_as(cpu, segments + size * i, 2, ld64(cpu + SEL + 8 * i), 0)
        return 0

    @inner
    def load_registers(cpu, base, wide, source):
        """General registers, flags, pc and selectors; no segment can be used yet. Returns the T bit."""
        at, size, segments, ldt = base + PC_16, 2, base + SEGMENTS_16, base + LDT_16
        if wide:
            at, size, segments, ldt = base + PC_32, 4, base + SEGMENTS_32, base + LDT_32
        flags = load_as(cpu, at + size, size, 0)
        st64(cpu + O_PC, load_as(cpu, at, size, 0))
        for i in range(8):
            value = load_as(cpu, at + size * (2 + i), size, 0)
            st64(cpu + st.GPR + 8 * i, value if wide else 0xFFFF0000 | value)
        for i in range(6):
            selector = load_as(cpu, segments + size * i, 2, 0) if wide or i < 4 else 0
            set_segment(cpu, i, selector, 0, 0, 0)
        set_segment(cpu, LDTR, load_as(cpu, ldt, 2, 0), 0, 0, 0)
        level = 3 if flags & VM else ld64(cpu + SEL + 8 * CS) & 3
        st64(cpu + ATTR + 8 * SS, level << 5)
        set_flags(cpu, flags | NT if source == BY_CALL else flags)
        return load_as(cpu, base + TRAP_32, 1, 0) & 1 if wide else 0

    # -- in the new task ----------------------------------------------------------------------------------------------
    @inner
    def load_ldt(cpu, selector, ext):
        error = (selector & 0xFFFC) | ext
        if selector & 0xFFFC == 0:
            return 0
        if selector & 4:
            return fault(cpu, TS, error)
        d = read_descriptor(cpu, selector, TS, ext)
        if pending(cpu):
            return -1
        if d_attr(d) & 31 != 2 or d_attr(d) & A_PRESENT == 0:
            return fault(cpu, TS, error)
        return set_segment(cpu, LDTR, selector, d_base(d), d_limit(d), d_attr(d))

    @inner
    def load_code(cpu, selector, ext):
        error = (selector & 0xFFFC) | ext
        if selector & 0xFFFC == 0:
            return fault(cpu, TS, error)
        d = read_descriptor(cpu, selector, TS, ext)
        if pending(cpu):
            return -1
        attr, dpl = d_attr(d), d_dpl(d)
        if attr & (S_BIT | CODE) != S_BIT | CODE:
            return fault(cpu, TS, error)
        if dpl > selector & 3 or (attr & CONFORMING_OR_DOWN == 0 and dpl != selector & 3):
            return fault(cpu, TS, error)
        if attr & A_PRESENT == 0:
            return fault(cpu, NP, error)
        mark_accessed(cpu, selector, d)
        if pending(cpu):
            return -1
        install(cpu, CS, selector, d)
        return check_target(cpu, d, ld64(cpu + O_PC))

    @inner
    def load_stack(cpu, selector, ext):
        if selector & 0xFFFC == 0:
            return fault(cpu, TS, ext)
        d = read_descriptor(cpu, selector, TS, ext)
        if pending(cpu) or check_stack(cpu, selector, d, cpl(cpu), TS, ext) != 0:
            return -1
        mark_accessed(cpu, selector, d)
        return -1 if pending(cpu) else install(cpu, SS, selector, d)

    @inner
    def load_data(cpu, number, selector, ext):
        if pending(cpu) or selector & 0xFFFC == 0:
            return 0
        d = read_descriptor(cpu, selector, TS, ext)
        if pending(cpu) or check_data(cpu, selector, d, TS, ext) != 0:
            return -1
        mark_accessed(cpu, selector, d)
        return -1 if pending(cpu) else install(cpu, number, selector, d)

    @inner
    def load_segments(cpu, ext):
        """The descriptors of the selectors; -1 with an exception of the new task pending."""
        if load_ldt(cpu, ld64(cpu + SEL + 8 * LDTR), ext) != 0:
            return -1
        if ld64(cpu + EFLAGS) & VM:
            for i in range(6):
                load_real(cpu, i, ld64(cpu + SEL + 8 * i))
            return 0
        if load_code(cpu, ld64(cpu + SEL + 8 * CS), ext) != 0 or load_stack(cpu, ld64(cpu + SEL + 8 * SS), ext) != 0:
            return -1
        load_data(cpu, ES, ld64(cpu + SEL + 8 * ES), ext)
        load_data(cpu, DS, ld64(cpu + SEL + 8 * DS), ext)
        load_data(cpu, FS, ld64(cpu + SEL + 8 * FS), ext)
        load_data(cpu, GS, ld64(cpu + SEL + 8 * GS), ext)
        return 0

    @inner
    def load_task(cpu, selector, d, source, ext):
        """The new task's state, all of it."""
        wide = d_attr(d) & TSS_32BIT != 0
        set_segment(cpu, TR, selector, d_base(d), d_limit(d), d_attr(d) | BUSY)
        st64(cpu + CR0, ld64(cpu + CR0) | CR0_TS)
        cr3 = load_as(cpu, d_base(d) + CR3_32, 4, 0) if wide else 0
        trap = load_registers(cpu, d_base(d), wide, source)
        if not (wide and ld64(cpu + CR0) & CR0_PG and write_cr3(cpu, cr3) != 0):
            load_segments(cpu, ext)
        st64(cpu + st.DEBUG_HITS, 0)
        if ld64(cpu + DR7) & DR7_LOCAL:
            st64(cpu + DR7, ld64(cpu + DR7) & ~DR7_LOCAL)
            arm(cpu)
        if trap and not pending(cpu):
            note(cpu, DR6_BT)
        update_mode(cpu)
        return 1

    @inner
    def switch_task(cpu, selector, source, next_pc, flags, ext):
        """Go to another task; ``next_pc`` and ``flags`` are saved in the old one.

        -1: an exception of the old task is pending. 1: the task has changed; an exception of the new one, before its
        first instruction, may be pending. ``ext``: 1 when something external or an exception is the reason."""
        d = tss_descriptor(cpu, selector, source, ext)
        if pending(cpu) or not reach_old(cpu, ext) or not reach_new(cpu, selector, d, source):
            return -1
        old = ld64(cpu + SEL + 8 * TR)
        if source != BY_CALL:
            at = entry_address(cpu, old)
            if at == -1:
                return fault(cpu, TS, (old & 0xFFFC) | ext)
            if not reach(cpu, at + 5, 1, WRITE):
                return -1
            set_busy(cpu, old, 0)
        save_task(cpu, next_pc, flags & ~NT if source == BY_RETURN else flags)
        if source == BY_CALL:
            store_as(cpu, d_base(d), 2, old, 0)
        if source != BY_RETURN:
            set_busy(cpu, selector, BUSY)
        return load_task(cpu, selector, d, source, ext)

    return SimpleNamespace(switch_task=switch_task)
