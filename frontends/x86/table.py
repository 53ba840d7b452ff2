"""The whole x86 table: importing this module declares every row and every lifter."""

from __future__ import annotations

import importlib
import importlib.util

import jitrr.microops.core  # noqa: F401
from jitrr.microops.table import rows_of

MODULES = (
    "lift_integer", "lift_shift", "lift_muldiv", "lift_bits", "lift_string", "lift_flow", "lift_flags", "lift_bcd",
    "lift_system", "lift_segments", "lift_sse_move", "lift_sse_int", "lift_sse_float", "lift_mmx", "lift_x87",
)  # fmt: skip

for _name in MODULES:
    if importlib.util.find_spec(f"frontends.x86.{_name}") is not None:
        importlib.import_module(f"frontends.x86.{_name}")

ROWS = rows_of("x86_", "x87_")
