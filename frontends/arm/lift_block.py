"""Loads and stores of several registers, exclusives (DDI 0406C, A5.2.8, A5.2.10, A5.5, A6.3.5, A6.3.6).

A load of several registers changes none before the last access has been made, so an abort leaves the base as it was. A
store may have written the words before the one that aborts.

The local monitor keeps address (virtual) and size of the last exclusive load; exclusive stores and CLREX open it.
Nothing else does: neither plain stores nor exceptions and returns from them, which the architecture leaves open
(A3.4.5: software that switches contexts clears it).
"""

from __future__ import annotations

from collections.abc import Callable

from frontends.arm import state as st
from frontends.arm.lift import LR, PC, SP, Insn
from frontends.arm.lift_load import check_alignment, memory_row
from frontends.arm.patterns import Fields, a32, t32


def registers(mask: int) -> list[int]:
    """The numbers in a register list."""
    return [n for n in range(16) if mask >> n & 1]


def first_offset(mask: int, add: bool, before: bool) -> int:
    """Where the lowest register is, from the base (IA, IB, DA, DB)."""
    start = 0 if add else -4 * len(registers(mask))
    return start + (4 if before == add else 0)


def load_multiple(i: Insn, n: int, mask: int, offset: int, write_back: int) -> None:
    """Registers from Rn + offset on; Rn += write_back unless it is loaded. The last one may go to its place at once."""
    base, numbers = st.gpr(n), registers(mask)
    direct = numbers[-1] if numbers[-1] != PC else -1
    places = [st.gpr(r) if r == direct else i.temp() for r in numbers]
    for k, at in enumerate(places):
        i.emit(memory_row(i, "arm_ld32" if k else "arm_ld32a"), at, base, imm=offset + 4 * k)
    put_in_place(i, [(r, at) for r, at in zip(numbers, places, strict=True) if r not in (PC, direct)])
    if write_back and not mask >> n & 1:
        i.emit("arm_addi", base, base, imm=write_back)
    if numbers[-1] == PC:
        i.emit("arm_bx_thumb" if i.thumb else "arm_bx", places[-1], places[-1])
        i.jump(places[-1])


def put_in_place(i: Insn, loaded: list[tuple[int, int]]) -> None:
    """Registers out of scratch ones, two at a time."""
    for (r, at), (s, other) in zip(loaded[::2], loaded[1::2], strict=False):
        i.emit(f"arm_mov2_r{s}", st.gpr(r), at, other)
    if len(loaded) & 1:
        i.emit("mov32", st.gpr(loaded[-1][0]), loaded[-1][1])


def store_multiple(i: Insn, n: int, mask: int, offset: int, write_back: int) -> None:
    """Registers to Rn + offset on; then Rn += write_back."""
    base = st.gpr(n)
    for k, r in enumerate(registers(mask)):
        i.emit(memory_row(i, "arm_st32" if k else "arm_st32a"), 0, base, i.reg(r), imm=offset + 4 * k)
    if write_back:
        i.emit("arm_addi", base, base, imm=write_back)


def multiple(i: Insn, load: bool, n: int, mask: int, add: bool, before: bool, write_back: bool) -> None:
    """LDM, STM in all four directions."""
    size = 4 * len(registers(mask))
    change = (size if add else -size) if write_back else 0
    (load_multiple if load else store_multiple)(i, n, mask, first_offset(mask, add, before), change)


def _bad(f: Fields, load: bool) -> bool:
    """A32: no register, base PC; write-back to a loaded base. (Of a stored base with write-back the old value is
    stored, which the manual leaves open unless it is the lowest register.)"""
    mask, n = f["r"], f["n"]
    return not mask or n == PC or (load and bool(f["W"] and mask >> n & 1))


