"""The registers of coprocessors 15 and 14: what each is, who may access it, what an access does (DDI 0406C, B3.17).

An encoding that is not here is Undefined. Maintenance of caches and branch predictors does nothing, since writes to
code are seen at once, and neither does that of TLBs, which never differ from the tables (jitrr.engine.softmmu).
"""

from __future__ import annotations

from dataclasses import dataclass

from frontends.arm import cpuid
from frontends.arm import state as st

#: What the native helper ``cp15_write`` is asked for.
W_SCTLR, W_CPACR, W_TTBR0, W_TTBR1, W_TTBCR, W_DACR, W_TRANSLATE = 1, 2, 3, 4, 5, 6, 16
#: The same for debug registers; of the first four, the number is added.
W_BVR, W_BCR, W_WVR, W_WCR, W_DSCR, W_VCR, W_OSLAR, W_CLAIMSET, W_CLAIMCLR = 32, 40, 48, 56, 64, 65, 66, 67, 68
BREAKPOINTS, WATCHPOINTS = 6, 4
#: Registers of the generic timer, as services.TIMER_READ and TIMER_WRITE name them.
T_CNTP_CTL, T_CNTP_TVAL, T_CNTP_CVAL, T_CNTV_CTL, T_CNTV_TVAL, T_CNTV_CVAL = range(6)
#: CNTKCTL: user mode may read the physical and the virtual counter, use the virtual and the physical timer.
PL0PCTEN, PL0VCTEN, PL0VTEN, PL0PTEN = 1, 2, 1 << 8, 1 << 9
MASK32 = 0xFFFFFFFF


@dataclass(frozen=True)
class Register:
    """One register, or an operation by way of a write.

    ``access``: "r", "w" or "rw", for privileged code; ``user``: the same for user mode. ``field``: where in the CPU
    block it is kept, else it reads as ``value``. ``mask``: the bits that a write changes. ``write``: W_* of one that
    needs the native helper. ``timer``: T_*. ``enable``: the bits of CNTKCTL one of which user mode needs. ``kind``:
    what else there is to it (lift_system.py): "counter", "barrier", "ccsidr", "isr". ``comms``: user mode needs
    DBGDSCR.UDCCdis to be 0.
    """

    name: str
    access: str = "rw"
    user: str = ""
    field: int | None = None
    value: int = 0
    mask: int = MASK32
    write: int = 0
    timer: int = -1
    enable: int = 0
    kind: str = ""
    comms: bool = False


def _constant(name: str, value: int) -> Register:
    return Register(name, "r", value=value)


def _field(name: str, field: int, mask: int = MASK32, user: str = "", write: int = 0) -> Register:
    return Register(name, user=user, field=field, mask=mask, write=write)


def _operation(name: str, write: int = 0) -> Register:
    return Register(name, "w", write=write)


def _timer(name: str, timer: int, enable: int) -> Register:
    return Register(name, user="rw", timer=timer, enable=enable)


