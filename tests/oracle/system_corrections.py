"""Where Unicorn is not the processor: what it leaves out or does otherwise, the section of the manual that decides, and
what the manual says comes out instead.

A correction takes a case and Unicorn's outcome and returns what is expected, or None where Unicorn is right. Vendors
differ in places; the processor under test is Intel's (frontends/x86/system.py).
"""

from __future__ import annotations

import dataclasses
import struct
from collections import Counter
from collections.abc import Callable

from frontends.x86 import cpuid

from .state import GPR_NAMES
from .system_generate import name_of, operand_bits
from .system_state import Exception_, Outcome, SystemCase, image
from .unicorn_system import unicorn_system
from .world import ABSENT, CODE, GDT, IO_MAP, LDT, LDT_SELECTOR, PAGE, PC, RAM, TSS, TSS_LIMIT, USER_PAGES, world

#: Instruction count at which executors run a case.
START = 1000
_UD = Outcome(fault=Exception_(6))
Correction = Callable[[SystemCase, Outcome], Outcome | None]
#: Instruction's name -> its corrections, each with why.
CORRECTIONS: dict[str, list[tuple[str, Correction]]] = {}
#: How many cases each reason has decided in this process.
USED: Counter[str] = Counter()


def correct(names: str, why: str) -> Callable[[Correction], Correction]:
    """Register a correction for instructions by name."""

    def register(function: Correction) -> Correction:
        for name in names.split():
            CORRECTIONS.setdefault(name, []).append((why, function))
        return function

    return register


def expected(case: SystemCase) -> Outcome:
    """Unicorn's outcome, corrected."""
    found = unicorn_system(case.world).run(case)
    for why, correction in CORRECTIONS.get(name_of(case.code, world(case.world).bits) or "", ()):
        better = correction(case, found)
        if better is not None:
            USED[why] += 1
            found = better
    return found


def _gp(case: SystemCase, error: int = 0) -> Outcome:
    """#GP; real mode has no error codes."""
    return Outcome(fault=Exception_(13, None if world(case.world).real else error))


def _value(case: SystemCase, name: str) -> int:
    """A register before the instruction."""
    return {**unicorn_system(case.world).start, **case.registers}[name]


def _descriptor(case: SystemCase, selector: int) -> tuple[int, int]:
    """Address and value of a selector's descriptor, with the tables of the world."""
    at = (LDT if selector & 4 else GDT) + (selector & 0xFFF8)
    page = image(case)[GDT if at >> 12 == GDT >> 12 else LDT]
    return at, struct.unpack_from("<Q", page, at & PAGE - 1)[0]


def _canonical(value: int) -> bool:
    return value >> 47 in (0, 0x1FFFF)


# -- ports -----------------------------------------------------------------------------------------------------------
@correct("in out insb insw insd outsb outsw outsd", "volume 1, 19.5: CPL, IOPL and the I/O bitmap; Unicorn allows all")
def _ports(case: SystemCase, found: Outcome) -> Outcome | None:
    place = world(case.world)
    flags = _value(case, "rflags")
    if place.level <= flags >> 12 & 3:
        return None
    repeated = case.code.lstrip(b"\x66")[0] in (0xF2, 0xF3)
    if repeated and _value(case, "rcx") & (1 << place.bits) - 1 == 0:
        return None
    opcode = case.code.lstrip(b"\x66\xf2\xf3\x48")
    port = opcode[1] if opcode[0] in (0xE4, 0xE5, 0xE6, 0xE7) else _value(case, "rdx") & 0xFFFF
    size = 1 if opcode[0] & 1 == 0 else min(operand_bits(case.code, place), 32) // 8
    at = IO_MAP + (port >> 3)
    bits = struct.unpack_from("<H", place.memory[TSS], at)[0] >> (port & 7) if at + 1 <= TSS_LIMIT else -1
    return None if bits & (1 << size) - 1 == 0 else _gp(case)


# -- segments --------------------------------------------------------------------------------------------------------
@correct("lar lsl", "volume 2, LAR and LSL: types of IA-32e mode; Unicorn takes those of protected mode")
def _long_types(case: SystemCase, found: Outcome) -> Outcome | None:
    if not world(case.world).long or found.fault:
        return None
    flags = found.registers.get("rflags", _value(case, "rflags"))
    if not flags & 0x40:
        return None
    selector = _source(case)
    kind = _descriptor(case, selector)[1] >> 40 & 31
    is_lar = case.code.lstrip(b"\x66\x48")[1] == 2
    if kind & 16 or kind in ((2, 9, 11, 12) if is_lar else (2, 9, 11)):
        return None
    registers = {"rflags": flags & ~0x40} if _value(case, "rflags") & 0x40 else {}
    return Outcome(registers)


