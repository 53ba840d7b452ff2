"""The guest's serial console outside: where its output goes, where its input comes from."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from pathlib import Path
from typing import Protocol

from runtime.config import ConfigError

_CTRL_A = 0x01
_HELP = "\r\nCtrl-A x  leave\r\nCtrl-A h  this help\r\nCtrl-A Ctrl-A  send Ctrl-A to the guest\r\n"


class ConsoleOutput:
    """Bytes of the guest's console to a file descriptor (or nowhere); a reader that went away is no error."""

    def __init__(self, fd: int | None, *, owned: bool = False):
        self._fd, self._owned = fd, owned
        self._pending = bytearray()

    @classmethod
    def file(cls, path: Path) -> ConsoleOutput:
        """To a new file; ConfigError if it cannot be created."""
        try:
            return cls(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), owned=True)
        except OSError as error:
            raise ConfigError(f"cannot write the console to {path}: {error.strerror}") from error

    def write(self, data: bytes) -> None:
        """Collect; :meth:`flush` shows it."""
        if self._fd is not None:
            self._pending += data

    def flush(self) -> None:
        """Show everything collected."""
        while self._pending and self._fd is not None:
            try:
                del self._pending[: os.write(self._fd, self._pending)]
            except BlockingIOError:
                select.select([], [self._fd], [], 0.1)
            except OSError:
                self._fd = None

    def close(self) -> None:
        """Flush, and close what this object opened."""
        self.flush()
        if self._owned and self._fd is not None:
            os.close(self._fd)
            self._fd = None


class ConsoleInput(Protocol):
    """Where console input comes from."""

    interactive: bool  # a person is there: an idle guest waits in real time
    leave: bool  # the person asked to leave

    @property
    def open(self) -> bool:
        """More may come."""

    def read(self) -> bytes:
        """What has arrived; never waits."""

    def wait(self, seconds: float) -> bool:
        """Until something arrives, at most ``seconds``."""

    def close(self) -> None:
        """Give the terminal back as it was."""


class NoInput:
    """No terminal, no input."""

    interactive = leave = open = False

    def read(self) -> bytes:
        """Nothing."""
        return b""

    def wait(self, seconds: float) -> bool:
        """Nothing ever arrives: comes back at once."""
        return False

    def close(self) -> None:
        """Nothing to give back."""


class FileInput:
    """Input from a file descriptor: a raw terminal with Ctrl-A commands, or a pipe or file until its end."""

    def __init__(self, fd: int):
        self._fd: int | None = fd
        self.leave = False
        self._escaped = False
        self.interactive = os.isatty(fd)
        self._saved = termios.tcgetattr(fd) if self.interactive else None
        if self.interactive:
            tty.setraw(fd)

    @property
    def open(self) -> bool:
        """Not at its end."""
        return self._fd is not None

    def read(self) -> bytes:
        """What has arrived, Ctrl-A commands taken out."""
        if self._fd is None or not self.wait(0):
            return b""
        try:
            data = os.read(self._fd, 4096)
        except OSError:
            data = b""
        if not data:
            self._fd = None
        return self._commands(data) if self.interactive else data

    def wait(self, seconds: float) -> bool:
        """Until something (or the end) arrives."""
        return self._fd is not None and bool(select.select([self._fd], [], [], seconds)[0])

    def close(self) -> None:
        """Give the terminal back as it was."""
        if self._saved is not None:
            termios.tcsetattr(sys.stdin if self._fd is None else self._fd, termios.TCSADRAIN, self._saved)
            self._saved = None

    def _commands(self, data: bytes) -> bytes:
        kept = bytearray()
        for byte in data:
            if not self._escaped:
                self._escaped = byte == _CTRL_A
                if not self._escaped:
                    kept.append(byte)
                continue
            self._escaped = False
            if byte in b"xX":
                self.leave = True
            elif byte in b"hH?":
                os.write(2, _HELP.encode())
            elif byte == _CTRL_A:
                kept.append(byte)
        return bytes(kept)


def standard_input() -> ConsoleInput:
    """Standard input if there is one; a missing or unusable one is no input, not an error."""
    try:
        fd = sys.stdin.fileno()
        select.select([fd], [], [], 0)
        return FileInput(fd)
    except (AttributeError, ValueError, OSError, termios.error):
        return NoInput()
