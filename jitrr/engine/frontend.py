"""What the engine needs of a guest architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from jitrr.engine.layout import Layout
from jitrr.microops.emit import Emit
from jitrr.microops.table import Outline, Row, UOp

if TYPE_CHECKING:
    from jitrr.engine.engine import Engine


class Frontend(Protocol):
    """One guest architecture."""

    name: str
    layout: Layout
    helper_names: list[str]
    helper_arity: dict[str, int]
    #: CPU block offsets that mean nothing between instructions.
    temporaries: range
    #: Width of linear addresses, 64 or 32: what a micro-op gives as an address has no bits above.
    linear_bits: int
    #: The field whose value is in the host's MXCSR while guest code runs, or None: the host program's stays.
    host_fp: str | None

    @property
    def rows(self) -> list[Row]:
        """The table, by number."""

    @property
    def outlines(self) -> list[Outline]:
        """What is to be known of the table without its bodies."""

    @property
    def row_numbers(self) -> dict[str, int]:
        """The numbers by name."""

    def declare_helpers(self) -> None:
        """Import and declare the numba helpers (only when they must be compiled)."""

    def goto_kind(self, mode: int) -> int:
        """Width of pc: 0: 64, 1: 32, 2: 16 bits."""

    def pending(self, e: Emit) -> str:
        """Emit a value (i64) that is not 0 when an interrupt of field ``irq`` would be taken now."""

    def most(self, mode: int) -> int:
        """Most instructions of a block."""

    def lift(self, code: bytes, mode: int, info: np.ndarray) -> tuple[list[UOp], bool]:
        """Micro-ops of one instruction (described by the splitter in ``info``), and whether it ends its block."""

    def lift_odd(self, code: bytes, mode: int) -> tuple[list[UOp], int]:
        """Micro-ops (with their exits, constants final) and length of an instruction that the splitter refuses."""

    def peek(self, engine: Engine, linear: int) -> int | None:
        """Place of code at a linear address, or None where there is no RAM; the guest cannot notice."""
