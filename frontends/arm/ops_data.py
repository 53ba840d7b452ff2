"""Rows of data processing: results with and without flags, the shifter and its carry (DDI 0406C, A8.4 and A2.2.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from frontends.arm.flags import carry, set_add, set_add_carry, set_carry, set_nz, set_sub
from jitrr.microops.table import row

Operation = Callable[[Any, str, str], str]


def carry_in(e: Any) -> str:
    """The C flag as an i32."""
    return str(e.trunc(64, carry(e), 32))


def _invert(e: Any, x: str) -> str:
    return str(e.bin("xor", 32, x, -1))


def _three(e: Any, a: str, b: str) -> tuple[str, str]:
    """a + b + C: the sum and the carry out (i1)."""
    total = e.bin("add", 64, e.bin("add", 64, e.zext(32, a), e.zext(32, b)), carry(e))
    return e.trunc(64, total, 32), e.icmp("ugt", 64, total, 0xFFFFFFFF)


def _with_carry(e: Any, a: str, b: str) -> str:
    """a + b + C and its flags."""
    result, out = _three(e, a, b)
    set_add_carry(e, a, b, result, out)
    return result


def _adds(e: Any, a: str, b: str) -> str:
    result = e.bin("add", 32, a, b)
    set_add(e, a, b, result)
    return str(result)


def _subs(e: Any, a: str, b: str) -> str:
    result = e.bin("sub", 32, a, b)
    set_sub(e, a, b, result)
    return str(result)


def _logic(operation: Operation) -> Operation:
    def with_flags(e: Any, a: str, b: str) -> str:
        result = operation(e, a, b)
        set_nz(e, result)
        return result

    return with_flags


def _flags_only(operation: Operation) -> Callable[[Any, str, str], None]:
    def body(e: Any, a: str, b: str) -> None:
        operation(e, a, b)

    return body


def _both(name: str, operation: Operation) -> None:
    """A row for two registers and one for a register and an immediate."""
    row(f"arm_{name}", "d32 <- a32 b32", operation)
    row(f"arm_{name}i", "d32 <- a32 i32", operation)


_PLAIN: dict[str, Operation] = {
    "add": lambda e, a, b: e.bin("add", 32, a, b),
    "sub": lambda e, a, b: e.bin("sub", 32, a, b),
    "and": lambda e, a, b: e.bin("and", 32, a, b),
    "eor": lambda e, a, b: e.bin("xor", 32, a, b),
    "orr": lambda e, a, b: e.bin("or", 32, a, b),
    "bic": lambda e, a, b: e.bin("and", 32, a, _invert(e, b)),
    "orn": lambda e, a, b: e.bin("or", 32, a, _invert(e, b)),
}
for _name, _operation in _PLAIN.items():
    _both(_name, _operation)
    if _name not in ("add", "sub"):
        _both(f"{_name}s", _logic(_operation))
_both("rsb", lambda e, a, b: e.bin("sub", 32, b, a))
_both("adc", lambda e, a, b: _three(e, a, b)[0])
_both("sbc", lambda e, a, b: _three(e, a, _invert(e, b))[0])
_both("rsc", lambda e, a, b: _three(e, b, _invert(e, a))[0])
_both("adds", _adds)
_both("subs", _subs)
_both("rsbs", lambda e, a, b: _subs(e, b, a))
_both("adcs", _with_carry)
_both("sbcs", lambda e, a, b: _with_carry(e, a, _invert(e, b)))
_both("rscs", lambda e, a, b: _with_carry(e, b, _invert(e, a)))
for _name, _operation in (
    ("cmp", _subs),
    ("cmn", _adds),
    ("tst", _logic(_PLAIN["and"])),
    ("teq", _logic(_PLAIN["eor"])),
):
    row(f"arm_{_name}", "a32 b32", _flags_only(_operation))
    row(f"arm_{_name}i", "a32 i32", _flags_only(_operation))


def _move(e: Any, a: str) -> str:
    set_nz(e, a)
    return a


row("arm_movs", "d32 <- a32", _move)
row("arm_movsi", "d32 <- i32", _move)
row("arm_mvn", "d32 <- a32", _invert)
row("arm_mvni", "d32 <- i32", _invert)
row("arm_mvns", "d32 <- a32", lambda e, a: _move(e, _invert(e, a)))
row("arm_mvnsi", "d32 <- i32", lambda e, a: _move(e, _invert(e, a)))
#: N and Z of a result; of a 64-bit one.
row("arm_nz", "a32", lambda e, a: set_nz(e, a))


def _nz64(e: Any, a: str) -> None:
    e.set("nf", e.bin("lshr", 64, a, 32))
    e.set("zf", a)
    e.notes.pop("sub", None)


row("arm_nz64", "a64", _nz64)
#: C := bit 31 of an immediate that was rotated.
row("arm_carryi", "i64", set_carry)
#: The upper half.
row("arm_movt", "d32 <- a32 i32", lambda e, a, i: e.bin("or", 32, e.bin("and", 32, a, 0xFFFF), e.bin("shl", 32, i, 16)))


# -- the shifter ------------------------------------------------------------------------------------------------------
def _shifted(e: Any, kind: str, a: str, n: str) -> tuple[str, str]:
    """(result, carry as i64) of a shift by ``n`` (i64, 1 to 255)."""
    if kind == "lsl":
        wide = e.bin("shl", 64, e.zext(32, a), _at_most(e, n, 33))
        return e.trunc(64, wide, 32), e.bin("and", 64, e.bin("lshr", 64, wide, 32), 1)
    if kind == "ror":
        result = e.intrinsic("fshr", 32, a, a, e.trunc(64, n, 32))
        return result, e.bin("lshr", 64, e.zext(32, result), 31)
    wide = e.zext(32, a) if kind == "lsr" else e.sext(32, a)
    wide = e.bin("lshr" if kind == "lsr" else "ashr", 64, e.bin("shl", 64, wide, 1), _at_most(e, n, 34))
    return e.trunc(64, e.bin("lshr", 64, wide, 1), 32), e.bin("and", 64, wide, 1)


def _at_most(e: Any, n: str, most: int) -> str:
    return str(e.intrinsic("umin", 64, n, str(most)))


def _by_register(e: Any, kind: str, a: str, b: str, flags: bool) -> str:
    """By the low byte of a register; 0 leaves value and carry alone."""
    n = e.zext(32, e.bin("and", 32, b, 255))
    result, out = _shifted(e, kind, a, n)
    none = e.icmp("eq", 64, n, 0)
    if flags:
        set_carry(e, e.select(none, 64, carry(e), out))
    return str(result if kind == "ror" else e.select(none, 32, a, result))


def _by_immediate(e: Any, kind: str, a: str, i: str) -> str:
    result, out = _shifted(e, kind, a, i)
    set_carry(e, out)
    return result


def _rrx(e: Any, a: str, flags: bool) -> str:
    result = e.bin("or", 32, e.bin("lshr", 32, a, 1), e.bin("shl", 32, carry_in(e), 31))
    if flags:
        set_carry(e, e.zext(32, e.bin("and", 32, a, 1)))
    return str(result)


SHIFTS = ("lsl", "lsr", "asr", "ror")
for _name in SHIFTS:
    row(f"arm_{_name}", "d32 <- a32 b32", lambda e, a, b, k=_name: _by_register(e, k, a, b, False))
    row(f"arm_{_name}_c", "d32 <- a32 b32", lambda e, a, b, k=_name: _by_register(e, k, a, b, True))
    #: By 1 to 32.
    row(f"arm_{_name}i_c", "d32 <- a32 i64", lambda e, a, i, k=_name: _by_immediate(e, k, a, i))
row("arm_rori", "d32 <- a32 i32", lambda e, a, i: e.intrinsic("fshr", 32, a, a, i))
row("arm_rrx", "d32 <- a32", lambda e, a: _rrx(e, a, False))
row("arm_rrx_c", "d32 <- a32", lambda e, a: _rrx(e, a, True))

#: With the second operand shifted left by an immediate.
for _name in ("add", "sub", "orr", "eor", "and", "bic"):
    row(f"arm_{_name}_lsl", "d32 <- a32 b32 i32",
        lambda e, a, b, i, n=_name: _PLAIN[n](e, a, e.bin("shl", 32, b, i)))  # fmt: skip
