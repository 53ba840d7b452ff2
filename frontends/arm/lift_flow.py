"""Branches, IT, hints, barriers, Undefined on purpose (DDI 0406C, A5.2.11-12, A5.5, A5.7, A6.2.5-6, A6.3.4).

Memory is always in order and written code is noticed at once, so barriers do nothing. Hints of the kind that wait or
signal are in lift_system.py.
"""

from __future__ import annotations

from frontends.arm import state as st
from frontends.arm.flags import AL
from frontends.arm.lift import LR, PC, SP, Insn, Undefined
from frontends.arm.lift_load import memory_row
from frontends.arm.patterns import Fields, a32, t32
from jitrr.microops.table import P_HERE, P_NEXT, Imm, row


def sext(value: int, bits: int) -> int:
    """The low bits as a signed number."""
    return (value & (1 << bits) - 1) - ((value >> bits - 1 & 1) << bits)


def link(i: Insn) -> None:
    """LR := the next instruction's address, with T."""
    i.emit("pcrel32", st.gpr(LR), imm=Imm(1 if i.thumb else 0, P_NEXT))


# -- A32 --------------------------------------------------------------------------------------------------------------
@a32("cccc 1010 iiiiiiiiiiiiiiiiiiiiiiii", "b")
def b(i: Insn) -> None:
    """B."""
    i.goto(sext(i["i"], 24) * 4)


@a32("cccc 1011 iiiiiiiiiiiiiiiiiiiiiiii", "bl")
def bl(i: Insn) -> None:
    """BL."""
    link(i)
    i.goto(sext(i["i"], 24) * 4)


def exchange(i: Insn, offset: int, base: int, thumb: int) -> None:
    """BLX to an immediate: to the other instruction set."""
    link(i)
    t, target = i.temp(), i.imm(offset)
    if i.thumb:
        # From the word that this instruction is in.
        i.emit("arm_pc4", t, imm=Imm(base, P_HERE))
        i.emit("arm_addi", t, t, imm=target)
    else:
        i.emit("pcrel32", t, imm=Imm(target.value + base, target.patch | P_HERE))
    i.emit("arm_switch", imm=thumb)
    i.jump(t)


@a32("1111 101 h iiiiiiiiiiiiiiiiiiiiiiii", "blx_imm", capstone="blx")
def blx_imm(i: Insn) -> None:
    """BLX, to T32."""
    exchange(i, sext(i["i"], 24) * 4 + 2 * i["h"], 8, 1)


def _bx(i: Insn) -> None:
    i.must_be_last()
    i.interwork(i.reg(i["m"]))


def _blx(i: Insn) -> None:
    i.must_be_last()
    t = i.temp()
    i.emit("mov32", t, st.gpr(i["m"]))
    link(i)
    i.interwork(t)


a32("cccc 00010010 1111 1111 1111 0001 mmmm", "bx")(_bx)
a32("cccc 00010010 1111 1111 1111 0010 mmmm", "bxj", bad=lambda f: f["m"] == PC)(_bx)
a32("cccc 00010010 1111 1111 1111 0011 mmmm", "blx_reg", bad=lambda f: f["m"] == PC)(_blx)
t32("010001110 mmmm 000", "bx")(_bx)
t32("010001111 mmmm 000", "blx_reg", bad=lambda f: f["m"] == PC)(_blx)
t32("11110011 1100 mmmm 1000 1111 0000 0000", "bxj", bad=lambda f: f["m"] in (SP, PC))(_bx)


# -- T32 --------------------------------------------------------------------------------------------------------------
def _conditional(i: Insn, offset: int) -> None:
    """B with a condition of its own; not in an IT block."""
    if i.in_it:
        raise Undefined
    i.cond = i["c"]
    i.goto(offset)


@t32("1101 cccc iiiiiiii", "b_cond", bad=lambda f: f["c"] >= AL)
def b_cond(i: Insn) -> None:
    """B<c>, 16 bits."""
    _conditional(i, sext(i["i"], 8) * 2)


