"""Rows of loads and stores: addresses wrap at 4 GiB, data may be big-endian (DDI 0406C, A3.2 and A3.3).

A row's name ends in ``be`` where CPSR.E is set. Alignment is checked by a row of its own, before the access.
"""

from __future__ import annotations

from typing import Any

from frontends.arm.state import EXCLUSIVE, LAYOUT
from frontends.arm.vectors import ALIGNMENT_LONG, ALIGNMENT_SHORT, EXC_DABORT, EXC_UNDEF, FSR_WRITE
from jitrr.microops.table import row

assert LAYOUT["exclusive"] == EXCLUSIVE


def _address(e: Any, a: str, i: str) -> str:
    return str(e.zext(32, e.bin("add", 32, a, i)))


def _indexed(e: Any, a: str, b: str, i: str) -> str:
    return str(e.zext(32, e.bin("add", 32, a, e.bin("shl", 32, b, i))))


def _swap(e: Any, w: int, value: str, big: bool) -> str:
    return str(e.intrinsic("bswap", w, value)) if big and w > 8 else value


def _load(e: Any, w: int, address: str, signed: bool, big: bool) -> str:
    value = _swap(e, w, e.load(w, address), big)
    if w >= 32:
        return value
    return str(e.sext(w, value, 32) if signed else e.zext(w, value, 32))


def _store(e: Any, w: int, address: str, value: str, big: bool) -> None:
    narrow = value if w == 64 else e.trunc(32, value, w)
    e.store(w, address, _swap(e, w, narrow, big))


def misaligned(e: Any, address: str, size: int, write: bool) -> None:
    """Alignment fault unless an address (i32) is a multiple of ``size``."""

    def fault() -> None:
        long_format = e.icmp("ne", 64, e.bin("and", 64, e.get("ttbcr"), 1 << 31), 0)
        e.set("exc_address", e.zext(32, address))
        error = e.select(long_format, 64, ALIGNMENT_LONG, ALIGNMENT_SHORT)
        e.raise_if("true", EXC_DABORT, e.bin("or", 64, error, FSR_WRITE if write else 0))

    e.rarely(e.icmp("ne", 32, e.bin("and", 32, address, size - 1), 0), fault)


def _aligned_load(e: Any, w: int, a: str, i: str, big: bool) -> str:
    misaligned(e, e.bin("add", 32, a, i), 4, False)
    return _load(e, w, _address(e, a, i), False, big)


def _aligned_store(e: Any, w: int, a: str, b: str, i: str, big: bool) -> None:
    misaligned(e, e.bin("add", 32, a, i), 4, True)
    _store(e, w, _address(e, a, i), b, big)


for _big in (False, True):
    _be = "be" if _big else ""
    for _name in ("8", "16", "32", "64", "s8", "s16"):
        _w, _signed = int(_name.lstrip("s")), _name[0] == "s"
        _d = f"d{max(_w, 32)}"
        row(f"arm_ld{_name}{_be}", f"{_d} <- a32 i32",
            lambda e, a, i, w=_w, s=_signed, b=_big: _load(e, w, _address(e, a, i), s, b))  # fmt: skip
        #: At a + (b << i).
        row(f"arm_ldx{_name}{_be}", f"{_d} <- a32 b32 i32",
            lambda e, a, b, i, w=_w, s=_signed, g=_big: _load(e, w, _indexed(e, a, b, i), s, g))  # fmt: skip
    for _w in (8, 16, 32, 64):
        _c = max(_w, 32)
        row(
            f"arm_st{_w}{_be}", f"a32 b{_c} i32", lambda e, a, b, i, w=_w, g=_big: _store(e, w, _address(e, a, i), b, g)
        )
        row(f"arm_stx{_w}{_be}", f"a32 b32 c{_c} i32",
            lambda e, a, b, c, i, w=_w, g=_big: _store(e, w, _indexed(e, a, b, i), c, g))  # fmt: skip
    #: A word at an offset from the block's start.
    row(f"arm_ldpc32{_be}", "d32 <- i64", lambda e, i, b=_big: _load(
        e, 32, e.bin("and", 64, e.bin("add", 64, e.get("pc"), i), 0xFFFFFFFF), False, b))  # fmt: skip
    #: The same, word-aligned always: the first of a list, pairs.
    for _w in (32, 64):
        row(f"arm_ld{_w}a{_be}", f"d{_w} <- a32 i32", lambda e, a, i, w=_w, g=_big: _aligned_load(e, w, a, i, g))
        row(f"arm_st{_w}a{_be}", f"a32 b{_w} i32", lambda e, a, b, i, w=_w, g=_big: _aligned_store(e, w, a, b, i, g))
#: In T32, from the word that such an address is in.
row("arm_ldpc32t", "d32 <- i64",
    lambda e, i: e.load(32, e.bin("and", 64, e.bin("add", 64, e.get("pc"), i), 0xFFFFFFFC)))  # fmt: skip
for _size in (2, 4, 8, 16, 32):
    row(f"arm_align{_size}", "a32 i32", lambda e, a, i, n=_size: misaligned(e, e.bin("add", 32, a, i), n, False))
    row(f"arm_align{_size}w", "a32 i32", lambda e, a, i, n=_size: misaligned(e, e.bin("add", 32, a, i), n, True))

# -- without privilege: LDRT, STRT and the like in a privileged mode --------------------------------------------------
for _w, _name in ((8, "8"), (16, "16"), (32, "32")):
    row(f"arm_ldt{_name}", "d32 <- a32",
        lambda e, a, w=_w: e.trunc(64, e.helper("load_user", e.zext(32, a), w // 8), 32), cold=True)  # fmt: skip
    row(f"arm_stt{_name}", "a32 b32",
        lambda e, a, b, w=_w: e.helper("store_user", e.zext(32, a), w // 8, e.zext(32, b)) and None,
        cold=True)  # fmt: skip
    #: The bytes of the lower part the other way round.
    row(f"arm_swap{_name}", "d32 <- a32", lambda e, a, w=_w: e.zext(w, _swap(e, w, e.trunc(32, a, w), True), 32))


# -- two registers of a list at once: Rn := b, and d := a --------------------------------------------------------------
def _two(e: Any, n: int, a: str, b: str) -> str:
    e.set("gpr", e.zext(32, b), index=n)
    return a


for _n in range(15):
    row(f"arm_mov2_r{_n}", "d32 <- a32 b32", lambda e, a, b, n=_n: _two(e, n, a, b))


# -- exclusives: the local monitor (A3.4.1) ---------------------------------------------------------------------------
def _arm(e: Any, address: str, size: str) -> None:
    e.set("exclusive_address", e.zext(32, address))
    e.set("exclusive", size)


def _not_armed(e: Any, address: str, size: int) -> str:
    same = e.icmp("eq", 64, e.get("exclusive_address"), e.zext(32, address))
    return str(e.bin("xor", 1, e.bin("and", 1, same, e.icmp("eq", 64, e.get("exclusive"), size)), "true"))


row("arm_exclusive", "a32 i64", _arm)
for _size in (1, 2, 4, 8):
    #: Leave out cells unless the monitor has this address and size.
    row(f"arm_unless_exclusive{_size}", "a32 i64", lambda e, a, i, n=_size: _not_armed(e, a, n), kind="skip")
row("arm_clear_exclusive", "", lambda e: e.set("exclusive", 0))

#: The Undefined exception.
row("arm_undefined", "", lambda e: e.raise_if("true", EXC_UNDEF), cold=True)
row("arm_nop", "", lambda e: None)
