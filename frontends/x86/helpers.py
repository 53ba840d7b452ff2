"""All native helpers of the x86 front end, declared once; imported only when they must be compiled."""

from __future__ import annotations

from functools import cache

from frontends.x86 import (
    control,
    debug,
    exceptions,
    far,
    fxsave,
    mmu,
    segments,
    strings,
    system,
    tasks,
    transcendental,
    transfers,
)  # fmt: skip
from frontends.x86.split import split
from frontends.x86.state import LAYOUT
from frontends.x86.table import ROWS
from jitrr.engine import blocks, softmmu


@cache
def build() -> None:
    """Declare them (jitrr.engine.native.HELPERS)."""
    memory = softmmu.build(LAYOUT, mmu.make_walk, mmu.entry_cached, mmu.refused, "mxcsr", debug.watched)
    blocks.build(LAYOUT, split, memory, {row.name: row.number for row in ROWS})
    controls, breakpoints = control.build(memory), debug.build(memory)
    segment = transfers.build(memory, segments.build(memory))
    task = tasks.build(memory, segment, controls, breakpoints)
    exception = exceptions.build(memory, segment, task)
    far.build(memory, segment, task, exception)
    system.build(memory, breakpoints, exception)
    strings.build(memory)
    fxsave.build(memory)
    transcendental.build()
