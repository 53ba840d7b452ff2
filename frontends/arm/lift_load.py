"""Loads and stores of one or two registers (DDI 0406C, A5.2.8, A5.3, A6.2.4, A6.3.6-10)."""

from __future__ import annotations

from dataclasses import dataclass

import frontends.arm.ops_memory  # noqa: F401  (declares rows)
from frontends.arm import state as st
from frontends.arm.lift import LR, PC, SP, Insn
from frontends.arm.lift_data import shift_by, shifted
from frontends.arm.patterns import Fields, a32, t32
from jitrr.microops.table import P_HERE, Imm


@dataclass(frozen=True)
class Access:
    """What is loaded or stored: row suffix and bytes."""

    name: str
    size: int
    load: bool


def memory_row(i: Insn, name: str) -> str:
    """A row's name for the endianness of data."""
    return f"{name}be" if i.big else name


def check_alignment(i: Insn, base: int, offset: Imm | int, size: int, write: bool, always: bool = False) -> None:
    """Alignment fault where the access needs it: always, or as SCTLR.A says."""
    if size > 1 and (always or i.strict):
        i.emit(f"arm_align{size}{'w' if write else ''}", 0, base, imm=offset)


def transfer(i: Insn, access: Access, t: int, base: int, offset: Imm | int) -> None:
    """Load Rt from, or store it to, base + offset. Loads of the PC go through :meth:`Insn.interwork` (see commit)."""
    check_alignment(i, base, offset, access.size, not access.load)
    if access.load:
        i.emit(memory_row(i, f"arm_ld{access.name}"), t, base, imm=offset)
    else:
        i.emit(memory_row(i, f"arm_st{access.name}"), 0, base, t, imm=offset)


def place(i: Insn, access: Access, t: int) -> int:
    """Where the register transferred is: for a load of the PC, a scratch register."""
    return i.temp() if t == PC and access.load else i.reg(t)


def commit(i: Insn, access: Access, t: int, at: int) -> None:
    """After a load: branch if it was of the PC."""
    if access.load and t == PC:
        i.interwork(at)


def immediate(i: Insn, access: Access, t: int, n: int, offset: int, pre: bool, write_back: bool) -> None:
    """[Rn, #offset] with its three ways of indexing."""
    at = place(i, access, t)
    if n == PC:
        literal(i, access, at, offset)
    else:
        disp = i.disp(offset)
        base = st.gpr(n)
        transfer(i, access, at, base, disp if pre else 0)
        if write_back or not pre:
            i.emit("arm_addi", base, base, imm=disp)
    commit(i, access, t, at)


def literal(i: Insn, access: Access, at: int, offset: int) -> None:
    """[PC, #offset]."""
    disp = i.disp(offset)
    if i.thumb or access.name != "32" or not access.load or i.strict:
        transfer(i, access, at, i.aligned_pc(), disp)
    else:
        i.emit(memory_row(i, "arm_ldpc32"), at, imm=Imm(disp.value + 8, disp.patch | P_HERE))


def register(
    i: Insn, access: Access, t: int, n: int, m: int, kind: int, amount: int, add: bool, pre: bool, write_back: bool
) -> None:  # fmt: skip
    """[Rn, +-Rm, shift]."""
    at = place(i, access, t)
    base = i.reg(n)
    simple = add and pre and not write_back and not i.strict and shift_by(kind, amount)[0] in ("", "lsl")
    if simple:
        if access.load:
            i.emit(memory_row(i, f"arm_ldx{access.name}"), at, base, i.reg(m), imm=amount)
        else:
            i.emit(memory_row(i, f"arm_stx{access.name}"), 0, base, i.reg(m), at, imm=amount)
    else:
        moved = i.temp()
        i.emit("arm_add" if add else "arm_sub", moved, base, shifted(i, m, kind, amount))
        transfer(i, access, at, moved if pre else base, 0)
        if write_back or not pre:
            i.emit("mov32", base, moved)
    commit(i, access, t, at)


def unprivileged(i: Insn, access: Access, t: int, base: int, offset: Imm | int) -> None:
    """The access as User mode would make it."""
    if i.user:
        transfer(i, access, st.gpr(t), base, offset)
        return
    address = i.temp()
    i.emit("arm_addi", address, base, imm=offset)
    check_alignment(i, address, 0, access.size, not access.load)
    w = 8 * access.size
    value = st.gpr(t)
    if not access.load:
        if i.big and w > 8:
            value = i.temp()
            i.emit(f"arm_swap{w}", value, st.gpr(t))
        i.emit(f"arm_stt{w}", 0, address, value)
        return
    signed = access.name[0] == "s"
    value = i.temp() if signed or i.big else value
    i.emit(f"arm_ldt{w}", value, address)
    if i.big and w > 8:
        i.emit(f"arm_swap{w}", value, value)
    if signed:
        i.emit(f"sx{w}_32", st.gpr(t), value)
    elif i.big:
        i.emit("mov32", st.gpr(t), value)


