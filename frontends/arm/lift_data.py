"""Data processing: immediates, registers shifted by immediates and by registers (DDI 0406C, A5.2.1-3, A6.2.1, A6.3.1
and A6.3.11)."""

from __future__ import annotations

from collections.abc import Callable

import frontends.arm.ops_data  # noqa: F401  (declares rows)
from frontends.arm import state as st
from frontends.arm.lift import PC, SP, Insn
from frontends.arm.ops_data import SHIFTS
from frontends.arm.patterns import Fields, a32, t32

#: In encoding order of A32.
A32_OPS = (
    "and",
    "eor",
    "sub",
    "rsb",
    "add",
    "adc",
    "sbc",
    "rsc",
    "tst",
    "teq",
    "cmp",
    "cmn",
    "orr",
    "mov",
    "bic",
    "mvn",
)
COMPARES = ("tst", "teq", "cmp", "cmn")
MOVES = ("mov", "mvn")
#: Those whose flags take C from the shifter.
LOGICAL = frozenset(("and", "eor", "tst", "teq", "orr", "mov", "bic", "mvn", "orn"))
_SHIFT_NAMES = "lsl lsr asr ror rrx"


def arm_expand(imm12: int) -> int:
    """ARMExpandImm."""
    rotation, value = 2 * (imm12 >> 8), imm12 & 255
    return (value >> rotation | value << 32 - rotation) & 0xFFFFFFFF


def thumb_expand(imm12: int) -> int:
    """ThumbExpandImm."""
    low = imm12 & 255
    if imm12 >> 10 == 0:
        return (low, low * 0x10001, low * 0x1000100, low * 0x1010101)[imm12 >> 8]
    rotation, value = imm12 >> 7, 0x80 | imm12 & 127
    return (value >> rotation | value << 32 - rotation) & 0xFFFFFFFF


# -- what they do -----------------------------------------------------------------------------------------------------
def operate(i: Insn, op: str, d: int, n: int, b: int, flags: bool) -> None:
    """Rd := Rn op the register at ``b``, with flags or without; comparisons have no Rd, moves no Rn."""
    if op in COMPARES:
        i.emit(f"arm_{op}", 0, i.reg(n), b)
        return
    at = i.target(d)
    if op in MOVES:
        i.emit({"mov": "arm_movs" if flags else "mov32", "mvn": "arm_mvns" if flags else "arm_mvn"}[op], at, b)
    else:
        i.emit(f"arm_{op}{'s' if flags else ''}", at, i.reg(n), b)
    i.wrote(d, at)


def operate_imm(i: Insn, op: str, d: int, n: int, value: int, flags: bool, carry: bool = False) -> None:
    """Rd := Rn op ``value``; ``carry``: a logical operation with flags takes C from its bit 31."""
    imm, suffix = i.imm(value), "s" if flags else ""
    if carry and flags and op in LOGICAL:
        i.emit("arm_carryi", imm=value >> 31)
    if op in COMPARES:
        i.emit(f"arm_{op}i", 0, i.reg(n), imm=imm)
        return
    at = i.target(d)
    if op in MOVES:
        name = "movi32" if op == "mov" and not flags else f"arm_{op}{suffix}i"
        i.emit(name, at, imm=imm)
    elif n == PC and op in ("add", "sub") and not flags:  # ADR
        i.emit("arm_addi" if op == "add" else "arm_subi", at, i.aligned_pc(), imm=imm)
    else:
        i.emit(f"arm_{op}{suffix}i", at, i.reg(n), imm=imm)
    i.wrote(d, at)


def shift_by(kind: int, amount: int) -> tuple[str, int]:
    """DecodeImmShift: name and amount; "rrx", or "" for none."""
    if amount == 0:
        return ("", "lsr", "asr", "rrx")[kind], 32 if kind in (1, 2) else 0
    return SHIFTS[kind], amount


