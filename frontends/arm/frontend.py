"""ARM as the engine sees it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from frontends.arm import state as st
from jitrr.engine.constants import MAX_INSTRUCTIONS, S_DISP, S_IMM, S_KEY_HIGH, S_SHAPE
from jitrr.microops.emit import Emit
from jitrr.microops.table import Row, Rows, UOp


class ArmFrontend(Rows):
    """A32 and T32 of ARMv7-A; see jitrr.engine.frontend.Frontend."""

    name = "arm"
    layout = st.LAYOUT
    #: CPU block offsets that mean nothing between instructions.
    temporaries = range(st.T, st.V + 16 * 8)
    linear_bits = 32
    host_fp: str | None = None

    def __init__(self) -> None:
        self.helper_names: list[str] = []
        self.helper_arity: dict[str, int] = {}

    @cached_property
    def rows(self) -> list[Row]:
        from frontends.arm.table import ROWS  # declares the rows and lifters

        return ROWS

    def declare_helpers(self) -> None:
        """Import numba and declare all helpers."""
        from frontends.arm.helpers import build

        build()

    def pending(self, e: Emit) -> str:
        """Field ``irq`` has bit 7 set while an IRQ waits and bit 6 while an FIQ does, as the masks in CPSR."""
        unmasked = e.bin("xor", 64, e.get("cpsr"), -1)
        return e.bin("and", 64, e.bin("and", 64, e.get("irq"), unmasked), st.I | st.F)

    def goto_kind(self, mode: int) -> int:
        return 1

    def most(self, mode: int) -> int:
        return 1 if mode & (st.MODE_IT | st.MODE_DEBUG) else MAX_INSTRUCTIONS

    def lift(self, code: bytes, mode: int, info: np.ndarray) -> tuple[list[UOp], bool]:
        from frontends.arm.decode import lift

        itstate = int(info[S_KEY_HIGH // 8]) >> 48 & 255
        shape, disp, imm = (int(info[n // 8]) for n in (S_SHAPE, S_DISP, S_IMM))
        template = lift(code, mode, itstate, shape, disp, imm)
        return template.uops, template.ends

    def lift_odd(self, code: bytes, mode: int) -> tuple[list[UOp], int]:
        """An instruction cut off by a page that is not mapped."""
        return [UOp("missing")], len(code)

    def peek(self, engine: Any, linear: int) -> int | None:
        """Place of code at a linear address, or None where no RAM is mapped; the guest cannot notice."""
        from frontends.arm.peek import place

        return place(engine, linear)
