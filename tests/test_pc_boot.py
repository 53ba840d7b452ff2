"""Loading kernels: ACPI tables, the Linux boot protocol, ELF images."""

from __future__ import annotations

import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from struct import pack, pack_into, unpack_from

import pytest

from runtime.machines import acpi, aml
from runtime.machines.elf_boot import load_elf
from runtime.machines.linux_boot import load_linux, parse_header
from runtime.machines.memory_map import e820, ram_ranges

MIB = 1 << 20


def ram_of(mib: int) -> memoryview:
    return memoryview(bytearray(mib * MIB))


# ACPI


def table_at(ram: memoryview, address: int) -> bytes:
    (size,) = unpack_from("<I", ram, address + 4)
    data = bytes(ram[address : address + size])
    assert sum(data) & 0xFF == 0, data[:4]
    return data


@pytest.mark.parametrize(("has_hpet", "processors"), [(False, 1), (True, 1), (False, 8)])
def test_acpi_tables_can_be_walked(has_hpet: bool, processors: int) -> None:
    ram = ram_of(2)
    root = acpi.install(ram, has_hpet=has_hpet, processors=processors)
    assert acpi.AREA <= root < acpi.AREA_END
    assert root % 16 == 0
    rsdp = bytes(ram[root : root + 20])
    assert rsdp[:8] == b"RSD PTR "
    assert sum(rsdp) & 0xFF == 0
    assert rsdp[15] == 0, "of ACPI 1.0: there is no XSDT"
    addresses = unpack_from(f"<{3 if has_hpet else 2}I", table_at(ram, unpack_from("<I", rsdp, 16)[0]), 36)
    tables = {table_at(ram, address)[:4]: table_at(ram, address) for address in addresses}
    assert set(tables) == {b"FACP", b"APIC"} | ({b"HPET"} if has_hpet else set())
    fadt = tables[b"FACP"]
    assert (len(fadt), fadt[8]) == (116, 1)
    facs, dsdt = unpack_from("<II", fadt, 36)
    assert bytes(ram[facs : facs + 4]) == b"FACS"
    assert facs % 64 == 0
    assert table_at(ram, dsdt)[:4] == b"DSDT"
    assert unpack_from("<H", fadt, 46)[0] == 9
    assert unpack_from("<I", fadt, 76)[0] == 0x608
    madt, found, at = tables[b"APIC"], [], 44
    while at < len(madt):
        if madt[at] == 0:
            found.append(unpack_from("<BBI", madt, at + 2))
        at += madt[at + 1]
    assert found == [(number, number, 1) for number in range(processors)]


@pytest.mark.parametrize("processors", [1, 8])
def test_the_dsdt_can_be_disassembled_and_compiled_again(tmp_path: Path, processors: int) -> None:
    if not shutil.which("iasl"):
        pytest.skip("iasl is not installed (Debian: acpica-tools)")
    binary = acpi.dsdt(True, processors)
    (tmp_path / "dsdt.aml").write_bytes(binary)
    subprocess.run(["iasl", "-d", "dsdt.aml"], cwd=tmp_path, capture_output=True, check=True)
    source = (tmp_path / "dsdt.dsl").read_text()
    names = [f"Processor (CPU{number}, 0x{number:02X}, 0x00000000, 0x00)" for number in range(processors)]
    assert [name in source for name in names] == [processors > 1] * processors
    (tmp_path / "dsdt.aml").unlink()
    subprocess.run(["iasl", "-oa", "-p", "dsdt", "dsdt.dsl"], cwd=tmp_path, capture_output=True, check=True)
    again = (tmp_path / "dsdt.aml").read_bytes()
    assert again[36:] == binary[36:]


