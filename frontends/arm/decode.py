"""From instruction bytes to a template: Capstone says what it is, the table of patterns gives fields and lifter.

Capstone decodes; where it and the table disagree, the table decides, for it is checked against the manual: the test
``test_arm_decode.py`` says where they differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import capstone

from frontends.arm import state as st
from frontends.arm.flags import AL
from frontends.arm.lift import Insn, Undefined, finish
from frontends.arm.patterns import A32, T32, Pattern, encoding, find
from jitrr.microops.table import UOp


@dataclass
class Template:
    """What an instruction lifts to. ``ends``: it ends its block. ``text``: disassembly."""

    uops: list[UOp]
    ends: bool
    text: str
    pattern: Pattern | None


@cache
def decoder(thumb: bool) -> capstone.Cs:
    """Capstone for A32 or T32."""
    return capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB if thumb else capstone.CS_MODE_ARM)


def disassemble(code: bytes, thumb: bool, address: int = 0) -> str:
    """The instruction as Capstone writes it, or ``?``."""
    for _, _, mnemonic, operands in decoder(thumb).disasm_lite(code, address, 1):
        return f"{mnemonic} {operands}".strip()
    return "?"


def word_of(code: bytes, thumb: bool) -> int:
    """The bits of an instruction as its pattern writes them."""
    if thumb and len(code) == 4:
        return int.from_bytes(code[:2], "little") << 16 | int.from_bytes(code[2:], "little")
    return int.from_bytes(code, "little")


def code_of(word: int, bits: int, thumb: bool) -> bytes:
    """The inverse of :func:`word_of`."""
    if thumb and bits == 32:
        return (word >> 16).to_bytes(2, "little") + (word & 0xFFFF).to_bytes(2, "little")
    return word.to_bytes(bits // 8, "little")


def lift(code: bytes, mode: int, itstate: int = 0, masked: int = 0, disp: int = 0, imm: int = 0) -> Template:
    """The template of an instruction (all its bytes) under a translation mode; for the rest see Insn."""
    thumb = bool(mode & st.MODE_THUMB)
    word = word_of(code, thumb)
    pattern = find(T32 if thumb else A32, word, 8 * len(code))
    text = disassemble(code, thumb)
    if pattern is None or pattern.unpredictable(word):
        return Template(*undefined(word, 8 * len(code), mode, itstate), text, None)
    insn = Insn(pattern, word, mode, itstate, masked, disp, imm)
    try:
        pattern.lifter(insn)
    except Undefined:
        return Template(*undefined(word, 8 * len(code), mode, itstate), text, pattern)
    return Template(*finish(insn), text, pattern)


#: What is in no pattern, by instruction set, length, and (A32) whether it is in the unconditional space.
_ANYTHING = {
    (A32, 32): encoding(A32, "cccc" + 28 * "x", "undefined"), (T32, 32): encoding(T32, 32 * "x", "undefined"),
    (T32, 16): encoding(T32, 16 * "x", "undefined"),
}  # fmt: skip


def undefined(word: int, bits: int, mode: int, itstate: int) -> tuple[list[UOp], bool]:
    """The Undefined exception, if the condition holds: it is up to the processor whether it is there if not."""
    insn = Insn(_ANYTHING[T32 if mode & st.MODE_THUMB else A32, bits], word, mode, itstate)
    insn.emit("arm_undefined")
    if insn.cond >= AL:
        insn.cond = AL
        insn.goto_next()
    return finish(insn)