def _source(case: SystemCase) -> int:
    """The selector that LAR and LSL look at."""
    modrm = case.code.lstrip(b"\x66\x48")[2]
    if modrm >= 0xC0:
        name = GPR_NAMES[modrm & 7]
        return _value(case, name) & 0xFFFF
    at = _value(case, "rbx")
    pages = image(case)
    return sum(pages[at + i & -PAGE][at + i & PAGE - 1] << 8 * i for i in range(2))


@correct("lss lfs lgs", "volume 2, LFS: REX.W means a 64-bit offset; Unicorn has AMD's, which has 32 bits")
def _wide_pointer(case: SystemCase, found: Outcome) -> Outcome | None:
    data = _read(case, _value(case, "rbx"), 10)
    if case.code[0] != 0x48 or data is None:
        return None
    narrow = {_value(case, "rbx"): data[:4] + data[8:]}
    found = unicorn_system(case.world).run(SystemCase(case.world, case.code[1:], case.registers, narrow))
    if found.fault:
        return found
    name = GPR_NAMES[case.code[3] >> 3 & 7]
    return _with(case, found, **{name: int.from_bytes(data[:8], "little")})


def _read(case: SystemCase, at: int, size: int) -> bytes | None:
    """Bytes of the case's memory where it may read that; else None."""
    pages = image(case)
    allowed = USER_PAGES if world(case.world).level == 3 else set(pages) - {ABSENT}
    if any(at + i & -PAGE not in allowed or at + i & -PAGE not in pages for i in range(size)):
        return None
    return bytes(pages[at + i & -PAGE][at + i & PAGE - 1] for i in range(size))


@correct("ltr", "volume 3, 7.2.2: the type in TR is that of a busy TSS")
def _busy(case: SystemCase, found: Outcome) -> Outcome | None:
    attr = found.registers.get("tr.attr", 0x89)
    if found.fault or "tr" not in found.registers:
        return None
    return dataclasses.replace(found, registers={k: v for k, v in (found.registers | {"tr.attr": attr | 2}).items()
                                                 if (k, v) != ("tr.attr", 0x8B)})  # fmt: skip


@correct("ltr", "volume 2, LTR: #GP(0) for a null selector; Unicorn loads it")
def _null_task(case: SystemCase, found: Outcome) -> Outcome | None:
    return _gp(case) if not found.fault and found.registers.get("tr", 4) & 0xFFFC == 0 else None


@correct("ljmp lcall", "volume 2, JMP and CALL: #GP(0) for a target beyond the limit; Unicorn's has the selector")
def _call_limit(case: SystemCase, found: Outcome) -> Outcome | None:
    if found.fault is None or found.fault.vector != 13 or not found.fault.error or world(case.world).real:
        return None
    target = _target(case)
    if target is None or target[0] & 0xFFFC != found.fault.error:
        return None
    return _gp(case) if _allowed(case, target[0]) and target[1] > _limit(_descriptor(case, target[0])[1]) else None


@correct("retf retfq iret iretd iretq", "volume 2, RET and IRET: #GP(0) for a target past the limit; Unicorn has none")
def _return_limit(case: SystemCase, found: Outcome) -> Outcome | None:
    if found.fault or "rip" not in found.registers or world(case.world).real:
        return None
    attr, limit = (found.registers.get(f"cs.{part}", _value(case, f"cs.{part}")) for part in ("attr", "limit"))
    if attr & 0x2000 and world(case.world).long:
        return None if _canonical(found.registers["rip"]) else _gp(case)
    return _gp(case) if found.registers["rip"] > limit else None


@correct("ljmp lcall", "volume 2, JMP and CALL: #GP(selector) where L and D are both set; Unicorn does not look")
def _both_sizes(case: SystemCase, found: Outcome) -> Outcome | None:
    both = found.registers.get("cs.attr", 0) & 0x6000 == 0x6000 and world(case.world).long
    return _gp(case, found.registers["cs"] & 0xFFFC) if both and not found.fault else None


