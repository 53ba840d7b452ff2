"""Exceptions, interrupts and IRET in every mode (SDM volume 3, chapter 6; 20.1 for real mode). Compiled by numba.

An entry is all or nothing: what can fault is done before any register changes. Virtual-8086 mode is entered and left
through the 32-bit protected-mode paths; task gates and IRET of nested tasks switch tasks (tasks.py).
"""

from __future__ import annotations

from types import SimpleNamespace

from frontends.x86 import state as st
from frontends.x86.common import (
    A_LONG,
    AC,
    ATTR,
    BASE,
    CR0,
    CR0_PE,
    DB,
    DOUBLE,
    EFER,
    EFER_LMA,
    EFLAGS,
    GP,
    IOPL,
    LIMIT,
    NP,
    NT,
    O_ADDRESS,
    O_ERROR,
    O_IC,
    O_LIMIT,
    O_NOW,
    O_PC,
    O_VECTOR,
    PF_FAULT,
    RF,
    SEL,
    VM,
    cpl,
    fault,
    get_flags,
    is_code64,
    is_real,
    pending,
    set_flags,
    set_segment,
    update_mode,
)
from frontends.x86.debug import TRAP, deliver_debug, forget_step, goes_before, return_flags
from frontends.x86.segments import (
    RSP,
    d_attr,
    d_base,
    d_limit,
    operand_mask,
    set_rsp,
)
from frontends.x86.tasks import BY_CALL, BY_RETURN, TSS_32BIT
from jitrr.engine.native import helper, inner, ld64, lsr, st64

CS, SS, DS, ES, FS, GS, TR = st.CS, st.SS, st.DS, st.ES, st.FS, st.GS, st.TR
CR2, IDTR_BASE, IDTR_LIMIT = st.CR2, st.IDTR_BASE, st.IDTR_LIMIT
DEBUG_HITS, DEBUG_AT, DEBUG_BEGUN, MOV_SS = st.DEBUG_HITS, st.DEBUG_AT, st.DEBUG_BEGUN, st.MOV_SS
O_NMI, O_LEAVE = st.NMI_BLOCKED, st.LAYOUT["leave"]
#: A vector of ``deliver`` that is an external interrupt's.
EXTERNAL = 256
#: Exceptions (bit n: vector n) whose pushed flags have RF set: the faults.
FAULTS = 1 << 0 | 1 << 5 | 1 << 6 | 1 << 7 | 0x7C00 | 1 << 16 | 1 << 17 | 1 << 19
#: Contributory exceptions: a second one, or one during a page fault, is a double fault.
CONTRIBUTORY = 1 << 0 | 0x3C00
#: Flags cleared on entry through an interrupt gate; a trap gate leaves IF.
CLEARED = st.TF | NT | RF | VM
HARDWARE, SOFTWARE, IF_OVERFLOW, INT_N = 0, 1, 2, 4


