"""More memory than lies below the devices: the rest is above 4 GiB."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, cast

import pytest

from runtime.config import Image, MachineConfig
from runtime.machines.memory_map import engine_ranges, ram_ranges
from runtime.recording.recording import Recording
from runtime.timeline.record import Outside, record
from runtime.timeline.replay import Replay
from runtime.timeline.verify import verify

MIB, GIB = 1 << 20, 1 << 30
#: Where the program is, its PAE tables, and the linear address it writes to.
ENTRY, TABLES, PLACE = MIB, 2 * MIB, 0x40000FF8
#: That as a physical address, and what is written.
PHYSICAL, WRITTEN = 0x120000FF8, 0x12345678


def put(address: int, value: int) -> bytes:
    """MOV dword [address], value."""
    return b"\xc7\x05" + struct.pack("<II", address, value)


def program() -> Image:
    """Maps 2 MiB at 4.5 GiB by PAE tables, writes there, and switches off."""
    code = put(TABLES, TABLES + 0x1001) + put(TABLES + 8, TABLES + 0x2001) + put(TABLES + 0x1000, 0x83)
    code += put(TABLES + 0x2000, PHYSICAL & 0xFFE00000 | 0x83) + put(TABLES + 0x2004, PHYSICAL >> 32)
    code += bytes.fromhex("0f20e0 83c820 0f22e0") + b"\xb8" + struct.pack("<I", TABLES) + bytes.fromhex("0f22d8")
    code += bytes.fromhex("0f20c0 0d00000080 0f22c0") + put(PLACE, WRITTEN)
    code += bytes.fromhex("66ba0406 66b80034 66ef f4")
    header = b"\x7fELF\x01\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIIIIIHHHHHH", 2, 3, 1, ENTRY, 52, 0, 0, 52, 32, 1, 0, 0, 0
    )
    header += struct.pack("<8I", 1, 84, ENTRY, ENTRY, len(code), len(code), 7, 1)
    return Image("program", header + code)


@pytest.mark.parametrize("arch", ["x86_64", "i386"])
def test_memory_above_4_gib(tmp_path: Path, arch: str) -> None:
    path = tmp_path / "big.jrr"
    config = MachineConfig(arch=arch, memory=5 * GIB, kernel=program())
    assert record(path, config, Outside()).reason == "power-off"
    recording = Recording(path)
    assert verify(recording).good
    replay = Replay(recording)
    try:
        replay.seek(recording.icount)
        at = 3 * GIB + PHYSICAL - 4 * GIB
        assert int.from_bytes(replay.machine.ram[at : at + 4], "little") == WRITTEN
        touched = cast(Any, replay.machine).engine.ram.touched()
        assert len(touched) * 4096 < 64 * MIB, "what is not used takes no room"
    finally:
        replay.close()


def test_ranges() -> None:
    assert [(part.base, part.offset, part.size) for part in ram_ranges(3 * GIB)] == [(0, 0, 3 * GIB)]
    assert engine_ranges(5 * GIB, 0) == [(0, 3 * GIB, 0), (4 * GIB, 2 * GIB, 3 * GIB)]
    rom = 256 << 10
    ranges = engine_ranges(5 * GIB, rom)
    assert (4 * GIB, 2 * GIB, 3 * GIB) in ranges
    assert (4 * GIB - rom, rom, 5 * GIB) in ranges
    assert sum(size for _, size, _ in ranges) == 5 * GIB + rom
