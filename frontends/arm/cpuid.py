"""What the processor says it is: a Cortex-A15 r2p1 (DDI 0438) without the Security and Virtualization Extensions,
ThumbEE, trace and performance monitors. The feature registers announce exactly what is there (DDI 0406C, B4.1).
"""

from __future__ import annotations

MIDR, CTR = 0x412FC0F1, 0x8444C004
#: A32, T32, trivial Jazelle; the generic timer.
ID_PFR0, ID_PFR1 = 0x00000131, 0x00010001
#: v7.1 Debug by CP14; no trace or performance monitors.
ID_DFR0, ID_AFR0 = 5, 0
#: 4 watchpoints, 6 breakpoints, 2 of them with contexts; v7.1; DBGDEVID is there: addresses can be masked.
DBGDIDR, DBGDEVID = 0x3515_8021, 0x110
#: VMSAv7 with PXN and long descriptors; supersections; 40-bit physical addresses; coherent walks.
ID_MMFR = (0x10201105, 0x20000000, 0x01240000, 0x02102211)
#: SDIV and UDIV in both sets; no SWP, SMC or ThumbEE; the rest as the Cortex-A15 has it.
ID_ISAR = (0x02101110, 0x13112111, 0x21232041, 0x01112131, 0x00010142, 0)
#: Two levels of caches: 32 KiB of data and of instructions, 4 MiB for both.
CLIDR = 0x0A200023
CCSIDR = {0: 0x701FE00A, 1: 0x201FE00A, 2: 0x711FE07A}
#: SCTLR after reset: what is always 1, and barriers by CP15 allowed.
SCTLR_RESET = 0x00C50078
#: Of the generic timer's counter, in Hz: one tick is 1 << COUNTER_SHIFT virtual ns.
COUNTER_SHIFT = 4
COUNTER_HZ = 1_000_000_000 >> COUNTER_SHIFT


def mpidr(number: int) -> int:
    """MPIDR of processor ``number``: a core of the only cluster, in the format of the Multiprocessing Extensions."""
    return 1 << 31 | number


def l2ctlr(processors: int) -> int:
    """L2CTLR after reset (DDI 0438, 4.3.27): how many cores the cluster has, and that there is an interrupt controller.
    A single one leaves it 0."""
    return (processors - 1) << 24 | 1 << 23 if processors > 1 else 0