def shifted(i: Insn, m: int, kind: int, amount: int, carry: bool = False, d: int = -1) -> int:
    """Where Rm shifted by an immediate can be read; ``carry``: C is set. ``d``: where to put it (default: scratch)."""
    name, count = shift_by(kind, amount)
    source = i.reg(m)
    if not name:
        return source
    t = i.temp() if d == -1 else d
    if name == "rrx":
        i.emit("arm_rrx_c" if carry else "arm_rrx", t, source)
    elif carry:
        i.emit(f"arm_{name}i_c", t, source, imm=count)
    elif count == 32:
        i.emit("movi32", t, imm=0) if name == "lsr" else i.emit("ashr32i", t, source, imm=31)
    else:
        i.emit({"lsl": "shl32i", "lsr": "lshr32i", "asr": "ashr32i", "ror": "arm_rori"}[name], t, source, imm=count)
    return t


def with_shift(i: Insn, op: str, d: int, n: int, m: int, kind: int, amount: int, flags: bool) -> None:
    """Rd := Rn op Rm shifted by an immediate."""
    if kind == 0 and amount and not flags and op in ("add", "sub", "orr", "eor", "and", "bic"):
        at = i.target(d)
        i.emit(f"arm_{op}_lsl", at, i.reg(n), i.reg(m), imm=amount)
        i.wrote(d, at)
    elif op == "mov" and not flags and d != PC and shift_by(kind, amount)[0]:
        shifted(i, m, kind, amount, d=st.gpr(d))
    else:
        operate(i, op, d, n, shifted(i, m, kind, amount, flags and op in LOGICAL), flags)


def by_register(i: Insn, op: str, d: int, n: int, m: int, s: int, kind: int, flags: bool) -> None:
    """Rd := Rn op Rm shifted by Rs."""
    t = i.temp()
    carry = "_c" if flags and op in LOGICAL else ""
    i.emit(f"arm_{SHIFTS[kind]}{carry}", t, i.reg(m), i.reg(s))
    operate(i, op, d, n, t, flags)


# -- A32 --------------------------------------------------------------------------------------------------------------
Lift = Callable[[Insn], None]


def _field(i: Insn, name: str) -> int:
    """A register field, or 0 where the operation has none."""
    return i.fields.get(name, 0)


def _a32(number: int, op: str) -> None:
    """One operation in its four forms. Without flags and with the PC as result it is a branch; with flags, an exception
    return, which has encodings of its own."""
    n = "0000" if op in MOVES else "nnnn"
    d = "0000" if op in COMPARES else "dddd"
    code = f"{number:04b}"
    for s in ("1",) if op in COMPARES else ("0", "1"):
        flags = s == "1"

        def bad(f: Fields, returns: bool = flags and op not in COMPARES) -> bool:
            return returns and f["d"] == PC

        also = "" if flags else " adr" if op in ("add", "sub") else " nop" if op == "mov" else ""
        a32(f"cccc 001 {code} {s} {n} {d} iiiiiiiiiiii", f"{op}_imm", bad=bad, capstone=op + also)(
            lambda i, op=op, flags=flags: operate_imm(i, op, _field(i, "d"), _field(i, "n"), arm_expand(i["i"]), flags,
                                                      i["i"] > 255))  # fmt: skip
        names = f"{op} nop {_SHIFT_NAMES}" if op == "mov" else op
        a32(f"cccc 000 {code} {s} {n} {d} iiiii yy 0 mmmm", f"{op}_reg", bad=bad, capstone=names)(
            lambda i, op=op, flags=flags: with_shift(i, op, _field(i, "d"), _field(i, "n"), i["m"], i["y"], i["i"],
                                                     flags))  # fmt: skip
        a32(f"cccc 000 {code} {s} {n} {d} ssss 0 yy 1 mmmm", f"{op}_shift_reg", capstone=names,
            bad=lambda f: PC in (f.get("d"), f.get("n"), f["m"], f["s"]))(
            lambda i, op=op, flags=flags: by_register(i, op, _field(i, "d"), _field(i, "n"), i["m"], i["s"], i["y"],
                                                      flags))  # fmt: skip