@correct("retf retfq iret iretd iretq", "volume 2, RET and IRET: #GP(selector) where L and D are both set")
def _both_sizes_returned(case: SystemCase, found: Outcome) -> Outcome | None:
    place = world(case.world)
    size = operand_bits(case.code, place) // 8
    frame = _read(case, _value(case, "rsp"), 2 * size)
    if not place.long or frame is None or (_value(case, "rflags") & 1 << 14 and case.code[-1] == 0xCF):
        return None
    selector = struct.unpack_from("<H", frame, size)[0]
    passed = found.fault is None or (found.fault.vector in (10, 12, 13) and found.fault.error != selector & 0xFFFC)
    both = selector & 0xFFF8 < LDT_SELECTOR and _descriptor(case, selector)[1] >> 53 & 3 == 3
    return _gp(case, selector & 0xFFFC) if passed and both and selector & 3 >= place.level else None


@correct(
    "ljmp lcall retf retfq iret iretd iretq", "volume 3, 3.4.5.1: what is loaded is marked accessed; Unicorn omits it"
)
def _accessed(case: SystemCase, found: Outcome) -> Outcome | None:
    values, memory = {}, dict(found.memory)
    for name in ("cs", "ss"):
        attr = found.registers.get(f"{name}.attr", 1)
        if not found.fault and not attr & 1 and not world(case.world).real:
            values[f"{name}.attr"] = attr | 1
            memory[_descriptor(case, found.registers[name])[0] + 5] = bytes([attr & 255 | 1])
    return _with(case, dataclasses.replace(found, memory=memory), **values) if values else None


@correct("retf retfq iret iretd iretq", "volume 2, IRET: #GP(0) for a bad target, here before the stack is looked at")
def _target_first(case: SystemCase, found: Outcome) -> Outcome | None:
    size = operand_bits(case.code, world(case.world)) // 8
    frame = _read(case, _value(case, "rsp"), 2 * size)
    if not found.fault or found.fault.vector not in (11, 12, 13) or not found.fault.error or frame is None:
        return None
    selector, target = struct.unpack_from("<H", frame, size)[0], int.from_bytes(frame[:size], "little")
    if selector & 0xFFFC == found.fault.error:
        return None
    descriptor = _descriptor(case, selector)[1]
    wide = descriptor >> 53 & 1 and world(case.world).long
    return None if (_canonical(target) if wide else target <= _limit(descriptor)) else _gp(case)


@correct("retf retfq iret iretd iretq", "volume 2, RET and IRET: #SS(selector) for a stack that is not present")
def _absent_stack(case: SystemCase, found: Outcome) -> Outcome | None:
    size = operand_bits(case.code, world(case.world)) // 8
    frame = _read(case, _value(case, "rsp"), 2 * size)
    if not found.fault or found.fault.vector != 11 or frame is None:
        return None
    if struct.unpack_from("<H", frame, size)[0] & 0xFFFC == found.fault.error:
        return None
    return Outcome(fault=Exception_(12, found.fault.error))


@correct("retf retfq iret iretd iretq", "volume 2, RET and IRET: #GP(0) for a null SS unless the code is 64-bit")
def _null_outer_stack(case: SystemCase, found: Outcome) -> Outcome | None:
    attr = found.registers.get("cs.attr", _value(case, "cs.attr"))
    null = not found.fault and "ss" in found.registers and not found.registers["ss"] & 0xFFFC
    return _gp(case) if null and not attr & 0x2000 and not world(case.world).real else None


@correct("mov_seg lss", "volume 2, MOV: #GP(0) for a null SS with an RPL that is not CPL")
def _null_stack(case: SystemCase, found: Outcome) -> Outcome | None:
    selector = found.registers.get("ss", _value(case, "ss"))
    place = world(case.world)
    return _gp(case) if not place.real and not selector & 0xFFFC and selector & 3 != place.level else None


@correct("ltr", "volume 2, LTR: in IA-32e mode only a 64-bit TSS; Unicorn takes a 16-bit one")
def _long_task(case: SystemCase, found: Outcome) -> Outcome | None:
    modrm = case.code[-1]
    data = None if modrm >= 0xC0 else _read(case, _value(case, "rbx"), 2)
    if not world(case.world).long or world(case.world).level or (modrm < 0xC0 and data is None):
        return None
    selector = _value(case, GPR_NAMES[modrm & 7]) & 0xFFFF if data is None else struct.unpack("<H", data)[0]
    small = selector & 4 == 0 and _descriptor(case, selector)[1] >> 40 & 31 == 1
    return _gp(case, selector & 0xFFFC) if small else None


