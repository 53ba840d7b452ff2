"""Task priority, debug registers, MSRs, system calls, CPUID, port I/O, POPF (SDM volumes 2 and 3). numba.

The processor behaves as an Intel one where vendors differ: SYSCALL in 64-bit mode only, SYSENTER in every mode.
"""

from __future__ import annotations

from types import SimpleNamespace

from frontends.x86 import state as st
from frontends.x86.common import (
    AC,
    ATTR,
    BASE,
    CR0,
    CR0_PE,
    CR0_PG,
    CR4,
    DB,
    DR7,
    EFER,
    EFER_LMA,
    EFER_LME,
    EFER_NXE,
    EFER_SCE,
    EFLAGS,
    GP,
    IOPL,
    LIMIT,
    O_NOW,
    O_PC,
    RF,
    UD,
    VM,
    canonical,
    cpl,
    fault,
    get_flags,
    is_code64,
    pending,
    set_flags,
    set_segment,
    update_mode,
)
from frontends.x86.cpuid import APIC
from frontends.x86.debug import CR4_DE, DR7_GD, GENERAL_DETECT, forget_step, touch_port
from frontends.x86.segments import in_limit, operand_mask
from frontends.x86.services import ENTROPY, IO_READ, IO_WRITE, MSR_READ, MSR_WRITE, TPR_READ
from jitrr.engine.constants import CALL_ARCH, WRITE
from jitrr.engine.native import helper, inner, ld32, ld64, lsr, st64

CS, SS, ES, TR = st.CS, st.SS, st.ES, st.TR
RAX, RCX, RDX, RBX, RSP, RSI, RDI, R11 = (st.gpr(n) for n in (0, 1, 2, 3, 4, 6, 7, 11))
DR = st.DR
O_IO = st.LAYOUT["io_value"]
FS_BASE, GS_BASE = st.seg_base(st.FS), st.seg_base(st.GS)
#: All of EFER, and what of it a processor without long mode has.
EFER_BITS, EFER_BITS_32 = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE, EFER_NXE
DR6_FIXED, DR6_BITS, DR7_FIXED, DR7_BITS = 0xFFFF0FF0, 0xE00F, 0x400, 0xFFFF23FF
TSC, TSC_ADJUST, EFER_MSR, TSC_AUX_MSR = 0x10, 0x3B, 0xC0000080, 0xC0000103
APIC_BASE, APIC_ENABLED = 0x1B, 1 << 11
CODE64, CODE32, DATA = 0xA09B, 0xC09B, 0xC093


