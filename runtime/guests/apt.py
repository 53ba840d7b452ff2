"""Packages from Debian by its own tools (apt-cache, apt-get download): no root needed, hashes checked by apt."""

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


def concrete(metapackage: str, architecture: str) -> str:
    """The package that ``metapackage`` stands for now, e.g. linux-image-amd64 -> linux-image-6.1.0-56-amd64."""
    answer = _run(["apt-cache", "depends", "--important", f"{metapackage}:{architecture}"])
    for line in answer.stdout.splitlines():
        kind, _, name = line.strip().partition(": ")
        if kind == "Depends":
            return name.partition(":")[0].strip("<>")
    raise GuestError(f"apt knows no package {metapackage} for {architecture}; {_REFRESH}")


def download(name: str, architecture: str, into: Path) -> Package:
    """Download ``name`` into the directory ``into``. GuestError with apt's own reason when that fails."""
    into.mkdir()
    done = _run(["apt-get", "download", "-q", f"{name}:{architecture}"], where=into)
    found = sorted(into.glob("*.deb"))
    if done.returncode or len(found) != 1:
        reasons = [line.removeprefix("E: ") for line in done.stderr.splitlines() if line.startswith("E: ")]
        reason = reasons[0] if reasons else "apt-get download failed"
        raise GuestError(f"cannot download {name} ({reason}); {_REFRESH}")
    version = found[0].name.split("_")[1].replace("%3a", ":")
    return Package(name, version, found[0])
