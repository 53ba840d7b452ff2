"""Loads and stores of VFP and Advanced SIMD registers (DDI 0406C, A7.6 and A7.7).

VFP accesses must be aligned to words, whatever SCTLR.A says. Those of Advanced SIMD need the alignment they ask for, or
their elements' with SCTLR.A.
"""

from __future__ import annotations

import frontends.arm.ops_memory
import frontends.arm.ops_neon
import frontends.arm.ops_vfp  # noqa: F401  (declares rows)
from frontends.arm import state as st
from frontends.arm.lift import PC, SP, Insn
from frontends.arm.patterns import Fields
from frontends.arm.simd import double, half, neon, single, vfp
from jitrr.microops.table import Imm


def memory_row(i: Insn, name: str) -> str:
    """A row's name for the endianness of data."""
    return f"{name}be" if i.big else name


def check(i: Insn, base: int, offset: Imm | int, size: int, write: bool) -> None:
    """Alignment fault unless base + offset is a multiple of ``size``."""
    if size > 1:
        i.emit(f"arm_align{size}{'w' if write else ''}", 0, base, imm=offset)


# -- VFP -------------------------------------------------------------------------------------------------------------


def _registers(i: Insn) -> tuple[int, int, int]:
    """(CPU block offset of the first register, bytes of each, how many there are in a list)."""
    if i["z"]:
        return st.d(double(i, "d")), 8, i["i"] >> 1
    return st.s(single(i, "d")), 4, i["i"]


def _load(i: Insn, register: int, size: int, base: int, offset: Imm | int) -> None:
    i.emit(memory_row(i, "arm_ld64" if size == 8 else "arm_vld32"), register, base, imm=offset)


def _store(i: Insn, register: int, size: int, base: int, offset: Imm | int) -> None:
    i.emit(memory_row(i, f"arm_st{8 * size}"), 0, base, register, imm=offset)


def _base(i: Insn) -> int:
    """Rn; the PC as an aligned one."""
    return i.aligned_pc() if i["n"] == PC else st.gpr(i["n"])


@vfp("cccc 1101 UD01 nnnn dddd 101z iiii iiii", "vldr")
def vldr(i: Insn) -> None:
    register, size, _ = _registers(i)
    base, offset = _base(i), i.disp(4 * i["i"] if i["U"] else -4 * i["i"])
    check(i, base, offset, 4, False)
    _load(i, register, size, base, offset)


def _stores_near_pc(f: Fields) -> bool:
    return bool(f["n"] == PC)


@vfp("cccc 1101 UD00 nnnn dddd 101z iiii iiii", "vstr", bad=_stores_near_pc)
def vstr(i: Insn) -> None:
    register, size, _ = _registers(i)
    base, offset = _base(i), i.disp(4 * i["i"] if i["U"] else -4 * i["i"])
    check(i, base, offset, 4, True)
    _store(i, register, size, base, offset)


def _bad_list(f: Fields) -> bool:
    """No register, more than 16 doublewords or beyond the last register; the PC written or in T32 used as base."""
    count = f["i"] >> 1 if f["z"] else f["i"]
    first = f["D"] << 4 | f["d"] if f["z"] else f["d"] << 1 | f["D"]
    return count == 0 or (f["z"] == 1 and count > 16) or first + count > 32 or f["n"] == PC


def _multiple(name: str, capstone: str, load: bool, before: bool) -> None:
    """VLDM, VSTM: increment after, with or without write-back, or (``before``) decrement before."""
    text = "cccc 1101 0D1" if before else "cccc 1100 1DW"

    @vfp(f"{text}{int(load)} nnnn dddd 101z iiii iiii", name, capstone=capstone, bad=_bad_list)
    def lift(i: Insn) -> None:
        first, size, count = _registers(i)
        base, total = st.gpr(i["n"]), 4 * i["i"]
        offset = -total if before else 0
        check(i, base, offset, 4, not load)
        if load:
            _load_list(i, first, size, count, base, offset)
        else:
            for number in range(count):
                _store(i, first + size * number, size, base, offset + size * number)
        if before or i["W"]:
            i.emit("arm_addi", base, base, imm=-total if before else total)


