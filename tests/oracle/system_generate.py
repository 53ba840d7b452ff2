"""Cases of system instructions: every form that the table lifts, in every world of its mode, with states that make it
succeed often and fail in many ways.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterator
from random import Random

from frontends.x86.coverage import LIFTED, MODES, survey
from frontends.x86.decode import decoder, lift
from frontends.x86.encodings import Encoding, distinct
from frontends.x86.lift import Insn

from .state import AC, ARITHMETIC, DF, IF
from .system_state import MSRS, SystemCase
from .world import (
    ABSENT,
    CODE,
    CR0,
    CR4,
    DATA,
    LDT_SELECTOR,
    NAMES,
    PAGE,
    READ_ONLY,
    STACK,
    SUPERVISOR,
    SYSTEM_END,
    SYSTEM_FIRST,
    TABLES,
    TOP,
    TSS,
    TSS_SELECTOR,
    World,
    code_selector,
    data_selector,
    world,
)

NT, IOPL = 1 << 14, 3 << 12
#: Segment pushes and pops are one form to Capstone; these are the other opcodes, and the modes that have them.
_MORE = {"0e": (16, 32), "16": (16, 32), "17": (16, 32), "1e": (16, 32), "1f": (16, 32), "0fa0": (16, 32, 64),
         "0fa1": (16, 32, 64), "0fa8": (16, 32, 64), "0fa9": (16, 32, 64)}  # fmt: skip
#: Unicorn reads and writes these instructions' stack as the supervisor; see system_written.
_FAR = "iret iretd iretq retf retfq lcall"
#: By class ("m": with an operand at [RBX]): FLD1, FNOP; FLDCW; FNSTSW AX, FNINIT, FNCLEX; FXSAVE, FXRSTOR; WAIT;
#: EMMS, PADDB, PXOR; MOVAPS, XORPS; STMXCSR, MOVUPS.
_FPU = {"x87": "d9e8 d9d0", "x87 m": "d92b", "no wait": "dfe0 dbe3 dbe2", "image m": "0fae03 0fae0b", "wait": "9b",
        "mmx": "0f77 0ffcc1 0fefc1", "sse": "0f28c1 0f57c1", "sse m": "0fae1b 0f1003"}  # fmt: skip
_CHECK_MUCH = (
    "iret iretd iretq retf retfq mov_cr mov_dr wrmsr rdmsr ltr lldt sysret sysretq sysexit sysexitq pushfq popfq"
)
_CONTROL_MOVES = (b"\x0f\x20", b"\x0f\x21", b"\x0f\x22", b"\x0f\x23")
_SEGMENT_MOVES = (b"\x8c", b"\x8e")


def name_of(code: bytes, mode: int) -> str | None:
    """The lifter's name of an instruction; None when it does not decode."""
    found = next(decoder(mode).disasm(code, 0, 1), None)
    return None if found is None else Insn(found, MODES[mode], False, False).name


@functools.cache
def system_names() -> frozenset[str]:
    """What the table lifts of the group "system"."""
    return frozenset(name for name, entry in survey().items() if entry.group == "system" and entry.lifted)


@functools.cache
def forms(mode: int) -> tuple[tuple[str, Encoding | bytes], ...]:
    """System instructions of a mode by name: encodings, or bytes that are complete."""
    out: list[tuple[str, Encoding | bytes]] = []
    for encoding in distinct(mode):
        name = name_of(encoding.code, mode)
        if name in system_names():
            out.append((str(name), encoding))
    for code, modes in _MORE.items():
        if mode in modes:
            out.append((str(name_of(bytes.fromhex(code), mode)), bytes.fromhex(code)))
    return tuple(out)


@functools.cache
def undefined_forms(mode: int) -> tuple[bytes, ...]:
    """The encodings that decode and are #UD: what CPUID does not announce."""
    out = []
    for encoding in distinct(mode):
        name = name_of(encoding.code, mode)
        entry = survey().get(name or "")
        if entry is None or LIFTED in entry.forms.values():
            continue
        if any(u.name == "x86_undefined" for u in lift(encoding.code, MODES[mode], False, False).uops):
            out.append(encoding.code)
    return tuple(out)


def worlds_of(mode: int) -> list[World]:
    """The worlds whose code has a default size of 16, 32 or 64 bits."""
    return [world(name) for name in NAMES if world(name).bits == mode]


def cases(mode: int, seed: int, count: int) -> Iterator[SystemCase]:
    """``count`` cases of each form in each world of ``mode``, and four times as many of those that check much."""
    for name, form in forms(mode):
        for place in worlds_of(mode):
            rng = Random(f"{seed} {place.name} {form!r}")
            for _ in range(count * (4 if name in _CHECK_MUCH.split() else 1)):
                yield _case(rng, name, form, place)


