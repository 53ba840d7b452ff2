"""Damage done to recordings, for the tests that expect one clear line about it."""

from __future__ import annotations

from pathlib import Path

CHANGES = ("cut", "flip", "remove")


def damage(recording: Path, name: str, change: str) -> Path:
    """Cut the last file of that name (a pattern) in half, change a bit in its middle, or remove it; which it was."""
    path = sorted(recording.rglob(name) if "/" not in name else recording.glob(name))[-1]
    data = bytearray(path.read_bytes())
    if change == "remove":
        path.unlink()
    elif change == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 2] ^= 0x10
        path.write_bytes(data)
    return path