def _a32(name: str, load: bool) -> None:
    names = f"{name} {name}da {name}db {name}ib {'pop' if load else 'push'}"
    a32(f"cccc 100 PU0W{int(load)} nnnn rrrrrrrrrrrrrrrr", name, bad=lambda f: _bad(f, load), capstone=names)(
        lambda i: multiple(i, load, i["n"], i["r"], bool(i["U"]), bool(i["P"]), bool(i["W"]))
    )


_a32("ldm", True)
_a32("stm", False)


def _bad_t(f: Fields, load: bool) -> bool:
    """T32: at least two registers, no SP, not both LR and PC."""
    mask, n = f["r"], f["n"]
    if mask.bit_count() < 2 or n == PC or mask >> SP & 1:
        return True
    if load:
        return mask >> LR == 3 or bool(f["W"] and mask >> n & 1)
    return bool(mask >> PC & 1) or bool(f["W"] and mask >> n & 1)


def _t32(load: bool, down: bool) -> None:
    name = "ldm" if load else "stm"
    names = f"{name}db push" if down else f"{name} {'pop' if load else name}"

    @t32(f"1110100 {'10' if down else '01'} 0W{int(load)} nnnn rrrrrrrrrrrrrrrr", f"{name}{'db' if down else ''}",
         bad=lambda f: _bad_t(f, load), capstone=names)  # fmt: skip
    def lift(i: Insn) -> None:
        """LDM, LDMDB, STM, STMDB."""
        if i["r"] >> PC:
            i.must_be_last()
        multiple(i, load, i["n"], i["r"], not down, down, bool(i["W"]))


for _load in (True, False):
    for _down in (True, False):
        _t32(_load, _down)


@t32("11001 nnn rrrrrrrr", "ldm_low", capstone="ldm", bad=lambda f: not f["r"])
def ldm_low(i: Insn) -> None:
    """LDM of low registers; writes back unless the base is loaded."""
    multiple(i, True, i["n"], i["r"], True, False, not i["r"] >> i["n"] & 1)


@t32("11000 nnn rrrrrrrr", "stm_low", capstone="stm", bad=lambda f: not f["r"])
def stm_low(i: Insn) -> None:
    """STM of low registers."""
    multiple(i, False, i["n"], i["r"], True, False, True)


@t32("1011 010 l rrrrrrrr", "push", bad=lambda f: not f["r"] and not f["l"])
def push(i: Insn) -> None:
    """PUSH of low registers and LR."""
    multiple(i, False, SP, i["r"] | i["l"] << LR, False, True, True)


@t32("1011 110 p rrrrrrrr", "pop", bad=lambda f: not f["r"] and not f["p"])
def pop(i: Insn) -> None:
    """POP of low registers and PC."""
    if i["p"]:
        i.must_be_last()
    multiple(i, True, SP, i["r"] | i["p"] << PC, True, False, True)


# -- exclusives -------------------------------------------------------------------------------------------------------
Lift = Callable[[Insn], None]
#: Suffix: bytes, and bits 22-21 of A32.
SIZES = {"": (4, "00"), "b": (1, "10"), "h": (2, "11"), "d": (8, "01")}


def load_exclusive(i: Insn, size: int, t: int, u: int, n: int, offset: int = 0) -> None:
    """LDREX and the like; the monitor is armed with address and size."""
    address = st.gpr(n)
    if offset:
        address = i.temp()
        i.emit("arm_addi", address, st.gpr(n), imm=offset)
    check_alignment(i, address, 0, size, False, always=True)
    value = i.temp()
    i.emit(memory_row(i, f"arm_ld{8 * size}"), value, address)
    i.emit("arm_exclusive", 0, address, imm=size)
    if size < 8:
        i.emit("mov32", st.gpr(t), value)
        return
    low, high = (u, t) if i.big else (t, u)
    i.emit("arm_low", st.gpr(low), value)
    i.emit("arm_high", st.gpr(high), value)


