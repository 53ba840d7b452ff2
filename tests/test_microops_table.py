"""Row numbers are the same in every process, whatever it imported first."""

from __future__ import annotations

import subprocess
import sys

import pytest

ORDER = "import {}; from frontends.x86.table import ROWS; " + (
    "assert all(row.number == n for n, row in enumerate(ROWS)); print(*(row.name for row in ROWS))"
)
FIRST = ["frontends.x86.simd", "frontends.x86.flags", "frontends.x86.lift_x87", "frontends.arm.table"]


@pytest.mark.parametrize("first", FIRST)
def test_numbers_do_not_depend_on_the_order_of_imports(first: str) -> None:
    commands = [[sys.executable, "-c", ORDER.format(name)] for name in ("frontends", first)]
    found = [subprocess.check_output(command) for command in commands]
    assert found[0] == found[1] and len(found[0].split()) > 1000
