"""Files out of a Debian package, in pure Python: an ``ar`` archive holding ``data.tar.{xz,zst,gz}`` (deb(5), ar(5))."""

from __future__ import annotations

import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from runtime.guests.errors import GuestError

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60


def ar_members(archive: bytes) -> Iterator[tuple[str, memoryview]]:
    """(name, contents) of each member; GuestError when ``archive`` is not an intact ar archive."""
    if not archive.startswith(_AR_MAGIC):
        raise GuestError("not a Debian package (no ar archive)")
    view, at = memoryview(archive), len(_AR_MAGIC)
    while at < len(archive):
        header = bytes(view[at : at + _AR_HEADER])
        if len(header) < _AR_HEADER or header[58:60] != b"`\n" or not header[48:58].strip().isdigit():
            raise GuestError("damaged Debian package (bad ar header)")
        size = int(header[48:58])
        at += _AR_HEADER
        if at + size > len(archive):
            raise GuestError("damaged Debian package (cut short)")
        yield header[:16].decode("ascii", "replace").rstrip(" ").removesuffix("/"), view[at : at + size]
        at += size + size % 2


def _data_stream(archive: bytes) -> tuple[IO[bytes], str]:
    """The package's payload and the mode in which tarfile reads it as a stream."""
    for name, contents in ar_members(archive):
        if name in ("data.tar", "data.tar.gz", "data.tar.xz"):
            return io.BytesIO(contents), "r|" + name.removeprefix("data.tar").removeprefix(".")
        if name == "data.tar.zst":
            import zstandard  # slow to import, and current Debian packages are xz

            return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(contents)), "r|"
    raise GuestError("damaged Debian package (no data.tar this program can read)")


def extract_first(package: Path, wanted: Callable[[str], bool]) -> bytes:
    """The contents of the first regular file whose path (``boot/vmlinuz-...``) is ``wanted``; GuestError if none is.

    The payload is read as a stream and no further than that file: a kernel package has 300 MB of modules behind it.
    """
    try:
        stream, mode = _data_stream(package.read_bytes())
        with tarfile.open(fileobj=stream, mode=mode) as tar:  # type: ignore[call-overload]
            for member in tar:
                if member.isfile() and wanted(member.name.removeprefix("./")):
                    contents = tar.extractfile(member)
                    return contents.read() if contents else b""
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError) as error:
        raise GuestError(f"damaged Debian package {package.name}: {error}") from error
    raise GuestError(f"{package.name} does not contain the file that is needed")
