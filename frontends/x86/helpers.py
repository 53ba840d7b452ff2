"""All native helpers of the x86 front end, declared once; imported only when they must be compiled."""

from __future__ import annotations

from functools import cache

from frontends.x86 import debug, exceptions, fxsave, mmu, segments, strings, system
from frontends.x86.split import split
from frontends.x86.state import LAYOUT
from jitrr.engine import blocks, softmmu


@cache
def build() -> None:
    """Declare them (jitrr.engine.native.HELPERS)."""
    memory = softmmu.build(LAYOUT, mmu.make_walk, mmu.entry_cached, mmu.refused, "mxcsr", debug.watched)
    blocks.build(LAYOUT, split, memory)
    segment = segments.build(memory)
    system.build(memory, debug.build(memory), exceptions.build(memory, segment))
    strings.build(memory)
    fxsave.build(memory)
