"""The threaded interpreter, generated from the micro-op table: one ``tailcc`` handler per row, and the block machinery.

A handler gets the address of its cell, the CPU block and what is left of the budget, and ends in a tail call of the
next cell's handler. The budget is charged for a whole block in its head cell and given back where a block is left
early.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jitrr.engine.cells import CELL_SIZE, H_IMM, H_LINK, H_OFF, H_UNCOUNT
from jitrr.engine.codegen import PASSES
from jitrr.engine.constants import FOR_WRITE, JC_ENTRY, JC_SIZE, READ, TLB_ENTRY, TLB_SIZE, WRITE
from jitrr.engine.exits import Exit
from jitrr.engine.frontend import Frontend
from jitrr.engine.layout import Layout
from jitrr.microops.emit import Emit, llvm_type
from jitrr.microops.table import Operand, Row

SIGNATURE = "ptr %ip, ptr %cpu, i64 %ic"
#: Rounding to nearest, denormals as they are, all exceptions masked: whatever the host program has set up.
DEFAULT_MXCSR = 0x1F80
_FIELD_AT = {"d": 8, "a": 10, "b": 12, "c": 14}
LIKELY, UNLIKELY = "!prof !0", "!prof !1"
METADATA = '\n!0 = !{!"branch_weights", i32 2000, i32 1}\n!1 = !{!"branch_weights", i32 1, i32 2000}\n'


class InterpEmit(Emit):
    """Emits one handler. Operands are found through the cell; a slow access calls its helper and goes on."""

    def __init__(self, layout: Layout, helpers: dict[str, int]):
        super().__init__(layout)
        self.helpers = helpers
        self.ip, self.ic = "%ip", "%ic"

    def cell(self, offset: int, bits: int) -> str:
        at = self.let(f"getelementptr i8, ptr {self.ip}, i64 {offset}")
        return self.let(f"load i{bits}, ptr {at}")

    def operand_pointer(self, operand: Operand) -> str:
        index = self.zext(16, self.cell(_FIELD_AT[operand.field], 16))
        return self.let(f"getelementptr i8, ptr %cpu, i64 {index}")

    def source(self, operand: Operand) -> str:
        if operand.field == "i":
            return self.trunc(64, self.cell(H_IMM, 64), operand.bits)
        pointer = self.operand_pointer(operand)
        if operand.pointer:
            return pointer
        return self.let(f"load {llvm_type(operand.bits)}, ptr {pointer}, align {min(operand.bits // 8, 16) or 1}")

    def write_dest(self, operand: Operand, value: str) -> None:
        bits = operand.bits
        if bits == 32 and not operand.exact:
            value, bits = self.zext(32, value), 64
        self.line(f" store {llvm_type(bits)} {value}, ptr {self.operand_pointer(operand)}")

    def pointer(self, offset: int) -> str:
        return self.let(f"getelementptr i8, ptr %cpu, i64 {offset}")

    # -- guest memory -------------------------------------------------------------------------------------------------
    def probe(self, size: int, address: str, tag_at: int) -> tuple[str, str]:
        """(hit, host pointer) of the inline TLB probe."""
        last = self.bin("add", 64, address, size - 1)
        want = self.bin("or", 64, self.bin("and", 64, last, -4096), self.get("tlb_salt"))
        index = self.bin("and", 64, self.bin("lshr", 64, address, 12), TLB_SIZE - 1)
        tlb = self.let(f"load ptr, ptr {self.pointer(self.layout['tlb'])}")
        entry = self.let(f"getelementptr [{TLB_ENTRY} x i8], ptr {tlb}, i64 {index}")
        tag = self.let(f"load i64, ptr {self.let(f'getelementptr i8, ptr {entry}, i64 {tag_at}')}")
        hit = self.icmp("eq", 64, tag, want)
        addend = self.let(f"load ptr, ptr {self.let(f'getelementptr i8, ptr {entry}, i64 24')}")
        return hit, self.let(f"getelementptr i8, ptr {addend}, i64 {address}")

    def load(self, w: int, address: str, write: bool = False) -> str:
        hit, host = self.probe(w // 8, address, 8 * WRITE if write else 8 * READ)
        fast, slow, done = self.label(), self.label(), self.label()
        self.line(f" br i1 {hit}, label %{fast}, label %{slow}, {LIKELY}")
        self.line(f"{slow}:")
        low = self.call("slow_load", address, str(w // 8 | (FOR_WRITE if write else 0)))
        low = self.with_upper(low) if w == 128 else self.trunc(64, low, w)
        slow_end, ip, ic = self.after_slow()
        self.line(f" br label %{done}\n{fast}:")
        value = self.let(f"load {llvm_type(w)}, ptr {host}, align 1")
        self.line(f" br label %{done}\n{done}:")
        result = self.let(f"phi {llvm_type(w)} [ {low}, %{slow_end} ], [ {value}, %{fast} ]")
        self.join(slow_end, fast, ip, ic)
        return result

    def store(self, w: int, address: str, value: str) -> None:
        hit, host = self.probe(w // 8, address, 8 * WRITE)
        fast, slow, done = self.label(), self.label(), self.label()
        self.line(f" br i1 {hit}, label %{fast}, label %{slow}, {LIKELY}")
        self.line(f"{slow}:")
        wide = value
        if w == 128:
            wide = self.let(f"extractelement <2 x i64> {value}, i64 0")
            self.set("value_hi", self.let(f"extractelement <2 x i64> {value}, i64 1"))
        elif w < 64:
            wide = self.zext(w, value)
        self.call("slow_store", address, str(w // 8), wide)
        slow_end, ip, ic = self.after_slow()
        self.line(f" br label %{done}\n{fast}:")
        self.line(f" store {llvm_type(w)} {value}, ptr {host}, align 1")
        self.line(f" br label %{done}\n{done}:")
        self.join(slow_end, fast, ip, ic)

    def call(self, helper: str, *args: str) -> str:
        """A slow-path helper: (cpu, args..., ip, ic)."""
        ip = self.let(f"ptrtoint ptr {self.ip} to i64")
        return self.call_raw(helper, *args, ip, self.ic)

    def call_raw(self, helper: str, *args: str | int) -> str:
        slot = self.layout["helpers"] + 8 * self.helpers[helper]
        target = self.let(f"load ptr, ptr {self.pointer(slot)}")
        cpu = self.let("ptrtoint ptr %cpu to i64")
        params = ", ".join(f"i64 {a}" for a in (cpu, *args))
        return self.let(f"call i64 {target}({params})")

    def after_slow(self) -> tuple[str, str, str]:
        """Act on the helper's status; returns (label at which the handler goes on, ip, ic there)."""
        fault, leave, check, done = (self.label() for _ in range(4))
        status = self.get("status")
        ok = self.icmp("eq", 64, status, 0)
        top = self.label()
        self.line(f" br label %{top}\n{top}:")
        self.line(f" br i1 {ok}, label %{done}, label %{check}, {LIKELY}")
        self.line(f"{check}:\n {(bad := self.fresh())} = icmp eq i64 {status}, 1")
        self.line(f" br i1 {bad}, label %{fault}, label %{leave}")
        self.line(f"{fault}:")
        self.tail(self.ip, "@raise_here")
        self.line(f"{leave}:")
        at = self.let(f"call ptr @prepare_leave(ptr {self.ip}, ptr %cpu, i64 {self.ic})")
        left = self.get("ic")
        self.line(f" br label %{done}\n{done}:")
        ip = self.let(f"phi ptr [ {self.ip}, %{top} ], [ {at}, %{leave} ]")
        ic = self.let(f"phi i64 [ {self.ic}, %{top} ], [ {left}, %{leave} ]")
        return done, ip, ic

    def join(self, slow: str, fast: str, ip: str, ic: str) -> None:
        self.ip = self.let(f"phi ptr [ {ip}, %{slow} ], [ {self.ip}, %{fast} ]")
        self.ic = self.let(f"phi i64 [ {ic}, %{slow} ], [ {self.ic}, %{fast} ]")

    # -- exceptions and helpers ---------------------------------------------------------------------------------------
    def raise_if(self, condition: str, vector: int, error: int | str = -1) -> None:
        bad, good = self.label(), self.label()
        self.line(f" br i1 {condition}, label %{bad}, label %{good}, {UNLIKELY}\n{bad}:")
        self.set("exc_vector", vector)
        self.set("exc_error", error)
        self.tail(self.ip, "@raise_here")
        self.line(f"{good}:")

    def rarely(self, condition: str, body: Callable[[], None]) -> None:
        do, done = self.label(), self.label()
        self.line(f" br i1 {condition}, label %{do}, label %{done}, {UNLIKELY}\n{do}:")
        body()
        self.line(f" br label %{done}\n{done}:")

    def unless(self, sure: str, w: int, value: str, helper: str, *args: str | int) -> str:
        top, slow, done = self.label(), self.label(), self.label()
        self.line(f" br label %{top}\n{top}:\n br i1 {sure}, label %{done}, label %{slow}, {LIKELY}\n{slow}:")
        low = self.call_raw(helper, *args)
        other = self.with_upper(low) if w == 128 else self.trunc(64, low, w)
        self.line(f" br label %{done}\n{done}:")
        return self.let(f"phi {llvm_type(w)} [ {value}, %{top} ], [ {other}, %{slow} ]")

    def only_if(self, sure: str, helper: str, *args: str | int) -> None:
        fast, slow = self.label(), self.label()
        self.line(f" br i1 {sure}, label %{fast}, label %{slow}, {LIKELY}\n{slow}:")
        ip, ic = self.ip, self.ic
        self.helper(helper, *args)
        self.next()
        self.ip, self.ic = ip, ic
        self.line(f"{fast}:")

    def peek(self, w: int, address: str) -> tuple[str, str]:
        hit, host = self.probe(w // 8, address, 8 * READ)
        safe = self.let(f"select i1 {hit}, ptr {host}, ptr %cpu")
        return hit, self.let(f"load {llvm_type(w)}, ptr {safe}, align 1")

    def with_upper(self, low: str) -> str:
        """A helper's result of 128 bits: the upper half is in ``value_hi``."""
        vector = self.let(f"insertelement <2 x i64> zeroinitializer, i64 {low}, i64 0")
        return self.let(f"insertelement <2 x i64> {vector}, i64 {self.get('value_hi')}, i64 1")

    def plain_helper(self, name: str, *args: str | int) -> str:
        return self.call_raw(name, *args)

    def helper(self, name: str, *args: str | int) -> str:
        self.set("icount_now", self.icount_here())
        result = self.call_raw(name, *args)
        _, self.ip, self.ic = self.after_slow()
        return result

    def pc_here(self) -> str:
        return self.bin("add", 64, self.get("pc"), self.zext(16, self.cell(H_OFF, 16)))

    def icount_here(self) -> str:
        left = self.bin("add", 64, self.ic, self.zext(16, self.cell(H_UNCOUNT, 16)))
        return self.bin("sub", 64, self.get("limit"), left)

    # -- control ------------------------------------------------------------------------------------------------------
    def tail(self, ip: str, handler: str) -> None:
        self.line(f" musttail call preserve_nonecc void {handler}(ptr {ip}, ptr %cpu, i64 {self.ic})\n ret void")

    def next(self, step: int = CELL_SIZE) -> None:
        ip = self.let(f"getelementptr i8, ptr {self.ip}, i64 {step}")
        self.tail(ip, self.let(f"load ptr, ptr {ip}"))


def handler(layout: Layout, helpers: dict[str, int], row: Row) -> str:
    """IR of the handler of a plain, branch or skip row."""
    e = InterpEmit(layout, helpers)
    values = [e.source(s) for s in row.sources]
    result = row.body(e, *values)
    if row.kind in ("branch", "skip"):
        over: str | int = 2 * CELL_SIZE
        if row.kind == "skip":
            over = e.bin("shl", 64, e.bin("add", 64, e.cell(H_IMM, 64), 1), CELL_SIZE.bit_length() - 1)
        step = e.select(result, 64, over, CELL_SIZE)
        ip = e.let(f"getelementptr i8, ptr {e.ip}, i64 {step}")
        e.tail(ip, e.let(f"load ptr, ptr {ip}"))
    else:
        if row.dest is not None:
            e.write_dest(row.dest, result)
        e.next()
    return function(row_symbol(row), e)


def row_symbol(row: Row) -> str:
    return f"op_{row.name}"


def function(name: str, e: Emit) -> str:
    body = "\n".join(e.lines)
    return f"define preserve_nonecc void @{name}({SIGNATURE}) nounwind {{\n{body}\n}}\n"


def machinery(frontend: Frontend, helpers: dict[str, int]) -> str:
    """Block heads, exits, dispatch, exceptions, and the C entry point."""
    layout = frontend.layout

    def new() -> InterpEmit:
        return InterpEmit(layout, helpers)

    out: list[str] = []

    def emit_exit(e: InterpEmit, reason: Exit) -> None:
        e.set("exit_reason", int(reason))
        e.set("ic", e.ic)
        e.line(f" store ptr {e.ip}, ptr {e.pointer(layout['exit_cell'])}\n ret void")

    def probe_jump_cache(e: InterpEmit, pc: str) -> None:
        """Go to the block at pc (already stored), through the jump cache."""
        hashed = e.bin("and", 64, e.bin("xor", 64, e.bin("lshr", 64, pc, 2), e.bin("lshr", 64, pc, 14)), JC_SIZE - 1)
        table = e.let(f"load ptr, ptr {e.pointer(layout['jc'])}")
        entry = e.let(f"getelementptr [{JC_ENTRY} x i8], ptr {table}, i64 {hashed}")
        at_pc = e.let(f"load i64, ptr {entry}")
        at_key = e.let(f"load i64, ptr {e.let(f'getelementptr i8, ptr {entry}, i64 8')}")
        same = e.bin("and", 1, e.icmp("eq", 64, at_pc, pc), e.icmp("eq", 64, at_key, e.get("jc_key")))
        hit, miss = e.label(), e.label()
        e.line(f" br i1 {same}, label %{hit}, label %{miss}, {LIKELY}\n{hit}:")
        cell = e.let(f"load ptr, ptr {e.let(f'getelementptr i8, ptr {entry}, i64 16')}")
        e.tail(cell, e.let(f"load ptr, ptr {cell}"))
        e.line(f"{miss}:")
        e.tail(e.ip, "@lookup_slow")

    # lookup_slow: pc is stored. A fetch that faults belongs to the next instruction: not if the budget is used up.
    e = new()
    found, lost, fault, translate, made, odd, over, more = (e.label() for _ in range(8))
    e.line(f" br i1 {e.icmp('sle', 64, '%ic', 0)}, label %{over}, label %{more}, {UNLIKELY}\n{over}:")
    emit_exit(e, Exit.BUDGET)
    e.line(f"{more}:")
    cell = e.call_raw("lookup")
    e.line(f" br i1 {e.icmp('ne', 64, cell, 0)}, label %{found}, label %{lost}, {LIKELY}\n{found}:")
    at = e.let(f"inttoptr i64 {cell} to ptr")
    e.tail(at, e.let(f"load ptr, ptr {at}"))
    e.line(f"{lost}:")
    e.line(f" br i1 {e.icmp('eq', 64, e.get('status'), 1)}, label %{fault}, label %{translate}\n{fault}:")
    e.tail("%ip", "@deliver_now")
    e.line(f"{translate}:")
    built = e.call_raw("translate")
    e.line(f" br i1 {e.icmp('ne', 64, built, 0)}, label %{made}, label %{odd}, {LIKELY}\n{made}:")
    at = e.let(f"inttoptr i64 {built} to ptr")
    e.tail(at, e.let(f"load ptr, ptr {at}"))
    e.line(f"{odd}:")
    emit_exit(e, Exit.TRANSLATE)
    out.append(function("lookup_slow", e))

    # deliver_now: an exception is pending, pc and ic are exact (a front end may count it as an instruction)
    e = new()
    e.set("ic", e.ic)
    status = e.call_raw("deliver")
    e.ic = e.get("ic")
    good, bad = e.label(), e.label()
    e.line(f" br i1 {e.icmp('eq', 64, status, 0)}, label %{good}, label %{bad}, {LIKELY}\n{good}:")
    e.tail("%ip", "@resume")
    e.line(f"{bad}:")
    emit_exit(e, Exit.SHUTDOWN)
    out.append(function("deliver_now", e))

    # raise_here: the instruction of this cell faults
    e = new()
    pc = e.pc_here()
    left = e.bin("add", 64, "%ic", e.zext(16, e.cell(H_UNCOUNT, 16)))
    e.set("pc", pc)
    e.ic = left
    e.tail("%ip", "@deliver_now")
    out.append(function("raise_here", e))

    # resume: pc is stored; out if the runtime is wanted, else on
    e = new()
    wanted = e.bin("or", 64, e.bin("and", 64, e.get("leave"), 2), frontend.pending(e))
    stay, go = e.label(), e.label()
    e.line(f" br i1 {e.icmp('ne', 64, wanted, 0)}, label %{go}, label %{stay}, {UNLIKELY}\n{go}:")
    emit_exit(e, Exit.REQUEST)
    e.line(f"{stay}:")
    e.set("leave", 0)
    probe_jump_cache(e, e.get("pc"))
    out.append(function("resume", e))

    # head: charge the block, count it
    e = new()
    n = e.zext(16, e.cell(H_UNCOUNT, 16))
    left = e.bin("sub", 64, "%ic", n)
    short, run = e.label(), e.label()
    e.line(f" br i1 {e.icmp('slt', 64, left, 0)}, label %{short}, label %{run}, {UNLIKELY}\n{short}:")
    e.tail("%ip", "@short")
    e.line(f"{run}:")
    counter_at = e.let(f"getelementptr i8, ptr %ip, i64 {H_IMM}")
    counter = e.bin("sub", 64, e.let(f"load i64, ptr {counter_at}"), 1)
    e.line(f" store i64 {counter}, ptr {counter_at}")
    hot, cool = e.label(), e.label()
    e.line(f" br i1 {e.icmp('eq', 64, counter, 0)}, label %{hot}, label %{cool}, {UNLIKELY}\n{hot}:")
    e.call_raw("became_hot", e.let("ptrtoint ptr %ip to i64"))
    e.line(f" br label %{cool}\n{cool}:")
    e.ic = left
    e.next()
    out.append(function("head", e))

    # entered: a region has been entered often: note it, and run its first block here this once
    e = new()
    left = e.bin("sub", 64, "%ic", e.zext(16, e.cell(H_UNCOUNT, 16)))
    short, run = e.label(), e.label()
    e.line(f" br i1 {e.icmp('slt', 64, left, 0)}, label %{short}, label %{run}, {UNLIKELY}\n{short}:")
    e.tail("%ip", "@short")
    e.line(f"{run}:")
    e.call_raw("became_hot", e.let("ptrtoint ptr %ip to i64"))
    e.ic = left
    e.next()
    out.append(function("entered", e))

    # short: fewer instructions left than the block has
    e = new()
    e.set("sample", e.let("ptrtoint ptr %ip to i64"))
    e.set("sample_pc", e.get("pc"))
    none, some = e.label(), e.label()
    e.line(f" br i1 {e.icmp('sle', 64, '%ic', 0)}, label %{none}, label %{some}\n{none}:")
    emit_exit(e, Exit.BUDGET)
    e.line(f"{some}:")
    n = e.zext(16, e.cell(H_UNCOUNT, 16))
    copy = e.call_raw("truncate_block", e.let("ptrtoint ptr %ip to i64"), "%ic")
    at = e.let(f"inttoptr i64 {copy} to ptr")
    e.ic = e.bin("sub", 64, "%ic", n)
    e.tail(at, e.let(f"load ptr, ptr {at}"))
    out.append(function("short", e))

    # stopped: end of a truncated copy: the rest of the block was not run
    e = new()
    e.set("pc", e.pc_here())
    e.ic = e.bin("add", 64, "%ic", e.zext(16, e.cell(H_UNCOUNT, 16)))
    e.tail("%ip", "@resume")
    out.append(function("stopped", e))

    # stale: the code of this block was written; look it up afresh
    e = new()
    probe_jump_cache(e, e.get("pc"))
    out.append(function("stale", e))

    for suffix, mask in (("", -1), ("32", 0xFFFFFFFF), ("16", 0xFFFF)):
        e = new()
        pc = advance(e, mask)
        link_at = e.let(f"getelementptr i8, ptr %ip, i64 {H_LINK}")
        link = e.let(f"load ptr, ptr {link_at}")
        linked, unlinked = e.label(), e.label()
        test = e.let(f"icmp ne ptr {link}, null")
        e.line(f" br i1 {test}, label %{linked}, label %{unlinked}, {LIKELY}\n{linked}:")
        e.tail(link, e.let(f"load ptr, ptr {link}"))
        e.line(f"{unlinked}:")
        found, lost, look = e.label(), e.label(), e.label()
        e.line(f" br i1 {e.icmp('sle', 64, '%ic', 0)}, label %{lost}, label %{look}\n{look}:")
        cell = e.call_raw("lookup")
        e.line(f" br i1 {e.icmp('ne', 64, cell, 0)}, label %{found}, label %{lost}\n{found}:")
        at = e.let(f"inttoptr i64 {cell} to ptr")
        e.line(f" store ptr {at}, ptr {link_at}")
        e.tail(at, e.let(f"load ptr, ptr {at}"))
        e.line(f"{lost}:")
        e.tail("%ip", "@lookup_slow")
        out.append(function(f"op_goto{suffix}", e))

        e = new()
        probe_jump_cache(e, advance(e, mask))
        out.append(function(f"op_gofar{suffix}", e))

    e = new()
    pc = e.source(Operand("a", 64))
    e.set("pc", pc)
    probe_jump_cache(e, pc)
    out.append(function("op_jump", e))

    e = new()
    e.tail("%ip", "@resume")
    out.append(function("op_dispatch", e))

    for name in ("op_sync", "op_poll"):
        e = new()
        advance(e, -1)
        e.tail("%ip", "@resume")
        out.append(function(name, e))

    e = new()
    advance(e, -1)
    e.set("exit_reason", e.zext(16, e.cell(10, 16)))
    e.set("ic", e.ic)
    e.line(f" store ptr %ip, ptr {e.pointer(layout['exit_cell'])}\n ret void")
    out.append(function("op_leave", e))

    e = new()
    e.set("pc", e.pc_here())
    e.ic = e.bin("add", 64, "%ic", e.zext(16, e.cell(H_UNCOUNT, 16)))
    emit_exit(e, Exit.MISSING)
    out.append(function("op_missing", e))

    # cross: the first cell of a block whose only instruction crosses its page: is the second page still where it was?
    e = new()
    linear = e.bin("and", 64, e.bin("add", 64, e.get("code_base"), e.get("pc")), -4096)
    phys = e.call_raw("check_exec", e.bin("and", 64, e.bin("add", 64, linear, 4096), e.get("linear_mask")))
    _, e.ip, e.ic = e.after_slow()
    same, moved = e.label(), e.label()
    e.line(f" br i1 {e.icmp('eq', 64, phys, e.cell(H_IMM, 64))}, label %{same}, label %{moved}, {LIKELY}\n{moved}:")
    same_ic, e.ic = e.ic, e.bin("add", 64, e.ic, 1)
    emit_exit(e, Exit.CROSS)
    e.line(f"{same}:")
    e.ic = same_ic
    e.next()
    out.append(function("op_cross", e))

    # break: the first cell of a block where a breakpoint may be
    e = new()
    linear = e.bin("and", 64, e.bin("add", 64, e.get("code_base"), e.get("pc")), e.get("linear_mask"))
    e.set("icount_now", e.icount_here())
    hit, on = e.label(), e.label()
    e.line(f" br i1 {e.icmp('ne', 64, e.call_raw('at_breakpoint', linear), 0)}, label %{hit}, label %{on}\n{hit}:")
    charged = e.ic
    e.ic = e.bin("add", 64, charged, e.zext(16, e.cell(H_UNCOUNT, 16)))
    emit_exit(e, Exit.BREAK)
    e.line(f"{on}:")
    e.ic = charged
    e.next()
    out.append(function("op_break", e))

    # prepare_leave: go on in a copy of this instruction's remaining cells that ends in ``stopped``
    e = new()
    e.set("ic", "%ic")
    e.call_raw("copy_rest", e.let("ptrtoint ptr %ip to i64"))
    at = e.let(f"inttoptr i64 {e.get('value')} to ptr")
    e.line(f" ret ptr {at}")
    text = "\n".join(e.lines)
    out.append(f"define internal ptr @prepare_leave({SIGNATURE}) noinline nounwind {{\n{text}\n}}\n")

    e = new()
    e.ic = e.get("ic")
    Emit.declarations["llvm.x86.sse.ldmxcsr"] = "declare void @llvm.x86.sse.ldmxcsr(ptr)"
    Emit.declarations["llvm.x86.sse.stmxcsr"] = "declare void @llvm.x86.sse.stmxcsr(ptr)"
    host = e.pointer(layout["host_mxcsr"])
    if frontend.host_fp:
        mxcsr = e.pointer(layout[frontend.host_fp])
    else:
        mxcsr = e.let("alloca i32")
        e.line(f" store i32 {DEFAULT_MXCSR}, ptr {mxcsr}")
    e.line(f" call void @llvm.x86.sse.stmxcsr(ptr {host})\n call void @llvm.x86.sse.ldmxcsr(ptr {mxcsr})")
    e.line(f" call preserve_nonecc void @resume(ptr null, ptr %cpu, i64 {e.ic})")
    e.line(f" call void @llvm.x86.sse.stmxcsr(ptr {mxcsr})\n call void @llvm.x86.sse.ldmxcsr(ptr {host})")
    text = "\n".join(e.lines)
    out.append(f"define void @enter(ptr %cpu) nounwind {{\n{text}\n ret void\n}}\n")
    return "\n".join(out)


def advance(e: InterpEmit, mask: int) -> str:
    """pc += imm (masked); returns the new pc."""
    pc = e.bin("add", 64, e.get("pc"), e.cell(H_IMM, 64))
    if mask != -1:
        pc = e.bin("and", 64, pc, mask)
    e.set("pc", pc)
    return pc


@dataclass(frozen=True)
class Part:
    """One module of the interpreter, the symbols it gives, and LLVM's passes over it."""

    text: str
    symbols: list[str]
    passes: Sequence[str]


#: Symbols besides ``op_*`` that the engine needs the addresses of.
SPECIAL = ("head", "entered", "stale", "stopped", "short", "resume", "enter")
#: Parts that the hot and the cold rows are split into, so that several processes can compile them.
SPLIT, COLD_SPLIT = 4, 2


def generate(frontend: Frontend, helpers: dict[str, int]) -> list[Part]:
    """The whole interpreter as IR modules, each with a copy of the machinery: only ``symbols`` are to be exported."""
    layout = frontend.layout
    machine = machinery(frontend, helpers)
    plain = [row for row in frontend.rows if row.kind != "exit"]
    hot, cold = [row for row in plain if not row.cold], [row for row in plain if row.cold]
    groups: list[tuple[list[Row], Sequence[str]]] = [(hot[first::SPLIT], PASSES) for first in range(SPLIT)]
    groups += [(cold[first::COLD_SPLIT], ()) for first in range(COLD_SPLIT)]
    bodies = [[handler(layout, helpers, row) for row in group] for group, _ in groups]
    exits = [*(row_symbol(row) for row in frontend.rows if row.kind == "exit"), *SPECIAL]
    return [
        Part(
            "\n".join([*Emit.declarations.values(), *body, machine]) + METADATA,
            [*(row_symbol(row) for row in group), *(exits if number == 0 else ())],
            passes,
        )
        for number, ((group, passes), body) in enumerate(zip(groups, bodies, strict=True))
    ]
