"""What the architecture leaves undefined after an instruction (SDM vol. 2, "Flags Affected" of each), so that it is
not compared.
"""

from __future__ import annotations

from dataclasses import dataclass

from .state import AF, ARITHMETIC, CF, OF, PF, SF, ZF, Case, X86State, disassemble

C0, C1, C2, C3 = 1 << 8, 1 << 9, 1 << 10, 1 << 14


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FLAGS = {
    "mul": SF | ZF | AF | PF, "imul": SF | ZF | AF | PF, "div": ARITHMETIC, "idiv": ARITHMETIC,
    "and": AF, "or": AF, "xor": AF, "test": AF,
    "bsf": CF | OF | SF | AF | PF, "bsr": CF | OF | SF | AF | PF,
    "bt": OF | SF | AF | PF, "bts": OF | SF | AF | PF, "btr": OF | SF | AF | PF, "btc": OF | SF | AF | PF,
    "aaa": OF | SF | ZF | PF, "aas": OF | SF | ZF | PF, "aam": OF | AF | CF, "aad": OF | AF | CF,
    "daa": OF, "das": OF,
}  # fmt: skip

_SHIFTS = frozenset(("shl", "sal", "shr", "sar", "shld", "shrd"))
_ROTATES = frozenset(("rol", "ror", "rcl", "rcr"))

_ALL_CONDITIONS = _names("fldcw fnstcw fnstenv fnstsw fnclex ffree fnop")
_DEFINED_CONDITIONS = _names(
    "fcom fcomp fcompp fucom fucomp fucompp ficom ficomp ftst fxam fcomi fcompi fucomi fucompi fprem fprem1 "
    "frstor fldenv fnsave fninit fxsave fxrstor fxsave64 fxrstor64 wait"
)
_ARGUMENT_REDUCTION = frozenset(("fsin", "fcos", "fsincos", "fptan"))

APPROXIMATE_SSE = frozenset(("rcpps", "rcpss", "rsqrtps", "rsqrtss"))
"""Results with a specified maximum relative error of 1.5 * 2^-12 (SDM vol. 2), not specified bits."""
APPROXIMATE_X87 = frozenset(("f2xm1", "fyl2x", "fyl2xp1", "fpatan", *_ARGUMENT_REDUCTION))
"""Results within one unit in the last place of the true one (SDM vol. 1, 8.3.10), not specified bits."""
UNPREDICTABLE = frozenset(("rdrand",))
_MANY_STORES = _names("fxsave fxsave64 fnsave fnstenv pushal pushaw enter maskmovq maskmovdqu")
_MANY_LOADS = _names("fxrstor fxrstor64 frstor fldenv")


@dataclass(frozen=True)
class Undefined:
    """Bits of RFLAGS and of the x87 status word, and kinds of state, that a result may not be judged by."""

    flags: int = 0
    fsw: int = 0
    gpr: bool = False
    fpu: bool = False
    memory: bool = False


def undefined(case: Case, expected: X86State) -> Undefined:
    """What is undefined in the result of `case`, given the result `expected` of an oracle."""
    text = disassemble(case.code, case.mode).removeprefix("lock ")
    mnemonic, _, operands = text.partition(" ")
    faulted = case.fault is not None
    if mnemonic in _SHIFTS or mnemonic in _ROTATES:
        return _shift(case, mnemonic, operands)
    if mnemonic in ("bsf", "bsr"):
        return Undefined(_FLAGS[mnemonic], gpr=bool(expected.rflags & ZF))
    return Undefined(
        _FLAGS.get(mnemonic, 0),
        _conditions(case, mnemonic, expected),
        mnemonic in UNPREDICTABLE,
        faulted and mnemonic in _MANY_LOADS,
        faulted and mnemonic in _MANY_STORES,
    )


def _shift(case: Case, mnemonic: str, operands: str) -> Undefined:
    """Shifts and rotates: depends on the count and on the operand size."""
    width = _width(operands)
    last = operands.rpartition(", ")[2]
    count = case.state.gpr[1] & 0xFF if last == "cl" and last != operands else _immediate(last)
    count &= 63 if width == 64 else 31
    if count == 0:
        return Undefined()
    overflow = 0 if count == 1 else OF
    if mnemonic in _ROTATES:
        return Undefined(overflow)
    if mnemonic in ("shld", "shrd") and count > width:
        return Undefined(ARITHMETIC, gpr=True, memory=True)
    carry = CF if mnemonic in ("shl", "sal", "shr") and count >= width else 0
    return Undefined(AF | overflow | carry)


def _immediate(operand: str) -> int:
    """A count that is written out; Capstone leaves out the count of the one-operand forms, which is 1."""
    return int(operand, 16) if operand[0].isdigit() else 1


def _width(operands: str) -> int:
    """The size in bits of the first operand, from its name."""
    first = operands.split(",")[0]
    for name, width in (("byte ptr", 8), ("qword ptr", 64), ("dword ptr", 32), ("word ptr", 16)):
        if first.startswith(name):
            return width
    if first in ("al", "ah", "bl", "bh", "cl", "ch", "dl", "dh", "sil", "dil", "spl", "bpl") or first.endswith("b"):
        return 8
    if first.endswith("d") or first[0] == "e":
        return 32
    return 64 if first[0] == "r" and not first.endswith("w") else 16


def _conditions(case: Case, mnemonic: str, expected: X86State) -> int:
    """The undefined condition codes of an x87 instruction (SDM vol. 2, "FPU Flags Affected"); 0 for all others."""
    if mnemonic[0] != "f" or mnemonic in _DEFINED_CONDITIONS or case.fault:
        return 0
    if mnemonic in _ALL_CONDITIONS:
        return C0 | C1 | C2 | C3
    if mnemonic in _ARGUMENT_REDUCTION:
        return C0 | C3 | (C1 if expected.fsw & C2 else 0)
    return C0 | C2 | C3
