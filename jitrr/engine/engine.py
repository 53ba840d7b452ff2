"""The engine: CPU block, caches of translated code, and the native run."""

from __future__ import annotations

import ctypes
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitrr.engine import cache
from jitrr.engine import constants as k
from jitrr.engine.breakpoints import Breakpoints
from jitrr.engine.cells import CELL, CELL_SIZE, HEAD_OFF
from jitrr.engine.exits import Exit
from jitrr.engine.frontend import Frontend
from jitrr.engine.layout import MAX_SIZE
from jitrr.engine.memory import Memory
from jitrr.engine.templates import Templates, signed
from jitrr.microops.table import UOp

ARENA_BYTES = 192 << 20
BLOCK_TABLE = 1 << 19
MASK64 = (1 << 64) - 1
#: Of a block's key, its place; the rest is its mode.
PLACE = (1 << 44) - 1
_I64 = ctypes.c_int64
_EXITS = {int(e): e for e in Exit}
CALLBACK = ctypes.CFUNCTYPE(_I64, _I64, _I64, _I64, _I64)


class MissingInstruction(Exception):
    """The guest executed an instruction that its CPUID announces and jitrr does not have."""


class Engine:
    """Runs one processor at a time, of ``processors``. ``host_call(kind, a, b)`` serves devices; see softmmu.CALL_*.
    ``ranges``: (physical base, size, offset in RAM) of whatever is RAM or ROM; without it, RAM begins at 0.

    The CPU block is that of the processor :meth:`select` was called for last, the first one's at first. Translated code
    is everybody's; each processor has TLBs and a jump cache of its own.
    """

    def __init__(
        self,
        frontend: Frontend,
        ram_size: int,
        host_call: Callable[[int, int, int], int],
        ranges: Sequence[tuple[int, int, int]] = (),
        processors: int = 1,
    ):
        self.frontend = frontend
        self.layout = frontend.layout
        self._memories: list[Memory] = []
        self.block = self.new_memory(MAX_SIZE)
        self.base = self.block.address
        self.state = np.frombuffer(self.block.map, self.layout.dtype())[0]
        self.words = np.frombuffer(self.block.map, np.uint64)
        self._quads = memoryview(self.block.map).cast("Q")
        at = {name: self.layout[name] // 8 for name in self.layout.types}
        self._at_ic, self._at_limit, self._at_leave = (at[n] for n in ("ic", "limit", "leave"))
        self._at_reason, self._at_arg = (at[n] for n in ("exit_reason", "exit_arg"))
        self._at_pc, self._at_io, self._at_mode = (at[n] for n in ("pc", "io_value", "mode"))
        self.ram = self.new_memory(ram_size)
        self.page_flags = self.new_memory(max(ram_size >> 12, 4096)).array
        self._parked: list[bytes] = []
        self.host_error: BaseException | None = None
        self._host_call = host_call
        self._callback = CALLBACK(self._called)
        self.tier: Any = None
        self.counters: dict[str, int] = defaultdict(int)
        self.breakpoints = Breakpoints(self)
        self._load_code()
        self._allocate(ram_size)
        self._make_processors(processors)
        self.ranges = tuple(ranges) or ((0, ram_size, 0),)
        for i, mapped in enumerate(self.ranges):
            for name, value in zip(("map_base", "map_size", "map_offset"), mapped, strict=True):
                self.state[name][i] = value

    # -- set-up -------------------------------------------------------------------------------------------------------
    def new_memory(self, size: int) -> Memory:
        memory = Memory(size)
        self._memories.append(memory)
        return memory

    def _load_code(self) -> None:
        from jitrr.engine.build import load_native

        self.native = load_native(self.frontend)
        layout = self.layout
        helpers = np.zeros(len(self.frontend.helper_names), np.uint64)
        for i, name in enumerate(self.frontend.helper_names):
            helpers[i] = self.native[name]
        self.words[layout["helpers"] // 8 : layout["helpers"] // 8 + len(helpers)] = helpers
        self._functions = {
            name: ctypes.CFUNCTYPE(_I64, *[_I64] * self.frontend.helper_arity[name])(self.native[name])
            for name in self.frontend.helper_names
        }
        self._enter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.native["enter"])

    def _allocate(self, ram_size: int) -> None:
        pages = ram_size >> 12
        handlers = self.new_memory(8 * len(self.frontend.outlines))
        table = np.frombuffer(handlers.map, np.uint64)
        for number, row in enumerate(self.frontend.outlines):
            table[number] = self.native[f"op_{row.name}"]
        self.arena = self.new_memory(ARENA_BYTES)
        self.cells = np.frombuffer(self.arena.map, CELL)
        self.templates = Templates(self)
        self.block_table = self.new_memory(BLOCK_TABLE * 16)
        self.smc = self.new_memory(4096)
        self.smc_words = np.frombuffer(self.smc.map, np.uint64)
        self.hot = self.new_memory(k.HOT_QUEUE * 16)
        self.hot_words = np.frombuffer(self.hot.map, np.uint64).reshape(-1, 2)
        self.info = self.new_memory(4096)
        self.info_words = np.frombuffer(self.info.map, np.int64)
        self.code_lines = np.frombuffer(self.new_memory(max(pages * 8, 4096)).map, np.uint64)
        s = self.state
        s["ram"], s["ram_size"] = self.ram.address, ram_size
        s["page_flags"] = self.page_flags.ctypes.data
        s["pt_heat"] = self.new_memory(max(pages, 4096)).address
        s["code_lines"] = self.code_lines.ctypes.data
        self._touched = self.new_memory(k.TOUCHED)
        s["touched"] = self._touched.address
        s["smc"], s["hot"] = self.smc.address, self.hot.address
        s["block_table"], s["block_mask"] = self.block_table.address, BLOCK_TABLE - 1
        s["cells"], s["cells_end"] = self.arena.address + CELL_SIZE, self.arena.address + ARENA_BYTES - (1 << 16)
        modes, new_blocks = self.new_memory(4096), self.new_memory(8 + k.NEW_BLOCKS * 16)
        s["block_modes"], s["new_blocks"], s["split"] = modes.address, new_blocks.address, self.info.address
        self._modes, self._new_blocks = (np.frombuffer(memory.map, np.uint64) for memory in (modes, new_blocks))
        s["scratch"] = self.new_memory(k.SCRATCH_BYTES).address
        s["handlers"] = handlers.address
        for name in ("head", "entered", "stale", "stopped", "short"):
            s[f"h_{name}"] = self.native[name]
        s["host_call"] = ctypes.cast(self._callback, ctypes.c_void_p).value or 0
        s["exc_vector"] = s["break_passed"] = s["watch_at"] = MASK64
        s["hot_reset"] = 1 << 62
        self._build_block, self._insert_block = self._functions["build_block"], self._functions["insert_block"]
        self.templates.load()
        self._blocks: dict[int, list[tuple[int, int]]] = defaultdict(list)

    def _make_processors(self, count: int) -> None:
        #: The processor that the CPU block is of.
        self.selected = 0
        self._own = memoryview(self.block.map)[self.layout.own : self.layout.size]
        self._at_shootdowns = self.layout["shootdowns"] // 8
        self._seen = [0] * count
        s = self.state
        for number in reversed(range(count)):
            tlb = self.new_memory(k.CONTEXTS * k.TLBS * k.TLB_BYTES)
            s["tlb"] = s["tlb_base"] = s["tlb_all"] = tlb.address
            s["contexts"] = self.new_memory(max(k.CONTEXTS * k.CONTEXT_ENTRY, 4096)).address
            s["jc"] = self.new_memory(k.JC_SIZE * k.JC_ENTRY).address
            s["tlb_salt"] = s["last_salt"] = 1
            s["jc_epoch"] = number + 1
            s["shadow"] = s["linear_mask"] = MASK64
            self._parked = [bytes(self._own), *self._parked]
        s["last_epoch"] = count

    def select(self, number: int) -> None:
        """Make the CPU block that of another processor; between runs only."""
        if number == self.selected:
            return
        shootdowns = self._quads[self._at_shootdowns]
        self._parked[self.selected], self._seen[self.selected] = bytes(self._own), shootdowns
        self._own[:] = self._parked[number]
        self.selected = number
        if self._seen[number] != shootdowns:
            self.call("flush_tlb")
        self.call("arm")  # its watches are those of its debug registers

    def close(self) -> None:
        """Keep what was learned for the next run (within the cache's bounds), and end the compile worker."""
        self.templates.save()
        cache.trim()
        if self.tier is not None:
            self.tier.close()

    # -- helpers and callbacks ----------------------------------------------------------------------------------------
    def call(self, name: str, *args: int) -> int:
        """Call a native helper; arguments and result are signed 64 bit."""
        return self._functions[name](self.base, *args)

    def _called(self, cpu: int, kind: int, a: int, b: int) -> int:
        try:
            result = self._host_call(kind, a & MASK64, b & MASK64)
        except BaseException as error:  # carried to the run loop: nothing may unwind through native code
            self.host_error = error
            self._quads[self._at_leave] |= 3
            result = 0
        self._quads[self._at_io] = result & MASK64
        return 0

    # -- running ------------------------------------------------------------------------------------------------------
    @property
    def icount(self) -> int:
        """Instructions retired; exact between runs. During a device access use ``icount_now``."""
        ic = self._quads[self._at_ic]
        return self._quads[self._at_limit] - (ic - (1 << 64) if ic >> 63 else ic)

    def set_icount(self, icount: int) -> None:
        self._quads[self._at_limit], self._quads[self._at_ic] = icount, 0

    def run(self, until: int) -> Exit:
        """Run until ``icount`` is exactly ``until`` or the runtime is needed; translates what is missing on the way."""
        quads, reason_at, leave_at = self._quads, self._at_reason, self._at_leave
        now = self.icount
        quads[self._at_limit], quads[self._at_ic] = until, until - now
        if self.smc_words[0]:  # by the frame of an interrupt
            self._code_written()
        while True:
            quads[leave_at] = 0
            self._enter(self.base)
            if self.host_error is not None:
                error, self.host_error = self.host_error, None
                raise error
            reason = quads[reason_at]
            if self.smc_words[0]:
                self._code_written()
            if reason == Exit.TRANSLATE:
                self.translate(quads[self._at_pc], quads[self._at_arg])
            elif reason == Exit.CROSS:
                self._translate_again(quads[self._at_pc])
            else:
                return _EXITS[reason]

    def linear(self, pc: int) -> int:
        """Linear address of a pc under the current code segment."""
        return (int(self.state["code_base"]) + pc) & int(self.state["linear_mask"])

    def locate(self, phys: int) -> int | None:
        """Offset in RAM of a physical address, or None."""
        for base, size, offset in self.ranges:
            if base <= phys < base + size:
                return offset + phys - base
        return None

    # -- translation --------------------------------------------------------------------------------------------------
    def translate(self, pc: int, place: int) -> int:
        """Build the block at ``pc`` (at ``place`` in RAM) under the current mode; returns its head cell."""
        if place >= self.ram.size:
            raise MissingInstruction(f"code at physical address {place & ~k.DEVICE:#x} is outside RAM (pc {pc:#x})")
        if self.state["cells"] >= self.state["cells_end"]:
            self.flush_code()
        mode, out = self._quads[self._at_mode], int(self.state["cells"])
        available = 4096 - (place & 4095)
        count = self._build(self.ram.address + place, available, place, mode, out)
        if count == k.NEED_PYTHON:
            count = self._build_odd(pc, place, mode, out, available)
        elif self.breakpoints.offsets:
            count = self._cut(count, available, place, mode, out)
        if place & 4095 in self.breakpoints.offsets:
            count = self.breakpoints.front_cell((out - self.arena.address) // CELL_SIZE, count)
        self.state["cells"] += CELL_SIZE * (count + 1)
        self._register_block(place, mode, out)
        return out

    def _translate_again(self, pc: int) -> None:
        """The block at ``pc`` goes on in another page now: the one there is must not be found again."""
        place = self.call("check_exec", signed(self.linear(pc)))
        key = place | self._quads[self._at_mode] << 44
        if head := self.call("find_block", signed(key)):
            self._forget_blocks([(head, key)])
            self.call("flush_all")
        self.translate(pc, place)

    def _register_block(self, place: int, mode: int, out: int) -> None:
        key = place | mode << 44
        if self._insert_block(self.base, key - (1 << 64) if key >> 63 else key, out):
            self.flush_code()
            return
        self.blocks_on_page[place >> 12].append((out, key))
        self.counters["blocks"] += 1

    @property
    def blocks_on_page(self) -> dict[int, list[tuple[int, int]]]:
        """Head cell and key of each block made from a page, by the page's number."""
        new = self._new_blocks
        count = int(new[0])
        for cell, key in new[1 : 1 + 2 * count].reshape(-1, 2).tolist():
            self._blocks[(key & PLACE) >> 12].append((cell, key))
        new[0] = 0
        self.counters["blocks"] += count
        return self._blocks

    def _build(self, code: int, available: int, place: int, mode: int, out: int, most: int = 0) -> int:
        """Native build, lifting missing templates on demand."""
        frontend = self.frontend
        packed = mode | frontend.goto_kind(mode) << 8 | frontend.most(mode) << 16
        self._modes[mode] = packed
        if most:
            packed = packed & 0xFFFF | most << 16
        while True:
            count = self._build_block(self.base, code, available, place, packed, out, self.info.address)
            if count != k.NEED_TEMPLATE:
                return count
            at = code + int(self.info_words[k.S_OFF // 8])
            length = int(self.info_words[k.S_LENGTH // 8])
            self.templates.lift(ctypes.string_at(at, length), mode, self.info_words)

    def _cut(self, count: int, available: int, place: int, mode: int, out: int) -> int:
        """A block goes up to the next place where a breakpoint may be."""
        head = (out - self.arena.address) // CELL_SIZE
        most = self.breakpoints.first_cut(head, count, place & 4095)
        return self._build(self.ram.address + place, available, place, mode, out, most) if most else count

    def _build_odd(self, pc: int, place: int, mode: int, out: int, available: int) -> int:
        """An instruction that crosses its page, or that the splitter does not understand: a block of its own."""
        code = ctypes.string_at(self.ram.address + place, min(available, 16))
        second = None
        if available < 16:
            second = self.peek_code((self.linear(pc) & ~4095) + 4096 & int(self.state["linear_mask"]))
            if second is not None:
                code += ctypes.string_at(self.ram.address + second, 16 - available)
        buffer = ctypes.create_string_buffer(code, 32)
        count = self._build(ctypes.addressof(buffer), len(code), place, mode, out, most=1)
        head = (out - self.arena.address) // CELL_SIZE
        if count < 0:
            count = self._lifted_whole(b"" if second is None else code, place, mode, out)
        length = int(self.cells[head]["patch"])
        if length <= available:
            return count
        # The second page is looked up each time the block runs: one more cell in front.
        self.cells[head + 2 : head + 2 + count] = self.cells[head + 1 : head + 1 + count].copy()
        self.cells[head + 1] = (
            self.native["op_cross"], 0, 0, 0, 0, -1 if second is None else second,
            1, 0, self.frontend.row_numbers["cross"], 0,
        )  # fmt: skip
        if second is not None:
            self.call("mark_page", second, k.PAGE_CODE)
            self.code_lines[second >> 12] |= np.uint64(1)
            self.blocks_on_page[second >> 12].append((out, place | mode << 44))
        return count + 1

    def _lifted_whole(self, code: bytes, place: int, mode: int, out: int) -> int:
        """A one-instruction block made without the splitter; no bytes: only the check of the second page."""
        head = (out - self.arena.address) // CELL_SIZE
        uops, length = self.frontend.lift_odd(code, mode) if code else ([UOp("missing")], 16)
        rows = self.frontend.row_numbers
        self.cells[head] = (self.native["head"], 0, 0, 0, 0, 1 << 62, 1, HEAD_OFF, HEAD_OFF, length)
        for i, u in enumerate(uops):
            self.cells[head + 1 + i] = (
                self.native[f"op_{u.name}"], u.d, u.a, u.b, u.c, signed(u.imm.value), 1, 0, rows[u.name], 0,
            )  # fmt: skip
        self.cells[head + 1 + len(uops)]["off"] = HEAD_OFF
        self.call("mark_page", place & -4096, k.PAGE_CODE)
        self.code_lines[place >> 12] |= np.uint64(1 << ((place & 4095) >> 6))
        return len(uops) + 1

    def peek_code(self, linear: int) -> int | None:
        """Place of code at a linear address, or None where fetching it would fault."""
        return self.frontend.peek(self, linear)

    # -- invalidation -------------------------------------------------------------------------------------------------
    def _code_written(self) -> None:
        count = int(self.smc_words[0])
        pages = [int(p) for p in self.smc_words[1 : 1 + count]]
        overflow = bool(self.smc_words[511])
        self.smc_words[0] = self.smc_words[511] = 0
        if overflow:
            self.flush_code()
            return
        self._invalidate(np.array(pages))

    def _forget_blocks(self, blocks: list[tuple[int, int]]) -> None:
        """Head cells and keys of blocks that are not to be run any more."""
        if not blocks:
            return
        entries = np.array(blocks, np.uint64)
        self.call("forget_blocks", entries.ctypes.data, len(blocks))
        if self.tier is not None:
            self.tier.forget(cell for cell, _ in blocks)

    def cut_blocks(self, offsets: set[int]) -> None:
        """Forget the blocks that begin at these page offsets or go across one."""
        wanted = np.zeros(4096 + 1, np.int64)
        wanted[[offset + 1 for offset in offsets]] = 1
        before = np.cumsum(wanted)  # of the offsets, how many are below
        for page, blocks in self.blocks_on_page.items():
            cells = np.array([cell for cell, _ in blocks], np.uint64)
            lengths = self.cells["patch"][(cells - np.uint64(self.arena.address)) // np.uint64(CELL_SIZE)]
            starts = np.array([key & 4095 for _, key in blocks], np.int64)
            cut = before[np.minimum(starts + lengths, 4096)] > before[starts]
            self._forget_blocks([blocks[number] for number in np.flatnonzero(cut).tolist()])
            self.blocks_on_page[page] = [block for block, gone in zip(blocks, cut.tolist(), strict=True) if not gone]
        self.call("flush_all")

    def invalidate_page(self, page: int) -> None:
        """Forget the translations made from a page."""
        self._invalidate(np.array([page]))

    def _invalidate(self, pages: np.ndarray) -> None:
        on_page = self.blocks_on_page
        self._forget_blocks([block for page in pages.tolist() for block in on_page.pop(page, ())])
        self.counters["invalidated"] += len(pages)
        self.page_flags[pages] &= 0xFF ^ k.PAGE_CODE
        self.code_lines[pages] = 0
        self.call("flush_all")

    def flush_code(self) -> None:
        """Forget all translations (templates stay)."""
        if self.tier is not None:
            self.tier.forget_all()
        if self.state["cells"] != self.arena.address + CELL_SIZE:  # there are any: what is zero is not to be touched
            self.block_table.array[:] = 0
        self.page_flags &= 0xFF ^ k.PAGE_CODE
        self.code_lines[:] = 0
        self.blocks_on_page.clear()
        self.state["cells"] = self.arena.address + CELL_SIZE
        self.state["hot_count"] = 0
        self.call("flush_all")

    def take_dirty_pages(self) -> np.ndarray:
        """Sorted numbers of the pages written since the last call."""
        pages = np.flatnonzero(self.page_flags & k.PAGE_DIRTY)
        self.page_flags &= 0xFF ^ k.PAGE_DIRTY
        self._touched.array[pages & (k.TOUCHED - 1)] |= k.TOUCHED_PLACE
        self.call("flush_all")
        return pages

    def take_touched(self) -> np.ndarray:
        """What pages were used for since the last call, TOUCHED bytes; none that was used is missing. The entry of a
        page of linear addresses (touched_entry) has 1 << EXEC where code of it was run, 1 << WRITE where it may have
        been written, 1 << READ where it may have been accessed; that of a page of RAM TOUCHED_PLACE where it was
        written. TLBs and jump cache are flushed, so that whatever is used again is noted again."""
        pages = np.flatnonzero(self.page_flags & k.PAGE_DIRTY)
        self._touched.array[pages & (k.TOUCHED - 1)] |= k.TOUCHED_PLACE
        table = self._touched.array.copy()
        self._touched.array[:] = 0
        self.call("flush_all")
        return table

    def touched_entry(self, linear: int) -> int:
        """Where the page of a linear address is in what :meth:`take_touched` gives."""
        page = (linear & MASK64) >> 12
        return (page ^ page >> 16 ^ page >> 32) & (k.TOUCHED - 1)

    def all_pages_written(self) -> None:
        """RAM was written from outside, no matter where."""
        self.page_flags[self.ram.touched()] |= k.PAGE_DIRTY

    def pages_replaced(self, pages: np.ndarray) -> None:
        """RAM pages were overwritten from outside."""
        self._invalidate(pages[self.page_flags[pages] & k.PAGE_CODE != 0])
