"""Integer data movement and arithmetic: MOV, LEA, XCHG, CMOVcc, SETcc, the ALU group, CMPXCHG, XADD, the stack."""

from __future__ import annotations

from capstone import x86 as cx

import frontends.x86.ops_integer
import frontends.x86.ops_stack  # noqa: F401
from frontends.x86 import state as st
from frontends.x86.flags import CONDITIONS, OPERATIONS
from frontends.x86.lift import SEGMENTS, Insn, lifts, on_stack
from jitrr.microops.table import Imm

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = (st.gpr(n) for n in range(8))
#: Capstone's names of condition codes that have several.
CONDITION_NAMES = {"e": "z", "ne": "nz"}


def conditions(prefix: str) -> list[str]:
    """Capstone's names of an instruction that exists for all conditions."""
    return [prefix + {v: k for k, v in CONDITION_NAMES.items()}.get(c, c) for c in CONDITIONS]


def condition_of(i: Insn, prefix: str) -> str:
    """The condition (flags.CONDITIONS) in an instruction's name."""
    name = i.name[len(prefix) :]
    return CONDITION_NAMES.get(name, name)


def result_register(i: Insn) -> int:
    """The scratch register or operand that a result for operand 0 goes to before :func:`put`."""
    return i.reg(0) if i.is_reg(0) else i.temp()


# -- moves -----------------------------------------------------------------------------------------------------------