#: MCR and MRC of CP15: (CRn, opc1, CRm, opc2).
CP15: dict[tuple[int, int, int, int], Register] = {
    (0, 0, 0, 0): _constant("MIDR", cpuid.MIDR),
    (0, 0, 0, 1): _constant("CTR", cpuid.CTR),
    (0, 0, 0, 2): _constant("TCMTR", 0),
    (0, 0, 0, 3): _constant("TLBTR", 0),
    (0, 0, 0, 4): _constant("MIDR", cpuid.MIDR),
    (0, 0, 0, 5): Register("MPIDR", "r", field=st.MPIDR),
    (0, 0, 0, 6): _constant("REVIDR", 0),
    (0, 0, 0, 7): _constant("MIDR", cpuid.MIDR),
    (0, 0, 1, 0): _constant("ID_PFR0", cpuid.ID_PFR0),
    (0, 0, 1, 1): _constant("ID_PFR1", cpuid.ID_PFR1),
    (0, 0, 1, 2): _constant("ID_DFR0", cpuid.ID_DFR0),
    (0, 0, 1, 3): _constant("ID_AFR0", cpuid.ID_AFR0),
    **{(0, 0, 1, 4 + n): _constant(f"ID_MMFR{n}", value) for n, value in enumerate(cpuid.ID_MMFR)},
    **{(0, 0, 2, n): _constant(f"ID_ISAR{n}", value) for n, value in enumerate(cpuid.ID_ISAR)},
    # The rest of the CPUID scheme is reserved and reads as 0.
    **{(0, 0, 2, n): _constant("reserved", 0) for n in (6, 7)},
    **{(0, 0, crm, n): _constant("reserved", 0) for crm in range(3, 8) for n in range(8)},
    (0, 1, 0, 0): Register("CCSIDR", "r", kind="ccsidr"),
    (0, 1, 0, 1): _constant("CLIDR", cpuid.CLIDR),
    (0, 1, 0, 7): _constant("AIDR", 0),
    (0, 2, 0, 0): _field("CSSELR", st.CSSELR, 0xF),
    (1, 0, 0, 0): _field("SCTLR", st.SCTLR, write=W_SCTLR),
    (1, 0, 0, 1): _field("ACTLR", st.ACTLR),
    (1, 0, 0, 2): _field("CPACR", st.CPACR, write=W_CPACR),
    (2, 0, 0, 0): _field("TTBR0", st.TTBR0, write=W_TTBR0),
    (2, 0, 0, 1): _field("TTBR1", st.TTBR1, write=W_TTBR1),
    (2, 0, 0, 2): _field("TTBCR", st.TTBCR, write=W_TTBCR),
    (3, 0, 0, 0): _field("DACR", st.DACR, write=W_DACR),
    (5, 0, 0, 0): _field("DFSR", st.DFSR),
    (5, 0, 0, 1): _field("IFSR", st.IFSR),
    (5, 0, 1, 0): _field("ADFSR", st.ADFSR),
    (5, 0, 1, 1): _field("AIFSR", st.AIFSR),
    (6, 0, 0, 0): _field("DFAR", st.DFAR),
    (6, 0, 0, 2): _field("IFAR", st.IFAR),
    # Operations on caches, and barriers by their old names.
    (7, 0, 0, 4): _operation("NOP"),
    (7, 0, 1, 0): _operation("ICIALLUIS"),
    (7, 0, 1, 6): _operation("BPIALLIS"),
    (7, 0, 4, 0): _field("PAR", st.PAR),
    (7, 0, 5, 0): _operation("ICIALLU"),
    (7, 0, 5, 1): _operation("ICIMVAU"),
    (7, 0, 5, 4): Register("CP15ISB", "w", "w", kind="barrier"),
    (7, 0, 5, 6): _operation("BPIALL"),
    (7, 0, 5, 7): _operation("BPIMVA"),
    (7, 0, 6, 1): _operation("DCIMVAC"),
    (7, 0, 6, 2): _operation("DCISW"),
    (7, 0, 8, 0): _operation("ATS1CPR", W_TRANSLATE),
    (7, 0, 8, 1): _operation("ATS1CPW", W_TRANSLATE + 1),
    (7, 0, 8, 2): _operation("ATS1CUR", W_TRANSLATE + 2),
    (7, 0, 8, 3): _operation("ATS1CUW", W_TRANSLATE + 3),
    (7, 0, 10, 1): _operation("DCCMVAC"),
    (7, 0, 10, 2): _operation("DCCSW"),
    (7, 0, 10, 4): Register("CP15DSB", "w", "w", kind="barrier"),
    (7, 0, 10, 5): Register("CP15DMB", "w", "w", kind="barrier"),
    (7, 0, 11, 1): _operation("DCCMVAU"),
    (7, 0, 13, 1): _operation("NOP"),
    (7, 0, 14, 1): _operation("DCCIMVAC"),
    (7, 0, 14, 2): _operation("DCCISW"),
    # Operations on TLBs.
    **{(8, 0, 3, n): _operation(f"{name}IS") for n, name in enumerate(("TLBIALL", "TLBIMVA", "TLBIASID", "TLBIMVAA"))},
    **{(8, 0, 5, n): _operation(f"I{name}") for n, name in enumerate(("TLBIALL", "TLBIMVA", "TLBIASID"))},
    **{(8, 0, 6, n): _operation(f"D{name}") for n, name in enumerate(("TLBIALL", "TLBIMVA", "TLBIASID"))},
    **{(8, 0, 7, n): _operation(name) for n, name in enumerate(("TLBIALL", "TLBIMVA", "TLBIASID", "TLBIMVAA"))},
    (9, 1, 0, 2): _field("L2CTLR", st.L2CTLR),
    (9, 1, 0, 3): _constant("L2ECTLR", 0),
    (10, 0, 2, 0): _field("PRRR/MAIR0", st.MAIR0),
    (10, 0, 2, 1): _field("NMRR/MAIR1", st.MAIR1),
    (10, 0, 3, 0): _field("AMAIR0", st.AMAIR0),
    (10, 0, 3, 1): _field("AMAIR1", st.AMAIR1),
    (12, 0, 0, 0): _field("VBAR", st.VBAR, 0xFFFFFFE0),
    (12, 0, 1, 0): Register("ISR", "r", kind="isr"),
    (13, 0, 0, 0): Register("FCSEIDR"),
    (13, 0, 0, 1): _field("CONTEXTIDR", st.CONTEXTIDR),
    (13, 0, 0, 2): _field("TPIDRURW", st.TPIDRURW, user="rw"),
    (13, 0, 0, 3): _field("TPIDRURO", st.TPIDRURO, user="r"),
    (13, 0, 0, 4): _field("TPIDRPRW", st.TPIDRPRW),
    (14, 0, 0, 0): Register("CNTFRQ", "rw", "r", field=st.CNTFRQ, enable=PL0PCTEN | PL0VCTEN),
    (14, 0, 1, 0): _field("CNTKCTL", st.CNTKCTL, 0x3FF),
    (14, 0, 2, 0): _timer("CNTP_TVAL", T_CNTP_TVAL, PL0PTEN),
    (14, 0, 2, 1): _timer("CNTP_CTL", T_CNTP_CTL, PL0PTEN),
    (14, 0, 3, 0): _timer("CNTV_TVAL", T_CNTV_TVAL, PL0VTEN),
    (14, 0, 3, 1): _timer("CNTV_CTL", T_CNTV_CTL, PL0VTEN),
    (15, 4, 0, 0): _constant("CBAR", 0x08000000),
}

