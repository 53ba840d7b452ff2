"""Fetched guests in the user's cache: two files and a manifest with their hashes, complete or not there at all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from runtime.guests.errors import GuestError

KERNEL, INITRD, MANIFEST = "vmlinuz", "initrd.gz", "manifest.json"


@dataclass(frozen=True)
class Stored:
    """A complete guest. ``hashes`` maps file name to SHA-256 (hex), checked when it was loaded."""

    kernel: Path
    initrd: Path
    hashes: dict[str, str]
    packages: tuple[str, ...]


def default_directory() -> Path:
    """Where guests are kept: ``$JITRR_CACHE_DIR/guests``, else under the XDG user cache directory."""
    own = os.environ.get("JITRR_CACHE_DIR")
    if own:
        return Path(own) / "guests"
    xdg = os.environ.get("XDG_CACHE_HOME")
    base = Path(xdg) if xdg and Path(xdg).is_absolute() else Path.home() / ".cache"
    return base / "jitrr" / "guests"


def sha256(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def load(folder: Path, recipe: str) -> Stored | None:
    """The guest in ``folder`` when it was made by this ``recipe`` (a hash) and its files are as they were written."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        hashes, packages = manifest["sha256"], tuple(manifest["packages"])
        intact = manifest["recipe"] == recipe and all(
            sha256((folder / name).read_bytes()) == hashes[name] for name in (KERNEL, INITRD)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Stored(folder / KERNEL, folder / INITRD, hashes, packages) if intact else None


def save(folder: Path, recipe: str, kernel: bytes, initrd: bytes, packages: tuple[str, ...]) -> Stored:
    """Put a guest into ``folder``, whole: it is written beside it and moved there, so that no reader sees a part."""
    hashes = {KERNEL: sha256(kernel), INITRD: sha256(initrd)}
    manifest = {"recipe": recipe, "packages": list(packages), "sha256": hashes}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            fresh = Path(scratch) / "fresh"
            fresh.mkdir()
            (fresh / KERNEL).write_bytes(kernel)
            (fresh / INITRD).write_bytes(initrd)
            (fresh / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
            if folder.exists():
                folder.rename(Path(scratch) / "old")
            fresh.rename(folder)
    except OSError as error:
        shared = load(folder, recipe)  # another process may have been faster
        if shared is not None:
            return shared
        raise GuestError(f"cannot write the guest to {folder}: {error.strerror or error}") from error
    return Stored(folder / KERNEL, folder / INITRD, hashes, packages)
