"""x87 micro-ops: the host's own x87 computes, in 80 bits and with the guest's control word (SDM volume 1, chapter 8).

An operation loads its operands on the host's (empty) register stack, runs the guest's instruction, keeps the status
word and stores what is left; the exception flags, an unmasked exception's unwritten or scaled result and C1 are then
the hardware's own. Host exceptions are only reported by waiting instructions, and the guest's are cleared before one
could follow. What the host cannot know - which of the guest's registers are empty - is decided here: stack faults, and
the answers given to them.

Registers are addressed by physical number, which is known only at run time, so all of these rows are cold.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as replace_fields
from typing import Any

from frontends.x86.flags import condition, set_bits
from jitrr.microops.table import row

IE, ZE, ES_B, SF_FLAG = 1, 4, 0x8080, 0x40
C1, C2, COMPARE = 0x200, 0x400, 0x4500  # COMPARE: C3 C2 C0
#: The indefinite QNaN.
INDEFINITE = (-(1 << 62), 0xFFFF)
#: Instructions that transcendental.py computes.
TRANSCENDENTAL = {"fsin": 0, "fcos": 1, "fsincos": 2, "fptan": 3, "f2xm1": 4, "fpatan": 5, "fyl2x": 6, "fyl2xp1": 7}
_CLOBBERS = ",".join(["~{memory}", "~{ecx}", "~{st}", *(f"~{{st({n})}}" for n in range(1, 8)), "~{fpsr}", "~{flags}"])


def host(e: Any, load: str, store: str, *pointers: str, flags: bool = False) -> str:
    """Run ``load`` (AT&T syntax, a line each) with the guest's control word, note the status word, then run ``store``.
    $0 and up in them stand for ``pointers``. Returns the status word as i64, with ``flags`` FCOMI's RFLAGS in bits
    16..23."""
    status = ["fnstsw %ax", "movl %eax, %ecx", "lahf", "movzbl %ah, %eax", "shll $$16, %eax", "movw %cx, %ax"]
    lines = [
        "fnclex",
        "fldcw ($1)",
        *_shift(load),
        *(status if flags else status[:1]),
        "fnclex",
        *_shift(store),
        "fninit",
    ]
    arguments = ", ".join(f"ptr {p}" for p in (e.pointer(e.layout["fcw"]), *pointers))
    constraints = ",".join(["=&{eax}", *["r"] * (1 + len(pointers)), _CLOBBERS])
    text = "\\0A".join(lines)
    return e.zext(32, e.let(f'call i32 asm sideeffect "{text}", "{constraints}"({arguments})'))


def _shift(text: str) -> list[str]:
    """Lines whose $n become the n + 2nd operand of the assembly."""
    for n in range(4, -1, -1):
        text = text.replace(f"(${n})", f"(${n + 2})")
    return text.split("\n") if text else []


# -- the register stack ----------------------------------------------------------------------------------------------


def physical(e: Any, i: str | int) -> str:
    """Physical number (i64) of ST(i)."""
    return e.bin("and", 64, e.bin("add", 64, e.get("ftop"), i), 7)


def at(e: Any, number: str) -> str:
    """Address of a register by physical number."""
    base = e.pointer(e.layout["fpr"])
    return e.let(f"getelementptr [16 x i8], ptr {base}, i64 {number}")


def empty(e: Any, number: str) -> str:
    """i1."""
    return e.let(f"trunc i64 {e.bin('lshr', 64, e.get('ftag'), number)} to i1")


def scratch(e: Any, index: int = 0) -> str:
    """Address of one of the 80-bit scratch slots (2 and 3; 0 and 1 hold memory operands)."""
    return e.pointer(e.layout["ftmp"] + 16 * (2 + index))


def read80(e: Any, pointer: str) -> tuple[str, str]:
    """(significand, sign and exponent), each i64."""
    low = e.let(f"load i64, ptr {pointer}")
    high = e.let(f"load i16, ptr {e.let(f'getelementptr i8, ptr {pointer}, i64 8')}")
    return low, e.zext(16, high)


Value = tuple[str | int, str | int]


def choose(e: Any, which: str, yes: Value, no: Value) -> Value:
    return e.select(which, 64, yes[0], no[0]), e.select(which, 64, yes[1], no[1])


def put(e: Any, number: str, value: Value, blocked: str) -> None:
    """Write a register and make it valid, unless ``blocked``."""
    pointer = at(e, number)
    low, high = choose(e, blocked, read80(e, pointer), value)
    e.line(f" store i64 {low}, ptr {pointer}")
    e.line(f" store i64 {high}, ptr {e.let(f'getelementptr i8, ptr {pointer}, i64 8')}")
    bit = e.select(blocked, 64, 0, e.bin("shl", 64, "1", number))
    e.set("ftag", e.bin("and", 64, e.get("ftag"), e.bin("xor", 64, bit, -1)))


def pop(e: Any, count: str | int, blocked: str) -> None:
    """Pop ``count`` (0, 1 or 2) registers, unless ``blocked``."""
    count = e.select(blocked, 64, 0, count)
    top, tags = e.get("ftop"), e.get("ftag")
    for n in (0, 1):
        wanted = e.zext(1, e.icmp("ugt", 64, count, n))
        tags = e.bin("or", 64, tags, e.bin("shl", 64, wanted, physical(e, n)))
    e.set("ftag", tags)
    e.set("ftop", e.bin("and", 64, e.bin("add", 64, top, count), 7))


def push(e: Any, value: Value, blocked: str) -> None:
    """Push a value, unless ``blocked``."""
    number = physical(e, 7)
    put(e, number, value, blocked)
    e.set("ftop", e.select(blocked, 64, e.get("ftop"), number))


# -- exceptions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What an operation raised: its flags (i64), whether they keep the result from being written (i1), its C1 (i64)."""

    flags: str
    blocked: str
    c1: str