for _number, _op in enumerate(A32_OPS):
    _a32(_number, _op)


@a32("cccc 0011 0000 iiii dddd iiiiiiiiiiii", "movw", capstone="movw mov", bad=lambda f: f["d"] == PC)
@t32("11110 j 100100 kkkk 0 iii dddd iiiiiiii", "movw", capstone="movw mov", bad=lambda f: f["d"] in (SP, PC))
def movw(i: Insn) -> None:
    """MOV, 16-bit immediate."""
    i.emit("movi32", st.gpr(i["d"]), imm=i.imm(_imm16(i)))


@a32("cccc 0011 0100 iiii dddd iiiiiiiiiiii", "movt", bad=lambda f: f["d"] == PC)
@t32("11110 j 101100 kkkk 0 iii dddd iiiiiiii", "movt", bad=lambda f: f["d"] in (SP, PC))
def movt(i: Insn) -> None:
    """MOVT."""
    i.emit("arm_movt", st.gpr(i["d"]), st.gpr(i["d"]), imm=i.imm(_imm16(i)))


def _imm16(i: Insn) -> int:
    return i["k"] << 12 | i["j"] << 11 | i["i"] if i.thumb else i["i"]


# -- T32, 32 bits -----------------------------------------------------------------------------------------------------
T32_OPS = {"and": 0, "bic": 1, "orr": 2, "orn": 3, "eor": 4, "add": 8, "adc": 10, "sbc": 11, "sub": 13, "rsb": 14}
#: The same with Rd = PC and S, or with Rn = PC.
T32_COMPARES = {"tst": "and", "teq": "eor", "cmn": "add", "cmp": "sub"}
T32_MOVES = {"mov": "orr", "mvn": "orn"}


def _bad(f: Fields, *names: str) -> bool:
    """A register operand that is SP or PC."""
    return any(f.get(name) in (SP, PC) for name in names)


def _bad_arithmetic(f: Fields) -> bool:
    """ADD and SUB: SP is allowed as Rn, and as Rd with it (shifted by up to 3 to the left)."""
    if f["n"] == PC or f["d"] == PC or _bad(f, "m"):
        return True
    return f["d"] == SP and (f["n"] != SP or f.get("y", 0) != 0 or ("m" in f and f["i"] > 3))


def _t32(op: str, number: int) -> None:
    for s in ("0", "1"):
        flags = s == "1"
        bad: Callable[[Fields], bool] = lambda f: _bad(f, "d", "n", "m")  # noqa: E731
        if op in ("add", "sub"):
            bad = _bad_arithmetic
        t32(f"11110 i 0 {number:04b} {s} nnnn 0 iii dddd iiiiiiii", f"{op}_imm", capstone=op, bad=bad)(
            lambda i, op=op, flags=flags: operate_imm(i, op, i["d"], i["n"], thumb_expand(i["i"]), flags,
                                                      i["i"] > 0x3FF))  # fmt: skip
        t32(f"11101 01 {number:04b} {s} nnnn 0 iii dddd ii yy mmmm", f"{op}_reg", capstone=op, bad=bad)(
            lambda i, op=op, flags=flags: with_shift(i, op, i["d"], i["n"], i["m"], i["y"], i["i"], flags)
        )


for _op, _number in T32_OPS.items():
    _t32(_op, _number)


def _t32_compare(op: str, number: int) -> None:
    def bad(f: Fields) -> bool:
        return f["n"] == PC or (op in ("tst", "teq") and f["n"] == SP) or _bad(f, "m")

    t32(f"11110 i 0 {number:04b} 1 nnnn 0 iii 1111 iiiiiiii", f"{op}_imm", bad=bad)(
        lambda i: operate_imm(i, op, 0, i["n"], thumb_expand(i["i"]), True, i["i"] > 0x3FF)
    )
    t32(f"11101 01 {number:04b} 1 nnnn 0 iii 1111 ii yy mmmm", f"{op}_reg", bad=bad)(
        lambda i: with_shift(i, op, 0, i["n"], i["m"], i["y"], i["i"], True)
    )