def build(mmu: SimpleNamespace, debug: SimpleNamespace, exceptions: SimpleNamespace) -> None:
    """The helpers."""
    load_as, load_data, store_data = mmu.load_as, mmu.load_data, mmu.store_data
    translate, translate_last, arm = mmu.translate, mmu.translate_last, debug.arm
    done, host_call, flush_tlb, merged_flags = mmu.finish, mmu.host_call, mmu.flush_tlb, exceptions.merged_flags

    # -- task priority, debug registers -------------------------------------------------------------------------------
    @helper
    def read_cr8(cpu):
        """The task priority."""
        host_call(cpu, CALL_ARCH, TPR_READ, 0)
        done(cpu)
        return ld64(cpu + O_IO)

    @inner
    def debug_register(cpu, number):
        """The register a number means (DR4 and DR5 alias DR6 and DR7 unless CR4.DE); -1 with an exception pending."""
        if ld64(cpu + DR7) & DR7_GD:
            return fault(cpu, DB, GENERAL_DETECT)
        if number == 4 or number == 5:
            return fault(cpu, UD, -1) if ld64(cpu + CR4) & CR4_DE else number + 2
        return number

    @helper
    def read_dr(cpu, number):
        """MOV from a debug register."""
        number = debug_register(cpu, number)
        done(cpu)
        return 0 if number == -1 else ld64(cpu + DR + 8 * number)

    @helper
    def write_dr(cpu, number, value):
        """MOV to a debug register."""
        number = debug_register(cpu, number)
        if number >= 6 and lsr(value, 32):
            fault(cpu, GP, 0)
        elif number != -1:
            if number == 6:
                value = (value & DR6_BITS) | DR6_FIXED
            elif number == 7:
                value = (value & DR7_BITS) | DR7_FIXED
            st64(cpu + DR + 8 * number, value)
            if number != 6:
                arm(cpu)
        return done(cpu)

    # -- MSRs ---------------------------------------------------------------------------------------------------------
    @inner
    def field_of(cpu, msr):
        """CPU block offset of an MSR that any canonical address may be written to; -1: it is none of those."""
        if msr == 0x175:
            return st.SYSENTER_ESP
        if msr == 0x176:
            return st.SYSENTER_EIP
        if ld64(cpu + st.HAS_LONG_MODE) == 0:
            return -1
        if msr == 0xC0000082:
            return st.LSTAR
        if msr == 0xC0000083:
            return st.CSTAR
        if msr == 0xC0000100:
            return FS_BASE
        if msr == 0xC0000101:
            return GS_BASE
        if msr == 0xC0000102:
            return st.KERNEL_GS_BASE
        return -1

    @inner
    def plain_field_of(cpu, msr):
        """The same for MSRs without restrictions besides their width."""
        if msr == 0x174:
            return st.SYSENTER_CS
        if msr == TSC_AUX_MSR:
            return st.TSC_AUX
        if msr == TSC_ADJUST:
            return st.TSC_OFFSET
        if ld64(cpu + st.HAS_LONG_MODE) == 0:
            return -1
        if msr == 0xC0000081:
            return st.STAR
        if msr == 0xC0000084:
            return st.SFMASK
        return -1

    @inner
    def ticks(cpu):
        """The TSC before its offset."""
        return ld64(cpu + O_NOW) << ld64(cpu + st.TSC_SHIFT)

    @helper
    def read_msr(cpu):
        """RDMSR: the value of the MSR that ECX names."""
        msr = ld32(cpu + RCX)
        at = field_of(cpu, msr)
        if at == -1:
            at = plain_field_of(cpu, msr)
        if at != -1:
            value = ld64(cpu + at)
        elif msr == EFER_MSR:
            value = ld64(cpu + EFER)
        elif msr == TSC:
            value = ticks(cpu) + ld64(cpu + st.TSC_OFFSET)
        else:
            host_call(cpu, CALL_ARCH, MSR_READ, msr)
            value = ld64(cpu + O_IO)
        done(cpu)
        return value

    @inner
    def write_efer(cpu, value):
        old = ld64(cpu + EFER)
        allowed = EFER_BITS if ld64(cpu + st.HAS_LONG_MODE) else EFER_BITS_32
        if value & ~allowed or ((old ^ value) & EFER_LME and ld64(cpu + CR0) & CR0_PG):
            return fault(cpu, GP, 0)
        st64(cpu + EFER, (value & ~EFER_LMA) | (old & EFER_LMA))
        if (old ^ value) & EFER_NXE:
            flush_tlb(cpu)
        return 0

    @helper
    def write_msr(cpu, value):
        """WRMSR to the MSR that ECX names."""
        msr = ld32(cpu + RCX)
        at, plain = field_of(cpu, msr), plain_field_of(cpu, msr)
        if at != -1:
            if canonical(value):
                st64(cpu + at, value)
            else:
                fault(cpu, GP, 0)
        elif plain != -1:
            if lsr(value, 32) and (msr == 0x174 or msr == TSC_AUX_MSR):
                fault(cpu, GP, 0)
            else:
                st64(cpu + plain, value)
        elif msr == EFER_MSR:
            write_efer(cpu, value)
        elif msr == TSC:
            st64(cpu + st.TSC_OFFSET, value - ticks(cpu))
        else:
            st64(cpu + O_IO, value)
            host_call(cpu, CALL_ARCH, MSR_WRITE, msr)
        return done(cpu)

    # -- system calls -------------------------------------------------------------------------------------------------
    @inner
    def flat_segments(cpu, selector, stack_selector, code, level):
        """CS and SS as the fast system calls load them."""
        set_segment(cpu, CS, selector & 0xFFFF, 0, 0xFFFFFFFF, code | (level << 5))
        return set_segment(cpu, SS, stack_selector & 0xFFFF, 0, 0xFFFFFFFF, DATA | (level << 5))

    @helper
    def syscall(cpu, next_pc):
        """SYSCALL."""
        if not is_code64(cpu) or ld64(cpu + EFER) & EFER_SCE == 0:
            fault(cpu, UD, -1)
            return done(cpu)
        flags = get_flags(cpu) & ~RF
        st64(cpu + RCX, next_pc)
        st64(cpu + R11, flags)
        selector = lsr(ld64(cpu + st.STAR), 32) & 0xFFFC
        flat_segments(cpu, selector, selector + 8, CODE64, 0)
        set_flags(cpu, flags & ~ld64(cpu + st.SFMASK))
        forget_step(cpu)
        st64(cpu + O_PC, ld64(cpu + st.LSTAR))
        update_mode(cpu)
        return done(cpu)

    @helper
    def sysret(cpu, bits):
        """SYSRET to 64-bit (``bits`` 64) or compatibility mode."""
        target = ld64(cpu + RCX) & operand_mask(bits)
        if not is_code64(cpu) or ld64(cpu + EFER) & EFER_SCE == 0:
            fault(cpu, UD, -1)
        elif cpl(cpu) != 0 or not canonical(target):
            fault(cpu, GP, 0)
        else:
            selector = lsr(ld64(cpu + st.STAR), 48)
            code = (selector + 16 if bits == 64 else selector) | 3
            flat_segments(cpu, code, (selector + 8) | 3, CODE64 if bits == 64 else CODE32, 3)
            set_flags(cpu, ld64(cpu + R11) & ~VM)
            st64(cpu + O_PC, target)
            update_mode(cpu)
        return done(cpu)

    @helper
    def sysenter(cpu):
        """SYSENTER."""
        selector, lma = ld64(cpu + st.SYSENTER_CS) & 0xFFFC, ld64(cpu + EFER) & EFER_LMA != 0
        if ld64(cpu + CR0) & CR0_PE == 0 or selector == 0:
            fault(cpu, GP, 0)
            return done(cpu)
        set_flags(cpu, get_flags(cpu) & ~(VM | st.IF))
        flat_segments(cpu, selector, selector + 8, CODE64 if lma else CODE32, 0)
        mask = -1 if lma else 0xFFFFFFFF
        st64(cpu + RSP, ld64(cpu + st.SYSENTER_ESP) & mask)
        st64(cpu + O_PC, ld64(cpu + st.SYSENTER_EIP) & mask)
        update_mode(cpu)
        return done(cpu)

    @helper
    def sysexit(cpu, bits):
        """SYSEXIT to 64-bit (``bits`` 64) or 32-bit code."""
        selector = ld64(cpu + st.SYSENTER_CS) & 0xFFFC
        target, stack = ld64(cpu + RDX) & operand_mask(bits), ld64(cpu + RCX) & operand_mask(bits)
        bad = selector == 0 or ld64(cpu + CR0) & CR0_PE == 0 or cpl(cpu) != 0
        if bad or not canonical(target) or not canonical(stack):
            fault(cpu, GP, 0)
            return done(cpu)
        selector = (selector + (32 if bits == 64 else 16)) | 3
        flat_segments(cpu, selector, selector + 8, CODE64 if bits == 64 else CODE32, 3)
        st64(cpu + RSP, stack)
        st64(cpu + O_PC, target)
        update_mode(cpu)
        return done(cpu)

    @helper
    def popf(cpu, value, bits):
        """Flags from a popped value."""
        flags = ld64(cpu + EFLAGS)
        if flags & VM and flags & IOPL != IOPL:
            fault(cpu, GP, 0)
        else:
            set_flags(cpu, merged_flags(cpu, value, bits >> 3, cpl(cpu)))
            if (flags ^ value) & (st.TF | AC):
                update_mode(cpu)
        return done(cpu)

    # -- CPUID, entropy -----------------------------------------------------------------------------------------------
    @helper
    def cpuid(cpu):
        """CPUID from the table of cpuid.py; a leaf that is too high gives the highest basic one."""
        table, leaf, subleaf = ld64(cpu + st.CPUID_TABLE), ld32(cpu + RAX), ld32(cpu + RCX)
        highest = ld32(table + 8)
        if leaf > highest and (leaf < 0x80000000 or leaf > 0x80000008):
            leaf = highest
        a, b, c, d = 0, 0, 0, 0
        for i in range(ld64(cpu + st.CPUID_COUNT)):
            entry = table + 24 * i
            if ld32(entry) == leaf and (ld32(entry + 4) == subleaf or ld32(entry + 4) == 0xFFFFFFFF):
                a, b, c, d = ld32(entry + 8), ld32(entry + 12), ld32(entry + 16), ld32(entry + 20)
                break
        if leaf == 0x80000001 and not is_code64(cpu):
            d &= ~(1 << 11)
        if leaf == 1:
            host_call(cpu, CALL_ARCH, MSR_READ, APIC_BASE)
            if ld64(cpu + O_IO) & APIC_ENABLED == 0:
                d &= ~APIC
        st64(cpu + RAX, a)
        st64(cpu + RBX, b)
        st64(cpu + RCX, c)
        st64(cpu + RDX, d)
        return done(cpu)

    @helper
    def entropy(cpu, size):
        """``size`` random bytes."""
        host_call(cpu, CALL_ARCH, ENTROPY, size)
        done(cpu)
        return ld64(cpu + O_IO)

    # -- ports --------------------------------------------------------------------------------------------------------
    @inner
    def may_use_port(cpu, port, size):
        """IOPL, or the bitmap of a 32- or 64-bit TSS (SDM volume 1, 19.5.2); false with an exception pending."""
        flags = ld64(cpu + EFLAGS)
        if ld64(cpu + CR0) & CR0_PE == 0 or (cpl(cpu) <= (flags >> 12) & 3 and flags & VM == 0):
            return True
        base, limit = ld64(cpu + BASE + 8 * TR), ld64(cpu + LIMIT + 8 * TR)
        if ld64(cpu + ATTR + 8 * TR) & 0x9D == 0x89 and limit >= 0x67:
            at = load_as(cpu, base + 0x66, 2, 0) + (port >> 3)
            if not pending(cpu) and at + 1 <= limit:
                bits = load_as(cpu, base + at, 2, 0) >> (port & 7)
                if not pending(cpu) and bits & ((1 << size) - 1) == 0:
                    return True
        if not pending(cpu):
            fault(cpu, GP, 0)
        return False

    @inner
    def port_read(cpu, port, size):
        host_call(cpu, CALL_ARCH, IO_READ, port | (size << 16))
        touch_port(cpu, port, size)
        return ld64(cpu + O_IO)

    @inner
    def port_write(cpu, port, size, value):
        st64(cpu + O_IO, value)
        touch_port(cpu, port, size)
        return host_call(cpu, CALL_ARCH, IO_WRITE, port | (size << 16))

    @helper
    def io_in(cpu, port, size):
        """IN."""
        value = port_read(cpu, port & 0xFFFF, size) if may_use_port(cpu, port & 0xFFFF, size) else 0
        done(cpu)
        return value

    @helper
    def io_out(cpu, port, size, value):
        """OUT."""
        if may_use_port(cpu, port & 0xFFFF, size):
            port_write(cpu, port & 0xFFFF, size, value & operand_mask(8 * size))
        return done(cpu)

    @inner
    def string_address(cpu, number, offset, size):
        """Linear address of a string operand; check for a pending exception."""
        base = ld64(cpu + BASE + 8 * number)
        if is_code64(cpu):
            return offset + (base if number == st.FS or number == st.GS else 0)
        if not in_limit(ld64(cpu + LIMIT + 8 * number), ld64(cpu + ATTR + 8 * number), offset, size):
            return fault(cpu, 12 if number == SS else GP, 0)
        return (base + offset) & 0xFFFFFFFF

    @inner
    def advance(cpu, register, size, mask):
        """Step RSI or RDI; an address size of 16 leaves the upper bits alone."""
        old = ld64(cpu + register)
        new = (old + (-size if ld64(cpu + EFLAGS) & st.DF else size)) & mask
        return st64(cpu + register, (old & ~mask) | new if mask == 0xFFFF else new)

    @inner
    def count_down(cpu, mask, rep):
        """One iteration is done; 1: there are more."""
        if not rep:
            return 0
        old = ld64(cpu + RCX)
        left = (old - 1) & mask
        st64(cpu + RCX, (old & ~mask) | left if mask == 0xFFFF else left)
        return 1 if left != 0 else 0

    @inner
    def writable(cpu, address, size, user):
        """Whether a store will not fault; false with an exception pending."""
        if translate(cpu, address, WRITE, user) == -1:
            return False
        return (address & 4095) + size <= 4096 or translate_last(cpu, address, size, WRITE, user) != -1

    @helper
    def ins(cpu, size, bits, rep):
        """One iteration of INS; ``bits``: address size. 1: there are more."""
        mask, port, more = operand_mask(bits), ld64(cpu + RDX) & 0xFFFF, 0
        if not (rep and ld64(cpu + RCX) & mask == 0) and may_use_port(cpu, port, size):
            user = 1 if cpl(cpu) == 3 else 0
            address = string_address(cpu, ES, ld64(cpu + RDI) & mask, size)
            if not pending(cpu) and writable(cpu, address, size, user):
                store_data(cpu, address, size, port_read(cpu, port, size), user)
                advance(cpu, RDI, size, mask)
                more = count_down(cpu, mask, rep)
        done(cpu)
        return more

    @helper
    def outs(cpu, size, bits, rep, number):
        """One iteration of OUTS from segment ``number``. 1: there are more."""
        mask, port, more = operand_mask(bits), ld64(cpu + RDX) & 0xFFFF, 0
        if not (rep and ld64(cpu + RCX) & mask == 0) and may_use_port(cpu, port, size):
            address = string_address(cpu, number, ld64(cpu + RSI) & mask, size)
            if not pending(cpu):
                value = load_data(cpu, address, size, 1 if cpl(cpu) == 3 else 0)
                if not pending(cpu):
                    port_write(cpu, port, size, value)
                    advance(cpu, RSI, size, mask)
                    more = count_down(cpu, mask, rep)
        done(cpu)
        return more
