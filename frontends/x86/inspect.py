"""An x86 processor as a debugger sees it: its registers by gdb's names, and what is mapped where. Nothing that is read
here leaves a trace in the guest.

Names and order are those of gdb's features (gdb manual, G.5.5: org.gnu.gdb.i386.core, .sse, .segments); the system
registers have QEMU's names where it has them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from frontends.registers import Register, RegisterFile, Slot
from frontends.x86 import peek
from frontends.x86 import state as st

MASK64 = (1 << 64) - 1
CORE, SSE, SEGMENTS, SYSTEM = "org.gnu.gdb.i386.core", "org.gnu.gdb.i386.sse", "org.gnu.gdb.i386.segments", "jitrr.x86"
#: General registers in gdb's order, each with its number in instructions.
_ORDER64 = (("rax", 0), ("rbx", 3), ("rcx", 1), ("rdx", 2), ("rsi", 6), ("rdi", 7), ("rbp", 5), ("rsp", 4),
            *((f"r{n}", n) for n in range(8, 16)))  # fmt: skip
_ORDER32 = (("eax", 0), ("ecx", 1), ("edx", 2), ("ebx", 3), ("esp", 4), ("ebp", 5), ("esi", 6), ("edi", 7))
_SELECTORS = (("cs", st.CS), ("ss", st.SS), ("ds", st.DS), ("es", st.ES), ("fs", st.FS), ("gs", st.GS))
#: System registers that are fields of the CPU block: field, index, bits.
_TABLES = (("gdtr_base", 64), ("gdtr_limit", 16), ("idtr_base", 64), ("idtr_limit", 16))
_MSRS = ("star", "lstar", "cstar", "sfmask", "sysenter_cs", "sysenter_esp", "sysenter_eip", "pat", "tsc_aux",
         "tsc_offset", "misc_enable")  # fmt: skip
#: Entry bits of page tables (SDM volume 3, 4.5); NX is bit 63.
_P, _RW, _US, _PS = 1, 2, 4, 0x80
_CR0_PG, _CR4_PSE, _CR4_PAE, _EFER_LMA = 1 << 31, 16, 32, 1 << 10
_ADDRESS = (1 << st.PHYSICAL_BITS) - 4096


class X86Inspector(RegisterFile):
    """Registers and mappings of an ``X86Cpu``."""

    def __init__(self, cpu: Any):
        self._cpu = cpu
        self._wide = bool(cpu.get("has_long_mode"))
        super().__init__([*self._core(), *self._x87(), *self._vectors(), *self._system()])

    @property
    def pc(self) -> int:
        """Linear address of the next instruction."""
        return int(self._cpu.engine.linear(self._cpu.get("pc")))

    @property
    def code(self) -> str:
        """How code is read at ``pc``: "16", "32" or "64"."""
        return ("16", "32", "64")[self._cpu.get("mode") & 3]

    # -- registers ----------------------------------------------------------------------------------------------------
    def _field(self, name: str, field: str, index: int, shape: tuple[int, str, str, str], writable: bool) -> Slot:
        cpu = self._cpu
        write = (lambda value: cpu.set(field, value, index)) if writable else None
        return Slot(Register(name, *shape), lambda: cpu.get(field, index) & (1 << shape[0]) - 1, write)

    def _core(self) -> Iterator[Slot]:
        cpu, bits = self._cpu, 64 if self._wide else 32
        for name, number in _ORDER64 if self._wide else _ORDER32:
            kind = "data_ptr" if name[1:] in ("bp", "sp") else f"int{bits}"
            yield self._field(name, "gpr", number, (bits, "general", CORE, kind), True)
        pc = "rip" if self._wide else "eip"
        yield self._field(pc, "pc", 0, (bits, "general", CORE, "code_ptr"), True)
        yield Slot(Register("eflags", 32, "general", CORE, "i386_eflags"), lambda: cpu.flags & 0xFFFFFFFF,
                   self._set_flags)  # fmt: skip
        for name, number in _SELECTORS:
            yield self._field(name, "seg_sel", number, (32, "general", CORE, "int32"), False)

    def _set_flags(self, value: int) -> None:
        self._cpu.set_flags(value)
        self._cpu.engine.call("update_mode")

    def _x87(self) -> Iterator[Slot]:
        cpu = self._cpu
        for number in range(8):
            yield Slot(Register(f"st{number}", 80, "float", CORE, "i387_ext"), partial(self._st, number),
                       partial(self._set_st, number))  # fmt: skip
        readers: tuple[tuple[str, Callable[[], int]], ...] = (
            ("fctrl", lambda: cpu.get("fcw")), ("fstat", lambda: cpu.get("fsw") | cpu.get("ftop") << 11),
            ("ftag", self._tags), ("fiseg", lambda: 0), ("fioff", lambda: cpu.get("fip") & 0xFFFFFFFF),
            ("foseg", lambda: 0), ("fooff", lambda: cpu.get("fdp") & 0xFFFFFFFF), ("fop", lambda: cpu.get("fop")),
        )  # fmt: skip
        for name, read in readers:
            yield Slot(Register(name, 32, "float", CORE), read)

    def _physical_st(self, number: int) -> int:
        """Index in 64-bit words of ST(number) within ``fpr``."""
        return 2 * (self._cpu.get("ftop") + number & 7)

    def _st(self, number: int) -> int:
        at = self._physical_st(number)
        return int(self._cpu.get("fpr", at) | (self._cpu.get("fpr", at + 1) & 0xFFFF) << 64)

    def _set_st(self, number: int, value: int) -> None:
        at = self._physical_st(number)
        self._cpu.set("fpr", value & MASK64, at)
        self._cpu.set("fpr", value >> 64, at + 1)

    def _tags(self) -> int:
        """The full tag word (SDM volume 1, 8.1.7): valid 0, zero 1, special 2, empty 3."""
        cpu, tags = self._cpu, 0
        for number in range(8):
            significand, exponent = cpu.get("fpr", 2 * number), cpu.get("fpr", 2 * number + 1) & 0x7FFF
            if cpu.get("ftag") >> number & 1:
                tag = 3
            elif exponent == 0 and significand == 0:
                tag = 1
            else:
                tag = 0 if 0 < exponent < 0x7FFF and significand >> 63 else 2
            tags |= tag << 2 * number
        return tags

    def _vectors(self) -> Iterator[Slot]:
        for number in range(16 if self._wide else 8):
            yield Slot(Register(f"xmm{number}", 128, "vector", SSE, "vec128"), partial(self._xmm, 2 * number),
                       partial(self._set_xmm, 2 * number))  # fmt: skip
        yield Slot(Register("mxcsr", 32, "vector", SSE, "i386_mxcsr"), self._mxcsr)

    def _xmm(self, at: int) -> int:
        return int(self._cpu.get("xmm", at) | self._cpu.get("xmm", at + 1) << 64)

    def _set_xmm(self, at: int, value: int) -> None:
        self._cpu.set("xmm", value & MASK64, at)
        self._cpu.set("xmm", value >> 64, at + 1)

    def _mxcsr(self) -> int:
        """The field has all exceptions masked, and above that those which the guest has not (fxsave.py)."""
        field = self._cpu.get("mxcsr")
        return (field & 0xFFFF) ^ (field >> 32) << 7 & 0x1F80

    def _system(self) -> Iterator[Slot]:
        cpu, bits = self._cpu, 64 if self._wide else 32
        kind = f"int{bits}"
        feature = SEGMENTS if self._wide else SYSTEM
        for name in ("fs", "gs"):
            number = st.FS if name == "fs" else st.GS
            yield self._field(f"{name}_base", "seg_base", number, (bits, "system", feature, kind), False)
        shape = (bits, "system", SYSTEM, kind)
        if self._wide:
            yield self._field("k_gs_base", "kernel_gs_base", 0, shape, True)
        for name in ("cr0", "cr2", "cr3", "cr4"):
            yield self._field(name, name, 0, shape, name == "cr2")
        if self._wide:
            yield Slot(Register("cr8", *shape), lambda: int(cpu.machine.apic.tpr >> 4))
        yield self._field("efer", "efer", 0, shape, False)
        for name, number in (*_SELECTORS[:4], ("ldtr", st.LDTR), ("tr", st.TR)):
            if name in ("ldtr", "tr"):
                yield self._field(name, "seg_sel", number, (16, "system", SYSTEM, "int16"), False)
            yield self._field(f"{name}_base", "seg_base", number, shape, False)
        for name, width in _TABLES:
            yield self._field(name, name, 0, (min(width, bits), "system", SYSTEM, f"int{min(width, bits)}"), False)
        for number in (0, 1, 2, 3, 6, 7):
            yield self._field(f"dr{number}", "dr", number, shape, False)
        for name in _MSRS:
            yield self._field(name, name, 0, (64, "system", SYSTEM, "int64"), False)

    # -- memory -------------------------------------------------------------------------------------------------------
    def physical(self, address: int) -> int | None:
        """Physical address that a linear one is mapped to, or None."""
        return peek.physical(self._cpu.engine, address & MASK64)

    def mappings(self) -> Iterator[tuple[int, int, int, str]]:
        """Pages in the order of their addresses: linear, physical, size, flags (u: user mode may read it, r, w, x; - in
        the place of what is not allowed). Nothing while paging is off."""
        cpu = self._cpu
        cr0, cr3, cr4 = cpu.get("cr0"), cpu.get("cr3"), cpu.get("cr4")
        if not cr0 & _CR0_PG:
            return
        if not cr4 & _CR4_PAE:
            yield from self._mapped32(cr3 & 0xFFFFF000, bool(cr4 & _CR4_PSE))
        elif cpu.get("efer") & _EFER_LMA:
            yield from self._mapped64(cr3 & _ADDRESS, 3, 0, _US | _RW, True)
        else:
            for number in range(4):
                if (pdpte := cpu.get("pdpte", number)) & _P:
                    yield from self._mapped64(pdpte & _ADDRESS, 1, number << 30, _US | _RW, True)

    def _entries(self, table: int, size: int) -> tuple[int, ...]:
        """The entries of a table; none outside RAM."""
        engine = self._cpu.engine
        at = engine.locate(table)
        if at is None:
            return ()
        return struct.unpack_from("<512Q" if size == 8 else "<1024I", engine.ram.map, at)

    def _mapped32(self, table: int, large_pages: bool) -> Iterator[tuple[int, int, int, str]]:
        for upper, entry in enumerate(self._entries(table, 4)):
            if entry & _P and entry & _PS and large_pages:
                physical = entry & 0xFFC00000 | (entry & 0x1FE000) << 19
                yield upper << 22, physical, 1 << 22, _flags(entry, True)
            elif entry & _P:
                for lower, leaf in enumerate(self._entries(entry & 0xFFFFF000, 4)):
                    if leaf & _P:
                        yield upper << 22 | lower << 12, leaf & 0xFFFFF000, 4096, _flags(entry & leaf, True)

    def _mapped64(self, table: int, level: int, linear: int, rights: int,
                  executable: bool) -> Iterator[tuple[int, int, int, str]]:  # fmt: skip
        """What is mapped below a table of a level (0: page tables) that begins at ``linear``."""
        size = 1 << 12 + 9 * level
        for number, entry in enumerate(self._entries(table, 8)):
            if not entry & _P:
                continue
            at = linear + number * size
            if level == 3 and number >= 256:
                at |= 0xFFFF << 48
            both, may_execute = rights & entry, executable and not entry >> 63
            if level == 0 or entry & _PS:
                yield at, entry & _ADDRESS & -size, size, _flags(both, may_execute)
            else:
                yield from self._mapped64(entry & _ADDRESS, level - 1, at, both, may_execute)


def _flags(rights: int, executable: bool) -> str:
    return f"{'u' if rights & _US else '-'}r{'w' if rights & _RW else '-'}{'x' if executable else '-'}"
