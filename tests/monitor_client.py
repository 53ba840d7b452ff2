"""Programs of this package as a user starts them, with a monitor at a Unix socket, and the other end of it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

#: Seconds for anything to happen on a busy host.
PATIENCE = 90.0


class Program:
    """``jitrr ARGUMENTS --monitor [qmp:]unix:PATH``, running; ended when the ``with`` is left."""

    def __init__(self, path: Path, language: str, *arguments: object):
        self.path = path
        place = f"{language}unix:{path}"
        command = [sys.executable, "-m", "jitrr", *map(str, arguments), "--monitor", place]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        _, err = self.process.communicate()
        if error is not None:
            print(err.decode(errors="replace"))

    def connect(self) -> socket.socket:
        """A connection to the monitor, when it listens."""
        end = time.monotonic() + PATIENCE
        while True:
            stream = socket.socket(socket.AF_UNIX)
            stream.settimeout(PATIENCE)
            try:
                stream.connect(str(self.path))
                return stream
            except OSError:
                stream.close()
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.05)

    def wait(self) -> int:
        """The exit code."""
        return self.process.wait(PATIENCE)


class QmpClient:
    """Speaks QMP as QEMU's own client does: greeting, negotiation, one request at a time; events are kept."""

    def __init__(self, stream: socket.socket):
        self._stream, self._file = stream, stream.makefile("rb")
        self.events: list[dict[str, Any]] = []
        self.greeting = self._read()

    def close(self) -> None:
        self._file.close()
        self._stream.close()

    def _read(self) -> dict[str, Any]:
        line = self._file.readline()
        assert line.endswith(b"\r\n"), line
        return json.loads(line)

    def raw(self, data: bytes) -> dict[str, Any]:
        """Send bytes; the answer."""
        self._stream.sendall(data)
        while "event" in (message := self._read()):
            self.events.append(message)
        return message

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The whole answer to a command."""
        request: dict[str, Any] = {"execute": command}
        if arguments:
            request["arguments"] = {name.replace("_", "-"): value for name, value in arguments.items()}
        return self.raw(json.dumps(request).encode())

    def result(self, command: str, **arguments: Any) -> Any:
        """What a command returns."""
        answer = self.ask(command, **arguments)
        assert "return" in answer, answer
        return answer["return"]

    def event(self, name: str) -> dict[str, Any]:
        """The next event of that name; others before it are gone."""
        while True:
            message = self.events.pop(0) if self.events else self._read()
            if message.get("event") == name:
                return message
