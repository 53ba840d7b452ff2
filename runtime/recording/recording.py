"""A recording as a directory: what it consists of, how it is created, closed and opened. docs/format.md."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from runtime.config import MachineConfig
from runtime.recording.branch import Past, open_past
from runtime.recording.checkpoints import DEFAULT_BUDGET, Checkpoints, CheckpointWriter
from runtime.recording.errors import RecordingError
from runtime.recording.files import bytes_in, read_file, read_json, write_atomic, write_json
from runtime.recording.labels import LABELS
from runtime.recording.log import Log, LogWriter
from runtime.recording.pages import PageReader, PageWriter
from runtime.recording.shelf import SHELF
from runtime.recording.touched import Touched, TouchedWriter

if TYPE_CHECKING:
    from runtime.recording.packed import Unpacked

#: Version of the format. A reader refuses newer ones; what an older one meant is listed in its ``quirks``.
FORMAT = 3
#: Formats that are read. A recording of format 2 is one of format 3 that begins at 0 and has no parent.
READABLE = (2, 3)
#: Behaviours of this version that a later one may do otherwise and must then imitate; none so far.
QUIRKS: list[str] = []
MANIFEST, CLOSED, LOG, TOUCHED = "manifest.json", "closed.json", "log.mcap", "touched"
#: What sessions put there, at any time.
_LATER = (LABELS, SHELF)


class RecordingWriter:
    """A recording being made. ``log``, ``checkpoints`` and ``touched`` are written to; :meth:`close` completes it."""

    def __init__(self, path: Path, config: MachineConfig, budget: int = DEFAULT_BUDGET, past: Past | None = None):
        self.path, self._past = path, past
        try:
            path.mkdir()
        except FileExistsError:
            raise RecordingError(f"{path} exists already") from None
        except OSError as error:
            raise RecordingError(f"cannot create {path}: {error.strerror}") from error
        try:
            self._fill(config, budget)
        except BaseException:
            self.discard()
            raise

    def _fill(self, config: MachineConfig, budget: int) -> None:
        past = self._past
        if past is None:
            store_images(self.path, config)
        self.log = LogWriter(self.path / LOG, past.events if past else 0)
        pages = PageWriter(self.path / "pages", past.recording.pages if past else ())
        self.checkpoints = CheckpointWriter(self.path / "checkpoints", pages, config.pages, budget)
        self.touched = TouchedWriter(self.path / TOUCHED)
        manifest = {"format": FORMAT, "quirks": QUIRKS, "machine": config.to_dict(), "versions": versions()}
        manifest["budget"] = budget
        if past is not None:
            manifest["parent"] = past.describe(self.path)
        write_json(self.path / MANIFEST, manifest | {"created": datetime.now(UTC).isoformat(timespec="seconds")})

    def close(self, icount: int, reason: str, message: str = "") -> None:
        """The recording ends at ``icount``: complete all, set the clean-close mark. On OSError it stays cut short."""
        self.checkpoints.close()
        self.log.flush(icount, {"reason": reason, "message": message})
        self.log.close()
        write_closed(self.path, icount)

    def abandon(self) -> None:
        """The disk failed: leave everything as it is, cut short."""
        with suppress(OSError):
            self.checkpoints.close()
        self.log.abandon()

    def discard(self) -> None:
        """Remove what was made: the machine could not be built, there is nothing to record."""
        import shutil

        if hasattr(self, "checkpoints"):
            self.abandon()
        shutil.rmtree(self.path, ignore_errors=True)


class Recording:
    """A recording, opened for reading. RecordingError if it is none, or damaged; one cut short opens up to its cut."""

    def __init__(self, path: Path, children: tuple[Path, ...] = ()):
        #: Where the user has it: a directory, or a packed recording, which is unpacked in ``path``.
        self.given = path
        self._unpacked = _unpacked(path) if path.is_file() else None
        self.path = path = self._unpacked.directory if self._unpacked else path
        if not (path / MANIFEST).is_file():
            what = "is not a recording (it has no manifest.json)" if path.exists() else "does not exist"
            raise RecordingError(f"{path} {what}")
        self.manifest = read_json(path / MANIFEST)
        if self.manifest.get("format") not in READABLE:
            raise RecordingError(f"{path} has format {self.manifest.get('format')}; this version reads format {FORMAT}")
        #: What this one shares with the recording that it left, if it is a branch.
        self.past: Past | None = open_past(self, children)
        #: Where it begins: 0, unless it is a piece of a longer one.
        self.begin: int = self.past.recording.begin if self.past else self.manifest.get("begin", 0)
        #: Whether it was completed; otherwise it was killed, or its disk was full.
        self.clean_close = (path / CLOSED).exists()
        if self.clean_close:
            self._check_files(read_json(path / CLOSED))
        self.log = Log(path / LOG)
        if self.clean_close and self.log.end is None:
            raise RecordingError(f"{path / LOG} is damaged: it has no end")
        left = 0
        if self.past:
            left = self.past.icount
            self.log.goes_on_from(self.past.recording.log, left, self.past.events)
        #: Length in instructions.
        self.icount = self.log.icount
        #: How it ended: a :class:`runtime.machine_api.StopReason` value or a word of the recorder.
        self.reason = self.log.end["reason"] if self.log.end else "cut short"
        self.message = self.log.end["message"] if self.log.end else ""
        below = self.past.recording.checkpoints if self.past else None
        self.checkpoints: Checkpoints = Checkpoints(path / "checkpoints", self.begin, self.icount, below, left)

    def _check_files(self, closed: dict[str, Any]) -> None:
        for name, size in closed["files"].items():
            path = self.path / name
            if not path.is_file():
                raise RecordingError(f"{path} is missing")
            if path.stat().st_size != size:
                raise RecordingError(f"{path} is damaged: {path.stat().st_size} bytes, not {size}")
        if _log_hash(self.path) != closed["log"]:
            raise RecordingError(f"{self.path / LOG} is damaged: its hash does not match")

    @property
    def cuts(self) -> list[int]:
        """Where it left another recording, if it is a branch or a piece of one: what the log notes of the console's
        output just before is perhaps the other's."""
        before = [*self.past.recording.cuts, self.past.icount] if self.past else self.manifest.get("cuts", [])
        return [icount for icount in before if self.past is None or icount <= self.past.icount]

    @property
    def packed(self) -> bool:
        """Whether it is one file, and ``path`` only where that is unpacked."""
        return self._unpacked is not None

    @cached_property
    def identity(self) -> bytes:
        """16 bytes that only this recording has, or one with the same history."""
        log = read_json(self.path / CLOSED)["log"] if self.clean_close else _log_hash(self.path)
        return xxhash.xxh3_128_digest(json.dumps([self.manifest, log], sort_keys=True).encode())

    @cached_property
    def pages(self) -> PageReader:
        """The page store, indexed when first needed."""
        return PageReader(self.path / "pages", self.past.recording.pages if self.past else None)

    @cached_property
    def touched(self) -> Touched:
        """What pages were used for, read when first needed."""
        past = self.past
        return Touched(self.path / TOUCHED, past.recording.touched if past else None, past.icount if past else 0)

    def config(self, tier: str = "auto") -> MachineConfig:
        """The machine that was recorded."""
        return MachineConfig.from_dict(self.manifest["machine"], self._image, tier)

    def _image(self, name: str) -> bytes:
        if self.past is not None:
            return self.past.recording._image(name)
        data = read_file(self.path / "images" / name)
        if xxhash.xxh3_128_hexdigest(data) != name:
            raise RecordingError(f"{self.path / 'images' / name} is damaged: its hash does not match")
        return data

    def check_within(self, icount: int) -> None:
        """RecordingError if the recording does not have ``icount``."""
        if icount < self.begin:
            raise RecordingError(f"{self.given} is a piece that begins at instruction {self.begin}, not at {icount}")
        if icount > self.icount:
            raise RecordingError(f"{self.given} ends at instruction {self.icount}, there is no instruction {icount}")

    def size(self) -> dict[str, int]:
        """Bytes on disk by part: log, checkpoints (pages included), images, states left by replays, total."""
        parts = {"checkpoints": ("checkpoints", "pages"), "images": ("images",), "shelf": (SHELF,), "total": (".",)}
        sizes = {part: bytes_in(*(self.path / name for name in names)) for part, names in parts.items()}
        return {"log": (self.path / LOG).stat().st_size, **sizes}

    def info(self) -> dict[str, Any]:
        """What ``jitrr info --json`` prints."""
        machine, size = self.manifest["machine"], self.size()
        return {
            "path": str(self.given), "format": self.manifest["format"], "icount": self.icount,
            "arch": machine["arch"], "machine": machine["machine"], "memory": machine["memory"],
            "smp": machine["smp"], "shift": machine["shift"], "append": machine["append"],
            "events": len(self.log.events), "digests": len(self.log.digests),
            "checkpoints": len(self.checkpoints.icounts), "bytes": size["total"],
            "bytes_log": size["log"], "bytes_checkpoints": size["checkpoints"], "bytes_images": size["images"],
            "bytes_shelf": size["shelf"],
            "clean_close": self.clean_close, "reason": self.reason, "message": self.message,
            "created": self.manifest["created"], "versions": self.manifest["versions"], "begin": self.begin,
            "parent": self.manifest.get("parent"),
        }  # fmt: skip


def _unpacked(path: Path) -> Unpacked:
    from runtime.recording.packed import Unpacked  # late: it brings archives with it

    return Unpacked(path)


def store_images(path: Path, config: MachineConfig) -> None:
    """Put the images of a machine into the recording ``path``."""
    images = path / "images"
    images.mkdir()
    for image in config.images():
        write_atomic(images / image.hash, image.data)


def write_closed(path: Path, icount: int) -> None:
    """Set the clean-close mark of the recording ``path``, ``icount`` long: all its other files are complete."""
    names = sorted(p.relative_to(path) for p in path.rglob("*") if p.is_file())
    sizes = {str(name): (path / name).stat().st_size for name in names if name.parts[0] not in _LATER}
    write_json(path / CLOSED, {"icount": icount, "files": sizes, "log": _log_hash(path)})


def _log_hash(path: Path) -> str:
    return xxhash.xxh3_128_hexdigest(read_file(path / LOG))


def versions() -> dict[str, str]:
    """Versions of jitrr and of what it runs on, for people: nothing in a replay depends on them."""
    from importlib.metadata import PackageNotFoundError, version  # late: it takes as long as all the rest

    found = {}
    for name in ("jitrr", "llvmlite", "capstone", "numba", "numpy", "mcap"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
