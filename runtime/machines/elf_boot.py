"""Loads an ELF image by its program headers and enters it as the Multiboot specification (0.6.96, chapter 3.2) says;
an initrd is its only module (3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import pack, unpack_from

from runtime.machines.memory_map import EXTENDED, USABLE_LOW, ram_ranges

MAGIC = 0x2BADB002
GDT, INFO, MODULE, COMMAND_LINE = 0x6000, 0x7000, 0x70C0, 0x7100
COMMAND_LINE_SIZE = 0x8000 - COMMAND_LINE
CODE_SELECTOR, DATA_SELECTOR = 0x08, 0x10
_GDT_ENTRIES = (0, 0x00CF9A00_0000FFFF, 0x00CF9200_0000FFFF)
_HAS_MEMORY, _HAS_COMMAND_LINE, _HAS_MODULES = 1, 4, 8
_LOADABLE = 1
_EM_ARM = 40
#: 80386, 80486 and x86-64.
_MACHINES = (3, 6, 62)


@dataclass(frozen=True)
class ElfEntry:
    """The processor state at entry: 32-bit protected mode, paging off, interrupts off, flat segments."""

    eip: int
    eax: int
    ebx: int  # the information structure
    gdt_base: int
    gdt_limit: int
    code_selector: int
    data_selector: int


def _segments(image: bytes) -> tuple[int, list[tuple[int, bytes, int]]]:
    """Entry point and (physical address, file contents, size in memory) of each loadable segment."""
    if image[:4] != b"\x7fELF" or len(image) < 64 or image[4] not in (1, 2) or image[5] != 1:
        raise ValueError("not a little-endian ELF image")
    if (machine := unpack_from("<H", image, 18)[0]) not in _MACHINES:
        raise ValueError("the ELF image is for ARM: use --arch arm" if machine == _EM_ARM else
                         f"the ELF image is not for x86 (its machine is number {machine})")  # fmt: skip
    wide = image[4] == 2
    entry, table = unpack_from("<QQ" if wide else "<II", image, 24)
    size, count = unpack_from("<HH", image, 54 if wide else 42)
    if size < (56 if wide else 32) or table + size * count > len(image):
        raise ValueError("the ELF image is cut short")
    segments = []
    for index in range(count):
        at = table + index * size
        if wide:
            kind, _, offset, _, address, in_file, in_memory = unpack_from("<IIQQQQQ", image, at)
        else:
            kind, offset, _, address, in_file, in_memory = unpack_from("<IIIIII", image, at)
        if kind != _LOADABLE or not in_memory:
            continue
        if offset + in_file > len(image) or in_file > in_memory:
            raise ValueError("the ELF image is cut short")
        segments.append((address, image[offset : offset + in_file], in_memory))
    if not segments:
        raise ValueError("the ELF image has no loadable segment")
    return entry, segments


def _place_module(ram: memoryview, module: bytes, memory: int, image_end: int) -> bytes:
    """``module`` at the end of memory, on a page; the module structure."""
    start = memory - len(module) & -4096
    if start < image_end:
        room = max(memory - image_end, 0)
        raise ValueError(f"the initrd has {len(module)} bytes, but only {room} bytes of memory are left for it")
    ram[start : start + len(module)] = module
    return pack("<4I", start, start + len(module), COMMAND_LINE, 0)


def load_elf(ram: memoryview, image: bytes, command_line: str = "", module: bytes = b"") -> ElfEntry:
    """Put ``image`` (ELF32 or ELF64), ``module`` and a Multiboot information structure into ``ram``; how to start it.

    Segments go to their physical addresses. ValueError with one clear line for an image that cannot be loaded.
    """
    entry, segments = _segments(image)
    text = command_line.encode() + b"\0"
    if len(text) > COMMAND_LINE_SIZE:
        raise ValueError(f"the command line has {len(text) - 1} bytes, at most {COMMAND_LINE_SIZE - 1} are possible")
    memory = ram_ranges(len(ram))[0].size
    for address, data, size in segments:
        if address + size > memory:
            raise ValueError(f"an ELF segment at {address:#x} ends beyond the machine's {memory >> 20} MiB of memory")
        if address < COMMAND_LINE + COMMAND_LINE_SIZE and address + size > GDT:
            raise ValueError(f"an ELF segment at {address:#x} overlaps the boot information at {GDT:#x}")
        ram[address : address + size] = data + bytes(size - len(data))
    flags, described = _HAS_MEMORY | _HAS_COMMAND_LINE, b""
    if module:
        flags |= _HAS_MODULES
        described = _place_module(ram, module, memory, max(address + size for address, _, size in segments))
    info = pack("<5I", flags, USABLE_LOW >> 10, (memory - EXTENDED) >> 10, 0, COMMAND_LINE)
    info += pack("<2I", 1, MODULE) if module else b""
    for at, data in (
        (GDT, pack("<3Q", *_GDT_ENTRIES)),
        (INFO, info.ljust(MODULE - INFO, b"\0") + described.ljust(COMMAND_LINE - MODULE, b"\0")),
        (COMMAND_LINE, text),
    ):
        ram[at : at + len(data)] = data
    return ElfEntry(
        eip=entry,
        eax=MAGIC,
        ebx=INFO,
        gdt_base=GDT,
        gdt_limit=8 * len(_GDT_ENTRIES) - 1,
        code_selector=CODE_SELECTOR,
        data_selector=DATA_SELECTOR,
    )