def _case(rng: Random, name: str, form: Encoding | bytes, place: World) -> SystemCase:
    code = form if isinstance(form, bytes) else _encode(rng, form, place)
    case = SystemCase(place.name, code, _registers(rng, place))
    if place.level == 3 and name in _FAR.split() and "rsp" in case.registers:
        case.registers["rsp"] = rng.choice((TOP + 2, DATA + PAGE))
    size = operand_bits(code, place) // 8
    for family, prepare in _PREPARE.items():
        if name in family.split():
            prepare(rng, case, place, size)
    if place.bits != 64:
        case.registers = {n: v & 0xFFFFFFFF if n[0] == "r" and n not in MSRS else v
                          for n, v in case.registers.items() if not (n[0] == "r" and n[1:].isdigit())}  # fmt: skip
    return case


def _encode(rng: Random, form: Encoding, place: World) -> bytes:
    """Bytes of a form: free registers at random, memory at [RBX]."""
    head = form.prefixes
    rex = 8 if form.rex_w else 0
    if form.operands == "none":
        tail = bytes(rng.randrange(256) for _ in range(form.immediate))
        if form.opcode in _CONTROL_MOVES:
            tail = bytes([0xC0 | rng.choice((0, 0, 2, 3, 4, rng.randrange(8))) << 3 | rng.randrange(8)])
            rex |= 4 if place.bits == 64 and rng.random() < 0.3 else 0
        elif form.opcode in (b"\x9a", b"\xea"):
            offset = _offset(rng) & (1 << 8 * (form.immediate - 2)) - 1
            tail = offset.to_bytes(form.immediate - 2, "little") + struct.pack("<H", _selector(rng, place, code=True))
        elif form.opcode == b"\xca":
            tail = struct.pack("<H", rng.choice((0, 4, 8, 16, 0x7FF)))
    else:
        free = form.reg is None or form.opcode in _SEGMENT_MOVES
        reg = rng.randrange(8) if free else form.reg or 0
        if form.operands == "memory":
            modrm = reg << 3 | (7 if place.bits == 16 else 3)
        else:
            modrm = 0xC0 | reg << 3 | (rng.randrange(8) if form.rm is None else form.rm)
        tail = bytes([modrm]) + bytes(rng.randrange(256) for _ in range(form.immediate))
    return head + (bytes([0x40 | rex]) if rex else b"") + form.opcode + tail


def operand_bits(code: bytes, place: World) -> int:
    """The operand size that prefixes give."""
    prefixes = code[: len(code) - len(code.lstrip(b"\x66\xf2\xf3"))]
    if place.bits == 64 and code[len(prefixes)] & 0xF8 == 0x48:
        return 64
    return 32 if (b"\x66" in prefixes) == (place.bits == 16) else 16


def fpu_cases(mode: int, seed: int, count: int) -> Iterator[tuple[SystemCase, int | None]]:
    """Instructions of the floating-point units under CR0's TS, EM and MP and CR4's OSFXSR, with and without a pending
    x87 exception; and the exception that each has (volume 3, 2.5 and 12.1; volume 2 for each).
    """
    for place in worlds_of(mode):
        rng = Random(f"{seed} {place.name} fpu")
        for kind, texts in _FPU.items():
            for text in texts.split() * count:
                flags, osfxsr, is_pending = rng.choice((0, 2, 4, 8, 10, 12)), rng.choice((0, 0x200)), rng.random() < 0.4
                registers = {"rbx": DATA + 0x40, "cr0": ((0x10 if place.real else CR0) & ~0xE) | flags | 0x20}
                registers["cr4"] = (0 if place.real else CR4) & ~0x200 | osfxsr
                if is_pending:
                    registers.update(fcw=0x37E, fsw=0x8081)
                code = bytes.fromhex(text)
                code = code[:-1] + bytes([code[-1] + 4]) if place.bits == 16 and kind[-1] == "m" else code
                expected = _fpu_fault(kind, flags & 8 != 0, flags & 4 != 0, flags & 2 != 0, osfxsr != 0, is_pending)
                yield SystemCase(place.name, code, registers), expected


def _fpu_fault(kind: str, ts: bool, em: bool, mp: bool, osfxsr: bool, is_pending: bool) -> int | None:
    """The vector for a class of instructions: #UD before #NM before #MF."""
    no_unit = {"wait": ts and mp, "mmx": ts, "sse": ts, "sse m": ts}.get(kind, ts or em)
    if (kind[:3] in ("mmx", "sse") and em) or (kind[:3] == "sse" and not osfxsr):
        return 6
    if no_unit:
        return 7
    return 16 if is_pending and kind in ("x87", "x87 m", "wait", "mmx") else None


