"""Lifting one decoded x86 instruction to micro-ops: operands, addresses, and the table of lifters.

A lifter is a function ``(i: Insn) -> None`` registered by :func:`lifts` under Capstone's instruction names; it emits
micro-ops through ``i``. It must not look at displacements and immediates as numbers unless the splitter leaves them
in the key (:meth:`Insn.value`); everything else goes through :class:`~jitrr.microops.table.Imm`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from capstone import x86 as cx

from frontends.x86 import state as st
from jitrr.microops.table import P_DISP, P_IMM, P_NEXT, P_STACK, TABLE, Imm, UOp

Lifter = Callable[["Insn"], None]
LIFTERS: dict[str, Lifter] = {}


class Undefined(Exception):
    """#UD: not an instruction of the announced processor."""


def lifts(*names: str, lockable: bool = False) -> Callable[[Lifter], Lifter]:
    """Register a lifter for Capstone mnemonics (ids by name, e.g. ``"add"``).

    ``lockable``: LOCK is allowed where the destination is in memory; anywhere else it is #UD (SDM volume 2, LOCK)."""

    def register(function: Lifter) -> Lifter:
        def guarded(i: Insn) -> None:
            if i.lock and not (lockable and i.ops and i.is_mem(0)):
                raise Undefined
            function(i)

        for name in names:
            if name in LIFTERS:
                raise ValueError(f"{name} has two lifters")
            LIFTERS[name] = guarded
        return function

    return register


def _register_table() -> dict[int, tuple[int, int]]:
    """Capstone register id -> (CPU block offset, bits)."""
    table: dict[int, tuple[int, int]] = {}
    legacy = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di")
    for n, name in enumerate(legacy):
        table[getattr(cx, f"X86_REG_R{name.upper()}")] = st.gpr(n), 64
        table[getattr(cx, f"X86_REG_E{name.upper()}")] = st.gpr(n), 32
        table[getattr(cx, f"X86_REG_{name.upper()}")] = st.gpr(n), 16
        low = f"{name[0]}l" if n < 4 else f"{name}l"
        table[getattr(cx, f"X86_REG_{low.upper()}")] = st.gpr(n), 8
        if n < 4:
            table[getattr(cx, f"X86_REG_{name[0].upper()}H")] = st.gpr(n) + 1, 8
    for n in range(8, 16):
        for suffix, bits in (("", 64), ("D", 32), ("W", 16), ("B", 8)):
            table[getattr(cx, f"X86_REG_R{n}{suffix}")] = st.gpr(n), bits
    for n in range(16):
        table[getattr(cx, f"X86_REG_XMM{n}")] = st.xmm(n), 128
    return table


REGISTERS = _register_table()
SEGMENTS = {cx.X86_REG_ES: st.ES, cx.X86_REG_CS: st.CS, cx.X86_REG_SS: st.SS, cx.X86_REG_DS: st.DS,
            cx.X86_REG_FS: st.FS, cx.X86_REG_GS: st.GS}  # fmt: skip
_STACK_BASES = {cx.X86_REG_RSP, cx.X86_REG_ESP, cx.X86_REG_SP, cx.X86_REG_RBP, cx.X86_REG_EBP, cx.X86_REG_BP}
_SCALES = {1: 0, 2: 1, 4: 2, 8: 3}


def _name(cs: Any, ops: list[Any]) -> str:
    """The name in :data:`LIFTERS`: Capstone's, and for MOV, PUSH and POP of special registers with ``_seg``,
    ``_cr``, ``_dr``; far transfers through memory are always ``ljmp`` and ``lcall``, and SSE comparisons ``cmpps``
    (Capstone gives some of them the name of another instruction)."""
    name: str = cs.insn_name()
    if cs.opcode[0] == 0x0F and cs.opcode[1] == 0xC2:
        return "cmpps"
    if name in ("jmp", "call") and cs.opcode[0] == 0xFF and (cs.modrm >> 3) & 7 in (3, 5):
        return f"l{name}"
    if name in ("mov", "push", "pop"):
        for o in ops:
            if o.type == cx.X86_OP_REG and o.reg not in REGISTERS:
                kind = "seg" if o.reg in SEGMENTS else ("cr" if cx.X86_REG_CR0 <= o.reg <= cx.X86_REG_CR15 else "dr")
                return f"{name}_{kind}"
    return name