def signed_offset(i: Insn) -> int:
    """The immediate offset, by its U bit."""
    return i["i"] if i["U"] else -i["i"]


WORD_LOAD, WORD_STORE = Access("32", 4, True), Access("32", 4, False)
BYTE_LOAD, BYTE_STORE = Access("8", 1, True), Access("8", 1, False)
HALF_LOAD, HALF_STORE = Access("16", 2, True), Access("16", 2, False)
SBYTE_LOAD, SHALF_LOAD = Access("s8", 1, True), Access("s16", 2, True)


# -- A32 --------------------------------------------------------------------------------------------------------------
def _bad_base(f: Fields, word_load: bool = False) -> bool:
    """Write-back to the PC or to Rt; Rt = PC except for words."""
    back = not f["P"] or f["W"]
    return (f["t"] == PC and not word_load) or (bool(back) and f["n"] in (PC, f["t"])) or f.get("m") == PC


def _bad_user(f: Fields) -> bool:
    """LDRT and the like."""
    return PC in (f["t"], f["n"], f.get("m")) or f["n"] == f["t"]


def _indexed(i: Insn, access: Access) -> None:
    register(i, access, i["t"], i["n"], i["m"], i.fields.get("y", 0), i.fields.get("i", 0), bool(i["U"]), bool(i["P"]),
             bool(i["W"]))  # fmt: skip


def _offset(i: Insn, access: Access) -> None:
    immediate(i, access, i["t"], i["n"], signed_offset(i), bool(i["P"]), bool(i["W"]))


def _user_indexed(i: Insn, access: Access) -> None:
    moved, base = i.temp(), st.gpr(i["n"])
    amount = shifted(i, i["m"], i.fields.get("y", 0), i.fields.get("i", 0))
    i.emit("arm_add" if i["U"] else "arm_sub", moved, base, amount)
    unprivileged(i, access, i["t"], base, 0)
    i.emit("mov32", base, moved)


def _user_offset(i: Insn, access: Access) -> None:
    unprivileged(i, access, i["t"], st.gpr(i["n"]), 0)
    i.emit("arm_addi", st.gpr(i["n"]), st.gpr(i["n"]), imm=i.disp(signed_offset(i)))


def _a32_four(name: str, access: Access, imm: str, reg: str) -> None:
    """LDR and LDRT and the like, by immediate and by register; ``imm``, ``reg``: the pattern with P and W as fields."""
    word = access.size == 4
    names = f"{name} {'pop' if access.load else 'push'}" if word else name

    def bad(f: Fields) -> bool:
        return _bad_base(f, word)

    a32(imm, f"{name}_imm", capstone=names, bad=bad)(lambda i: _offset(i, access))
    a32(reg, f"{name}_reg", capstone=names, bad=bad)(lambda i: _indexed(i, access))
    user = {"P": "0", "W": "1"}
    a32("".join(user.get(c, c) for c in imm), f"{name}t_imm", bad=_bad_user)(lambda i: _user_offset(i, access))
    a32("".join(user.get(c, c) for c in reg), f"{name}t_reg", bad=_bad_user)(lambda i: _user_indexed(i, access))


for _name, _b, _access in (("ldr", 0, WORD_LOAD), ("str", 0, WORD_STORE), ("ldrb", 1, BYTE_LOAD),
                           ("strb", 1, BYTE_STORE)):  # fmt: skip
    _bits = f"PU{_b}W{int(_access.load)} nnnn tttt"
    _a32_four(_name, _access, f"cccc 010 {_bits} iiiiiiiiiiii", f"cccc 011 {_bits} iiiii yy 0 mmmm")
for _name, _code, _access in (("ldrh", "01", HALF_LOAD), ("strh", "01", HALF_STORE), ("ldrsb", "10", SBYTE_LOAD),
                              ("ldrsh", "11", SHALF_LOAD)):  # fmt: skip
    _l = int(_access.load)
    _a32_four(_name, _access, f"cccc 000 PU1W{_l} nnnn tttt iiii 1{_code}1 iiii",
              f"cccc 000 PU0W{_l} nnnn tttt 0000 1{_code}1 mmmm")  # fmt: skip


