"""Firmware: a ROM image entered at the reset vector, in real mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.borders.console import ConsoleOutput
from runtime.config import ConfigError, Image, MachineConfig
from runtime.machine import make_machine
from runtime.machines.memory_map import engine_ranges
from runtime.recording.recording import Recording
from runtime.timeline.record import Outside, record
from runtime.timeline.replay import Replay
from runtime.timeline.verify import verify

KIB, MIB = 1 << 10, 1 << 20
#: At F000:0000. Writes to the ROM in three ways, prints what is there afterwards, and switches off.
CODE = bytes.fromhex(
    "b800f0 8ed8 8ec0"  # DS, ES := F000
    "baf803"  # COM1
    "c606008021 a00080 ee"  # byte [8000] := '!'; print it
    "be0080 bf0180 a4 a00180 ee"  # MOVSB from 8000 to 8001; print that
    "fe060280 a00280 ee"  # INC byte [8002]; print that
    "ba0406 b80034 ef f4"  # S5 by the power management registers
)
TEXT = b"ROM"


def rom(size: int = 64 * KIB) -> Image:
    """A ROM with CODE at the start of its last 64 KiB, jumped to from the reset vector."""
    image = bytearray(size)
    start = size - 64 * KIB
    image[start : start + len(CODE)] = CODE
    image[start + 0x8000 : start + 0x8003] = TEXT
    image[size - 16 : size - 11] = bytes.fromhex("ea 0000 00f0")
    return Image("rom", bytes(image))


class Transcript(ConsoleOutput):
    """What the serial port has printed."""

    def __init__(self) -> None:
        super().__init__(None)
        self.text = b""

    def write(self, data: bytes) -> None:
        self.text += data


@pytest.mark.parametrize(("arch", "size"), [("i386", 64 * KIB), ("i386", 4 * MIB), ("x86_64", 128 * KIB)])
def test_it_starts_at_the_reset_vector_and_cannot_be_written(arch: str, size: int, tmp_path: Path) -> None:
    console = Transcript()
    config = MachineConfig(arch=arch, memory=4 * MIB, bios=rom(size))
    outcome = record(tmp_path / "rom.jrr", config, Outside(console))
    assert (outcome.reason, console.text) == ("power-off", TEXT)
    recording = Recording(tmp_path / "rom.jrr")
    assert verify(recording).good
    replay = Replay(recording)
    replay.seek(8)
    assert bytes(replay.machine.ram[-size:]) == rom(size).data
    replay.close()


@pytest.mark.parametrize("size", [4 * KIB, 64 * KIB, 128 * KIB, 16 * MIB])
def test_the_last_part_of_the_rom_is_below_1_mib_too(size: int) -> None:
    ranges = engine_ranges(4 * MIB, size)
    assert [base + length for base, length, _ in ranges] == [ranges[1][0], MIB, 4 * MIB, 1 << 32]
    shadow, rest, top = ranges[1:]
    assert shadow[1] == min(size, 128 * KIB)
    assert shadow[2] + shadow[1] == top[2] + top[1] == 4 * MIB + size
    assert (rest[0], rest[2]) == (MIB, MIB)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bios": Image("rom", bytes(1000))}, "whole pages of 4 KiB"),
        ({"bios": Image("rom", bytes(32 * MIB))}, "at most 16 MiB"),
        ({"bios": rom(), "kernel": rom()}, "takes no --kernel"),
        ({"kernel": rom(), "dtb": rom()}, "a PC has no device tree"),
        ({}, "--kernel FILE .* or --bios FILE"),
    ],
)
def test_what_cannot_be_started_is_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    class Border:
        """Only looked at once the machine is there."""

        def connect(self, channel: str, sink: object) -> None: ...

        def wall_clock_ns(self) -> int:
            return 0

    with pytest.raises(ConfigError, match=message) as caught:
        make_machine(MachineConfig(memory=64 * MIB, **options), Border())
    assert "\n" not in str(caught.value)
