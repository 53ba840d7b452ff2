"""Single flags and the low byte of flags: CLC, STC, CMC, CLD, STD, LAHF, SAHF, SALC."""

from __future__ import annotations

from typing import Any

from frontends.x86 import state as st
from frontends.x86.flags import arithmetic, condition, set_bits
from frontends.x86.lift import Insn, lifts
from frontends.x86.state import AF, ARITH, CF, DF, OF, PF, SF, ZF
from jitrr.microops.table import row

AL, AH = st.gpr(0), st.gpr(0) + 1
LOW = SF | ZF | AF | PF | CF


def _sahf(e: Any, a: str) -> None:
    over = e.bin("and", 64, arithmetic(e), OF)
    set_bits(e, e.bin("or", 64, over, e.bin("and", 64, e.zext(8, a), LOW)))


row("x86_clc", "", lambda e: set_bits(e, e.bin("and", 64, arithmetic(e), ARITH & ~CF)))
row("x86_stc", "", lambda e: set_bits(e, e.bin("or", 64, arithmetic(e), CF)))
row("x86_cmc", "", lambda e: set_bits(e, e.bin("xor", 64, arithmetic(e), CF)))
row("x86_lahf", "d8 <-", lambda e: e.trunc(64, e.bin("or", 64, e.bin("and", 64, arithmetic(e), LOW), 2), 8))
row("x86_sahf", "a8", _sahf)
row("x86_salc", "d8 <-", lambda e: e.sext(1, condition(e, "b"), 8))


@lifts("clc", "stc", "cmc")
def carry(i: Insn) -> None:
    """CLC, STC, CMC."""
    i.emit(f"x86_{i.name}")


@lifts("cld", "std")
def direction(i: Insn) -> None:
    """CLD, STD."""
    if i.name == "cld":
        i.emit("and64i", st.EFLAGS, st.EFLAGS, imm=~DF)
    else:
        i.emit("or64i", st.EFLAGS, st.EFLAGS, imm=DF)


@lifts("lahf")
def lahf(i: Insn) -> None:
    """LAHF."""
    i.emit("x86_lahf", AH)


@lifts("sahf")
def sahf(i: Insn) -> None:
    """SAHF."""
    i.emit("x86_sahf", 0, AH)


@lifts("salc")
def salc(i: Insn) -> None:
    """SALC: AL := CF ? FFh : 0."""
    i.emit("x86_salc", AL)