# -- doublewords ------------------------------------------------------------------------------------------------------
def dual(i: Insn, load: bool, t: int, u: int, base: int, offset: Imm | int) -> None:
    """Rt and Ru from, or to, the doubleword at base + offset, which must be word-aligned."""
    pair = i.temp()
    low, high = (u, t) if i.big else (t, u)
    if load:
        i.emit(memory_row(i, "arm_ld64a"), pair, base, imm=offset)
    else:
        i.emit("arm_pair", pair, st.gpr(low), st.gpr(high))
        i.emit(memory_row(i, "arm_st64a"), 0, base, pair, imm=offset)


def dual_commit(i: Insn, t: int, u: int) -> None:
    """After a load: the registers out of the first scratch register."""
    pair = i.uops[-1].d
    low, high = (u, t) if i.big else (t, u)
    i.emit("arm_low", st.gpr(low), pair)
    i.emit("arm_high", st.gpr(high), pair)


def _dual_imm(i: Insn, load: bool, t: int, u: int, offset: int) -> None:
    base = i.aligned_pc() if i["n"] == PC else st.gpr(i["n"])
    disp, back = i.disp(offset), not i["P"] or bool(i["W"])
    dual(i, load, t, u, base, disp if i["P"] else 0)
    if load:
        dual_commit(i, t, u)
    if back:
        i.emit("arm_addi", base, base, imm=disp)


def _bad_dual(f: Fields, load: bool) -> bool:
    t, u, back = f["t"], f["t"] + 1, not f["P"] or f["W"]
    if t & 1 or t == LR or (not f["P"] and f["W"]) or (back and f["n"] in (PC, t, u)):
        return True
    return "m" in f and (f["m"] == PC or (load and f["m"] in (t, u)))


def _a32_dual(name: str, load: bool, code: str) -> None:
    @a32(f"cccc 000 PU1W0 nnnn tttt iiii 1{code}1 iiii", f"{name}_imm", bad=lambda f: _bad_dual(f, load))
    def imm(i: Insn) -> None:
        """LDRD, STRD."""
        _dual_imm(i, load, i["t"], i["t"] + 1, signed_offset(i))

    @a32(f"cccc 000 PU0W0 nnnn tttt 0000 1{code}1 mmmm", f"{name}_reg", bad=lambda f: _bad_dual(f, load))
    def reg(i: Insn) -> None:
        """LDRD, STRD by register."""
        moved, base = i.temp(), i.reg(i["n"])
        i.emit("arm_add" if i["U"] else "arm_sub", moved, base, st.gpr(i["m"]))
        dual(i, load, i["t"], i["t"] + 1, moved if i["P"] else base, 0)
        if load:
            dual_commit(i, i["t"], i["t"] + 1)
        if not i["P"] or i["W"]:
            i.emit("mov32", base, moved)


_a32_dual("ldrd", True, "10")
_a32_dual("strd", False, "11")


def _bad_dual_t(f: Fields, load: bool) -> bool:
    back = not f["P"] or f["W"]
    if not f["P"] and not f["W"]:
        return True
    if f["t"] in (SP, PC) or f["u"] in (SP, PC) or (load and f["t"] == f["u"]):
        return True
    return bool(back and f["n"] in (PC, f["t"], f["u"])) or (not load and f["n"] == PC)


def _t32_dual(name: str, load: bool) -> None:
    t32(f"1110100 PU1W{int(load)} nnnn tttt uuuu iiiiiiii", f"{name}_imm", bad=lambda f: _bad_dual_t(f, load))(
        lambda i: _dual_imm(i, load, i["t"], i["u"], 4 * signed_offset(i))
    )


_t32_dual("ldrd", True)
_t32_dual("strd", False)


# -- T32, 32 bits -----------------------------------------------------------------------------------------------------
def _bad_t(f: Fields, access: Access) -> bool:
    """Rt, Rn and Rm."""
    if not access.load and f["n"] == PC:
        return True
    wrong = () if access.size == 4 and access.load else (PC,) if access.size == 4 else (SP, PC)
    return f["t"] in wrong or f.get("m") in (SP, PC)


def _bad_index(f: Fields, access: Access) -> bool:
    back = not f["P"] or f["W"]
    return _bad_t(f, access) or (not f["P"] and not f["W"]) or bool(back and f["n"] in (f["t"], PC))


def _last(i: Insn) -> None:
    """A load of the PC must be the last of an IT block."""
    if i["t"] == PC:
        i.must_be_last()


