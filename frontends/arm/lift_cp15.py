"""MCR, MRC, MCRR, MRRC of coprocessors 15 and 14: what cp15.py says of each register, as micro-ops."""

from __future__ import annotations

from typing import Any

from frontends.arm import cp15, cpuid
from frontends.arm import state as st
from frontends.arm.cp15 import MASK32, Register
from frontends.arm.lift import Insn, Undefined
from frontends.arm.patterns import Fields, a32, t32
from frontends.arm.vectors import EXC_UNDEF
from jitrr.microops.table import row

CP15BEN, UDCCDIS = 1 << 5, 1 << 12
WIDE_FIELDS = (st.TTBR0, st.TTBR1, st.PAR)


def _undefined_unless(e: Any, field: str, bits: str | int) -> None:
    e.raise_if(e.icmp("eq", 64, e.bin("and", 64, e.get(field), bits), 0), EXC_UNDEF)


def _comms_allowed(e: Any) -> None:
    e.raise_if(e.icmp("ne", 64, e.bin("and", 64, e.get("dbgdscr"), UDCCDIS), 0), EXC_UNDEF)


def _ccsidr(e: Any) -> str:
    value, selected = "0", e.get("csselr")
    for number, here in cpuid.CCSIDR.items():
        value = e.select(e.icmp("eq", 64, selected, number), 64, here, value)
    return str(value)


def _counter(e: Any) -> str:
    nanoseconds = e.bin("shl", 64, e.icount_here(), e.get("time_shift"))
    return str(e.bin("lshr", 64, nanoseconds, cpuid.COUNTER_SHIFT))


def _write(e: Any, a: str, i: str) -> None:
    what, wide = e.bin("and", 64, i, 255), e.bin("lshr", 64, i, 8)
    e.helper("cp15_write", what, a, wide)


#: A write with consequences: i = W_*, and 256 for all 64 bits.
row("arm_cp15_write", "a64 i64", _write, cold=True)
row("arm_ccsidr", "d64 <-", _ccsidr, cold=True)
row("arm_counter", "d64 <-", _counter)
row("arm_timer_read", "d64 <- i64", lambda e, i: e.helper("timer_read", i), cold=True)
row("arm_timer_write", "a64 i64", lambda e, a, i: e.helper("timer_write", i, a), cold=True)
#: Undefined unless CNTKCTL has one of these bits, if DBGDSCR.UDCCdis is set, unless SCTLR.CP15BEN is set.
row("arm_timer_allowed", "i64", lambda e, i: _undefined_unless(e, "cntkctl", i))
row("arm_comms_allowed", "", _comms_allowed, cold=True)
row("arm_barrier_allowed", "", lambda e: _undefined_unless(e, "sctlr", CP15BEN), cold=True)
#: d = b:a
row("arm_join", "d64 <- a32 b32", lambda e, a, b: e.bin("or", 64, e.zext(32, a), e.bin("shl", 64, e.zext(32, b), 32)))
#: The low half of d.
row("arm_low_word", "d64 <- a32 b64", lambda e, a, b: e.bin("or", 64, e.zext(32, a), e.bin("and", 64, b, -1 << 32)))


def _register(i: Insn, registers: dict[Any, Register], key: tuple[int, ...], access: str) -> Register:
    found = registers.get(key)
    if found is None or access not in (found.user if i.user else found.access):
        raise Undefined
    if i.user and found.enable:
        i.emit("arm_timer_allowed", imm=found.enable)
    if i.user and found.comms:
        i.emit("arm_comms_allowed")
    return found


def _read(i: Insn, register: Register) -> int:
    """CPU block offset of the value, 64 bits."""
    if register.field is not None:
        return register.field
    t = i.temp()
    if register.timer != -1:
        i.emit("arm_timer_read", t, imm=register.timer)
    elif register.kind == "isr":
        i.emit("and64i", t, st.LAYOUT["irq"], imm=st.I | st.F)
    elif register.kind:
        i.emit(f"arm_{register.kind}", t)
    else:
        i.emit("movi64", t, imm=register.value)
    return t


