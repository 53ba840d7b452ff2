"""Templates: what instructions lift to, by masked bytes and mode; kept on disk: a later run lifts hardly anything."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from jitrr.engine import cache
from jitrr.engine.cells import CELL, CELL_SIZE
from jitrr.engine.constants import MAX_TEMPLATE, TEMPLATE_ENTRY
from jitrr.microops.table import UOp

BYTES = 32 << 20
TABLE = 1 << 18
#: An entry on disk: key low, key high, first cell, cell count | ends << 16.
ENTRY = np.dtype([("low", "i8"), ("high", "i8"), ("first", "i8"), ("info", "i8")])


def signed(value: int) -> int:
    """The low 64 bits as a signed number."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


class Templates:
    """The template store of one engine. Cells hold row numbers; the block builder puts in handlers and constants."""

    def __init__(self, engine: Any):
        self.engine = engine
        self.memory = engine.new_memory(BYTES)
        self.cells = np.frombuffer(self.memory.map, CELL)
        self.used = 0
        #: Those of the file, and what this run has added to them.
        self.saved = np.empty(0, ENTRY)
        self.added: list[tuple[int, int, int, int]] = []
        engine.state["templates"] = engine.new_memory(TABLE * TEMPLATE_ENTRY).address
        engine.state["template_mask"] = TABLE - 1

    def lift(self, code: bytes, mode: int, info: np.ndarray) -> None:
        """Lift the instruction that the splitter has described in ``info`` and enter its template."""
        uops, ends = self.engine.frontend.lift(code, mode, info)
        first = self._encode(uops)
        self._enter(int(info[0]), int(info[1]), first, len(uops) | (1 << 16 if ends else 0))
        self.engine.counters["templates"] += 1

    def _enter(self, low: int, high: int, first: int, info: int) -> None:
        self.added.append((low, high, first, info))
        if len(self.saved) + len(self.added) > TABLE // 2:
            raise MemoryError("the template table is full")
        self.engine.call("add_template", low, high, self.memory.address + first * CELL_SIZE, info)

    def _encode(self, uops: list[UOp]) -> int:
        rows = self.engine.frontend.row_numbers
        at = self.used
        assert len(uops) <= MAX_TEMPLATE, f"an instruction of {len(uops)} cells, of which there is {uops[0].name}"
        if (at + len(uops) + 1) * CELL_SIZE > BYTES:
            raise MemoryError("the template store is full")
        for i, u in enumerate(uops):
            self.cells[at + i] = (0, u.d, u.a, u.b, u.c, signed(u.imm.value), 0, 0, rows[u.name], u.imm.patch)
        self.used += len(uops)
        return at

    # -- on disk ------------------------------------------------------------------------------------------------------
    def _name(self) -> str:
        return cache.key("templates", self.engine.frontend.name)

    def load(self) -> None:
        """Enter what earlier runs lifted."""
        data = cache.load(self._name())
        if data is None:
            return
        count, used = struct.unpack_from("<QQ", data)
        self.saved = np.frombuffer(data, ENTRY, count, 16)
        self.cells[:used] = np.frombuffer(data, CELL, used, 16 + count * ENTRY.itemsize)
        self.used = used
        self.engine.call("add_templates", self.saved.ctypes.data, count, self.memory.address)

    def save(self) -> None:
        """Write the store if this run has added to it: lifting a single one again would cost the next start more, with
        the import of Capstone and of the table."""
        if not self.added:
            return
        self.saved, self.added = np.concatenate([self.saved, np.array(self.added, ENTRY)]), []
        head = struct.pack("<QQ", len(self.saved), self.used)
        cache.store(self._name(), head + self.saved.tobytes() + self.cells[: self.used].tobytes())
