"""System instructions: privileged registers, segments, far transfers, interrupts, system calls, ports (SDM volume 2).

Most do their work in a native helper, through a row that is never compiled into a region; what a kernel does all the time
(CLI, STI, PUSHF, SWAPGS, RDTSC) is plain rows.
"""

from __future__ import annotations

from typing import Any

from capstone import x86 as cx

from frontends.x86 import state as st
from frontends.x86.flags import arithmetic, set_bits
from frontends.x86.lift import SEGMENTS, Insn, Undefined, lifts
from jitrr.engine.exits import Exit
from jitrr.microops.table import P_HERE, Imm, row, rows

DB, UD, NM, SS_FAULT, GP = 1, 6, 7, 12, 13
#: Error code that tells exceptions.deliver of a single-step trap.
SINGLE_STEP = -2
CR0_MP, CR0_EM, CR0_TS = 2, 4, 8
CR4_TSD, CR4_OSFXSR = 4, 1 << 9
RF, VM = 1 << 16, 1 << 17
CS, SS, TR, LDTR = st.CS, st.SS, st.TR, st.LDTR
RAX, RCX, RDX, RSI, RDI = (st.gpr(n) for n in (0, 1, 2, 6, 7))
#: Kinds of software interrupts (exceptions.soft_interrupt) and queries (segments.segment_query).
HARDWARE, SOFTWARE, IF_OVERFLOW = 0, 1, 2
LAR, LSL, VERR, VERW = 0, 1, 2, 3
#: Bytes of the memory operands that segment limits are checked for.
SIZES = (1, 2, 4, 6, 8, 10, 14, 16, 28, 94, 108, 512)


# -- checks -------------------------------------------------------------------------------------------------------------------
def _cpl(e: Any) -> str:
    return e.bin("and", 64, e.bin("lshr", 64, e.get("seg_attr", index=SS), 5), 3)


def _privileged(e: Any) -> None:
    e.raise_if(e.icmp("ne", 64, _cpl(e), 0), GP, 0)


def _io_privileged(e: Any) -> None:
    """CPL <= IOPL."""
    iopl = e.bin("and", 64, e.bin("lshr", 64, e.get("eflags"), 12), 3)
    e.raise_if(e.icmp("ugt", 64, _cpl(e), iopl), GP, 0)


def _limit(write: bool, size: int) -> Any:
    def body(e: Any, offset: str, limit: str, attr: str, segment: str) -> None:
        last = e.bin("add", 64, offset, size - 1)
        above = e.icmp("ugt", 64, last, limit)
        top = e.select(e.icmp("ne", 64, e.bin("and", 64, attr, 1 << 14), 0), 64, 0xFFFFFFFF, 0xFFFF)
        outside = e.bin("or", 1, e.icmp("ule", 64, offset, limit), e.icmp("ugt", 64, last, top))
        down = e.icmp("eq", 64, e.bin("and", 64, attr, 12), 4)
        if write:
            refused = e.icmp("ne", 64, e.bin("and", 64, attr, 0x8A), 0x82)
        else:
            execute_only = e.icmp("eq", 64, e.bin("and", 64, attr, 10), 8)
            refused = e.bin("or", 1, execute_only, e.icmp("eq", 64, e.bin("and", 64, attr, 0x80), 0))
        bad = e.bin("or", 1, refused, e.select(down, 1, outside, above))
        stack = e.icmp("eq", 64, segment, SS)
        e.raise_if(e.bin("and", 1, bad, stack), SS_FAULT, 0)
        e.raise_if(e.bin("and", 1, bad, e.bin("xor", 1, stack, 1)), GP, 0)

    return body


#: Segment rules where segments are not flat: a = offset, b = limit, c = attributes, imm = the segment's number.
for _size in SIZES:
    row(f"x86_seglimit{_size}", "a64 b64 c64 i64", _limit(False, _size))
    row(f"x86_seglimit{_size}w", "a64 b64 c64 i64", _limit(True, _size))
