"""The cache on disk: content-keyed files, written atomically, shared by processes, bounded in size.

An entry's name is a hash of everything it depends on, so that a change of version, configuration or host CPU is a miss
and never a wrong hit; a damaged file is a miss too. What was built when jitrr was installed is kept in the same way
beside the program (:data:`INSTALLED`; see :mod:`jitrr.engine.install`).
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import xxhash

from jitrr.engine.host import host_key

LIMIT = 512 << 20
_DIGEST = 16
#: Entries that are part of the installed program.
INSTALLED = Path(__file__).resolve().parents[1] / "native"
#: Names of entries written by or for this process since the cache was last brought within its bounds.
_added: set[str] = set()


def cache_dir() -> Path:
    """$JITRR_CACHE_DIR, or ``jitrr`` in the user's cache directory."""
    chosen = os.environ.get("JITRR_CACHE_DIR")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jitrr" / "code"


@cache
def source_key(arch: str) -> bytes:
    """Hash of the sources that decide what generated code for an architecture means."""
    root = str(Path(__file__).resolve().parents[2])
    state = xxhash.xxh3_128()
    for folder in ("jitrr/engine", "jitrr/microops", f"frontends/{arch}"):
        for top, folders, files in os.walk(f"{root}/{folder}"):
            folders.sort()
            for path in (f"{top}/{name}" for name in sorted(files) if name.endswith(".py")):
                state.update(path[len(root) :].encode())
                with open(path, "rb", buffering=0) as file:
                    state.update(file.read())
    return state.digest()


@cache
def _version(arch: str) -> bytes:
    """What every entry of an architecture depends on."""
    return source_key(arch) + host_key()


def key(kind: str, arch: str, *parts: bytes | str) -> str:
    """File name of an entry."""
    data = [part.encode() if isinstance(part, str) else part for part in parts]
    counted = b"".join([len(part).to_bytes(8, "little") + part for part in data])
    return f"{kind}-{xxhash.xxh3_128_hexdigest(_version(arch) + counted)}"


def names(kind: str) -> set[str]:
    """The entries of a kind that are there now."""
    try:
        return {name for name in os.listdir(cache_dir()) if name.startswith(f"{kind}-")}
    except OSError:
        return set()


def load(name: str, folder: Path | None = None) -> bytes | None:
    """The content of an entry of the cache (or of another folder), or None when it is missing or damaged."""
    try:
        data = ((folder or cache_dir()) / name).read_bytes()
    except OSError:
        return None
    content = data[:-_DIGEST]
    return content if xxhash.xxh3_128(content).digest() == data[-_DIGEST:] else None


def store(name: str, content: bytes, folder: Path | None = None) -> None:
    """Write an entry of the cache, or of another folder; one that cannot be written is no error."""
    import tempfile  # late: most runs have nothing to store

    folder = folder or cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".new-")
        with os.fdopen(handle, "wb") as file:
            file.write(content + xxhash.xxh3_128(content).digest())
        os.replace(temporary, folder / name)
        _added.add(name)
    except OSError:
        return


def added(name: str) -> None:
    """Another process has stored an entry for this one."""
    _added.add(name)


def last_change() -> int:
    """A number that is another one when entries have come or gone."""
    try:
        return cache_dir().stat().st_mtime_ns
    except OSError:
        return 0


def trim(limit: int = LIMIT) -> None:
    """Remove the oldest entries until the cache fits ``limit`` bytes, if this process has added any: with tens of
    thousands of entries, looking at them all takes a second."""
    if not _added:
        return
    _added.clear()
    try:
        entries = [(e.stat().st_mtime, e.stat().st_size, e.path) for e in os.scandir(cache_dir()) if e.is_file()]
    except OSError:
        return
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= limit:
            return
        try:
            os.unlink(path)
        except OSError:
            continue
        total -= size