def test_aml_encodings() -> None:
    assert aml.integer(0) == b"\x00"
    assert aml.integer(1) == b"\x01"
    assert aml.integer(5) == b"\x0a\x05"
    assert aml.integer(0x1234) == b"\x0b\x34\x12"
    assert aml.integer(0x12345678) == b"\x0c\x78\x56\x34\x12"
    assert aml.eisa_id("PNP0501") == b"\x0c\x41\xd0\x05\x01"
    assert aml.package_length(62) == b"\x3f"
    assert aml.package_length(63) == b"\x41\x04"  # 65 with itself
    assert aml.package_length(0x1000) == b"\x83\x00\x01"  # 0x1003 with itself
    assert aml.name("\\_S5", aml.integer(1)) == b"\x08\\_S5_\x01"
    assert aml.irq(4) == b"\x22\x10\x00"
    assert aml.bus_numbers(0, 255) == bytes.fromhex("880d00 020c00 0000 0000 ff00 0000 0001")
    assert aml.io_window(0xD00, 0xFFFF) == bytes.fromhex("880d00 010c03 0000 000d ffff 0000 00f3")
    assert aml.memory_window(0xA0000, 0xBFFFF) == bytes.fromhex(
        "871700 000c01 00000000 00000a00 ffff0b00 00000000 00000200"
    )


def test_tables_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acpi, "AREA_END", acpi.AREA + 0x100)
    with pytest.raises(ValueError, match="BIOS area"):
        acpi.install(ram_of(2))


# Memory


def test_memory_map_has_a_hole_for_devices() -> None:
    assert [(part.base, part.offset, part.size) for part in ram_ranges(256 * MIB)] == [(0, 0, 256 * MIB)]
    big = ram_ranges(5 << 30)
    assert [(part.base, part.offset, part.size) for part in big] == [(0, 0, 3 << 30), (4 << 30, 3 << 30, 2 << 30)]
    entries = e820(5 << 30)
    assert sum(size for _, size, kind in entries if kind == 1) == (5 << 30) - (0x100000 - 0x9FC00)
    for (base, size, _), (after, _, _) in pairwise(entries):
        assert base + size <= after


# Linux


def fake_kernel(**fields: int) -> bytes:
    """A bzImage that is nothing but header: enough to be loaded."""
    image = bytearray(0x400 + 4096)
    values = {
        "setup_sects": ("<B", 0x1F1, 1),
        "syssize": ("<I", 0x1F4, 256),
        "boot_flag": ("<H", 0x1FE, 0xAA55),
        "jump": ("<H", 0x200, 0x6AEB),
        "version": ("<H", 0x206, 0x20F),
        "loadflags": ("<B", 0x211, 1),
        "initrd_addr_max": ("<I", 0x22C, 0x7FFFFFFF),
        "kernel_alignment": ("<I", 0x230, 0x200000),
        "relocatable": ("<B", 0x234, 1),
        "xloadflags": ("<H", 0x236, 0x3F),
        "cmdline_size": ("<I", 0x238, 2047),
        "pref_address": ("<Q", 0x258, 0x1000000),
        "init_size": ("<I", 0x260, 32 * MIB),
    }
    for name, (layout, at, value) in values.items():
        pack_into(layout, image, at, fields.get(name, value))
    image[0x202:0x206] = b"HdrS"
    image[0x400:] = bytes(range(256)) * 16
    return bytes(image)


def test_load_linux() -> None:
    ram = ram_of(64)
    kernel, initrd = fake_kernel(), b"initrd" * 1000
    entry = load_linux(ram, kernel, initrd, "console=ttyS0", rsdp=0xE0000)
    assert entry.rip == 0x1000200
    assert bytes(ram[0x1000000 : 0x1000000 + 4096]) == kernel[0x400:]
    params = bytes(ram[entry.rsi : entry.rsi + 4096])
    at, size = unpack_from("<II", params, 0x218)
    assert size == len(initrd)
    assert at % 4096 == 0
    assert bytes(ram[at : at + size]) == initrd
    assert at + size <= 64 * MIB
    (line,) = unpack_from("<I", params, 0x228)
    assert bytes(ram[line : line + 14]) == b"console=ttyS0\0"
    assert unpack_from("<Q", params, 0x70)[0] == 0xE0000
    assert params[0x210] == 0xFF
    assert params[0x0F] == 1
    assert (params[7], params[0x0E]) == (80, 25)
    assert unpack_from("<H", params, 0x10)[0] == 16
    entries = [unpack_from("<QQI", params, 0x2D0 + 20 * n) for n in range(params[0x1E8])]
    assert entries == e820(64 * MIB)


