"""The compile worker as its machine sees it: requests go down one pipe, results come up another, and what is left when
the machine has ended stays with it.
"""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING, Any

from jitrr.engine.messages import message, take_message

if TYPE_CHECKING:
    import subprocess

#: Regions that are finished after the machine's end, at most.
MOST_LEFT = 600
#: Workers that outlive their machines: kept until they have ended, so that none stays a zombie.
_finishing: list[subprocess.Popen[bytes]] = []


class Worker:
    """A compile process. The pipes' ends, and the file that takes what is left, are the machine's and its alone."""

    def __init__(self, frontend: str):
        import subprocess  # late: a run whose code is in the cache has no worker

        _finishing[:] = [process for process in _finishing if process.poll() is None]
        self._left = os.memfd_create("left")
        self._errors = os.memfd_create("errors")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jitrr.engine.worker", frontend, str(self._left)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, pass_fds=[self._left],
            start_new_session=True,
        )  # fmt: skip
        assert self.process.stdin is not None and self.process.stdout is not None
        self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self._in, False)
        self.ended = False
        #: Numbers of the regions it has been asked for and has not answered.
        self.waiting: set[int] = set()
        #: Messages that the pipe has not taken yet, and how much of the first it has.
        self._pending: list[bytes] = []
        self._taken = 0
        self._received = bytearray()

    def send(self, number: int, request: Any) -> None:
        self.waiting.add(number)
        self._pending.append(message((number, *request)))
        self.push()

    def push(self) -> None:
        """Write what the pipe takes."""
        while self._pending:
            try:
                self._taken += os.write(self._in, self._pending[0][self._taken : self._taken + (1 << 16)])
            except BlockingIOError:
                return
            except BrokenPipeError:
                self._pending.clear()
                return
            if self._taken == len(self._pending[0]):
                del self._pending[0]
                self._taken = 0

    def fileno(self) -> int:
        """Readable when there are results."""
        return self._out

    def results(self) -> list[Any]:
        """Messages that have arrived."""
        self.push()
        while select.select([self._out], [], [], 0.0)[0]:
            data = os.read(self._out, 1 << 20)
            if not data:
                self.ended = True
                break
            self._received += data
        found = []
        while (result := take_message(self._received)) is not None:
            found.append(result)
            self.waiting.discard(result[0])
        return found

    def last_words(self) -> str:
        """What a worker that has ended said about it."""
        return os.pread(self._errors, 1 << 16, 0).decode(errors="replace").strip()

    def close(self) -> None:
        """End it now."""
        self.process.kill()
        self._let_go()
        self.process.wait()

    def leave(self, requests: list[Any]) -> None:
        """Let it finish what it has and these requests, for the cache, and end; nobody waits for it."""
        with open(self._left, "wb", closefd=False) as file:
            file.write(b"".join(self._pending))
            for request in requests[:MOST_LEFT]:
                file.write(message((0, *request)))
        self._let_go()
        _finishing.append(self.process)

    def _let_go(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        os.close(self._left)
        os.close(self._errors)