row("x86_undefined", "", lambda e: e.raise_if("true", UD), cold=True)
row("x86_gp", "", lambda e: e.raise_if("true", GP, 0), cold=True)
row("x86_privileged", "", _privileged, cold=True)
row("x86_io_privileged", "", _io_privileged)


def _fpu_check(x87: bool, fxsr: bool) -> Any:
    def body(e: Any) -> None:
        cr0, cr4 = e.get("cr0"), e.get("cr4")
        emulated = e.icmp("ne", 64, e.bin("and", 64, cr0, CR0_EM), 0)
        if fxsr:
            emulated = e.bin("or", 1, emulated, e.icmp("eq", 64, e.bin("and", 64, cr4, CR4_OSFXSR), 0))
        if not x87:
            e.raise_if(emulated, UD)
        away = CR0_TS | CR0_EM if x87 else CR0_TS
        e.raise_if(e.icmp("ne", 64, e.bin("and", 64, cr0, away), 0), NM)

    return body


def _wait_check(e: Any) -> None:
    both = e.bin("and", 64, e.get("cr0"), CR0_MP | CR0_TS)
    e.raise_if(e.icmp("eq", 64, both, CR0_MP | CR0_TS), NM)


#: What MODE_NOFPU stands for, decided from CR0 and CR4 (SDM volume 3, 2.5 and table 13-1).
row("x86_check_x87", "", _fpu_check(True, False))
row("x86_check_mmx", "", _fpu_check(False, False))
row("x86_check_sse", "", _fpu_check(False, True))
row("x86_check_wait", "", _wait_check)


def fpu(i: Insn, kind: str) -> None:
    """First thing in a lifter of ``kind`` "x87", "mmx", "sse" or "wait": the #NM or #UD that CR0 and CR4 ask for."""
    if i.mode & st.MODE_NOFPU:
        i.emit(f"x86_check_{kind}")


def privileged(i: Insn) -> None:
    """#GP(0) unless CPL is 0."""
    if i.user:
        i.emit("x86_gp")
    elif not i.real:
        i.emit("x86_privileged")


def protected(i: Insn) -> None:
    """#UD in real and virtual-8086 mode."""
    if i.real:
        raise Undefined


def next_pc(i: Insn) -> int:
    """Scratch register that holds the address of the next instruction."""
    t = i.temp()
    i.emit({64: "pcrel", 32: "pcrel32", 16: "pcrel16"}[i.bits], t, imm=i.next())
    return t


# -- undefined, interrupts ----------------------------------------------------------------------------------------------------
row("x86_int", "a64 i64", lambda e, a, i: e.helper("soft_interrupt", i, a, SOFTWARE), cold=True)
row("x86_icebp", "a64", lambda e, a: e.helper("soft_interrupt", 1, a, HARDWARE), cold=True)
row("x86_into", "a64", lambda e, a: e.helper("soft_interrupt", 4, a, IF_OVERFLOW), cold=True)
row("x86_iret", "i64", lambda e, i: e.helper("iret", i), cold=True)


@lifts("ud2", "monitor", "mwait", "monitorx", "mwaitx", "rsm", "getsec", "xgetbv", "xsetbv")
def undefined(i: Insn) -> None:
    """UD2, and instructions of features without a group in Capstone that CPUID does not announce."""
    raise Undefined


@lifts("int", "int3", "int1")
def interrupt(i: Insn) -> None:
    """INT n, INT3, INT1."""
    after = next_pc(i)
    if i.name == "int1":
        i.emit("x86_icebp", 0, after)
    else:
        i.emit("x86_int", 0, after, imm=3 if i.name == "int3" else i.value())
    i.dispatch()


@lifts("into")
def into(i: Insn) -> None:
    """INTO: INT 4 if OF."""
    i.emit("x86_into", 0, next_pc(i))
    i.dispatch()


@lifts("iret", "iretd", "iretq")
def iret(i: Insn) -> None:
    """IRET."""
    i.emit("x86_iret", imm=i.operand_bits)
    i.dispatch()


