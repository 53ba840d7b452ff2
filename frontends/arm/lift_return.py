"""Exception returns, and registers of another mode: SUBS PC, LR and its like, LDM and STM with "^", RFE, SRS (DDI
0406C, B9.3).
"""

from __future__ import annotations

from frontends.arm import state as st
from frontends.arm.lift import PC, Insn
from frontends.arm.lift_block import first_offset, registers
from frontends.arm.lift_data import A32_OPS, COMPARES, MOVES, arm_expand, operate_imm, with_shift
from frontends.arm.lift_load import check_alignment, memory_row
from frontends.arm.lift_system import privileged
from frontends.arm.patterns import Fields, a32, t32
from jitrr.microops.table import row

#: pc = a, CPSR = SPSR.
row("arm_exception_return", "a32", lambda e, a: e.helper("exception_return", e.zext(32, a)), cold=True)
#: RFE: from address a; then register i (if it is not -1) is b.
row("arm_rfe", "a64 b64 i64", lambda e, a, b, i: e.helper("return_from_memory", a, i, b), cold=True)
#: SRS: to offset a from the SP of mode i, which then changes by b.
row("arm_srs", "a64 b64 i64", lambda e, a, b, i: e.helper("store_return_state", i, a, b), cold=True)
#: R0..R14 as user mode sees them.
row("arm_get_user", "d32 <- i64", lambda e, i: e.trunc(64, e.helper("read_user_register", i), 32), cold=True)
row("arm_set_user", "a32 i64", lambda e, a, i: e.helper("write_user_register", i, e.zext(32, a)), cold=True)


def leave_exception(i: Insn, target: int) -> None:
    """Return to the address in a scratch register, with CPSR from SPSR: SUBS PC, LR and its like."""
    privileged(i)
    i.emit("arm_exception_return", 0, target)
    i.dispatch()


@t32("1111 0011 1101 1110 1000 1111 iiii iiii", "subs_pc_lr", capstone="subs eret")
def subs_pc_lr(i: Insn) -> None:
    """SUBS PC, LR, #imm8."""
    i.must_be_last()
    t = i.temp()
    i.emit("sub32i", t, st.gpr(14), imm=i["i"])
    leave_exception(i, t)


#: By P and U: where the two words are, from the base.
_PLACE = {(0, 1): 0, (1, 0): -8, (1, 1): 4, (0, 0): -4}


@a32("1111 100p u0w1 nnnn 0000 1010 0000 0000", "rfe", capstone="rfeda rfedb rfeia rfeib", bad=lambda f: f["n"] == 15)
def rfe(i: Insn) -> None:
    """RFE."""
    _rfe(i, i["p"], i["u"])


@t32("1110 1000 00w1 nnnn 1100 0000 0000 0000", "rfe_db", capstone="rfedb", bad=lambda f: f["n"] == 15)
def rfe_db(i: Insn) -> None:
    """RFEDB."""
    _rfe(i, 1, 0)


@t32("1110 1001 10w1 nnnn 1100 0000 0000 0000", "rfe_ia", capstone="rfeia", bad=lambda f: f["n"] == 15)
def rfe_ia(i: Insn) -> None:
    """RFEIA."""
    _rfe(i, 0, 1)


def _rfe(i: Insn, before: int, up: int) -> None:
    privileged(i)
    i.must_be_last()
    at, base, n = i.temp(), i.temp(), i["n"]
    i.emit("add32i", at, st.gpr(n), imm=_PLACE[before, up])
    i.emit("add32i", base, st.gpr(n), imm=8 if up else -8)
    i.emit("arm_rfe", 0, at, base, imm=n if i["w"] else -1)
    i.dispatch()


@a32("1111 100p u1w0 1101 0000 0101 000m mmmm", "srs", capstone="srsda srsdb srsia srsib")
def srs(i: Insn) -> None:
    """SRS."""
    _srs(i, i["p"], i["u"])


@t32("1110 1000 00w0 1101 1100 0000 000m mmmm", "srs_db", capstone="srsdb")
def srs_db(i: Insn) -> None:
    """SRSDB."""
    _srs(i, 1, 0)


@t32("1110 1001 10w0 1101 1100 0000 000m mmmm", "srs_ia", capstone="srsia")
def srs_ia(i: Insn) -> None:
    """SRSIA."""
    _srs(i, 0, 1)


