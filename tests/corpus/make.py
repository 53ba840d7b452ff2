"""Make the corpus's recordings of this version: ``python tests/corpus/make.py``.

Of each architecture: the demo guest, whole, with somebody who answers its question, and twenty million instructions of
the guest of two processors; packed. CONTRIBUTING.md says when to add them. What is there already stays.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from real_machine import FRONTENDS, processor, record_demo
from smp_guest import build, smp_config

from runtime.recording.pack import pack
from runtime.recording.recording import FORMAT, Recording
from runtime.timeline.record import Limits, Outside, Pace, record

HERE = Path(__file__).parent
#: Few digests and checkpoints, for the sake of size.
PACE = Pace(flush=1e9, digest=0.15, checkpoint=0.3)
#: The shorter one is sure to have some.
BUSY = Pace(flush=1e9, digest=0.01, checkpoint=0.01, share=1e9)
SHORT = 20_000_000
GUESTS = ("demo", "smp")


def place(arch: str, guest: str = "demo") -> Path:
    """Where a recording is: named after guest, architecture, and versions of format and processor's state."""
    return HERE / f"{guest}-{arch}-format{FORMAT}-state{processor(arch).state_version}.jrrz"


def make(arch: str, guest: str, scratch: Path) -> None:
    """Record and pack."""
    path = scratch / f"{guest}.jrr"
    if guest == "demo":
        record_demo(path, pace=PACE, arch=arch)
    else:
        image, _ = build(arch, scratch)
        record(path, smp_config(arch, image), Outside(), Limits(max_icount=SHORT), pace=BUSY)
    pack(Recording(path), place(arch, guest))


if __name__ == "__main__":
    for name in FRONTENDS:
        for kind in GUESTS:
            if not place(name, kind).exists():
                with tempfile.TemporaryDirectory() as folder:
                    make(name, kind, Path(folder))
                print(f"{place(name, kind).name}: {place(name, kind).stat().st_size / 1e3:.0f} KB")
