"""Segment registers, descriptor tables, far transfers and interrupts (SDM volume 2): lifters over native helpers."""

from __future__ import annotations

from functools import partial, reduce
from typing import Any

from frontends.x86 import state as st
from frontends.x86.flags import arithmetic, set_bits
from frontends.x86.guards import current_level, next_pc, privileged, protected
from frontends.x86.lift import SEGMENTS, Insn, Undefined, lifts
from jitrr.microops.table import Imm, UOp, row, rows

CS, SS, TR, LDTR = st.CS, st.SS, st.TR, st.LDTR
#: Kinds of software interrupts (exceptions.soft_interrupt) and queries (segments.segment_query).
HARDWARE, SOFTWARE, IF_OVERFLOW, INT_N = 0, 1, 2, 4
LAR, LSL, VERR, VERW = 0, 1, 2, 3
SEGMENT_NAMES = {st.ES: "es", st.DS: "ds", st.FS: "fs", st.GS: "gs"}
#: Attributes (state.SEG_ATTR) of a present code or data segment that has been accessed.
CODE, ACCESSIBLE = 8, 0x99

# -- interrupts -------------------------------------------------------------------------------------------------------
row("x86_int", "a64 i64", lambda e, a, i: e.helper("soft_interrupt", i, a, INT_N), cold=True)
row("x86_int3", "a64", lambda e, a: e.helper("soft_interrupt", 3, a, SOFTWARE), cold=True)
row("x86_icebp", "a64", lambda e, a: e.helper("soft_interrupt", 1, a, HARDWARE), cold=True)
row("x86_into", "a64", lambda e, a: e.helper("soft_interrupt", 4, a, IF_OVERFLOW), cold=True)
row("x86_iret", "a64 i64", lambda e, a, i: e.helper("iret", i, a), cold=True)


@lifts("int", "int3", "int1")
def interrupt(i: Insn) -> None:
    """INT n, INT3, INT1."""
    after = next_pc(i)
    if i.name == "int":
        i.emit("x86_int", 0, after, imm=i.value())
    else:
        i.emit("x86_icebp" if i.name == "int1" else "x86_int3", 0, after)
    i.dispatch()


@lifts("into")
def into(i: Insn) -> None:
    """INTO: INT 4 if OF."""
    i.emit("x86_into", 0, next_pc(i))
    i.dispatch()


@lifts("iret", "iretd", "iretq")
def iret(i: Insn) -> None:
    """IRET."""
    i.emit("x86_iret", 0, next_pc(i), imm=i.operand_bits)
    i.dispatch()


# -- segment registers -----------------------------------------------------------------------------------------------


def _shadow(e: Any) -> None:
    """Interrupts and debug exceptions wait for one instruction more."""
    after = e.bin("add", 64, e.icount_here(), 1)
    e.set("shadow", after)
    e.set("mov_ss", after)


row("x86_shadow", "", _shadow)
row("x86_load_seg", "a64 i64", lambda e, a, i: e.helper("load_seg", i, a), cold=True)


def _load_data(segment: int) -> Any:
    """A data segment out of the GDT whose descriptor has been used before. DS and ES stay as they are: what would
    change them may change the mode."""

    def body(e: Any, selector: str) -> None:
        wide = e.zext(16, selector)
        index = e.bin("and", 64, wide, 0xFFF8)
        hit, d = e.peek(64, e.bin("add", 64, e.get("gdtr_base"), index))
        attr = e.bin("and", 64, e.bin("lshr", 64, d, 40), 0xF0FF)
        level = e.bin("and", 64, e.bin("lshr", 64, attr, 5), 3)
        base = e.bin("and", 64, e.bin("lshr", 64, d, 16), 0xFFFFFF)
        base = e.bin("or", 64, base, e.bin("shl", 64, e.bin("lshr", 64, d, 56), 24))
        limit = e.bin("or", 64, e.bin("and", 64, d, 0xFFFF), e.bin("and", 64, e.bin("lshr", 64, d, 32), 0xF0000))
        pages = e.icmp("ne", 64, e.bin("and", 64, attr, 1 << 15), 0)
        limit = e.select(pages, 64, e.bin("or", 64, e.bin("shl", 64, limit, 12), 0xFFF), limit)
        sure = [
            hit,
            e.icmp("eq", 64, e.bin("and", 64, attr, ACCESSIBLE), ACCESSIBLE ^ CODE),
            e.icmp("ne", 64, index, 0),
            e.icmp("eq", 64, e.bin("and", 64, wide, 4), 0),
            e.icmp("ule", 64, e.bin("add", 64, index, 7), e.get("gdtr_limit")),
            e.icmp("ule", 64, e.bin("and", 64, wide, 3), level),
            e.icmp("ule", 64, current_level(e), level),
        ]
        found = {"seg_base": base, "seg_limit": limit, "seg_attr": attr}
        if segment in (st.DS, st.ES):
            sure += [e.icmp("eq", 64, e.get(name, index=segment), value) for name, value in found.items()]
            found = {}
        e.only_if(reduce(partial(e.bin, "and", 1), sure), "load_seg", segment, wide)
        for name, value in {"seg_sel": wide, **found}.items():
            e.set(name, value, index=segment)

    return body