@t32("11100 iiiiiiiiiii", "b")
def b16(i: Insn) -> None:
    """B, 16 bits."""
    i.must_be_last()
    i.goto(sext(i["i"], 11) * 2)


@t32("11110 s cccc iiiiii 10 k 0 j iiiiiiiiiii", "b_cond_wide", capstone="b", bad=lambda f: f["c"] >= AL)
def b_cond_wide(i: Insn) -> None:
    """B<c>, 32 bits: S, J2, J1, imm6, imm11."""
    _conditional(i, sext(i["s"] << 19 | i["j"] << 18 | i["k"] << 17 | i["i"], 20) * 2)


def _far(i: Insn) -> int:
    """S, I1, I2, imm10, imm11."""
    s = i["s"]
    return sext(s << 23 | (i["k"] ^ s ^ 1) << 22 | (i["j"] ^ s ^ 1) << 21 | i["i"], 24) * 2


@t32("11110 s iiiiiiiiii 10 k 1 j iiiiiiiiiii", "b_wide", capstone="b")
def b_wide(i: Insn) -> None:
    """B, 32 bits."""
    i.must_be_last()
    i.goto(_far(i))


@t32("11110 s iiiiiiiiii 11 k 1 j iiiiiiiiiii", "bl")
def bl_wide(i: Insn) -> None:
    """BL."""
    i.must_be_last()
    link(i)
    i.goto(_far(i))


@t32("11110 s iiiiiiiiii 11 k 0 j iiiiiiiiii 0", "blx_imm", capstone="blx")
def blx_wide(i: Insn) -> None:
    """BLX, to A32."""
    i.must_be_last()
    i.fields["i"] *= 2
    exchange(i, _far(i), 4, 0)


row("arm_bzero", "a32", lambda e, a: e.icmp("eq", 32, a, 0), kind="branch")
row("arm_bnonzero", "a32", lambda e, a: e.icmp("ne", 32, a, 0), kind="branch")


@t32("1011 o 0 i 1 iiiii nnn", "cbz", capstone="cbz cbnz")
def cbz(i: Insn) -> None:
    """CBZ, CBNZ; not in an IT block."""
    if i.in_it:
        raise Undefined
    i.compare_and_branch("arm_bnonzero" if i["o"] else "arm_bzero", st.gpr(i["n"]), 2 * i["i"])


def _table_bad(f: Fields) -> bool:
    return f["n"] == SP or f["m"] in (SP, PC)


@t32("11101000 1101 nnnn 1111 0000 000 h mmmm", "tbb", capstone="tbb tbh", bad=_table_bad)
def tbb(i: Insn) -> None:
    """TBB, TBH: forward by twice an entry."""
    i.must_be_last()
    t = i.temp()
    base = i.reg(i["n"])
    if i["h"] and i.strict:
        address = i.temp()
        i.emit("arm_add_lsl", address, base, st.gpr(i["m"]), imm=1)
        i.emit("arm_align2", 0, address)
    i.emit(memory_row(i, "arm_ldx16" if i["h"] else "arm_ldx8"), t, base, st.gpr(i["m"]), imm=i["h"])
    here = i.reg(PC)
    i.emit("arm_add_lsl", t, here, t, imm=1)
    i.jump(t)


def _bad_it(f: Fields) -> bool:
    """No mask; condition NV; an ELSE to AL."""
    return not f["m"] or f["c"] == 15 or (f["c"] == AL and f["m"].bit_count() != 1)


@t32("10111111 cccc mmmm", "it", bad=_bad_it, capstone="it")
def it(i: Insn) -> None:
    """IT; not in an IT block."""
    if i.in_it:
        raise Undefined
    i.emit("arm_it", imm=i["c"] << 4 | i["m"])


# -- what does nothing ------------------------------------------------------------------------------------------------
def nothing(i: Insn) -> None:
    """Hints and barriers."""
    i.emit("arm_nop")