# -- values ----------------------------------------------------------------------------------------------------------
def _selector(rng: Random, place: World, code: bool = False) -> int:
    """A selector: null, flat ones of every level, entries of both tables, or beyond them."""
    kind = rng.random()
    if place.real:
        return rng.choice((0, 0, 0x10, rng.randrange(0x1000), rng.randrange(1 << 16)))
    if kind < 0.06:
        return rng.randrange(4)
    if kind < 0.45:
        level = rng.choice((place.level, place.level, rng.randrange(4), 3))
        bits = rng.choice((16, 32, 64, place.bits)) if code else rng.choice((16, 32))
        return (code_selector(bits, level) if code else data_selector(bits, level)) & ~3 | rng.choice(
            (level, level, place.level, rng.randrange(4))
        )
    if kind < 0.85 and code:
        return 8 * rng.randrange(21, SYSTEM_FIRST) | rng.randrange(4)
    if kind < 0.85:
        return 8 * rng.randrange(21, SYSTEM_END) | rng.randrange(4)
    if kind < 0.95:
        return 8 * rng.randrange(12) | 4 | rng.randrange(4)
    return rng.choice((LDT_SELECTOR, PAGE, 0xFFFF, 0x84, *(() if code else (TSS_SELECTOR, PAGE - 8))))


def _address(rng: Random, place: World) -> int:
    """Mostly in the data pages, else across them, not writable, not there, or not for users."""
    if rng.random() < 0.75:
        return DATA + rng.randrange(16, PAGE - 64, 8) + rng.choice((0, 0, 1))
    odd = [DATA + PAGE - 3, DATA + 2 * PAGE - 2, READ_ONLY + 64, READ_ONLY + PAGE - 2, ABSENT + 8, SUPERVISOR + 256,
           SUPERVISOR - 2, TSS + 0x100]  # fmt: skip
    return rng.choice(odd + [0xFFFFFFFE, 0x7FFFFFFFFFFFF, 0xFFFF8000_00000000] * (place.bits == 64))


def _offset(rng: Random) -> int:
    """Where a far transfer may go."""
    limits = (0x5FF0, 0xFFFF, 0x10000, 0xFFFFFFFF)
    return rng.choice((CODE + rng.randrange(PAGE), CODE, 0x10, *limits, rng.getrandbits(32)))


def _canonical(rng: Random) -> int:
    """Mostly a canonical address."""
    return rng.choice((
        CODE + rng.randrange(PAGE), 0xFFFF800000000000 | rng.getrandbits(40), rng.getrandbits(47), rng.getrandbits(64),
        0x7FFFFFFFFFFF, 0x800000000000, rng.getrandbits(32),
    ))  # fmt: skip


def _flags(rng: Random, place: World) -> int:
    """Any flags but TF, VM and NT."""
    return 2 | rng.getrandbits(22) & (ARITHMETIC | DF | IF | IOPL | AC) if rng.random() < 0.8 else 2


def _registers(rng: Random, place: World) -> dict[str, int]:
    """General registers full of selectors and addresses; system registers with some bits changed."""
    names = ("rax", "rcx", "rdx", "rbp", "r8", "r9", "r11")
    out = {name: _selector(rng, place, rng.random() < 0.3) | (rng.getrandbits(48) << 16) * (rng.random() < 0.4)
           for name in names}  # fmt: skip
    out.update(rbx=_address(rng, place), rsi=_address(rng, place), rdi=_address(rng, place), rflags=_flags(rng, place))
    if rng.random() < 0.15:
        out["rsp"] = rng.choice((TOP + 2, STACK + 2, DATA + PAGE, READ_ONLY + 0x80, ABSENT + 0x10, READ_ONLY - 2))
    if not place.real and rng.random() < 0.2:
        out["cr0"] = CR0 ^ rng.choice((8, 2, 4, 0x10000, 0x20))
    if rng.random() < 0.2:
        out["cr4"] = (0 if place.real else CR4) ^ rng.choice((4, 8, 0x100, 0x80))
    return out


# -- by instruction --------------------------------------------------------------------------------------------------
def _put(case: SystemCase, size: int, *values: int, at: int | None = None) -> None:
    """Words at RBX, or elsewhere where memory is that a case may set."""
    at = case.registers["rbx"] if at is None else at
    data = b"".join((v & (1 << 8 * size) - 1).to_bytes(size, "little") for v in values)
    if any(first <= at <= first + length - len(data) for first, length in ((DATA, 2 * PAGE), (STACK, PAGE))):
        case.memory[at] = data


