"""What machine to build: everything that decides the guest's course before the first instruction.

A :class:`MachineConfig` is written into every recording (as a plain dict, images by content hash), so it holds what the
guest can see. ``tier`` is the one exception: how code is run never changes the outcome, so it is not described.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import xxhash

ARCHES = ("x86_64", "i386", "arm")
TIERS = ("auto", "interp", "jit")
DEFAULT_MACHINE = {"x86_64": "pc", "i386": "pc", "arm": "virt"}
DEFAULT_SHIFT = 3
PAGE = 4096
#: 2554-01-01: the log has wall-clock times in 64 bits of ns since 1970.
LAST_SECOND = 18_429_292_800
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class ConfigError(ValueError):
    """A machine that cannot be built; the message is one clear line."""


@dataclass(frozen=True)
class Image:
    """A file given to the guest: kernel, initrd, firmware, device tree. ``name`` is for people only."""

    name: str
    data: bytes = field(repr=False)

    @cached_property
    def hash(self) -> str:
        """xxh3-128 of the content, hex: the image's name inside a recording."""
        return xxhash.xxh3_128_hexdigest(self.data)

    @classmethod
    def load(cls, path: str | Path, what: str) -> Image:
        """Read a file; ConfigError says which of the user's files is at fault."""
        path = Path(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read the {what} {path}: {error.strerror}") from error
        if not data:
            raise ConfigError(f"the {what} {path} is empty")
        return cls(path.name, data)


IMAGES = ("kernel", "initrd", "bios", "dtb")


@dataclass(frozen=True)
class MachineConfig:
    """A machine: ``memory`` in bytes, ``virtual_ns = icount << shift``, ``rtc`` "utc" or an ISO date."""

    arch: str = "x86_64"
    machine: str = ""
    cpu: str = "default"
    smp: int = 1
    memory: int = 256 << 20
    kernel: Image | None = None
    initrd: Image | None = None
    bios: Image | None = None
    dtb: Image | None = None
    append: str = ""
    shift: int = DEFAULT_SHIFT
    rtc: str = "utc"
    tier: str = "auto"

    def __post_init__(self) -> None:
        _one_of("architecture", self.arch, ARCHES)
        _one_of("tier", self.tier, TIERS)
        if not self.machine:
            object.__setattr__(self, "machine", DEFAULT_MACHINE[self.arch])
        if not 1 <= self.smp <= 255:
            raise ConfigError(f"a machine has 1 to 255 processors, not {self.smp}")
        if self.memory < 1 << 20 or self.memory % PAGE:
            raise ConfigError(f"memory must be at least 1 MiB and whole pages, not {self.memory} bytes")
        if not 0 <= self.shift <= 10:
            raise ConfigError(f"the icount shift must be 0 to 10, not {self.shift}")
        if self.initrd is not None and len(self.initrd.data) >= self.memory:
            size = len(self.initrd.data)
            raise ConfigError(f"the initrd {self.initrd.name} ({size} bytes) is larger than memory ({self.memory})")
        self.rtc_base_ns()
        try:
            self.append.encode()
        except UnicodeEncodeError:
            raise ConfigError("the kernel's command line is not UTF-8 text") from None

    def rtc_base_ns(self) -> int | None:
        """The fixed wall-clock time asked for (ns since 1970 UTC), or None for the host's clock."""
        if self.rtc == "utc":
            return None
        try:
            date = datetime.fromisoformat(self.rtc)
        except ValueError:
            raise ConfigError(f"rtc base is utc or a date such as 2024-02-29T12:00:00, not {self.rtc!r}") from None
        seconds = int(date.replace(tzinfo=date.tzinfo or UTC).timestamp())
        if not 0 <= seconds < LAST_SECOND:
            raise ConfigError(f"rtc base is a date from 1970 to 2553, not {self.rtc}")
        return seconds * 1_000_000_000

    def images(self) -> list[Image]:
        """Every image of this machine, in a fixed order."""
        return [image for name in IMAGES if (image := getattr(self, name)) is not None]

    @property
    def pages(self) -> int:
        """4 KiB pages that a checkpoint describes: RAM, and the firmware behind it."""
        return (self.memory + (len(self.bios.data) if self.bios is not None else 0)) // PAGE

    def to_dict(self) -> dict[str, Any]:
        """The machine description of a recording: plain values; an image is its name, size and content hash."""
        plain: dict[str, Any] = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, Image):
                value = {"name": value.name, "size": len(value.data), "hash": value.hash}
            if entry.name != "tier":
                plain[entry.name] = value
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any], load: Callable[[str], bytes], tier: str = "auto") -> MachineConfig:
        """The inverse of :meth:`to_dict`; ``load`` gives an image's bytes by its hash."""
        known = {entry.name for entry in fields(cls)}
        for name in plain:
            if name not in known:
                raise ConfigError(f"this machine description has {name!r}, which this version does not know")
        values = dict(plain, tier=tier)
        for name in IMAGES:
            if (described := values.get(name)) is not None:
                values[name] = Image(described["name"], load(described["hash"]))
        return cls(**values)


def parse_size(text: str) -> int:
    """Bytes of "256M", "1G", "65536"; ConfigError otherwise."""
    number, unit = (text[:-1], _UNITS[text[-1].upper()]) if text[-1:].upper() in _UNITS else (text, 1)
    if not number.isascii() or not number.isdigit():
        raise ConfigError(f"a size is a number with K, M or G after it, such as 256M, not {text!r}")
    return int(number) * unit


def _one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"unknown {what} {value!r}: one of {', '.join(known)}")