def store_exclusive(i: Insn, size: int, d: int, t: int, u: int, n: int, offset: int = 0) -> None:
    """STREX and the like: Rd := 0 and the store, or Rd := 1 and none. The monitor is open afterwards."""
    address, result, value = st.gpr(n), i.temp(), st.gpr(t)
    if offset:
        address = i.temp()
        i.emit("arm_addi", address, st.gpr(n), imm=offset)
    check_alignment(i, address, 0, size, True, always=True)
    if size == 8:
        value = i.temp()
        i.emit("arm_pair", value, *((st.gpr(u), st.gpr(t)) if i.big else (st.gpr(t), st.gpr(u))))
    i.emit("movi32", result, imm=1)
    i.emit(f"arm_unless_exclusive{size}", 0, address, imm=2)
    i.emit(memory_row(i, f"arm_st{8 * size}"), 0, address, value)
    i.emit("movi32", result, imm=0)
    i.emit("arm_clear_exclusive")
    i.emit("mov32", st.gpr(d), result)


def _a32_exclusive(suffix: str, size: int, bits: str) -> None:
    def bad_load(f: Fields) -> bool:
        return PC in (f["t"], f["n"]) or (size == 8 and (f["t"] & 1 == 1 or f["t"] == LR))

    def bad_store(f: Fields) -> bool:
        return bad_load(f) or f["d"] in (PC, f["n"], f["t"]) or (size == 8 and f["d"] == f["t"] + 1)

    a32(f"cccc 00011{bits}1 nnnn tttt 1111 1001 1111", f"ldrex{suffix}", bad=bad_load)(
        lambda i: load_exclusive(i, size, i["t"], i["t"] + 1, i["n"])
    )
    a32(f"cccc 00011{bits}0 nnnn dddd 1111 1001 tttt", f"strex{suffix}", bad=bad_store)(
        lambda i: store_exclusive(i, size, i["d"], i["t"], i["t"] + 1, i["n"])
    )


for _suffix, (_size, _bits) in SIZES.items():
    _a32_exclusive(_suffix, _size, _bits)


def _bad_exclusive(f: Fields, store: bool) -> bool:
    """T32: no SP or PC but SP as base; the result is none of the others."""
    others = [f[name] for name in "tu" if name in f]
    if f["n"] == PC or any(r in (SP, PC) for r in others):
        return True
    if store:
        return f["d"] in (SP, PC, f["n"], *others)
    return len(others) == 2 and others[0] == others[1]


def _t32_exclusive(suffix: str, op: str, size: int) -> None:
    u = "uuuu" if size == 8 else "1111"
    t32(f"11101000 1101 nnnn tttt {u} {op} 1111", f"ldrex{suffix}", bad=lambda f: _bad_exclusive(f, False))(
        lambda i: load_exclusive(i, size, i["t"], i.fields.get("u", 0), i["n"])
    )
    t32(f"11101000 1100 nnnn tttt {u} {op} dddd", f"strex{suffix}", bad=lambda f: _bad_exclusive(f, True))(
        lambda i: store_exclusive(i, size, i["d"], i["t"], i.fields.get("u", 0), i["n"])
    )


_t32_exclusive("b", "0100", 1)
_t32_exclusive("h", "0101", 2)
_t32_exclusive("d", "0111", 8)


@t32("11101000 0101 nnnn tttt 1111 iiiiiiii", "ldrex", bad=lambda f: _bad_exclusive(f, False))
def ldrex(i: Insn) -> None:
    """LDREX with an offset."""
    load_exclusive(i, 4, i["t"], 0, i["n"], 4 * i["i"])


@t32("11101000 0100 nnnn tttt dddd iiiiiiii", "strex", bad=lambda f: _bad_exclusive(f, True))
def strex(i: Insn) -> None:
    """STREX with an offset."""
    store_exclusive(i, 4, i["d"], i["t"], 0, i["n"], 4 * i["i"])


@a32("1111 01010111 1111 1111 0000 0001 1111", "clrex")
@t32("11110011 1011 1111 1000 1111 0010 1111", "clrex")
def clrex(i: Insn) -> None:
    """CLREX."""
    i.emit("arm_clear_exclusive")