def _target(case: SystemCase) -> tuple[int, int] | None:
    """Selector and offset of a far jump or call; None where they cannot be read."""
    place = world(case.world)
    size = operand_bits(case.code, place) // 8
    opcode = case.code.lstrip(b"\x66\xf2\xf3\x48")
    if opcode[0] in (0x9A, 0xEA):
        data = opcode[1:]
    else:
        found = _read(case, _value(case, "rbx"), size + 2)
        if found is None:
            return None
        data = found
    return struct.unpack_from("<H", data, size)[0], int.from_bytes(data[:size], "little")


def _limit(descriptor: int) -> int:
    limit = descriptor & 0xFFFF | descriptor >> 32 & 0xF0000
    return limit << 12 | 0xFFF if descriptor >> 55 & 1 else limit


def _allowed(case: SystemCase, selector: int) -> bool:
    """Whether a far jump may load a present code segment by its selector (volume 3, 5.8.1)."""
    attr, cpl = _descriptor(case, selector)[1] >> 40 & 255, world(case.world).level
    if attr & 0x98 != 0x98:
        return False
    level = attr >> 5 & 3
    return level <= cpl if attr & 4 else level == cpl and selector & 3 <= cpl


# -- control registers and MSRs --------------------------------------------------------------------------------------
def _control(case: SystemCase) -> tuple[int, int, bool]:
    """Number and value of a MOV to or from a control register, and whether it is one to."""
    code, more = (case.code[1:], case.code[0] & 7) if case.code[0] & 0xF0 == 0x40 else (case.code, 0)
    return code[2] >> 3 & 7 | (more & 4) << 1, _value(case, GPR_NAMES[code[2] & 7]), code[1] == 0x22


@correct("mov_cr", "volume 2, MOV to and from control registers: #UD for those that are not there, whatever the CPL")
def _no_register(case: SystemCase, found: Outcome) -> Outcome | None:
    number = _control(case)[0]
    return _UD if number not in (0, 2, 3, 4, 8) else None


@correct("mov_cr", "volume 3, 2.5: reserved bits of CR4 are #GP(0), of CR0[63:32] too, of CR0[31:0] ignored")
def _reserved_bits(case: SystemCase, found: Outcome) -> Outcome | None:
    number, value, into = _control(case)
    if not into or found.fault:
        return None
    if number == 4 and value & ~0x1007FC:
        return _gp(case)
    most = {0: 32, 3: 40 if world(case.world).long else 64, 8: 4}
    if value >> most.get(number, 64):
        return _gp(case)
    return _with(case, found, cr0=value & 0xE005002F | 0x10) if number == 0 and "cr0" in found.registers else None


@correct("mov_cr", "volume 2, MOV to and from control registers: #GP(0) for combinations in CR0 and CR4 that cannot be")
def _impossible(case: SystemCase, found: Outcome) -> Outcome | None:
    number, value, into = _control(case)
    place = world(case.world)
    if not into or found.fault:
        return None
    paging = value >> 31 & 1
    if number == 0 and ((paging and not value & 1) or value >> 29 & 3 == 1 or (place.bits == 64 and not paging)):
        return _gp(case)
    return _gp(case) if number == 4 and place.long and not value & 0x20 else None


