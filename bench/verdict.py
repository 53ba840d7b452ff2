"""What the conformance suites share: a program's result, running a guest to its end, and material that is missing."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: A machine that takes longer than this hangs.
SECONDS = 1800
PASS, FAIL, SKIPPED = "pass", "FAIL", "skipped"


class Missing(Exception):
    """A suite cannot run here; the message says in one line what is missing, and how to put it there."""


@dataclass(frozen=True)
class Result:
    """One line of the page. ``reason``: why it does not pass, from the suite's table, or the program's own words."""

    suite: str
    program: str
    outcome: str
    detail: str
    reason: str = ""

    @property
    def unexplained(self) -> bool:
        """It fails, and no table says why."""
        return self.outcome == FAIL and not self.reason


#: Something that runs on its own and gives some lines of the page.
Job = Callable[[], list[Result]]


def console(arguments: list[object], folder: Path) -> str:
    """Run a machine of this checkout to its end, in ``folder``, which is new; what its serial port printed."""
    serial = f"file:{folder / 'console'}"
    return printed([sys.executable, "-m", "jitrr", "run", *map(str, arguments), "--serial", serial], folder)


def printed(command: list[str], folder: Path) -> str:
    """Run a machine whose serial port is the file ``console`` in ``folder``, which is new; what it printed."""
    folder.mkdir()
    output = folder / "console"
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False)
    return output.read_text(errors="replace").replace("\r", "") if output.exists() else ""