# -- flags, halt --------------------------------------------------------------------------------------------------------------
def _sti(e: Any) -> None:
    """Interrupts stay off for one more instruction if they were off."""
    flags = e.get("eflags")
    off = e.icmp("eq", 64, e.bin("and", 64, flags, st.IF), 0)
    e.set("shadow", e.select(off, 64, e.bin("add", 64, e.icount_here(), 1), e.get("shadow")))
    e.set("eflags", e.bin("or", 64, flags, st.IF))


row("x86_cli", "", lambda e: e.set("eflags", e.bin("and", 64, e.get("eflags"), ~st.IF)))
row("x86_sti", "", _sti)
row("x86_shadow", "", lambda e: e.set("shadow", e.bin("add", 64, e.icount_here(), 1)))
row("x86_pushed_flags", "d64 <-",
    lambda e: e.bin("or", 64, arithmetic(e), e.bin("and", 64, e.get("eflags"), ~(RF | VM))))  # fmt: skip
row("x86_popf", "a64 i64", lambda e, a, i: e.helper("popf", a, i), cold=True)


@lifts("cli", "sti")
def interrupt_flag(i: Insn) -> None:
    """CLI, STI."""
    if i.user or not i.real:
        i.emit("x86_io_privileged")
    i.emit(f"x86_{i.name}")
    if i.name == "sti":
        i.sync()


def flags_bits(i: Insn) -> int:
    """Operand size of PUSHF and POPF."""
    return 16 if i.operand_bits == 16 else (64 if i.bits == 64 else 32)


@lifts("pushf", "pushfd", "pushfq")
def pushf(i: Insn) -> None:
    """PUSHF."""
    if i.real and i.user:
        i.emit("x86_io_privileged")
    t = i.temp()
    i.emit("x86_pushed_flags", t)
    i.push(t, flags_bits(i))


@lifts("popf", "popfd", "popfq")
def popf(i: Insn) -> None:
    """POPF."""
    w, t = flags_bits(i), i.temp()
    i.pop(t, w)
    i.emit("x86_popf", 0, t, imm=w)
    i.popped(w)
    i.sync()


def _trap(e: Any) -> None:
    """First of an instruction with TF set: #DB if the one before it ran with TF set too."""
    held = e.icmp("eq", 64, e.get("shadow"), e.icount_here())
    due = e.icmp("ne", 64, e.get("trap_pending"), 0)
    e.raise_if(e.bin("and", 1, due, e.bin("xor", 1, held, 1)), DB, SINGLE_STEP)
    e.set("trap_pending", 1)


row("x86_trap", "", _trap, cold=True)


@lifts("hlt")
def hlt(i: Insn) -> None:
    """HLT."""
    privileged(i)
    i.emit("leave", 0, int(Exit.HALT), imm=i.next())
    i.ends = True


# -- control and debug registers ----------------------------------------------------------------------------------------------
row("x86_write_cr", "a64 i64", lambda e, a, i: e.helper("write_cr", i, a), cold=True)
row("x86_read_cr8", "d64 <-", lambda e: e.helper("read_cr8"), cold=True)
row("x86_read_dr", "d64 <- i64", lambda e, i: e.helper("read_dr", i), cold=True)
row("x86_write_dr", "a64 i64", lambda e, a, i: e.helper("write_dr", i, a), cold=True)
#: LMSW: d = CR0 with the low four bits of a, PE not cleared.
row("x86_lmsw", "d64 <- a64", lambda e, a: _merge_msw(e, a), cold=True)
CR_FIELDS = {0: st.CR0, 2: st.CR2, 3: st.CR3, 4: st.CR4}


def _merge_msw(e: Any, a: str) -> str:
    cr0 = e.get("cr0")
    return e.bin("or", 64, e.bin("and", 64, cr0, ~14), e.bin("and", 64, a, 15))


def special_number(i: Insn, n: int, first: int) -> int:
    return int(i.ops[n].reg - first)