@correct("mov_cr", "volume 3, 4.4.1: reserved bits in PDPTEs are #GP(0) when CR3 is loaded")
def _bad_pdptes(case: SystemCase, found: Outcome) -> Outcome | None:
    number, value, into = _control(case)
    place = world(case.world)
    if not into or number != 3 or found.fault or place.long or place.real:
        return None
    at = value & 0xFFFFFFE0
    pages = image(case) | {CODE: b"\xeb\xfe" * (PAGE // 2)}
    page = pages.get(at & -PAGE, bytes(PAGE) if at < RAM else b"\xff" * PAGE)
    entries = struct.unpack_from("<4Q", page, at & PAGE - 1)
    return _gp(case) if any(e & 1 and e & (0x1E6 | -1 << 40) for e in entries) else None


@correct("mov_dr", "volume 2, MOV to and from debug registers: #UD for those that are not there, whatever the CPL")
def _no_debug_register(case: SystemCase, found: Outcome) -> Outcome | None:
    return _UD if _control(case)[0] > 7 else None


@correct("mov_dr", "volume 3, 17.2: reserved bits of DR6 and DR7 do not change, upper halves are #GP(0)")
def _debug_bits(case: SystemCase, found: Outcome) -> Outcome | None:
    number, value, _ = _control(case)
    if found.fault or case.code[-2] != 0x23 or number not in (4, 5, 6, 7):
        return None
    if value >> 32:
        return _gp(case)
    if number in (4, 6):
        return _with(case, found, dr6=value & 0xE00F | 0xFFFF0FF0)
    return _with(case, found, dr7=value & 0xFFFF23FF | 0x400)


@correct("smsw", "volume 2, SMSW: a 32-bit register gets CR0[31:0] (its upper half is undefined)")
def _whole_register(case: SystemCase, found: Outcome) -> Outcome | None:
    if operand_bits(case.code, world(case.world)) != 32 or case.code[-1] < 0xC0:
        return None
    name = GPR_NAMES[case.code[-1] & 7]
    better = _with(case, found, **{name: _value(case, "cr0")})
    return better if better != found else None


_MSR_CANONICAL = (0x175, 0x176, 0xC0000082, 0xC0000083, 0xC0000100, 0xC0000101, 0xC0000102)
_PAT_TYPES = (0, 1, 4, 5, 6, 7)


@correct("wrmsr", "volume 4, table 2-2: values that an MSR does not take are #GP(0)")
def _msr_value(case: SystemCase, found: Outcome) -> Outcome | None:
    msr = _value(case, "rcx") & 0xFFFFFFFF
    value = _value(case, "rax") & 0xFFFFFFFF | (_value(case, "rdx") & 0xFFFFFFFF) << 32
    bad = msr in _MSR_CANONICAL and not _canonical(value)
    bad |= msr == 0x277 and any(value >> shift & 255 not in _PAT_TYPES for shift in range(0, 64, 8))
    bad |= msr == 0xC0000080 and (value & ~0xD01 != 0 or (world(case.world).long and not value & 0x100))
    bad |= msr == 0xC0000080 and bool((value ^ _value(case, "efer")) & 0x100 and _value(case, "cr0") >> 31)
    bad |= msr in (0x174, 0xC0000103) and value >> 32 != 0
    return _gp(case) if bad and not found.fault else None


# -- fast system calls -----------------------------------------------------------------------------------------------
@correct("sysret sysretq", "volume 2, SYSRET: #UD outside 64-bit mode (AMD's: in real mode only)")
def _only_64(case: SystemCase, found: Outcome) -> Outcome | None:
    return _UD if world(case.world).bits != 64 else None


@correct("sysret sysretq", "volume 2, SYSRET: #GP(0) for a target that is not canonical")
def _canonical_return(case: SystemCase, found: Outcome) -> Outcome | None:
    wide = case.code[0] == 0x48
    return _gp(case) if not found.fault and wide and not _canonical(_value(case, "rcx")) else None


@correct("sysexit sysexitq", "volume 2, SYSEXIT: EDX and ECX without REX.W, canonical ones with it; CS.D is 0 with it")
def _exit(case: SystemCase, found: Outcome) -> Outcome | None:
    if found.fault or world(case.world).bits != 64:
        return None
    target, stack = _value(case, "rdx"), _value(case, "rcx")
    if case.code[0] == 0x48:
        return _with(case, found, **{"cs.attr": 0xA0FB}) if _canonical(target) and _canonical(stack) else _gp(case)
    return _with(case, found, rip=target & 0xFFFFFFFF, rsp=stack & 0xFFFFFFFF)


def _with(case: SystemCase, found: Outcome, **values: int) -> Outcome:
    """The outcome with registers that have other values; those that an instruction leaves alone are not in it."""
    registers = {**found.registers, **values}
    return dataclasses.replace(found, registers={k: v for k, v in registers.items() if v != _value(case, k)})


@correct("wrmsr", "volume 3, 24.4.1: SYSENTER_CS has 32 bits; Unicorn keeps 16")
def _sysenter_cs(case: SystemCase, found: Outcome) -> Outcome | None:
    if found.fault or _value(case, "rcx") & 0xFFFFFFFF != 0x174:
        return None
    return _with(case, found, sysenter_cs=_value(case, "rax") & 0xFFFFFFFF)


@correct("syscall", "volume 2, SYSCALL: Unicorn calls a hook instead")
def _syscall(case: SystemCase, found: Outcome) -> Outcome | None:
    if world(case.world).bits != 64 or not _value(case, "efer") & 1:
        return _UD
    flags, selector = _value(case, "rflags"), _value(case, "star") >> 32 & 0xFFFC
    return _with(case, Outcome(), **_flat(selector, selector + 8, 0xA09B, 0), rcx=PC + len(case.code), r11=flags,
                 rflags=flags & ~_value(case, "sfmask") | 2, rip=_value(case, "lstar"))  # fmt: skip


@correct("sysenter", "volume 2, SYSENTER: Unicorn calls a hook instead; AMD's is #UD in long mode")
def _sysenter(case: SystemCase, found: Outcome) -> Outcome | None:
    selector, place = _value(case, "sysenter_cs") & 0xFFFC, world(case.world)
    if place.real or not selector:
        return _gp(case)
    mask = (1 << 64) - 1 if place.long else (1 << 32) - 1
    target, stack = _value(case, "sysenter_eip") & mask, _value(case, "sysenter_esp") & mask
    return _with(case, Outcome(), **_flat(selector, selector + 8, 0xA09B if place.long else 0xC09B, 0), rip=target,
                 rsp=stack, rflags=_value(case, "rflags") & ~0x200)  # fmt: skip


def _flat(code: int, stack: int, attr: int, level: int) -> dict[str, int]:
    """CS and SS as SYSCALL and SYSENTER load them."""
    out = {"cs": code, "ss": stack & 0xFFFF, "cpl": level, "cs.attr": attr, "ss.attr": 0xC093}
    return out | {f"{s}.{part}": value for s in ("cs", "ss") for part, value in (("base", 0), ("limit", 0xFFFFFFFF))}


# -- what is the machine's -------------------------------------------------------------------------------------------
@correct("rdtsc rdtscp", "docs/determinism.md: the TSC is the instruction count, in ticks of 1/8")
def _tsc(case: SystemCase, found: Outcome) -> Outcome | None:
    if found.fault:
        return None
    values = {"rax": START << 3, "rdx": 0} | ({"rcx": _value(case, "tsc_aux")} if case.code[-1] == 0xF9 else {})
    return _with(case, Outcome(), **values)


@correct("cpuid", "frontends/x86/cpuid.py: the processor announced is this one")
def _cpuid(case: SystemCase, found: Outcome) -> Outcome | None:
    leaves, leaf, subleaf = cpuid.table(), _value(case, "rax") & 0xFFFFFFFF, _value(case, "rcx") & 0xFFFFFFFF
    if leaf > leaves[0].eax and not 0x80000000 <= leaf <= 0x80000008:
        leaf = leaves[0].eax
    answer = next((e for e in leaves if e.leaf == leaf and e.subleaf in (subleaf, cpuid.ANY)), cpuid.Leaf(leaf, 0))
    edx = answer.edx & ~(1 << 11) if leaf == 0x80000001 and world(case.world).bits != 64 else answer.edx
    return _with(case, Outcome(), rax=answer.eax, rbx=answer.ebx, rcx=answer.ecx, rdx=edx)


@correct("rdrand", "docs/determinism.md: random numbers come through the border; volume 2, RDRAND: CF is 1")
def _rdrand(case: SystemCase, found: Outcome) -> Outcome | None:
    place, modrm = world(case.world), case.code[-1]
    bits = operand_bits(case.code, place)
    value = int.from_bytes(bytes(range(1, bits // 8 + 1)), "little")
    name = GPR_NAMES[modrm & 7]
    kept = _value(case, name) & ~0xFFFF if bits == 16 else 0
    flags = _value(case, "rflags") & ~0x8D5 | 1
    return _with(case, Outcome(), **{name: kept | value}, rflags=flags)


@correct("rdpmc", "volume 2, RDPMC: #GP(0) for a counter that is not there; Unicorn's is #UD")
def _no_counters(case: SystemCase, found: Outcome) -> Outcome | None:
    return _gp(case)


@correct("int1", "volume 2, INT1: #DB; Unicorn's is #UD")
def _icebp(case: SystemCase, found: Outcome) -> Outcome | None:
    return Outcome(fault=Exception_(1))