def _stack(case: SystemCase) -> int:
    return case.registers.get("rsp", TOP)


def _frame(rng: Random, case: SystemCase, place: World, size: int) -> None:
    """What IRET pops."""
    flags = _flags(rng, place) | rng.choice((0, 0, NT, 1 << 21))
    flags |= rng.getrandbits(32) & ~(1 << 17 | 1 << 8) if rng.random() < 0.1 else 0
    new_flags = flags & ~(1 << 8 | 1 << 17)
    target = _canonical(rng) if size == 8 and rng.random() < 0.4 else _offset(rng) & 0xFFFFF
    stack = (TOP, _canonical(rng))[rng.random() < 0.3]
    _put(case, size, target, _selector(rng, place, True), new_flags, stack, _selector(rng, place), at=_stack(case))
    if rng.random() < 0.05 and place.long:
        case.registers["rflags"] |= NT


def _far_frame(rng: Random, case: SystemCase, place: World, size: int) -> None:
    """What RETF pops, whatever it releases."""
    target = _offset(rng) & (0xFFFF if rng.random() < 0.8 else 0xFFFFFFFF)
    outer = (TOP, _selector(rng, place))
    _put(case, size, target, _selector(rng, place, True), *outer, *outer, *outer, *outer, at=_stack(case))


def _selector_in_memory(rng: Random, case: SystemCase, place: World, size: int) -> None:
    _put(case, 2, _selector(rng, place))


def _popped_selector(rng: Random, case: SystemCase, place: World, size: int) -> None:
    _put(case, 2, _selector(rng, place), at=_stack(case))


def _far_pointer(rng: Random, case: SystemCase, place: World, size: int) -> None:
    _put(case, 1, *(_offset(rng) & 0xFFFF).to_bytes(size, "little"), *struct.pack("<H", _selector(rng, place, True)))


def _data_pointer(rng: Random, case: SystemCase, place: World, size: int) -> None:
    _put(case, 1, *rng.randbytes(size), *struct.pack("<H", _selector(rng, place)))


def _table_pointer(rng: Random, case: SystemCase, place: World, size: int) -> None:
    _put(case, 1, *struct.pack("<HQ", rng.getrandbits(16), _canonical(rng)))


def _system_selector(rng: Random, case: SystemCase, place: World, size: int) -> None:
    """LLDT and LTR: more often a system descriptor."""
    first = 8 * SYSTEM_FIRST
    for name in ("rax", "rcx", "rdx", "rbp", "rsi", "rdi"):
        system = first + 8 * rng.randrange(SYSTEM_END - SYSTEM_FIRST)
        case.registers[name] = rng.choice((system, LDT_SELECTOR, TSS_SELECTOR, 0, 3, 0x84))
    _put(case, 2, first + 8 * rng.randrange(SYSTEM_END - SYSTEM_FIRST))


def _control_value(rng: Random, case: SystemCase, place: World, size: int) -> None:
    """Control registers with a bit or two changed."""
    tables = 0 if place.real else TABLES
    for name in ("rax", "rcx", "rdx", "rbp", "rsi", "rdi", *(("rbx",) if case.code[-2] in b"\x20\x22" else ())):
        bits = (1 << rng.randrange(32 if rng.random() < 0.9 or place.bits != 64 else 64)) | 1 << rng.randrange(12)
        base = rng.choice((CR0, CR4, tables, rng.getrandbits(4))) if not place.real else rng.choice((0x10, 0, 0, 8))
        case.registers[name] = base ^ bits * (rng.random() < 0.7)
    _put(case, 2, rng.getrandbits(16))
    if not place.real:
        case.registers.pop("cr0", None)
        case.registers.pop("cr4", None)


def _debug_value(rng: Random, case: SystemCase, place: World, size: int) -> None:
    for number in (0, 1, 2, 3):
        case.registers[f"dr{number}"] = rng.getrandbits(64 if place.bits == 64 else 32)
    for name in ("rax", "rcx", "rdx", "rbx", "rbp", "rsi", "rdi"):
        case.registers[name] = rng.choice((rng.getrandbits(32), rng.getrandbits(10), rng.getrandbits(64)))