def judge(e: Any, fault: str, status: str, *, overflow: str = "false", stops: int = 7) -> Outcome:
    """``fault`` (i1): a stack fault, with C1 set for an ``overflow``; otherwise ``status`` is the host's. ``stops``:
    which exceptions, unmasked, leave the operands as they were: invalid, denormal, zero divide; for loads only invalid;
    for stores also overflow and underflow."""
    flags = e.select(fault, 64, IE | SF_FLAG, e.bin("and", 64, status, 0x3F))
    unmasked = e.bin("and", 64, flags, e.bin("xor", 64, e.get("fcw"), -1))
    blocked = e.icmp("ne", 64, e.bin("and", 64, unmasked, stops), 0)
    c1 = e.select(fault, 64, e.select(overflow, 64, C1, 0), e.bin("and", 64, status, C1))
    return Outcome(flags, blocked, c1)


def keep_c1(e: Any, outcome: Outcome, fault: str) -> Outcome:
    """The same, of an instruction that changes C1 only when it faults."""
    old = e.bin("and", 64, e.get("fsw"), C1)
    return replace_fields(outcome, c1=e.select(fault, 64, outcome.c1, old))


def record(e: Any, outcome: Outcome, codes: str | int = 0, mask: int = 0) -> None:
    """Flags and C1 into the status word, and the condition codes of ``mask``; ES and B when an unmasked flag is set."""
    fsw = e.bin("and", 64, e.get("fsw"), ~(C1 | mask))
    fsw = e.bin("or", 64, e.bin("or", 64, fsw, outcome.flags), outcome.c1)
    set_status(e, e.bin("or", 64, fsw, codes))


def set_status(e: Any, fsw: str) -> None:
    """The status word (without TOP), ES and B made to agree with the control word."""
    pending = e.bin("and", 64, e.bin("and", 64, fsw, 0x3F), e.bin("xor", 64, e.get("fcw"), -1))
    summary = e.select(e.icmp("ne", 64, pending, 0), 64, ES_B, 0)
    e.set("fsw", e.bin("or", 64, e.bin("and", 64, fsw, ~ES_B & 0xFFFF), summary))


def either(e: Any, *conditions: str) -> str:
    total = conditions[0]
    for c in conditions[1:]:
        total = e.bin("or", 1, total, c)
    return total


def bits(e: Any, value: str, low: int, count: int) -> str:
    """A field of an i64."""
    shifted = e.bin("lshr", 64, value, low) if low else value
    return e.bin("and", 64, shifted, (1 << count) - 1)


# -- operations with a result in a register --------------------------------------------------------------------------


