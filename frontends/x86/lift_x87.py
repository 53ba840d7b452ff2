"""x87 instructions, by opcode and ModRM (SDM volume 2, appendix A, tables A-7 to A-22), and FXSAVE and FXRSTOR.

The instruction pointer that is kept is that of the instruction's first prefix, the operand pointer its effective
address, and both are set, with the opcode, by every instruction that is not a control instruction, whether it raised
anything or not.
"""

from __future__ import annotations

from collections.abc import Callable

import frontends.x86.ops_x87  # noqa: F401  (its rows are what is emitted here)
from frontends.x86 import state as st
from frontends.x86.lift import LIFTERS, Insn, Undefined
from frontends.x86.simd import GP, POINTERS_64, REAL, WIDE, XMM_16, Simd, bit_set, define
from jitrr.microops.table import Imm, row


class X87:
    """An x87 instruction being lifted."""

    def __init__(self, i: Insn):
        self.i, self.emit = i, i.emit
        simd = Simd(i)  # for its parts: prefixes, memory operand, group
        self.memory, self.is_mem, self.reg, self.index = simd.memory, simd.is_mem, simd.group, simd.modrm & 7
        self.opcode, self.modrm = simd.opcode[0], simd.modrm
        self._offset = -1

    def address(self, size: int, write: bool = False) -> tuple[int, Imm]:
        """Linear address of the memory operand; its effective address is kept for the operand pointer."""
        base, disp = self.i.effective(self.memory)
        if base < st.T or base >= st.T + 128 or disp != Imm(0):
            at = self.i.temp()
            self.emit(f"ea{self.i.address_bits}", at, base, imm=disp)
            base, disp = at, Imm(0)
        self._offset = base
        return self.i.segmented(self.i.segment_of(self.memory), base, disp, size, write)

    def load(self, size: int) -> int:
        """2, 4 or 8 bytes to a scratch register, 10 to the first 80-bit scratch slot."""
        base, disp = self.address(size)
        if size == 10:
            self.emit("ld64", st.FTMP, base, imm=disp)
            self.emit("ld16", st.FTMP + 8, base, imm=disp + 8)
            return st.FTMP
        target = self.i.temp()
        self.emit(f"ld{8 * size}", target, base, imm=disp)
        return target

    def target(self, size: int) -> int:
        """A register with the linear address of the memory operand, to be written."""
        base, disp = self.address(size, True)
        if disp == Imm(0):
            return base
        at = self.i.temp()
        self.emit("ea64", at, base, imm=disp)
        return at

    def note(self) -> None:
        """Keep opcode and pointers."""
        opcode = (self.opcode & 7) << 8 | self.modrm
        if self._offset >= 0:
            self.emit("x87_note_mem", 0, self._offset, imm=opcode)
        else:
            self.emit("x87_note", imm=opcode)


Lift = Callable[[X87], None]
#: (first opcode byte, /reg) for memory operands; (first opcode byte, ModRM) for registers. ``control``: does not change
#: the pointers; ``waits``: looks for a pending exception first.
MEMORY: dict[tuple[int, int], tuple[Lift, bool, bool]] = {}
REGISTER: dict[tuple[int, int], tuple[Lift, bool, bool]] = {}


def with_memory(opcode: int, reg: int, lift: Lift, *, control: bool = False, waits: bool = True) -> None:
    """Declare an instruction with a memory operand."""
    MEMORY[opcode, reg] = lift, control, waits


def with_register(
    opcode: int, modrm: int, lift: Lift, *, every: bool = True, control: bool = False, waits: bool = True
) -> None:
    """Declare an instruction without memory operand; ``every``: for all eight ST(i)."""
    for n in range(8 if every else 1):
        REGISTER[opcode, modrm + n] = lift, control, waits


def lift_x87(i: Insn) -> None:
    """Lift an instruction of the opcodes D8 to DF. Raises Undefined for one that is not in the tables."""
    x = X87(i)
    found = MEMORY.get((x.opcode, x.reg)) if x.is_mem else REGISTER.get((x.opcode, x.modrm))
    if found is None or i.lock:
        raise Undefined
    lift, control, waits = found
    if i.mode & st.MODE_NOFPU:
        i.emit("x86_x87_gate")
    if waits:
        i.emit("x87_wait")
    lift(x)
    if not control:
        x.note()


