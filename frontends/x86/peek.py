"""Where a linear address leads, for translators and reports: a page walk that the guest cannot notice.

It sets no accessed bits, raises nothing, and does not check permissions: what runs the code does that (mmu.py).
"""

from __future__ import annotations

from typing import Any

from frontends.x86 import state as st

# As in common.py and mmu.py, which bring numba with them.
P, PS = 1, 0x80
CR0_PG, CR4_PSE, CR4_PAE, EFER_LMA = 1 << 31, 16, 32, 1 << 10
ADDRESS = (1 << st.PHYSICAL_BITS) - 4096


def place(engine: Any, linear: int) -> int | None:
    """Place (jitrr.engine.physical) that an unsigned linear address is mapped to, or None."""
    phys = physical(engine, linear)
    return None if phys is None else engine.locate(phys)


def physical(engine: Any, linear: int) -> int | None:
    """Physical address that an unsigned linear one is mapped to, or None."""
    state = engine.state
    cr0, cr4 = int(state["cr0"]), int(state["cr4"])
    if not cr0 & CR0_PG:
        return linear & 0xFFFFFFFF
    if not cr4 & CR4_PAE:
        return _walk32(engine, linear & 0xFFFFFFFF, bool(cr4 & CR4_PSE))
    if int(state["efer"]) & EFER_LMA:
        if linear >> 47 not in (0, 0x1FFFF):
            return None
        return _walk64(engine, linear, int(state["cr3"]) & ADDRESS, 3)
    pdpte = int(state["pdpte"][linear >> 30 & 3])
    return _walk64(engine, linear, pdpte & ADDRESS, 1) if pdpte & P else None


def _entry(engine: Any, at: int, size: int) -> int:
    """A table entry; not present outside RAM."""
    at = engine.locate(at)
    return 0 if at is None else int.from_bytes(engine.ram.map[at : at + size], "little")


def _walk32(engine: Any, linear: int, large_pages: bool) -> int | None:
    entry = _entry(engine, (int(engine.state["cr3"]) & 0xFFFFF000) + (linear >> 22 << 2), 4)
    if not entry & P:
        return None
    if entry & PS and large_pages:
        return (entry & 0xFFC00000) | (entry & 0x1FE000) << 19 | linear & 0x3FFFFF
    entry = _entry(engine, (entry & 0xFFFFF000) + (linear >> 12 & 0x3FF) * 4, 4)
    return entry & 0xFFFFF000 | linear & 0xFFF if entry & P else None


def _walk64(engine: Any, linear: int, table: int, level: int) -> int | None:
    while True:
        shift = 12 + 9 * level
        entry = _entry(engine, table + (linear >> shift & 511) * 8, 8)
        if not entry & P:
            return None
        if level == 0 or entry & PS:
            inside = (1 << shift) - 1
            return entry & ADDRESS & ~inside | linear & inside
        table, level = entry & ADDRESS, level - 1