def replace(e: Any, target: str, fault: str, status: str, pops: str | int, mask: int = 0) -> None:
    """The scratch slot's value becomes ``target``; condition codes of ``mask`` come from the host, but only C2 changes
    when there is no result or it is a NaN."""
    outcome = judge(e, fault, status)
    result = choose(e, fault, INDEFINITE, read80(e, scratch(e)))
    number = e.icmp("ne", 64, e.bin("and", 64, str(result[1]), 0x7FFF), 0x7FFF)
    kept = e.bin("and", 64, e.get("fsw"), mask & ~C2)
    computed = e.bin("and", 1, number, e.bin("xor", 1, outcome.blocked, 1))
    record(e, outcome, e.select(computed, 64, e.bin("and", 64, status, mask), kept), mask)
    put(e, target, result, outcome.blocked)
    pop(e, pops, outcome.blocked)


def _two_registers(e: Any, text: str, i: str, mask: int) -> None:
    """Immediate: destination | source << 4 | pops << 8; the host has them in ST and ST(1)."""
    target, source = physical(e, bits(e, i, 0, 3)), physical(e, bits(e, i, 4, 3))
    fault = either(e, empty(e, target), empty(e, source))
    status = host(e, f"fldt ($1)\nfldt ($0)\n{text}", "fstpt ($2)", at(e, target), at(e, source), scratch(e))
    replace(e, target, fault, status, bits(e, i, 8, 2), mask)


def _with_memory(e: Any, text: str, pointer: str) -> None:
    target = physical(e, 0)
    status = host(e, f"fldt ($0)\n{text} ($1)", "fstpt ($2)", at(e, target), pointer, scratch(e))
    replace(e, target, empty(e, target), status, 0)


#: Memory formats: name -> (suffix of floating-point mnemonics or None, suffix of integer mnemonics or None).
_FORMATS = {"m32": ("s", None), "m64": ("l", None), "i16": (None, "s"), "i32": (None, "l")}

for _name in ("add", "mul", "sub", "subr", "div", "divr"):
    row(f"x87_{_name}", "i64", lambda e, i, t=f"f{_name} %st(1), %st": _two_registers(e, t, i, 0), cold=True)
    for _format, (_float, _int) in _FORMATS.items():
        _text = f"f{_name}{_float}" if _float else f"fi{_name}{_int}"
        row(f"x87_{_name}_{_format}", "*a64", lambda e, a, t=_text: _with_memory(e, t, a), cold=True)
row("x87_scale", "i64", lambda e, i: _two_registers(e, "fscale", i, 0), cold=True)
row("x87_prem", "i64", lambda e, i: _two_registers(e, "fprem", i, COMPARE), cold=True)
row("x87_prem1", "i64", lambda e, i: _two_registers(e, "fprem1", i, COMPARE), cold=True)


def _in_software(e: Any, text: str, status: str) -> str:
    """The status word of an instruction that has run on the host: of a transcendental one with numbers as operands it
    is made anew, and so are the results, since hosts differ in theirs (transcendental.py)."""
    if text not in TRANSCENDENTAL:
        return status
    return e.helper("x87_transcendental", TRANSCENDENTAL[text], status)


def _log_or_arctangent(e: Any, text: str) -> None:
    """Result to ST(1), then a pop; the host has popped by itself."""
    target, source = physical(e, 1), physical(e, 0)
    fault = either(e, empty(e, target), empty(e, source))
    status = host(e, f"fldt ($0)\nfldt ($1)\n{text}", "fstpt ($2)", at(e, target), at(e, source), scratch(e))
    replace(e, target, fault, _in_software(e, text, status), 1)


for _name in ("yl2x", "yl2xp1", "patan"):
    row(f"x87_{_name}", "", lambda e, t=f"f{_name}": _log_or_arctangent(e, t), cold=True)


def _unary(e: Any, text: str, mask: int) -> None:
    target = physical(e, 0)
    status = host(e, f"fldt ($0)\n{text}", "fstpt ($1)", at(e, target), scratch(e))
    replace(e, target, empty(e, target), _in_software(e, text, status), 0, mask)


for _name in ("chs", "abs", "sqrt", "rndint", "2xm1"):
    row(f"x87_{_name}", "", lambda e, t=f"f{_name}": _unary(e, t, 0), cold=True)
for _name in ("sin", "cos"):
    row(f"x87_{_name}", "", lambda e, t=f"f{_name}": _unary(e, t, 0x400), cold=True)


