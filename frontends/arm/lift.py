"""Lifting one ARM instruction to micro-ops: fields, registers, conditions, exits.

A lifter ``(i: Insn) -> None`` is registered with its encodings by :func:`~frontends.arm.patterns.a32` and
:func:`~frontends.arm.patterns.t32`. It emits what the instruction does if its condition holds and names an exit if it
does not simply end; the condition, ITSTATE and the exits' cells are added around that by :func:`finish`.
"""

from __future__ import annotations

from frontends.arm import flags  # noqa: F401  (declares rows)
from frontends.arm import state as st
from frontends.arm.flags import AL, CONDITIONS
from frontends.arm.patterns import A32, Fields, Pattern
from jitrr.microops.table import P_DISP, P_HERE, P_IMM, P_NEXT, TABLE, Imm, UOp, row

PC, LR, SP = 15, 14, 13
#: What the splitter masks in the key (its S_SHAPE).
MASKED_DISP, MASKED_IMM = 1, 2
#: The condition of an instruction in a block that starts within an IT block: ITSTATE says at run time.
DYNAMIC = 16


class Undefined(Exception):
    """The Undefined exception: not an instruction of this processor, or not in this state."""


class Insn:
    """An instruction being lifted.

    ``itstate``: ITSTATE if it is known, and not 0, at translation. ``masked``, ``disp``, ``imm``: which constants the
    template's key leaves open and what they are here."""

    def __init__(self, pattern: Pattern, word: int, mode: int, itstate: int = 0, masked: int = 0,
                 disp: int = 0, imm: int = 0):  # fmt: skip
        self.pattern, self.word, self.mode, self.itstate = pattern, word, mode, itstate
        self.fields: Fields = pattern.extract(word)
        self.thumb, self.user = bool(mode & st.MODE_THUMB), bool(mode & st.MODE_USER)
        self.big, self.strict = bool(mode & st.MODE_BIG), bool(mode & st.MODE_ALIGN)
        self.length = pattern.bits // 8
        self.cond = self._condition()
        self.uops: list[UOp] = []
        #: How the instruction ends its block: cells of the exit that is taken, or None.
        self.exit: list[UOp] | None = None
        self._masked, self._disp, self._imm = masked, disp, imm
        self._temps = 0

    def _condition(self) -> int:
        if self.pattern.isa == A32:
            return self.word >> 28 if self.pattern.conditional else AL
        if self.mode & st.MODE_IT:
            return DYNAMIC
        return self.itstate >> 4 if self.itstate else AL

    # -- fields -------------------------------------------------------------------------------------------------------
    def __getitem__(self, field: str) -> int:
        return self.fields[field]

    @property
    def in_it(self) -> bool:
        """Within an IT block."""
        return bool(self.itstate or self.mode & st.MODE_IT)

    def must_be_last(self) -> None:
        """Undefined (UNPREDICTABLE) in an IT block unless it is the last instruction there."""
        if self.mode & st.MODE_IT:
            self.emit("arm_it_last")
        elif self.itstate and self.itstate & 15 != 8:
            raise Undefined

    def imm(self, value: int) -> Imm:
        """An immediate whose value here is ``value``."""
        return self._constant(value, MASKED_IMM, self._imm, P_IMM)

    def disp(self, value: int) -> Imm:
        """A displacement whose value here is ``value``."""
        return self._constant(value, MASKED_DISP, self._disp, P_DISP)

    def _constant(self, value: int, mask: int, split: int, patch: int) -> Imm:
        if not self._masked & mask:
            return Imm(value)
        if (value ^ split) & 0xFFFFFFFF:
            raise AssertionError(f"{self.pattern.name} {self.word:x}: {value:#x}, {split:#x} in the splitter")
        return Imm(0, patch)

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
            raise ValueError(f"{self.pattern.name}: out of scratch registers")
        return st.T + 8 * (self._temps - 1)

    def reg(self, number: int) -> int:
        """CPU block offset where a register can be read; the PC reads as this instruction's address + 8 or 4."""
        if number != PC:
            return st.gpr(number)
        t = self.temp()
        self.emit("pcrel32", t, imm=Imm(4 if self.thumb else 8, P_HERE))
        return t

    def target(self, number: int) -> int:
        """CPU block offset where a result goes: for the PC a scratch register, to be followed by :meth:`wrote`."""
        return self.temp() if number == PC else st.gpr(number)

    def wrote(self, number: int, at: int) -> None:
        """A result is in place; for the PC, branch there: interworking in A32 (ALUWritePC), else not."""
        if number != PC:
            return
        self.must_be_last()
        if self.thumb:
            self.emit("and32i", at, at, imm=-2)
            self.jump(at)
        else:
            self.interwork(at)

    def aligned_pc(self) -> int:
        """A scratch register with Align(PC, 4)."""
        t = self.temp()
        self.emit("arm_pc4", t, imm=Imm(4 if self.thumb else 8, P_HERE))
        return t

    # -- exits --------------------------------------------------------------------------------------------------------
    def next(self) -> Imm:
        """The following instruction, from the block's start."""
        return Imm(0, P_NEXT)

    def goto(self, offset: int) -> None:
        """Branch to PC + offset (an immediate)."""
        target = self.imm(offset)
        self.exit = [UOp("goto32", imm=Imm(target.value + (4 if self.thumb else 8), target.patch | P_HERE))]

    def compare_and_branch(self, name: str, register: int, offset: int) -> None:
        """Branch to PC + offset if row ``name`` says so of a register (not in an IT block)."""
        self.emit(name, 0, register)
        self.uops.append(UOp("goto32", imm=self.next()))
        self.goto(offset)

    def jump(self, register: int) -> None:
        """Branch to the address in a scratch register, whose low bits are right."""
        self.exit = [UOp("jump", a=register)]

    def goto_next(self) -> None:
        """End the block here."""
        self.exit = [UOp("goto32", imm=self.next())]

    def interwork(self, register: int) -> None:
        """BXWritePC."""
        t = self.temp()
        self.emit("arm_bx_thumb" if self.thumb else "arm_bx", t, register)
        self.jump(t)

    def sync(self) -> None:
        """End the block after this instruction and look for interrupts and mode changes."""
        self.exit = [UOp("sync", imm=self.next())]

    def dispatch(self) -> None:
        """End the block; a helper has set pc."""
        self.exit = [UOp("dispatch")]

    def leave(self, reason: int) -> None:
        """End the block; out to the runtime with an exit reason, pc behind this instruction."""
        self.exit = [UOp("leave", a=reason, imm=self.next())]