def _load_list(i: Insn, first: int, size: int, count: int, base: int, offset: int) -> None:
    """Registers from memory; none is written before the last access (128 bytes of scratch registers are enough)."""
    last = first + size * (count - 1)
    for number in range(count - 1):
        _load(i, half(0) + size * number, size, base, offset + size * number)
    _load(i, last, size, base, offset + size * (count - 1))
    for number in range(count - 1):
        i.emit("mov64" if size == 8 else "arm_mov32", first + size * number, half(0) + size * number)


_multiple("vldm", "vldmia vpop fldmiax", True, False)
_multiple("vldm_db", "vldmdb fldmdbx", True, True)
_multiple("vstm", "vstmia fstmiax", False, False)
_multiple("vstm_db", "vstmdb vpush fstmdbx", False, True)


# -- Advanced SIMD: common to all of them ----------------------------------------------------------------------------


def _finish(i: Insn, total: int) -> None:
    """Write-back: by Rm, by what was transferred (Rm = SP), or none (PC)."""
    base = st.gpr(i["n"])
    if i["m"] == SP:
        i.emit("arm_addi", base, base, imm=total)
    elif i["m"] != PC:
        i.emit("arm_add", base, base, st.gpr(i["m"]))


def _check(i: Insn, alignment: int, element: int, write: bool) -> None:
    """``alignment``: bytes the instruction asks for, or 0."""
    if alignment or i.strict:
        check(i, st.gpr(i["n"]), 0, alignment or element, write)


def _swapped(i: Insn, element: int, register: int) -> None:
    """Big-endian elements of a doubleword that was accessed as a little-endian one."""
    if i.big and element > 1:
        i.emit(f"arm_vrev{8 * element}_8_64", register, register)


# -- multiple structures ---------------------------------------------------------------------------------------------

#: type -> (registers in a structure, structures side by side in registers, step from register to register).
_TYPES = {7: (1, 1, 1), 10: (1, 2, 1), 6: (1, 3, 1), 2: (1, 4, 1), 8: (2, 1, 1), 9: (2, 1, 2), 3: (2, 2, 2),
          4: (3, 1, 1), 5: (3, 1, 2), 0: (4, 1, 1), 1: (4, 1, 2)}  # fmt: skip


def _bad_multiple(f: Fields) -> bool:
    """UNDEFINED sizes and alignments; registers beyond the last; the PC as base."""
    if f["y"] not in _TYPES:
        return True
    n, groups, step = _TYPES[f["y"]]
    last = (f["D"] << 4 | f["d"]) + (n - 1) * step + (groups - 1)
    if n == 1:
        unaligned = (groups in (1, 3) and f["a"] & 2) or (groups == 2 and f["a"] == 3)
    else:
        unaligned = f["z"] == 3 or (n == 2 and groups == 1 and f["a"] == 3) or (n == 3 and f["a"] & 2)
    return bool(unaligned) or last > 31 or f["n"] == PC


def _numbers(i: Insn) -> list[int]:
    """The registers in the order of their memory, by structures; of VLD1 all in a row."""
    n, groups, step = _TYPES[i["y"]]
    d = double(i, "d")
    return [d + group + step * at for group in range(groups) for at in range(n)]


@neon("1111 0100 0D10 nnnn dddd yyyy zzaa mmmm", "vld_multiple", capstone="vld1 vld2 vld3 vld4", bad=_bad_multiple)
def vld_multiple(i: Insn) -> None:
    n, numbers, element, base = _TYPES[i["y"]][0], _numbers(i), 1 << i["z"], st.gpr(i["n"])
    _check(i, 4 << i["a"] if i["a"] else 0, element, False)
    for at in range(len(numbers)):
        i.emit("arm_ld64", half(at), base, imm=8 * at)
    for at in range(len(numbers)):
        _swapped(i, element, half(at))
    if n == 2 and len(numbers) == 4:
        # Four registers of two: the memory's first half goes to the first of each pair's registers.
        _separate(i, 2, 8 * element, [half(0), half(1)], [st.d(numbers[0]), st.d(numbers[1])])
        _separate(i, 2, 8 * element, [half(2), half(3)], [st.d(numbers[2]), st.d(numbers[3])])
    else:
        _separate(i, n, 8 * element, [half(at) for at in range(len(numbers))], [st.d(x) for x in numbers])
    _finish(i, 8 * len(numbers))


