"""Length-prefixed pickles: what goes over the pipes to the processes that compile."""

from __future__ import annotations

import pickle
import struct
from typing import IO, Any


def read_message(stream: IO[bytes]) -> Any:
    """The next message, or None at the end (also one that is not there as a whole)."""
    header = stream.read(4)
    if len(header) < 4:
        return None
    (size,) = struct.unpack("<I", header)
    data = stream.read(size)
    return pickle.loads(data) if len(data) == size else None


def take_message(received: bytearray) -> Any:
    """The first message of what has been ``received``, taken out of it, or None when it is not there as a whole."""
    if len(received) < 4 or len(received) < 4 + (size := struct.unpack_from("<I", received)[0]):
        return None
    value = pickle.loads(bytes(received[4 : 4 + size]))
    del received[: 4 + size]
    return value


def message(value: Any) -> bytes:
    """A value as it goes over the pipe."""
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return struct.pack("<I", len(data)) + data
