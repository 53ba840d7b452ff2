"""Exception entry and return in every mode, and what else writes CPSR as a whole (DDI 0406C, B1.8, B9.3). Compiled by
numba.

An exception counts as one instruction: the one that did not complete because of it. So a guest whose handlers fault
themselves still gets on in time.
"""

from __future__ import annotations

from types import SimpleNamespace

from frontends.arm import state as st
from frontends.arm.common import (
    CPSR,
    HELD,
    LR,
    MODE_BITS,
    O_ADDRESS,
    O_ERROR,
    O_IC,
    O_LIMIT,
    O_NOW,
    O_PC,
    O_VECTOR,
    SCTLR_EE,
    SCTLR_TE,
    SCTLR_V,
    SP,
    SPSR,
    TTBCR_EAE,
    bank,
    current,
    fault,
    get_cpsr,
    pending,
    set_arithmetic,
    set_control,
    set_state,
    update_mode,
)
from frontends.arm.vectors import (
    ALIGNMENT_LONG,
    ALIGNMENT_SHORT,
    EXC_DABORT,
    EXC_FIQ,
    EXC_IRQ,
    EXC_PABORT,
    EXC_SVC,
    EXC_UNDEF,
    FSR_WRITE,
    HIGH_VECTORS,
)
from jitrr.engine.native import helper, inner, ld64, lsr, st64

#: DBGDSCR.MOE.
MOE_AT, MOE = 2, 0xF << 2


@inner
def swap32(value):
    """The bytes of a word in the other order."""
    return ((value & 0xFF) << 24) | ((value & 0xFF00) << 8) | (lsr(value, 8) & 0xFF00) | (lsr(value, 24) & 0xFF)


@inner
def advance_it(cpu):
    """ITAdvance (A2.5.2)."""
    it = ld64(cpu + st.ITSTATE)
    return st64(cpu + st.ITSTATE, (it & 0xE0) | ((it << 1) & 0x1F) if it & 7 else 0)


@inner
def unaligned(cpu, address, write):
    """Alignment fault of a word access that must be aligned; -1."""
    st64(cpu + O_ADDRESS, address)
    status = ALIGNMENT_LONG if ld64(cpu + st.TTBCR) & TTBCR_EAE else ALIGNMENT_SHORT
    return fault(cpu, EXC_DABORT, status | (FSR_WRITE if write else 0))