def test_page_tables_map_four_gigabytes_onto_themselves() -> None:
    ram = ram_of(64)
    entry = load_linux(ram, fake_kernel())
    for address in (0, 0x1234567, 0x7FFFFFFF, 0xFEE00000, 0xFFFFFFFF):
        table = entry.cr3
        for shift in (39, 30, 21):
            (table,) = unpack_from("<Q", ram, table + (address >> shift & 511) * 8)
            assert table & 3 == 3
            last = bool(table & 0x80)
            table &= ~0xFFF
        assert last
        assert table == address & ~0x1FFFFF
    code, data = (unpack_from("<Q", ram, entry.gdt_base + s)[0] for s in (entry.code_selector, entry.data_selector))
    assert code >> 53 & 1, "64-bit code"
    assert data >> 40 & 0x9F == 0x92
    assert (entry.code_selector, entry.data_selector) == (0x10, 0x18)


def test_the_32_bit_entry() -> None:
    ram = ram_of(64)
    entry = load_linux(ram, fake_kernel(xloadflags=0), wide=False)
    assert (entry.rip, entry.cr3) == (0x1000000, 0)
    code, data = (unpack_from("<Q", ram, entry.gdt_base + s)[0] for s in (entry.code_selector, entry.data_selector))
    assert (code, data) == (0x00CF9A000000FFFF, 0x00CF92000000FFFF)
    with pytest.raises(ValueError, match="a 64-bit one: use --arch x86_64"):
        load_linux(ram, fake_kernel(), wide=False)


def test_kernel_is_moved_when_its_preferred_address_does_not_fit() -> None:
    ram = ram_of(40)
    assert load_linux(ram, fake_kernel()).rip == 0x200200
    with pytest.raises(ValueError, match="the kernel needs 48 MiB of memory, the machine has 40 MiB"):
        load_linux(ram, fake_kernel(relocatable=0))