for _op, _as in T32_COMPARES.items():
    _t32_compare(_op, T32_OPS[_as])


def _bad_move(f: Fields) -> bool:
    """MOV without flags and shift may have SP as one of the two."""
    if f["S"] or f["i"] or f["y"]:
        return _bad(f, "d", "m")
    return PC in (f["d"], f["m"]) or (f["d"] == SP and f["m"] == SP)


for _op, _as in T32_MOVES.items():
    t32(f"11110 i 0 {T32_OPS[_as]:04b} S 1111 0 iii dddd iiiiiiii", f"{_op}_imm", bad=lambda f: _bad(f, "d"))(
        lambda i, op=_op: operate_imm(i, op, i["d"], 0, thumb_expand(i["i"]), bool(i["S"]),
                                      i["i"] > 0x3FF))  # fmt: skip
    t32(f"11101 01 {T32_OPS[_as]:04b} S 1111 0 iii dddd ii yy mmmm", f"{_op}_reg",
        capstone=f"mov movs {_SHIFT_NAMES}" if _op == "mov" else "mvn",
        bad=_bad_move if _op == "mov" else lambda f: _bad(f, "d", "m"))(
        lambda i, op=_op: with_shift(i, op, i["d"], 0, i["m"], i["y"], i["i"], bool(i["S"])))  # fmt: skip


@t32("11111010 0 yy S mmmm 1111 dddd 0000 ssss", "shift_reg", capstone=_SHIFT_NAMES,
     bad=lambda f: _bad(f, "d", "m", "s"))  # fmt: skip
def shift_reg(i: Insn) -> None:
    """LSL, LSR, ASR, ROR by a register."""
    _shift_register(i, i["d"], i["m"], i["s"], i["y"], bool(i["S"]))


def _shift_register(i: Insn, d: int, m: int, s: int, kind: int, flags: bool) -> None:
    i.emit(f"arm_{SHIFTS[kind]}{'_c' if flags else ''}", st.gpr(d), st.gpr(m), st.gpr(s))
    if flags:
        i.emit("arm_nz", 0, st.gpr(d))


@t32("11110 i 100000 nnnn 0 iii dddd iiiiiiii", "addw", capstone="addw adr add",
     bad=lambda f: f["d"] == PC or (f["d"] == SP and f["n"] != SP))  # fmt: skip
def addw(i: Insn) -> None:
    """ADD of 12 bits; ADR."""
    operate_imm(i, "add", i["d"], i["n"], i["i"], False)


@t32("11110 i 101010 nnnn 0 iii dddd iiiiiiii", "subw", capstone="subw adr sub",
     bad=lambda f: f["d"] == PC or (f["d"] == SP and f["n"] != SP))  # fmt: skip
def subw(i: Insn) -> None:
    """SUB of 12 bits; ADR."""
    operate_imm(i, "sub", i["d"], i["n"], i["i"], False)


# -- T32, 16 bits: flags are set outside IT blocks ---------------------------------------------------------------------
@t32("000 00 iiiii mmm ddd", "lsl_imm", capstone="lsl mov movs")
def lsl_imm(i: Insn) -> None:
    """LSL; MOVS for a shift by 0 (which is UNPREDICTABLE in an IT block: here a MOV)."""
    with_shift(i, "mov", i["d"], 0, i["m"], 0, i["i"], not i.in_it)


@t32("000 01 iiiii mmm ddd", "lsr_imm")
def lsr_imm(i: Insn) -> None:
    """LSR."""
    with_shift(i, "mov", i["d"], 0, i["m"], 1, i["i"], not i.in_it)


@t32("000 10 iiiii mmm ddd", "asr_imm")
def asr_imm(i: Insn) -> None:
    """ASR."""
    with_shift(i, "mov", i["d"], 0, i["m"], 2, i["i"], not i.in_it)


