"""Recordings of the demo guests that the tests of the debugger share."""

from __future__ import annotations

from pathlib import Path

from real_machine import record_demo

from runtime.recording.recording import Recording
from runtime.timeline.record import Pace

ARCHITECTURES = ("x86_64", "i386", "arm")
_made: dict[str, Path] = {}


def demo_recording(arch: str, folder: Path) -> Recording:
    """The demo guest of an architecture, recorded below ``folder`` the first time it is asked for."""
    if arch not in _made:
        path = folder / f"{arch}.jrr"
        record_demo(path, pace=Pace(flush=0.1, digest=0.1, checkpoint=0.1), arch=arch)
        _made[arch] = path
    return Recording(_made[arch])
