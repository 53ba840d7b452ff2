"""Debian's own gdb and gdb-multiarch, and servers of the command line for them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gdb_client import free_port

TIMEOUT = 240
PROGRAMS = {"x86_64": "gdb", "i386": "gdb", "arm": "gdb-multiarch"}


def installed(arch: str) -> None:
    """The test is skipped where there is no gdb for an architecture."""
    if shutil.which(PROGRAMS[arch]) is None:
        pytest.skip(f"{PROGRAMS[arch]} is not installed")


class Debugger:
    """``jitrr replay --gdb`` of a recording, and gdb sessions with it. A session begins at instruction ``start`` (None:
    where the last one ended), with the file ``symbols`` if there is one; ``more``: words for the command line."""

    def __init__(self, recording: Path, arch: str, start: int | None, symbols: Path | None = None,
                 more: tuple[object, ...] = ()):  # fmt: skip
        self.recording, self.arch, self.port = recording, arch, free_port()
        self.start, self._symbols = start, symbols
        command = [sys.executable, "-m", "jitrr", "replay", str(recording), "--gdb", str(self.port),
                   *map(str, more)]  # fmt: skip
        self.server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.server.stderr is not None
        self.said = ""
        while "waiting for gdb" not in self.said:
            line = self.server.stderr.readline()
            assert line, self.said
            self.said += line

    def run(self, *commands: str, seek: int | None = -1) -> str:
        """What gdb shows for commands, after it has connected and gone to an instruction."""
        lines = ["set pagination off", "set confirm off", "set remotetimeout 60"]
        if self._symbols is not None:
            lines.append(f"file {self._symbols}")
        lines.append(f"target remote localhost:{self.port}")
        if (at := self.start if seek == -1 else seek) is not None:
            lines += [f"monitor replay_seek {at}", "maintenance flush register-cache"]
        words = [word for line in (*lines, *commands) for word in ("-ex", line)]
        done = subprocess.run(
            [PROGRAMS[self.arch], "-q", "-nx", "-batch", *words], capture_output=True, text=True, timeout=TIMEOUT
        )
        return done.stdout + done.stderr

    def values(self, *commands: str, seek: int | None = -1) -> list[int]:
        """The numbers that ``print`` commands among them show."""
        shown = self.run(*commands, seek=seek)
        found = [int(number) for number in re.findall(r"^\$\d+ = (-?\d+)$", shown, re.MULTILINE)]
        assert len(found) == sum(command.startswith("p ") for command in commands), shown
        return found

    def close(self) -> None:
        """End the server."""
        self.server.terminate()
        self.server.wait(60)
