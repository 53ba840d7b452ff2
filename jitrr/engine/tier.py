"""The hot tier: which blocks form a region, where its code comes from, and putting it in place.

Heads that became hot are drained between native runs. A region's code is found in the disk cache by its content, or compiled
by a worker process; either way it is put in place later, between two runs, and nothing the guest can see depends on when.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import select
import subprocess
import sys
from collections import defaultdict
from typing import Any

import numpy as np
import xxhash

from jitrr.engine import cache
from jitrr.engine.cells import CELL_SIZE
from jitrr.engine.worker import message
from jitrr.microops.table import ROWS

CODE_BYTES = 64 << 20
MAX_BLOCKS = 24
MAX_CELLS = 400


class CodeArena:
    """Executable memory for plain code."""

    def __init__(self) -> None:
        self.map = mmap.mmap(-1, CODE_BYTES, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        self.used = 0

    def add(self, code: bytes) -> int | None:
        """Address of a copy of ``code``, or None when full."""
        at = -(-self.used // 64) * 64
        if at + len(code) > CODE_BYTES:
            return None
        self.map[at : at + len(code)] = code
        self.used = at + len(code)
        return self.base + at


class Worker:
    """The compile process: requests go down one pipe, results come up another."""

    def __init__(self, frontend: str):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jitrr.engine.worker", frontend], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        assert self.process.stdin is not None and self.process.stdout is not None
        self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self._in, False)
        self._pending = bytearray()
        self._received = bytearray()

    def send(self, request: Any) -> None:
        self._pending += message(request)
        self.push()

    def push(self) -> None:
        """Write what the pipe takes."""
        while self._pending:
            try:
                done = os.write(self._in, self._pending[: 1 << 16])
            except BlockingIOError:
                return
            except BrokenPipeError:
                self._pending.clear()
                return
            del self._pending[:done]

    def results(self, wait: float = 0.0) -> list[Any]:
        """Messages that have arrived."""
        import pickle
        import struct

        self.push()
        found = []
        while select.select([self._out], [], [], wait)[0]:
            wait = 0.0
            data = os.read(self._out, 1 << 20)
            if not data:
                break
            self._received += data
        while len(self._received) >= 4:
            (size,) = struct.unpack_from("<I", self._received)
            if len(self._received) < 4 + size:
                break
            found.append(pickle.loads(bytes(self._received[4 : 4 + size])))
            del self._received[: 4 + size]
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Tier:
    """Hot regions of one engine. ``threshold``: executions of a block before it is looked at."""

    def __init__(self, engine: Any, threshold: int, patience: int, synchronous: bool = False):
        self.engine, self.threshold, self.patience, self.synchronous = engine, threshold, patience, synchronous
        self.arena = CodeArena()
        self.worker: Worker | None = None
        self.waiting: dict[int, tuple[int, list[int]]] = {}
        self.installed: dict[int, list[int]] = {}  # entry head -> heads of its blocks
        self.users: dict[int, set[int]] = defaultdict(set)  # head -> entries of regions it is part of
        self.asked: set[int] = set()
        self.number = 0
        self.pools = engine.new_memory(8 << 20)
        self.pool_words = np.frombuffer(self.pools.map, np.uint64)
        self.pool_used = 0
        self.failures: list[str] = []
        engine.state["hot_reset"] = threshold
        numbers = engine.frontend.row_numbers
        self.near = {numbers[f"goto{s}"] for s in ("", "32", "16")}
        self.far = {numbers[f"gofar{s}"] for s in ("", "32", "16")}
        self.jump = numbers["jump"]
        self.pcrel = {numbers[f"pcrel{s}"] for s in ("", "32", "16")}
        self._exits = np.array([row.kind == "exit" for row in ROWS])
        self._branches = np.array([row.kind == "branch" for row in ROWS])

    # -- between runs ----------------------------------------------------------------------------------------------------
    def service(self, wait: float = 0.0) -> None:
        """Take newly hot blocks, and code that is ready."""
        s = self.engine.state
        count = int(s["hot_count"])
        if count:
            hot = self.engine.hot_words[:count].tolist()
            s["hot_count"] = 0
            for head, pc in hot:
                self._hot(head, pc)
        if self.worker is not None and self.waiting:
            for number, code, linked in self.worker.results(wait):
                self._arrived(number, code, linked)

    def finish(self) -> None:
        """Wait for all outstanding code (tests)."""
        while self.waiting:
            self.service(1.0)

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()
            self.worker = None

    def _hot(self, head: int, pc: int) -> None:
        formed = self.form(head, pc)
        if formed is None:
            return
        name, pc_bits, blocks, heads = formed
        entry = cache.load(name)
        if entry is not None:
            self._install(head, heads, entry[1:], bool(entry[0]))
            return
        if head not in self.asked and self.patience > self.threshold:
            self.asked.add(head)
            self._cell(head)["imm"] = self.patience - self.threshold
            return
        self._request(head, heads, name, pc_bits, blocks)

    def _request(self, head: int, heads: list[int], name: str, pc_bits: int, blocks: list[Any]) -> None:
        if self.worker is None:
            self.worker = Worker(self.engine.frontend.name)
        self.number += 1
        self.waiting[self.number] = head, heads
        self.worker.send((self.number, name, pc_bits, blocks))
        if self.synchronous:
            self.finish()

    def _arrived(self, number: int, code: bytes | None, linked: Any) -> None:
        head, heads = self.waiting.pop(number, (0, []))
        if not head:
            return
        if code is None:
            self.failures.append(str(linked))
            return
        self._install(head, heads, code, bool(linked))

    def _install(self, head: int, heads: list[int], code: bytes, linked: bool) -> None:
        if any(self._is_stale(h) for h in heads):
            return
        address = self._link(code) if linked else self.arena.add(code)
        if address is None or self.pool_used + len(heads) > len(self.pool_words):
            return
        at = self.pool_used
        self.pool_words[at : at + len(heads)] = heads
        self.pool_used += len(heads)
        cell = self._cell(head)
        cell["imm"] = self.pools.address + 8 * at
        cell["handler"] = address
        self.installed[head] = heads
        for h in heads:
            self.users[h].add(head)
        self.engine.counters["regions"] += 1

    def _link(self, image: bytes) -> int:
        return self.engine.frontend.linker.load(image, ["region"])["region"]

    # -- invalidation ----------------------------------------------------------------------------------------------------
    def forget(self, head: int) -> None:
        """A block is stale: so are the regions it is part of."""
        for entry in self.users.pop(head, ()):
            if self.installed.pop(entry, None) is not None and entry != head and not self._is_stale(entry):
                cell = self._cell(entry)
                cell["imm"] = self.threshold
                cell["handler"] = self.engine.native["head"]

    def forget_all(self) -> None:
        """All cells are about to be dropped."""
        self.installed.clear()
        self.users.clear()
        self.waiting.clear()
        self.asked.clear()
        self.arena.used = self.pool_used = 0

    def _is_stale(self, head: int) -> bool:
        return int(self._cell(head)["handler"]) == self.engine.native["stale"]

    def _cell(self, address: int) -> Any:
        return self.engine.cells[(address - self.engine.arena.address) // CELL_SIZE]

    # -- regions ---------------------------------------------------------------------------------------------------------
    def form(self, head: int, pc: int) -> tuple[str, int, list[Any], list[int]] | None:
        """(cache name, pc bits, blocks for the worker, their heads) of the region entered at ``head``, whose pc is ``pc``."""
        if self._is_stale(head):
            return None
        return _Former(self, head, pc).form()

    def worth(self, head: int) -> bool:
        """A block that has been run often enough to be part of a region."""
        cell = self._cell(head)
        handler = int(cell["handler"])
        if handler == self.engine.native["stale"]:
            return False
        return handler != self.engine.native["head"] or int(cell["imm"]) < self.threshold - self.threshold // 16

    def block_cells(self, head: int) -> tuple[np.ndarray, list[int]]:
        """All cells of a block, and the indexes of its exits."""
        start = (head - self.engine.arena.address) // CELL_SIZE
        window = self.engine.cells[start : start + 400]
        ops = window["op"]
        i = 1
        while True:
            op = int(ops[i])
            if self._exits[op]:
                return window[: i + 1], [i]
            if self._branches[op]:
                return window[: i + 3], [i + 1, i + 2]
            i += 1

    def normalised(self, cells: np.ndarray) -> np.ndarray:
        """A copy without addresses."""
        out = cells.copy()
        out["handler"] = 0
        out[0]["imm"] = 0
        for name in ("d", "a", "b", "c"):
            out[0][name] = 0
        for cell in out[1:]:
            if int(cell["op"]) in self.near:
                for name in ("d", "a", "b", "c"):
                    cell[name] = 0
        out["patch"] = 0
        return out




class _Former:
    """Collects the blocks of one region, breadth first, along jumps whose target is known."""

    def __init__(self, tier: Tier, head: int, pc: int):
        self.tier, self.engine = tier, tier.engine
        self.pc = pc
        self.page = pc >> 12
        self.heads, self.deltas, self.index = [head], [0], {head: 0}
        self.total = 0
        self.return_sites: list[int] = []
        mode = (int(self._cell(head).view(np.uint8)[8:16].view(np.uint64)[0]) >> 44) & 255
        self.mode = mode
        self.bits = (64, 32, 16)[self.engine.frontend.goto_kind(mode)]
        self.mask = (1 << self.bits) - 1

    def _cell(self, head: int) -> np.ndarray:
        start = (head - self.engine.arena.address) // CELL_SIZE
        return self.engine.cells[start : start + 1]

    def form(self) -> tuple[str, int, list[Any], list[int]]:
        bodies = []
        while len(bodies) < len(self.heads):
            cells, exits = self.tier.block_cells(self.heads[len(bodies)])
            self.total += len(cells)
            bodies.append((cells, self._follow(len(bodies), cells, exits)))
        blocks = []
        for number, (cells, edges) in enumerate(bodies):
            if int(cells[-1]["op"]) == self.tier.jump:
                edges = {len(cells) - 1: self._returns()}
            blocks.append((self.tier.normalised(cells), edges, self.deltas[number]))
        key = xxhash.xxh3_128(bytes([self.bits]))
        for cells, edges, delta in blocks:
            key.update(cells.tobytes() + repr((sorted(edges.items()), delta)).encode())
        return cache.key("region", self.engine.frontend.name, key.digest()), self.bits, blocks, self.heads

    def _follow(self, number: int, cells: np.ndarray, exits: list[int]) -> dict[int, list[tuple[int, bool]]]:
        """Edges of a block: cell index -> [(block, guarded)]."""
        edges: dict[int, list[tuple[int, bool]]] = {}
        for i in exits:
            op = int(cells[i]["op"])
            delta = self.deltas[number] + int(cells[i]["imm"])
            if op in self.tier.near:
                target, guarded = int.from_bytes(cells[i : i + 1].tobytes()[8:16], "little"), False
            elif op in self.tier.far:
                target, guarded = self._find((self.pc + delta) & self.mask), True
            else:
                continue
            if target and self._include(target, delta):
                edges[i] = [(self.index[target], guarded)]
        if edges:
            self._return_site(number, cells)
        return edges

    def _include(self, head: int, delta: int) -> bool:
        if head in self.index:
            return self.deltas[self.index[head]] == delta
        if len(self.heads) >= MAX_BLOCKS or self.total >= MAX_CELLS or not self.tier.worth(head):
            return False
        self.index[head] = len(self.heads)
        self.heads.append(head)
        self.deltas.append(delta)
        return True

    def _find(self, pc: int) -> int:
        """Head of the block at a virtual pc, if it is mapped and translated."""
        phys = self.engine.peek_code(pc)
        return 0 if phys is None else self.engine.call("find_block", phys | self.mode << 44)

    def _return_site(self, number: int, cells: np.ndarray) -> None:
        """Behind a call that leads into the region, take the block it returns to as well."""
        length = int(cells[0]["patch"])
        pushed = [int(c["imm"]) for c in cells[-4:] if int(c["op"]) in self.tier.pcrel]
        delta = self.deltas[number] + length
        if length in pushed and (target := self._find((self.pc + delta) & self.mask)) and self._include(target, delta):
            self.return_sites.append(self.index[target])

    def _returns(self) -> list[tuple[int, bool]]:
        """Where an indirect jump of this region may well lead: (block, guarded)."""
        sites = list(dict.fromkeys(self.return_sites))[:4]
        return [(n, (self.pc + self.deltas[n]) >> 12 != self.page) for n in sites]
