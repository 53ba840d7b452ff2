"""Length-prefixed pickles: what goes over the pipes to the processes that compile."""

from __future__ import annotations

import pickle
import struct
from typing import IO, Any


def read_message(stream: IO[bytes]) -> Any:
    """The next message, or None at the end."""
    header = stream.read(4)
    if len(header) < 4:
        return None
    data = stream.read(struct.unpack("<I", header)[0])
    return pickle.loads(data)


def message(value: Any) -> bytes:
    """A value as it goes over the pipe."""
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return struct.pack("<I", len(data)) + data
