"""The x86 part of the CPU block."""

from __future__ import annotations

from jitrr.engine.layout import new_layout

LAYOUT = new_layout()
_add = LAYOUT.add

#: Configuration, not state: TSC ticks per instruction (log2), the processor's CPUID table (see cpuid.py), and
#: whether it has long mode (0 or 1).
TSC_SHIFT, CPUID_TABLE, CPUID_COUNT = _add("tsc_shift"), _add("cpuid_table"), _add("cpuid_count")
HAS_LONG_MODE = _add("has_long_mode")

GPR = _add("gpr", "u64", 16)
#: Lazy arithmetic flags. CC_EFL: the bits are in cc_a. CC_ADD / CC_SUB: from operands and result, each sign-extended to
#: 64 bits from the operation's width (so that CF and OF are bit 63 of a carry formula whatever the width was). Logic
#: results are CC_SUB with a = result, b = 0. ZF, SF and PF always come from cc_res except with CC_EFL.
CC_OP, CC_A, CC_B, CC_RES = _add("cc_op"), _add("cc_a"), _add("cc_b"), _add("cc_res")
#: CC_INC / CC_DEC: as those with 1 for b, except that cc_b is the CF from before (0 or 1), which INC and DEC keep.
CC_EFL, CC_ADD, CC_SUB, CC_INC, CC_DEC = range(5)
#: RFLAGS without CF PF AF ZF SF OF (those are lazy); bit 1 is set.
EFLAGS = _add("eflags")
T = _add("t", "u64", 16)
V = _add("v", "v128", 8)

#: Segment registers in encoding order, then LDTR and TR.
ES, CS, SS, DS, FS, GS, LDTR, TR = range(8)
SEG_SEL = _add("seg_sel", "u64", 8)
SEG_BASE = _add("seg_base", "u64", 8)
SEG_LIMIT = _add("seg_limit", "u64", 8)  # in bytes, inclusive
SEG_ATTR = _add("seg_attr", "u64", 8)  # descriptor bits 40..47 and 52..55 as bits 0..7 and 12..15 (as in VMX)
GDTR_BASE, GDTR_LIMIT = _add("gdtr_base"), _add("gdtr_limit")
IDTR_BASE, IDTR_LIMIT = _add("idtr_base"), _add("idtr_limit")
CR0, CR2, CR3, CR4 = _add("cr0"), _add("cr2"), _add("cr3"), _add("cr4")
DR = _add("dr", "u64", 8)
EFER = _add("efer")
STAR, LSTAR, CSTAR, SFMASK = _add("star"), _add("lstar"), _add("cstar"), _add("sfmask")
KERNEL_GS_BASE = _add("kernel_gs_base")
SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP = _add("sysenter_cs"), _add("sysenter_esp"), _add("sysenter_eip")
PAT, TSC_AUX, TSC_OFFSET, MISC_ENABLE = _add("pat"), _add("tsc_aux"), _add("tsc_offset"), _add("misc_enable")
#: PDPTEs loaded by the last write of CR3 in PAE mode (SDM volume 3, 4.4.1).
PDPTE = _add("pdpte", "u64", 4)
#: 1 from the delivery of an NMI to the next IRET.
NMI_BLOCKED = _add("nmi_blocked")
#: Debug traps that wait (debug.py): their bits in DR6, the icount at the instruction that they are due after, and that
#: at which MOV SS holds debug exceptions off.
DEBUG_HITS, DEBUG_AT, MOV_SS = _add("debug_hits"), _add("debug_at"), _add("mov_ss")
#: The icount at the instruction that runs, under MODE_TRAP, once it has passed its breakpoints; else another.
DEBUG_BEGUN = _add("debug_begun")

XMM = _add("xmm", "v128", 16)
MXCSR = _add("mxcsr")  # low 32 bits; the live value is in the host's MXCSR while generated code runs
#: x87 registers by physical number, 10 of 16 bytes each; FTOP is TOP, FSW has TOP's bits clear, FTAG bit i: register i
#: is empty.
FPR = _add("fpr", "f80", 8)
FCW, FSW, FTOP, FTAG = _add("fcw"), _add("fsw"), _add("ftop"), _add("ftag")
FOP, FIP, FCS, FDP, FDS = _add("fop"), _add("fip"), _add("fcs"), _add("fdp"), _add("fds")
FTMP = _add("ftmp", "f80", 4)
#: Scratch for transcendental.py: eight numbers of wide.py.
WIDE = _add("wide", "u64", 24)

#: Where digests, checkpoints and gdb find the architectural state: every field from GPR on except the lazy flags,
#: scratch registers (T, V, FTMP, WIDE) and caches.

#: Width of physical addresses.
PHYSICAL_BITS = 40

# Translation mode (8 bits): what a template depends on besides the instruction's bytes.
MODE_16, MODE_32, MODE_64 = 0, 1, 2  # bits 0-1: default operand and address size
MODE_SS32 = 4  # the stack is 32 bits wide (not in 64-bit mode)
MODE_FLAT = 8  # CS DS ES SS have base 0 and limit 4 GiB (always in 64-bit mode)
MODE_USER = 16  # CPL 3
MODE_REAL = 32  # real or virtual-8086 mode: segment registers load as selector << 4
MODE_NOFPU = 64  # x87 and SSE need checks: CR0.EM or TS, CR4.OSFXSR clear, or an unmasked exception in MXCSR
MODE_TRAP = 128  # one instruction a block, debug exceptions looked for before it (debug.py): TF or a breakpoint

CF, PF, AF, ZF, SF, TF, IF, DF, OF = 1, 4, 16, 64, 128, 256, 512, 1024, 2048
ARITH = CF | PF | AF | ZF | SF | OF


def gpr(number: int) -> int:
    """Offset of a 64-bit general register by encoding number (RAX RCX RDX RBX RSP RBP RSI RDI R8..R15)."""
    return GPR + 8 * number


def seg_base(number: int) -> int:
    """Offset of a segment's base."""
    return SEG_BASE + 8 * number


def xmm(number: int) -> int:
    """Offset of an XMM register."""
    return XMM + 16 * number
