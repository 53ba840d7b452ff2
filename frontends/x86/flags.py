"""Arithmetic flags: lazy recipes in the CPU block (state.CC_*), conditions, and the rows that set and read them.

In a compiled region the emitter's ``notes["flags"]`` remembers the recipe's SSA values, so that a comparison and the
jump behind it become one machine comparison. SDM volume 1, 3.4.3 and appendix B.
"""

from __future__ import annotations

from typing import Any

from frontends.x86.state import AF, ARITH, CC_ADD, CC_DEC, CC_EFL, CC_INC, CC_SUB, CF, OF, PF, SF, ZF
from jitrr.microops.table import row, rows

INTS = (8, 16, 32, 64)
#: Condition codes in encoding order.
CONDITIONS = ("o", "no", "b", "ae", "z", "nz", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g")


def set_lazy(e: Any, kind: int, w: int, a: str, b: str, res: str) -> None:
    """Flags of an addition or subtraction of ``w`` bits."""
    e.set_signed("cc_op", 64, str(kind))
    e.set_signed("cc_a", w, a)
    e.set_signed("cc_b", w, b)
    e.set_signed("cc_res", w, res)
    e.notes["flags"] = (kind, w, a, b, res)


def set_logic(e: Any, w: int, res: str) -> None:
    """Flags of a logic operation: CF = OF = AF = 0."""
    set_lazy(e, CC_SUB, w, res, "0", res)


def set_bits(e: Any, bits: str) -> None:
    """All six flags, as an i64 in RFLAGS positions (other bits must be zero)."""
    e.set("cc_op", CC_EFL)
    e.set("cc_a", bits)
    e.notes["flags"] = (CC_EFL, 64, bits, "0", "0")


def zsp(e: Any, w: int, res: str) -> str:
    """ZF, SF and PF of a result, as i64 bits."""
    low = e.trunc(w, res, 8)
    even = e.icmp("eq", 8, e.bin("and", 8, e.intrinsic("ctpop", 8, low), 1), 0)
    zero, sign = e.icmp("eq", w, res, 0), e.icmp("slt", w, res, 0)
    bits = e.bin("or", 64, e.select(even, 64, PF, 0), e.select(zero, 64, ZF, 0))
    return e.bin("or", 64, bits, e.select(sign, 64, SF, 0))


def flag(e: Any, condition: str, bit: int) -> str:
    """An i1 as a flag bit (i64)."""
    return e.select(condition, 64, bit, 0)


def any_of(e: Any, *bits: str) -> str:
    """The union of i64 flag bits."""
    total = bits[0]
    for b in bits[1:]:
        total = e.bin("or", 64, total, b)
    return total


def _parts(e: Any) -> tuple[str, str, str, str]:
    return e.get("cc_op"), e.get("cc_a"), e.get("cc_b"), e.get("cc_res")


def _lazy_carry(e: Any, op: str, a: str, b: str, res: str) -> str:
    """i64 whose sign bit is CF, for a lazy recipe."""
    sub = _subtracts(e, op)
    x = e.bin("xor", 64, a, e.select(sub, 64, -1, 0))
    r = e.bin("xor", 64, res, e.select(sub, 64, 0, -1))
    computed = e.bin("or", 64, e.bin("and", 64, x, b), e.bin("and", 64, e.bin("or", 64, x, b), r))
    return e.select(e.icmp("ugt", 64, op, CC_SUB), 64, e.bin("shl", 64, b, 63), computed)


def _subtracts(e: Any, op: str) -> str:
    """i1: CC_SUB or CC_DEC (of the lazy recipes)."""
    return e.icmp("eq", 64, e.bin("and", 64, op, 1), 0)


def _lazy_overflow(e: Any, op: str, a: str, b: str, res: str) -> str:
    """i64 whose sign bit is OF, for a lazy recipe."""
    sub = _subtracts(e, op)
    first = e.bin("xor", 64, res, a)
    second = e.bin("xor", 64, b, e.select(sub, 64, a, res))
    return e.bin("and", 64, first, second)


def _bit(e: Any, bits: str, mask: int) -> str:
    return e.icmp("ne", 64, e.bin("and", 64, bits, mask), 0)


def _negative(e: Any, value: str) -> str:
    return e.icmp("slt", 64, value, 0)


def _lazy_condition(e: Any, cc: str, op: str, a: str, b: str, res: str) -> str:
    """Condition (without negation) from a lazy recipe."""
    if cc == "z":
        return e.icmp("eq", 64, res, 0)
    if cc == "s":
        return _negative(e, res)
    if cc == "p":
        return e.icmp("eq", 8, e.bin("and", 8, e.intrinsic("ctpop", 8, e.trunc(64, res, 8)), 1), 0)
    if cc == "b":
        return _negative(e, _lazy_carry(e, op, a, b, res))
    if cc == "o":
        return _negative(e, _lazy_overflow(e, op, a, b, res))
    if cc == "be":
        return e.bin("or", 1, _negative(e, _lazy_carry(e, op, a, b, res)), e.icmp("eq", 64, res, 0))
    less = _negative(e, e.bin("xor", 64, res, _lazy_overflow(e, op, a, b, res)))
    return less if cc == "l" else e.bin("or", 1, less, e.icmp("eq", 64, res, 0))


def _bits_condition(e: Any, cc: str, bits: str) -> str:
    masks = {"z": ZF, "s": SF, "p": PF, "b": CF, "o": OF, "be": CF | ZF}
    if cc in masks:
        return _bit(e, bits, masks[cc])
    less = e.icmp("ne", 1, _bit(e, bits, SF), _bit(e, bits, OF))
    return less if cc == "l" else e.bin("or", 1, less, _bit(e, bits, ZF))


_SUB_COMPARE = {"z": "eq", "b": "ult", "be": "ule", "l": "slt", "le": "sle"}


def _known_condition(e: Any, cc: str, known: tuple[int, int, str, str, str]) -> str:
    kind, w, a, b, res = known
    if kind == CC_EFL:
        return _bits_condition(e, cc, a)
    if kind == CC_SUB and cc in _SUB_COMPARE:
        return e.icmp(_SUB_COMPARE[cc], w, a, b)
    if cc == "z":
        return e.icmp("eq", w, res, 0)
    if cc == "s":
        return e.icmp("slt", w, res, 0)
    if kind == CC_ADD and cc == "b":
        wide_a, wide_b, wide = e.sext(w, a), e.sext(w, b), e.sext(w, res)
        return _negative(e, _lazy_carry(e, str(kind), wide_a, wide_b, wide))
    return _lazy_condition(e, cc, str(kind), e.sext(w, a), e.sext(w, b), e.sext(w, res))


def condition(e: Any, cc: str) -> str:
    """One of :data:`CONDITIONS`, as i1."""
    index = CONDITIONS.index(cc)
    if index & 1:
        return e.bin("xor", 1, condition(e, CONDITIONS[index - 1]), 1)
    if "flags" in e.notes:
        return _known_condition(e, cc, e.notes["flags"])
    op, a, b, res = _parts(e)
    bits_label, lazy_label, done = e.label(), e.label(), e.label()
    e.line(f" br i1 {e.icmp('eq', 64, op, CC_EFL)}, label %{bits_label}, label %{lazy_label}\n{bits_label}:")
    from_bits = _bits_condition(e, cc, a)
    e.line(f" br label %{done}\n{lazy_label}:")
    if cc in ("b", "be", "l", "le"):
        from_lazy, lazy_end = _branch_on_sub(e, cc, op, a, b, res)
    else:
        from_lazy, lazy_end = _lazy_condition(e, cc, op, a, b, res), lazy_label
    e.line(f" br label %{done}\n{done}:")
    return e.let(f"phi i1 [ {from_bits}, %{bits_label} ], [ {from_lazy}, %{lazy_end} ]")


def _branch_on_sub(e: Any, cc: str, op: str, a: str, b: str, res: str) -> tuple[str, str]:
    """A comparison is one machine comparison; any other recipe takes the long way."""
    sub, add, done = e.label(), e.label(), e.label()
    e.line(f" br i1 {e.icmp('eq', 64, op, CC_SUB)}, label %{sub}, label %{add}\n{sub}:")
    direct = e.icmp(_SUB_COMPARE[cc], 64, a, b)
    e.line(f" br label %{done}\n{add}:")
    slow = _lazy_condition(e, cc, op, a, b, res)
    e.line(f" br label %{done}\n{done}:")
    return e.let(f"phi i1 [ {direct}, %{sub} ], [ {slow}, %{add} ]"), done


def _lazy_bits(e: Any, op: str, a: str, b: str, res: str) -> str:
    """All six flags of a lazy recipe."""
    carry = e.bin("lshr", 64, _lazy_carry(e, op, a, b, res), 63)
    over = e.bin("lshr", 64, _lazy_overflow(e, op, a, b, res), 63)
    adjust = e.bin("and", 64, e.bin("xor", 64, e.bin("xor", 64, a, b), res), AF)
    return any_of(e, carry, e.bin("shl", 64, over, 11), adjust, zsp(e, 64, res))


def arithmetic(e: Any) -> str:
    """All six flags now, as an i64 in RFLAGS positions."""
    known = e.notes.get("flags")
    if known is not None and known[0] == CC_EFL:
        return known[2]
    op, a, b, res = _parts(e)
    return e.select(e.icmp("eq", 64, op, CC_EFL), 64, a, _lazy_bits(e, op, a, b, res))


# -- rows ------------------------------------------------------------------------------------------------------------
# Each operation is a pair: its result, and the flags from operands and result. A row that stores its result does so
# between the two, so that a store that faults leaves the flags alone.


def _with_carry(op: str) -> Any:
    def result(e: Any, w: int, a: str, b: str) -> str:
        return e.bin(op, w, e.bin(op, w, a, b), e.zext(1, condition(e, "b"), w))

    return result


def _plain(op: str) -> Any:
    return lambda e, w, a, b: e.bin(op, w, a, b)


def _lazy(kind: int) -> Any:
    return lambda e, w, a, b, res: set_lazy(e, kind, w, a, b, res)


def _logic(e: Any, w: int, a: str, b: str, res: str) -> None:
    set_logic(e, w, res)


def _borrow(e: Any, w: int, a: str, b: str, res: str) -> None:
    """SBB: a recipe would be read as a comparison of its operands, which ignores the carry that came in."""
    wide_a, wide_b, wide = e.sext(w, a), e.sext(w, b), e.sext(w, res)
    set_bits(e, _lazy_bits(e, str(CC_SUB), wide_a, wide_b, wide))


#: name -> (result, flags): the two-operand operations.
OPERATIONS = {
    "add": (_plain("add"), _lazy(CC_ADD)),
    "adc": (_with_carry("add"), _lazy(CC_ADD)),
    "sub": (_plain("sub"), _lazy(CC_SUB)),
    "sbb": (_with_carry("sub"), _borrow),
    "and": (_plain("and"), _logic),
    "or": (_plain("or"), _logic),
    "xor": (_plain("xor"), _logic),
}


def _operation(name: str, *, keep: bool = True) -> Any:
    """Body ``(e, w, a, b)``; without ``keep`` only the flags count."""
    result, flags = OPERATIONS[name]

    def body(e: Any, w: int, a: str, b: str) -> str | None:
        res: str = result(e, w, a, b)
        flags(e, w, a, b, res)
        return res if keep else None

    return body


def stored(result: Any, flags: Any) -> Any:
    """Body ``(e, w, address, a, b, offset)`` of the second half of a read-modify-write."""

    def body(e: Any, w: int, at: str, a: str, b: str, i: str) -> None:
        res = result(e, w, a, b)
        e.store(w, e.bin("add", 64, at, i), res)
        flags(e, w, a, b, res)

    return body


def _loaded(body: Any, swapped: bool = False) -> Any:
    """Turn a body's second operand (first, if swapped) into one in memory: ``(e, w, a, address, offset)``."""

    def run(e: Any, w: int, a: str, at: str, i: str) -> str | None:
        value = e.load(w, e.bin("add", 64, at, i))
        result: str | None = body(e, w, value, a) if swapped else body(e, w, a, value)
        return result

    return run


for _name in OPERATIONS:
    rows(f"x86_{_name}{{w}}", INTS, "d{w} <- a{w} b{w}", _operation(_name))
    rows(f"x86_{_name}{{w}}i", INTS, "d{w} <- a{w} i{w}", _operation(_name))
    rows(f"x86_{_name}ld{{w}}", INTS, "d{w} <- a{w} b64 i64", _loaded(_operation(_name)))
    rows(f"x86_{_name}st{{w}}", INTS, "a64 b{w} c{w} i64", stored(*OPERATIONS[_name]))

for _name, _of in (("cmp", "sub"), ("test", "and")):
    rows(f"x86_{_name}{{w}}", INTS, "a{w} b{w}", _operation(_of, keep=False))
    rows(f"x86_{_name}{{w}}i", INTS, "a{w} i{w}", _operation(_of, keep=False))
    rows(f"x86_{_name}ld{{w}}", INTS, "a{w} b64 i64", _loaded(_operation(_of, keep=False)))
    rows(f"x86_{_name}of{{w}}", INTS, "a{w} b64 i64", _loaded(_operation(_of, keep=False), swapped=True))


def _step_flags(e: Any, kind: int, w: int, a: str, res: str) -> None:
    """INC and DEC keep CF."""
    set_lazy(e, kind, w, a, e.zext(1, condition(e, "b"), w), res)


#: name -> (result, flags), with an unused second operand: the one-operand operations.
STEPS = {
    "inc": (lambda e, w, a, b: e.bin("add", w, a, 1),
            lambda e, w, a, b, res: _step_flags(e, CC_INC, w, a, res)),
    "dec": (lambda e, w, a, b: e.bin("sub", w, a, 1),
            lambda e, w, a, b, res: _step_flags(e, CC_DEC, w, a, res)),
    "neg": (lambda e, w, a, b: e.bin("sub", w, "0", a),
            lambda e, w, a, b, res: set_lazy(e, CC_SUB, w, "0", a, res)),
    "not": (lambda e, w, a, b: e.bin("xor", w, a, -1), lambda e, w, a, b, res: None),
}  # fmt: skip


def _one(result: Any, flags: Any) -> Any:
    def body(e: Any, w: int, a: str) -> str:
        res: str = result(e, w, a, "0")
        flags(e, w, a, "0", res)
        return res

    return body


def _one_stored(result: Any, flags: Any) -> Any:
    body = stored(result, flags)
    return lambda e, w, at, a, i: body(e, w, at, a, "0", i)


for _name, _pair in STEPS.items():
    rows(f"x86_{_name}{{w}}", INTS, "d{w} <- a{w}", _one(*_pair))
    rows(f"x86_{_name}st{{w}}", INTS, "a64 b{w} i64", _one_stored(*_pair))

for _cc in CONDITIONS:
    row(f"x86_j{_cc}", "", lambda e, cc=_cc: condition(e, cc), kind="branch")
    row(f"x86_set{_cc}", "d8 <-", lambda e, cc=_cc: e.zext(1, condition(e, cc), 8))
    for _w in (16, 32, 64):
        row(f"x86_cmov{_cc}{_w}", f"d{_w} <- a{_w} b{_w}",
            lambda e, a, b, cc=_cc, w=_w: e.select(condition(e, cc), w, b, a))  # fmt: skip

#: All arithmetic flags to a register / from one (PUSHF, LAHF, SAHF, POPF and helpers that need them materialised).
row("x86_getflags", "d64 <-", arithmetic)
row("x86_setflags", "a64", lambda e, a: set_bits(e, e.bin("and", 64, a, ARITH)))
row("x86_saveflags", "", lambda e: set_bits(e, arithmetic(e)))
