"""What CP15 writes do besides storing a value, address translation, services of Python, unprivileged accesses
(DDI 0406C, B4). Compiled by numba.
"""

from __future__ import annotations

from types import SimpleNamespace

from frontends.arm import cp15
from frontends.arm import state as st
from frontends.arm.common import (
    O_ADDRESS,
    O_ERROR,
    O_VECTOR,
    SCTLR_A,
    SCTLR_AFE,
    SCTLR_C,
    SCTLR_CP15BEN,
    SCTLR_EE,
    SCTLR_I,
    SCTLR_M,
    SCTLR_TE,
    SCTLR_TRE,
    SCTLR_V,
    SCTLR_Z,
    TTBCR_EAE,
    update_mode,
)
from frontends.arm.services import FIRMWARE, TIMER_READ, TIMER_WRITE
from jitrr.engine.constants import CALL_ARCH, READ, WRITE
from jitrr.engine.native import helper, inner, ld64, lsr, st64

O_IO = st.LAYOUT["io_value"]
SCTLR_WRITABLE = (
    SCTLR_M
    | SCTLR_A
    | SCTLR_C
    | SCTLR_CP15BEN
    | SCTLR_Z
    | SCTLR_I
    | SCTLR_V
    | SCTLR_EE
    | SCTLR_TRE
    | SCTLR_AFE
    | SCTLR_TE
)
#: CP10 and CP11; disabling half of the registers or Advanced SIMD alone is not there (RAZ/WI).
CPACR_WRITABLE = 0xF << 20
#: TTBCR: what is reserved with long descriptors, and what there is with short ones.
TTBCR_RESERVED, TTBCR_SHORT = 7 << 19 | 3 << 14 | 0xF << 3, 0x37
#: Of TTBR0 and TTBR1: where the table is, and attributes.
TABLE = (1 << 40) - 1
PAR_LPAE, PAR_FAULT = 1 << 11, 1


def build(memory: SimpleNamespace, debug: SimpleNamespace) -> None:
    """Declare the helpers."""
    host_call, done, walk, flush_tlb = memory.host_call, memory.finish, memory.walk, memory.flush_tlb
    load_data, store_data, switch_context = memory.load_data, memory.store_data, memory.switch_context
    held_back, debug_write = memory.held_back, debug.debug_write

    @helper
    def select_context(cpu):
        """After a change of TTBR0, TTBR1 or DACR: the translations that hold now. (ASIDs decide nothing.)"""
        return switch_context(cpu, ld64(cpu + st.TTBR0) & TABLE, ld64(cpu + st.TTBR1) & TABLE, ld64(cpu + st.DACR))

    @inner
    def change(cpu, field, value):
        """Write TTBR0, TTBR1 or DACR."""
        if ld64(cpu + field) != value:
            st64(cpu + field, value)
            select_context(cpu)
        return 0

    @inner
    def change_all(cpu, field, value):
        """Write TTBCR or SCTLR, which all translations depend on."""
        if ld64(cpu + field) != value:
            st64(cpu + field, value)
            flush_tlb(cpu)
        return 0

    @inner
    def write_ttbr(cpu, field, value, wide):
        return change(cpu, field, value if wide else (ld64(cpu + field) & ~0xFFFFFFFF) | value)

    @inner
    def translated(cpu, address, access, user):
        """PAR of an address (B4.1.112), without memory attributes."""
        long_format = ld64(cpu + st.TTBCR) & TTBCR_EAE != 0 and ld64(cpu + st.SCTLR) & SCTLR_M != 0
        found, par = walk(cpu, address, access, user), PAR_LPAE if long_format else 0
        if found != -1:
            return par | (found & ((1 << 40) - 1) & -4096 if long_format else found & 0xFFFFF000)
        status = ld64(cpu + O_ERROR)
        st64(cpu + O_VECTOR, -1)
        code = status & 0x3F if long_format else (status & 15) | (lsr(status, 6) & 16) | (lsr(status, 7) & 32)
        return par | PAR_FAULT | (code << 1)

    @helper
    def cp15_write(cpu, what, value, wide):
        """A write that has consequences; ``wide``: by MCRR."""
        if what == cp15.W_DACR:
            change(cpu, st.DACR, value)
        elif what == cp15.W_TTBR0:
            write_ttbr(cpu, st.TTBR0, value, wide)
        elif what == cp15.W_TTBR1:
            write_ttbr(cpu, st.TTBR1, value, wide)
        elif what == cp15.W_TTBCR:
            change_all(cpu, st.TTBCR, value & ~TTBCR_RESERVED if value & TTBCR_EAE else value & TTBCR_SHORT)
        elif what == cp15.W_SCTLR:
            change_all(cpu, st.SCTLR, (ld64(cpu + st.SCTLR) & ~SCTLR_WRITABLE) | (value & SCTLR_WRITABLE))
            update_mode(cpu)
        elif what == cp15.W_CPACR:
            st64(cpu + st.CPACR, value & CPACR_WRITABLE)
            update_mode(cpu)
        elif what >= cp15.W_BVR:
            debug_write(cpu, what, value)
        else:
            operation = what - cp15.W_TRANSLATE
            address = ld64(cpu + O_ADDRESS)
            st64(cpu + st.PAR, translated(cpu, value, WRITE if operation & 1 else READ, lsr(operation, 1)))
            st64(cpu + O_ADDRESS, address)
        return done(cpu)

    @helper
    def timer_read(cpu, register):
        """A register of the generic timer (cp15.T_*)."""
        host_call(cpu, CALL_ARCH, TIMER_READ, register)
        done(cpu)
        return ld64(cpu + O_IO)

    @helper
    def timer_write(cpu, register, value):
        """Write a register of the generic timer."""
        st64(cpu + O_IO, value)
        host_call(cpu, CALL_ARCH, TIMER_WRITE, register)
        return done(cpu)

    @helper
    def firmware(cpu):
        """HVC."""
        host_call(cpu, CALL_ARCH, FIRMWARE, 0)
        return done(cpu)

    @helper
    def load_user(cpu, address, size):
        """LDRT and its like: 1, 2 or 4 bytes as user mode would read them."""
        st64(cpu + O_ADDRESS, address)
        value = 0 if held_back(cpu, address, size, READ, 1) else load_data(cpu, address, size, 1)
        done(cpu)
        return value

    @helper
    def store_user(cpu, address, size, value):
        """STRT and its like."""
        st64(cpu + O_ADDRESS, address)
        if not held_back(cpu, address, size, WRITE, 1):
            store_data(cpu, address, size, value, 1)
        return done(cpu)