def _store(i: Insn, register: Register, source: int, wide: bool) -> None:
    if register.timer != -1:
        i.emit("arm_timer_write", 0, source, imm=register.timer)
    elif register.write:
        i.emit("arm_cp15_write", 0, source, imm=register.write | (256 if wide else 0))
        i.sync()
    elif register.kind == "barrier":
        i.emit("arm_barrier_allowed")
    elif register.field is not None:
        if wide:
            i.emit("mov64", register.field, source)
        elif register.field in WIDE_FIELDS:
            i.emit("arm_low_word", register.field, source, register.field)
        else:
            i.emit("and32i", register.field, source, imm=register.mask & MASK32)


def _pc(f: Fields) -> bool:
    return f["t"] == 15


def _sp_or_pc(f: Fields) -> bool:
    return f["t"] in (13, 15)


@a32("cccc 1110 ooo1 nnnn tttt 1111 ppp1 mmmm", "mrc", bad=_pc)
@t32("1110 1110 ooo1 nnnn tttt 1111 ppp1 mmmm", "mrc", bad=_sp_or_pc)
def mrc(i: Insn) -> None:
    """MRC of CP15."""
    register = _register(i, cp15.CP15, (i["n"], i["o"], i["m"], i["p"]), "r")
    i.emit("mov32", st.gpr(i["t"]), _read(i, register))


@a32("cccc 1110 ooo0 nnnn tttt 1111 ppp1 mmmm", "mcr", bad=_pc)
@t32("1110 1110 ooo0 nnnn tttt 1111 ppp1 mmmm", "mcr", bad=_sp_or_pc)
def mcr(i: Insn) -> None:
    """MCR of CP15."""
    register = _register(i, cp15.CP15, (i["n"], i["o"], i["m"], i["p"]), "w")
    _store(i, register, st.gpr(i["t"]), False)


@a32("cccc 1110 ooo1 nnnn tttt 1110 ppp1 mmmm", "mrc_14", bad=_pc)
@t32("1110 1110 ooo1 nnnn tttt 1110 ppp1 mmmm", "mrc_14", bad=_sp_or_pc)
def mrc_14(i: Insn) -> None:
    """MRC of CP14."""
    register = _register(i, cp15.CP14, (i["n"], i["o"], i["m"], i["p"]), "r")
    i.emit("mov32", st.gpr(i["t"]), _read(i, register))


@a32("cccc 1110 ooo0 nnnn tttt 1110 ppp1 mmmm", "mcr_14", bad=_pc)
@t32("1110 1110 ooo0 nnnn tttt 1110 ppp1 mmmm", "mcr_14", bad=_sp_or_pc)
def mcr_14(i: Insn) -> None:
    """MCR of CP14."""
    register = _register(i, cp15.CP14, (i["n"], i["o"], i["m"], i["p"]), "w")
    _store(i, register, st.gpr(i["t"]), False)


def _bad_pair(f: Fields) -> bool:
    return f["t"] == 15 or f["s"] == 15


@a32("cccc 1100 0101 ssss tttt 1111 oooo mmmm", "mrrc", bad=lambda f: _bad_pair(f) or f["t"] == f["s"])
@t32("1110 1100 0101 ssss tttt 1111 oooo mmmm", "mrrc",
     bad=lambda f: _bad_pair(f) or f["t"] == f["s"] or 13 in (f["t"], f["s"]))  # fmt: skip
def mrrc(i: Insn) -> None:
    """MRRC of CP15."""
    value = _read(i, _register(i, cp15.CP15_WIDE, (i["m"], i["o"]), "r"))
    high = i.temp()
    i.emit("lshr64i", high, value, imm=32)
    i.emit("mov32", st.gpr(i["t"]), value)
    i.emit("mov32", st.gpr(i["s"]), high)


@a32("cccc 1100 0100 ssss tttt 1111 oooo mmmm", "mcrr", bad=_bad_pair)
@t32("1110 1100 0100 ssss tttt 1111 oooo mmmm", "mcrr", bad=lambda f: _bad_pair(f) or 13 in (f["t"], f["s"]))
def mcrr(i: Insn) -> None:
    """MCRR of CP15."""
    register = _register(i, cp15.CP15_WIDE, (i["m"], i["o"]), "w")
    t = i.temp()
    i.emit("arm_join", t, st.gpr(i["t"]), st.gpr(i["s"]))
    _store(i, register, t, True)