@lifts("mov_cr")
def mov_cr(i: Insn) -> None:
    """MOV to and from control registers."""
    into = cx.X86_REG_CR0 <= i.ops[0].reg <= cx.X86_REG_CR15
    number = special_number(i, 0 if into else 1, cx.X86_REG_CR0)
    if number not in (0, 2, 3, 4, 8) or (number == 8 and i.bits != 64):
        raise Undefined
    privileged(i)
    w = 64 if i.bits == 64 else 32
    if into:
        t = i.temp()
        i.emit("mov64" if w == 64 else "zx32_64", t, i.reg(1))
        i.emit("x86_write_cr", 0, t, imm=number)
        i.sync()
    elif number == 8:
        i.emit("x86_read_cr8", i.reg(0))
    else:
        i.emit(f"mov{w}", i.reg(0), CR_FIELDS[number])


@lifts("mov_dr")
def mov_dr(i: Insn) -> None:
    """MOV to and from debug registers."""
    into = i.ops[0].reg in DEBUG_REGISTERS
    number = DEBUG_REGISTERS[i.ops[0 if into else 1].reg]
    if number > 7:
        raise Undefined
    privileged(i)
    t = i.temp()
    if into:
        i.emit("mov64" if i.bits == 64 else "zx32_64", t, i.reg(1))
        i.emit("x86_write_dr", 0, t, imm=number)
        i.sync()
    else:
        i.emit("x86_read_dr", t, imm=number)
        i.emit("mov64" if i.bits == 64 else "mov32", i.reg(0), t)


DEBUG_REGISTERS = {getattr(cx, f"X86_REG_DR{n}"): n for n in range(16)}


@lifts("clts")
def clts(i: Insn) -> None:
    """CLTS."""
    privileged(i)
    t = i.temp()
    i.emit("and64i", t, st.CR0, imm=~CR0_TS)
    i.emit("x86_write_cr", 0, t, imm=0)
    i.sync()


@lifts("smsw")
def smsw(i: Insn) -> None:
    """SMSW."""
    i.write(0, st.CR0, 16 if i.is_mem(0) else i.width(0))


@lifts("lmsw")
def lmsw(i: Insn) -> None:
    """LMSW."""
    privileged(i)
    t = i.temp()
    i.emit("x86_lmsw", t, i.read(0, 16))
    i.emit("x86_write_cr", 0, t, imm=0)
    i.sync()


@lifts("invlpg", "wbinvd", "invd")
def no_effect(i: Insn) -> None:
    """INVLPG, WBINVD, INVD: there is no cache, and the TLB never differs from the tables."""
    if i.name == "invlpg" and not i.is_mem(0):
        raise Undefined
    privileged(i)


# -- MSRs, time, identification -----------------------------------------------------------------------------------------------
row("x86_read_msr", "d64 <-", lambda e: e.helper("read_msr"), cold=True)
row("x86_write_msr", "a64", lambda e, a: e.helper("write_msr", a), cold=True)
row("x86_cpuid", "", lambda e: e.helper("cpuid"), cold=True)
#: d = b:a
row("x86_join", "d64 <- a32 b32", lambda e, a, b: e.bin("or", 64, e.zext(32, a), e.bin("shl", 64, e.zext(32, b), 32)))


def _rdtsc(e: Any) -> str:
    ticks = e.bin("shl", 64, e.icount_here(), e.get("tsc_shift"))
    return e.bin("add", 64, ticks, e.get("tsc_offset"))


def _tsc_allowed(e: Any) -> None:
    disabled = e.icmp("ne", 64, e.bin("and", 64, e.get("cr4"), CR4_TSD), 0)
    e.raise_if(e.bin("and", 1, disabled, e.icmp("ne", 64, _cpl(e), 0)), GP, 0)


row("x86_tsc_allowed", "", _tsc_allowed)
row("x86_rdtsc", "d64 <-", _rdtsc)
#: A random value of imm bytes; CF = 1 (there always is one).
row("x86_entropy", "d64 <- i64", lambda e, i: e.helper("entropy", i), cold=True)
row("x86_carry_only", "", lambda e: set_bits(e, str(st.CF)))


