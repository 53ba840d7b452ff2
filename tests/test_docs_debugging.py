"""docs/debugging.md: the machine it speaks of is recorded, and every command in it is done; what the commands print is
as it says, but for addresses, instruction counts and the instructions that are there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from monitor_docs import masked, play

from runtime import guests
from runtime.debug.monitor.monitor import Monitor
from runtime.debug.target import make_target
from runtime.recording.recording import Recording
from runtime.timeline.travel import Travel

pytestmark = pytest.mark.slow
DOCUMENT = Path(__file__).parents[1] / "docs" / "debugging.md"


def block(text: str, language: str) -> str:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[0]


def recorded(script: str, folder: Path) -> tuple[Path, str]:
    """The recording and what the guest printed."""
    try:
        arguments = guests.fetch("debian-cloud-x86_64").record_args
    except guests.GuestError as error:
        pytest.skip(f"no guest: {error}")
    (folder / "hunt.txt").write_text(script)
    path = folder / "hunt.jrr"
    command = [sys.executable, "-m", "jitrr", "record", *arguments, "--memory", "128M", "-o", str(path)]
    command += ["--input-script", str(folder / "hunt.txt"), "--timeout", "300"]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=400)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return path, done.stdout.decode(errors="replace")


def test_the_hunt(tmp_path: Path) -> None:
    text = DOCUMENT.read_text()
    path, printed = recorded(block(text, "script"), tmp_path)
    assert block(text, "console").strip() in printed
    travel = Travel(Recording(path))
    try:
        travel.seek(travel.end)
        monitor = Monitor(travel, make_target(travel.machine))
        assert masked(play(text, monitor.execute)) == masked(text)
        assert "is a replay" not in monitor.execute("sendkey a")
    finally:
        travel.close()