def next_itstate(itstate: int) -> int:
    """ITAdvance (A2.5.2)."""
    return itstate & 0xE0 | itstate << 1 & 0x1F if itstate & 7 else 0


#: Scratch register of :func:`finish`: whether the condition held, or where to go on.
_HELD = st.T + 8 * 15


def finish(i: Insn) -> tuple[list[UOp], bool]:
    """The lifted body within its condition, ITSTATE and exit; whether the block ends."""
    if i.mode & st.MODE_IT:
        return _finish_dynamic(i), True
    if i.exit is not None and i.exit[0].name == "dispatch" and i.cond != AL:
        return _around_dispatch(i, CONDITIONS[i.cond], UOp("arm_it", imm=Imm(next_itstate(i.itstate)))), True
    cells = list(i.uops)
    if not cells and i.exit is None:
        cells.append(UOp("arm_nop"))  # each instruction is somewhere to stop at
    if i.cond != AL and cells:
        cells.insert(0, UOp(f"arm_unless_{CONDITIONS[i.cond]}", imm=Imm(len(cells))))
    if i.itstate and not (i.exit is not None and i.exit[0].name == "dispatch"):
        cells.append(UOp("arm_it", imm=Imm(next_itstate(i.itstate))))
    if i.exit is None:
        return cells, False
    if i.cond != AL and i.exit[0].name != "sync":
        cells += [UOp(f"arm_b{CONDITIONS[i.cond]}"), UOp("goto32", imm=i.next())]
    return cells + i.exit, True


def _around_dispatch(i: Insn, name: str, advance: UOp) -> list[UOp]:
    """A conditional instruction after which a helper has set pc and flags, and ITSTATE with them."""
    assert i.exit is not None
    cells = [UOp(f"arm_test_{name}", _HELD), UOp(f"arm_unless_{name}", imm=Imm(len(i.uops))), *i.uops]
    if i.in_it:
        cells += [UOp("arm_skip_if", a=_HELD, imm=Imm(1)), advance]
    return [*cells, UOp("arm_if", a=_HELD), UOp("sync", imm=i.next()), *i.exit]


def _finish_dynamic(i: Insn) -> list[UOp]:
    """In a block of one instruction whose condition and successor's ITSTATE are known at run time only."""
    body, advance = list(i.uops), UOp("arm_it_advance")
    kind = i.exit[0].name if i.exit is not None else ""
    if kind == "dispatch":
        return _around_dispatch(i, "it", advance)
    if kind == "leave":
        head = [UOp("arm_test_it", _HELD), UOp("arm_unless_it", imm=Imm(len(body))), *body, advance]
        return [*head, UOp("arm_if", a=_HELD), UOp("sync", imm=i.next()), *(i.exit or [])]
    if kind == "jump":
        body.append(UOp("mov64", _HELD, (i.exit or [])[0].a))
    elif kind == "goto32":
        body.append(UOp("pcrel32", _HELD, imm=(i.exit or [])[0].imm))
    head = [UOp("pcrel32", _HELD, imm=i.next()), UOp("arm_unless_it", imm=Imm(len(body))), *body, advance]
    return [*head, UOp("sync", imm=i.next()) if kind == "sync" else UOp("jump", a=_HELD)]


row("arm_skip_if", "a64 i64", lambda e, a, i: e.icmp("ne", 64, a, 0), kind="skip")
row("arm_pc4", "d64 <- i64", lambda e, i: e.bin("and", 64, e.bin("add", 64, e.get("pc"), i), 0xFFFFFFFC))
