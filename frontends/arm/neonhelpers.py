"""Native helpers of Advanced SIMD besides arithmetic."""

from __future__ import annotations

from jitrr.engine.native import helper, ld8, lsr


@helper
def arm_vtbl(cpu, table, size, indices, kept):
    """VTBX: bytes of the ``size`` bytes from CPU block offset ``table`` on, or those of ``kept`` where an index is
    outside."""
    result = 0
    for at in range(0, 64, 8):
        index = lsr(indices, at) & 255
        byte = ld8(cpu + table + index) if index < size else lsr(kept, at) & 255
        result |= byte << at
    return result
