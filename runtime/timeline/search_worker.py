"""A process that searches segments of a recording for the last hit of points, for :mod:`runtime.timeline.search`.

Reads messages ``(points, begin, end)`` from standard input and writes ``(kind, value)``: "hit" and a Hit or None,
"error" and the exception. Anything that arrives during a search ends it ("cancelled"); () asks for nothing else.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from select import select
from typing import Any

from jitrr.engine.messages import message, take_message
from runtime.recording.errors import Divergence, RecordingError
from runtime.recording.recording import Recording
from runtime.timeline.travel import Travel
from runtime.timeline.watch import Interrupted


class Requests:
    """What comes from standard input."""

    def __init__(self) -> None:
        self._received = bytearray()

    def more(self) -> bool:
        """Something has arrived."""
        return bool(self._received or select([0], [], [], 0)[0])

    def next(self) -> Any:
        """The next message, or None at the end."""
        while (found := take_message(self._received)) is None:
            data = os.read(0, 1 << 16)
            if not data:
                return None
            self._received += data
        return found


def answer(travel: Travel, request: Any) -> tuple[str, Any]:
    """Search one segment."""
    points, begin, end = request
    try:
        travel.replay.look()
        if points != travel.points:
            travel.set_points(points)
        return "hit", travel.last_hit(begin, end)
    except Interrupted:
        return "cancelled", None
    except (Divergence, RecordingError) as error:
        return "error", error


def main() -> None:
    """Serve until standard input ends."""
    path, tier = sys.argv[1:]
    requests, target = Requests(), sys.stdout.buffer
    travel = Travel(Recording(Path(path)), tier=tier, dense=False)
    travel.interrupt = requests.more
    if (tier := travel.machine.engine.tier) is not None:
        tier.spare(True)
    while (request := requests.next()) is not None:
        if not request:
            continue
        try:
            target.write(message(answer(travel, request)))
            target.flush()
        except BrokenPipeError:  # the session has ended meanwhile
            os._exit(0)
    travel.close()


if __name__ == "__main__":
    main()
