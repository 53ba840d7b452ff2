"""Far jumps, calls and returns: direct, through call gates, to other tasks (SDM volume 3, 5.8; volume 2, JMP, CALL,
RET). Compiled by numba.
"""

from __future__ import annotations

from types import SimpleNamespace

from frontends.x86 import state as st
from frontends.x86.common import (
    A_LONG,
    A_PRESENT,
    EFER,
    EFER_LMA,
    GP,
    NP,
    SEL,
    cpl,
    fault,
    get_flags,
    is_real,
    pending,
    set_segment,
)
from frontends.x86.segments import (
    CODE,
    CONFORMING_OR_DOWN,
    CS,
    GDTR_LIMIT,
    RSP,
    S_BIT,
    SS,
    d_attr,
    d_base,
    d_dpl,
    d_limit,
    operand_mask,
    set_rsp,
)
from frontends.x86.tasks import BY_CALL, BY_JUMP
from jitrr.engine.native import helper, inner, ld64, lsr, st64

#: Types of system descriptors (the busy ones of TSS, 3 and 11, are #GP).
TSS_16, CALL_GATE_16, TASK_GATE, TSS_32, CALL_GATE = 1, 4, 5, 9, 12


def build(mmu: SimpleNamespace, seg: SimpleNamespace, task: SimpleNamespace, exceptions: SimpleNamespace) -> None:
    """The helpers."""
    load_as, done = mmu.load_as, mmu.finish
    entry_address, read_descriptor, mark_accessed, install = (
        seg.entry_address, seg.read_descriptor, seg.mark_accessed, seg.install,
    )  # fmt: skip
    check_code_form, check_target, gate_code, new_level = (
        seg.check_code_form, seg.check_target, seg.gate_code, seg.new_level,
    )  # fmt: skip
    push, push_on, push64, peek = seg.push, seg.push_on, seg.push64, seg.peek
    tss_stack, tss_stack64, inner_stack, blame_stack = seg.tss_stack, seg.tss_stack64, seg.inner_stack, seg.blame_stack
    set_rsp_legacy, enter_code, enter_real = seg.set_rsp_legacy, seg.enter_code, seg.enter_real
    return_code, return_stack, leave_to = seg.return_code, seg.return_stack, seg.leave_to
    switch_task, settle = task.switch_task, exceptions.settle

    @inner
    def check_code(cpu, selector, d):
        """A code descriptor that a far jump or call goes to directly."""
        attr, level, error = d_attr(d), cpl(cpu), selector & 0xFFFC
        if attr & CODE == 0:
            return fault(cpu, GP, error)
        if attr & CONFORMING_OR_DOWN:
            if d_dpl(d) > level:
                return fault(cpu, GP, error)
        elif selector & 3 > level or d_dpl(d) != level:
            return fault(cpu, GP, error)
        return check_code_form(cpu, selector, attr)

    @inner
    def check_gate(cpu, selector, d):
        """Privilege and presence of a call or task gate."""
        if d_dpl(d) < cpl(cpu) or d_dpl(d) < selector & 3:
            return fault(cpu, GP, selector & 0xFFFC)
        if d_attr(d) & A_PRESENT == 0:
            return fault(cpu, NP, selector & 0xFFFC)
        return 0

    @inner
    def gate_offset(cpu, selector, d):
        """Where a call gate leads; check for a pending exception. In long mode it has 16 bytes."""
        low = d & 0xFFFF
        if lsr(d, 40) & 15 == CALL_GATE:
            low |= lsr(d, 32) & 0xFFFF0000
        if ld64(cpu + EFER) & EFER_LMA == 0:
            return low
        at = entry_address(cpu, selector)
        limit = ld64(cpu + (st.SEG_LIMIT + 8 * st.LDTR if selector & 4 else GDTR_LIMIT))
        if (selector & 0xFFF8) + 15 > limit:
            return fault(cpu, GP, selector & 0xFFFC)
        high = load_as(cpu, at + 8, 8, 0)
        if not pending(cpu) and lsr(high, 40) & 31:
            return fault(cpu, GP, selector & 0xFFFC)
        return low | (high << 32)

    @inner
    def to_task(cpu, selector, d, source, next_pc):
        """Through a task gate, or to a TSS; see tasks.switch_task."""
        if d_attr(d) & 15 == TASK_GATE:
            if check_gate(cpu, selector, d) != 0:
                return -1
            selector = lsr(d, 16) & 0xFFFF
        elif d_dpl(d) < cpl(cpu) or d_dpl(d) < selector & 3:
            return fault(cpu, GP, selector & 0xFFFC)
        return switch_task(cpu, selector, source, next_pc, get_flags(cpu), 0)

    # -- calls through gates ------------------------------------------------------------------------------------------
    @inner
    def call_inner64(cpu, selector, d, level, target, next_pc):
        """To a more privileged level in long mode: a new stack, no parameters."""
        sp, user = tss_stack64(cpu, 4 + 8 * level, 0), 1 if level == 3 else 0
        sp = push64(cpu, sp, ld64(cpu + SEL + 8 * SS), user)
        sp = push64(cpu, sp, ld64(cpu + RSP), user)
        sp = push64(cpu, sp, ld64(cpu + SEL + 8 * CS), user)
        sp = push64(cpu, sp, next_pc, user)
        mark_accessed(cpu, selector, d)
        if pending(cpu):
            return -1
        set_segment(cpu, SS, level, 0, 0, level << 5)
        st64(cpu + RSP, sp)
        return enter_code(cpu, selector, d, target)

    @inner
    def call_inner(cpu, selector, d, level, target, size, count, next_pc):
        """To a more privileged level: a new stack, with ``count`` parameters from the old one."""
        where = tss_stack(cpu, level, 0)
        if pending(cpu):
            return -1
        stack_selector, sp = lsr(where, 32) & 0xFFFF, where & 0xFFFFFFFF
        stack = inner_stack(cpu, stack_selector, level, 0)
        if pending(cpu):
            return -1
        base, limit, attr, user = d_base(stack), d_limit(stack), d_attr(stack), 1 if level == 3 else 0
        sp = push_on(cpu, base, limit, attr, sp, size, ld64(cpu + SEL + 8 * SS), user)
        sp = push_on(cpu, base, limit, attr, sp, size, ld64(cpu + RSP) & operand_mask(8 * size), user)
        if pending(cpu):
            return blame_stack(cpu, stack_selector, 0)
        for i in range(count):
            sp = push_on(cpu, base, limit, attr, sp, size, peek(cpu, size * (count - 1 - i), size), user)
        sp = push_on(cpu, base, limit, attr, sp, size, ld64(cpu + SEL + 8 * CS), user)
        sp = push_on(cpu, base, limit, attr, sp, size, next_pc & operand_mask(8 * size), user)
        mark_accessed(cpu, selector, d)
        mark_accessed(cpu, stack_selector, stack)
        if pending(cpu):
            return -1
        install(cpu, SS, stack_selector, stack)
        set_rsp_legacy(cpu, attr, sp)
        return enter_code(cpu, selector, d, target)

    @inner
    def call_same(cpu, selector, d, target, size, next_pc):
        """Through a gate without a change of level."""
        if size == 8:
            sp = push64(cpu, ld64(cpu + RSP), ld64(cpu + SEL + 8 * CS), 1 if cpl(cpu) == 3 else 0)
            sp = push64(cpu, sp, next_pc, 1 if cpl(cpu) == 3 else 0)
        else:
            sp = push(cpu, ld64(cpu + RSP), size, ld64(cpu + SEL + 8 * CS))
            sp = push(cpu, sp, size, next_pc & operand_mask(8 * size))
        mark_accessed(cpu, selector, d)
        if pending(cpu):
            return -1
        if size == 8:
            st64(cpu + RSP, sp)
        else:
            set_rsp(cpu, sp)
        return enter_code(cpu, selector, d, target)

    @inner
    def through_gate(cpu, gate_selector, gate, source, next_pc):
        """A call gate."""
        if check_gate(cpu, gate_selector, gate) != 0:
            return -1
        target = gate_offset(cpu, gate_selector, gate)
        if pending(cpu):
            return -1
        selector = lsr(gate, 16) & 0xFFFF
        d = gate_code(cpu, selector, 0)
        if pending(cpu):
            return -1
        level = new_level(cpu, d)
        if source == BY_JUMP and level != cpl(cpu):
            return fault(cpu, GP, selector & 0xFFFC)
        if check_target(cpu, d, target) != 0:
            return -1
        if source == BY_JUMP:
            mark_accessed(cpu, selector, d)
            return -1 if pending(cpu) else enter_code(cpu, selector, d, target)
        long_mode = ld64(cpu + EFER) & EFER_LMA != 0
        size = 8 if long_mode else (4 if lsr(gate, 40) & 15 == CALL_GATE else 2)
        if level == cpl(cpu):
            return call_same(cpu, selector, d, target, size, next_pc)
        if long_mode:
            return call_inner64(cpu, selector, d, level, target, next_pc)
        return call_inner(cpu, selector, d, level, target, size, lsr(gate, 32) & 31, next_pc)

    # -- jumps and calls ----------------------------------------------------------------------------------------------
    @inner
    def to_code(cpu, selector, d, offset, bits, source, next_pc):
        """Directly to a code segment."""
        if check_code(cpu, selector, d) != 0 or check_target(cpu, d, offset) != 0:
            return -1
        sp = ld64(cpu + RSP)
        if source == BY_CALL:
            sp = push(cpu, sp, bits >> 3, ld64(cpu + SEL + 8 * CS))
            sp = push(cpu, sp, bits >> 3, next_pc & operand_mask(bits))
        mark_accessed(cpu, selector, d)
        if pending(cpu):
            return -1
        if source == BY_CALL:
            set_rsp(cpu, sp)
        return enter_code(cpu, selector, d, offset)

    @inner
    def transfer(cpu, selector, offset, bits, source, next_pc):
        """In protected mode; 1 when the task has changed."""
        if selector & 0xFFFC == 0:
            return fault(cpu, GP, 0)
        d = read_descriptor(cpu, selector, GP, 0)
        if pending(cpu):
            return -1
        if d_attr(d) & S_BIT:
            return to_code(cpu, selector, d, offset, bits, source, next_pc)
        kind, long_mode = d_attr(d) & 15, ld64(cpu + EFER) & EFER_LMA != 0
        if kind == CALL_GATE or (kind == CALL_GATE_16 and not long_mode):
            return through_gate(cpu, selector, d, source, next_pc)
        if not long_mode and (kind == TASK_GATE or kind & ~10 == TSS_16):
            return to_task(cpu, selector, d, source, next_pc)
        return fault(cpu, GP, selector & 0xFFFC)

    @helper
    def far_jump(cpu, selector, offset, bits, next_pc):
        """JMP to another code segment or task; ``bits``: operand size."""
        selector, offset = selector & 0xFFFF, offset & operand_mask(bits)
        if is_real(cpu):
            enter_real(cpu, selector, offset)
        elif transfer(cpu, selector, offset, bits, BY_JUMP, next_pc) == 1:
            settle(cpu)
        return done(cpu)

    @inner
    def call_real(cpu, selector, offset, bits, next_pc):
        sp = push(cpu, ld64(cpu + RSP), bits >> 3, ld64(cpu + SEL + 8 * CS))
        sp = push(cpu, sp, bits >> 3, next_pc & operand_mask(bits))
        if pending(cpu):
            return -1
        set_rsp(cpu, sp)
        return enter_real(cpu, selector, offset)

    @helper
    def far_call(cpu, selector, offset, bits, next_pc):
        """CALL to another code segment or task, returning to ``next_pc``."""
        selector, offset = selector & 0xFFFF, offset & operand_mask(bits)
        if is_real(cpu):
            call_real(cpu, selector, offset, bits, next_pc)
        elif transfer(cpu, selector, offset, bits, BY_CALL, next_pc) == 1:
            settle(cpu)
        return done(cpu)

    # -- returns ------------------------------------------------------------------------------------------------------
    @inner
    def ret_protected(cpu, size, selector, offset, extra):
        d = return_code(cpu, selector, offset)
        if pending(cpu):
            return -1
        if selector & 3 == cpl(cpu):
            set_rsp(cpu, ld64(cpu + RSP) + 2 * size + extra)
            return enter_code(cpu, selector, d, offset)
        sp = peek(cpu, 2 * size + extra, size)
        stack_selector = peek(cpu, 3 * size + extra, size) & 0xFFFF
        if pending(cpu):
            return -1
        to64 = ld64(cpu + EFER) & EFER_LMA != 0 and d_attr(d) & A_LONG != 0
        stack = return_stack(cpu, stack_selector, selector & 3, to64)
        if pending(cpu):
            return -1
        return leave_to(cpu, selector, d, offset, stack_selector, stack, sp + extra)

    @helper
    def far_return(cpu, bits, extra):
        """RETF, releasing ``extra`` bytes of parameters."""
        size = bits >> 3
        offset = peek(cpu, 0, size)
        selector = peek(cpu, size, size) & 0xFFFF
        if not pending(cpu):
            if is_real(cpu):
                set_rsp(cpu, ld64(cpu + RSP) + 2 * size + extra)
                enter_real(cpu, selector, offset)
            else:
                ret_protected(cpu, size, selector, offset, extra)
        return done(cpu)