def _two_results(e: Any, text: str, mask: int) -> None:
    """FPTAN, FSINCOS and FXTRACT: ST changes and another value is pushed; nothing is when C2 says out of range."""
    target, above = physical(e, 0), physical(e, 7)
    underflow, full = empty(e, target), e.bin("xor", 1, empty(e, above), 1)
    fault = either(e, underflow, full)
    status = host(e, f"fldt ($0)\n{text}", "fstpt ($1)\nfstpt ($2)", at(e, target), scratch(e), scratch(e, 1))
    status = _in_software(e, text, status)
    overflow = e.bin("and", 1, full, e.bin("xor", 1, underflow, 1))
    outcome = judge(e, fault, status, overflow=overflow)
    codes = e.select(fault, 64, 0, e.bin("and", 64, status, mask))
    record(e, outcome, codes, mask)
    stay = either(e, outcome.blocked, e.icmp("ne", 64, e.bin("and", 64, codes, 0x400), 0))
    put(e, target, choose(e, fault, INDEFINITE, read80(e, scratch(e, 1))), stay)
    push(e, choose(e, fault, INDEFINITE, read80(e, scratch(e))), stay)


row("x87_ptan", "", lambda e: _two_results(e, "fptan", 0x400), cold=True)
row("x87_sincos", "", lambda e: _two_results(e, "fsincos", 0x400), cold=True)
row("x87_xtract", "", lambda e: _two_results(e, "fxtract", 0), cold=True)


# -- comparisons -----------------------------------------------------------------------------------------------------


def _compared(e: Any, fault: str, status: str, pops: str | int) -> None:
    outcome = judge(e, fault, status)
    record(e, outcome, e.select(fault, 64, COMPARE, e.bin("and", 64, status, COMPARE)), COMPARE)
    pop(e, pops, outcome.blocked)


def _compare_registers(e: Any, text: str, i: str) -> None:
    """Immediate: source << 4 | pops << 8."""
    top, other = physical(e, 0), physical(e, bits(e, i, 4, 3))
    fault = either(e, empty(e, top), empty(e, other))
    status = host(e, f"fldt ($1)\nfldt ($0)\n{text} %st(1)", "", at(e, top), at(e, other))
    _compared(e, fault, status, bits(e, i, 8, 2))


def _compare_memory(e: Any, text: str, pointer: str, i: str) -> None:
    top = physical(e, 0)
    status = host(e, f"fldt ($0)\n{text} ($1)", "", at(e, top), pointer)
    _compared(e, empty(e, top), status, bits(e, i, 8, 2))


def _test(e: Any) -> None:
    top = physical(e, 0)
    _compared(e, empty(e, top), host(e, "fldt ($0)\nftst", "", at(e, top)), 0)


row("x87_com", "i64", lambda e, i: _compare_registers(e, "fcom", i), cold=True)
row("x87_ucom", "i64", lambda e, i: _compare_registers(e, "fucom", i), cold=True)
for _format, (_float, _int) in _FORMATS.items():
    _text = f"fcom{_float}" if _float else f"ficom{_int}"
    row(f"x87_com_{_format}", "*a64 i64", lambda e, a, i, t=_text: _compare_memory(e, t, a, i), cold=True)
row("x87_tst", "", _test, cold=True)


def _compare_to_flags(e: Any, text: str, i: str) -> None:
    """FCOMI and FUCOMI: ZF, PF and CF; OF, SF and AF are cleared. Immediate as for comparisons."""
    top, other = physical(e, 0), physical(e, bits(e, i, 4, 3))
    fault = either(e, empty(e, top), empty(e, other))
    status = host(e, f"fldt ($1)\nfldt ($0)\n{text} %st(1), %st", "", at(e, top), at(e, other), flags=True)
    outcome = judge(e, fault, status)
    record(e, keep_c1(e, outcome, fault))
    set_bits(e, e.select(fault, 64, 0x45, e.bin("and", 64, e.bin("lshr", 64, status, 16), 0x45)))
    pop(e, bits(e, i, 8, 2), outcome.blocked)


row("x87_comi", "i64", lambda e, i: _compare_to_flags(e, "fcomi", i), cold=True)
row("x87_ucomi", "i64", lambda e, i: _compare_to_flags(e, "fucomi", i), cold=True)