def split_value(i: Insn, t: int) -> None:
    """EDX:EAX := a 64-bit register."""
    high = i.temp()
    i.emit("lshr64i", high, t, imm=32)
    i.emit("mov32", RAX, t)
    i.emit("mov32", RDX, high)


@lifts("rdmsr")
def rdmsr(i: Insn) -> None:
    """RDMSR."""
    privileged(i)
    t = i.temp()
    i.emit("x86_read_msr", t)
    split_value(i, t)


@lifts("wrmsr")
def wrmsr(i: Insn) -> None:
    """WRMSR."""
    privileged(i)
    t = i.temp()
    i.emit("x86_join", t, RAX, RDX)
    i.emit("x86_write_msr", 0, t)
    i.sync()


@lifts("rdtsc", "rdtscp")
def rdtsc(i: Insn) -> None:
    """RDTSC, RDTSCP: the TSC counts instructions, shifted."""
    if i.user:
        i.emit("x86_tsc_allowed")
    t = i.temp()
    i.emit("x86_rdtsc", t)
    split_value(i, t)
    if i.name == "rdtscp":
        i.emit("mov32", RCX, st.TSC_AUX)


@lifts("rdpmc")
def rdpmc(i: Insn) -> None:
    """RDPMC: there are no counters."""
    i.emit("x86_gp")


@lifts("cpuid")
def cpuid(i: Insn) -> None:
    """CPUID."""
    i.emit("x86_cpuid")