@lifts("mov", "movabs")
def mov(i: Insn) -> None:
    """MOV between registers, memory and immediates."""
    w = i.width(0)
    if not i.is_reg(0):
        i.write(0, i.read(1, w), w)
    elif i.is_imm(1):
        i.emit(f"movi{w}", i.reg(0), imm=i.imm())
    elif i.is_reg(1):
        i.emit(f"mov{w}", i.reg(0), i.reg(1))
    else:
        base, disp = i.address(1, w // 8)
        i.emit(f"ld{w}", i.reg(0), base, imm=disp)


@lifts("movnti")
def movnti(i: Insn) -> None:
    """MOVNTI: a plain store."""
    i.write(0, i.reg(1))


@lifts("movzx", "movsx", "movsxd")
def extend(i: Insn) -> None:
    """MOVZX, MOVSX, MOVSXD."""
    to, source, sign = i.width(0), i.width(1), "z" if i.name == "movzx" else "s"
    if i.is_reg(1):
        i.emit(f"mov{to}" if to <= source else f"{sign}x{source}_{to}", i.reg(0), i.reg(1))
        return
    base, disp = i.address(1)
    i.emit(f"ld{to}" if to <= source else f"ld{source}{sign}{to}", i.reg(0), base, imm=disp)


@lifts("lea")
def lea(i: Insn) -> None:
    """LEA: the offset, without segment, cut to the operand size."""
    w = i.width(0)
    if w == 32 and i.address_bits == 64:
        i.address_bits = 32
    before = len(i.uops)
    base, disp = i.effective(1)
    if w == 16:
        t = i.temp()
        i.emit("ea64", t, base, imm=disp)
        i.emit("mov16", i.reg(0), t)
    elif len(i.uops) > before:
        i.uops[-1].d = i.reg(0)
    else:
        i.emit("ea64", i.reg(0), base, imm=disp)


@lifts("xchg", lockable=True)
def xchg(i: Insn) -> None:
    """XCHG; with memory it is always locked."""
    w = i.width(0)
    t = i.temp()
    memory = 0 if i.is_mem(0) else 1
    other = i.reg(1 - memory)
    if i.is_reg(0) and i.is_reg(1):
        i.emit(f"mov{w}", t, i.reg(0))
        i.emit(f"mov{w}", i.reg(0), i.reg(1))
        i.emit(f"mov{w}", i.reg(1), t)
        return
    base, disp = i.address(memory, write=True)
    i.emit(f"ldrmw{w}", t, base, imm=disp)
    i.emit(f"st{w}", 0, base, other, imm=disp)
    i.emit(f"mov{w}", other, t)


@lifts("bswap")
def bswap(i: Insn) -> None:
    """BSWAP of 32 or 64 bits (16: the low half becomes zero, as the processors do)."""
    w = i.width(0)
    if w == 16:
        i.emit("movi16", i.reg(0), imm=0)
    else:
        i.emit(f"x86_bswap{w}", i.reg(0), i.reg(0))


@lifts(*conditions("cmov"))
def cmov(i: Insn) -> None:
    """CMOVcc: the source is read whatever the condition; a 32-bit destination is always zero-extended."""
    w = i.width(0)
    i.emit(f"x86_cmov{condition_of(i, 'cmov')}{w}", i.reg(0), i.reg(0), i.read(1, w))


@lifts(*conditions("set"))
def setcc(i: Insn) -> None:
    """SETcc."""
    t = result_register(i)
    i.emit(f"x86_set{condition_of(i, 'set')}", t)
    if i.is_mem(0):
        i.write(0, t)


@lifts("cbw", "cwde", "cdqe")
def widen_accumulator(i: Insn) -> None:
    """CBW, CWDE, CDQE: sign-extend AL, AX or EAX into the next size (Capstone's name is wrong in 16-bit code)."""
    i.emit(f"sx{i.operand_bits // 2}_{i.operand_bits}", RAX, RAX)


@lifts("cwd", "cdq", "cqo")
def widen_into_rdx(i: Insn) -> None:
    """CWD, CDQ, CQO: the accumulator's sign fills DX, EDX or RDX."""
    w = i.operand_bits
    i.emit(f"ashr{w}i", RDX, RAX, imm=w - 1)


@lifts("xlatb")
def xlat(i: Insn) -> None:
    """XLATB: AL from the table at DS:[rBX + AL]."""
    index, offset = i.temp(), i.temp()
    i.emit("zx8_64", index, RAX)
    i.emit(f"ea{i.address_bits}s0", offset, RBX, index)
    base, disp = i.segmented(i.data_segment(), offset, Imm(), 1, False)
    i.emit("ld8", RAX, base, imm=disp)


# -- arithmetic ------------------------------------------------------------------------------------------------------


@lifts(*OPERATIONS, lockable=True)
def operation(i: Insn) -> None:
    """ADD, ADC, SUB, SBB, AND, OR, XOR."""
    name, w = f"x86_{i.name}", i.width(0)
    if i.is_mem(0):
        source = i.read(1, w)
        base, disp = i.address(0, write=True)
        t = i.temp()
        i.emit(f"ldrmw{w}", t, base, imm=disp)
        i.emit(f"{name}st{w}", 0, base, t, source, imm=disp)
    elif i.is_imm(1):
        i.emit(f"{name}{w}i", i.reg(0), i.reg(0), imm=i.imm())
    elif i.is_reg(1):
        i.emit(f"{name}{w}", i.reg(0), i.reg(0), i.reg(1))
    else:
        base, disp = i.address(1)
        i.emit(f"{name}ld{w}", i.reg(0), i.reg(0), base, imm=disp)


@lifts("cmp", "test")
def compare(i: Insn) -> None:
    """CMP and TEST."""
    name, w = f"x86_{i.name}", i.width(0)
    if i.is_imm(1):
        i.emit(f"{name}{w}i", 0, i.read(0), imm=i.imm())
    elif i.is_reg(0) and i.is_reg(1):
        i.emit(f"{name}{w}", 0, i.reg(0), i.reg(1))
    else:
        memory = 0 if i.is_mem(0) else 1
        base, disp = i.address(memory)
        i.emit(f"{name}{'of' if memory == 0 else 'ld'}{w}", 0, i.reg(1 - memory), base, imm=disp)


@lifts("inc", "dec", "neg", "not", lockable=True)
def step(i: Insn) -> None:
    """INC, DEC, NEG, NOT."""
    w = i.width(0)
    if i.is_reg(0):
        i.emit(f"x86_{i.name}{w}", i.reg(0), i.reg(0))
        return
    base, disp = i.address(0, write=True)
    t = i.temp()
    i.emit(f"ldrmw{w}", t, base, imm=disp)
    i.emit(f"x86_{i.name}st{w}", 0, base, t, imm=disp)


@lifts("xadd", lockable=True)
def xadd(i: Insn) -> None:
    """XADD: the sum to the destination, the old destination to the source."""
    w = i.width(0)
    t = i.temp()
    if i.is_reg(0):
        i.emit(f"x86_add{w}", t, i.reg(0), i.reg(1))
        i.emit(f"mov{w}", i.reg(1), i.reg(0))
        i.emit(f"mov{w}", i.reg(0), t)
        return
    base, disp = i.address(0, write=True)
    i.emit(f"ldrmw{w}", t, base, imm=disp)
    i.emit(f"x86_addst{w}", 0, base, t, i.reg(1), imm=disp)
    i.emit(f"mov{w}", i.reg(1), t)


@lifts("cmpxchg", lockable=True)
def cmpxchg(i: Insn) -> None:
    """CMPXCHG: memory is written (with its own value) even when the comparison fails."""
    w = i.width(0)
    if i.is_reg(0):
        i.emit(f"x86_cmpxchg{w}", i.reg(0), i.reg(0), i.reg(1))
        return
    base, disp = i.address(0, write=True)
    t = i.temp()
    i.emit(f"ldrmw{w}", t, base, imm=disp)
    i.emit(f"x86_cmpxchgst{w}", 0, base, t, i.reg(1), imm=disp)


@lifts("cmpxchg8b", "cmpxchg16b", lockable=True)
def cmpxchg_pair(i: Insn) -> None:
    """CMPXCHG8B, CMPXCHG16B (which must be aligned)."""
    w = 128 if i.name == "cmpxchg16b" else 64
    base, disp = i.address(0, w // 8, write=True)
    old = st.V if w == 128 else i.temp()
    if w == 128:
        i.emit("x86_aligned16", 0, base, imm=disp)
    i.emit(f"ldrmw{w}", old, base, imm=disp)
    i.emit(f"x86_cmpxchgpair{w}", 0, base, old, imm=disp)


# -- stack -----------------------------------------------------------------------------------------------------------


def stack_width(i: Insn) -> int:
    """Operand size of PUSH, POP, near CALL and RET: 64 bits by default in 64-bit mode, and never 32 there."""
    if i.bits == 64:
        return 16 if i.opsize_prefix and not i.rex_w else 64
    return i.operand_bits


@lifts("push")
def push(i: Insn) -> None:
    """PUSH of a register, an immediate or memory (segment registers: see lift_system)."""
    w = stack_width(i)
    if i.is_imm(0) and i.flat_stack:
        i.emit(f"x86_push{w}s{i.stack_bits}i", imm=on_stack(i.imm()))
    else:
        i.push(i.read(0, w), w)


@lifts("push_seg")
def push_segment(i: Insn) -> None:
    """PUSH of a segment register, zero-extended."""
    i.push(st.SEG_SEL + 8 * SEGMENTS[i.ops[0].reg], stack_width(i))


@lifts("pop")
def pop(i: Insn) -> None:
    """POP to a register or to memory, whose address is formed with RSP already incremented."""
    w = stack_width(i)
    if i.is_reg(0):
        if i.flat_stack:
            i.emit(f"x86_pop{w}s{i.stack_bits}", i.reg(0), imm=on_stack())
            return
        t = i.temp()
        i.pop(t, w)
        i.popped(w)
        i.emit(f"mov{w}", i.reg(0), t)
        return
    t = i.temp()
    i.pop(t, w)
    from_stack = i.ops[0].mem.base in (cx.X86_REG_RSP, cx.X86_REG_ESP)
    base, disp = i.address(0, w // 8, write=True, extra=w // 8 if from_stack else 0)
    i.emit(f"st{w}", 0, base, t, imm=disp)
    i.popped(w)


@lifts("pushaw", "pushal")
def pusha(i: Insn) -> None:
    """PUSHA, PUSHAD: eight registers, the original SP among them."""
    w = i.operand_bits
    for n in range(8):
        base, disp = i.stack_at(-(n + 1) * w // 8, w, True)
        i.emit(f"st{w}", 0, base, st.gpr(n), imm=disp)
        i.release()
    i.adjust_stack(-w)


@lifts("popaw", "popal")
def popa(i: Insn) -> None:
    """POPA, POPAD: seven registers; the SP in the stack is skipped."""
    w = i.operand_bits
    values = [i.temp() for _ in range(8)]
    for n in range(8):
        i.pop(values[n], w, n * w // 8)
        i.release(8)
    i.adjust_stack(w)
    for n, value in enumerate(reversed(values)):
        if n != 4:
            i.emit(f"mov{w}", st.gpr(n), value)


@lifts("leave")
def leave(i: Insn) -> None:
    """LEAVE: RSP from RBP, then RBP from the stack."""
    w = stack_width(i)
    if i.flat_stack:
        i.emit(f"x86_leave{w}s{i.stack_bits}", RBP, imm=on_stack())
        return
    t = i.temp()
    base, disp = i.stack_at(0, w, False, RBP)
    i.emit(f"ld{w}", t, base, imm=disp)
    i.emit(f"mov{i.stack_bits}", RSP, RBP)
    i.popped(w)
    i.emit(f"mov{w}", RBP, t)


@lifts("enter")
def enter(i: Insn) -> None:
    """ENTER: push RBP, copy ``level`` frame pointers, make room."""
    w = stack_width(i)
    size, level = i.ops[0].imm & 0xFFFF, i.ops[1].imm & 31
    n, frame, t = w // 8, i.temp(), i.temp()

    def store(source: int, slot: int) -> None:
        base, disp = i.stack_at(-n * slot, w, True)
        i.emit(f"st{w}", 0, base, source, imm=disp)
        i.release(2)

    store(RBP, 1)
    for k in range(1, level):
        base, disp = i.stack_at(-n * k, w, False, RBP)
        i.emit(f"ld{w}", t, base, imm=disp)
        i.release(2)
        store(t, k + 1)
    i.emit("mov64", frame, RSP)
    i.emit(f"add{i.stack_bits}i", frame, frame, imm=-n)
    if level:
        store(frame, level + 1)
    base, disp = i.stack_at(-n * (level + 1 if level else 1) - size, w, True)
    i.emit(f"ldrmw{w}", t, base, imm=disp)  # nothing is there yet: it must be writable
    i.emit(f"mov{w}", RBP, frame)
    i.adjust_stack(-n * (level + 1 if level else 1) - size)
