"""Where MMX and SSE instructions are looked up, and what their lifters share: operands, alignment, availability.

The table is keyed by the opcode itself, written as in SDM volume 2: mandatory prefix (``66``, ``f3``, ``f2`` or none)
and opcode bytes, so that nothing depends on how Capstone spells an instruction. Lifters are plain functions over
:class:`Simd`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from capstone import x86 as cx

from frontends.x86 import state as st
from frontends.x86.lift import LIFTERS, Insn, Undefined
from jitrr.microops.table import Imm, row

_PREFIXES = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3")
CR0_MP, CR0_EM, CR0_TS = 2, 4, 8
CR4_OSFXSR, CR4_OSXMMEXCPT = 1 << 9, 1 << 10
UD, NM, GP, MF, XM = 6, 7, 13, 16, 19
FSW_ES = 0x80


@dataclass(frozen=True)
class Entry:
    """An instruction of the table. ``mmx``: it works on MMX registers; ``memory``: None, or the only form there is;
    ``gate``: the row that decides whether the unit is available."""

    name: str
    lifter: Callable[[Simd], None]
    mmx: bool
    memory: bool | None
    gate: str


#: (mandatory prefix byte or 0, opcode bytes, /reg or -1) -> instruction.
SIMD: dict[tuple[int, bytes, int], Entry] = {}


def define(
    name: str,
    key: str,
    lifter: Callable[[Simd], None],
    *,
    mmx: bool = False,
    memory: bool | None = None,
    gate: str = "",
) -> None:
    """Add an instruction under ``key``: hexadecimal prefix and opcode, ``/n`` for a group."""
    opcode, _, reg = key.partition("/")
    data = bytes.fromhex(opcode)
    prefix = data[0] if data[0] != 0x0F else 0
    at = prefix, data[1:] if prefix else data, int(reg) if reg else -1
    if at in SIMD:
        raise ValueError(f"{name}: {key} is declared twice")
    SIMD[at] = Entry(name, lifter, mmx, memory, gate or ("x86_mmx_gate" if mmx else "x86_sse_gate"))
    if name not in SHARED_NAMES:
        LIFTERS.setdefault(name, lift_simd)


def alias(*names: str) -> None:
    """Further names that Capstone has for instructions of the table."""
    for name in names:
        LIFTERS.setdefault(name, lift_simd)


#: Names that string instructions have too; their lifter calls :func:`lift_simd` for opcodes that start with 0F.
SHARED_NAMES = frozenset(("movsd", "cmpsd"))


class Simd:
    """An MMX or SSE instruction being lifted."""

    def __init__(self, i: Insn):
        self.i, self.emit = i, i.emit
        code = bytes(i.cs.bytes)
        at, prefix, rex = 0, 0, 0
        while code[at] in _PREFIXES:
            if code[at] in (0xF2, 0xF3) or (code[at] == 0x66 and not prefix):
                prefix = code[at]
            at += 1
        if i.bits == 64 and code[at] & 0xF0 == 0x40:
            rex, at = code[at], at + 1
        length = 1 if code[at] != 0x0F else (3 if code[at + 1] in (0x38, 0x3A) else 2)
        self.prefix, self.opcode = prefix, code[at : at + length]
        self.modrm = modrm = code[at + length] if at + length < len(code) else 0
        self.imm8 = code[-1]
        self.wide = bool(rex & 8)
        self.group = modrm >> 3 & 7
        self._reg, self._rm = self.group | (rex & 4) << 1, modrm & 7 | (rex & 1) << 3
        memory = [n for n, o in enumerate(i.ops) if o.type == cx.X86_OP_MEM]
        self.memory = memory[0] if memory else -1
        self._vectors = 0

    @property
    def is_mem(self) -> bool:
        return self.memory >= 0

    # -- registers: CPU block offsets ---------------------------------------------------------------------------------
    @property
    def xreg(self) -> int:
        """The XMM register in ModRM.reg."""
        return st.xmm(self._reg)

    @property
    def xrm(self) -> int:
        """The XMM register in ModRM.rm."""
        return st.xmm(self._rm)

    @property
    def greg(self) -> int:
        return st.gpr(self._reg)

    @property
    def grm(self) -> int:
        return st.gpr(self._rm)

    @property
    def mreg(self) -> int:
        """The MMX register in ModRM.reg (low half of its x87 register)."""
        return st.FPR + 16 * (self._reg & 7)

    @property
    def mrm(self) -> int:
        return st.FPR + 16 * (self._rm & 7)

    def vector(self) -> int:
        """A scratch 128-bit register."""
        self._vectors += 1
        return st.V + 16 * (self._vectors - 1)

    # -- operands -----------------------------------------------------------------------------------------------------
    def address(self, size: int, write: bool = False) -> tuple[int, Imm]:
        return self.i.address(self.memory, size, write)

    def data_pointer(self, size: int) -> tuple[int, Imm]:
        """DS:rDI (or another segment by prefix) for MASKMOVDQU and MASKMOVQ."""
        i, base = self.i, st.gpr(7)
        if i.address_bits != 64:
            base = i.temp()
            i.emit(f"ea{i.address_bits}", base, st.gpr(7))
        return i.segmented(i.data_segment(), base, Imm(0), size, True)

    def load(self, bits: int, aligned: bool = True) -> int:
        """The memory operand in a scratch register; 128 bits must be aligned unless told otherwise."""
        base, disp = self.address(bits // 8)
        target = self.vector() if bits == 128 else self.i.temp()
        self.emit("x86_ld128a" if bits == 128 and aligned else f"ld{bits}", target, base, imm=disp)
        return target

    def store(self, bits: int, source: int, aligned: bool = True) -> None:
        base, disp = self.address(bits // 8, True)
        self.emit("x86_st128a" if bits == 128 and aligned else f"st{bits}", 0, base, source, imm=disp)

    def source(self, bits: int = 128, aligned: bool = True) -> int:
        """ModRM.rm as an XMM register or memory of ``bits``."""
        return self.load(bits, aligned) if self.is_mem else self.xrm

    def mmx_source(self, bits: int = 64) -> int:
        """ModRM.rm as an MMX register or memory."""
        return self.load(bits) if self.is_mem else self.mrm

    def integer_source(self, bits: int) -> int:
        """ModRM.rm as a general register or memory."""
        return self.load(bits) if self.is_mem else self.grm

    def enter_mmx(self, *written: int) -> None:
        """What an MMX instruction does to the x87 state (SDM volume 1, 9.5): TOP = 0, all tags valid, exponents of
        ones."""
        for register in written:
            self.emit("movi64", register + 8, imm=0xFFFF)
        self.emit("movi64", st.FTOP, imm=0)
        self.emit("movi64", st.FTAG, imm=0)


def lift_simd(i: Insn) -> None:
    """Lift an MMX or SSE instruction. Raises Undefined for an opcode that is not in the table."""
    s = Simd(i)
    entry = SIMD.get((s.prefix, s.opcode, -1)) or SIMD.get((s.prefix, s.opcode, s.group))
    if entry is None or i.lock or (entry.memory is not None and entry.memory != s.is_mem):
        raise Undefined
    if i.mode & st.MODE_NOFPU:
        i.emit(entry.gate)
    if entry.mmx:
        i.emit("x87_wait")
    entry.lifter(s)


# -- rows: availability and alignment --------------------------------------------------------------------------------


def bit_set(e: Any, value: str, mask: int) -> str:
    """i1: any bit of ``mask`` in an i64."""
    return e.icmp("ne", 64, e.bin("and", 64, value, mask), 0)


def _x87_gate(e: Any) -> None:
    e.raise_if(bit_set(e, e.get("cr0"), CR0_EM | CR0_TS), NM)


def _wait_gate(e: Any) -> None:
    both = e.bin("and", 64, e.get("cr0"), CR0_MP | CR0_TS)
    e.raise_if(e.icmp("eq", 64, both, CR0_MP | CR0_TS), NM)


def _mmx_gate(e: Any) -> None:
    e.raise_if(bit_set(e, e.get("cr0"), CR0_EM), UD)
    e.raise_if(bit_set(e, e.get("cr0"), CR0_TS), NM)


def _sse_gate(e: Any) -> None:
    e.raise_if(e.icmp("eq", 64, e.bin("and", 64, e.get("cr4"), CR4_OSFXSR), 0), UD)
    _mmx_gate(e)


def _fxsave_gate(e: Any) -> None:
    """FXSAVE and FXRSTOR: EM gives #NM, OSFXSR does not matter."""
    _x87_gate(e)


