"""MUL, IMUL, DIV, IDIV."""

from __future__ import annotations

import frontends.x86.ops_muldiv  # noqa: F401
from frontends.x86.lift import Insn, lifts


@lifts("mul", "div", "idiv")
def one_operand(i: Insn) -> None:
    """The other operand and the results are rDX:rAX, or AX for bytes."""
    i.emit(f"x86_{i.name}{i.width(0)}", 0, i.read(0))


@lifts("imul")
def imul(i: Insn) -> None:
    """IMUL with one, two or three operands."""
    w = i.width(0)
    if len(i.ops) == 1:
        one_operand(i)
    elif len(i.ops) == 2:
        i.emit(f"x86_imul2_{w}", i.reg(0), i.reg(0), i.read(1, w))
    else:
        i.emit(f"x86_imul2_{w}i", i.reg(0), i.read(1, w), imm=i.imm())
