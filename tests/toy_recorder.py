"""Records the toy machine in a process of its own, so that it can be killed:
``toy_recorder.py OUTPUT [LARGEST [PARENT AT]]``.

``LARGEST`` limits the size of a file, as a full disk would (0: no limit). ``PARENT`` is left at instruction ``AT``.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from toy_machine import make_machine

from runtime.config import MachineConfig
from runtime.recording.recording import Recording
from runtime.timeline.branch import branch
from runtime.timeline.record import Outside, Pace, record

if __name__ == "__main__":
    if len(sys.argv) > 2 and int(sys.argv[2]):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
    path, pace = Path(sys.argv[1]), Pace(digest=0.05, checkpoint=0.1)
    if len(sys.argv) > 3:
        branch(Recording(Path(sys.argv[3])), int(sys.argv[4]), path, Outside(), pace=pace, factory=make_machine)
    else:
        slow = MachineConfig(memory=1 << 20, append="slow")
        record(path, slow, Outside(), pace=pace, factory=make_machine)