def _srs(i: Insn, before: int, up: int) -> None:
    privileged(i)
    offset, change = i.temp(), i.temp()
    i.emit("movi64", offset, imm=_PLACE[before, up])
    i.emit("movi64", change, imm=(8 if up else -8) if i["w"] else 0)
    i.emit("arm_srs", 0, offset, change, imm=i["m"])


# -- data processing with the PC as result, and flags -----------------------------------------------------------------
def _instead_of_branch(i: Insn) -> None:
    """The operation has been lifted without flags, as a branch: return from an exception there instead."""
    branch = i.uops.pop()
    leave_exception(i, branch.a)


def _returning(number: int, op: str) -> None:
    """The two forms of one operation."""
    n, code = "0000" if op in MOVES else "nnnn", f"{number:04b}"

    @a32(f"cccc 001 {code} 1 {n} 1111 iiiiiiiiiiii", f"{op}_imm_pc", capstone=op)
    def immediate(i: Insn) -> None:
        """With an immediate."""
        operate_imm(i, op, PC, i.fields.get("n", 0), arm_expand(i["i"]), False)
        _instead_of_branch(i)

    @a32(f"cccc 000 {code} 1 {n} 1111 iiiii yy 0 mmmm", f"{op}_reg_pc", capstone=f"{op} lsl lsr asr ror rrx")
    def register(i: Insn) -> None:
        """With a register, shifted by an immediate."""
        with_shift(i, op, PC, i.fields.get("n", 0), i["m"], i["y"], i["i"], False)
        _instead_of_branch(i)


for _number, _op in enumerate(A32_OPS):
    if _op not in COMPARES:
        _returning(_number, _op)


# -- LDM and STM with "^" ---------------------------------------------------------------------------------------------
def _slot(k: int) -> int:
    """Scratch for one of up to 16 registers."""
    return st.V + 8 * k


def _load_all(i: Insn, numbers: list[int], offset: int) -> None:
    base = st.gpr(i["n"])
    check_alignment(i, base, offset, 4, False, always=True)
    for k in range(len(numbers)):
        i.emit(memory_row(i, "arm_ld32"), _slot(k), base, imm=offset + 4 * k)


def _bad_return(f: Fields) -> bool:
    return f["n"] == PC or bool(f["W"] and f["r"] >> f["n"] & 1)


@a32("cccc 100 PU1W1 nnnn 1rrrrrrrrrrrrrrr", "ldm_return", capstone="ldm ldmda ldmdb ldmib pop", bad=_bad_return)
def ldm_return(i: Insn) -> None:
    """LDM with the PC: an exception return."""
    privileged(i)
    mask, n = i["r"] | 1 << PC, i["n"]
    numbers, up = registers(mask), bool(i["U"])
    _load_all(i, numbers, first_offset(mask, up, bool(i["P"])))
    for k, r in enumerate(numbers[:-1]):
        i.emit("mov32", st.gpr(r), _slot(k))
    if i["W"]:
        size = 4 * len(numbers)
        i.emit("arm_addi", st.gpr(n), st.gpr(n), imm=size if up else -size)
    leave_exception(i, _slot(len(numbers) - 1))


@a32("cccc 100 PU101 nnnn 0rrrrrrrrrrrrrrr", "ldm_user", capstone="ldm ldmda ldmdb ldmib pop",
     bad=lambda f: f["n"] == PC or not f["r"])  # fmt: skip
def ldm_user(i: Insn) -> None:
    """LDM of user mode's registers."""
    privileged(i)
    numbers = registers(i["r"])
    _load_all(i, numbers, first_offset(i["r"], bool(i["U"]), bool(i["P"])))
    for k, r in enumerate(numbers):
        i.emit("arm_set_user", 0, _slot(k), imm=r)


@a32("cccc 100 PU100 nnnn rrrrrrrrrrrrrrrr", "stm_user", capstone="stm stmda stmdb stmib push",
     bad=lambda f: f["n"] == PC or not f["r"])  # fmt: skip
def stm_user(i: Insn) -> None:
    """STM of user mode's registers."""
    privileged(i)
    base, numbers = st.gpr(i["n"]), registers(i["r"])
    offset = first_offset(i["r"], bool(i["U"]), bool(i["P"]))
    check_alignment(i, base, offset, 4, True, always=True)
    for k, r in enumerate(numbers):
        if r != PC:
            i.emit("arm_get_user", _slot(k), imm=r)
    for k, r in enumerate(numbers):
        i.emit(memory_row(i, "arm_st32"), 0, base, i.reg(PC) if r == PC else _slot(k), imm=offset + 4 * k)
