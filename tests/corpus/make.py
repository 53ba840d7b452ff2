"""Make the corpus's recordings of this version: ``python tests/corpus/make.py``.

Each is the demo guest of an architecture, whole, with somebody who answers its question, packed. CONTRIBUTING.md says
when to add them. What is there already stays.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from real_machine import FRONTENDS, processor, record_demo

from runtime.recording.pack import pack
from runtime.recording.recording import FORMAT, Recording
from runtime.timeline.record import Pace

HERE = Path(__file__).parent
#: Few digests and checkpoints, for the sake of size.
PACE = Pace(flush=1e9, digest=0.15, checkpoint=0.3)


def place(arch: str) -> Path:
    """Where the recording of an architecture is: named after the format and the version of the processor's state."""
    return HERE / f"demo-{arch}-format{FORMAT}-state{processor(arch).state_version}.jrrz"


def make(arch: str) -> None:
    """Record and pack."""
    with tempfile.TemporaryDirectory() as scratch:
        record_demo(Path(scratch) / "demo.jrr", pace=PACE, arch=arch)
        pack(Recording(Path(scratch) / "demo.jrr"), place(arch))


if __name__ == "__main__":
    for name in FRONTENDS:
        if not place(name).exists():
            make(name)
            print(f"{place(name).name}: {place(name).stat().st_size / 1e3:.0f} KB")
