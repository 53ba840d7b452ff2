"""Real operating systems to run: fetched from Debian packages, built into a ready kernel and initramfs, and cached."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from runtime.guests import debian, store
from runtime.guests.errors import GuestError

__all__ = ["FetchedGuest", "GuestError", "GuestInfo", "fetch", "list_guests"]


@dataclass(frozen=True)
class GuestInfo:
    """A guest that :func:`fetch` knows. ``arch`` is what ``jitrr record --arch`` takes."""

    name: str
    arch: str
    description: str


@dataclass(frozen=True)
class FetchedGuest:
    """A guest on disk. ``hashes`` maps file name to SHA-256; ``record_args`` follow ``jitrr record`` (or ``run``)."""

    name: str
    kernel: Path
    initrd: Path
    hashes: dict[str, str]
    packages: tuple[str, ...]
    append: str
    record_args: list[str]


def list_guests() -> list[GuestInfo]:
    """Every guest that can be fetched, by name."""
    return [GuestInfo(name, recipe.arch, recipe.description) for name, recipe in sorted(debian.RECIPES.items())]


def _recipe_hash(recipe: debian.Recipe) -> str:
    return store.sha256(repr((recipe.architecture, recipe.kernel, debian.INIT)).encode())


def _obtain(recipe: debian.Recipe, folder: Path) -> store.Stored:
    key = _recipe_hash(recipe)
    found = store.load(folder, key)
    if found is not None:
        return found
    with tempfile.TemporaryDirectory(prefix="jitrr-guest-") as workspace:
        built = debian.build(recipe, Path(workspace))
    return store.save(folder, key, built.kernel, built.initrd, built.packages)


def fetch(name: str, *, cache_dir: Path | None = None) -> FetchedGuest:
    """Make guest ``name`` available: from the cache when it is complete and unaltered, else from Debian's archive.

    ``cache_dir`` replaces the user's cache directory. GuestError says in one line what is missing and what to do.
    """
    recipe = debian.RECIPES.get(name)
    if recipe is None:
        raise GuestError(f"no guest {name!r}; there are {', '.join(sorted(debian.RECIPES))}")
    stored = _obtain(recipe, Path(cache_dir or store.default_directory()) / name)
    append = recipe.append()
    arguments = ["--arch", recipe.arch, "--memory", "256M", "--kernel", str(stored.kernel)]
    arguments += ["--initrd", str(stored.initrd), "--append", append]
    return FetchedGuest(name, stored.kernel, stored.initrd, stored.hashes, stored.packages, append, arguments)