def _separate(i: Insn, n: int, k: int, sources: list[int], targets: list[int]) -> None:
    """Lanes of structures, as they are in memory, to a register each."""
    if n == 1:
        for source, target in zip(sources, targets, strict=True):
            i.emit("mov64", target, source)
    elif n == 2:
        for at in (0, 1):
            i.emit(f"arm_vuzp{at}_{k}_64", targets[at], *sources)
    elif n == 3:
        for at in range(3):
            i.emit(f"arm_vld3_{at}_{k}", targets[at], *sources)
    else:
        for at in range(4):
            i.emit(f"arm_vuzp{at & 1}_{k}_64", half(8 + at), *sources[at & 2 : (at & 2) + 2])
        for at in range(4):
            i.emit(f"arm_vuzp{at >> 1}_{k}_64", targets[at], half(8 + (at & 1)), half(10 + (at & 1)))


@neon("1111 0100 0D00 nnnn dddd yyyy zzaa mmmm", "vst_multiple", capstone="vst1 vst2 vst3 vst4", bad=_bad_multiple)
def vst_multiple(i: Insn) -> None:
    n, numbers, element, base = _TYPES[i["y"]][0], _numbers(i), 1 << i["z"], st.gpr(i["n"])
    _check(i, 4 << i["a"] if i["a"] else 0, element, True)
    registers = [st.d(number) for number in numbers]
    stored = [
        each for at in range(0, len(registers), n) for each in _joined(i, 8 * element, registers[at : at + n], at)
    ]
    for at, register in enumerate(stored):
        if i.big and element > 1:
            i.emit(f"arm_vrev{8 * element}_8_64", half(15), register)
            register = half(15)
        i.emit("arm_st64", 0, base, register, imm=8 * at)
    _finish(i, 8 * len(numbers))


def _joined(i: Insn, k: int, registers: list[int], at: int) -> list[int]:
    """Structures as they are in memory: a register of lanes each, from scratch register ``at`` on."""
    n = len(registers)
    targets = [half(at + number) for number in range(n)]
    if n == 1:
        return registers
    if n == 2:
        for number in (0, 1):
            i.emit(f"arm_vzip{number}_{k}_64", targets[number], *registers)
    elif n == 3:
        for number in range(3):
            i.emit(f"arm_vst3_{number}_{k}", targets[number], *registers)
    else:
        for number in range(4):
            first = number & 1
            i.emit(f"arm_vzip{number >> 1}_{k}_64", half(8 + number), registers[first], registers[first + 2])
        for number in range(4):
            first = 8 + 2 * (number >> 1)
            i.emit(f"arm_vzip{number & 1}_{k}_64", targets[number], half(first), half(first + 1))
    return targets


# -- one structure ---------------------------------------------------------------------------------------------------


def _lane(f: Fields) -> tuple[int, int, int]:
    """(lane, step from register to register, alignment in bytes or 0) of ``index_align`` (``x``); n from ``l``."""
    n, size, x = f["l"] + 1, f["z"], f["x"]
    lane, step = x >> size + 1, 1
    if size and x >> size & 1 and n > 1:
        step = 2
    if n == 3:
        return lane, step, 0
    if size == 2:
        low = x & 3
        alignment = {1: 4 if low == 3 else 0, 2: 8 if low & 1 else 0, 4: 4 << low if low else 0}[n]
    else:
        alignment = (n << size) if x & 1 else 0
    return lane, step, alignment