for _text, _name in (
    ("cccc 00110010 0000 1111 0000 0000 0000", "nop"), ("cccc 00110010 0000 1111 0000 0000 0001", "yield"),
    ("cccc 00110010 0000 1111 0000 0000 0100", "sev"), ("cccc 00110010 0000 1111 0000 1111 oooo", "dbg"),
    ("1111 01010111 1111 1111 0000 0101 oooo", "dmb"), ("1111 01010111 1111 1111 0000 0100 oooo", "dsb"),
    ("1111 01010111 1111 1111 0000 0110 oooo", "isb"), ("1111 0101 U101 nnnn 1111 iiiiiiiiiiii", "pld"),
    ("1111 0101 U001 nnnn 1111 iiiiiiiiiiii", "pldw"), ("1111 0111 U101 nnnn 1111 iiiii yy 0 mmmm", "pld_reg"),
    ("1111 0111 U001 nnnn 1111 iiiii yy 0 mmmm", "pldw_reg"), ("1111 0100 U101 nnnn 1111 iiiiiiiiiiii", "pli"),
    ("1111 0110 U101 nnnn 1111 iiiii yy 0 mmmm", "pli_reg"), ("1111 0100 U001 nnnn 1111 iiiiiiiiiiii", "hint"),
    ("1111 0110 U001 nnnn 1111 iiiii yy 0 mmmm", "hint_reg"),
):  # fmt: skip
    a32(_text, _name, bad=lambda f: f.get("m") == PC, capstone="hint" if _name in ("nop", "yield", "sev") else "")(
        nothing
    )
#: NOP-compatible hints that are not allocated.
a32("cccc 00110010 0000 1111 0000 oooooooo", "hint", bad=lambda f: f["o"] < 5)(nothing)
t32("10111111 oooo 0000", "hint", bad=lambda f: 1 < f["o"] < 4)(nothing)
t32("11110011 1010 1111 1000 0000 oooooooo", "hint", bad=lambda f: 1 < f["o"] < 4)(nothing)
for _text, _name in (
    ("10111111 0001 0000", "yield"), ("11110011 1010 1111 1000 0000 00000001", "yield"),
    ("11110011 1010 1111 1000 0000 1111 oooo", "dbg"), ("11110011 1011 1111 1000 1111 0101 oooo", "dmb"),
    ("11110011 1011 1111 1000 1111 0100 oooo", "dsb"), ("11110011 1011 1111 1000 1111 0110 oooo", "isb"),
    ("11111000 1001 nnnn 1111 iiiiiiiiiiii", "pld"), ("11111000 1011 nnnn 1111 iiiiiiiiiiii", "pldw"),
    ("11111000 0001 nnnn 1111 1100 iiiiiiii", "pld_imm8"), ("11111000 0011 nnnn 1111 1100 iiiiiiii", "pldw_imm8"),
    ("11111000 0001 nnnn 1111 000000 ii mmmm", "pld_reg"), ("11111000 0011 nnnn 1111 000000 ii mmmm", "pldw_reg"),
    ("11111000 U001 1111 1111 iiiiiiiiiiii", "pld_literal"), ("11111001 1001 nnnn 1111 iiiiiiiiiiii", "pli"),
    ("11111001 0001 nnnn 1111 1100 iiiiiiii", "pli_imm8"), ("11111001 0001 nnnn 1111 000000 ii mmmm", "pli_reg"),
    ("11111001 U001 1111 1111 iiiiiiiiiiii", "pli_literal"),
):  # fmt: skip
    t32(_text, _name, bad=lambda f: f.get("m") in (SP, PC), capstone="hint" if _name == "yield" else "")(nothing)


def permanently_undefined(i: Insn) -> None:
    """UDF."""
    raise Undefined


a32("1110 01111111 iiiiiiiiiiii 1111 iiii", "udf", capstone="udf trap")(permanently_undefined)
t32("11011110 iiiiiiii", "udf", capstone="udf trap")(permanently_undefined)
t32("11110111 1111 iiii 1010 iiiiiiiiiiii", "udf", capstone="udf trap")(permanently_undefined)
