"""IR of a region: several blocks of cells as one function, guest registers in SSA values.

A region only ever takes the fast path. Whatever is unusual - a TLB miss, an exception, a cold micro-op, a jump out -
goes on in the interpreter at exactly that cell, after the registers have been written back; so there is one place where
each of these is done, and an exit from the middle of an instruction is as exact as one between two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitrr.engine.cells import CELL_SIZE
from jitrr.engine.constants import JC_ENTRY, JC_SIZE, READ, TLB_ENTRY, TLB_SIZE, WRITE
from jitrr.engine.frontend import Frontend
from jitrr.engine.interp import METADATA
from jitrr.engine.layout import Layout
from jitrr.microops.emit import Emit, llvm_type
from jitrr.microops.table import Operand, Row

LIKELY = "!prof !0"
#: Engine fields that cannot change while a region runs, and their IR types.
_CONSTANT = {"tlb_salt": "i64", "tlb": "ptr", "jc": "ptr"}


@dataclass(frozen=True)
class Block:
    """``cells``: the head cell and all others; ``patch``, if not 0, is the number of the cell's literal, from 1.
    ``edges``: index of an exit cell -> the blocks it may lead to, each with whether the jump cache must confirm first
    that the target is still mapped there."""

    cells: np.ndarray
    edges: dict[int, list[tuple[int, bool]]]
    #: pc of this block minus pc of the region's first.
    delta: int


@dataclass(frozen=True)
class Region:
    """Blocks by number; the first is the entry. ``pc_bits``: width of pc."""

    blocks: list[Block]
    pc_bits: int


class _Deopt(Exception):
    """The rest of this block is not compiled."""


class RegionEmit(Emit):
    """Emits micro-ops of one region; state lives in stack slots that LLVM promotes to registers."""

    def __init__(self, frontend: Frontend, region: Region):
        super().__init__(frontend.layout)
        self.frontend = frontend
        self.rows = frontend.rows
        self.linear_bits = frontend.linear_bits
        self.region = region
        self.temporaries = frontend.temporaries
        self.slots: dict[int, int] = {}  # offset -> bytes
        self.written: set[int] = set()
        self.exits: dict[tuple[Any, ...], str] = {}
        #: slot -> (bits, value): fields that a sign-extended value will be written to (set_signed).
        self.deferred: dict[int, tuple[int, str]] = {}
        self.exit_deferred: dict[tuple[int, int], dict[int, tuple[int, str]]] = {}
        self.block = 0
        self.index = 0
        self.live: frozenset[int] = frozenset()
        self.live_at: list[frozenset[int]] = []
        self._wide = _wide_ranges(self.layout)

    # -- state --------------------------------------------------------------------------------------------------------
    def slot(self, offset: int) -> tuple[int, int]:
        """(slot start, byte within it) of a CPU block offset."""
        start, size = self.place(offset)
        self.slots[start] = size
        return start, offset - start

    def place(self, offset: int) -> tuple[int, int]:
        """Start and bytes of the slot that an offset is in."""
        size = 16 if any(r.start <= offset < r.stop for r in self._wide) else 8
        return offset & -size, size

    def pointer(self, offset: int) -> str:
        start, byte = self.slot(offset)
        return f"%s{start}" if byte == 0 else self.let(f"getelementptr i8, ptr %s{start}, i64 {byte}")

    def get(self, name: str, w: int = 0, index: int = 0) -> str:
        if name in _CONSTANT:
            return f"%{name}"
        if name == "pc":
            return self.block_pc(self.block)
        stride = self.layout.stride(name)
        return self.read(self.layout[name] + index * stride, w or 8 * stride)

    def set(self, name: str, value: str | int, w: int = 0, index: int = 0) -> None:
        stride = self.layout.stride(name)
        self.write(self.layout[name] + index * stride, w or 8 * stride, value)

    def read(self, offset: int, bits: int) -> str:
        """A value of the CPU block. Slots are always read as a whole: LLVM would make several variables of one that is
        accessed in parts."""
        start, byte = self.slot(offset)
        if start in self.deferred:
            self.settle()
        value = self.let(f"load {_slot_type(self.slots[start])}, ptr %s{start}")
        if self.slots[start] == 8:
            return self.trunc(64, self.bin("lshr", 64, value, 8 * byte) if byte else value, bits)
        if bits == 128:
            return value
        ty = _lanes(bits)
        return self.let(f"extractelement {ty} {self._lanes_of(value, ty)}, i64 {8 * byte // bits}")

    def write(self, offset: int, bits: int, value: str | int) -> None:
        """Change a value of the CPU block."""
        start, byte = self.slot(offset)
        self.written.add(start)
        if start in self.deferred:
            self.settle()
        size = self.slots[start]
        if bits < 8 * size:
            whole = self.let(f"load {_slot_type(size)}, ptr %s{start}")
            value = self._word(whole, byte, bits, value) if size == 8 else self._lane(whole, byte, bits, value)
        self.line(f" store {_slot_type(size)} {value}, ptr %s{start}")

    def _word(self, whole: str, byte: int, bits: int, value: str | int) -> str:
        """64 bits with some of them changed."""
        wide = self.let(f"zext i{bits} {value} to i64")
        wide = self.bin("shl", 64, wide, 8 * byte) if byte else wide
        rest = ~(((1 << bits) - 1) << 8 * byte)
        return self.bin("or", 64, self.bin("and", 64, whole, rest), wide)

    def _lane(self, whole: str, byte: int, bits: int, value: str | int) -> str:
        """128 bits with a lane of them changed."""
        ty = _lanes(bits)
        lanes = self._lanes_of(whole, ty)
        lanes = self.let(f"insertelement {ty} {lanes}, i{bits} {value}, i64 {8 * byte // bits}")
        return lanes if bits == 64 else self.let(f"bitcast {ty} {lanes} to <2 x i64>")

    def _lanes_of(self, value: str, ty: str) -> str:
        return value if ty == "<2 x i64>" else self.let(f"bitcast <2 x i64> {value} to {ty}")

    def set_signed(self, name: str, w: int, value: str) -> None:
        start = self.slot(self.layout[name])[0]
        self.written.add(start)
        self.deferred[start] = w, value

    def settle(self) -> None:
        """Write what was put off."""
        deferred, self.deferred = self.deferred, {}
        for start, (w, value) in deferred.items():
            self.line(f" store i64 {self.sext(w, value)}, ptr %s{start}")

    def block_pc(self, number: int) -> str:
        """Virtual pc of a block's start."""
        delta = self.region.blocks[number].delta
        if delta == 0:
            return "%pc"
        pc = self.bin("add", 64, "%pc", str(delta))
        bits = self.region.pc_bits
        return pc if bits == 64 else self.bin("and", 64, pc, (1 << bits) - 1)

    def pc_here(self) -> str:
        return self.bin("add", 64, self.block_pc(self.block), str(int(self.cell()["off"])))

    def icount_here(self) -> str:
        left = self.bin("add", 64, self.let("load i64, ptr %ic.slot"), str(int(self.cell()["uncount"])))
        limit_at = self.let(f"getelementptr i8, ptr %cpu, i64 {self.layout['limit']}")
        return self.bin("sub", 64, self.let(f"load i64, ptr {limit_at}"), left)

    # -- leaving ------------------------------------------------------------------------------------------------------
    def cell(self) -> Any:
        return self.region.blocks[self.block].cells[self.index]

    def exit_label(self) -> str:
        """Label of the way out at the current cell."""
        key = (self.block, self.index)
        if key not in self.exits:
            self.exits[key] = f"x{self.block}_{self.index}"
            self.exit_live[key] = self.live
            self.exit_deferred[key] = dict(self.deferred)
        return self.exits[key]

    exit_live: dict[tuple[int, int], frozenset[int]]

    def leave_unless(self, condition: str) -> None:
        """Go on in the interpreter at this cell unless ``condition`` holds."""
        go = self.label()
        self.line(f" br i1 {condition}, label %{go}, label %{self.exit_label()}, {LIKELY}\n{go}:")

    def raise_if(self, condition: str, vector: int, error: int | str = -1) -> None:
        self.leave_unless(self.bin("xor", 1, condition, "true"))

    def rarely(self, condition: str, body: Callable[[], None]) -> None:
        self.leave_unless(self.bin("xor", 1, condition, "true"))

    def unless(self, sure: str, w: int, value: str, helper: str, *args: str | int) -> str:
        self.leave_unless(sure)
        return value

    def only_if(self, sure: str, helper: str, *args: str | int) -> None:
        self.leave_unless(sure)

    def peek(self, w: int, address: str) -> tuple[str, str]:
        return "true", self.load(w, address)

    def plain_helper(self, name: str, *args: str | int) -> str:
        raise _Deopt

    def helper(self, name: str, *args: str | int) -> str:
        raise _Deopt

    # -- guest memory -------------------------------------------------------------------------------------------------
    def probe(self, size: int, address: str, tag_at: int) -> str:
        # Tags of 32-bit addresses are compared as such: their mask is a short constant then.
        bits, salt = self.linear_bits, self.trunc(64, "%tlb_salt", self.linear_bits)
        last = self.trunc(64, address, bits)
        if size > 1:
            last = self.bin("add", bits, last, size - 1)
        want = self.bin("or", bits, self.bin("and", bits, last, -4096), salt)
        index = self.bin("and", 64, self.bin("lshr", 64, address, 12), TLB_SIZE - 1)
        entry = self.let(f"getelementptr [{TLB_ENTRY} x i8], ptr %tlb, i64 {index}")
        tag_pointer = entry if tag_at == 0 else self.let(f"getelementptr i8, ptr {entry}, i64 {tag_at}")
        tag = self.let(f"load i{bits}, ptr {tag_pointer}, !tbaa !11")
        self.leave_unless(self.icmp("eq", bits, tag, want))
        addend_at = self.let(f"getelementptr i8, ptr {entry}, i64 24")
        addend = self.let(f"load ptr, ptr {addend_at}, !tbaa !11")
        return self.let(f"getelementptr i8, ptr {addend}, i64 {address}")

    def load(self, w: int, address: str, write: bool = False) -> str:
        host = self.probe(w // 8, address, 8 * WRITE if write else 8 * READ)
        return self.let(f"load {llvm_type(w)}, ptr {host}, align 1, !tbaa !12")

    def store(self, w: int, address: str, value: str) -> None:
        self.line(f" store {llvm_type(w)} {value}, ptr {self.probe(w // 8, address, 8 * WRITE)}, align 1, !tbaa !12")

    # -- micro-ops ----------------------------------------------------------------------------------------------------
    def source(self, operand: Operand) -> str:
        cell = self.cell()
        if operand.field == "i" and cell["patch"]:
            return self.trunc(64, self.literal(int(cell["patch"]) - 1), operand.bits)
        if operand.field == "i":
            return str(_wrap(int(cell["imm"]), operand.bits))
        if operand.pointer:
            raise _Deopt
        return self.read(int(cell[operand.field]), operand.bits)

    def literal(self, number: int) -> str:
        """A constant that is not the same wherever this code is: from the pool, behind the heads."""
        at = self.let(f"getelementptr i8, ptr %pool, i64 {8 * (2 * len(self.region.blocks) + 1 + number)}")
        return self.let(f"load i64, ptr {at}, !tbaa !11")

    def write_dest(self, operand: Operand, value: str) -> None:
        bits = operand.bits
        if bits == 32 and not operand.exact:
            value, bits = self.zext(32, value), 64
        self.write(int(self.cell()[operand.field]), bits, value)

    def plain(self, row: Row) -> Any:
        """Emit one micro-op; the value of a branch row's condition."""
        if row.cold:
            raise _Deopt
        values = [self.source(s) for s in row.sources]
        result = row.body(self, *values)
        if row.dest is not None:
            self.write_dest(row.dest, result)
        return result


def _lanes(bits: int) -> str:
    """128 bits as lanes."""
    return f"<{128 // bits} x i{bits}>"


def _wide_ranges(layout: Layout) -> list[range]:
    names = [name for name, kind in layout.types.items() if kind in ("v128", "f80")]
    return [range(layout[name], layout[name] + 16 * layout.counts[name]) for name in names]


def _wrap(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _live_temporaries(e: RegionEmit, block: Block) -> list[frozenset[int]]:
    """For each cell, the slots of scratch registers that it or a later cell of its instruction reads before writing all
    of them."""
    cells = block.cells
    result: list[frozenset[int]] = [frozenset()] * len(cells)
    live: set[int] = set()
    for i in range(len(cells) - 1, 0, -1):
        cell = cells[i]
        if i + 1 < len(cells) and cells[i + 1]["off"] != cell["off"]:
            live = set()
        row = e.rows[int(cell["op"])]
        if row.kind == "skip" and cells[after := i + 1 + int(cell["imm"])]["off"] == cell["off"]:
            live |= result[after]
        if row.dest is not None:
            start, size = e.place(int(cell[row.dest.field]))
            if row.dest.bits >= 8 * size or (row.dest.bits == 32 and size == 8 and not row.dest.exact):
                live.discard(start)
        for s in row.sources:
            if s.field != "i":
                at = int(cell[s.field])
                if at in e.temporaries:
                    live.add(e.place(at)[0])
        result[i] = frozenset(live)
    return result


def generate(frontend: Frontend, region: Region, name: str) -> str:
    """IR module of a region."""
    e = RegionEmit(frontend, region)
    e.exit_live = {}
    body: list[str] = []
    for number in range(len(region.blocks)):
        e.lines = []
        _block(e, number)
        body += e.lines
    temps = {s for s in e.written if s in e.temporaries}
    lines = [f"define preserve_nonecc void @{name}(ptr %ip, ptr %cpu, i64 %ic) nounwind noimplicitfloat {{\nentry:"]
    lines += _prologue(e)
    lines += body
    lines += _exits(e, temps)
    lines.append("}")
    return "\n".join([*Emit.declarations.values(), *lines]) + METADATA + _TBAA


def _block(e: RegionEmit, number: int) -> None:
    block = e.region.blocks[number]
    e.block, e.index = number, 0
    e.notes = {}
    e.live_at = live = _live_temporaries(e, block)
    e.live = frozenset()
    e.line(f"b{number}:")
    left = e.bin("sub", 64, e.let("load i64, ptr %ic.slot"), int(block.cells[0]["uncount"]))
    e.line(f" store i64 {left}, ptr %ic.slot")
    e.leave_unless(e.icmp("sge", 64, left, 0))
    i = 1
    skips: set[int] = set()  # cells that an earlier one may go on at
    while True:
        e.index, e.live = i, live[i]
        row = e.rows[int(block.cells[i]["op"])]
        if i in skips:
            skips.discard(i)
            e.notes = {}
            e.settle()
            e.line(f" br label %k{number}_{i}\nk{number}_{i}:")
        if row.kind != "plain":
            e.settle()
        if row.kind == "exit":
            if row.name == "poll":
                e.leave_unless(e.icmp("eq", 64, e.frontend.pending(e), 0))
            e.line(f" br label %{_target(e, i)}")
            _tested_edges(e, i)
            return
        if row.kind == "branch":
            condition = e.plain(row)
            e.line(f" br i1 {condition}, label %{_target(e, i + 2)}, label %{_target(e, i + 1)}")
            _tested_edges(e, i + 1)
            _tested_edges(e, i + 2)
            return
        mark, deferred = len(e.lines), dict(e.deferred)
        try:
            value = e.plain(row)
        except _Deopt:
            del e.lines[mark:]
            e.deferred = deferred
            e.line(f" br label %{e.exit_label()}")
            e.deferred = {}
            if not skips:
                return
            i = min(skips)
            e.line(f"d{number}_{i}:")  # nothing leads here but the label's own branch
            continue
        if row.kind == "skip":
            over, go = i + 1 + int(block.cells[i]["imm"]), e.label()
            skips.add(over)
            e.line(f" br i1 {value}, label %k{number}_{over}, label %{go}\n{go}:")
        i += 1


def _target(e: RegionEmit, index: int) -> str:
    """Label for the exit at a cell: a block of the region, a test that leads there, or out."""
    e.index, e.live = index, e.live_at[index]
    edges = e.region.blocks[e.block].edges.get(index)
    if not edges:
        return e.exit_label()
    if not edges[0][1] and e.rows[int(e.cell()["op"])].name != "jump":
        return f"b{edges[0][0]}"
    return f"e{e.block}_{index}"


def _tested_edges(e: RegionEmit, index: int) -> None:
    """Edges that are taken only if the target is where it was: behind the label that :func:`_target` gave."""
    e.index, e.live = index, e.live_at[index]
    edges = e.region.blocks[e.block].edges.get(index, [])
    label = _target(e, index)
    if not label.startswith("e"):
        return
    e.line(f"{label}:")
    jump = e.rows[int(e.cell()["op"])].name == "jump"
    pc = e.source(Operand("a", 64)) if jump else ""
    for number, guarded in edges:
        good = e.icmp("eq", 64, pc, e.block_pc(number)) if jump else "true"
        if guarded:
            test, other = e.label(), e.label()
            e.line(f" br i1 {good}, label %{test}, label %{other}\n{test}:")
            _if_mapped(e, number, other)
            e.line(f"{other}:")
        else:
            other = e.label()
            e.line(f" br i1 {good}, label %b{number}, label %{other}, {LIKELY}\n{other}:")
    e.line(f" br label %{e.exit_label()}")


def _if_mapped(e: RegionEmit, number: int, other: str) -> None:
    """On to a block if its cells are what is at its pc, else to a label. That holds where it has been found under the
    same key (flush epoch and mode); to find it is to have it in the jump cache."""
    key, look, keep = e.get("jc_key"), e.label(), e.label()
    at = e.let(f"getelementptr i8, ptr %pool, i64 {8 * (len(e.region.blocks) + number)}")
    known = e.icmp("eq", 64, e.let(f"load i64, ptr {at}, !tbaa !11"), key)
    e.line(f" br i1 {known}, label %b{number}, label %{look}, {LIKELY}\n{look}:")
    e.line(f" br i1 {_mapped(e, number)}, label %{keep}, label %{other}, {LIKELY}\n{keep}:")
    e.line(f" store i64 {key}, ptr {at}, !tbaa !11\n br label %b{number}")


def _mapped(e: RegionEmit, number: int) -> str:
    """i1: the jump cache has this block's cells at its pc."""
    pc = e.block_pc(number)
    hashed = e.bin("and", 64, e.bin("xor", 64, e.bin("lshr", 64, pc, 2), e.bin("lshr", 64, pc, 14)), JC_SIZE - 1)
    entry = e.let(f"getelementptr [{JC_ENTRY} x i8], ptr %jc, i64 {hashed}")
    same = []
    for at, expected in ((0, pc), (8, e.get("jc_key")), (16, e.let(f"ptrtoint ptr {_head(e, number)} to i64"))):
        value = e.let(f"load i64, ptr {e.let(f'getelementptr i8, ptr {entry}, i64 {at}')}, !tbaa !11")
        same.append(e.icmp("eq", 64, value, expected))
    return e.bin("and", 1, same[0], e.bin("and", 1, same[1], same[2]))


def _head(e: RegionEmit, number: int) -> str:
    at = e.let(f"getelementptr i8, ptr %pool, i64 {8 * number}")
    return e.let(f"load ptr, ptr {at}, !tbaa !11")


def _slot_type(size: int) -> str:
    return "<2 x i64>" if size == 16 else "i64"


def _prologue(e: RegionEmit) -> list[str]:
    """Variables, a look at how often the region has been entered, and the values of what it reads."""
    layout = e.layout
    out = [" %ic.slot = alloca i64"]
    out += [f" %s{offset} = alloca {_slot_type(size)}" for offset, size in sorted(e.slots.items())]
    out += [
        " %pool.at = getelementptr i8, ptr %ip, i64 16\n %pool = load ptr, ptr %pool.at",
        f" %left.at = getelementptr i8, ptr %pool, i64 {16 * len(e.region.blocks)}",
        " %left.old = load i64, ptr %left.at, !tbaa !11\n %left = sub i64 %left.old, 1",
        " store i64 %left, ptr %left.at, !tbaa !11\n %often = icmp eq i64 %left, 0",
        " br i1 %often, label %entered, label %start, !prof !1",
        f"entered:\n %h.at = getelementptr i8, ptr %cpu, i64 {layout['h_entered']}\n %h = load ptr, ptr %h.at",
        " musttail call preserve_nonecc void %h(ptr %ip, ptr %cpu, i64 %ic)\n ret void",
        "start:\n store i64 %ic, ptr %ic.slot",
    ]
    for name, ty in {**_CONSTANT, "pc": "i64"}.items():
        out.append(f" %{name}.at = getelementptr i8, ptr %cpu, i64 {layout[name]}")
        out.append(f" %{name} = load {ty}, ptr %{name}.at")
    for offset, size in sorted(e.slots.items()):
        ty = _slot_type(size)
        out.append(f" %p{offset} = getelementptr i8, ptr %cpu, i64 {offset}")
        out.append(f" %i{offset} = load {ty}, ptr %p{offset}\n store {ty} %i{offset}, ptr %s{offset}")
    out.append(" br label %b0")
    return out


def _exits(e: RegionEmit, temps: set[int]) -> list[str]:
    """The ways out. What they share is there twice: one way goes on in the interpreter at a cell, the other (index 0)
    where a block does not fit the budget."""
    out = []
    ways: dict[bool, list[tuple[str, int, int, int, int]]] = {False: [], True: []}
    for (block, index), label in e.exits.items():
        out.append(f"{label}:")
        for start, (w, value) in e.exit_deferred[(block, index)].items():
            wide = value if w == 64 else f"%{label}.d{start}"
            if w < 64:
                out.append(f" {wide} = sext i{w} {value} to i64")
            out.append(f" store i64 {wide}, ptr %s{start}")
        for offset in sorted(temps & e.exit_live[(block, index)]):
            out += _write_back(e, offset, label)
        out.append(f" br label %out{index == 0:d}")
        source = e.region.blocks[block]
        charged = 0 if index else int(source.cells[0]["uncount"])
        ways[index == 0].append((label, 8 * block, CELL_SIZE * index, source.delta, charged))
    for short, found in ways.items():
        if found:
            out += _out(e, f"out{short:d}", short, found, temps)
    return out


def _write_back(e: RegionEmit, offset: int, label: str) -> list[str]:
    ty = _slot_type(e.slots[offset])
    return [f" %{label}.{offset} = load {ty}, ptr %s{offset}\n store {ty} %{label}.{offset}, ptr %p{offset}"]


def _out(
    e: RegionEmit, label: str, short: bool, ways: list[tuple[str, int, int, int, int]], temps: set[int]
) -> list[str]:
    """Write the state back and go on in the interpreter. ``ways``: (from, place in the pool, cell's offset, pc's
    offset, what was taken from the budget for a block that is not run)."""
    out = [f"{label}:"]
    for name, column in (("head", 1), ("cell", 2), ("delta", 3), ("charged", 4)):
        incoming = ", ".join(f"[ {way[column]}, %{way[0]} ]" for way in ways)
        out.append(f" %{label}.{name} = phi i64 {incoming}")
    for offset in sorted(e.written - temps):
        out += _write_back(e, offset, label)
    out.append(f" %{label}.far = add i64 %pc, %{label}.delta")
    bits = e.region.pc_bits
    pc = f"%{label}.far"
    if bits < 64:
        out.append(f" %{label}.pc = and i64 {pc}, {(1 << bits) - 1}")
        pc = f"%{label}.pc"
    out.append(f" store i64 {pc}, ptr %pc.at")
    out.append(f" %{label}.left = load i64, ptr %ic.slot")
    out.append(f" %{label}.ic = add i64 %{label}.left, %{label}.charged")
    out.append(f" %{label}.bp = getelementptr i8, ptr %pool, i64 %{label}.head")
    out.append(f" %{label}.b = load ptr, ptr %{label}.bp")
    out.append(f" %{label}.c = getelementptr i8, ptr %{label}.b, i64 %{label}.cell")
    handler = f"%{label}.c"
    if short:
        handler = f"%{label}.hp"
        out.append(f" {handler} = getelementptr i8, ptr %cpu, i64 {e.layout['h_short']}")
    out.append(f" %{label}.h = load ptr, ptr {handler}")
    out.append(f" musttail call preserve_nonecc void %{label}.h(ptr %{label}.c, ptr %cpu, i64 %{label}.ic)\n ret void")
    return out


#: Guest memory and the TLB are different memory.
_TBAA = """
!10 = !{!"jitrr"}
!13 = !{!"tlb", !10, i64 0}
!14 = !{!"guest", !10, i64 0}
!11 = !{!13, !13, i64 0}
!12 = !{!14, !14, i64 0}
"""