def simple(row_name: str) -> Lift:
    return lambda x: x.emit(row_name)


# -- arithmetic and comparison ---------------------------------------------------------------------------------------

#: Operation by /reg, and the row's name suffix and bytes of the memory operand by opcode.
_ARITHMETIC = {0: "add", 1: "mul", 4: "sub", 5: "subr", 6: "div", 7: "divr"}
_SOURCES = {0xD8: ("m32", 4), 0xDA: ("i32", 4), 0xDC: ("m64", 8), 0xDE: ("i16", 2)}


def _memory_operand(name: str, form: str, size: int, pops: int | None) -> Lift:
    """``pops``: of a comparison."""
    return lambda x: x.emit(f"x87_{name}_{form}", 0, x.load(size), imm=(pops or 0) << 8)


def _to_top(name: str) -> Lift:
    return lambda x: x.emit(f"x87_{name}", imm=x.index << 4)


def _to_register(name: str, pops: int) -> Lift:
    return lambda x: x.emit(f"x87_{name}", imm=x.index | pops << 8)


for _opcode, (_form, _size) in _SOURCES.items():
    for _reg, _name in _ARITHMETIC.items():
        with_memory(_opcode, _reg, _memory_operand(_name, _form, _size, None))
    with_memory(_opcode, 2, _memory_operand("com", _form, _size, 0))
    with_memory(_opcode, 3, _memory_operand("com", _form, _size, 1))
for _reg, _name in _ARITHMETIC.items():
    with_register(0xD8, 0xC0 | _reg << 3, _to_top(_name))
    _other = _name if _reg < 4 else _ARITHMETIC[_reg ^ 1]  # of two with a direction, the other one is encoded
    with_register(0xDC, 0xC0 | _reg << 3, _to_register(_other, 0))
    with_register(0xDE, 0xC0 | _reg << 3, _to_register(_other, 1))


def _compare(name: str, pops: int) -> Lift:
    return lambda x: x.emit(f"x87_{name}", imm=x.index << 4 | pops << 8)


for _opcode, _modrm, _name, _pops in (
    (0xD8, 0xD0, "com", 0), (0xD8, 0xD8, "com", 1), (0xDC, 0xD0, "com", 0), (0xDC, 0xD8, "com", 1),
    (0xDE, 0xD0, "com", 1), (0xDD, 0xE0, "ucom", 0), (0xDD, 0xE8, "ucom", 1), (0xDB, 0xE8, "ucomi", 0),
    (0xDB, 0xF0, "comi", 0), (0xDF, 0xE8, "ucomi", 1), (0xDF, 0xF0, "comi", 1),
):  # fmt: skip
    with_register(_opcode, _modrm, _compare(_name, _pops))
with_register(0xDE, 0xD9, _compare("com", 2), every=False)
with_register(0xDA, 0xE9, _compare("ucom", 2), every=False)

for _modrm, _name in {
    0xE0: "chs", 0xE1: "abs", 0xE4: "tst", 0xE5: "xam", 0xF0: "2xm1", 0xF1: "yl2x", 0xF2: "ptan", 0xF3: "patan",
    0xF4: "xtract", 0xF9: "yl2xp1", 0xFA: "sqrt", 0xFB: "sincos", 0xFC: "rndint", 0xFE: "sin", 0xFF: "cos",
    0xE8: "ld1", 0xE9: "ldl2t", 0xEA: "ldl2e", 0xEB: "ldpi", 0xEC: "ldlg2", 0xED: "ldln2", 0xEE: "ldz",
}.items():  # fmt: skip
    with_register(0xD9, _modrm, simple(f"x87_{_name}"), every=False)


def _with_next(name: str) -> Lift:
    """ST by ST(1)."""
    return lambda x: x.emit(f"x87_{name}", imm=1 << 4)


