"""Flags and conditions (DDI 0406C, A2.4 and A8.3): the rows that test them, and ITSTATE (A2.5.2).

N Z C V are kept as values, C and V as what they follow from (state.py). In a compiled region the emitter's
``notes["sub"]`` remembers the operands of a comparison, so that it and the branch behind it become one machine
comparison.
"""

from __future__ import annotations

from typing import Any

from frontends.arm.state import CV_ADD, CV_PLAIN, CV_SUB, MODE_IT, MODE_THUMB
from frontends.arm.vectors import EXC_UNDEF
from jitrr.microops.table import row

#: By condition number; 14 is AL.
CONDITIONS = ("eq", "ne", "cs", "cc", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le")
AL = 14
_COMPARED = {"eq": "eq", "ne": "ne", "cs": "uge", "cc": "ult", "hi": "ugt", "ls": "ule", "ge": "sge", "lt": "slt",
             "gt": "sgt", "le": "sle"}  # fmt: skip


def set_nz(e: Any, result: str) -> None:
    """N and Z of a 32-bit result."""
    e.set_signed("nf", 32, result)
    e.set_signed("zf", 32, result)
    e.notes.pop("sub", None)


def _set_cv(e: Any, op: int, a: str, b: str) -> None:
    e.set_signed("cv_op", 64, str(op))
    e.set_signed("cv_a", 64, a)
    e.set_signed("cv_b", 64, b)


def set_plain_cv(e: Any, carry: str, overflow: str) -> None:
    """C from an i64 (0 or 1), V from bit 31 of an i64."""
    _set_cv(e, CV_PLAIN, carry, overflow)


def set_carry(e: Any, value: str) -> None:
    """C from an i64 (0 or 1); V stays."""
    set_plain_cv(e, value, e.zext(32, overflow(e)))


def carry(e: Any) -> str:
    """C as an i64, 0 or 1."""
    op, a, b = (e.get(name) for name in ("cv_op", "cv_a", "cv_b"))
    borrow = e.zext(1, e.icmp("uge", 64, a, b))
    added = e.bin("lshr", 64, e.bin("add", 64, a, b), 32)
    other = e.select(e.icmp("eq", 64, op, CV_ADD), 64, added, a)
    return str(e.select(e.icmp("eq", 64, op, CV_SUB), 64, borrow, other))


def overflow(e: Any) -> str:
    """V as bit 31 of an i32."""
    op, a, b = e.get("cv_op"), e.get("cv_a", 32), e.get("cv_b", 32)
    sub = e.icmp("eq", 64, op, CV_SUB)
    result = e.select(sub, 32, e.bin("sub", 32, a, b), e.bin("add", 32, a, b))
    other = e.select(sub, 32, e.bin("xor", 32, b, -1), b)
    changed = e.bin("and", 32, e.bin("xor", 32, a, result), e.bin("xor", 32, other, result))
    return str(e.select(e.icmp("eq", 64, op, CV_PLAIN), 32, b, changed))


def set_sub(e: Any, a: str, b: str, result: str) -> None:
    """The flags of a - b."""
    set_nz(e, result)
    _set_cv(e, CV_SUB, e.zext(32, a), e.zext(32, b))
    e.notes["sub"] = (a, b)


def set_add(e: Any, a: str, b: str, result: str) -> None:
    """The flags of a + b."""
    set_nz(e, result)
    _set_cv(e, CV_ADD, e.zext(32, a), e.zext(32, b))


def set_add_carry(e: Any, a: str, b: str, result: str, out: str) -> None:
    """The flags of a + b and a carry in, with carry out ``out`` (i1)."""
    set_nz(e, result)
    changed = e.bin("and", 32, e.bin("xor", 32, a, result), e.bin("xor", 32, b, result))
    set_plain_cv(e, e.zext(1, out), e.zext(32, changed))


def set_nzcv(e: Any, value: str) -> None:
    """The flags from bits 31-28 of an i32."""
    e.set("nf", e.zext(32, e.bin("and", 32, value, -0x80000000)))
    e.set("zf", e.zext(32, e.bin("xor", 32, e.bin("and", 32, value, 1 << 30), 1 << 30)))
    out = e.zext(32, e.bin("and", 32, e.bin("lshr", 32, value, 29), 1))
    set_plain_cv(e, out, e.zext(32, e.bin("and", 32, e.bin("shl", 32, value, 3), -0x80000000)))
    e.notes.pop("sub", None)


def nzcv(e: Any) -> str:
    """The flags as bits 31-28 of an i32."""
    n = e.bin("and", 32, e.get("nf", 32), -0x80000000)
    z = e.select(e.icmp("eq", 64, e.get("zf"), 0), 32, 1 << 30, 0)
    c = e.bin("shl", 32, e.trunc(64, carry(e), 32), 29)
    v = e.bin("lshr", 32, e.bin("and", 32, overflow(e), -0x80000000), 3)
    return str(e.bin("or", 32, e.bin("or", 32, n, z), e.bin("or", 32, c, v)))


def _negative(e: Any, value: str) -> str:
    """i1: bit 31 of an i32."""
    return str(e.icmp("slt", 32, value, 0))


def _plain(e: Any, name: str) -> str:
    """A condition of even number from the fields."""
    if name == "eq":
        return str(e.icmp("eq", 64, e.get("zf"), 0))
    if name == "cs":
        return str(e.icmp("ne", 64, carry(e), 0))
    if name == "mi":
        return _negative(e, e.get("nf", 32))
    if name == "vs":
        return _negative(e, overflow(e))
    if name == "hi":
        nonzero = e.icmp("ne", 64, e.get("zf"), 0)
        return str(e.bin("and", 1, e.icmp("ne", 64, carry(e), 0), nonzero))
    greater = e.bin("xor", 1, _negative(e, e.bin("xor", 32, e.get("nf", 32), overflow(e))), "true")
    return str(greater if name == "ge" else e.bin("and", 1, greater, e.icmp("ne", 64, e.get("zf"), 0)))


def condition(e: Any, name: str) -> str:
    """i1: whether a condition holds."""
    if "sub" in e.notes and name in _COMPARED:
        a, b = e.notes["sub"]
        return str(e.icmp(_COMPARED[name], 32, a, b))
    number = CONDITIONS.index(name)
    value = _plain(e, CONDITIONS[number & ~1])
    return str(e.bin("xor", 1, value, "true")) if number & 1 else value


def _of_itstate(e: Any) -> str:
    """i1: whether the condition of field ``itstate`` (its upper four bits) holds; 14 and 15 do."""
    number = e.bin("lshr", 64, e.get("itstate"), 4)
    value = "true"
    for pair in range(7):
        here = e.icmp("eq", 64, e.bin("lshr", 64, number, 1), pair)
        value = e.let(f"select i1 {here}, i1 {_plain(e, CONDITIONS[2 * pair])}, i1 {value}")
    below = e.icmp("ult", 64, number, AL)
    odd = e.bin("and", 1, below, e.trunc(64, number, 1))
    return str(e.bin("xor", 1, value, odd))


def set_mode_bits(e: Any, clear: int, bits: str) -> None:
    """Replace bits ``clear`` of the translation mode by ``bits`` (i64), in field ``mode`` and in the jump cache's
    key."""
    for name in ("mode", "jc_key"):
        e.set(name, e.bin("or", 64, e.bin("and", 64, e.get(name), ~clear), bits))


def _set_itstate(e: Any, value: str) -> None:
    e.set("itstate", value)
    set_mode_bits(e, MODE_IT, e.select(e.icmp("ne", 64, value, 0), 64, MODE_IT, 0))


def _advance(e: Any) -> None:
    state = e.get("itstate")
    shifted = e.bin("or", 64, e.bin("and", 64, state, 0xE0), e.bin("and", 64, e.bin("shl", 64, state, 1), 0x1F))
    more = e.icmp("ne", 64, e.bin("and", 64, state, 7), 0)
    _set_itstate(e, e.select(more, 64, shifted, 0))


def interwork(e: Any, target: str, thumb: bool) -> str:
    """BXWritePC (DDI 0406C, A2.3.1) for an i32, from T32 if ``thumb``: the state follows bit 0; the new pc (i64)."""
    to_thumb = e.trunc(32, target, 1)

    def change() -> None:
        e.set("thumb", int(not thumb))
        set_mode_bits(e, MODE_THUMB, str(0 if thumb else MODE_THUMB))

    e.rarely(e.bin("xor", 1, to_thumb, "true") if thumb else to_thumb, change)
    return str(e.zext(32, e.bin("and", 32, target, e.select(to_thumb, 32, -2, -4))))


for _name in CONDITIONS:
    #: Leave out the cells of this instruction unless the condition holds; branch if it does; 1 or 0.
    row(f"arm_unless_{_name}", "i64", lambda e, i, n=_name: e.bin("xor", 1, condition(e, n), "true"), kind="skip")
    row(f"arm_b{_name}", "", lambda e, n=_name: condition(e, n), kind="branch")
    row(f"arm_test_{_name}", "d64 <-", lambda e, n=_name: e.zext(1, condition(e, n)))
#: The same for the condition that ITSTATE has at run time.
row("arm_unless_it", "i64", lambda e, i: e.bin("xor", 1, _of_itstate(e), "true"), kind="skip", cold=True)
row("arm_test_it", "d64 <-", lambda e: e.zext(1, _of_itstate(e)), cold=True)
row("arm_it_advance", "", _advance, cold=True)
row("arm_it_last", "", lambda e: e.raise_if(
    e.icmp("ne", 64, e.bin("and", 64, e.get("itstate"), 15), 8), EXC_UNDEF), cold=True)  # fmt: skip
#: ITSTATE := i.
row("arm_it", "i64", _set_itstate)
#: Branch if a is not 0.
row("arm_if", "a64", lambda e, a: e.icmp("ne", 64, a, 0), kind="branch")
#: d = the pc that a leads to, interworking, from A32 and from T32.
row("arm_bx", "d64 <- a32", lambda e, a: interwork(e, a, False))
row("arm_bx_thumb", "d64 <- a32", lambda e, a: interwork(e, a, True))


def _switch(e: Any, thumb: str) -> None:
    e.set("thumb", thumb)
    set_mode_bits(e, MODE_THUMB, thumb)


#: The T bit := i.
row("arm_switch", "i64", _switch, cold=True)
