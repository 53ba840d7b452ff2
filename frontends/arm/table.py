"""The whole ARM table: importing this module declares every row, every pattern and every lifter."""

from __future__ import annotations

import importlib
import importlib.util

import jitrr.microops.core  # noqa: F401
from jitrr.microops.table import rows_of

MODULES = (
    "lift_data", "lift_media", "lift_load", "lift_block", "lift_flow", "lift_system", "lift_return", "lift_cp15",
    "lift_vfp", "lift_neon", "lift_neon_shift", "lift_neon_misc", "lift_simd_memory",
)  # fmt: skip

for _name in MODULES:
    if importlib.util.find_spec(f"frontends.arm.{_name}") is not None:
        importlib.import_module(f"frontends.arm.{_name}")

ROWS = rows_of("arm_")
