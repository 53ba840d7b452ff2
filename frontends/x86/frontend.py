"""x86 as the engine sees it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from frontends.x86 import state as st
from jitrr.engine.constants import MAX_INSTRUCTIONS, S_SHAPE
from jitrr.microops.emit import Emit
from jitrr.microops.table import Row, Rows, UOp


class X86Frontend(Rows):
    """16, 32 and 64 bit x86; see jitrr.engine.frontend.Frontend."""

    name = "x86"
    layout = st.LAYOUT
    #: CPU block offsets that mean nothing between instructions.
    temporaries = range(st.T, st.V + 16 * 8)
    linear_bits = 64
    host_fp: str | None = "mxcsr"

    def __init__(self) -> None:
        self.helper_names: list[str] = []
        self.helper_arity: dict[str, int] = {}

    @cached_property
    def rows(self) -> list[Row]:
        from frontends.x86.table import ROWS  # declares the rows and lifters

        return ROWS

    def declare_helpers(self) -> None:
        """Import numba and declare all helpers."""
        from frontends.x86.helpers import build

        build()

    def pending(self, e: Emit) -> str:
        """Field ``irq`` is EFLAGS.IF (bit 9) while an interrupt waits."""
        return e.bin("and", 64, e.get("irq"), e.get("eflags"))

    def goto_kind(self, mode: int) -> int:
        return (2, 1, 0)[mode & 3]

    def most(self, mode: int) -> int:
        return 1 if mode & st.MODE_TRAP else MAX_INSTRUCTIONS

    def lift(self, code: bytes, mode: int, info: np.ndarray) -> tuple[list[UOp], bool]:
        from frontends.x86.decode import lift

        shape = int(info[S_SHAPE // 8])
        template = lift(code, mode, (shape >> 8) & 255 != 0, (shape >> 32) & 1 != 0)
        if template.length not in (0, len(code)) and not template.ends:
            raise AssertionError(f"{code.hex()}: {template.length} bytes in Capstone, {len(code)} in the splitter")
        return template.uops, template.ends

    def lift_odd(self, code: bytes, mode: int) -> tuple[list[UOp], int]:
        """An instruction the splitter does not take (longer than 15 bytes or cut off by an unmapped page): #UD."""
        from frontends.x86.decode import undefined

        return undefined(mode), len(code)

    def peek(self, engine: Any, linear: int) -> int | None:
        """Place of code at a linear address, or None where no RAM is mapped; the guest cannot notice."""
        from frontends.x86.peek import place

        return place(engine, linear)
