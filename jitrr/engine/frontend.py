"""What the engine needs of a guest architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from jitrr.engine.layout import Layout
from jitrr.microops.table import UOp

if TYPE_CHECKING:
    from jitrr.engine.engine import Engine


class Frontend(Protocol):
    """One guest architecture. Its rows and helpers are declared when the object exists."""

    name: str
    layout: Layout
    helper_names: list[str]
    helper_arity: dict[str, int]
    row_numbers: dict[str, int]

    def declare_helpers(self) -> None:
        """Import and declare the numba helpers (only when they must be compiled)."""

    def goto_kind(self, mode: int) -> int:
        """Width of pc: 0: 64, 1: 32, 2: 16 bits."""

    def most(self, mode: int) -> int:
        """Most instructions of a block."""

    def lift(self, code: bytes, mode: int, info: np.ndarray) -> tuple[list[UOp], bool]:
        """Micro-ops of one instruction (described by the splitter in ``info``), and whether it ends its block."""

    def lift_odd(self, code: bytes, mode: int) -> tuple[list[UOp], int]:
        """Micro-ops (with their exits, constants final) and length of an instruction that the splitter refuses."""

    def peek(self, engine: Engine, linear: int) -> int | None:
        """Physical address of code at a linear address, or None."""
