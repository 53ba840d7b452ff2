"""From instruction bytes to a template: Capstone decodes, the table of lifters emits, exits are added."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import capstone
from capstone import x86 as cx

import frontends.x86.table  # noqa: F401  (declares the lifters)
from frontends.x86 import state as st
from frontends.x86.lift import LIFTERS, Insn, Undefined
from jitrr.microops.table import UOp

#: Capstone groups of features that CPUID does not announce: their instructions are #UD.
ANNOUNCED_GROUPS = {
    cx.X86_GRP_JUMP, cx.X86_GRP_CALL, cx.X86_GRP_RET, cx.X86_GRP_INT, cx.X86_GRP_IRET, cx.X86_GRP_PRIVILEGE,
    cx.X86_GRP_BRANCH_RELATIVE, cx.X86_GRP_CMOV, cx.X86_GRP_MMX, cx.X86_GRP_MODE32, cx.X86_GRP_MODE64, cx.X86_GRP_SSE1,
    cx.X86_GRP_SSE2, cx.X86_GRP_SSE3, cx.X86_GRP_SSE41, cx.X86_GRP_SSE42, cx.X86_GRP_SSSE3, cx.X86_GRP_NOT64BITMODE,
    cx.X86_GRP_FPU,
}  # fmt: skip


@dataclass
class Template:
    """What an instruction lifts to. ``ends``: it ends its block. ``text``: disassembly."""

    uops: list[UOp]
    ends: bool
    length: int
    text: str


@cache
def decoder(bits: int) -> capstone.Cs:
    """A detailed Capstone decoder for 16, 32 or 64 bit code."""
    modes = {16: capstone.CS_MODE_16, 32: capstone.CS_MODE_32, 64: capstone.CS_MODE_64}
    cs = capstone.Cs(capstone.CS_ARCH_X86, modes[bits])
    cs.detail = True
    return cs


def undefined(mode: int) -> list[UOp]:
    """#UD."""
    before = [UOp("x86_trap")] if mode & st.MODE_TRAP else []
    return [*before, UOp("x86_undefined"), UOp("dispatch")]


def lift(code: bytes, mode: int, symbolic_disp: bool, symbolic_imm: bool) -> Template:
    """The template of the instruction at the start of ``code`` under a translation mode (state.MODE_*)."""
    bits = (16, 32, 64)[mode & 3]
    found = next(decoder(bits).disasm(code, 0, 1), None)
    if found is None:
        return Template(undefined(mode), True, 0, "(undefined)")
    text = f"{found.mnemonic} {found.op_str}".strip()
    insn = Insn(found, mode, symbolic_disp, symbolic_imm)
    lifter = LIFTERS.get(insn.name)
    try:
        if lifter is None:
            return _without_lifter(insn, found.size, text)
        lifter(insn)
    except Undefined:
        return Template(undefined(mode), True, found.size, text)
    if mode & st.MODE_TRAP:
        insn.uops.insert(0, UOp("x86_trap"))
        if not insn.ends:
            insn.sync()
    return Template(insn.uops, insn.ends, found.size, text)


def _without_lifter(insn: Insn, size: int, text: str) -> Template:
    """#UD for what CPUID does not announce; a report for what it does and is not there."""
    if all(g in ANNOUNCED_GROUPS for g in insn.cs.groups):
        return Template([UOp("missing")], True, size, text)
    return Template(undefined(insn.mode), True, size, text)
