"""All native helpers of the ARM front end, declared once; imported only when they must be compiled."""

from __future__ import annotations

from functools import cache

from frontends.arm import debug, exceptions, mmu, neonhelpers, softconvert, system  # noqa: F401
from frontends.arm.split import split
from frontends.arm.state import LAYOUT
from frontends.arm.table import ROWS
from jitrr.engine import blocks, softmmu


@cache
def build() -> None:
    """Declare them (jitrr.engine.native.HELPERS)."""
    memory = softmmu.build(LAYOUT, mmu.make_walk, mmu.entry_cached, mmu.refused, guarded=debug.guarded)
    blocks.build(LAYOUT, split, memory, {row.name: row.number for row in ROWS})
    exceptions.build(memory)
    system.build(memory, debug.build(memory))
