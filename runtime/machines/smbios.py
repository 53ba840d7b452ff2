"""What the ``pc`` board says of itself: SMBIOS 2.8 structures (DSP0134, chapters 5 to 7) in the BIOS area of guest RAM.

Those that chapter 6.2 requires, of a machine with one processor package and one memory module; it is virtual."""

from __future__ import annotations

from struct import pack

from frontends.x86 import cpuid
from runtime.machines.memory_map import BIOS_AREA, EXTENDED, SMBIOS_AREA, ram_ranges

VERSION = 2, 8
MAKER, PRODUCT = "jitrr", "jitrr PC"
#: Of the tables' layout. From 2023 on Linux would take it for a machine whose memory map needs no corrections.
FIRMWARE_VERSION, FIRMWARE_DATE = "1", "01/01/2022"

_ENTRY_SIZE = 31
_KIB, _MIB = 10, 20
_NO_HANDLE, _NOT_GIVEN = 0xFFFF, 0xFFFE
_OTHER, _UNKNOWN = 1, 2
_PCI = 1 << 7  # BIOS characteristics
_ACPI, _TARGETED, _VIRTUAL = 1 << 0, 1 << 2, 1 << 4  # ... extension bytes 1, 2, 2
_HANDLES = {0: 0, 1: 0x100, 3: 0x300, 4: 0x400, 16: 0x1000, 17: 0x1100, 19: 0x1300, 32: 0x2000, 127: 0x7F00}


def structure(kind: int, body: bytes, *strings: str, number: int = 0) -> bytes:
    """The ``number``-th structure of type ``kind``: header, formatted area, and the strings that it calls 1, 2, ..."""
    header = pack("<BBH", kind, 4 + len(body), _HANDLES[kind] + number)
    return header + body + (b"".join(text.encode("ascii") + b"\0" for text in strings) or b"\0") + b"\0"


def _firmware() -> bytes:
    area = pack("<BBHBBQ", 1, 2, BIOS_AREA >> 4, 3, (EXTENDED - BIOS_AREA >> 16) - 1, _PCI)
    area += pack("<BBBBBB", _ACPI, _TARGETED | _VIRTUAL, 0xFF, 0xFF, 0xFF, 0xFF)  # no releases to compare
    return structure(0, area, MAKER, FIRMWARE_VERSION, FIRMWARE_DATE)


def _system() -> bytes:
    power_switch = 6
    return structure(1, pack("<BBBB16sBBB", 1, 2, 3, 0, bytes(16), power_switch, 0, 0), MAKER, PRODUCT, "1")


def _enclosure() -> bytes:
    safe, unsecured = 3, 3
    area = pack("<BBBBB", 1, _OTHER, 0, 0, 0) + pack("<BBBB", safe, safe, safe, unsecured)
    return structure(3, area + pack("<IBBBBB", 0, 0, 0, 0, 0, 0), MAKER)


def _processor(cores: int) -> bytes:
    central, enabled = 3, 0x41
    characteristics = 1 << 3 if cores > 1 else 1 << 1  # multi-core; unknown
    area = pack("<BBBB", 1, central, _UNKNOWN, 2)
    area += pack("<IIBBHHH", cpuid.SIGNATURE, cpuid.LEAF1_EDX, 3, 0, 0, 0, 0)
    area += pack("<BBHHHBBB", enabled, _OTHER, _NO_HANDLE, _NO_HANDLE, _NO_HANDLE, 0, 0, 0)
    area += pack("<BBBHH", cores, cores, cores, characteristics, _UNKNOWN)
    return structure(4, area, "CPU 0", cpuid.VENDOR.decode(), cpuid.BRAND.decode())


def _memory(size: int) -> list[bytes]:
    """The array, its one module of ``size`` bytes, and where in the address space it is to be seen."""
    on_board, system_memory, no_correction, dimm, ram = 3, 3, 3, 9, 7
    array = pack("<BBBIHHQ", on_board, system_memory, no_correction, 0x80000000, _NOT_GIVEN, 1, size)
    mib = size >> _MIB
    module = pack("<HHHH", _HANDLES[16], _NOT_GIVEN, _NO_HANDLE, _NO_HANDLE)
    module += pack("<HBBBBBHH", min(mib, 0x7FFF), dimm, 0, 1, 0, ram, 1 << _OTHER, 0)
    module += pack("<BBBBBIHHHH", 2, 0, 0, 0, 0, mib if mib >= 0x7FFF else 0, 0, 0, 0, 0)
    found = [structure(16, array), structure(17, module, "DIMM 0", MAKER)]
    for number, part in enumerate(ram_ranges(size)):
        last = part.base + part.size - 1
        wide = last >> _KIB >= 0xFFFFFFFF
        ends = (0xFFFFFFFF, 0xFFFFFFFF) if wide else (part.base >> _KIB, last >> _KIB)
        extended = (part.base, last) if wide else (0, 0)
        found.append(structure(19, pack("<IIHBQQ", *ends, _HANDLES[16], 1, *extended), number=number))
    return found


def structures(memory: int, processors: int = 1) -> list[bytes]:
    """All structures of a machine with ``memory`` bytes of RAM, the end of the table last."""
    booted = structure(32, bytes(7))
    return [_firmware(), _system(), _enclosure(), _processor(processors), *_memory(memory), booted, structure(127, b"")]


def _sum_to_zero(data: bytearray, at: int) -> None:
    data[at] = -sum(data) & 0xFF


def install(ram: memoryview, processors: int = 1) -> int:
    """Write entry point and structures into guest RAM; the address of the entry point."""
    found = structures(len(ram), processors)
    table = b"".join(found)
    at = SMBIOS_AREA + 32
    intermediate = bytearray(
        pack("<5sBHIHB", b"_DMI_", 0, len(table), at, len(found), VERSION[0] << 4 | VERSION[1]),
    )
    _sum_to_zero(intermediate, 5)
    largest = max(len(each) for each in found)
    entry = bytearray(pack("<4sBBBBHB5x", b"_SM_", 0, _ENTRY_SIZE, *VERSION, largest, 0) + intermediate)
    _sum_to_zero(entry, 4)
    ram[SMBIOS_AREA : SMBIOS_AREA + _ENTRY_SIZE] = entry
    ram[at : at + len(table)] = table
    return SMBIOS_AREA
