"""The CPU block: one contiguous record of the running processor, declared once, for front ends, code emission and
helpers.

Every architecture starts from the engine's own fields (:data:`ENGINE_FIELDS`, :data:`PROCESSOR_FIELDS`) and adds its
registers. Offsets fit 16 bits, because a micro-op cell names its operands by offset.
"""

from __future__ import annotations

import numpy as np

from jitrr.engine.constants import PHYSICAL_WATCHES, WATCHES

#: Widths in bytes of the field types.
SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "v128": 16, "f80": 16}
MAX_SIZE = 16384
#: Ranges of guest physical addresses that are RAM or ROM, at most.
MAPPED_RANGES = 5
HELPER_SLOTS = 256


class Layout:
    """Names, types and offsets of one architecture's CPU block."""

    def __init__(self) -> None:
        #: Where what each processor has of its own begins; it goes on to ``size``.
        self.own = 0
        self.offsets: dict[str, int] = {}
        self.types: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.size = 0

    def add(self, name: str, kind: str = "u64", count: int = 1) -> int:
        """Append ``count`` fields of ``kind`` under one name; returns the offset of the first."""
        size = SIZES[kind]
        offset = -(-self.size // size) * size
        if name in self.offsets:
            raise ValueError(f"CPU block field {name} is declared twice")
        self.offsets[name], self.types[name], self.counts[name] = offset, kind, count
        self.size = offset + size * count
        if self.size > MAX_SIZE:
            raise ValueError("CPU block is full")
        return offset

    def __getitem__(self, name: str) -> int:
        return self.offsets[name]

    def stride(self, name: str) -> int:
        """Bytes from one element of field ``name`` to the next."""
        return SIZES[self.types[name]]

    def dtype(self) -> np.dtype:
        """The block as a numpy structured type (v128 and f80 as two u64)."""
        plain = {"u8": "u1", "u16": "u2", "u32": "u4", "u64": "u8"}
        formats = []
        for name, kind in self.types.items():
            n = self.counts[name]
            if kind in plain:
                formats.append(plain[kind] if n == 1 else f"({n},)u{SIZES[kind]}")
            else:
                formats.append("(2,)u8" if n == 1 else f"({n},2)u8")
        offsets = list(self.offsets.values())
        return np.dtype({"names": list(self.types), "formats": formats, "offsets": offsets, "itemsize": MAX_SIZE})


#: name -> meaning. All u64. Host pointers are never part of a digest or a checkpoint.
ENGINE_FIELDS = {
    "ic": "instructions left in the budget, on entry and exit",
    "limit": "icount at which the budget is used up: icount = limit - ic",
    "exit_reason": "why generated code came back (exits.Exit)",
    "exit_arg": "detail of the reason",
    "exit_cell": "cell at which it came back",
    "status": "of the last helper: 0 done, 1 exception pending, 2 leave after this instruction, 3 not translated",
    "value": "result of a slow load, low half",
    "value_hi": "result of a slow load, high half (128 bit)",
    "leave": "leave after this instruction: bit 0 to look the next one up afresh, bit 1 to the runtime",
    "exc_vector": "pending exception",
    "exc_error": "its error code, or -1",
    "exc_address": "its fault address",
    "last_epoch": "the last one given to a context",
    "ram": "host address of guest RAM",
    "ram_size": "bytes of guest RAM",
    "page_flags": "one byte per RAM page (softmmu.PAGE_*)",
    "code_lines": "one u64 per RAM page: bit per 64-byte line that holds translated code",
    "smc": "list of pages whose code was written: count, then page numbers",
    "block_table": "open-addressed table of key, cell",
    "block_mask": "its size - 1",
    "cells": "where the next block's cells go",
    "cells_end": "no block begins from here on",
    "block_modes": "256 u64: build_block's ``mode`` for each translation mode, 0: not known yet",
    "split": "room for what the splitter says of an instruction",
    "new_blocks": "blocks that Python has not taken note of: count, then head cell and key of each",
    "cuts": "4,097 u16: how many page offsets below each are those of breakpoints",
    "scratch": "room for a truncated copy of a block's cells",
    "hot": "queue of head cells that became hot, each with its pc",
    "hot_count": "entries in it",
    "hot_reset": "executions of a block before it is queued",
    "sample": "head cell of the block in which the budget was used up last",
    "sample_pc": "its pc",
    "handlers": "table of the rows' handlers",
    "templates": "open-addressed table of instruction templates",
    "template_mask": "its size - 1",
    "h_head": "handler of a block's head cell",
    "h_stale": "handler of the head cell of a block whose code was written",
    "h_stopped": "handler that ends a truncated copy of a block",
    "h_entered": "handler of a block whose region has been entered often",
    "h_short": "handler for a block longer than the budget",
    "host_mxcsr": "MXCSR of the host program, kept while the guest's or a plain one is loaded",
    "host_call": "entry of Python's callback",
    "io_value": "argument of a device callback",
    "icount_now": "instructions retired before the one that is calling a device",
    "touched": "TOUCHED bytes: what pages of linear addresses were used for (softmmu.touch)",
    "pt_heat": "one byte per RAM page: writes to a page-table page since it was last walked",
    "watches": "watches that may be in use: none from this number on",
    "watch_hits": "bit n: watch n was hit, of those with WATCH_LEAVE; cleared by whoever asked for it",
    "watch_address": "linear address of the access that hit it",
    "watch_at": "instructions retired before the one that made the access",
    "breakpoints": "host address of a debugger's breakpoints, linear addresses, ascending",
    "break_count": "how many",
    "break_passed": "icount at which the breakpoint at break_passed_at does not stop the run",
    "break_passed_at": "its linear address",
    "others": "whether another processor can run: waiting ends the turn of this one",
    "yielded": "1: the running processor has given up its turn",
    "shootdowns": "times that translations of every processor were forgotten (contexts.flush_all)",
}
#: The same, but each processor has its own: with a front end's fields, this is what Engine.select puts in and aside.
PROCESSOR_FIELDS = {
    "pc": "virtual pc of the running block's first instruction (exact outside generated code)",
    "irq": "interrupts that wait, as bits of the front end's choice (Frontend.pending)",
    "shadow": "icount at which interrupts are held off for one instruction (after STI, MOV SS)",
    "mode": "what a block's translation depends on besides its bytes",
    "jc_key": "validates jump-cache entries: flush epoch << 16 | mode",
    "jc": "jump cache: JC_SIZE entries of pc, key, cell, 0",
    "tlb": "TLB in use: TLB_SIZE entries of read tag, write tag, execute tag, addend",
    "tlb_salt": "flush epoch, in the low 11 bits of each tag",
    "tlb_base": "first of the TLBs of the context in use (one per privilege)",
    "tlb_all": "first of the TLBs of all contexts",
    "last_salt": "the last flush epoch given to a context",
    "contexts": "table of CONTEXTS address spaces whose translations are kept (jitrr.engine.contexts)",
    "context": "number of the one in use",
    "context_time": "times that it was switched",
    "jc_epoch": "jump-cache epoch of the context in use",
    "linear_mask": "all ones, or 2**32 - 1 where linear addresses wrap at 4 GiB",
    "code_base": "linear address of pc 0 (x86: base of CS)",
}
#: name -> meaning. WATCHES u64 each: the table of watched linear addresses (softmmu.set_watch).
WATCH_FIELDS = {
    "watch_start": "first address",
    "watch_size": "bytes",
    "watch_kind": "1 << READ | 1 << WRITE | WATCH_LEAVE; 0: not in use",
}


def new_layout() -> Layout:
    """A layout that holds the engine's fields, the helper table, and a processor's own of the engine's fields."""
    layout = Layout()
    for name in ENGINE_FIELDS:
        layout.add(name)
    for name in ("map_base", "map_size", "map_offset"):  # see physical.locate
        layout.add(name, "u64", MAPPED_RANGES)
    for name in WATCH_FIELDS:
        layout.add(name, "u64", WATCHES)
    for name in ("watch_place", "watch_length", "watch_access"):  # in RAM: first place, bytes, 1 << READ | 1 << WRITE
        layout.add(name, "u64", PHYSICAL_WATCHES)
    layout.add("helpers", "u64", HELPER_SLOTS)
    layout.own = layout.size
    for name in PROCESSOR_FIELDS:
        layout.add(name)
    return layout