def build(memory: SimpleNamespace) -> SimpleNamespace:
    """The helpers; returns functions others use."""
    load_as, store_as, done = memory.load_as, memory.store_as, memory.finish

    @inner
    def enter(cpu, vector, mode, masks, lr):
        """Take an exception: ``masks``: the CPSR bits it sets besides I; ``lr``: what the mode's LR gets."""
        sctlr, saved = ld64(cpu + st.SCTLR), get_cpsr(cpu)
        control = (saved & HELD & ~(MODE_BITS | st.E)) | mode | st.I | masks
        if sctlr & SCTLR_EE:
            control |= st.E
        set_control(cpu, control)
        set_state(cpu, st.TBIT if sctlr & SCTLR_TE else 0)
        st64(cpu + SPSR + 8 * bank(mode), saved)
        st64(cpu + LR, lr & 0xFFFFFFFF)
        base = HIGH_VECTORS if sctlr & SCTLR_V else ld64(cpu + st.VBAR)
        st64(cpu + O_PC, base + 4 * vector)
        return update_mode(cpu)

    @inner
    def note_abort(cpu, vector):
        """Fault status and address registers; of a debug exception, DBGDSCR.MOE, and no IFAR."""
        status, address = ld64(cpu + O_ERROR) & 0xFFFFFFFF, ld64(cpu + O_ADDRESS) & 0xFFFFFFFF
        entry = lsr(ld64(cpu + O_ERROR), 32)
        if entry:
            st64(cpu + st.DBGDSCR, (ld64(cpu + st.DBGDSCR) & ~MOE) | (entry << MOE_AT))
        if vector == EXC_DABORT:
            st64(cpu + st.DFSR, status)
            return st64(cpu + st.DFAR, address)
        st64(cpu + st.IFSR, status & ~FSR_WRITE)
        if entry == 0:
            st64(cpu + st.IFAR, address)
        return 0

    @helper
    def deliver(cpu):
        """Take what is pending in ``exc_vector`` at ``pc``: an exception (vectors.EXC_*) or an interrupt. Returns 0."""
        vector, pc = ld64(cpu + O_VECTOR), ld64(cpu + O_PC)
        st64(cpu + O_VECTOR, -1)
        after = pc + (2 if ld64(cpu + st.THUMB) else 4)
        if vector == EXC_IRQ:
            return enter(cpu, vector, st.M_IRQ, st.A, pc + 4)
        if vector == EXC_FIQ:
            return enter(cpu, vector, st.M_FIQ, st.A | st.F, pc + 4)
        st64(cpu + O_IC, ld64(cpu + O_IC) - 1)
        st64(cpu + O_NOW, ld64(cpu + O_LIMIT) - ld64(cpu + O_IC))
        if vector == EXC_UNDEF:
            return enter(cpu, vector, st.M_UND, 0, after)
        if vector == EXC_SVC:
            advance_it(cpu)
            return enter(cpu, vector, st.M_SVC, 0, after)
        note_abort(cpu, vector)
        return enter(cpu, vector, st.M_ABT, st.A, pc + (4 if vector == EXC_PABORT else 8))

    @inner
    def has_spsr(cpu):
        """Whether the mode has an SPSR; else Undefined is pending (using one is UNPREDICTABLE)."""
        if bank(current(cpu)) != st.BANK_USER:
            return True
        fault(cpu, EXC_UNDEF, -1)
        return False

    @inner
    def return_to(cpu, target, psr):
        """CPSR and pc from saved ones. A mode that does not exist leaves the mode as it is."""
        if bank(psr & MODE_BITS) == -1:
            psr = (psr & ~MODE_BITS) | current(cpu)
        set_control(cpu, psr)
        set_state(cpu, psr)
        set_arithmetic(cpu, psr)
        st64(cpu + st.GE, psr & 0xF0000)
        st64(cpu + O_PC, target & (0xFFFFFFFE if psr & st.TBIT else 0xFFFFFFFC))
        return update_mode(cpu)

    @helper
    def exception_return(cpu, target):
        """SUBS PC, LR and all that copy SPSR to CPSR; ``pc`` is set."""
        if has_spsr(cpu):
            return_to(cpu, target, ld64(cpu + SPSR + 8 * bank(current(cpu))))
        return done(cpu)

    @helper
    def return_from_memory(cpu, address, register, base):
        """RFE: pc and CPSR from two words; then register ``register`` is ``base``, unless it is -1."""
        if bank(current(cpu)) == st.BANK_USER and current(cpu) == st.M_USR:
            fault(cpu, EXC_UNDEF, -1)
        elif address & 3:
            unaligned(cpu, address, 0)
        else:
            target = load_as(cpu, address, 4, 0)
            psr = 0 if pending(cpu) else load_as(cpu, (address + 4) & 0xFFFFFFFF, 4, 0)
            if not pending(cpu):
                if ld64(cpu + CPSR) & st.E:
                    target, psr = swap32(target), swap32(psr)
                if register != -1:
                    st64(cpu + st.GPR + 8 * register, base & 0xFFFFFFFF)
                return_to(cpu, target, psr)
        return done(cpu)

    @inner
    def banked_sp(cpu, mode):
        """Address of a mode's R13."""
        if bank(mode) == bank(current(cpu)):
            return cpu + SP
        return cpu + st.BANKED_R13 + 8 * bank(mode)

    @helper
    def store_return_state(cpu, mode, offset, change):
        """SRS: LR and SPSR at ``offset`` from a mode's SP, which then changes by ``change``."""
        if bank(mode) == -1:
            fault(cpu, EXC_UNDEF, -1)
        elif has_spsr(cpu):
            at = banked_sp(cpu, mode)
            address = (ld64(at) + offset) & 0xFFFFFFFF
            lr, psr = ld64(cpu + LR), ld64(cpu + SPSR + 8 * bank(current(cpu)))
            if ld64(cpu + CPSR) & st.E:
                lr, psr = swap32(lr), swap32(psr)
            if address & 3:
                unaligned(cpu, address, 1)
            else:
                store_as(cpu, address, 4, lr, 0)
                if not pending(cpu):
                    store_as(cpu, (address + 4) & 0xFFFFFFFF, 4, psr, 0)
                if not pending(cpu):
                    st64(at, (ld64(at) + change) & 0xFFFFFFFF)
        return done(cpu)

    @helper
    def write_cpsr(cpu, value, fields):
        """MSR to CPSR; ``fields``: bit 0 control, 1 extension, 2 status, 3 flags (B1.3.3, CPSRWriteByInstr).

        User mode changes flags, GE and E only; a mode that does not exist leaves the mode as it is."""
        privileged = current(cpu) != st.M_USR
        if fields & 8:
            set_arithmetic(cpu, value)
        if fields & 4:
            st64(cpu + st.GE, value & 0xF0000)
        mask = 0
        if fields & 2:
            mask |= st.E | st.A if privileged else st.E
        if fields & 1 and privileged:
            mask |= st.I | st.F
            if bank(value & MODE_BITS) != -1:
                mask |= MODE_BITS
        if mask:
            set_control(cpu, (ld64(cpu + CPSR) & ~mask) | (value & mask))
            update_mode(cpu)
        return done(cpu)

    @helper
    def read_spsr(cpu):
        """MRS from SPSR."""
        value = ld64(cpu + SPSR + 8 * bank(current(cpu))) if has_spsr(cpu) else 0
        done(cpu)
        return value

    @helper
    def write_spsr(cpu, value, fields):
        """MSR to SPSR; ``fields`` as in write_cpsr."""
        if has_spsr(cpu):
            at = cpu + SPSR + 8 * bank(current(cpu))
            mask = 0
            for n in range(4):
                if (fields >> n) & 1:
                    mask |= 0xFF << (8 * n)
            mask &= ~0xF00000
            st64(at, (ld64(at) & ~mask) | (value & mask))
        return done(cpu)

    @inner
    def user_register(cpu, n):
        """Address of a register as User mode sees it."""
        mode = current(cpu)
        if mode == st.M_FIQ and n >= 8 and n <= 12:
            return cpu + st.USER_R8_R12 + 8 * (n - 8)
        if n >= 13 and bank(mode) != st.BANK_USER:
            return cpu + (st.BANKED_R13 if n == 13 else st.BANKED_R14) + 8 * st.BANK_USER
        return cpu + st.GPR + 8 * n

    @helper
    def read_user_register(cpu, n):
        """R0..R14 of User mode, for STM of user registers."""
        done(cpu)
        return ld64(user_register(cpu, n))

    @helper
    def write_user_register(cpu, n, value):
        """R0..R14 of User mode, for LDM of user registers."""
        st64(user_register(cpu, n), value & 0xFFFFFFFF)
        return done(cpu)

    return SimpleNamespace(return_to=return_to)
