"""Small helpers of the recording's files: atomic writing, and JSON that notices when it was altered.

docs/format.md, sections "manifest.json" and "closed.json".
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from stat import S_ISREG
from typing import Any

import xxhash

from runtime.recording.errors import RecordingError

#: Buffers that Linux takes by one call.
_TOGETHER = 1024


def write_atomic(path: Path, data: bytes) -> None:
    """Write a whole file so that it is there completely or not at all."""
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(data)
    os.replace(partial, path)


def write_parts(file: FileIO, parts: Sequence[Any]) -> int:
    """Write buffers one behind the other, by as few calls as can be; returns their size. OSError: the disk failed."""
    size = 0
    for at in range(0, len(parts), _TOGETHER):
        group = parts[at : at + _TOGETHER]
        wanted, written = sum(map(len, group)), os.writev(file.fileno(), group)
        if written < wanted:  # asked for the rest, the disk says why
            rest = b"".join(group)[written:]
            while rest:
                rest = rest[file.write(rest) :]
        size += wanted
    return size


def bytes_in(*folders: Path) -> int:
    """The size of all files in ``folders``, from which others may be removing some."""
    total = 0
    for path in (path for folder in folders for path in folder.rglob("*")):
        with suppress(FileNotFoundError):
            status = path.stat()
            total += status.st_size if S_ISREG(status.st_mode) else 0
    return total


def read_file(path: Path) -> bytes:
    """A whole file of the recording; RecordingError if it is not there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise RecordingError(f"{path} is missing") from None
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` as readable JSON with an xxh3-64 ``check`` over it."""
    write_atomic(path, json.dumps(dict(content, check=_check(content)), indent=1).encode() + b"\n")


def read_json(path: Path) -> dict[str, Any]:
    """The inverse of :func:`write_json`; RecordingError if the file was cut or altered."""
    try:
        content = json.loads(read_file(path))
        check = content.pop("check")
    except (ValueError, KeyError, AttributeError, TypeError):
        raise RecordingError(f"{path} is damaged: not the JSON that was written") from None
    if check != _check(content):
        raise RecordingError(f"{path} is damaged: its check does not match")
    return content


def _check(content: dict[str, Any]) -> str:
    return xxhash.xxh3_64_hexdigest(json.dumps(content, sort_keys=True).encode())
