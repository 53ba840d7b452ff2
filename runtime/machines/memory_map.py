"""Where a PC's RAM is in its physical address space."""

from __future__ import annotations

from dataclasses import dataclass

LOW_TOP = 0xC0000000  # RAM above this many bytes continues at 4 GiB: the gap belongs to devices
HIGH_BASE = 1 << 32
USABLE_LOW, BIOS_AREA, EXTENDED = 0x9FC00, 0xE0000, 0x100000
SMBIOS_AREA = 0xF0000  # of the BIOS area the half in which software looks for SMBIOS
VIDEO = 0xA0000
#: Most firmware that shows below 1 MiB, and most that there is.
SHADOW, MOST_ROM = 0x20000, 16 << 20
E820_RAM, E820_RESERVED = 1, 2


@dataclass(frozen=True)
class RamRange:
    """``size`` bytes of RAM from ``offset`` on appear at guest physical address ``base``."""

    base: int
    offset: int
    size: int


def ram_ranges(size: int) -> list[RamRange]:
    """Where ``size`` bytes of RAM appear (video memory and the BIOS area are RAM too)."""
    low = min(size, LOW_TOP)
    ranges = [RamRange(0, 0, low)]
    if size > low:
        ranges.append(RamRange(HIGH_BASE, low, size - low))
    return ranges


def engine_ranges(size: int, rom: int) -> list[tuple[int, int, int]]:
    """(physical base, size, offset) of ``size`` bytes of RAM and, behind them in the engine's memory, ``rom`` bytes of
    firmware: below 4 GiB, and its last 128 KiB below 1 MiB in the place of RAM."""
    low, *high = ram_ranges(size)
    above = [(part.base, part.size, part.offset) for part in high]
    if not rom:
        return [(0, low.size, 0), *above]
    shadow = min(rom, SHADOW)
    return [
        (0, EXTENDED - shadow, 0),
        (EXTENDED - shadow, shadow, size + rom - shadow),
        (EXTENDED, low.size - EXTENDED, EXTENDED),
        *above,
        (HIGH_BASE - rom, rom, size),
    ]


def e820(size: int) -> list[tuple[int, int, int]]:
    """The map that a BIOS would report: (base, size, type)."""
    low, *high = ram_ranges(size)
    return [
        (0, USABLE_LOW, E820_RAM),
        (USABLE_LOW, VIDEO - USABLE_LOW, E820_RESERVED),
        (BIOS_AREA, EXTENDED - BIOS_AREA, E820_RESERVED),
        (EXTENDED, low.size - EXTENDED, E820_RAM),
        *((part.base, part.size, E820_RAM) for part in high),
    ]