def _t32_single(name: str, access: Access, sign: int, size: int) -> None:
    def head(u: str) -> str:
        return f"1111100{sign} {u} {size:02b} {int(access.load)}"

    def bad(f: Fields) -> bool:
        return _bad_t(f, access)

    def literal_instead(f: Fields) -> bool:
        return access.load and f["n"] == PC

    names = f"{name} {'pop' if access.load else 'push'}" if access.size == 4 else name

    @t32(f"{head('1')} nnnn tttt iiiiiiiiiiii", f"{name}_imm12", capstone=name, bad=bad)
    def imm12(i: Insn) -> None:
        """[Rn, #imm12]."""
        _last(i)
        immediate(i, access, i["t"], i["n"], i["i"], True, False)

    @t32(f"{head('0')} nnnn tttt 1PUW iiiiiiii", f"{name}_imm8", capstone=names, bad=lambda f: _bad_index(f, access),
         see=literal_instead)  # fmt: skip
    def imm8(i: Insn) -> None:
        """[Rn, #-imm8], pre- and post-indexed."""
        _last(i)
        immediate(i, access, i["t"], i["n"], signed_offset(i), bool(i["P"]), bool(i["W"]))

    @t32(f"{head('0')} nnnn tttt 1110 iiiiiiii", f"{name}t", bad=lambda f: f["t"] in (SP, PC) or f["n"] == PC,
         see=literal_instead)  # fmt: skip
    def user(i: Insn) -> None:
        """LDRT and the like."""
        unprivileged(i, access, i["t"], st.gpr(i["n"]), i.disp(i["i"]))

    @t32(f"{head('0')} nnnn tttt 000000 ii mmmm", f"{name}_reg", capstone=name, bad=bad, see=literal_instead)
    def reg(i: Insn) -> None:
        """[Rn, Rm, LSL #i]."""
        _last(i)
        register(i, access, i["t"], i["n"], i["m"], 0, i["i"], True, True, False)

    if access.load:

        @t32(f"{head('U')} 1111 tttt iiiiiiiiiiii", f"{name}_literal", capstone=name,
             bad=lambda f: _bad_t({**f, "n": 0}, access))  # fmt: skip
        def literal_form(i: Insn) -> None:
            """[PC, #imm12]."""
            _last(i)
            immediate(i, access, i["t"], PC, signed_offset(i), True, False)


for _name, _access, _sign, _size in (
    ("ldr", WORD_LOAD, 0, 2), ("str", WORD_STORE, 0, 2), ("ldrb", BYTE_LOAD, 0, 0), ("strb", BYTE_STORE, 0, 0),
    ("ldrh", HALF_LOAD, 0, 1), ("strh", HALF_STORE, 0, 1), ("ldrsb", SBYTE_LOAD, 1, 0), ("ldrsh", SHALF_LOAD, 1, 1),
):  # fmt: skip
    _t32_single(_name, _access, _sign, _size)


# -- T32, 16 bits -----------------------------------------------------------------------------------------------------
def _t16(text: str, name: str, access: Access, scale: int) -> None:
    t32(text, f"{name}_low", capstone=name)(
        lambda i: immediate(i, access, i["t"], i.fields.get("n", SP), i["i"] * scale, True, False)
    )


for _name, _access in (("str", WORD_STORE), ("ldr", WORD_LOAD)):
    _t16(f"0110 {int(_access.load)} iiiii nnn ttt", _name, _access, 4)
    _t16(f"1001 {int(_access.load)} ttt iiiiiiii", _name, _access, 4)
for _name, _access in (("strb", BYTE_STORE), ("ldrb", BYTE_LOAD)):
    _t16(f"0111 {int(_access.load)} iiiii nnn ttt", _name, _access, 1)
for _name, _access in (("strh", HALF_STORE), ("ldrh", HALF_LOAD)):
    _t16(f"1000 {int(_access.load)} iiiii nnn ttt", _name, _access, 2)
for _number, (_name, _access) in enumerate((
    ("str", WORD_STORE), ("strh", HALF_STORE), ("strb", BYTE_STORE), ("ldrsb", SBYTE_LOAD), ("ldr", WORD_LOAD),
    ("ldrh", HALF_LOAD), ("ldrb", BYTE_LOAD), ("ldrsh", SHALF_LOAD),
)):  # fmt: skip
    t32(f"0101 {_number:03b} mmm nnn ttt", f"{_name}_low_reg", capstone=_name)(
        lambda i, access=_access: register(i, access, i["t"], i["n"], i["m"], 0, 0, True, True, False)
    )


@t32("01001 ttt iiiiiiii", "ldr_literal_low", capstone="ldr")
def ldr_literal_low(i: Insn) -> None:
    """[PC, #imm8 * 4]."""
    disp = i.disp(4 * i["i"])
    if i.strict or i.big:
        transfer(i, WORD_LOAD, st.gpr(i["t"]), i.aligned_pc(), disp)
    else:
        i.emit("arm_ldpc32t", st.gpr(i["t"]), imm=Imm(disp.value + 4, disp.patch | P_HERE))