def _bad_lane(f: Fields) -> bool:
    """UNDEFINED encodings of index_align, registers beyond the last, the PC as base."""
    n, size, x = f["l"] + 1, f["z"], f["x"]
    if n == 1:
        undefined = (size == 0 and x & 1) or (size == 1 and x & 2) or (size == 2 and (x & 4 or x & 3 in (1, 2)))
    elif n == 2:
        undefined = size == 2 and x & 2
    elif n == 3:
        undefined = (x & 1) if size < 2 else (x & 3)
    else:
        undefined = size == 2 and x & 3 == 3
    last = (f["D"] << 4 | f["d"]) + (n - 1) * _lane(f)[1]
    return f["z"] == 3 or bool(undefined) or last > 31 or f["n"] == PC


def _lanes(i: Insn) -> list[int]:
    """CPU block offsets of the lanes of an instruction on one structure."""
    lane, step, _ = _lane(i.fields)
    return [st.d(double(i, "d") + step * at) + (lane << i["z"]) for at in range(i["l"] + 1)]


@neon("1111 0100 1D10 nnnn dddd zzll xxxx mmmm", "vld_lane", capstone="vld1 vld2 vld3 vld4", bad=_bad_lane)
def vld_lane(i: Insn) -> None:
    element, lanes = 1 << i["z"], _lanes(i)
    _check(i, _lane(i.fields)[2], element, False)
    loaded = _load_elements(i, element, len(lanes))
    for source, target in zip(loaded, lanes, strict=True):
        i.emit("arm_mov32" if element == 4 else f"mov{8 * element}", target, source)
    _finish(i, element * len(lanes))


def _load_elements(i: Insn, element: int, count: int) -> list[int]:
    """Scratch registers with consecutive elements from memory."""
    registers = [i.temp() for _ in range(count)]
    for at, register in enumerate(registers):
        i.emit(memory_row(i, f"arm_ld{8 * element}"), register, st.gpr(i["n"]), imm=at * element)
    return registers


@neon("1111 0100 1D00 nnnn dddd zzll xxxx mmmm", "vst_lane", capstone="vst1 vst2 vst3 vst4", bad=_bad_lane)
def vst_lane(i: Insn) -> None:
    element, lanes = 1 << i["z"], _lanes(i)
    _check(i, _lane(i.fields)[2], element, True)
    for at, source in enumerate(lanes):
        if element < 4:
            source, lane = i.temp(), source
            i.emit(f"zx{8 * element}_32", source, lane)
        i.emit(memory_row(i, f"arm_st{8 * element}"), 0, st.gpr(i["n"]), source, imm=at * element)
    _finish(i, element * len(lanes))


# -- one structure to all lanes --------------------------------------------------------------------------------------


def _alignment_of_all(f: Fields) -> int:
    """Bytes that are asked for by ``a``, or 0."""
    n = f["l"] + 1
    if not f["a"]:
        return 0
    return 16 if f["z"] == 3 else min(n << f["z"], 8 if n == 4 and f["z"] == 2 else 16)


def _bad_all(f: Fields) -> bool:
    """UNDEFINED sizes and alignments, registers beyond the last, the PC as base."""
    n, size, d = f["l"] + 1, f["z"], f["D"] << 4 | f["d"]
    if n == 1:
        undefined = size == 3 or (size == 0 and f["a"])
        last = d + f["t"]
    else:
        undefined = (n == 3 and f["a"]) or (size == 3 and not (n == 4 and f["a"]))
        last = d + (n - 1) * (1 + f["t"])
    return bool(undefined) or last > 31 or f["n"] == PC


@neon("1111 0100 1D10 nnnn dddd 11ll zzta mmmm", "vld_all", capstone="vld1 vld2 vld3 vld4", bad=_bad_all)
def vld_all(i: Insn) -> None:
    n, size, d = i["l"] + 1, min(i["z"], 2), double(i, "d")
    element = 1 << size
    _check(i, _alignment_of_all(i.fields), element, False)
    loaded = _load_elements(i, element, n)
    if n == 1:
        targets = [(d, loaded[0]), (d + 1, loaded[0])][: i["t"] + 1]
    else:
        targets = [(d + at * (1 + i["t"]), source) for at, source in enumerate(loaded)]
    for number, source in targets:
        i.emit(f"arm_vdup{8 * element}_64", st.d(number), source)
    _finish(i, element * n)
