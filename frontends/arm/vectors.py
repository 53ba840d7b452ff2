"""Exceptions by their slot of the vector table: the vector of exception n is at base + 4 * n (DDI 0406C, B1.8.1).

What is raised in generated code is one of these in ``exc_vector``. The pc given up with it is the address of the
instruction itself; what LR gets is computed at delivery (table B1-7).
"""

from __future__ import annotations

EXC_RESET, EXC_UNDEF, EXC_SVC, EXC_PABORT, EXC_DABORT, EXC_HVC, EXC_IRQ, EXC_FIQ = range(8)

#: Of a data or prefetch abort: ``exc_address`` is the address, ``exc_error`` the fault status as DFSR or IFSR has it in
#: the format in force (TTBCR.EAE), WnR (bit 11) included.
FSR_WRITE = 1 << 11
#: Alignment fault, in the short-descriptor and the long-descriptor format.
ALIGNMENT_SHORT, ALIGNMENT_LONG = 0x001, 0x221
#: Synchronous external abort, not on a walk.
EXTERNAL_SHORT, EXTERNAL_LONG = 0x008, 0x210
#: Status of a debug exception; in the upper half of ``exc_error`` is why (DBGDSCR.MOE).
DEBUG_SHORT, DEBUG_LONG = 0x002, 0x222
ENTRY_BREAKPOINT, ENTRY_BKPT, ENTRY_CATCH, ENTRY_WATCHPOINT = 1, 3, 5, 10
HIGH_VECTORS = 0xFFFF0000
