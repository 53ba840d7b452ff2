"""String instructions: MOVS, STOS, LODS, SCAS, CMPS, with and without REP.

A REP instruction ends its block and counts once per iteration. One execution of its row (strings.rep_string) does as
many iterations as the budget and the pages at hand allow, then the block's exits go on or come back here.
"""

from __future__ import annotations

from typing import Any

from frontends.x86 import state as st
from frontends.x86.flags import condition
from frontends.x86.lift import Insn, lifts
from frontends.x86.simd import lift_simd
from jitrr.microops.table import P_HERE, Imm, row

MOVS, STOS, LODS, SCAS, CMPS = range(5)
RF = 1 << 16
RAX, RCX, RSI, RDI = st.gpr(0), st.gpr(1), st.gpr(6), st.gpr(7)
OPERATIONS = {"movs": MOVS, "stos": STOS, "lods": LODS, "scas": SCAS, "cmps": CMPS}
SIZES = {"b": 8, "w": 16, "d": 32, "q": 64}
NAMES = [name + size for name in OPERATIONS for size in SIZES]


def describe(
    op: int, bits: int, address_bits: int, repne: bool, source: int, target: int, checked: bool, single: bool
) -> int:
    """What strings.rep_string is told in a cell: operation, element and address size, segments whose base counts
    (or -1), whether limits are checked, whether to do one iteration only."""
    size = (bits // 8).bit_length() - 1
    width = {16: 0, 32: 1, 64: 2}[address_bits]
    flags = int(repne) | int(checked) << 1 | int(single) << 2
    return op | size << 4 | width << 8 | (source + 1) << 12 | (target + 1) << 16 | flags << 20


def _advance(e: Any, w: int, a: str, by: str) -> str:
    """The next element's offset, in the direction of DF."""
    down = e.icmp("ne", 64, e.bin("and", 64, e.get("eflags"), st.DF), 0)
    return e.select(down, w, e.bin("sub", w, a, by), e.bin("add", w, a, by))


def _repeat(e: Any, what: str) -> None:
    """Iterations beyond the first are charged here; the block's head has charged one."""
    extra = e.helper("rep_string", what, e.ic)
    e.ic = e.bin("sub", 64, e.ic, extra)


def _more(e: Any, w: int, count: str, wanted: str | None) -> str:
    more = e.icmp("ne", w, count, 0)
    return e.bin("and", 1, more, condition(e, wanted)) if wanted else str(more)


def resume_again(e: Any, more: str) -> None:
    """RF is set between two iterations, and so an instruction breakpoint ends none but the first (SDM volume 3,
    17.3.1.1)."""
    e.set("eflags", e.bin("or", 64, e.get("eflags"), e.select(more, 64, RF, 0)))


for _w in (16, 32, 64):
    row(f"x86_advance{_w}", f"d{_w} <- a{_w} i{_w}", lambda e, a, i, w=_w: _advance(e, w, a, i))
    for _name, _wanted in (("", None), ("z", "z"), ("nz", "nz")):
        row(f"x86_repeat{_name}{_w}", f"a{_w}", lambda e, a, w=_w, c=_wanted: _more(e, w, a, c), kind="branch")
        row(f"x86_resume{_name}{_w}", f"a{_w}",
            lambda e, a, w=_w, c=_wanted: resume_again(e, _more(e, w, a, c)), cold=True)  # fmt: skip
row("x86_rep", "i64", _repeat, cold=True)


@lifts(*NAMES)
def string(i: Insn) -> None:
    """MOVS, STOS, LODS, SCAS, CMPS; MOVSD and CMPSD are SSE instructions too."""
    if i.cs.opcode[0] == 0x0F:
        lift_simd(i)
    elif i.rep or i.repne:
        repeated(i)
    else:
        once(i)


def repeated(i: Insn) -> None:
    """With REP, REPE or REPNE."""
    op, w = OPERATIONS[i.name[:4]], SIZES[i.name[4]]
    unlimited = i.bits == 64 or i.flat
    source, target = _base(i, i.data_segment()), _base(i, st.ES)
    single = bool(i.mode & st.MODE_TRAP)
    i.emit("x86_rep", imm=describe(op, w, i.address_bits, i.repne, source, target, not unlimited, single))
    compares = ("nz" if i.repne else "z") if op in (SCAS, CMPS) else ""
    if single:
        i.emit(f"x86_resume{compares}{i.address_bits}", 0, RCX)
    i.emit(f"x86_repeat{compares}{i.address_bits}", 0, RCX)
    i.goto(i.next(), i.bits)
    i.goto(Imm(0, P_HERE), i.bits)


def _base(i: Insn, segment: int) -> int:
    """Segment whose base counts, or -1."""
    if segment in (st.FS, st.GS) or (i.bits != 64 and not i.flat):
        return segment
    return -1


def once(i: Insn) -> None:
    """Without REP: all accesses first, then the pointers move."""
    name, w = i.name[:4], SIZES[i.name[4]]
    if name == "movs":
        t = i.temp()
        _load(i, t, w, i.data_segment(), RSI)
        _store(i, t, w)
        _move(i, w, RSI, RDI)
    elif name == "stos":
        _store(i, RAX, w)
        _move(i, w, RDI)
    elif name == "lods":
        _load(i, RAX, w, i.data_segment(), RSI)
        _move(i, w, RSI)
    elif name == "scas":
        t = i.temp()
        _load(i, t, w, st.ES, RDI)
        i.emit(f"x86_cmp{w}", 0, RAX, t)
        _move(i, w, RDI)
    else:
        first, second = i.temp(), i.temp()
        _load(i, second, w, st.ES, RDI)  # the order in which AMD processors fault
        _load(i, first, w, i.data_segment(), RSI)
        i.emit(f"x86_cmp{w}", 0, first, second)
        _move(i, w, RSI, RDI)


def _at(i: Insn, w: int, segment: int, register: int, write: bool) -> tuple[int, Imm]:
    offset = register
    if i.address_bits != 64:
        offset = i.temp()
        i.emit(f"ea{i.address_bits}", offset, register)
    return i.segmented(segment, offset, Imm(), w // 8, write)


def _load(i: Insn, target: int, w: int, segment: int, register: int) -> None:
    base, disp = _at(i, w, segment, register, False)
    i.emit(f"ld{w}", target, base, imm=disp)


def _store(i: Insn, source: int, w: int) -> None:
    base, disp = _at(i, w, st.ES, RDI, True)
    i.emit(f"st{w}", 0, base, source, imm=disp)


def _move(i: Insn, w: int, *registers: int) -> None:
    for register in registers:
        i.emit(f"x86_advance{i.address_bits}", register, register, imm=w // 8)
