"""Decimal adjustment: DAA, DAS, AAA, AAS, AAM, AAD (not in 64-bit mode). Undefined flags follow the result in AL."""

from __future__ import annotations

from typing import Any

from frontends.x86 import state as st
from frontends.x86.flags import any_of, arithmetic, condition, flag, set_bits, set_logic, zsp
from frontends.x86.lift import Insn, lifts
from frontends.x86.state import AF, CF
from jitrr.microops.table import row

DE = 0
AX = st.gpr(0)


def _low_digit(e: Any, al: str) -> str:
    """Whether the low digit needs adjusting (i1)."""
    above = e.icmp("ugt", 8, e.bin("and", 8, al, 15), 9)
    return e.bin("or", 1, above, e.icmp("ne", 64, e.bin("and", 64, arithmetic(e), AF), 0))


def _packed(op: str) -> Any:
    """DAA and DAS."""

    def body(e: Any, al: str) -> str:
        low = _low_digit(e, al)
        high = e.bin("or", 1, e.icmp("ugt", 8, al, 0x99), condition(e, "b"))
        by = e.bin("add", 8, e.select(low, 8, 6, 0), e.select(high, 8, 0x60, 0))
        res = e.bin(op, 8, al, by)
        carry = high
        if op == "sub":  # a borrow out of the first step counts too
            carry = e.bin("or", 1, high, e.bin("and", 1, low, e.icmp("ult", 8, al, 6)))
        set_bits(e, any_of(e, flag(e, carry, CF), flag(e, low, AF), zsp(e, 8, res)))
        return res

    return body


def _unpacked(op: str) -> Any:
    """AAA and AAS: AX changes by 106h, then AL keeps its low digit."""

    def body(e: Any, ax: str) -> str:
        low = _low_digit(e, e.trunc(16, ax, 8))
        adjusted = e.bin("add", 16, ax, 0x106) if op == "add" else e.bin("sub", 16, ax, 0x106)
        res = e.bin("and", 16, e.select(low, 16, adjusted, ax), 0xFF0F - 0x10000)
        set_bits(e, any_of(e, flag(e, low, CF), flag(e, low, AF), zsp(e, 8, e.trunc(16, res, 8))))
        return res

    return body


def _aam(e: Any, al: str, base: str) -> str:
    e.raise_if(e.icmp("eq", 8, base, 0), DE)
    rest = e.bin("urem", 8, al, base)
    set_logic(e, 8, rest)
    digits = e.bin("shl", 16, e.zext(8, e.bin("udiv", 8, al, base), 16), 8)
    return e.bin("or", 16, digits, e.zext(8, rest, 16))


def _aad(e: Any, ax: str, base: str) -> str:
    high = e.trunc(16, e.bin("lshr", 16, ax, 8), 8)
    res = e.bin("add", 8, e.trunc(16, ax, 8), e.bin("mul", 8, high, base))
    set_logic(e, 8, res)
    return e.zext(8, res, 16)


row("x86_daa", "d8 <- a8", _packed("add"), cold=True)
row("x86_das", "d8 <- a8", _packed("sub"), cold=True)
row("x86_aaa", "d16 <- a16", _unpacked("add"), cold=True)
row("x86_aas", "d16 <- a16", _unpacked("sub"), cold=True)
row("x86_aam", "d16 <- a8 i8", _aam, cold=True)
row("x86_aad", "d16 <- a16 i8", _aad, cold=True)


@lifts("daa", "das", "aaa", "aas", "aam", "aad")
def adjust(i: Insn) -> None:
    """DAA, DAS, AAA, AAS, AAM, AAD."""
    i.emit(f"x86_{i.name}", AX, AX, imm=i.value() if i.ops else 0)
