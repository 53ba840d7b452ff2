"""What machine code depends on besides its sources. Nothing is imported for it: it is asked for at every start."""

from __future__ import annotations

import importlib.util
from contextlib import suppress
from functools import cache
from pathlib import Path

#: Of /proc/cpuinfo.
_FIELDS = (b"vendor_id", b"cpu family", b"model", b"stepping", b"flags")


@cache
def host_key() -> bytes:
    """The version of LLVM, by its binding's files, and the processor."""
    return _llvm() + _processor()


def _llvm() -> bytes:
    spec = importlib.util.find_spec("llvmlite")
    if spec is None or spec.origin is None:
        raise RuntimeError("llvmlite is not installed")
    folder, found = Path(spec.origin).parent, b""
    with suppress(OSError):
        found = (folder / "_version.py").read_bytes()
    with suppress(OSError):
        found += b"%d" % (folder / "binding" / "libllvmlite.so").stat().st_size
    return found


def _processor() -> bytes:
    with open("/proc/cpuinfo", "rb", buffering=0) as file:
        first = file.read(1 << 16).partition(b"\n\n")[0]
    return b"\n".join(line for line in first.splitlines() if line.startswith(_FIELDS))
