"""Near jumps, calls and returns, LOOP, BOUND, and the instructions that do nothing here."""

from __future__ import annotations

from typing import Any

import frontends.x86.ops_integer
import frontends.x86.ops_stack  # noqa: F401
from frontends.x86 import state as st
from frontends.x86.flags import condition
from frontends.x86.lift import Insn, Undefined, lifts, on_stack
from frontends.x86.lift_integer import condition_of, conditions
from jitrr.microops.table import row

RCX, RSP = st.gpr(1), st.gpr(4)


def _counted(e: Any, w: int, count: str, wanted: str | None) -> str:
    more = e.icmp("ne", w, count, 0)
    return e.bin("and", 1, more, condition(e, wanted)) if wanted else str(more)


for _w in (16, 32, 64):
    row(f"x86_jcxz{_w}", f"a{_w}", lambda e, a, w=_w: e.icmp("eq", w, a, 0), kind="branch")
    for _name, _wanted in (("loop", None), ("loope", "z"), ("loopne", "nz")):
        row(f"x86_{_name}{_w}", f"a{_w}", lambda e, a, w=_w, c=_wanted: _counted(e, w, a, c), kind="branch")
row("x86_touch", "a64 i64", lambda e, a, i: e.helper("probe_read", e.bin("add", 64, a, i)) and None, cold=True)


def flow_width(i: Insn) -> int:
    """Bits of the instruction pointer that a near branch sets; 64-bit mode has one size only."""
    return 64 if i.bits == 64 else i.operand_bits


def branch(i: Insn) -> None:
    """The two exits behind a branch row: next instruction, target."""
    i.goto(i.next(), i.bits)
    i.goto(i.target())


def target_register(i: Insn, w: int) -> int:
    """A register with the zero-extended indirect target; it survives a push."""
    source = i.read(0, w)
    if w == 64 and source != RSP:
        return source
    t = i.temp()
    i.emit("mov64" if w == 64 else f"zx{w}_64", t, source)
    return t


def jump(i: Insn, register: int) -> None:
    """pc := register."""
    i.emit("jump", 0, register)
    i.ends = True


@lifts("jmp")
def jmp(i: Insn) -> None:
    """JMP near, relative or indirect."""
    if i.is_imm(0):
        i.goto(i.target())
        return
    register = target_register(i, flow_width(i))
    if i.bits == 64:
        i.emit("x86_target", 0, register)
    jump(i, register)


@lifts(*conditions("j"))
def jcc(i: Insn) -> None:
    """Jcc."""
    i.emit(f"x86_j{condition_of(i, 'j')}")
    branch(i)


@lifts("loop", "loope", "loopne")
def loop(i: Insn) -> None:
    """LOOP, LOOPE, LOOPNE: the count is as wide as addresses."""
    w = i.address_bits
    i.emit(f"sub{w}i", RCX, RCX, imm=1)
    i.emit(f"x86_{i.name}{w}", 0, RCX)
    branch(i)


@lifts("jcxz", "jecxz", "jrcxz")
def jcxz(i: Insn) -> None:
    """JCXZ, JECXZ, JRCXZ."""
    i.emit(f"x86_jcxz{i.address_bits}", 0, RCX)
    branch(i)


@lifts("call")
def call(i: Insn) -> None:
    """CALL near, relative or indirect (whose target is read before the push)."""
    w = flow_width(i)
    register = None if i.is_imm(0) else target_register(i, w)
    if i.bits == 64 and register is not None:
        i.emit("x86_callto", 0, register, imm=on_stack(i.next()))
    elif i.flat_stack:
        i.emit(f"x86_call{w}s{i.stack_bits}", imm=on_stack(i.next()))
    else:
        t = i.temp()
        i.emit("pcrel32", t, imm=i.next())
        i.push(t, w)
    if register is None:
        i.goto(i.target())
    else:
        jump(i, register)


@lifts("ret")
def ret(i: Insn) -> None:
    """RET near, with or without bytes to drop."""
    w, t = flow_width(i), i.temp()
    drop = i.imm() if i.ops else 0
    if i.bits == 64:
        i.emit("x86_ret64", t, imm=on_stack(drop))
    elif i.flat_stack:
        i.emit(f"x86_pop{w}s{i.stack_bits}", t, imm=on_stack(drop))
    else:
        i.pop(t, w)
        i.popped(w, drop)
    if w == 16:
        i.emit("zx16_64", t, t)
    jump(i, t)


@lifts("bound")
def bound(i: Insn) -> None:
    """BOUND: #BR unless the register lies between two words in memory."""
    w = i.width(0)
    base, disp = i.address(1, w // 4)
    lower, upper = i.temp(), i.temp()
    i.emit(f"ld{w}", lower, base, imm=disp)
    i.emit(f"ld{w}", upper, base, imm=disp + w // 8)
    i.emit(f"x86_bound{w}", 0, i.reg(0), lower, upper)


@lifts(
    "nop", "endbr32", "endbr64", "lfence", "mfence", "sfence", "prefetch", "prefetchw", "prefetchwt1",
    "prefetchnta", "prefetcht0", "prefetcht1", "prefetcht2", "cldemote", "rdsspd", "rdsspq", "bndcl", "bndcn", "bndcu",
    "bndldx", "bndmk", "bndmov", "bndstx",
)  # fmt: skip
def nop(i: Insn) -> None:
    """Hints, fences (memory is always in order) and the reserved NOPs of features that are not announced."""
    i.emit("x86_nop")


@lifts("pause")
def pause(i: Insn) -> None:
    """PAUSE: what is waited for is another processor's to do."""
    i.emit("alone", imm=1)
    i.emit("yield")


@lifts("clflush")
def clflush(i: Insn) -> None:
    """CLFLUSH: faults as a load of a byte does; there is no cache to flush."""
    base, disp = i.address(0, 1)
    i.emit("x86_touch", 0, base, imm=disp)


#: Features without a group in Capstone that CPUID does not announce: MOVBE, SMAP, SGX, CET, GFNI, XSAVE, PKU and so on.
UNANNOUNCED = """
movbe clac stac clzero encls enclu enclv gf2p8affineinvqb gf2p8affineqb gf2p8mulb incsspd incsspq clrssbsy setssbsy
rstorssp saveprevssp wrssd wrssq wrussd wrussq invpcid montmul xsha1 xsha256 xstore xcryptcbc xcryptcfb xcryptctr
xcryptecb xcryptofb movdir64b movdiri pconfig ptwrite rdpid rdseed rdpkru wrpkru tpause umonitor umwait vmread vmwrite
clflushopt clwb xrstor xrstor64 xrstors xrstors64 xsave xsave64 xsavec xsavec64 xsaveopt xsaveopt64 xsaves xsaves64
xtest
"""


@lifts("ud0", "ud1", *UNANNOUNCED.split())
def undefined(i: Insn) -> None:
    """#UD on purpose, or of what this processor is not announced to have."""
    raise Undefined