def _examine(e: Any) -> None:
    """FXAM raises nothing; an empty register gives C3 and C0, and its sign in C1 as well."""
    top = physical(e, 0)
    status = host(e, "fldt ($0)\nfxam", "", at(e, top))
    codes = e.bin("and", 64, status, COMPARE | C1)
    _, high = read80(e, at(e, top))
    sign = e.bin("shl", 64, e.bin("lshr", 64, high, 15), 9)
    codes = e.select(empty(e, top), 64, e.bin("or", 64, sign, 0x4100), codes)
    e.set("fsw", e.bin("or", 64, e.bin("and", 64, e.get("fsw"), ~(COMPARE | C1)), codes))


row("x87_xam", "", _examine, cold=True)


# -- loads and stores ------------------------------------------------------------------------------------------------


def _loaded(e: Any, status: str, missing: str) -> None:
    """Push the scratch slot's value; ``missing`` (i1): it came from an empty register."""
    full = e.bin("xor", 1, empty(e, physical(e, 7)), 1)
    fault = either(e, full, missing)
    outcome = judge(e, fault, status, overflow=e.bin("and", 1, full, e.bin("xor", 1, missing, 1)), stops=IE)
    record(e, outcome)
    push(e, choose(e, fault, INDEFINITE, read80(e, scratch(e))), outcome.blocked)


def _load_memory(e: Any, text: str, pointer: str) -> None:
    _loaded(e, host(e, f"{text} ($0)", "fstpt ($1)", pointer, scratch(e)), "false")


def _load_register(e: Any, i: str) -> None:
    source = physical(e, i)
    status = host(e, "fldt ($0)", "fstpt ($1)", at(e, source), scratch(e))
    _loaded(e, status, empty(e, source))


for _name, _text in (("m32", "flds"), ("m64", "fldl"), ("m80", "fldt"), ("i16", "filds"), ("i32", "fildl"),
                     ("i64", "fildll"), ("bcd", "fbld")):  # fmt: skip
    row(f"x87_ld_{_name}", "*a64", lambda e, a, t=_text: _load_memory(e, t, a), cold=True)
row("x87_ld", "i64", _load_register, cold=True)
for _name in ("1", "l2t", "l2e", "pi", "lg2", "ln2", "z"):
    row(
        f"x87_ld{_name}",
        "",
        lambda e, t=f"fld{_name}": _loaded(e, host(e, t, "fstpt ($0)", scratch(e)), "false"),
        cold=True,
    )


@dataclass(frozen=True)
class Stored:
    """A memory format: bytes, and its answer to a stack fault."""

    size: int
    low: int
    high: int = 0


STORED = {
    "m32": Stored(4, 0xFFC00000), "m64": Stored(8, -(1 << 51)), "m80": Stored(10, *INDEFINITE),
    "i16": Stored(2, 0x8000), "i32": Stored(4, 0x80000000), "i64": Stored(8, -(1 << 63)),
    "bcd": Stored(10, -(1 << 62), 0xFFFF),
}  # fmt: skip


def _store_memory(e: Any, text: str, form: Stored, address: str, pops: str) -> None:
    """Memory is written (all of it or nothing) before anything else changes; after an unmasked exception only tried."""
    top = physical(e, 0)
    fault = empty(e, top)
    status = host(e, f"fldt ($0)\n{text} ($1)", "", at(e, top), scratch(e))
    outcome = judge(e, fault, status, stops=0x1F)
    low, high = choose(e, fault, (form.low, form.high), read80(e, scratch(e)))
    e.helper("x87_store", address, form.size, low, high, e.zext(1, outcome.blocked))
    record(e, outcome)
    pop(e, pops, outcome.blocked)


for _name, _text, _form in (
    ("m32", "fsts", "m32"), ("m64", "fstl", "m64"), ("m80", "fstpt", "m80"), ("i16", "fists", "i16"),
    ("i32", "fistl", "i32"), ("i64", "fistpll", "i64"), ("t16", "fisttps", "i16"), ("t32", "fisttpl", "i32"),
    ("t64", "fisttpll", "i64"), ("bcd", "fbstp", "bcd"),
):  # fmt: skip
    row(f"x87_st_{_name}", "a64 i64",
        lambda e, a, i, t=_text, f=STORED[_form]: _store_memory(e, t, f, a, i), cold=True)  # fmt: skip

_QUIET = "0"  # the status word of an operation that raises nothing


