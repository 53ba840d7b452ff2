"""Records the toy machine in a process of its own, so that it can be killed: ``toy_recorder.py OUTPUT [LARGEST]``.

``LARGEST`` limits the size of a file, as a full disk would.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from toy_machine import make_machine

from runtime.config import MachineConfig
from runtime.timeline.record import Outside, Pace, record

if __name__ == "__main__":
    if len(sys.argv) > 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
    slow = MachineConfig(memory=1 << 20, append="slow")
    record(Path(sys.argv[1]), slow, Outside(), pace=Pace(digest=0.05, checkpoint=0.1), factory=make_machine)
