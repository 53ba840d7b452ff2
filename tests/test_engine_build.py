"""The native code is built once, whoever asks for it, and a second start finds it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

#: Prints whether the code was loaded, whether this process built it, and how many lines it was told meanwhile.
START = """
from jitrr.engine import build
from jitrr.engine.frontends import load_frontend
builds, lines = [], []
really = build._build
build._build = lambda name: builds.append(name) or really(name)
frontend = load_frontend("x86")
print(len(build.load_native(frontend, lines.append)) > len(frontend.helper_names) > 0, len(builds), len(lines))
"""


def start(cache: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "JITRR_CACHE_DIR": str(cache)}
    return subprocess.Popen([sys.executable, "-c", START], env=environment, stdout=subprocess.PIPE, text=True)


def test_two_starters_build_once_and_the_next_not_at_all(tmp_path: Path) -> None:
    starters = [start(tmp_path), start(tmp_path)]
    answers = [starter.communicate()[0].split() for starter in starters]
    assert sorted(answers) == [["True", "0", "1"], ["True", "1", "1"]]
    assert start(tmp_path).communicate()[0].split() == ["True", "0", "0"]


def test_a_cache_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert start(tmp_path / "file" / "cache").communicate()[0].split() == ["True", "1", "1"]
