"""Loads a Linux kernel without firmware: the boot protocol's 64-bit and 32-bit entries (protocol 2.12 and later)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import pack, unpack_from

from runtime.machines.memory_map import EXTENDED, e820, ram_ranges

GDT, BOOT_PARAMS, PAGE_TABLES, COMMAND_LINE = 0x6000, 0x7000, 0x9000, 0x20000
STACK_TOP = 0x6000
CODE_SELECTOR, DATA_SELECTOR = 0x10, 0x18
_CODE_64, _CODE_32, _DATA = 0x00AF9A00_0000FFFF, 0x00CF9A00_0000FFFF, 0x00CF9200_0000FFFF
_GDT_LIMIT = 4 * 8 - 1

_PROTOCOL_2_12 = 0x20C
_LOADED_HIGH, _CAN_USE_HEAP = 0x01, 0x80
_XLF_KERNEL_64 = 1
_ENTRY_64 = 0x200
_UNKNOWN_LOADER = 0xFF
_ZIMAGE_MAGIC = b"\x18\x28\x6f\x01"
_E820_TABLE, _E820_SIZE = 0x2D0, 20
_HEADER = 0x1F1
PAGE = 4096


@dataclass(frozen=True)
class LinuxEntry:
    """The processor state at entry: interrupts off, flat segments; 64-bit: long mode, paging on; 32-bit: paging off."""

    rip: int
    rsi: int  # boot_params
    rsp: int
    cr3: int  # 0: the 32-bit entry
    gdt_base: int
    gdt_limit: int
    code_selector: int
    data_selector: int


@dataclass(frozen=True)
class SetupHeader:
    """What the loader needs to know of a bzImage."""

    setup_size: int  # bytes before the protected-mode kernel
    header_end: int
    command_line_size: int
    initrd_max: int
    alignment: int
    is_relocatable: bool
    preferred_address: int
    init_size: int


def parse_header(image: bytes, wide: bool = True) -> SetupHeader:
    """Read the setup header; ValueError with one clear line if this is no 64-bit (``wide``) or 32-bit kernel."""
    if image[0x24:0x28] == _ZIMAGE_MAGIC:
        raise ValueError("the kernel is a zImage for ARM: use --arch arm")
    if len(image) < 0x400 or image[0x202:0x206] != b"HdrS" or image[0x1FE:0x200] != b"\x55\xaa":
        raise ValueError("not a Linux bzImage (no boot protocol header)")
    version, flags = unpack_from("<H", image, 0x206)[0], unpack_from("<H", image, 0x236)[0]
    if version < _PROTOCOL_2_12:
        raise ValueError(f"the kernel's boot protocol {version >> 8}.{version & 0xFF:02} is too old: 2.12 is needed")
    if not image[0x211] & _LOADED_HIGH:
        raise ValueError("the kernel is not a bzImage (it wants to be loaded low)")
    if bool(flags & _XLF_KERNEL_64) != wide:
        raise ValueError("the kernel has no 64-bit entry: use --arch i386" if wide else
                         "the kernel is a 64-bit one: use --arch x86_64")  # fmt: skip
    header = SetupHeader(
        setup_size=((image[_HEADER] or 4) + 1) * 512,
        header_end=0x202 + image[0x201],
        command_line_size=unpack_from("<I", image, 0x238)[0],
        initrd_max=unpack_from("<I", image, 0x22C)[0],
        alignment=unpack_from("<I", image, 0x230)[0],
        is_relocatable=bool(image[0x234]),
        preferred_address=unpack_from("<Q", image, 0x258)[0],
        init_size=unpack_from("<I", image, 0x260)[0],
    )
    if header.is_relocatable and not header.alignment:
        raise ValueError("the bzImage is damaged: its alignment is 0")
    if header.setup_size >= len(image) or header.setup_size + 16 * unpack_from("<I", image, 0x1F4)[0] > len(image):
        raise ValueError("the bzImage is cut short")
    return header


def _kernel_address(header: SetupHeader, size: int, memory: int) -> int:
    """Where the kernel goes so that ``init_size`` bytes from there are RAM, which ends at ``memory`` below 4 GiB."""
    need = max(header.init_size, size)
    address = header.preferred_address
    if address + need > memory and header.is_relocatable:
        address = -(-EXTENDED // header.alignment) * header.alignment
    if address + need > memory:
        raise ValueError(f"the kernel needs {address + need >> 20} MiB of memory, the machine has {memory >> 20} MiB")
    return address


def _initrd_address(header: SetupHeader, size: int, kernel_end: int, memory: int) -> int:
    """As high as the kernel and the memory allow, on a page."""
    top = min(memory, header.initrd_max + 1)
    address = (top - size) & -PAGE
    if address < kernel_end:
        room = max(top - kernel_end, 0)
        raise ValueError(f"the initrd has {size} bytes, but only {room} bytes of memory are left for it")
    return address


def _write_page_tables(ram: memoryview) -> None:
    """Identity mapping of the first 4 GiB with 2 MiB pages: one PML4, one PDPT, four page directories."""
    pml4, pdpt, directories = PAGE_TABLES, PAGE_TABLES + PAGE, PAGE_TABLES + 2 * PAGE
    ram[pml4 : pml4 + 2 * PAGE] = bytes(2 * PAGE)
    ram[pml4 : pml4 + 8] = pack("<Q", pdpt | 3)
    for index in range(4):
        ram[pdpt + 8 * index : pdpt + 8 * index + 8] = pack("<Q", directories + index * PAGE | 3)
    entries = pack("<2048Q", *(index << 21 | 0x83 for index in range(2048)))
    ram[directories : directories + len(entries)] = entries


def _screen_info() -> bytes:
    """A colour VGA in text mode 3, cursor in the top left corner."""
    return pack("<BBHHBBHHHBBH", 0, 0, 0, 0, 3, 80, 0, 3, 0, 25, 1, 16)


def _boot_params(
    image: bytes, header: SetupHeader, memory: int, initrd: tuple[int, int], command_line: int, rsdp: int
) -> bytes:
    """The "zero page"."""
    params = bytearray(PAGE)
    screen = _screen_info()
    params[: len(screen)] = screen
    params[_HEADER : header.header_end] = image[_HEADER : header.header_end]

    def put(at: int, layout: str, value: int) -> None:
        data = pack(layout, value)
        params[at : at + len(data)] = data

    put(0x70, "<Q", rsdp)
    put(0x1E0, "<I", (ram_ranges(memory)[0].size - EXTENDED) >> 10)
    put(0x210, "B", _UNKNOWN_LOADER)
    put(0x211, "B", image[0x211] | _CAN_USE_HEAP)
    put(0x218, "<I", initrd[0])
    put(0x21C, "<I", initrd[1])
    put(0x224, "<H", 0xFE00)
    put(0x228, "<I", command_line)
    entries = e820(memory)
    put(0x1E8, "B", len(entries))
    for index, entry in enumerate(entries):
        at = _E820_TABLE + index * _E820_SIZE
        params[at : at + _E820_SIZE] = pack("<QQI", *entry)
    return bytes(params)


def load_linux(
    ram: memoryview, kernel: bytes, initrd: bytes = b"", command_line: str = "", *, rsdp: int = 0, wide: bool = True
) -> LinuxEntry:
    """Put ``kernel`` (a bzImage), ``initrd`` and all that the protocol asks for into ``ram``; how to start it.

    ``wide``: by its 64-bit entry, else by its 32-bit one. ``rsdp`` is the address of the ACPI tables' root.
    ValueError with one clear line for what cannot be booted.
    """
    header = parse_header(kernel, wide)
    text = command_line.encode() + b"\0"
    if len(text) > header.command_line_size + 1:
        raise ValueError(f"the command line has {len(text) - 1} bytes, the kernel takes {header.command_line_size}")
    memory = ram_ranges(len(ram))[0].size
    body = kernel[header.setup_size :]
    address = _kernel_address(header, len(body), memory)
    initrd_at = 0
    if initrd:
        kernel_end = address + max(header.init_size, len(body))
        initrd_at = _initrd_address(header, len(initrd), kernel_end, memory)
    params = _boot_params(kernel, header, len(ram), (initrd_at, len(initrd)), COMMAND_LINE, rsdp)
    for at, data in (
        (address, body),
        (initrd_at, initrd),
        (COMMAND_LINE, text),
        (BOOT_PARAMS, params),
        (GDT, pack("<4Q", 0, 0, _CODE_64 if wide else _CODE_32, _DATA)),
    ):
        ram[at : at + len(data)] = data
    if wide:
        _write_page_tables(ram)
    return LinuxEntry(
        rip=address + (_ENTRY_64 if wide else 0),
        rsi=BOOT_PARAMS,
        rsp=STACK_TOP,
        cr3=PAGE_TABLES if wide else 0,
        gdt_base=GDT,
        gdt_limit=_GDT_LIMIT,
        code_selector=CODE_SELECTOR,
        data_selector=DATA_SELECTOR,
    )
