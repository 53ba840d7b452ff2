"""What a start does not wait for: a seek of known instructions imports nothing that makes code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from corpus.make import place
from real_machine import FRONTENDS, empty_cache

ROOT = Path(__file__).resolve().parents[1]
#: What no seek needs that has been made before, or ever.
HEAVY = {"numba", "llvmlite", "capstone", "asyncio", "mcap", "runtime.guests", "runtime.debug",
         "frontends.x86.table", "frontends.arm.table"}  # fmt: skip
#: Runs a command; then its modules, as a line of standard error, before the process is gone.
START = """
import sys, json
from jitrr.cli import main
try:
    main(sys.argv[1:])
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def process(arch: str, cache: Path, where: str) -> tuple[str, set[str]]:
    """The answer and the modules of a process."""
    command = [sys.executable, "-c", START, "replay", str(place(arch)), "--seek", where, "--digest"]
    environment = {**os.environ, "JITRR_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=cache)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout, set(json.loads(ended.stderr.splitlines()[-1]))


@pytest.mark.parametrize("arch", FRONTENDS)
def test_a_second_seek_imports_nothing_that_makes_code(
    arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = empty_cache(tmp_path / "cache", arch, monkeypatch)
    first, _ = process(arch, folder, "60%")
    second, modules = process(arch, folder, "60%")
    assert json.loads(second) == json.loads(first)
    assert modules & HEAVY == set()