def _msr(rng: Random, case: SystemCase, place: World, size: int) -> None:
    """An MSR that both sides keep, with a value that it takes."""
    numbers = MSRS | {"fs.base": 0xC0000100, "gs.base": 0xC0000101}
    name = rng.choice(list(numbers))
    number = numbers[name]
    value = _canonical(rng)
    if name == "efer":
        value = (0x500 if place.long else 0) ^ rng.choice((1, 1, 0x801, 0x100, 0x400, 2, 0x1000, 1 << 32))
    elif name == "pat":
        value = 0x0007040600070406 ^ rng.choice((0, 0x100, 0x2020202, 0x0101010101010101, 8))
    case.registers.update(rcx=number | (rng.getrandbits(32) << 32) * (place.bits == 64), rax=value & 0xFFFFFFFF)
    case.registers["rdx"] = value >> 32 | (rng.getrandbits(32) << 32) * (place.bits == 64)
    for other in MSRS:
        if other in ("efer", "pat", "tsc_aux", "sysenter_cs"):
            continue
        if place.long and rng.random() < 0.3 and other != "sfmask":
            case.registers[other] = rng.getrandbits(46)


def _fast_call(rng: Random, case: SystemCase, place: World, size: int) -> None:
    """SYSRET, SYSEXIT and the like: MSRs and registers."""
    selector = rng.choice((0, code_selector(32, 0), code_selector(16, 0), 0x18 | rng.randrange(4), 0x1FFB))
    case.registers.update(
        rcx=_canonical(rng), rdx=_canonical(rng), r11=_flags(rng, place) | rng.choice((0, 1 << 21, NT)),
        sysenter_cs=selector, sysenter_esp=_canonical(rng) >> 20, sysenter_eip=CODE + 8,
        star=rng.getrandbits(64) & ~3 << 48, lstar=CODE + rng.randrange(PAGE), sfmask=rng.getrandbits(22),
    )  # fmt: skip
    if place.long and rng.random() < 0.8:
        case.registers["efer"] = 0x501


def _port(rng: Random, case: SystemCase, place: World, size: int) -> None:
    """Ports inside the bitmap, at its end and beyond; small counts for REP."""
    port = rng.choice((rng.randrange(0x3F0), 0x3F6 + rng.randrange(12), rng.randrange(1 << 16), 0xFFFF))
    case.registers.update(rdx=port, rcx=rng.choice((0, 1, 2, 0x10000, 3)))
    case.registers["rflags"] &= ~IOPL if rng.random() < 0.5 else -1
    for name in ("rsi", "rdi"):
        if rng.random() < 0.15:
            case.registers[name] = rng.choice((ABSENT - 1, ABSENT - 4, READ_ONLY - 1, READ_ONLY - 2, SUPERVISOR))


def _bounds(rng: Random, case: SystemCase, place: World, size: int) -> None:
    low, high = 1 << 8 * size - 1, (1 << 8 * size - 1) - 1
    _put(case, size, *rng.choice(((low, high), (low, 0), (rng.getrandbits(8 * size), rng.getrandbits(8 * size)))))


def _swap(rng: Random, case: SystemCase, place: World, size: int) -> None:
    if place.bits == 64:
        case.registers.update({"gs.base": rng.getrandbits(47), "kernel_gs_base": rng.getrandbits(47)})


def _time(rng: Random, case: SystemCase, place: World, size: int) -> None:
    if rng.random() < 0.5 and not place.real:
        case.registers["cr4"] = CR4 | 4
    if place.long:
        case.registers["tsc_aux"] = rng.getrandbits(32)


def _flags_word(rng: Random, case: SystemCase, place: World, size: int) -> None:
    if rng.random() < 0.3:
        case.registers["rsp"] = ABSENT + 0x10
    _put(case, 8 if place.bits == 64 else 4, rng.getrandbits(32) & ~(1 << 8), at=_stack(case))


_Prepare = Callable[[Random, SystemCase, World, int], None]
_PREPARE: dict[str, _Prepare] = {
    "iret iretd iretq": _frame, "retf retfq": _far_frame, "pop_seg": _popped_selector,
    "mov_seg verr verw lar lsl arpl": _selector_in_memory, "ljmp lcall": _far_pointer,
    "lds les lss lfs lgs": _data_pointer, "lgdt lidt": _table_pointer, "lldt ltr": _system_selector,
    "mov_cr lmsw smsw clts": _control_value, "mov_dr": _debug_value, "rdmsr wrmsr": _msr,
    "sysret sysretq sysexit sysexitq syscall sysenter": _fast_call,
    "in out insb insw insd outsb outsw outsd": _port, "bound": _bounds, "swapgs": _swap,
    "pushf pushfd pushfq popf popfd popfq": _flags_word, "rdtsc rdtscp": _time,
}  # fmt: skip
