"""SMBIOS: the tables can be walked and say what the machine is; dmidecode reads them too."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from struct import unpack_from

import pytest

from runtime.machines import smbios

GIB = 1 << 30


def walk(table: bytes) -> list[tuple[int, bytes, list[str]]]:
    """(type, formatted area, strings) of each structure."""
    found = []
    while table:
        size = table[1]
        end = table.index(b"\0\0", size)
        found.append((table[0], table[:size], [text.decode() for text in table[size:end].split(b"\0") if text]))
        table = table[end + 2 :]
    return found


def test_software_finds_and_walks_them() -> None:
    ram = memoryview(bytearray(2 << 20))
    at = smbios.install(ram)
    entry = bytes(ram[at : at + 31])
    assert at % 16 == 0
    assert 0xF0000 <= at < 0x100000
    assert (entry[:4], entry[5], entry[16:21]) == (b"_SM_", 31, b"_DMI_")
    assert sum(entry) & 0xFF == sum(entry[16:]) & 0xFF == 0
    largest = unpack_from("<H", entry, 8)[0]
    size, address, count = unpack_from("<HIH", entry, 22)
    assert address + size <= 0x100000
    found = walk(bytes(ram[address : address + size]))
    assert len(found) == count
    assert [kind for kind, _, _ in found] == [0, 1, 3, 4, 16, 17, 19, 32, 127]
    assert largest == max(len(each) for each in smbios.structures(2 << 20))
    for kind, area, strings in found:
        assert unpack_from("<H", area, 2)[0] >> 8 == kind
        assert all(strings)
    assert found[1][2] == ["jitrr", "jitrr PC", "1"]


@pytest.mark.parametrize(("size", "ranges"), [
    (GIB, [(0, GIB)]), (5 * GIB, [(0, 3 * GIB), (4 * GIB, 6 * GIB)]), (32 * GIB, [(0, 3 * GIB), (4 * GIB, 33 * GIB)]),
])  # fmt: skip
def test_memory_is_where_it_is(size: int, ranges: list[tuple[int, int]]) -> None:
    found = walk(b"".join(smbios.structures(size)))
    mapped = [unpack_from("<II", area, 4) for kind, area, _ in found if kind == 19]
    assert [(first << 10, (last << 10) + 1024) for first, last in mapped] == ranges
    (module,) = [area for kind, area, _ in found if kind == 17]
    mib, extended = unpack_from("<H", module, 12)[0], unpack_from("<I", module, 28)[0]
    assert (extended if mib == 0x7FFF else mib) == size >> 20


@pytest.mark.parametrize("processors", [1, 4])
def test_dmidecode_has_nothing_to_complain_of(tmp_path: Path, processors: int) -> None:
    if not shutil.which("dmidecode"):
        pytest.skip("dmidecode is not installed (Debian: dmidecode)")
    ram = memoryview(bytearray(4 << 20))
    at = smbios.install(ram, processors)
    entry = bytearray(ram[at : at + 32])
    size, address = unpack_from("<HI", entry, 22)
    entry[24:28] = (32).to_bytes(4, "little")  # in its own format of dumps the table comes at once
    for checked, end in ((21, 31), (4, 31)):
        entry[checked] = 0
        entry[checked] = -sum(entry[16 if checked == 21 else 0 : end]) & 0xFF
    dump = tmp_path / "dump"
    dump.write_bytes(bytes(entry) + bytes(ram[address : address + size]))
    said = subprocess.run(["dmidecode", "--from-dump", dump], capture_output=True, text=True, check=True)
    assert said.stderr == ""
    assert "Product Name: jitrr PC" in said.stdout
    assert "Size: 4 MB" in said.stdout
    assert f"Core Count: {processors}" in said.stdout
    assert ("Multi-Core" in said.stdout) == (processors > 1)
    assert "System is a virtual machine" in said.stdout
    for bad in ("BAD", "OUT OF SPEC", "Invalid", "Wrong", "broken"):
        assert bad.lower() not in said.stdout.lower()