@lifts("rdrand")
def rdrand(i: Insn) -> None:
    """RDRAND."""
    w, t = i.width(0), i.temp()
    i.emit("x86_entropy", t, imm=w // 8)
    i.emit(f"mov{w}", i.reg(0), t)
    i.emit("x86_carry_only")


# -- system calls -------------------------------------------------------------------------------------------------------------
row("x86_syscall", "a64", lambda e, a: e.helper("syscall", a), cold=True)
row("x86_sysret", "i64", lambda e, i: e.helper("sysret", i), cold=True)
row("x86_sysenter", "", lambda e: e.helper("sysenter"), cold=True)
row("x86_sysexit", "i64", lambda e, i: e.helper("sysexit", i), cold=True)


def _swapgs(e: Any) -> None:
    now, other = e.get("seg_base", index=st.GS), e.get("kernel_gs_base")
    e.set("seg_base", other, index=st.GS)
    e.set("kernel_gs_base", now)


row("x86_swapgs", "", _swapgs)


@lifts("syscall")
def syscall(i: Insn) -> None:
    """SYSCALL."""
    i.emit("x86_syscall", 0, next_pc(i))
    i.dispatch()


@lifts("sysenter")
def sysenter(i: Insn) -> None:
    """SYSENTER."""
    i.emit("x86_sysenter")
    i.dispatch()


@lifts("sysret", "sysretq")
def sysret(i: Insn) -> None:
    """SYSRET."""
    i.emit("x86_sysret", imm=64 if i.rex_w else 32)
    i.dispatch()


@lifts("sysexit", "sysexitq")
def sysexit(i: Insn) -> None:
    """SYSEXIT."""
    i.emit("x86_sysexit", imm=64 if i.rex_w else 32)
    i.dispatch()


@lifts("swapgs")
def swapgs(i: Insn) -> None:
    """SWAPGS."""
    if i.bits != 64:
        raise Undefined
    privileged(i)
    i.emit("x86_swapgs")


# -- segment registers --------------------------------------------------------------------------------------------------------
row("x86_load_seg", "a64 i64", lambda e, a, i: e.helper("load_seg", i, a), cold=True)
row("x86_load_system", "a64 i64", lambda e, a, i: e.helper("load_system_seg", i, a), cold=True)
row("x86_segment_query", "d64 <- a64 i64", lambda e, a, i: e.helper("segment_query", i, a), cold=True)


def _found(e: Any, result: str) -> None:
    """ZF: whether a query found something."""
    found = e.select(e.icmp("sge", 64, result, 0), 64, st.ZF, 0)
    set_bits(e, e.bin("or", 64, e.bin("and", 64, arithmetic(e), st.ARITH & ~st.ZF), found))


row("x86_found", "a64", _found, cold=True)
rows("x86_keep_found{w}", (16, 64), "d{w} <- a{w} b64",
     lambda e, w, a, b: e.select(e.icmp("sge", 64, b, 0), w, e.trunc(64, b, w), a), cold=True)  # fmt: skip


def load_segment(i: Insn, segment: int, selector: int) -> None:
    """Load a segment register; SS holds interrupts off for one instruction."""
    i.emit("x86_load_seg", 0, selector, imm=segment)
    if segment == SS:
        i.emit("x86_shadow")


def end_segment_load(i: Insn, segment: int) -> None:
    """Outside 64-bit mode the translation of what follows may depend on it."""
    if i.bits != 64 or segment == SS:
        i.sync()


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


# -- far transfers ------------------------------------------------------------------------------------------------------------
row("x86_far_jump", "a64 b64 i64", lambda e, a, b, i: e.helper("far_jump", a, b, i), cold=True)
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
    i.emit("x86_far_jump", 0, selector, offset, imm=i.operand_bits)
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


# -- ports --------------------------------------------------------------------------------------------------------------------
PORT_WIDTHS = (8, 16, 32)
rows("x86_in{w}", PORT_WIDTHS, "d{w} <- a16",
     lambda e, w, a: e.trunc(64, e.helper("io_in", e.zext(16, a), w // 8), w), cold=True)  # fmt: skip
rows("x86_out{w}", PORT_WIDTHS, "a16 b{w}",
     lambda e, w, a, b: e.helper("io_out", e.zext(16, a), w // 8, e.zext(w, b)), cold=True)  # fmt: skip
#: imm: bytes | address size << 8 | (REP) << 16 | segment << 24; d: whether there are more iterations.
row("x86_ins", "d64 <- i64", lambda e, i: e.helper("ins", *_string(e, i)), cold=True)
row("x86_outs", "d64 <- i64", lambda e, i: e.helper("outs", *_string(e, i), e.bin("lshr", 64, i, 24)), cold=True)
row("x86_again", "a64", lambda e, a: e.icmp("ne", 64, a, 0), kind="branch", cold=True)


def _string(e: Any, packed: str) -> tuple[str, str, str]:
    size = e.bin("and", 64, packed, 255)
    bits = e.bin("and", 64, e.bin("lshr", 64, packed, 8), 255)
    return size, bits, e.bin("and", 64, e.bin("lshr", 64, packed, 16), 1)


def port(i: Insn, n: int) -> int:
    """Register with the port number of operand ``n``."""
    if i.is_reg(n):
        return RDX
    t = i.temp()
    i.emit("movi64", t, imm=i.value() & 255)
    return t


@lifts("in")
def port_in(i: Insn) -> None:
    """IN."""
    i.emit(f"x86_in{i.width(0)}", RAX, port(i, 1))


@lifts("out")
def port_out(i: Insn) -> None:
    """OUT."""
    i.emit(f"x86_out{i.width(1)}", 0, port(i, 0), RAX)


@lifts("insb", "insw", "insd", "outsb", "outsw", "outsd")
def port_string(i: Insn) -> None:
    """INS, OUTS; with REP, one iteration is one instruction."""
    out = i.name.startswith("outs")
    size, rep, t = i.width(1 if out else 0) // 8, i.rep or i.repne, i.temp()
    packed = size | i.address_bits << 8 | int(rep) << 16
    if out:
        segment = i.ops[1].mem.segment
        packed |= SEGMENTS.get(segment, st.DS) << 24
    i.emit("x86_outs" if out else "x86_ins", t, imm=packed)
    if rep:
        i.emit("x86_again", 0, t)
        i.goto(i.next())
        i.goto(Imm(0, P_HERE))
