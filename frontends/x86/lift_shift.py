"""Shifts and rotates: SHL, SHR, SAR, ROL, ROR, RCL, RCR, SHLD, SHRD."""

from __future__ import annotations

import frontends.x86.ops_shift  # noqa: F401
from frontends.x86 import state as st
from frontends.x86.lift import Insn, lifts
from jitrr.microops.table import P_STACK, Imm

RCX = st.gpr(1)


def _count(i: Insn, n: int, w: int) -> int | None:
    """A constant count after masking, or None for CL."""
    return i.ops[n].imm & (63 if w == 64 else 31) if i.is_imm(n) else None


def _unchanged(i: Insn, w: int) -> None:
    """A count of 0: nothing but the zero-extension of a 32-bit register; memory is read and written."""
    if i.is_reg(0):
        i.emit(f"mov{w}", i.reg(0), i.reg(0))
        return
    base, disp = i.address(0, write=True)
    t = i.temp()
    i.emit(f"ldrmw{w}", t, base, imm=disp)
    i.emit(f"st{w}", 0, base, t, imm=disp)


def _count_register(i: Insn, count: int | None) -> int:
    """A register that holds the count."""
    if count is None:
        return RCX
    t = i.temp()
    i.emit("movi64", t, imm=count)
    return t


@lifts("shl", "sal", "shr", "sar", "rol", "ror", "rcl", "rcr")
def shift(i: Insn) -> None:
    """Shifts and rotates by a constant (part of the template's key) or CL."""
    name, w = f"x86_{'shl' if i.name == 'sal' else i.name}", i.width(0)
    count = _count(i, 1, w)
    if count == 0:
        _unchanged(i, w)
    elif i.is_mem(0):
        amount = _count_register(i, count)
        base, disp = i.address(0, write=True)
        t = i.temp()
        i.emit(f"ldrmw{w}", t, base, imm=disp)
        i.emit(f"{name}st{w}", 0, base, t, amount, imm=disp)
    elif count is None:
        i.emit(f"{name}{w}", i.reg(0), i.reg(0), RCX)
    else:
        i.emit(f"{name}{w}i", i.reg(0), i.reg(0), imm=count)


@lifts("shld", "shrd")
def double(i: Insn) -> None:
    """SHLD, SHRD."""
    w = i.width(0)
    count = _count(i, 2, w)
    if count == 0:
        _unchanged(i, w)
        return
    amount = _count_register(i, count)
    if i.is_reg(0):
        i.emit(f"x86_{i.name}{w}", i.reg(0), i.reg(0), i.reg(1), amount)
        return
    base, disp = i.address(0, write=True)
    at, t = i.temp(), i.temp()
    i.emit("add64i", at, base, imm=disp)
    stack = Imm(0, disp.patch & P_STACK)
    i.emit(f"ldrmw{w}", t, at, imm=stack)
    i.emit(f"x86_{i.name}st{w}", amount, at, t, i.reg(1), imm=stack)