for _segment, _name in SEGMENT_NAMES.items():
    row(f"x86_load_{_name}", "a16", _load_data(_segment))
row("x86_load_system", "a64 i64", lambda e, a, i: e.helper("load_system_seg", i, a), cold=True)
row("x86_segment_query", "d64 <- a64 i64", lambda e, a, i: e.helper("segment_query", i, a), cold=True)


def _found(e: Any, result: str) -> None:
    """ZF: whether a query found something."""
    found = e.select(e.icmp("sge", 64, result, 0), 64, st.ZF, 0)
    set_bits(e, e.bin("or", 64, e.bin("and", 64, arithmetic(e), st.ARITH & ~st.ZF), found))


def _raised_rpl(e: Any, old: str, other: str) -> str:
    """A selector with the other's RPL, or -1 where that is not higher."""
    level = e.bin("and", 16, other, 3)
    higher = e.icmp("ugt", 16, level, e.bin("and", 16, old, 3))
    raised = e.bin("or", 16, e.bin("and", 16, old, 0xFFFC), level)
    return e.select(higher, 64, e.zext(16, raised), -1)


row("x86_raised_rpl", "d64 <- a16 b16", _raised_rpl, cold=True)
row("x86_found", "a64", _found, cold=True)
row("x86_unless_found", "a64 i64", lambda e, a, i: e.icmp("slt", 64, a, 0), kind="skip", cold=True)
rows("x86_keep_found{w}", (16, 64), "d{w} <- a{w} b64",
     lambda e, w, a, b: e.select(e.icmp("sge", 64, b, 0), w, e.trunc(64, b, w), a), cold=True)  # fmt: skip


def load_segment(i: Insn, segment: int, selector: int) -> None:
    """Load a segment register; SS holds interrupts and debug exceptions off for one instruction."""
    if segment != SS and not i.user and not i.real:
        i.emit(f"x86_load_{SEGMENT_NAMES[segment]}", 0, selector)
    else:
        i.emit("x86_load_seg", 0, selector, imm=segment)
    if segment == SS:
        i.emit("x86_shadow")


def end_segment_load(i: Insn, segment: int) -> None:
    """Outside 64-bit mode the translation of what follows may depend on it."""
    if segment == SS:
        i.sync()
    elif i.bits != 64:
        i.poll()


@lifts("mov_seg")
def mov_seg(i: Insn) -> None:
    """MOV to and from segment registers."""
    if i.is_reg(0) and i.ops[0].reg in SEGMENTS:
        segment = SEGMENTS[i.ops[0].reg]
        if segment == CS:
            raise Undefined
        load_segment(i, segment, i.read(1, 16))
        end_segment_load(i, segment)
        return
    source = st.SEG_SEL + 8 * SEGMENTS[i.ops[1].reg]
    i.write(0, source, 16 if i.is_mem(0) else i.width(0))


@lifts("pop_seg")
def pop_seg(i: Insn) -> None:
    """POP to a segment register."""
    segment, t = SEGMENTS[i.ops[0].reg], i.temp()
    i.pop(t, 16)
    load_segment(i, segment, t)
    i.popped(16 if i.operand_bits == 16 else (64 if i.bits == 64 else 32))
    end_segment_load(i, segment)