#: Emitted under MODE_NOFPU only (SDM volume 3, 13.1 to 13.4).
row("x86_x87_gate", "", _x87_gate, cold=True)
row("x86_wait_gate", "", _wait_gate, cold=True)
row("x86_mmx_gate", "", _mmx_gate, cold=True)
row("x86_sse_gate", "", _sse_gate, cold=True)
row("x86_fxsave_gate", "", _fxsave_gate, cold=True)
#: #MF when an unmasked x87 exception is pending: before every waiting x87 instruction and every MMX instruction.
row("x87_wait", "", lambda e: e.raise_if(bit_set(e, e.get("fsw"), FSW_ES), MF))


def _aligned(e: Any, base: str, offset: str) -> str:
    address = e.bin("add", 64, base, offset)
    e.raise_if(bit_set(e, address, 15), GP, 0)
    return address


row("x86_ld128a", "d128 <- a64 i64", lambda e, a, i: e.load(128, _aligned(e, a, i)))
row("x86_st128a", "a64 b128 i64", lambda e, a, b, i: e.store(128, _aligned(e, a, i), b))


# -- MXCSR -----------------------------------------------------------------------------------------------------------
# The guest's MXCSR is live in the host's with all exceptions masked; what the guest has unmasked is in bits 32..37 of
# the field (one per exception flag). While any is, MODE_NOFPU is on, so that only code lifted then looks for unmasked
# exceptions.


def live_from_field(e: Any) -> None:
    """Host MXCSR := low half of field mxcsr."""
    pointer = e.pointer(e.layout["mxcsr"])
    e.line(f' call void asm sideeffect "ldmxcsr ($0)", "r,~{{memory}}"(ptr {pointer})')


def field_from_live(e: Any) -> None:
    """Low half of field mxcsr := host MXCSR."""
    pointer = e.pointer(e.layout["mxcsr"])
    e.line(f' call void asm sideeffect "stmxcsr ($0)", "r,~{{memory}}"(ptr {pointer})')


#: Formats of x87 environments: 32 bits wide, real mode; and of FXSAVE images: 64-bit pointers, 16 XMM registers.
WIDE, REAL = 1, 2
POINTERS_64, XMM_16 = 1, 2
