"""Row numbers are the same in every process, whatever it imported first."""

from __future__ import annotations

import subprocess
import sys

import pytest

ORDER = "import {}, frontends.x86.table; from jitrr.microops.table import ROWS, TABLE; " + (
    "assert all(TABLE[row.name] is row and row.number == n for n, row in enumerate(ROWS)); "
    "print(*(row.name for row in ROWS))"
)


@pytest.mark.parametrize("first", ["frontends.x86.simd", "frontends.x86.flags", "frontends.x86.lift_x87"])
def test_numbers_do_not_depend_on_the_order_of_imports(first: str) -> None:
    found = [subprocess.check_output([sys.executable, "-c", ORDER.format(name)]) for name in ("frontends", first)]
    assert found[0] == found[1] and len(found[0].split()) > 1000