def build(mmu: SimpleNamespace, seg: SimpleNamespace, task: SimpleNamespace) -> SimpleNamespace:
    """The helpers; returns functions others use."""
    load_as, done = mmu.load_as, mmu.finish
    push_on, push64, peek, set_rsp_legacy = seg.push_on, seg.push64, seg.peek, seg.set_rsp_legacy
    check_target, gate_code, new_level, switch_task = seg.check_target, seg.gate_code, seg.new_level, task.switch_task
    tss_stack, tss_stack64, inner_stack, blame_stack = seg.tss_stack, seg.tss_stack64, seg.inner_stack, seg.blame_stack
    mark_accessed, install, leave_to, load_real = seg.mark_accessed, seg.install, seg.leave_to, seg.load_real
    enter_real, enter_code = seg.enter_real, seg.enter_code
    return_code, return_stack = seg.return_code, seg.return_stack

    @inner
    def enter_vector(cpu, vector, return_pc):
        """Through the interrupt vector table."""
        if 4 * vector + 3 > ld64(cpu + IDTR_LIMIT):
            return fault(cpu, GP, 0)
        target = load_as(cpu, ld64(cpu + IDTR_BASE) + 4 * vector, 4, 0)
        base, limit, attr = ld64(cpu + BASE + 8 * SS), ld64(cpu + LIMIT + 8 * SS), ld64(cpu + ATTR + 8 * SS)
        flags = get_flags(cpu)
        sp = push_on(cpu, base, limit, attr, ld64(cpu + RSP), 2, flags & 0xFFFF, 0)
        sp = push_on(cpu, base, limit, attr, sp, 2, ld64(cpu + SEL + 8 * CS), 0)
        sp = push_on(cpu, base, limit, attr, sp, 2, return_pc & 0xFFFF, 0)
        if pending(cpu):
            return -1
        set_rsp(cpu, sp)
        set_flags(cpu, flags & ~(st.IF | st.TF | AC))
        return enter_real(cpu, lsr(target, 16), target & 0xFFFF)

    @inner
    def check_gate(cpu, gate, vector, kind, ext):
        """Privilege and presence of an IDT entry whose type is right."""
        error = 8 * vector + 2 + ext
        if kind == SOFTWARE and lsr(gate, 45) & 3 < cpl(cpu):
            return fault(cpu, GP, error)
        if lsr(gate, 47) & 1 == 0:
            return fault(cpu, NP, error)
        return 0

    @inner
    def after_entry(cpu, selector, d, level, target, gate_type):
        """CS, pc and flags of the handler; the stack is set."""
        install(cpu, CS, (selector & 0xFFFC) | level, d)
        st64(cpu + O_PC, target)
        clear = CLEARED if gate_type & 1 else CLEARED | st.IF
        set_flags(cpu, get_flags(cpu) & ~clear)
        return update_mode(cpu)

    @inner
    def long_stack(cpu, ist, level, ext):
        """RSP for an entry in long mode, aligned to 16; check for a pending exception."""
        slot = -1
        if ist:
            slot = 36 + 8 * (ist - 1)
        elif level != cpl(cpu):
            slot = 4 + 8 * level
        return (ld64(cpu + RSP) if slot == -1 else tss_stack64(cpu, slot, ext)) & -16

    @inner
    def enter_long(cpu, vector, error, kind, ext, rf, return_pc):
        if 16 * vector + 15 > ld64(cpu + IDTR_LIMIT):
            return fault(cpu, GP, 8 * vector + 2 + ext)
        at = ld64(cpu + IDTR_BASE) + 16 * vector
        gate, high = load_as(cpu, at, 8, 0), load_as(cpu, at + 8, 4, 0)
        if pending(cpu):
            return -1
        if lsr(gate, 40) & 30 != 14:
            return fault(cpu, GP, 8 * vector + 2 + ext)
        if check_gate(cpu, gate, vector, kind, ext) != 0:
            return -1
        selector = lsr(gate, 16) & 0xFFFF
        d = gate_code(cpu, selector, ext)
        target = (gate & 0xFFFF) | (lsr(gate, 32) & 0xFFFF0000) | (high << 32)
        if pending(cpu) or check_target(cpu, d, target) != 0:
            return -1
        level = new_level(cpu, d)
        sp = long_stack(cpu, lsr(gate, 32) & 7, level, ext)
        user = 1 if level == 3 else 0
        sp = push64(cpu, sp, ld64(cpu + SEL + 8 * SS), user)
        sp = push64(cpu, sp, ld64(cpu + RSP), user)
        sp = push64(cpu, sp, get_flags(cpu) | rf, user)
        sp = push64(cpu, sp, ld64(cpu + SEL + 8 * CS), user)
        sp = push64(cpu, sp, return_pc, user)
        if error != -1:
            sp = push64(cpu, sp, error, user)
        mark_accessed(cpu, selector, d)
        if pending(cpu):
            return -1
        if level != cpl(cpu):
            set_segment(cpu, SS, level, 0, 0, level << 5)
        st64(cpu + RSP, sp)
        return after_entry(cpu, selector, d, level, target, lsr(gate, 40) & 15)

    @inner
    def push_data_segments(cpu, base, limit, attr, sp, size):
        """An interrupt in virtual-8086 mode saves these first."""
        sp = push_on(cpu, base, limit, attr, sp, size, ld64(cpu + SEL + 8 * GS), 0)
        sp = push_on(cpu, base, limit, attr, sp, size, ld64(cpu + SEL + 8 * FS), 0)
        sp = push_on(cpu, base, limit, attr, sp, size, ld64(cpu + SEL + 8 * DS), 0)
        return push_on(cpu, base, limit, attr, sp, size, ld64(cpu + SEL + 8 * ES), 0)

    @inner
    def push_frame(cpu, base, limit, attr, sp, size, user, flags, return_pc, error):
        sp = push_on(cpu, base, limit, attr, sp, size, flags & operand_mask(8 * size), user)
        sp = push_on(cpu, base, limit, attr, sp, size, ld64(cpu + SEL + 8 * CS), user)
        sp = push_on(cpu, base, limit, attr, sp, size, return_pc & operand_mask(8 * size), user)
        if error != -1:
            sp = push_on(cpu, base, limit, attr, sp, size, error, user)
        return sp

    @inner
    def inner_entry(cpu, selector, d, level, size, ext, flags, return_pc, error):
        """Switch to the stack of a more privileged level and push; -1 with an exception pending."""
        from_v86 = ld64(cpu + EFLAGS) & VM != 0
        if from_v86 and level != 0:
            return fault(cpu, GP, (selector & 0xFFFC) | ext)
        where = tss_stack(cpu, level, ext)
        if pending(cpu):
            return -1
        stack_selector, sp = lsr(where, 32) & 0xFFFF, where & 0xFFFFFFFF
        stack = inner_stack(cpu, stack_selector, level, ext)
        if pending(cpu):
            return -1
        base, limit, attr = d_base(stack), d_limit(stack), d_attr(stack)
        user = 1 if level == 3 else 0
        if from_v86:
            sp = push_data_segments(cpu, base, limit, attr, sp, size)
        sp = push_on(cpu, base, limit, attr, sp, size, ld64(cpu + SEL + 8 * SS), user)
        sp = push_on(cpu, base, limit, attr, sp, size, ld64(cpu + RSP) & operand_mask(8 * size), user)
        sp = push_frame(cpu, base, limit, attr, sp, size, user, flags, return_pc, error)
        mark_accessed(cpu, selector, d)
        mark_accessed(cpu, stack_selector, stack)
        if pending(cpu):
            return blame_stack(cpu, stack_selector, ext)
        if from_v86:
            set_segment(cpu, ES, 0, 0, 0, 0)
            set_segment(cpu, DS, 0, 0, 0, 0)
            set_segment(cpu, FS, 0, 0, 0, 0)
            set_segment(cpu, GS, 0, 0, 0, 0)
        install(cpu, SS, stack_selector, stack)
        return set_rsp_legacy(cpu, attr, sp)

    @inner
    def enter_task(cpu, selector, error, ext, flags, return_pc):
        """Through a task gate: 1 when the task has changed, whose stack gets the error code."""
        if switch_task(cpu, selector, BY_CALL, return_pc, flags, ext) != 1:
            return -1
        if error != -1 and not pending(cpu):
            base, limit, attr = ld64(cpu + BASE + 8 * SS), ld64(cpu + LIMIT + 8 * SS), ld64(cpu + ATTR + 8 * SS)
            size, user = 4 if ld64(cpu + ATTR + 8 * TR) & TSS_32BIT else 2, 1 if cpl(cpu) == 3 else 0
            sp = push_on(cpu, base, limit, attr, ld64(cpu + RSP), size, error, user)
            if not pending(cpu):
                set_rsp_legacy(cpu, attr, sp)
        return 1

    @inner
    def enter_protected(cpu, vector, error, kind, ext, rf, return_pc):
        if 8 * vector + 7 > ld64(cpu + IDTR_LIMIT):
            return fault(cpu, GP, 8 * vector + 2 + ext)
        gate = load_as(cpu, ld64(cpu + IDTR_BASE) + 8 * vector, 8, 0)
        if pending(cpu):
            return -1
        gate_type = lsr(gate, 40) & 31
        if gate_type & ~8 not in (5, 6, 7) or gate_type == 13:
            return fault(cpu, GP, 8 * vector + 2 + ext)
        if check_gate(cpu, gate, vector, kind, ext) != 0:
            return -1
        if gate_type == 5:
            return enter_task(cpu, lsr(gate, 16) & 0xFFFF, error, ext, get_flags(cpu) | rf, return_pc)
        selector, wide = lsr(gate, 16) & 0xFFFF, gate_type & 8 != 0
        target = (gate & 0xFFFF) | (lsr(gate, 32) & 0xFFFF0000 if wide else 0)
        d = gate_code(cpu, selector, ext)
        if pending(cpu) or check_target(cpu, d, target) != 0:
            return -1
        level, flags, size = new_level(cpu, d), get_flags(cpu) | rf, 4 if wide else 2
        if level != cpl(cpu):
            if inner_entry(cpu, selector, d, level, size, ext, flags, return_pc, error) != 0:
                return -1
        else:
            if flags & VM:
                return fault(cpu, GP, (selector & 0xFFFC) | ext)
            base, limit, attr = ld64(cpu + BASE + 8 * SS), ld64(cpu + LIMIT + 8 * SS), ld64(cpu + ATTR + 8 * SS)
            user = 1 if level == 3 else 0
            sp = push_frame(cpu, base, limit, attr, ld64(cpu + RSP), size, user, flags, return_pc, error)
            mark_accessed(cpu, selector, d)
            if pending(cpu):
                return -1
            set_rsp_legacy(cpu, attr, sp)
        return after_entry(cpu, selector, d, level, target, gate_type)

    @inner
    def enter(cpu, vector, error, kind, rf, return_pc):
        """Enter the handler of ``vector``; -1 with an exception pending and nothing changed, 1 when the task has
        changed (an exception of the new one may be pending)."""
        ext = 0 if kind == SOFTWARE else 1
        if ld64(cpu + CR0) & CR0_PE == 0:
            return enter_vector(cpu, vector, return_pc)
        if ld64(cpu + EFER) & EFER_LMA:
            return enter_long(cpu, vector, error, kind, ext, rf, return_pc)
        return enter_protected(cpu, vector, error, kind, ext, rf, return_pc)

    @inner
    def is_in(mask, vector):
        """Whether a vector is that of an exception in ``mask``."""
        return vector < 32 and (mask >> vector) & 1 != 0

    @inner
    def combine(first, second):
        """Whether ``second``, raised while ``first`` was being delivered, makes a double fault."""
        if is_in(CONTRIBUTORY, first):
            return is_in(CONTRIBUTORY, second)
        return first == PF_FAULT and (second == PF_FAULT or is_in(CONTRIBUTORY, second))

    @helper
    def deliver(cpu):
        """Deliver what is pending in ``exc_vector`` at ``pc``: an exception, or an interrupt (EXTERNAL + vector).

        Exceptions on the way are delivered instead or become a double fault. 0, or 1: triple fault."""
        now = ld64(cpu + O_LIMIT) - ld64(cpu + O_IC)
        st64(cpu + O_NOW, now)
        vector, error, rf = ld64(cpu + O_VECTOR), ld64(cpu + O_ERROR), 0
        if vector < EXTERNAL:
            first = goes_before(cpu, now, error)
            if first != 0:
                vector, error = DB, first  # what is pending will be again
            elif ld64(cpu + DEBUG_AT) == now:
                st64(cpu + DEBUG_HITS, 0)  # of an instruction that has not come to its end
        if vector == DB:
            rf = deliver_debug(cpu, error)
            error = -1
        while True:
            st64(cpu + O_VECTOR, -1)
            if vector == PF_FAULT:
                st64(cpu + CR2, ld64(cpu + O_ADDRESS))
            enter(cpu, vector & 255, error, HARDWARE, RF if is_in(FAULTS, vector) else rf, ld64(cpu + O_PC))
            if not pending(cpu):
                st64(cpu + DEBUG_AT, -1)
                st64(cpu + MOV_SS, -1)
                st64(cpu + DEBUG_BEGUN, -1)
                return 0
            if vector == DOUBLE:
                st64(cpu + O_VECTOR, -1)
                return 1
            if combine(vector, ld64(cpu + O_VECTOR)):
                vector, error = DOUBLE, 0
            else:
                vector, error = ld64(cpu + O_VECTOR), ld64(cpu + O_ERROR)

    @inner
    def settle(cpu):
        """After a task switch by an instruction: deliver what is pending in the new task."""
        if pending(cpu):
            st64(cpu + O_IC, ld64(cpu + O_LIMIT) - ld64(cpu + O_NOW) - 1)
            if deliver(cpu) != 0:
                fault(cpu, DOUBLE, 0)
        return 0

    @helper
    def soft_interrupt(cpu, vector, next_pc, kind):
        """INT n (INT_N), INT3 (SOFTWARE), INTO (IF_OVERFLOW), INT1 (HARDWARE: no check of the gate's privilege)."""
        flags = get_flags(cpu)
        if kind == IF_OVERFLOW and flags & st.OF == 0:
            st64(cpu + O_PC, next_pc)
        elif kind == INT_N and flags & VM and flags & IOPL != IOPL:
            fault(cpu, GP, 0)
        else:
            forget_step(cpu)
            if kind == HARDWARE and ld64(cpu + DEBUG_HITS) != 0:
                deliver_debug(cpu, TRAP)  # what MOV SS has held off until INT1 comes with its #DB
            if enter(cpu, vector, -1, SOFTWARE if kind else HARDWARE, 0, next_pc) == 1:
                settle(cpu)
        return done(cpu)

    # -- IRET ---------------------------------------------------------------------------------------------------------
    @inner
    def merged_flags(cpu, value, size, level):
        """RFLAGS after popping ``value`` at a privilege level: what it may not change stays."""
        old = get_flags(cpu)
        change = 0x3FFFFF & ~VM
        if level != 0:
            change &= ~IOPL
        if level > (old >> 12) & 3:
            change &= ~st.IF
        if size == 2:
            change &= 0xFFFF
        return (old & ~change) | (value & change)

    @inner
    def iret_real(cpu, size):
        offset, selector, value = peek(cpu, 0, size), peek(cpu, size, size) & 0xFFFF, peek(cpu, 2 * size, size)
        if ld64(cpu + EFLAGS) & VM and ld64(cpu + EFLAGS) & IOPL != IOPL and not pending(cpu):
            fault(cpu, GP, 0)
        if pending(cpu):
            return -1
        flags = merged_flags(cpu, value, size, cpl(cpu))
        set_rsp(cpu, ld64(cpu + RSP) + 3 * size)
        return_flags(cpu, flags)
        return enter_real(cpu, selector, offset)

    @inner
    def iret_v86(cpu, offset, selector, flags):
        """From CPL 0 to virtual-8086 mode."""
        sp = peek(cpu, 12, 4)
        for i in range(5):
            peek(cpu, 16 + 4 * i, 4)
        if pending(cpu):
            return -1
        ss, es, ds, fs, gs = (
            peek(cpu, 16, 4), peek(cpu, 20, 4), peek(cpu, 24, 4), peek(cpu, 28, 4), peek(cpu, 32, 4),
        )  # fmt: skip
        return_flags(cpu, flags)
        load_real(cpu, SS, ss & 0xFFFF)
        load_real(cpu, ES, es & 0xFFFF)
        load_real(cpu, DS, ds & 0xFFFF)
        load_real(cpu, FS, fs & 0xFFFF)
        load_real(cpu, GS, gs & 0xFFFF)
        st64(cpu + RSP, sp)
        return enter_real(cpu, selector, offset & 0xFFFF)

    @inner
    def iret_task(cpu, next_pc):
        """Back to the task that called this one."""
        if ld64(cpu + EFER) & EFER_LMA:
            return fault(cpu, GP, 0)
        link = load_as(cpu, ld64(cpu + BASE + 8 * TR), 2, 0)
        return -1 if pending(cpu) else switch_task(cpu, link, BY_RETURN, next_pc, get_flags(cpu), 0)

    @inner
    def iret_protected(cpu, size, next_pc):
        """1 when the task has changed."""
        long_mode, level = is_code64(cpu), cpl(cpu)
        if ld64(cpu + EFLAGS) & NT:
            return iret_task(cpu, next_pc)
        offset, selector, value = peek(cpu, 0, size), peek(cpu, size, size) & 0xFFFF, peek(cpu, 2 * size, size)
        if pending(cpu):
            return -1
        if value & VM and level == 0 and size == 4 and ld64(cpu + EFER) & EFER_LMA == 0:
            return iret_v86(cpu, offset, selector, value)
        d = return_code(cpu, selector, offset)
        if pending(cpu):
            return -1
        flags = merged_flags(cpu, value, size, level)
        if selector & 3 == level and not long_mode:
            set_rsp(cpu, ld64(cpu + RSP) + 3 * size)
            return_flags(cpu, flags)
            return enter_code(cpu, selector, d, offset)
        sp, stack_selector = peek(cpu, 3 * size, size), peek(cpu, 4 * size, size) & 0xFFFF
        if pending(cpu):
            return -1
        to64 = ld64(cpu + EFER) & EFER_LMA != 0 and d_attr(d) & A_LONG != 0
        stack = return_stack(cpu, stack_selector, selector & 3, to64)
        if pending(cpu):
            return -1
        return_flags(cpu, flags)
        return leave_to(cpu, selector, d, offset, stack_selector, stack, sp)

    @helper
    def iret(cpu, bits, next_pc):
        """IRET; ``bits``: operand size."""
        if is_real(cpu):
            iret_real(cpu, bits >> 3)
        elif iret_protected(cpu, bits >> 3, next_pc) == 1:
            settle(cpu)
        if not pending(cpu) and ld64(cpu + O_NMI) != 0:
            st64(cpu + O_NMI, 0)
            st64(cpu + O_LEAVE, ld64(cpu + O_LEAVE) | 3)  # another NMI may be waiting
        return done(cpu)

    return SimpleNamespace(merged_flags=merged_flags, settle=settle)
