"""Where a monitor is talked to: standard input and output, a TCP port of this machine, a Unix socket."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

LOOPBACK = "127.0.0.1"
#: Seconds a client has to take what it is told.
_PATIENCE = 10.0


class AddressError(Exception):
    """There is no such place to listen at; the message is one line."""


class Channel(Protocol):
    """One conversation."""

    def fileno(self) -> int:
        """To wait for."""

    def read(self) -> bytes:
        """What has come, called when there is something; nothing: the other side is gone."""

    def write(self, data: bytes) -> bool:
        """Say something; False: nobody takes it."""

    def close(self) -> None:
        """Hang up."""


class Stdio:
    """Standard input and output."""

    def fileno(self) -> int:
        """That of standard input."""
        return 0

    def read(self) -> bytes:
        """What has come."""
        with suppress(OSError):
            return os.read(0, 4096)
        return b""

    def write(self, data: bytes) -> bool:
        """All of it."""
        try:
            while data:
                data = data[os.write(1, data) :]
        except OSError:
            return False
        return True

    def close(self) -> None:
        """It is not ours to close."""


class Client:
    """The other end of a socket."""

    def __init__(self, stream: socket.socket):
        stream.settimeout(_PATIENCE)
        self._stream = stream

    def fileno(self) -> int:
        """The socket's."""
        return self._stream.fileno()

    def read(self) -> bytes:
        """What has come."""
        with suppress(OSError):
            return self._stream.recv(4096)
        return b""

    def write(self, data: bytes) -> bool:
        """All of it."""
        try:
            self._stream.sendall(data)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Hang up."""
        self._stream.close()


class Listener:
    """A listening socket."""

    def __init__(self, stream: socket.socket, path: Path | None = None):
        self._stream, self._path = stream, path

    @classmethod
    def port(cls, number: int) -> Listener:
        """On a port of this machine that only this machine can connect to. AddressError."""
        return cls._listen(socket.AF_INET, (LOOPBACK, number), f"port {number}")

    @classmethod
    def unix(cls, path: Path) -> Listener:
        """On a Unix socket; one that was left behind is replaced. AddressError."""
        with suppress(OSError):
            if stat.S_ISSOCK(path.lstat().st_mode) and not _answers(path):
                path.unlink()
        return cls._listen(socket.AF_UNIX, str(path), str(path), path)

    @classmethod
    def _listen(cls, family: int, address: object, name: str, path: Path | None = None) -> Listener:
        stream = socket.socket(family, socket.SOCK_STREAM)
        try:
            if family == socket.AF_INET:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stream.bind(address)  # type: ignore[arg-type]
            stream.listen(1)
        except OSError as error:
            stream.close()
            raise AddressError(f"the monitor cannot listen at {name}: {error.strerror or error}") from error
        return cls(stream, path)

    def fileno(self) -> int:
        """To wait for a client."""
        return self._stream.fileno()

    def accept(self) -> Client | None:
        """The client that has come; None when it is gone already."""
        with suppress(OSError):
            return Client(self._stream.accept()[0])
        return None

    def close(self) -> None:
        """Listen no longer."""
        self._stream.close()
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()


def _answers(path: Path) -> bool:
    """Whether somebody listens at a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream, suppress(OSError):
        stream.connect(str(path))
        return True
    return False


def parse(text: str) -> tuple[str, Callable[[], Listener] | None]:
    """``[qmp:]stdio|PORT|unix:PATH``: "hmp" or "qmp", and how to listen (None: standard input). AddressError."""
    language, colon, rest = text.partition(":")
    kind, where = ("qmp", rest) if colon and language == "qmp" else ("hmp", text)
    if where == "stdio":
        return kind, None
    if where.startswith("unix:") and len(where) > 5:
        path = Path(where[5:])
        return kind, lambda: Listener.unix(path)
    if where.isdecimal() and 0 < int(where) < 65536:
        number = int(where)
        return kind, lambda: Listener.port(number)
    raise AddressError(f"--monitor is stdio, PORT or unix:PATH, each perhaps after qmp:, not {text!r}")
