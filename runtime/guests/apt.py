"""Packages from Debian by its own tools (apt-cache, apt-get download): no root needed, hashes checked by apt.

An architecture that is not the host's own gets a package index of its own in a directory of ours, so that the host's
configuration is neither needed for it nor changed.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from runtime.guests.errors import GuestError

_REFRESH = 'the package index may be stale: run "apt-get update"'


@dataclass(frozen=True)
class Package:
    """A downloaded package. ``version`` is Debian's."""

    name: str
    version: str
    path: Path


def _run(command: list[str], where: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C"}  # apt's answers are read, so they must be in English
    try:
        return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise GuestError(f"{command[0]} is not there: guests are built from Debian packages, on Debian") from None


def _reasons(answer: subprocess.CompletedProcess[str]) -> list[str]:
    """What apt says went wrong."""
    return [line.removeprefix("E: ") for line in answer.stderr.splitlines() if line.startswith("E: ")]


def index_options(architecture: str, folder: Path) -> tuple[str, ...]:
    """Options for apt's commands that make it know the packages of ``architecture``: none for the host's own.

    Otherwise an index is downloaded into the new directory ``folder``. It need not be complete: mirrors can be out of
    step for one suite of several. GuestError when there is none at all.
    """
    if _run(["dpkg", "--print-architecture"]).stdout.strip() == architecture:
        return ()
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    settings = (
        f"APT::Architecture={architecture}", f"APT::Architectures::={architecture}", f"Dir::State={folder}/state",
        "Dir::State::status=/dev/null", f"Dir::Cache={folder}/cache",
    )  # fmt: skip
    options = tuple(word for setting in settings for word in ("-o", setting))
    answer = _run(["apt-get", "update", "-q", *options])
    if not any((folder / "state/lists").glob("*_Packages*")):
        reason = (_reasons(answer) or ["apt-get update failed"])[0]
        raise GuestError(f"cannot have Debian's package index for {architecture} ({reason})")
    return options


def concrete(metapackage: str, architecture: str, options: tuple[str, ...] = ()) -> str:
    """The package that ``metapackage`` stands for now, e.g. linux-image-amd64 -> linux-image-6.1.0-56-amd64."""
    answer = _run(["apt-cache", "depends", "--important", *options, f"{metapackage}:{architecture}"])
    for line in answer.stdout.splitlines():
        kind, _, name = line.strip().partition(": ")
        if kind == "Depends":
            return name.partition(":")[0].strip("<>")
    raise GuestError(f"apt knows no package {metapackage} for {architecture}; {_REFRESH}")


def download(name: str, architecture: str, into: Path, options: tuple[str, ...] = ()) -> Package:
    """Download ``name`` into the directory ``into``. GuestError with apt's own reason when that fails."""
    into.mkdir()
    done = _run(["apt-get", "download", "-q", *options, f"{name}:{architecture}"], where=into)
    found = sorted(into.glob("*.deb"))
    if done.returncode or len(found) != 1:
        reason = (_reasons(done) or ["apt-get download failed"])[0]
        raise GuestError(f"cannot download {name} ({reason}); {_REFRESH}")
    version = found[0].name.split("_")[1].replace("%3a", ":")
    return Package(name, version, found[0])