for _modrm, _name in ((0xF5, "prem1"), (0xF8, "prem"), (0xFD, "scale")):
    with_register(0xD9, _modrm, _with_next(_name), every=False)


# -- loads, stores, moves --------------------------------------------------------------------------------------------


def _load(form: str, size: int) -> Lift:
    return lambda x: x.emit(f"x87_ld_{form}", 0, x.load(size))


def _store(form: str, size: int, pops: int) -> Lift:
    return lambda x: x.emit(f"x87_st_{form}", 0, x.target(size), imm=pops)


for _opcode, _reg, _form, _size in ((0xD9, 0, "m32", 4), (0xDD, 0, "m64", 8), (0xDB, 5, "m80", 10), (0xDF, 0, "i16", 2),
                                    (0xDB, 0, "i32", 4), (0xDF, 5, "i64", 8), (0xDF, 4, "bcd", 10)):  # fmt: skip
    with_memory(_opcode, _reg, _load(_form, _size))
for _opcode, _reg, _form, _size, _pops in (
    (0xD9, 2, "m32", 4, 0), (0xD9, 3, "m32", 4, 1), (0xDD, 2, "m64", 8, 0), (0xDD, 3, "m64", 8, 1),
    (0xDB, 7, "m80", 10, 1), (0xDF, 2, "i16", 2, 0), (0xDF, 3, "i16", 2, 1), (0xDB, 2, "i32", 4, 0),
    (0xDB, 3, "i32", 4, 1), (0xDF, 7, "i64", 8, 1), (0xDF, 1, "t16", 2, 1), (0xDB, 1, "t32", 4, 1),
    (0xDD, 1, "t64", 8, 1), (0xDF, 6, "bcd", 10, 1),
):  # fmt: skip
    with_memory(_opcode, _reg, _store(_form, _size, _pops))


def _by_index(row_name: str, pops: int = 0) -> Lift:
    return lambda x: x.emit(row_name, imm=x.index | pops << 8)


with_register(0xD9, 0xC0, _by_index("x87_ld"))
with_register(0xDD, 0xD0, _by_index("x87_st"))
with_register(0xDD, 0xD8, _by_index("x87_st", 1))
for _opcode, _modrm in ((0xD9, 0xD8), (0xDF, 0xD0), (0xDF, 0xD8)):
    with_register(_opcode, _modrm, _by_index("x87_st", 1))
for _opcode, _modrm in ((0xD9, 0xC8), (0xDD, 0xC8), (0xDF, 0xC8)):
    with_register(_opcode, _modrm, _by_index("x87_xch"))
for _n, (_true, _false) in enumerate((("b", "ae"), ("z", "nz"), ("be", "a"), ("p", "np"))):
    with_register(0xDA, 0xC0 + 8 * _n, _by_index(f"x87_cmov{_true}"))
    with_register(0xDB, 0xC0 + 8 * _n, _by_index(f"x87_cmov{_false}"))

# -- control ----------------------------------------------------------------------------------------------------------


def _nothing(x: X87) -> None:
    """FNOP, and FENI, FDISI and FSETPM of earlier coprocessors."""


def _store_status_ax(x: X87) -> None:
    value = x.i.temp()
    x.emit("x87_stsw", value)
    x.emit("mov16", st.gpr(0), value)


def _store_status(x: X87) -> None:
    base, disp = x.address(2, True)
    value = x.i.temp()
    x.emit("x87_stsw", value)
    x.emit("st16", 0, base, value, imm=disp)


def _store_control(x: X87) -> None:
    base, disp = x.address(2, True)
    x.emit("st16", 0, base, st.FCW, imm=disp)


def _image(name: str, extra: int, write: bool) -> Lift:
    """FNSTENV and kin: an environment of 14 or 28 bytes, and ``extra`` bytes of registers."""

    def lift(x: X87) -> None:
        wide = x.i.operand_bits != 16
        form = (WIDE if wide else 0) | (REAL if x.i.real else 0)
        size = (28 if wide else 14) + extra
        base, disp = x.address(size, write)
        at = x.i.temp()
        x.emit("ea64", at, base, imm=disp)
        x.emit(f"x87_{name}", 0, at, imm=form)

    return lift


