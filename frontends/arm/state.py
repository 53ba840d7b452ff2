"""The ARM part of the CPU block (ARMv7-A, DDI 0406C).

Every register is in a 64-bit field whose upper half is zero, because a micro-op writes 32-bit results zero-extended.
"""

from __future__ import annotations

from jitrr.engine.layout import new_layout

LAYOUT = new_layout()
_add = LAYOUT.add

# Configuration, not state: virtual ns per instruction (log2), which processor this is.
TIME_SHIFT, MPIDR = _add("time_shift"), _add("mpidr")

#: R0..R14 of the current mode; R15 is the engine's ``pc`` (the address of the instruction, without the pipeline's
#: offset).
GPR = _add("gpr", "u64", 16)
#: Flags as values: N is bit 31 of nf, Z is set when zf is 0; what is above bit 31 of nf means nothing. QF and GE as in
#: CPSR.
NF, ZF = _add("nf"), _add("zf")
#: C and V are those of what cv_op says. CV_PLAIN: C is cv_a (0 or 1), V bit 31 of cv_b. CV_SUB, CV_ADD: of cv_a - cv_b,
#: cv_a + cv_b (32 bits each, the upper halves are zero).
CV_OP, CV_A, CV_B = _add("cv_op"), _add("cv_a"), _add("cv_b")
CV_PLAIN, CV_SUB, CV_ADD = range(3)
QF, GE = _add("qf"), _add("ge")
#: ITSTATE (8 bits; 0 outside IT blocks), exact between instructions; MODE_IT follows it.
ITSTATE = _add("itstate")
#: CPSR without N Z C V Q GE IT T: M, F, I, A, E, J (bits 0-4, 6, 7, 8, 9, 24). T is in MODE_THUMB and here as well.
CPSR = _add("cpsr")
THUMB = _add("thumb")
T = _add("t", "u64", 16)
V = _add("v", "v128", 8)

#: Registers of the modes that are not current. Banks: BANK_*; R8-R12 are banked for FIQ only.
BANK_USER, BANK_FIQ, BANK_IRQ, BANK_SVC, BANK_ABT, BANK_UND = range(6)
BANKED_R13, BANKED_R14, BANKED_SPSR = _add("banked_r13", "u64", 6), _add("banked_r14", "u64", 6), _add("spsr", "u64", 6)
USER_R8_R12, FIQ_R8_R12 = _add("user_r8", "u64", 5), _add("fiq_r8", "u64", 5)

# CP15 (by its own names; TTBR and PAR are 64 bits wide for LPAE).
SCTLR, ACTLR, CPACR = _add("sctlr"), _add("actlr"), _add("cpacr")
TTBR0, TTBR1, TTBCR, DACR = _add("ttbr0"), _add("ttbr1"), _add("ttbcr"), _add("dacr")
DFSR, IFSR, DFAR, IFAR, PAR = _add("dfsr"), _add("ifsr"), _add("dfar"), _add("ifar"), _add("par")
ADFSR, AIFSR = _add("adfsr"), _add("aifsr")
MAIR0, MAIR1 = _add("mair0"), _add("mair1")  # also PRRR and NMRR
AMAIR0, AMAIR1 = _add("amair0"), _add("amair1")
VBAR, CONTEXTIDR = _add("vbar"), _add("contextidr")
TPIDRURW, TPIDRURO, TPIDRPRW = _add("tpidrurw"), _add("tpidruro"), _add("tpidrprw")
CSSELR, L2CTLR, CNTFRQ, CNTKCTL = _add("csselr"), _add("l2ctlr"), _add("cntfrq"), _add("cntkctl")
#: The local monitor: 0 open, else the size of the exclusive load; its virtual address.
EXCLUSIVE, EXCLUSIVE_ADDRESS = _add("exclusive"), _add("exclusive_address")

#: CP14's debug registers (debug.py). ``debug_levels``: bit 0, 1: a breakpoint could hit at PL1, at PL0.
DBGBVR, DBGBCR, DBGWVR, DBGWCR = (_add("dbgbvr", "u64", 6), _add("dbgbcr", "u64", 6), _add("dbgwvr", "u64", 4),
                                  _add("dbgwcr", "u64", 4))  # fmt: skip
DBGDSCR, DBGVCR, DBGOSLSR, DBGCLAIM = _add("dbgdscr"), _add("dbgvcr"), _add("dbgoslsr"), _add("dbgclaim")
DEBUG_LEVELS = _add("debug_levels")

#: Q0..Q15; D(2n) and D(2n+1) are the halves of Qn, S registers the quarters of Q0..Q7.
Q = _add("q", "v128", 16)
#: FPSCR without N Z C V, QC and the cumulative exceptions (bits 0-4, 7), which are in fpcc, fpqc and fpexc_flags.
FPSCR, FPCC, FPQC, FPFLAGS = _add("fpscr"), _add("fpcc"), _add("fpqc"), _add("fpflags")
FPEXC = _add("fpexc")

# Translation mode (8 bits): what a template depends on besides the instruction's bytes.
MODE_THUMB = 1
MODE_BIG = 2  # CPSR.E: data accesses are big-endian
MODE_USER = 4  # PL0
MODE_IT = 8  # the block starts within an IT block: one instruction a block, conditional on ITSTATE
MODE_FP = 16  # VFP and NEON instructions are allowed here (CPACR, FPEXC.EN)
MODE_ALIGN = 32  # SCTLR.A: unaligned accesses fault
MODE_DEBUG = 64  # one instruction a block, breakpoints are looked for before it (debug.py)
MODE_DEFAULT_FP = 128  # FPSCR: round to nearest, no flush-to-zero, no default NaN

#: CPSR bits.
N, Z, C, VBIT, QBIT = 1 << 31, 1 << 30, 1 << 29, 1 << 28, 1 << 27
J, E, A, I, F, TBIT = 1 << 24, 1 << 9, 1 << 8, 1 << 7, 1 << 6, 1 << 5  # noqa: E741  (the manual's names)
M_USR, M_FIQ, M_IRQ, M_SVC, M_ABT, M_UND, M_SYS = 0x10, 0x11, 0x12, 0x13, 0x17, 0x1B, 0x1F


def gpr(number: int) -> int:
    """Offset of R0..R14."""
    return GPR + 8 * number


def q(number: int) -> int:
    """Offset of a quadword register."""
    return Q + 16 * number


def d(number: int) -> int:
    """Offset of a doubleword register."""
    return Q + 8 * number


def s(number: int) -> int:
    """Offset of a single-precision register."""
    return Q + 4 * number