def on_stack(imm: Imm | int = 0) -> Imm:
    """The same constant in a cell that accesses the stack segment."""
    return Imm(imm, P_STACK) if isinstance(imm, int) else Imm(imm.value, imm.patch | P_STACK)


class Insn:
    """An instruction being lifted: Capstone's view of it, the translation mode, and the micro-ops emitted so far."""

    def __init__(self, cs: Any, mode: int, symbolic_disp: bool, symbolic_imm: bool):
        self.cs, self.mode = cs, mode
        self.ops: list[Any] = list(cs.operands)
        self.name: str = _name(cs, self.ops)
        self.bits = (16, 32, 64)[mode & 3]
        self.user, self.flat = bool(mode & st.MODE_USER), bool(mode & st.MODE_FLAT)
        self.real = bool(mode & st.MODE_REAL)
        self.stack_bits = 64 if self.bits == 64 else (32 if mode & st.MODE_SS32 else 16)
        self.address_bits: int = cs.addr_size * 8
        self.symbolic_disp, self.symbolic_imm = symbolic_disp, symbolic_imm
        prefixes = list(cs.prefix)
        self.lock, self.rep, self.repne = prefixes[0] == 0xF0, prefixes[0] == 0xF3, prefixes[0] == 0xF2
        self.opsize_prefix = prefixes[2] == 0x66
        self.rex_w = bool(cs.rex & 8)
        self.uops: list[UOp] = []
        self.ends = False
        self._temps = 0

    # -- emitting -----------------------------------------------------------------------------------------------------
    def emit(self, name: str, d: int = 0, a: int = 0, b: int = 0, c: int = 0, imm: Imm | int = 0) -> None:
        """Append a micro-op. Operands are CPU block offsets."""
        if name not in TABLE:
            raise KeyError(f"no micro-op {name}")
        self.uops.append(UOp(name, d, a, b, c, imm if isinstance(imm, Imm) else Imm(imm)))

    def temp(self) -> int:
        """A scratch 64-bit register (16 an instruction)."""
        self._temps += 1
        if self._temps > 16:
            raise ValueError(f"{self.name}: out of scratch registers")
        return st.T + 8 * (self._temps - 1)

    def release(self, keep: int = 0) -> None:
        """Scratch registers from the ``keep``-th on may be used again."""
        self._temps = keep

    # -- operands -----------------------------------------------------------------------------------------------------
    @property
    def operand_bits(self) -> int:
        """Effective operand size of an integer instruction without operands to tell it (16, 32 or 64)."""
        if self.rex_w:
            return 64
        if self.bits == 16:
            return 32 if self.opsize_prefix else 16
        return 16 if self.opsize_prefix else 32

    def width(self, n: int) -> int:
        """Bits of operand ``n``."""
        return self.ops[n].size * 8

    def is_reg(self, n: int) -> bool:
        return self.ops[n].type == cx.X86_OP_REG

    def is_mem(self, n: int) -> bool:
        return self.ops[n].type == cx.X86_OP_MEM

    def is_imm(self, n: int) -> bool:
        return self.ops[n].type == cx.X86_OP_IMM

    def reg(self, n: int) -> int:
        """CPU block offset of register operand ``n``."""
        return REGISTERS[self.ops[n].reg][0]

    def imm(self) -> Imm:
        """The immediate, sign-extended from its encoded size."""
        if self.symbolic_imm:
            return Imm(0, P_IMM)
        return Imm(self.value())

    def value(self) -> int:
        """The immediate as a number: only for encodings whose immediate is part of the template key."""
        if self.symbolic_imm:
            raise ValueError(f"{self.name}: the immediate is masked in the template key")
        found = [o.imm for o in self.ops if o.type == cx.X86_OP_IMM]
        return found[-1] if found else 0

    def segment_of(self, n: int) -> int:
        """Segment register number a memory operand uses (64-bit mode ignores prefixes, FS's and GS's apart)."""
        mem = self.ops[n].mem
        if mem.segment in SEGMENTS and (self.bits != 64 or SEGMENTS[mem.segment] in (st.FS, st.GS)):
            return SEGMENTS[mem.segment]
        return st.SS if mem.base in _STACK_BASES else st.DS

    def data_segment(self) -> int:
        """Segment register number of an implicit memory operand: DS or the prefix."""
        overrides = {0x26: st.ES, 0x2E: st.CS, 0x36: st.SS, 0x3E: st.DS, 0x64: st.FS, 0x65: st.GS}
        return overrides.get(self.cs.prefix[1], st.DS)

    def effective(self, n: int, extra: int = 0) -> tuple[int, Imm]:
        """Offset part of memory operand ``n`` plus ``extra``: (register offset, constant); no segment base."""
        mem = self.ops[n].mem
        disp = Imm(0, P_DISP) if self.symbolic_disp else Imm(mem.disp)
        if self.symbolic_imm and self.cs.opcode[0] in (0xA0, 0xA1, 0xA2, 0xA3):
            disp = Imm(0, P_IMM)
        disp += extra
        w = self.address_bits
        base, index = mem.base, mem.index
        t = self.temp()
        if base in (cx.X86_REG_RIP, cx.X86_REG_EIP):
            self.emit("pcrel" if w == 64 else "pcrel32", t, imm=Imm(disp.value, disp.patch | P_NEXT))
            return t, Imm(0)
        base_at = REGISTERS[base][0] if base in REGISTERS else None
        index_at = REGISTERS[index][0] if index in REGISTERS else None
        if index_at is not None:
            scale = _SCALES[mem.scale]
            if base_at is not None:
                self.emit(f"ea{w}s{scale}", t, base_at, index_at, imm=disp)
            else:
                self.emit(f"eax{w}s{scale}", t, 0, index_at, imm=disp)
            return t, Imm(0)
        if base_at is None:
            if w == 16:
                self.emit("ea16", t, self.zero(), imm=disp)
            else:
                self.emit(f"movi{w}", t, imm=disp)
            return t, Imm(0)
        if w == 64:
            return base_at, disp
        self.emit(f"ea{w}", t, base_at, imm=disp)
        return t, Imm(0)

    def zero(self) -> int:
        """A scratch register that holds 0."""
        t = self.temp()
        self.emit("movi64", t, imm=0)
        return t

    def address(self, n: int, size: int = 0, write: bool = False, extra: int = 0) -> tuple[int, Imm]:
        """Linear address of memory operand ``n`` (plus ``extra``): (register offset, constant), segment base and
        limit applied.

        ``size``: bytes accessed (default: the operand's), for limit checks where segments are not flat."""
        base, disp = self.effective(n, extra)
        return self.segmented(self.segment_of(n), base, disp, size or self.ops[n].size, write)

    def segmented(self, segment: int, base: int, disp: Imm, size: int, write: bool) -> tuple[int, Imm]:
        """Apply a segment to an offset."""
        if segment == st.SS:
            disp = on_stack(disp)
        if self.bits == 64:
            if segment not in (st.FS, st.GS):
                return base, disp
            t = self.temp()
            self.emit("add64", t, base, st.seg_base(segment))
            return t, disp
        if self.flat and segment not in (st.FS, st.GS) and not (segment == st.CS and write):
            return base, disp
        t = self.temp()
        if disp not in (Imm(0), Imm(0, P_STACK)):
            self.emit("ea32", t, base, imm=disp)
            base = t
        limit, attr = st.SEG_LIMIT + 8 * segment, st.SEG_ATTR + 8 * segment
        self.emit(f"x86_seglimit{size}" + ("w" if write else ""), 0, base, limit, attr, imm=segment)
        self.emit("add32", t, base, st.seg_base(segment))
        return t, Imm(0)

    def read(self, n: int, w: int = 0) -> int:
        """CPU block offset where the value of operand ``n`` can be read (loads memory, materialises immediates)."""
        w = w or self.width(n)
        if self.is_reg(n):
            return self.reg(n)
        t = self.temp()
        if self.is_imm(n):
            self.emit(f"movi{w}", t, imm=self.imm())
        else:
            base, disp = self.address(n, w // 8)
            self.emit(f"ld{w}", t, base, imm=disp)
        return t

    def write(self, n: int, source: int, w: int = 0) -> None:
        """Store register ``source`` to operand ``n``."""
        w = w or self.width(n)
        if self.is_reg(n):
            self.emit(f"mov{w}", self.reg(n), source)
        else:
            base, disp = self.address(n, w // 8, write=True)
            self.emit(f"st{w}", 0, base, source, imm=disp)

    # -- control flow -------------------------------------------------------------------------------------------------
    def goto(self, imm: Imm, w: int = 0) -> None:
        """pc := block start + imm (direct jump), cut to ``w`` bits (the operand size) outside 64-bit mode."""
        wide = "" if self.bits == 64 else str(w or self.operand_bits)
        self.emit(f"goto{wide}", imm=imm)
        self.ends = True

    def target(self) -> Imm:
        """Target of a relative jump, from the block's start."""
        return Imm(0, P_IMM | P_NEXT)

    def next(self) -> Imm:
        """The following instruction, from the block's start."""
        return Imm(0, P_NEXT)

    def sync(self) -> None:
        """End the block after this instruction and look for interrupts and mode changes."""
        self.emit("sync", imm=self.next())
        self.ends = True

    def poll(self) -> None:
        """End the block after this instruction and look for interrupts; the mode is the same unless a slow way of the
        instruction's (Emit.only_if) has changed it."""
        self.emit("poll", imm=self.next())
        self.ends = True

    def dispatch(self) -> None:
        """End the block; a helper has set pc."""
        self.emit("dispatch")
        self.ends = True

    # -- stack --------------------------------------------------------------------------------------------------------
    def stack_at(self, offset: int, w: int, write: bool, base: int = st.gpr(4)) -> tuple[int, Imm]:
        """Linear address of ``w`` bits at SS:[base + offset]: (register offset, constant)."""
        if self.stack_bits == 64:
            return base, Imm(offset, P_STACK)
        t = self.temp()
        self.emit(f"ea{self.stack_bits}", t, base, imm=Imm(offset))
        return self.segmented(st.SS, t, Imm(0), w // 8, write)

    @property
    def flat_stack(self) -> bool:
        """The stack needs no segment and is as wide as the mode: the fused rows apply."""
        return self.stack_bits == 64 or (self.flat and self.stack_bits == 32)

    def push(self, source: int, w: int) -> None:
        """Push ``w`` bits from a register; RSP changes only if the store succeeds."""
        if self.flat_stack:
            self.emit(f"x86_push{w}s{self.stack_bits}", 0, source, imm=on_stack())
            return
        base, disp = self.stack_at(-(w // 8), w, True)
        self.emit(f"st{w}", 0, base, source, imm=disp)
        self.adjust_stack(-(w // 8))

    def adjust_stack(self, by: int | Imm) -> None:
        """RSP += by, in the stack's width."""
        rsp = st.gpr(4)
        self.emit(f"add{self.stack_bits}i", rsp, rsp, imm=by)

    def popped(self, w: int, extra: int | Imm = 0) -> None:
        """RSP += w / 8 + extra, after :meth:`pop`."""
        self.adjust_stack(extra + w // 8)

    def pop(self, target: int, w: int, offset: int = 0) -> None:
        """Load ``w`` bits from SS:[RSP + offset] into a scratch register; :meth:`adjust_stack` comes later."""
        base, disp = self.stack_at(offset, w, False)
        self.emit(f"ld{w}", target, base, imm=disp)