@lifts("lds", "les", "lss", "lfs", "lgs")
def load_far_pointer(i: Insn) -> None:
    """LDS, LES, LSS, LFS, LGS."""
    segment = {"lds": st.DS, "les": st.ES, "lss": SS, "lfs": st.FS, "lgs": st.GS}[i.name]
    w, offset, selector = i.width(0), i.temp(), i.temp()
    base, disp = i.address(1, w // 8 + 2)
    i.emit(f"ld{w}", offset, base, imm=disp)
    i.emit("ld16", selector, base, imm=disp + w // 8)
    load_segment(i, segment, selector)
    i.emit(f"mov{w}", i.reg(0), offset)
    end_segment_load(i, segment)


@lifts("lldt", "ltr")
def load_system(i: Insn) -> None:
    """LLDT, LTR."""
    protected(i)
    privileged(i)
    i.emit("x86_load_system", 0, i.read(0, 16), imm=LDTR if i.name == "lldt" else TR)


@lifts("sldt", "str")
def store_system(i: Insn) -> None:
    """SLDT, STR."""
    protected(i)
    source = st.SEG_SEL + 8 * (LDTR if i.name == "sldt" else TR)
    i.write(0, source, 16 if i.is_mem(0) else i.width(0))


@lifts("lar", "lsl")
def load_rights(i: Insn) -> None:
    """LAR, LSL."""
    protected(i)
    t = i.temp()
    i.emit("x86_segment_query", t, i.read(1, 16), imm=LAR if i.name == "lar" else LSL)
    i.emit(f"x86_keep_found{16 if i.width(0) == 16 else 64}", i.reg(0), i.reg(0), t)
    i.emit("x86_found", 0, t)


@lifts("verr", "verw")
def verify(i: Insn) -> None:
    """VERR, VERW."""
    protected(i)
    t = i.temp()
    i.emit("x86_segment_query", t, i.read(0, 16), imm=VERR if i.name == "verr" else VERW)
    i.emit("x86_found", 0, t)


@lifts("arpl")
def adjust_rpl(i: Insn) -> None:
    """ARPL: raise the requested level of a selector to that of another; memory that stays the same is not written."""
    protected(i)
    raised = i.temp()
    i.emit("x86_raised_rpl", raised, i.read(0, 16), i.reg(1))
    before = len(i.uops)
    i.write(0, raised, 16)
    i.uops.insert(before, UOp("x86_unless_found", a=raised, imm=Imm(len(i.uops) - before)))
    i.emit("x86_found", 0, raised)


@lifts("sgdt", "sidt")
def store_table(i: Insn) -> None:
    """SGDT, SIDT."""
    limit, base_at = (st.GDTR_LIMIT, st.GDTR_BASE) if i.name == "sgdt" else (st.IDTR_LIMIT, st.IDTR_BASE)
    w = 64 if i.bits == 64 else 32
    base, disp = i.address(0, w // 8 + 2, write=True)
    i.emit("st16", 0, base, limit, imm=disp)
    i.emit(f"st{w}", 0, base, base_at, imm=disp + 2)


@lifts("lgdt", "lidt")
def load_table(i: Insn) -> None:
    """LGDT, LIDT; with a 16-bit operand size the base has 24 bits."""
    privileged(i)
    limit_at, base_at = (st.GDTR_LIMIT, st.GDTR_BASE) if i.name == "lgdt" else (st.IDTR_LIMIT, st.IDTR_BASE)
    w = 64 if i.bits == 64 else 32
    limit, table = i.temp(), i.temp()
    base, disp = i.address(0, w // 8 + 2)
    i.emit("ld16z64", limit, base, imm=disp)
    i.emit(f"ld{w}", table, base, imm=disp + 2)
    if i.bits != 64 and i.operand_bits == 16:
        i.emit("and64i", table, table, imm=0xFFFFFF)
    i.emit("mov64", limit_at, limit)
    i.emit("mov64", base_at, table)


# -- far transfers ---------------------------------------------------------------------------------------------------
row("x86_far_jump", "a64 b64 c64 i64", lambda e, a, b, c, i: e.helper("far_jump", a, b, i, c), cold=True)
row("x86_far_call", "a64 b64 c64 i64", lambda e, a, b, c, i: e.helper("far_call", a, b, i, c), cold=True)
row("x86_far_return", "a64 i64", lambda e, a, i: e.helper("far_return", i, a), cold=True)


def far_target(i: Insn) -> tuple[int, int]:
    """Scratch registers with selector and offset of a far jump or call."""
    selector, offset = i.temp(), i.temp()
    if i.is_mem(0):
        w = i.operand_bits
        base, disp = i.address(0, w // 8 + 2)
        i.emit(f"ld{w}", offset, base, imm=disp)
        i.emit("ld16", selector, base, imm=disp + w // 8)
    else:
        i.emit("movi64", selector, imm=i.ops[0].imm & 0xFFFF)
        i.emit("movi64", offset, imm=i.ops[1].imm & 0xFFFFFFFF)
    return selector, offset


@lifts("ljmp")
def far_jump(i: Insn) -> None:
    """JMP far."""
    selector, offset = far_target(i)
    i.emit("x86_far_jump", 0, selector, offset, next_pc(i), imm=i.operand_bits)
    i.dispatch()


@lifts("lcall")
def far_call(i: Insn) -> None:
    """CALL far."""
    selector, offset = far_target(i)
    i.emit("x86_far_call", 0, selector, offset, next_pc(i), imm=i.operand_bits)
    i.dispatch()


@lifts("retf", "retfq")
def far_return(i: Insn) -> None:
    """RETF."""
    t = i.temp()
    if i.ops:
        i.emit("movi64", t, imm=i.imm())
    else:
        i.emit("movi64", t)
    i.emit("x86_far_return", 0, t, imm=i.operand_bits)
    i.dispatch()
