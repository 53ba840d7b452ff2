"""System instructions: program status registers, mode changes, exception calls and returns (DDI 0406C, B9.3).

Most do their work in a native helper, through a row that is never compiled into a region; what a kernel does all the
time (CPS and MSR that change nothing but masks, MRS) is plain rows.
"""

from __future__ import annotations

from typing import Any

from frontends.arm import state as st
from frontends.arm.flags import nzcv, set_mode_bits, set_nzcv
from frontends.arm.lift import Insn, Undefined
from frontends.arm.patterns import Fields, a32, t32
from frontends.arm.vectors import DEBUG_LONG, DEBUG_SHORT, ENTRY_BKPT, EXC_PABORT, EXC_SVC
from jitrr.engine.exits import Exit
from jitrr.microops.table import row

MASK32 = 0xFFFFFFFF
#: Fields of MSR: control, extension, status, flags.
F_CONTROL, F_EXTENSION, F_STATUS, F_FLAGS = 1, 2, 4, 8


def privileged(i: Insn) -> None:
    """Undefined in user mode."""
    if i.user:
        raise Undefined


# -- exceptions -------------------------------------------------------------------------------------------------------
def _breakpoint(e: Any) -> None:
    long_format = e.icmp("ne", 64, e.bin("and", 64, e.get("ttbcr"), 1 << 31), 0)
    status = e.select(long_format, 64, DEBUG_LONG, DEBUG_SHORT)
    e.raise_if("true", EXC_PABORT, e.bin("or", 64, status, ENTRY_BKPT << 32))


row("arm_svc", "", lambda e: e.raise_if("true", EXC_SVC), cold=True)
row("arm_bkpt", "", _breakpoint, cold=True)
#: First of every instruction under MODE_DEBUG.
row("arm_debug", "", lambda e: e.helper("debug_before", e.pc_here()) and None, cold=True)
row("arm_firmware", "", lambda e: e.helper("firmware"), cold=True)


@a32("cccc 1111 iiii iiii iiii iiii iiii iiii", "svc")
@t32("1101 1111 iiii iiii", "svc")
def svc(i: Insn) -> None:
    """SVC."""
    i.emit("arm_svc")
    i.sync()


@a32("1110 0001 0010 iiii iiii iiii 0111 iiii", "bkpt")
@t32("1011 1110 iiii iiii", "bkpt")
def bkpt(i: Insn) -> None:
    """BKPT: there is no debugger."""
    i.emit("arm_bkpt")
    i.sync()


@a32("1110 0001 0100 iiii iiii iiii 0111 iiii", "hvc")
@t32("1111 0111 1110 iiii 1000 iiii iiii iiii", "hvc", bad=lambda f: 0)
def hvc(i: Insn) -> None:
    """HVC: without the Virtualization Extensions, a call of the firmware (PSCI)."""
    privileged(i)
    i.emit("arm_firmware")
    i.sync()


# -- program status registers -----------------------------------------------------------------------------------------
def _read_cpsr(e: Any) -> str:
    """CPSR without IT, J and T."""
    fields = e.bin("or", 64, e.bin("or", 64, e.get("qf"), e.get("ge")), e.get("cpsr"))
    return str(e.bin("or", 32, nzcv(e), e.trunc(64, fields, 32)))


def _write_flags(e: Any, a: str) -> None:
    set_nzcv(e, a)
    e.set("qf", e.zext(32, e.bin("and", 32, a, st.QBIT)))


def _same_mode(e: Any, a: str, i: str) -> str:
    changed = e.bin("xor", 64, e.get("cpsr"), a)
    return str(e.icmp("eq", 64, e.bin("and", 64, changed, 0x1F), 0))


def _write_masks(e: Any, a: str) -> None:
    masks = st.I | st.F
    e.set("cpsr", e.bin("or", 64, e.bin("and", 64, e.get("cpsr"), ~masks), e.bin("and", 64, a, masks)))


row("arm_mrs", "d32 <-", _read_cpsr)
row("arm_msr_flags", "a32", _write_flags)
row("arm_msr_ge", "a64", lambda e, a: e.set("ge", e.bin("and", 64, a, 0xF0000)))
#: Leave out cells if the mode in a is the current one; then I and F from a.
row("arm_same_mode", "a64 i64", _same_mode, kind="skip")
row("arm_msr_masks", "a64", _write_masks)
#: Any fields (i) of CPSR, of SPSR.
row("arm_msr_cpsr", "a64 i64", lambda e, a, i: e.helper("write_cpsr", a, i), cold=True)
row("arm_msr_spsr", "a64 i64", lambda e, a, i: e.helper("write_spsr", a, i), cold=True)
row("arm_mrs_spsr", "d32 <-", lambda e: e.trunc(64, e.helper("read_spsr"), 32), cold=True)
#: Bits of CPSR on, off.
row("arm_mask", "i64", lambda e, i: e.set("cpsr", e.bin("or", 64, e.get("cpsr"), i)))
row("arm_unmask", "i64", lambda e, i: e.set("cpsr", e.bin("and", 64, e.get("cpsr"), e.bin("xor", 64, i, -1))))


