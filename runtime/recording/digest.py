"""The identity of a machine state: xxh3-128 over processor, device states and the hashes of all pages of RAM."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import xxhash

PAGE = 4096
ZERO_HASH = xxhash.xxh3_128_digest(bytes(PAGE))


def page_hash(page: bytes | memoryview) -> bytes:
    """xxh3-128 of one page, 16 bytes."""
    return xxhash.xxh3_128_digest(page)


def hash_rows(hashes: bytes) -> np.ndarray:
    """16-byte hashes, joined, as rows of an (n, 2) uint64 array that keeps the bytes as they are."""
    return np.frombuffer(hashes, dtype=np.uint64).reshape(-1, 2)


def row_names(table: np.ndarray) -> list[bytes]:
    """The inverse of :func:`hash_rows`: 16 bytes for each row."""
    joined = table.tobytes()
    return [joined[at : at + 16] for at in range(0, len(joined), 16)]


def differing(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Sorted numbers of the rows in which two tables of hashes differ."""
    return np.flatnonzero((first[:, 0] != second[:, 0]) | (first[:, 1] != second[:, 1]))


class PageHashes:
    """The hash of every page of RAM: ``table`` is (npages, 2) uint64, kept up to date by telling what was written."""

    def __init__(self, npages: int):
        self.table = np.tile(hash_rows(ZERO_HASH), (npages, 1))

    def update(self, ram: memoryview, pages: np.ndarray) -> None:
        """Hash ``pages`` (int64 numbers) of ``ram`` again."""
        if len(pages) == 0:
            return
        digest = xxhash.xxh3_128_digest
        rows = [digest(ram[at : at + PAGE]) for at in (pages * PAGE).tolist()]
        self.table[pages] = hash_rows(b"".join(rows))

    def scan(self, ram: memoryview) -> None:
        """Hash all of RAM, for a machine whose history is not known."""
        self.update(ram, np.arange(len(self.table), dtype=np.int64))


def encode_state(state: dict[str, Any]) -> bytes:
    """A device state as msgpack with sorted keys: one encoding per state. TypeError for anything but plain values."""
    return msgpack.packb(_sorted(state), use_bin_type=True)


def decode_state(data: bytes) -> dict[str, Any]:
    """The inverse of :func:`encode_state`."""
    return msgpack.unpackb(data, raw=False, strict_map_key=False)


def machine_digest(cpu: bytes, devices: bytes, table: np.ndarray) -> bytes:
    """xxh3-128 (16 bytes) of canonical processor bytes, encoded device states and the page hash table."""
    digest = xxhash.xxh3_128()
    for part in (cpu, devices):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    digest.update(np.ascontiguousarray(table).data)
    return digest.digest()


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [_sorted(item) for item in value]
    return value
