"""The memory and the modes that system instructions are tested in: real descriptor tables, a TSS, page tables.

A *world* is a processor mode and a privilege level, by name: ``real``, ``p16.0``, ``p32.3``, ``c32.3`` (compatibility
mode), ``l64.0`` and so on. Everything lies below 64 KiB, so that 16-bit code reaches it, and is mapped to itself. The
IDT lies outside RAM: an executor sees an exception when the processor reads there, before anything of its delivery.
Page BELOW is mapped there too, so that a table across BELOW and GATES has its first vectors outside RAM.
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass

PAGE = 4096
RAM = 1 << 20
GDT, LDT, TSS, DATA = 0x1000, 0x2000, 0x3000, 0x4000
BESIDE, STACK, CODE, KERNEL_STACK = 0x6000, 0x7000, 0x8000, 0x9000
READ_ONLY, ABSENT, SUPERVISOR, BOOT, BELOW, GATES, TABLES, IDT = (
    0xA000, 0xB000, 0xC000, 0xD000, 0xE000, 0xF000, 0x20000, 0x100000,
)  # fmt: skip
PDPT_PAE, PDPT, DIRECTORY, TABLE = TABLES + 0x1000, TABLES + 0x2000, TABLES + 0x3000, TABLES + 0x4000
USER_PAGES = (DATA, DATA + PAGE, STACK, CODE, READ_ONLY)
#: Pages that an instruction may write, or that a fault must leave alone.
OBSERVED = (GDT, LDT, TSS, DATA, DATA + PAGE, BESIDE, STACK, KERNEL_STACK, READ_ONLY, ABSENT, SUPERVISOR)
#: Where the stack pointer and the code of a case are.
TOP, PC = STACK + 0x800, CODE + 0x100
LDT_SELECTOR, TSS_SELECTOR = 0xFE0, 0xFF0
IO_MAP, TSS_LIMIT = 0x68, 0x68 + 0x80 - 1
CR4 = 0x620 | 0x10 | 8
CR0 = 0x80000033


@dataclass(frozen=True)
class Descriptor:
    """A segment or system descriptor. ``kind``: S bit and type; ``flags``: G, D/B, L, AVL as bits 3 to 0."""

    kind: int
    level: int = 0
    flags: int = 0xC
    base: int = 0
    limit: int = 0xFFFFF
    present: bool = True

    def pack(self) -> int:
        """The 8 bytes as a number."""
        access = self.kind | self.level << 5 | self.present << 7
        low = self.limit & 0xFFFF | (self.base & 0xFFFFFF) << 16
        return low | access << 40 | (self.limit >> 16) << 48 | self.flags << 52 | (self.base >> 24 & 255) << 56


DATA_RW, CODE_R, LDT_TYPE, TSS_TYPE = 0x13, 0x1B, 0x02, 0x09
D64, D32, D16 = 0xA, 0xC, 0x0


def code_selector(bits: int, level: int) -> int:
    """Of a flat code segment."""
    return 8 * (1 + {16: 0, 32: 4, 64: 8}[bits] + level) | level


def data_selector(bits: int, level: int) -> int:
    """Of a flat, writable data segment."""
    return 8 * (13 + (0 if bits == 16 else 4) + level) | level


def _fixed() -> list[Descriptor]:
    """Flat code of each size, then data, at each level."""
    sizes = [Descriptor(CODE_R, level, flags, limit=0xFFFF if flags == D16 else 0xFFFFF)
             for flags in (D16, D32, D64) for level in range(4)]  # fmt: skip
    return sizes + [Descriptor(DATA_RW, level, flags, limit=0xFFFF if flags == D16 else 0xFFFFF)
                    for flags in (D16, D32) for level in range(4)]  # fmt: skip


def _varied() -> list[Descriptor]:
    """Code and data of every type, some absent, some small, some with a base; accessed or not."""
    out = []
    for kind in range(0x10, 0x20):
        for level in (0, 3, 1 + kind % 2):
            out.append(Descriptor(kind, level, D32, base=DATA if kind & 1 else 0, limit=0xFF))
        out.append(Descriptor(kind, 3 * (kind & 1), D32, present=False))
    out += [Descriptor(kind, level, flags) for kind in (0x1B, 0x1F) for level in (0, 3) for flags in (D64, 0xE)]
    out.append(Descriptor(0x1B, 3, D16, base=CODE - 0x4000, limit=0x5FFF))
    return [*out, Descriptor(0x1F, 0, D32, limit=8)]


#: Numbers of the first system descriptor in the GDT, and of what follows the last one.
SYSTEM_FIRST = 1 + 20 + len(_varied())
SYSTEM_END = SYSTEM_FIRST + 48
#: Selector of writable data of level 0 that are not present.
ABSENT_DATA = 8 * (21 + next(n for n, d in enumerate(_varied()) if d.kind == 0x12 and not d.present))


def _system() -> list[Descriptor]:
    """System descriptors of every type."""
    return [Descriptor(kind, level, 0, base=TSS, limit=TSS_LIMIT, present=present)
            for kind in range(16) for level, present in ((0, True), (3, True), (3, False))]  # fmt: skip


def _table(wide: bool) -> bytes:
    """The GDT; ``wide``: system descriptors are 16 bytes."""
    out = struct.pack("<Q", 0) + b"".join(struct.pack("<Q", d.pack()) for d in (*_fixed(), *_varied()))
    for descriptor in _system():
        out += struct.pack("<Q", descriptor.pack())
        if wide:
            out += struct.pack("<Q", 0x1200_0000_0000 if descriptor.kind == 9 and descriptor.level else 0x7FFF)
    assert len(out) <= LDT_SELECTOR
    out = out.ljust(LDT_SELECTOR, b"\0")
    for kind, base, limit in ((LDT_TYPE, LDT, 0x7F), (TSS_TYPE, TSS, TSS_LIMIT)):
        out += struct.pack("<2Q", Descriptor(kind, 0, 0, base, limit).pack(), 0)
    return out


def _local() -> bytes:
    """The LDT: null-like, code and data."""
    kinds = (Descriptor(0), *(Descriptor(kind, level) for kind in (0x13, 0x1B, 0x1F) for level in (0, 3)),
             Descriptor(0x13, 3, present=False), Descriptor(0x1B, 3, D64))  # fmt: skip
    return b"".join(struct.pack("<Q", d.pack()) for d in kinds)


@dataclass(frozen=True)
class World:
    """A mode and level. ``bits``: 16, 32 or 64, of the code segment; ``long``: long mode is active."""

    name: str

    @property
    def real(self) -> bool:
        """Real mode."""
        return self.name == "real"

    @property
    def long(self) -> bool:
        """Long mode is active."""
        return self.name[0] in "lc"

    @property
    def bits(self) -> int:
        """Default operand size of the code segment; 64: 64-bit mode."""
        return 16 if self.real else int(self.name[1:3])

    @property
    def level(self) -> int:
        """CPL."""
        return 0 if self.real else int(self.name[-1])

    @property
    def gate_size(self) -> int:
        """Bytes of an IDT entry."""
        return 4 if self.real else 16 if self.long else 8

    @functools.cached_property
    def code(self) -> int:
        """Selector of CS."""
        return 0 if self.real else code_selector(self.bits, self.level)

    @functools.cached_property
    def data(self) -> int:
        """Selector of the other segment registers."""
        return 0 if self.real else data_selector(min(self.bits, 32), self.level)

    @functools.cached_property
    def memory(self) -> dict[int, bytes]:
        """Pages of the image, besides the code."""
        pages = {GDT: _table(self.long), LDT: _local(), TSS: self._tss()}
        for page in OBSERVED[3:]:
            pages[page] = b""
        pages |= _page_tables()
        pages |= {BOOT: self.boot, GATES: b""}
        return {page: data.ljust(PAGE, b"\0") for page, data in pages.items()}

    def _tss(self) -> bytes:
        """Stacks for levels 0 to 2, and an I/O bitmap with every third port denied."""
        tss = bytearray(TSS_LIMIT + 1)
        if self.long:
            struct.pack_into("<3Q", tss, 4, KERNEL_STACK + 0x800, KERNEL_STACK + 0x600, KERNEL_STACK + 0x400)
            struct.pack_into("<7Q", tss, 36, *(KERNEL_STACK + 0x100 * n for n in range(1, 8)))
        else:
            stacks = [v for n in range(3) for v in (KERNEL_STACK + 0x800 - 0x200 * n, data_selector(32, n))]
            struct.pack_into("<6I", tss, 4, *stacks)
        struct.pack_into("<H", tss, 0x66, IO_MAP)
        denied = sum(1 << n for n in range(0, 8 * 0x80, 3))
        tss[IO_MAP:] = (denied & (1 << 8 * 0x80) - 1).to_bytes(0x80, "little")[: TSS_LIMIT + 1 - IO_MAP]
        return bytes(tss)

    @functools.cached_property
    def boot(self) -> bytes:
        """Code that enters the world from flat level 0 of its family (real mode, 32-bit, 64-bit); its data follow."""
        if self.real:
            load = b"\x66\x0f\x01\x1e" + struct.pack("<H", BOOT + 0x80)
            load += b"\x66\x0f\x01\x16" + struct.pack("<H", BOOT + 0x90)
            data = _pointer(IDT, 0x3FF).ljust(16, b"\0") + _pointer(GDT, 0xFFF)
            return (load + b"\xe9" + struct.pack("<h", PC - BOOT - 15)).ljust(0x80, b"\0") + data
        wide = self.long
        absolute = b"\x04\x25" if wide else b"\x05"
        out = b"".join(
            b"\x0f\x01" + bytes([absolute[0] | op << 3]) + absolute[1:] + struct.pack("<I", BOOT + at)
            for op, at in ((2, 0x180), (3, 0x190))
        )
        cr3 = TABLES if wide else PDPT_PAE
        for value, modrm in ((CR4, 0xE0), (cr3, 0xD8), (CR0, 0xC0)):
            out += b"\xb8" + struct.pack("<I", value) + b"\x0f\x22" + bytes([modrm])
        for value, op in ((TSS_SELECTOR, 0xD8), (LDT_SELECTOR, 0xD0)):
            out += b"\x66\xb8" + struct.pack("<H", value) + b"\x0f\x00" + bytes([op])
        out += b"\x66\xb8" + struct.pack("<H", data_selector(32, 0)) + b"\x8e\xd0\xbc" + struct.pack("<I", TOP)
        for modrm in (0xC0, 0xD8, 0xE0, 0xE8):
            out += b"\x66\xb8" + struct.pack("<H", self.data) + b"\x8e" + bytes([modrm])
        if not wide and not self.level:
            out += b"\x66\xb8" + struct.pack("<H", self.data) + b"\x8e\xd0"
        frame = (self.data, TOP) if wide or self.level else ()
        out += b"".join(b"\x68" + struct.pack("<I", v) for v in (*frame, 2, self.code, PC))
        out += b"\x48\xcf" if wide else b"\xcf"
        assert len(out) < 0x180
        return out.ljust(0x180, b"\x90") + _pointer(GDT, PAGE - 1).ljust(16, b"\0") + _pointer(IDT, 0xFFF)


def _pointer(base: int, limit: int) -> bytes:
    return struct.pack("<HQ", limit, base)


@functools.cache
def _page_tables() -> dict[int, bytes]:
    """4-level and PAE tables for the first MiB and the IDT behind it; what is not for users is for the supervisor."""
    entries = []
    for page in range(0, IDT + PAGE, PAGE):
        user = 4 if page in USER_PAGES else 0
        frame = IDT if page == BELOW else page
        entries.append(0 if page == ABSENT else frame | user | (1 if page == READ_ONLY else 3))
    tables = {TABLES: [PDPT | 7], PDPT: [DIRECTORY | 7], PDPT_PAE: [DIRECTORY | 1], DIRECTORY: [TABLE | 7]}
    tables[TABLE] = entries
    return {page: struct.pack(f"<{len(words)}Q", *words) for page, words in tables.items()}


NAMES = ("real", "p16.0", "p16.3", "p32.0", "p32.1", "p32.3", "c32.0", "c32.3", "l64.0", "l64.3")


@functools.cache
def world(name: str) -> World:
    """The world of a name. ValueError when there is none."""
    if name not in NAMES:
        raise ValueError(f"no world {name}")
    return World(name)
