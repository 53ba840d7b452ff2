"""Where a virtual address leads, for translators and reports: a page walk that the guest cannot notice.

It raises nothing and checks no permissions: what runs the code does that (mmu.py).
"""

from __future__ import annotations

from typing import Any

#: As in common.py and mmu.py, which bring numba with them.
SCTLR_M, TTBCR_EAE = 1, 1 << 31
OUTPUT = ((1 << 40) - 1) & -4096


def place(engine: Any, address: int) -> int | None:
    """Offset in RAM of a virtual address, or None where nothing or no RAM is mapped."""
    found = physical(engine, address)
    return None if found is None else engine.locate(found)


def physical(engine: Any, address: int) -> int | None:
    """Physical address that a virtual one is mapped to, or None."""
    state = engine.state
    if not int(state["sctlr"]) & SCTLR_M:
        return address
    ttbcr, ttbr = int(state["ttbcr"]), (int(state["ttbr0"]), int(state["ttbr1"]))
    if ttbcr & TTBCR_EAE:
        return _long(engine, address, ttbcr, ttbr)
    return _short(engine, address, ttbcr, ttbr)


def _entry(engine: Any, at: int, size: int) -> int:
    """A table entry; invalid outside RAM."""
    place = engine.locate(at)
    return 0 if place is None else int.from_bytes(engine.ram.map[place : place + size], "little")


def _short(engine: Any, address: int, ttbcr: int, ttbr: tuple[int, int]) -> int | None:
    n = ttbcr & 7
    low = address >> 32 - n == 0
    if ttbcr & (0x10 if low else 0x20):
        return None
    base = ttbr[0] & (-1 << 14 - n) & 0xFFFFFFFF if low else ttbr[1] & 0xFFFFC000
    entry = _entry(engine, base + (address >> 20 & (0xFFF >> n if low else 0xFFF)) * 4, 4)
    if entry & 2:
        if entry & 1 << 18:
            return entry & 0xFF000000 | (entry & 0xF00000) << 12 | (entry & 0x1E0) << 31 | address & 0xFFFFFF
        return entry & 0xFFF00000 | address & 0xFFFFF
    if not entry & 1:
        return None
    entry = _entry(engine, entry & 0xFFFFFC00 | address >> 10 & 0x3FC, 4)
    if entry & 2:
        return entry & 0xFFFFF000 | address & 0xFFF
    return entry & 0xFFFF0000 | address & 0xFFFF if entry & 1 else None


def _long(engine: Any, address: int, ttbcr: int, ttbr: tuple[int, int]) -> int | None:
    sizes = ttbcr & 7, ttbcr >> 16 & 7
    if sizes[1] and address >> 32 - sizes[1] == (1 << sizes[1]) - 1:
        which = 1
    elif address >> 32 - sizes[0] == 0:
        which = 0
    elif not sizes[1]:
        which = 1
    else:
        return None
    if ttbcr & (1 << 7, 1 << 23)[which]:
        return None
    level = 1 if sizes[which] < 2 else 2
    top = 32 - sizes[which] - (39 - 9 * level)
    table, entries = ttbr[which] & ((1 << 40) - 1) & (-8 << top), 1 << top
    while True:
        inside = (1 << 39 - 9 * level) - 1
        entry = _entry(engine, table + (address >> 39 - 9 * level & entries - 1) * 8, 8)
        if not entry & 1 or (level == 3 and not entry & 2):
            return None
        if level == 3 or not entry & 2:
            return entry & OUTPUT & ~inside | address & inside
        table, level, entries = entry & OUTPUT, level + 1, 512