@t32("00011 0 s mmm nnn ddd", "add_sub_reg", capstone="add sub")
def add_sub_reg(i: Insn) -> None:
    """ADD, SUB of low registers."""
    operate(i, "sub" if i["s"] else "add", i["d"], i["n"], st.gpr(i["m"]), not i.in_it)


@t32("00011 1 s iii nnn ddd", "add_sub_imm3", capstone="add sub mov movs")
def add_sub_imm3(i: Insn) -> None:
    """ADD, SUB of 3 bits."""
    operate_imm(i, "sub" if i["s"] else "add", i["d"], i["n"], i["i"], not i.in_it)


@t32("00100 ddd iiiiiiii", "mov_imm8", capstone="mov movs")
def mov_imm8(i: Insn) -> None:
    """MOV of 8 bits."""
    operate_imm(i, "mov", i["d"], 0, i["i"], not i.in_it)


@t32("00101 nnn iiiiiiii", "cmp_imm8")
def cmp_imm8(i: Insn) -> None:
    """CMP with 8 bits."""
    operate_imm(i, "cmp", 0, i["n"], i["i"], True)


@t32("0011 s ddd iiiiiiii", "add_sub_imm8", capstone="add sub")
def add_sub_imm8(i: Insn) -> None:
    """ADD, SUB of 8 bits."""
    operate_imm(i, "sub" if i["s"] else "add", i["d"], i["d"], i["i"], not i.in_it)


T16_OPS = (
    "and",
    "eor",
    "lsl",
    "lsr",
    "asr",
    "adc",
    "sbc",
    "ror",
    "tst",
    "rsb",
    "cmp",
    "cmn",
    "orr",
    "mul",
    "bic",
    "mvn",
)


def _t16(number: int, op: str) -> None:
    @t32(f"010000 {number:04b} mmm ddd", f"{op}_low", capstone="rsb neg" if op == "rsb" else op)
    def low(i: Insn) -> None:
        """Two low registers."""
        flags, d, m = not i.in_it, i["d"], i["m"]
        if op in SHIFTS:
            _shift_register(i, d, d, m, SHIFTS.index(op), flags)
        elif op == "rsb":
            i.emit("arm_rsbsi" if flags else "arm_rsbi", st.gpr(d), st.gpr(m), imm=0)
        else:
            operate(i, op, d, d, st.gpr(m), flags or op in COMPARES)


for _number, _op in enumerate(T16_OPS):
    if _op != "mul":
        _t16(_number, _op)


def _bad_high(f: Fields) -> bool:
    return f["d"] == PC and f["m"] == PC


@t32("01000100 d mmmm ddd", "add_high", capstone="add", bad=_bad_high)
def add_high(i: Insn) -> None:
    """ADD of any registers."""
    operate(i, "add", i["d"], i["d"], i.reg(i["m"]), False)


@t32("01000101 n mmmm nnn", "cmp_high", capstone="cmp", bad=lambda f: PC in (f["n"], f["m"]) or max(f["n"], f["m"]) < 8)
def cmp_high(i: Insn) -> None:
    """CMP of any registers, not both low."""
    operate(i, "cmp", 0, i["n"], st.gpr(i["m"]), True)


@t32("01000110 d mmmm ddd", "mov_high", capstone="mov")
def mov_high(i: Insn) -> None:
    """MOV of any registers."""
    operate(i, "mov", i["d"], 0, i.reg(i["m"]), False)


@t32("10100 ddd iiiiiiii", "adr", capstone="adr add")
def adr(i: Insn) -> None:
    """ADR."""
    operate_imm(i, "add", i["d"], PC, 4 * i["i"], False)


@t32("10101 ddd iiiiiiii", "add_sp", capstone="add")
def add_sp(i: Insn) -> None:
    """ADD (SP plus immediate)."""
    operate_imm(i, "add", i["d"], SP, 4 * i["i"], False)


@t32("1011 0000 s iiiiiii", "adjust_sp", capstone="add sub")
def adjust_sp(i: Insn) -> None:
    """ADD and SUB of SP."""
    operate_imm(i, "sub" if i["s"] else "add", SP, SP, 4 * i["i"], False)
