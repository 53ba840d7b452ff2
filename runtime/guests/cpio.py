"""A reproducible initramfs: newc cpio (Linux ``Documentation/driver-api/early-userspace/buffer-format.rst``), gzipped.

The same entries give the same bytes on every host and at any time: names sorted, times zero, owner root, inode numbers
counted from 1, and a gzip header without name or time (what ``gzip -n`` writes).
"""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"
S_IFDIR, S_IFCHR, S_IFREG, S_IFLNK = 0o040000, 0o020000, 0o100000, 0o120000


@dataclass(frozen=True)
class Entry:
    """One file of the archive. ``device`` is (major, minor) of a device node; a symlink's target is its ``data``."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def directory(name: str) -> Entry:
    """A directory, rwxr-xr-x."""
    return Entry(name, S_IFDIR | 0o755)


def program(name: str, data: bytes) -> Entry:
    """An executable file, rwxr-xr-x."""
    return Entry(name, S_IFREG | 0o755, data)


def symlink(name: str, target: str) -> Entry:
    """A symbolic link to ``target``."""
    return Entry(name, S_IFLNK | 0o777, target.encode())


def character_device(name: str, major: int, minor: int) -> Entry:
    """A character device node, rw-------."""
    return Entry(name, S_IFCHR | 0o600, device=(major, minor))


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _record(entry: Entry, inode: int) -> bytes:
    name = entry.name.encode() + b"\0"
    links = 2 if entry.mode & 0o170000 == S_IFDIR else 1
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
    header = _MAGIC + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(entry.data)


def archive(entries: list[Entry]) -> bytes:
    """The newc archive of ``entries``, sorted by name so that a directory comes before what is in it."""
    ordered = sorted(entries, key=lambda entry: entry.name)
    records = [_record(entry, inode) for inode, entry in enumerate(ordered, start=1)]
    whole = b"".join(records) + _record(Entry(_TRAILER, 0), 0)
    return whole + bytes(-len(whole) % 512)


def compressed(data: bytes) -> bytes:
    """``data`` as ``gzip -9n`` writes it."""
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=out, mtime=0) as packer:
        packer.write(data)
    return out.getvalue()