@pytest.mark.parametrize(
    ("kernel", "initrd", "line", "message"),
    [
        (b"\x7fELF" + bytes(5000), b"", "", "not a Linux bzImage"),
        (b"", b"", "", "not a Linux bzImage"),
        (fake_kernel(version=0x20A), b"", "", "boot protocol 2.10 is too old"),
        (fake_kernel(xloadflags=0), b"", "", "no 64-bit entry: use --arch i386"),
        (fake_kernel(setup_sects=40), b"", "", "cut short"),
        (fake_kernel(syssize=257), b"", "", "cut short"),
        (fake_kernel(kernel_alignment=0), b"", "", "the bzImage is damaged: its alignment is 0"),
        (bytes(0x24) + b"\x18\x28\x6f\x01" + bytes(5000), b"", "", "a zImage for ARM: use --arch arm"),
        (fake_kernel(), bytes(20 * MIB), "", "the initrd has 20971520 bytes, but only 16777216 bytes"),
        (fake_kernel(), b"", "x" * 2048, "the command line has 2048 bytes, the kernel takes 2047"),
    ],
)
def test_what_cannot_be_booted_is_refused_in_one_line(kernel: bytes, initrd: bytes, line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        load_linux(ram_of(64), kernel, initrd, line)
    assert "\n" not in str(caught.value)


def real_kernels() -> list[Path]:
    """Unmodified kernels lying about: the cache of guests, or the host's own."""
    places = [Path.home() / ".cache" / "jitrr", Path("/boot")]
    return sorted(
        path for place in places if place.is_dir() for path in place.rglob("vmlinuz*amd64*") if path.is_file()
    )


@pytest.mark.skipif(not real_kernels(), reason="no Debian amd64 kernel in the cache of guests or in /boot")
def test_unmodified_debian_kernel_loads() -> None:
    for path in real_kernels():
        image = path.read_bytes()
        header = parse_header(image)
        ram = ram_of(256)
        entry = load_linux(ram, image, bytes(MIB), "console=ttyS0")
        assert entry.rip == header.preferred_address + 0x200
        assert bytes(ram[entry.rip : entry.rip + 16]) == image[header.setup_size + 0x200 : header.setup_size + 0x210]


# ELF


def elf(wide: bool, address: int = 0x100000, data: bytes = b"code", size: int = 8, kind: int = 1) -> bytes:
    identity = b"\x7fELF" + bytes((2 if wide else 1, 1, 1)) + bytes(9)
    if wide:
        header = pack("<HHIQQQIHHHHHH", 2, 62, 1, address, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        segment = pack("<IIQQQQQQ", kind, 5, 120, address, address, len(data), size, 4)
    else:
        header = pack("<HHIIIIIHHHHHH", 2, 3, 1, address, 52, 0, 0, 52, 32, 1, 0, 0, 0)
        segment = pack("<IIIIIIII", kind, 84, address, address, len(data), size, 5, 4)
    return identity + header + segment + data


@pytest.mark.parametrize("wide", [False, True])
def test_load_elf(wide: bool) -> None:
    ram = ram_of(8)
    ram[0x100000:0x100010] = b"\xff" * 16
    entry = load_elf(ram, elf(wide), "hello")
    assert (entry.eip, entry.eax) == (0x100000, 0x2BADB002)
    assert bytes(ram[0x100000:0x100009]) == b"code\0\0\0\0\xff"
    flags, lower, upper, _, line = unpack_from("<5I", ram, entry.ebx)
    assert flags & 5 == 5
    assert (lower, upper) == (639, 7 * 1024)
    assert bytes(ram[line : line + 6]) == b"hello\0"
    code, data = (unpack_from("<Q", ram, entry.gdt_base + s)[0] for s in (entry.code_selector, entry.data_selector))
    for descriptor, kind in ((code, 0x9A), (data, 0x92)):
        assert descriptor & 0xFFFF == 0xFFFF
        assert descriptor >> 40 & 0xFF == kind
        assert descriptor >> 48 & 0xFF == 0xCF


def test_the_initrd_is_a_multiboot_module() -> None:
    ram = ram_of(8)
    entry = load_elf(ram, elf(False), "hello", b"module" * 1000)
    flags, count, at = unpack_from("<I16xII", ram, entry.ebx)
    assert (flags & 8, count) == (8, 1)
    start, end = unpack_from("<II", ram, at)
    assert start % 4096 == 0 and end <= 8 * MIB
    assert bytes(ram[start:end]) == b"module" * 1000
    with pytest.raises(ValueError, match="the initrd has 7340032 bytes, but only 7340024 bytes"):
        load_elf(ram, elf(False), "", bytes(7 * MIB))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"MZ" + bytes(100), "not a little-endian ELF"),
        (elf(False)[:80], "cut short"),
        (elf(True)[:122], "cut short"),
        (elf(False, kind=4), "no loadable segment"),
        (elf(False)[:42] + b"\1" + elf(False)[43:], "cut short"),
        (elf(False)[:18] + b"\x28" + elf(False)[19:], "the ELF image is for ARM: use --arch arm"),
        (elf(True)[:18] + b"\x08" + elf(True)[19:], r"not for x86 \(its machine is number 8\)"),
        (elf(False, address=0x7FFFFC), "ends beyond the machine's 8 MiB"),
        (elf(False, address=0x6800), "overlaps the boot information"),
    ],
)
def test_bad_elf_is_refused_in_one_line(image: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_elf(ram_of(8), image)
