"""An ARM processor as a debugger sees it: its registers by gdb's names, and what is mapped where. Nothing that is read
here leaves a trace in the guest.

Names and order are those of gdb's features (gdb manual, G.5.3: org.gnu.gdb.arm.core, .vfp, .neon); banked registers and
those of CP15 and the VFP's FPEXC have the manual's names (DDI 0406C, B1.3, B3.17), those of CP15 in capitals.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from typing import Any

from frontends.arm import peek
from frontends.arm import state as st
from frontends.registers import NotWritable, Register, RegisterFile, Slot

MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1
CORE, VFP, NEON, SYSTEM = "org.gnu.gdb.arm.core", "org.gnu.gdb.arm.vfp", "org.gnu.gdb.arm.neon", "jitrr.arm"
#: Names of the banks (state.BANK_*), and the mode that uses each.
_BANKS = ("usr", "fiq", "irq", "svc", "abt", "und")
_MODES = (st.M_USR, st.M_FIQ, st.M_IRQ, st.M_SVC, st.M_ABT, st.M_UND)
_WIDE = ("ttbr0", "ttbr1", "par")
_CP15 = ("sctlr", "actlr", "cpacr", "ttbr0", "ttbr1", "ttbcr", "dacr", "dfsr", "ifsr", "dfar", "ifar", "par", "adfsr",
         "aifsr", "mair0", "mair1", "amair0", "amair1", "vbar", "contextidr", "tpidrurw", "tpidruro", "tpidrprw",
         "csselr", "l2ctlr", "cntfrq", "cntkctl", "fpexc")  # fmt: skip
_SCTLR_M, _TTBCR_EAE = 1, 1 << 31
_MANAGER = 3
_OUTPUT = ((1 << 40) - 1) & -4096


class ArmInspector(RegisterFile):
    """Registers and mappings of an ``ArmCpu``."""

    def __init__(self, cpu: Any):
        self._cpu = cpu
        super().__init__([*self._core(), *self._vfp(), *self._banked(), *self._cp15()])

    @property
    def pc(self) -> int:
        """Address of the next instruction."""
        return int(self._cpu.get("pc"))

    @property
    def code(self) -> str:
        """How code is read at ``pc``: "arm" or "thumb"."""
        return "thumb" if self._cpu.get("thumb") else "arm"

    # -- registers ----------------------------------------------------------------------------------------------------
    def _core(self) -> Iterator[Slot]:
        cpu = self._cpu
        names = (*(f"r{n}" for n in range(13)), "sp", "lr")
        for number, name in enumerate(names):
            kind = {"sp": "data_ptr"}.get(name, "uint32")
            yield Slot(Register(name, 32, "general", CORE, kind), partial(cpu.get, "gpr", number),
                       partial(self._put, "gpr", number))  # fmt: skip
        yield Slot(Register("pc", 32, "general", CORE, "code_ptr"), partial(cpu.get, "pc"), partial(self._put, "pc", 0))
        yield Slot(Register("cpsr", 32, "general", CORE), lambda: int(cpu.cpsr), self._set_cpsr)

    def _put(self, field: str, index: int, value: int) -> None:
        self._cpu.set(field, value, index)

    def _set_cpsr(self, value: int) -> None:
        if (value ^ self._cpu.cpsr) & 0x1F:
            raise NotWritable("the mode in cpsr cannot be changed from outside: other registers would be banked in")
        self._cpu.set_cpsr(value)
        self._cpu.engine.call("update_mode")

    def _vfp(self) -> Iterator[Slot]:
        cpu = self._cpu
        for number in range(32):
            yield Slot(Register(f"d{number}", 64, "float", VFP, "ieee_double"), partial(cpu.get, "q", number),
                       partial(self._put, "q", number))  # fmt: skip
        parts = ("fpscr", "fpcc", "fpqc", "fpflags")
        yield Slot(Register("fpscr", 32, "float", VFP), lambda: sum(cpu.get(part) for part in parts) & MASK32)
        for number in range(16):
            yield Slot(Register(f"q{number}", 128, "vector", NEON, "neon_q"), partial(self._q, 2 * number),
                       partial(self._set_q, 2 * number))  # fmt: skip

    def _q(self, at: int) -> int:
        return int(self._cpu.get("q", at) | self._cpu.get("q", at + 1) << 64)

    def _set_q(self, at: int, value: int) -> None:
        self._cpu.set("q", value & MASK64, at)
        self._cpu.set("q", value >> 64, at + 1)

    def _banked(self) -> Iterator[Slot]:
        """R13, R14 and SPSR of all modes; those in use are R13 and R14 themselves."""
        for bank, name in enumerate(_BANKS):
            for register, (number, field) in {"sp": (13, "banked_r13"), "lr": (14, "banked_r14")}.items():
                yield self._system(f"{register}_{name}", partial(self._banked_value, bank, number, field))
            if bank != st.BANK_USER:
                yield self._system(f"spsr_{name}", partial(self._cpu.get, "spsr", bank))

    def _banked_value(self, bank: int, number: int, field: str) -> int:
        mode = self._cpu.get("cpsr") & 0x1F
        in_use = mode == _MODES[bank] or (mode == st.M_SYS and bank == st.BANK_USER)
        return int(self._cpu.get("gpr", number) if in_use else self._cpu.get(field, bank))

    def _cp15(self) -> Iterator[Slot]:
        for name in _CP15:
            yield self._system(name.upper(), partial(self._cpu.get, name), 64 if name in _WIDE else 32)

    def _system(self, name: str, read: Any, bits: int = 32) -> Slot:
        return Slot(Register(name, bits, "system", SYSTEM, f"uint{bits}"), read)

    # -- memory -------------------------------------------------------------------------------------------------------
    def physical(self, address: int) -> int | None:
        """Physical address that a virtual one is mapped to, or None."""
        return peek.physical(self._cpu.engine, address & MASK32)

    def mappings(self) -> Iterator[tuple[int, int, int, str]]:
        """Pages in the order of their addresses: virtual, physical, size, flags (u: user mode may read it; r, w:
        privileged modes may; x: somebody may execute; - in the place of what is not allowed). Nothing while the MMU is
        off."""
        if not self._cpu.get("sctlr") & _SCTLR_M:
            return
        if self._cpu.get("ttbcr") & _TTBCR_EAE:
            yield from self._long()
        else:
            yield from self._short()

    def _words(self, table: int, form: str) -> tuple[int, ...]:
        """Descriptors at a physical address; none outside RAM."""
        engine = self._cpu.engine
        at = engine.locate(table)
        return () if at is None else struct.unpack_from(form, engine.ram.map, at)

    # Short descriptors (B3.5).
    def _short(self) -> Iterator[tuple[int, int, int, str]]:
        ttbcr = self._cpu.get("ttbcr")
        n = ttbcr & 7
        low = 4096 >> n
        first: tuple[int, ...] = ()
        if not ttbcr & 0x10:
            first = self._words(self._cpu.get("ttbr0") & (-1 << 14 - n) & MASK32, f"<{low}I")
        for number, entry in enumerate(first):
            yield from self._section(number, entry)
        if n and not ttbcr & 0x20:
            for number, entry in enumerate(self._words(self._cpu.get("ttbr1") & 0xFFFFC000, "<4096I")):
                if number >= low:
                    yield from self._section(number, entry)

    def _section(self, number: int, entry: int) -> Iterator[tuple[int, int, int, str]]:
        """What a first-level descriptor maps."""
        virtual = number << 20
        if entry & 2:
            ap, xn = entry >> 13 & 4 | entry >> 10 & 3, bool(entry & 16)
            if not entry & 1 << 18:
                yield virtual, entry & 0xFFF00000, 1 << 20, self._rights(ap, xn, entry >> 5 & 15)
            elif number % 16 == 0:  # a supersection has the same descriptor sixteen times
                physical = entry & 0xFF000000 | (entry & 0xF00000) << 12 | (entry & 0x1E0) << 31
                yield virtual, physical, 1 << 24, self._rights(ap, xn, 0)
        elif entry & 1:
            for at, leaf in enumerate(self._words(entry & 0xFFFFFC00, "<256I")):
                ap = leaf >> 7 & 4 | leaf >> 4 & 3
                if leaf & 2:
                    flags = self._rights(ap, bool(leaf & 1), entry >> 5 & 15)
                    yield virtual | at << 12, leaf & 0xFFFFF000, 4096, flags
                elif leaf & 1 and at % 16 == 0:
                    flags = self._rights(ap, bool(leaf & 1 << 15), entry >> 5 & 15)
                    yield virtual | at << 12, leaf & 0xFFFF0000, 1 << 16, flags

    def _rights(self, ap: int, xn: bool, domain: int) -> str:
        """Flags of AP[2:0] in a domain (tables B3-8, B3-15)."""
        kind = self._cpu.get("dacr") >> 2 * domain & 3
        if kind == _MANAGER:
            return "urwx"
        if not kind & 1 or ap in (0, 4):
            return "----"
        return _flags(ap & 2 != 0, not ap & 4, not xn)

    # Long descriptors (B3.6).
    def _long(self) -> Iterator[tuple[int, int, int, str]]:
        ttbcr = self._cpu.get("ttbcr")
        for which, (size, disabled) in enumerate(((ttbcr & 7, 1 << 7), (ttbcr >> 16 & 7, 1 << 23))):
            if ttbcr & disabled:
                continue
            ttbr = self._cpu.get(f"ttbr{which}") & (1 << 40) - 1
            level = 1 if size < 2 else 2
            entries = 1 << 32 - size - (39 - 9 * level)
            start = ((1 << 32) - (1 << 32 - size)) if which else 0
            for page in self._table(ttbr & -8 * entries, level, start, entries, 0):
                if which or not self._second_table(page[0], ttbcr):
                    yield page

    def _second_table(self, virtual: int, ttbcr: int) -> bool:
        """Whether an address below the reach of TTBR0 is TTBR1's all the same."""
        size0, size1 = ttbcr & 7, ttbcr >> 16 & 7
        return bool(size1) and not size0 and virtual >> 32 - size1 == (1 << size1) - 1

    def _table(self, table: int, level: int, start: int, entries: int,
               taken: int) -> Iterator[tuple[int, int, int, str]]:  # fmt: skip
        """What a table of a level maps from ``start`` on; ``taken``: what tables before it do not allow (59..62)."""
        size = 1 << 39 - 9 * level
        for number, entry in enumerate(self._words(table, f"<{entries}Q")):
            if not entry & 1 or (level == 3 and not entry & 2):
                continue
            virtual = start + number * size
            if level < 3 and entry & 2:
                yield from self._table(entry & _OUTPUT, level + 1, virtual, 512, taken | entry >> 59 & 15)
            else:
                user = bool(entry >> 6 & 1) and not taken & 4
                writable = not (entry >> 7 & 1 or taken & 8)
                yield virtual, entry & _OUTPUT & -size, size, _flags(user, writable, not (entry >> 54 & 1 or taken & 2))


def _flags(user: bool, writable: bool, executable: bool) -> str:
    return f"{'u' if user else '-'}r{'w' if writable else '-'}{'x' if executable else '-'}"
