"""The native code every run starts with: the helpers (numba) and the interpreter (micro-op table), built once and cached."""

from __future__ import annotations

import json
import struct
from typing import Any

from jitrr.engine import cache
from jitrr.engine.interp import generate
from jitrr.microops.table import ROWS


def load_native(frontend: Any) -> dict[str, int]:
    """Addresses of helpers, handlers (``op_<row>``) and the special entries; fills the front end's helper tables."""
    from jitrr.engine.codegen import Linker

    frontend.row_numbers = {row.name: row.number for row in ROWS}
    name = cache.key("native", frontend.name)
    packed = cache.load(name)
    if packed is None:
        packed = _build(frontend)
        cache.store(name, packed)
    (size,) = struct.unpack_from("<I", packed)
    meta = json.loads(packed[4 : 4 + size])
    at = 4 + size
    frontend.helper_names = list(meta["helpers"])
    frontend.helper_arity = meta["helpers"]
    frontend.linker = linker = Linker()
    addresses: dict[str, int] = {}
    for length, symbols in meta["objects"]:
        addresses.update(linker.load(packed[at : at + length], symbols))
        at += length
    return addresses


def _build(frontend: Any) -> bytes:
    """Compile everything: {helpers: arity}, objects with their symbols."""
    from jitrr.engine.codegen import compile_ir
    from jitrr.engine.native import HELPERS, arity, compile_helpers

    frontend.declare_helpers()
    names = list(HELPERS)
    objects = [(compile_ir(compile_helpers(), speed=2, keep=names), names)]
    indexes = {name: i for i, name in enumerate(names)}
    for part in generate(frontend.layout, indexes):
        objects.append((compile_ir(part.text, speed=2), part.symbols))
    meta = json.dumps(
        {
            "helpers": {name: arity(name) for name in names},
            "objects": [[len(data), symbols] for data, symbols in objects],
        }
    ).encode()
    return struct.pack("<I", len(meta)) + meta + b"".join(data for data, _ in objects)

