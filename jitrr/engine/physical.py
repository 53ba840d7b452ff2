"""Guest physical memory: where the ranges of RAM (and ROM) lie. Compiled by numba.

Everything behind a page walk works with *places*: the offset in the engine's RAM, or, for what is not RAM, the physical
address with DEVICE set. Page flags, block keys and dirty pages count from the start of RAM, wherever the
board puts it.
"""

from __future__ import annotations

from jitrr.engine.constants import DEVICE
from jitrr.engine.layout import MAPPED_RANGES, new_layout
from jitrr.engine.native import inner, ld64, ult

#: The engine's fields are first in every layout.
_LAYOUT = new_layout()
O_BASE, O_SIZE, O_OFFSET = (_LAYOUT[n] for n in ("map_base", "map_size", "map_offset"))


@inner
def locate(cpu, phys):
    """The place of a guest physical address."""
    for i in range(MAPPED_RANGES):
        inside = phys - ld64(cpu + O_BASE + 8 * i)
        if ult(inside, ld64(cpu + O_SIZE + 8 * i)):
            return ld64(cpu + O_OFFSET + 8 * i) + inside
    return phys | DEVICE
