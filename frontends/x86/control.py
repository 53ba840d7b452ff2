"""Control registers (SDM volume 3, 2.5 and 4.10). Compiled by numba."""

from __future__ import annotations

from types import SimpleNamespace

from frontends.x86 import state as st
from frontends.x86.common import (
    A_LONG,
    ATTR,
    CR0,
    CR0_EM,
    CR0_MP,
    CR0_PE,
    CR0_PG,
    CR0_TS,
    CR0_WP,
    CR4,
    CR4_PAE,
    CR4_PSE,
    CR4_SMEP,
    EFER,
    EFER_LMA,
    EFER_LME,
    GP,
    fault,
    is_code64,
    update_mode,
)
from frontends.x86.mmu import ADDRESS, RESERVED, P
from frontends.x86.services import TPR_WRITE
from jitrr.engine.constants import CALL_ARCH, DEVICE
from jitrr.engine.native import helper, inner, ld64, lsr, st64
from jitrr.engine.physical import locate

CS, CR3, PDPTE = st.CS, st.CR3, st.PDPTE
O_IO, O_RAM = st.LAYOUT["io_value"], st.LAYOUT["ram"]
CR0_NE, CR0_ET, CR0_AM, CR0_NW, CR0_CD = 1 << 5, 1 << 4, 1 << 18, 1 << 29, 1 << 30
CR0_BITS = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG
#: TSD DE PSE PAE MCE PGE PCE OSFXSR OSXMMEXCPT SMEP: what CPUID announces.
CR4_BITS = 0x7FC | CR4_SMEP
CR4_PGE = 1 << 7


def build(mmu: SimpleNamespace) -> SimpleNamespace:
    """The helpers; returns functions others use."""
    done, host_call, flush_tlb = mmu.finish, mmu.host_call, mmu.flush_tlb

    @inner
    def load_pdptes(cpu, cr3):
        """PAE: the four entries CR3 points to become registers; -1: #GP, a reserved bit is set in one."""
        table = locate(cpu, cr3 & 0xFFFFFFE0)
        for i in range(4):
            entry = ld64(ld64(cpu + O_RAM) + table + 8 * i) if table & DEVICE == 0 else -1
            if entry & P and entry & (RESERVED | 0x1E6 | -(1 << 52)):
                return fault(cpu, GP, 0)
        for i in range(4):
            st64(cpu + PDPTE + 8 * i, ld64(ld64(cpu + O_RAM) + table + 8 * i))
        return 0

    @inner
    def write_cr0(cpu, value):
        old, efer = ld64(cpu + CR0), ld64(cpu + EFER)
        if lsr(value, 32) or (value & CR0_PG and not value & CR0_PE) or (value & CR0_NW and not value & CR0_CD):
            return fault(cpu, GP, 0)
        value = (value & CR0_BITS) | CR0_ET
        change = old ^ value
        if change & CR0_PG:
            if value & CR0_PG and efer & EFER_LME:
                if ld64(cpu + CR4) & CR4_PAE == 0 or ld64(cpu + ATTR + 8 * CS) & A_LONG:
                    return fault(cpu, GP, 0)
                efer |= EFER_LMA
            elif value & CR0_PG:
                if ld64(cpu + CR4) & CR4_PAE and load_pdptes(cpu, ld64(cpu + CR3)) != 0:
                    return -1
            else:
                if is_code64(cpu):
                    return fault(cpu, GP, 0)
                efer &= ~EFER_LMA
        st64(cpu + CR0, value)
        st64(cpu + EFER, efer)
        update_mode(cpu)
        if change & (CR0_PG | CR0_WP | CR0_PE):
            flush_tlb(cpu)
        return 0

    @inner
    def write_cr3(cpu, value):
        if ld64(cpu + EFER) & EFER_LMA:
            if lsr(value, st.PHYSICAL_BITS):
                return fault(cpu, GP, 0)
        elif ld64(cpu + CR4) & CR4_PAE and ld64(cpu + CR0) & CR0_PG:
            if load_pdptes(cpu, value) != 0:
                return -1
            flush_tlb(cpu)
        # The TLB is coherent: the same tables need no flush.
        changed = (ld64(cpu + CR3) ^ value) & ADDRESS
        st64(cpu + CR3, value)
        if changed:
            flush_tlb(cpu)
        return 0

    @inner
    def write_cr4(cpu, value):
        change = ld64(cpu + CR4) ^ value
        if value & ~CR4_BITS or (ld64(cpu + EFER) & EFER_LMA and not value & CR4_PAE):
            return fault(cpu, GP, 0)
        paging = ld64(cpu + CR0) & CR0_PG != 0 and ld64(cpu + EFER) & EFER_LMA == 0
        reload = paging and value & CR4_PAE and change & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)
        if reload and load_pdptes(cpu, ld64(cpu + CR3)) != 0:
            return -1
        st64(cpu + CR4, value)
        update_mode(cpu)
        if change & (CR4_PAE | CR4_PSE | CR4_SMEP):
            flush_tlb(cpu)
        return 0

    @inner
    def write_cr8(cpu, value):
        if lsr(value, 4):
            return fault(cpu, GP, 0)
        st64(cpu + O_IO, value)
        return host_call(cpu, CALL_ARCH, TPR_WRITE, 0)

    @helper
    def write_cr(cpu, number, value):
        """MOV to a control register, CLTS, LMSW."""
        if number == 0:
            write_cr0(cpu, value)
        elif number == 2:
            st64(cpu + st.CR2, value)
        elif number == 3:
            write_cr3(cpu, value)
        elif number == 4:
            write_cr4(cpu, value)
        else:
            write_cr8(cpu, value)
        return done(cpu)

    return SimpleNamespace(write_cr3=write_cr3)
