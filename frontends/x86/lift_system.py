"""System instructions: flags, control and debug registers, MSRs, time, system calls, ports (SDM volume 2).

Most do their work in a native helper, through a row that is never compiled into a region; what a kernel does all the
time (CLI, STI, PUSHF, SWAPGS, RDTSC) is plain rows. Segments, far transfers and interrupts are in lift_segments.
"""

from __future__ import annotations

from typing import Any

from capstone import x86 as cx

from frontends.x86 import state as st
from frontends.x86.flags import arithmetic, set_bits
from frontends.x86.guards import GP, current_level, next_pc, privileged
from frontends.x86.lift import SEGMENTS, Insn, Undefined, lifts
from frontends.x86.lift_string import resume_again
from jitrr.engine.exits import Exit
from jitrr.microops.table import P_HERE, Imm, row, rows

CR0_TS, CR4_TSD = 8, 4
RF, VM, AC = 1 << 16, 1 << 17, 1 << 18
#: What POPF can write at level 0 besides the arithmetic flags, VM and RF: TF IF DF IOPL NT AC ID.
WRITABLE = st.TF | st.IF | st.DF | 0x7000 | AC | 1 << 21
RAX, RCX, RDX = (st.gpr(n) for n in range(3))


@lifts("ud2", "monitor", "mwait", "monitorx", "mwaitx", "rsm", "getsec", "xgetbv", "xsetbv")
def undefined(i: Insn) -> None:
    """UD2, and instructions of features without a group in Capstone that CPUID does not announce."""
    raise Undefined


# -- flags, halt -----------------------------------------------------------------------------------------------------
def _sti(e: Any) -> None:
    """Interrupts stay off for one more instruction if they were off."""
    flags = e.get("eflags")
    off = e.icmp("eq", 64, e.bin("and", 64, flags, st.IF), 0)
    e.set("shadow", e.select(off, 64, e.bin("add", 64, e.icount_here(), 1), e.get("shadow")))
    e.set("eflags", e.bin("or", 64, flags, st.IF))


def _popf(e: Any, value: str, bits: str) -> None:
    """A kernel's restoring of its flags is done here: all may be written, and the mode stays."""
    flags = e.get("eflags")
    kept = e.bin("and", 64, e.bin("xor", 64, flags, value), st.TF | AC | VM)
    other = e.bin("or", 64, e.bin("or", 64, kept, e.bin("and", 64, flags, VM)), current_level(e))
    wide = e.icmp("ugt", 64, bits, 16)
    e.only_if(e.bin("and", 1, wide, e.icmp("eq", 64, other, 0)), "popf", value, bits)
    e.set("eflags", e.bin("or", 64, e.bin("and", 64, value, WRITABLE), 2))
    set_bits(e, e.bin("and", 64, value, st.ARITH))


row("x86_cli", "", lambda e: e.set("eflags", e.bin("and", 64, e.get("eflags"), ~st.IF)))
row("x86_sti", "", _sti)
row("x86_pushed_flags", "d64 <-",
    lambda e: e.bin("or", 64, arithmetic(e), e.bin("and", 64, e.get("eflags"), ~(RF | VM))))  # fmt: skip
row("x86_popf", "a64 i64", _popf)


@lifts("cli", "sti")
def interrupt_flag(i: Insn) -> None:
    """CLI, STI."""
    if i.user or not i.real:
        i.emit("x86_io_privileged")
    i.emit(f"x86_{i.name}")
    if i.name == "sti":
        i.poll()


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
    i.poll()


#: First of every instruction under MODE_TRAP.
row("x86_trap", "", lambda e: e.helper("debug_before", e.pc_here()) and None, cold=True)


@lifts("hlt")
def hlt(i: Insn) -> None:
    """HLT."""
    privileged(i)
    i.emit("leave", 0, int(Exit.HALT), imm=i.next())
    i.ends = True


# -- control and debug registers -------------------------------------------------------------------------------------
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


@lifts("invlpg", "wbinvd", "invd", "wbnoinvd")
def no_effect(i: Insn) -> None:
    """INVLPG, WBINVD (and WBNOINVD, which is not announced and so the same), INVD: there is no cache, and the TLB never
    differs from the tables."""
    if i.name == "invlpg" and not i.is_mem(0):
        raise Undefined
    privileged(i)


# -- MSRs, time, identification --------------------------------------------------------------------------------------
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
    e.raise_if(e.bin("and", 1, disabled, e.icmp("ne", 64, current_level(e), 0)), GP, 0)


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
    if not i.real or i.user:
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


# -- system calls ----------------------------------------------------------------------------------------------------
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


# -- ports -----------------------------------------------------------------------------------------------------------
PORT_WIDTHS = (8, 16, 32)
rows("x86_in{w}", PORT_WIDTHS, "d{w} <- a16",
     lambda e, w, a: e.trunc(64, e.helper("io_in", e.zext(16, a), w // 8), w), cold=True)  # fmt: skip
rows("x86_out{w}", PORT_WIDTHS, "a16 b{w}",
     lambda e, w, a, b: e.helper("io_out", e.zext(16, a), w // 8, e.zext(w, b)), cold=True)  # fmt: skip
#: imm: bytes | address size << 8 | (REP) << 16 | segment << 24; d: whether there are more iterations.
row("x86_ins", "d64 <- i64", lambda e, i: e.helper("ins", *_string(e, i)), cold=True)
row("x86_outs", "d64 <- i64", lambda e, i: e.helper("outs", *_string(e, i), e.bin("lshr", 64, i, 24)), cold=True)
row("x86_again", "a64", lambda e, a: e.icmp("ne", 64, a, 0), kind="branch", cold=True)
row("x86_resume_again", "a64", lambda e, a: resume_again(e, e.icmp("ne", 64, a, 0)), cold=True)


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
        if i.mode & st.MODE_TRAP:
            i.emit("x86_resume_again", 0, t)
        i.emit("x86_again", 0, t)
        i.goto(i.next())
        i.goto(Imm(0, P_HERE))