def _store_register(e: Any, i: str) -> None:
    """FST ST(i). Immediate: register | pops << 8."""
    top, target = physical(e, 0), physical(e, bits(e, i, 0, 3))
    fault = empty(e, top)
    outcome = judge(e, fault, _QUIET)
    record(e, outcome)
    put(e, target, choose(e, fault, INDEFINITE, read80(e, at(e, top))), outcome.blocked)
    pop(e, bits(e, i, 8, 2), outcome.blocked)


def _exchange(e: Any, i: str) -> None:
    """FXCH: an empty register takes part as the indefinite QNaN."""
    top, other = physical(e, 0), physical(e, i)
    no_top, no_other = empty(e, top), empty(e, other)
    first = choose(e, no_top, INDEFINITE, read80(e, at(e, top)))
    second = choose(e, no_other, INDEFINITE, read80(e, at(e, other)))
    outcome = judge(e, either(e, no_top, no_other), _QUIET)
    record(e, outcome)
    put(e, top, second, outcome.blocked)
    put(e, other, first, outcome.blocked)


def _move_if(e: Any, cc: str, i: str) -> None:
    """FCMOVcc."""
    top, source = physical(e, 0), physical(e, i)
    fault = either(e, empty(e, top), empty(e, source))
    taken = condition(e, cc)
    outcome = judge(e, fault, _QUIET)
    moved = choose(e, taken, read80(e, at(e, source)), read80(e, at(e, top)))
    record(e, keep_c1(e, outcome, fault))
    put(e, top, choose(e, fault, INDEFINITE, moved), outcome.blocked)


row("x87_st", "i64", _store_register, cold=True)
row("x87_xch", "i64", _exchange, cold=True)
for _cc in ("b", "z", "be", "p", "ae", "nz", "a", "np"):
    row(f"x87_cmov{_cc}", "i64", lambda e, i, cc=_cc: _move_if(e, cc, i), cold=True)


# -- control ---------------------------------------------------------------------------------------------------------


def _initialise(e: Any) -> None:
    """FNINIT."""
    for name, value in (("fcw", 0x37F), ("fsw", 0), ("ftop", 0), ("ftag", 255), ("fop", 0), ("fip", 0), ("fdp", 0)):
        e.set(name, value)


def _free(e: Any, i: str, pops: int) -> None:
    e.set("ftag", e.bin("or", 64, e.get("ftag"), e.bin("shl", 64, "1", physical(e, i))))
    if pops:
        pop(e, pops, "false")


def _turn(e: Any, by: int) -> None:
    e.set("ftop", physical(e, by))
    e.set("fsw", e.bin("and", 64, e.get("fsw"), ~C1))


def _load_control(e: Any, a: str) -> None:
    """FLDCW: reserved bits read back as 0, bit 6 as 1."""
    e.set("fcw", e.bin("or", 64, e.bin("and", 64, e.zext(16, a), 0x1F3F), 0x40))
    set_status(e, e.get("fsw"))


def _status(e: Any) -> str:
    return e.bin("or", 64, e.get("fsw"), e.bin("shl", 64, e.get("ftop"), 11))


row("x87_init", "", _initialise, cold=True)
row("x87_clex", "", lambda e: e.set("fsw", e.bin("and", 64, e.get("fsw"), 0x7F00)), cold=True)
row("x87_ldcw", "a16", _load_control, cold=True)
row("x87_stsw", "d64 <-", _status, cold=True)
row("x87_free", "i64", lambda e, i: _free(e, i, 0), cold=True)
row("x87_freep", "i64", lambda e, i: _free(e, i, 1), cold=True)
row("x87_incstp", "", lambda e: _turn(e, 1), cold=True)
row("x87_decstp", "", lambda e: _turn(e, 7), cold=True)


def _note_instruction(e: Any, i: str) -> None:
    e.set("fop", i)
    e.set("fip", e.pc_here())


def _note_operand(e: Any, a: str, i: str) -> None:
    _note_instruction(e, i)
    e.set("fdp", a)


#: The last instruction and operand pointers: every instruction but the control ones sets them (SDM volume 1, 8.1.8 to
#: 8.1.9).
row("x87_note", "i64", _note_instruction, cold=True)
row("x87_note_mem", "a64 i64", _note_operand, cold=True)

#: Whole images by native helpers (fxsave.py): address, and which format.
for _name in ("fstenv", "fldenv", "fsave", "frstor", "fxsave", "fxrstor"):
    row(f"x87_{_name}", "a64 i64", lambda e, a, i, n=_name: e.helper(f"x87_{n}", a, i) and None, cold=True)