@a32("cccc 0001 0r00 1111 dddd 0000 0000 0000", "mrs", bad=lambda f: f["d"] == 15)
@t32("1111 0011 111r 1111 1000 dddd 0000 0000", "mrs", bad=lambda f: f["d"] in (13, 15))
def mrs(i: Insn) -> None:
    """MRS."""
    if i["r"]:
        privileged(i)
    i.emit("arm_mrs_spsr" if i["r"] else "arm_mrs", st.gpr(i["d"]))


def _no_fields(f: Fields) -> bool:
    return f["f"] == 0 or f.get("n") == 15


@a32("cccc 0001 0r10 ffff 1111 0000 0000 nnnn", "msr", bad=_no_fields)
@t32("1111 0011 100r nnnn 1000 ffff 0000 0000", "msr", bad=lambda f: _no_fields(f) or f["n"] == 13)
def msr(i: Insn) -> None:
    """MSR from a register."""
    _msr(i, st.gpr(i["n"]))


@a32("cccc 0011 0r10 ffff 1111 kkkk iiii iiii", "msr_imm", capstone="msr", bad=_no_fields)
def msr_imm(i: Insn) -> None:
    """MSR from an immediate."""
    t, by = i.temp(), 2 * i["k"]
    i.emit("movi32", t, imm=(i["i"] >> by | i["i"] << 32 - by) & MASK32)
    _msr(i, t)


def _msr(i: Insn, source: int) -> None:
    fields = i["f"]
    if i["r"]:
        privileged(i)
        i.emit("arm_msr_spsr", 0, source, imm=fields)
        return
    if i.user:
        fields &= ~F_CONTROL
    if fields & F_EXTENSION:
        i.emit("arm_msr_cpsr", 0, source, imm=fields)
        i.sync()
        return
    if fields & F_FLAGS:
        i.emit("arm_msr_flags", 0, source)
    if fields & F_STATUS:
        i.emit("arm_msr_ge", 0, source)
    if fields & F_CONTROL:
        # The source may be banked, and is not what it was after a change of mode.
        t = i.temp()
        i.emit("mov64", t, source)
        i.emit("arm_same_mode", 0, t, imm=1)
        i.emit("arm_msr_cpsr", 0, t, imm=F_CONTROL)
        i.emit("arm_msr_masks", 0, t)
        i.sync()


def _bad_cps(f: Fields) -> bool:
    changes, masks = f["e"] >> 1, f["a"]
    return f["e"] == 1 or (f["e"] == 0 and not f["m"]) or bool(changes) != bool(masks) or (not f["m"] and f["o"] != 0)


@a32("1111 0001 0000 eem0 0000 000a aa0o oooo", "cps", capstone="cpsie cpsid cps", bad=_bad_cps)
@t32("1111 0011 1010 1111 1000 0eem aaao oooo", "cps", capstone="cpsie cpsid cps", bad=_bad_cps)
def cps(i: Insn) -> None:
    """CPS."""
    _cps(i, i["e"], i["a"], i["o"] if i["m"] else None)


@t32("1011 0110 011e 0aaa", "cps_narrow", capstone="cpsie cpsid", bad=lambda f: f["a"] == 0)
def cps_narrow(i: Insn) -> None:
    """CPS, 16 bits."""
    _cps(i, 2 | i["e"], i["a"], None)


def _cps(i: Insn, change: int, masks: int, mode: int | None) -> None:
    """``masks``: A, I, F as CPSR has them six bits further up."""
    if i.in_it:
        raise Undefined
    if i.user:
        return
    bits = masks << 6
    if change == 3:
        i.emit("arm_mask", imm=bits)
    elif change == 2:
        i.emit("arm_unmask", imm=bits)
        if mode is None:
            i.sync()
    if mode is not None:
        t = i.temp()
        i.emit("and32i", t, st.CPSR, imm=~0x1F)
        i.emit("or32i", t, t, imm=mode)
        i.emit("arm_msr_cpsr", 0, t, imm=F_CONTROL)
        i.sync()


# -- endianness, waiting ----------------------------------------------------------------------------------------------
def _set_endianness(e: Any, i: str) -> None:
    """E := i (0 or 1)."""
    e.set("cpsr", e.bin("or", 64, e.bin("and", 64, e.get("cpsr"), ~st.E), e.bin("mul", 64, i, st.E)))
    set_mode_bits(e, st.MODE_BIG, e.bin("mul", 64, i, st.MODE_BIG))


row("arm_setend", "i64", _set_endianness)


@a32("1111 0001 0000 0001 0000 00e0 0000 0000", "setend")
@t32("1011 0110 0101 e000", "setend")
def setend(i: Insn) -> None:
    """SETEND."""
    if i.in_it:
        raise Undefined
    i.emit("arm_setend", imm=i["e"])
    i.sync()


@a32("cccc 0011 0010 0000 1111 0000 0000 0010", "wfe")
@t32("1011 1111 0010 0000", "wfe")
@t32("1111 0011 1010 1111 1000 0000 0000 0010", "wfe")
def wfe(i: Insn) -> None:
    """WFE: it may always end at once, and does; what is waited for is another processor's to do."""
    i.emit("alone", imm=1)
    i.emit("yield")


@a32("cccc 0011 0010 0000 1111 0000 0000 0011", "wfi")
@t32("1011 1111 0011 0000", "wfi")
@t32("1111 0011 1010 1111 1000 0000 0000 0011", "wfi")
def wfi(i: Insn) -> None:
    """WFI."""
    i.leave(int(Exit.HALT))