#: MCRR and MRRC of CP15: (CRm, opc1). There is no offset between the counters without the Virtualization Extensions.
CP15_WIDE: dict[tuple[int, int], Register] = {
    (2, 0): _field("TTBR0", st.TTBR0, write=W_TTBR0),
    (2, 1): _field("TTBR1", st.TTBR1, write=W_TTBR1),
    (7, 0): _field("PAR", st.PAR),
    (14, 0): Register("CNTPCT", "r", "r", enable=PL0PCTEN, kind="counter"),
    (14, 1): Register("CNTVCT", "r", "r", enable=PL0VCTEN, kind="counter"),
    (14, 2): _timer("CNTP_CVAL", T_CNTP_CVAL, PL0PTEN),
    (14, 3): _timer("CNTV_CVAL", T_CNTV_CVAL, PL0VTEN),
}


def _registers(name: str, field: int, write: int, count: int, opc2: int) -> dict[tuple[int, int, int, int], Register]:
    """Debug registers of one kind, which CRm numbers."""
    return {(0, 0, n, opc2): _field(f"{name}{n}", field + 8 * n, write=write + n) for n in range(count)}


#: CP14, as (CRn, opc1, CRm, opc2): debug without a debugger outside (C11.11), trivial Jazelle.
CP14: dict[tuple[int, int, int, int], Register] = {
    (0, 0, 0, 0): Register("DBGDIDR", "r", "r", value=cpuid.DBGDIDR, comms=True),
    (0, 0, 1, 0): Register("DBGDSCRint", "r", "r", field=st.DBGDSCR, comms=True),
    (0, 0, 2, 2): _field("DBGDSCRext", st.DBGDSCR, write=W_DSCR),
    (0, 0, 5, 0): Register("DBGDTRTXint/RXint", user="rw", comms=True),
    (0, 0, 6, 0): Register("DBGWFAR"),
    (0, 0, 7, 0): _field("DBGVCR", st.DBGVCR, write=W_VCR),
    **_registers("DBGBVR", st.DBGBVR, W_BVR, BREAKPOINTS, 4),
    **_registers("DBGBCR", st.DBGBCR, W_BCR, BREAKPOINTS, 5),
    **_registers("DBGWVR", st.DBGWVR, W_WVR, WATCHPOINTS, 6),
    **_registers("DBGWCR", st.DBGWCR, W_WCR, WATCHPOINTS, 7),
    (1, 0, 0, 0): Register("DBGDRAR", "r", "r", comms=True),
    (1, 0, 0, 4): _operation("DBGOSLAR", W_OSLAR),
    (1, 0, 1, 4): Register("DBGOSLSR", "r", field=st.DBGOSLSR),
    (1, 0, 3, 4): Register("DBGOSDLR"),
    (1, 0, 4, 4): Register("DBGPRCR"),
    (1, 0, 5, 4): _constant("DBGPRSR", 1),
    (2, 0, 0, 0): Register("DBGDSAR", "r", "r", comms=True),
    (7, 0, 0, 7): _constant("DBGDEVID2", 0),
    (7, 0, 1, 7): _constant("DBGDEVID1", 0),
    (7, 0, 2, 7): _constant("DBGDEVID", cpuid.DBGDEVID),
    (7, 0, 8, 6): Register("DBGCLAIMSET", value=0xFF, write=W_CLAIMSET),
    (7, 0, 9, 6): _field("DBGCLAIMCLR", st.DBGCLAIM, write=W_CLAIMCLR),
    (7, 0, 14, 6): _constant("DBGAUTHSTATUS", 0xF),
    (0, 7, 0, 0): Register("JIDR", "r", "r"),
    (1, 7, 0, 0): Register("JOSCR"),
    (2, 7, 0, 0): Register("JMCR", user="rw"),
}
