"""From instruction bytes to a template: Capstone says which instruction it is, the table of patterns gives its fields
and lifter, and the two have to agree (agreement.py): else it is not lifted, and stops the guest with a report.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import capstone

import frontends.arm.table  # noqa: F401  (declares patterns and lifters)
from frontends.arm import state as st
from frontends.arm.agreement import agree
from frontends.arm.flags import AL
from frontends.arm.lift import Insn, Undefined, finish
from frontends.arm.patterns import A32, T32, Pattern, encoding, find
from jitrr.microops.table import UOp


@dataclass
class Template:
    """What an instruction lifts to. ``ends``: it ends its block."""

    uops: list[UOp]
    ends: bool


@cache
def decoder(thumb: bool) -> capstone.Cs:
    """Capstone for A32 or T32."""
    return capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB if thumb else capstone.CS_MODE_ARM)


def decode(code: bytes, thumb: bool, address: int = 0) -> tuple[str, str]:
    """Capstone's name of an instruction (all its bytes), and how it writes it; "" and ``?`` where it knows none."""
    cs = decoder(thumb)
    for found in cs.disasm(code, address, 1):
        if found.size == len(code):
            return cs.insn_name(found.id), f"{found.mnemonic} {found.op_str}".strip()
    return "", "?"


def size_of(code: bytes, thumb: bool) -> int:
    """Bytes of the instruction at the start of ``code``, which has two or more."""
    return 2 if thumb and code[1] >> 3 < 0b11101 else 4


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


def row_of(word: int, bits: int, thumb: bool) -> Pattern | None:
    """The row of the table that an instruction is, or None."""
    return find(T32 if thumb else A32, word, bits)


def lift(code: bytes, mode: int, itstate: int = 0, masked: int = 0, disp: int = 0, imm: int = 0) -> Template:
    """The template of an instruction (all its bytes) under a translation mode; for the rest see Insn."""
    template = _lift(code, mode, itstate, masked, disp, imm)
    if mode & st.MODE_DEBUG:
        template.uops.insert(0, UOp("arm_debug"))
    return template


def _lift(code: bytes, mode: int, itstate: int, masked: int, disp: int, imm: int) -> Template:
    thumb, bits = bool(mode & st.MODE_THUMB), 8 * len(code)
    word, (name, _) = word_of(code, thumb), decode(code, thumb)
    pattern = row_of(word, bits, thumb)
    if pattern is not None and pattern.unpredictable(word):
        return Template(*undefined(word, bits, mode, itstate))
    if not agree(pattern, word, name):
        return Template([UOp("missing")], True)
    if pattern is None:
        return Template(*undefined(word, bits, mode, itstate))
    insn = Insn(pattern, word, mode, itstate, masked, disp, imm)
    try:
        pattern.lifter(insn)
    except Undefined:
        return Template(*undefined(word, bits, mode, itstate))
    return Template(*finish(insn))


def describe_missing(code: bytes, thumb: bool, address: int) -> str:
    """Why :func:`lift` gives no template: one line for people."""
    name, text = decode(code, thumb, address)
    pattern = row_of(word_of(code, thumb), 8 * len(code), thumb)
    what = f"instruction not there yet: {text} ({code.hex(' ')})"
    if pattern is None or agree(pattern, word_of(code, thumb), name):
        return what
    return f"{what}: Capstone decodes {name or 'nothing'}, the table {pattern.name}"


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