with_register(0xD9, 0xD0, _nothing, every=False)
for _modrm in (0xE0, 0xE1, 0xE4):
    with_register(0xDB, _modrm, _nothing, every=False, control=True, waits=False)
with_register(0xD9, 0xF6, simple("x87_decstp"), every=False)
with_register(0xD9, 0xF7, simple("x87_incstp"), every=False)
with_register(0xDD, 0xC0, _by_index("x87_free"))
with_register(0xDF, 0xC0, _by_index("x87_freep"))
with_register(0xDB, 0xE2, simple("x87_clex"), every=False, control=True, waits=False)
with_register(0xDB, 0xE3, simple("x87_init"), every=False, control=True, waits=False)
with_register(0xDF, 0xE0, _store_status_ax, every=False, control=True, waits=False)
with_memory(0xDD, 7, _store_status, control=True, waits=False)
with_memory(0xD9, 7, _store_control, control=True, waits=False)
with_memory(0xD9, 5, lambda x: x.emit("x87_ldcw", 0, x.load(2)), control=True)
with_memory(0xD9, 4, _image("fldenv", 0, False), control=True)
with_memory(0xD9, 6, _image("fstenv", 0, True), control=True, waits=False)
with_memory(0xDD, 4, _image("frstor", 80, False), control=True)
with_memory(0xDD, 6, _image("fsave", 80, True), control=True, waits=False)


def lift_wait(i: Insn) -> None:
    """WAIT: #NM only when CR0.MP is set too."""
    if i.lock:
        raise Undefined
    if i.mode & st.MODE_NOFPU:
        i.emit("x86_wait_gate")
    i.emit("x87_wait")


#: What Capstone calls them; which one it is says the opcode.
NAMES = """
f2xm1 fabs fadd faddp fbld fbstp fchs fcmovb fcmovbe fcmove fcmovnb fcmovnbe fcmovne fcmovnu fcmovu fcom fcomi fcomp
fcompi fcompp fcos fdecstp fdisi8087_nop fdiv fdivp fdivr fdivrp feni8087_nop ffree ffreep fiadd ficom ficomp fidiv
fidivr fild fimul fincstp fist fistp fisttp fisub fisubr fld fld1 fldcw fldenv fldl2e fldl2t fldlg2 fldln2 fldpi fldz
fmul fmulp fnclex fninit fnop fnsave fnstcw fnstenv fnstsw fpatan fprem fprem1 fptan frndint frstor fscale fsetpm fsin
fsincos fsqrt fst fstp fstpnce fsub fsubp fsubr fsubrp ftst fucom fucomi fucomp fucompi fucompp fxam fxch fxtract
fyl2x fyl2xp1
"""
for _name in NAMES.split():
    LIFTERS[_name] = lift_x87
LIFTERS["wait"] = lift_wait


# -- FXSAVE and FXRSTOR ----------------------------------------------------------------------------------------------


row("x86_fxaligned", "a64", lambda e, a: e.raise_if(bit_set(e, a, 15), GP, 0), cold=True)


def _fx_image(name: str, write: bool) -> Callable[[Simd], None]:
    def lift(s: Simd) -> None:
        form = (POINTERS_64 if s.wide else 0) | (XMM_16 if s.i.bits == 64 else 0)
        base, disp = s.address(512, write)
        at = s.i.temp()
        s.emit("ea64", at, base, imm=disp)
        s.emit("x86_fxaligned", 0, at)
        s.emit(f"x87_{name}", 0, at, imm=form)
        if not write:
            s.i.sync()

    return lift


define("fxsave", "0f ae/0", _fx_image("fxsave", True), memory=True, gate="x86_fxsave_gate")
define("fxrstor", "0f ae/1", _fx_image("fxrstor", False), memory=True, gate="x86_fxsave_gate")
LIFTERS["fxsave64"], LIFTERS["fxrstor64"] = LIFTERS["fxsave"], LIFTERS["fxrstor"]
