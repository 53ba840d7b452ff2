"""Micro-ops of VFP besides arithmetic: FPSCR and its parts, access, loads (DDI 0406C, A2.6, B1.11, B6.1)."""

from __future__ import annotations

from typing import Any

from frontends.arm.flags import set_plain_cv
from frontends.arm.fpcodes import AHP, DN, FZ, RMODE_AT
from frontends.arm.vectors import EXC_UNDEF
from jitrr.microops.table import row

#: Bits of FPSCR in field ``fpscr``, of the cumulative exceptions, QC, N Z C V. The rest reads as 0: there are neither
#: short vectors nor trapped exceptions.
_CONTROL = AHP | DN | FZ | 3 << RMODE_AT
_CUMULATIVE, _QC, _CONDITION = 0x9F, 1 << 27, 0xF << 28
FPEXC_EN = 1 << 30


def _bits(e: Any, value: str, mask: int) -> str:
    return str(e.bin("and", 64, value, mask))


def _vmrs(e: Any) -> str:
    value = e.bin("or", 64, e.get("fpscr"), e.get("fpcc"))
    value = e.bin("or", 64, value, e.get("fpflags"))
    return str(e.trunc(64, e.bin("or", 64, value, e.get("fpqc")), 32))


def _vmrs_flags(e: Any) -> None:
    """N Z C V of the PSR from those of FPSCR."""
    flags = e.get("fpcc")
    e.set("nf", flags)
    e.set("zf", e.bin("xor", 64, _bits(e, flags, 1 << 30), 1 << 30))
    set_plain_cv(e, _bits(e, e.bin("lshr", 64, flags, 29), 1), _bits(e, e.bin("shl", 64, flags, 3), 0xFFFFFFFF))


def _vmsr(e: Any, value: str) -> None:
    value = e.zext(32, value)
    e.set("fpscr", _bits(e, value, _CONTROL))
    e.set("fpcc", _bits(e, value, _CONDITION))
    e.set("fpqc", _bits(e, value, _QC))
    e.set("fpflags", _bits(e, value, _CUMULATIVE))
    e.plain_helper("update_mode")


def _vmsr_fpexc(e: Any, value: str) -> None:
    e.set("fpexc", _bits(e, e.zext(32, value), FPEXC_EN))
    e.plain_helper("update_mode")


row("arm_vmrs", "d32 <-", _vmrs)
row("arm_vmrs_flags", "", _vmrs_flags)
row("arm_vmsr", "a32", _vmsr, cold=True)
row("arm_vmsr_fpexc", "a32", _vmsr_fpexc, cold=True)
#: Undefined unless CPACR gives access to privileged modes.
row("arm_vfp_access", "",
    lambda e: e.raise_if(e.icmp("eq", 64, _bits(e, e.get("cpacr"), 3 << 20), 0), EXC_UNDEF), cold=True)  # fmt: skip

# The low bits of a register, extended: results of conversions to fixed point.
for _from in (16, 32):
    for _how in ("zx", "sx"):
        row(f"arm_f{_how}{_from}_64", f"d64 <- a{_from}",
            lambda e, x, f=_from, h=_how: e.zext(f, x) if h == "zx" else e.sext(f, x))  # fmt: skip
        row(f"arm_f{_how}{_from}_32", f"d32= <- a{_from}",
            lambda e, x, f=_from, h=_how: e.zext(f, x, 32) if h == "zx" else e.sext(f, x, 32))  # fmt: skip


# -- memory ----------------------------------------------------------------------------------------------------------


def _address(e: Any, a: str, i: str) -> str:
    return str(e.zext(32, e.bin("add", 32, a, i)))


def _load32(e: Any, a: str, i: str, big: bool) -> str:
    value = e.load(32, _address(e, a, i))
    return str(e.intrinsic("bswap", 32, value)) if big else str(value)


for _big in (False, True):
    #: A word into a single-precision register, which leaves its neighbour alone.
    row(f"arm_vld32{'be' if _big else ''}", "d32= <- a32 i32", lambda e, a, i, b=_big: _load32(e, a, i, b))
row("arm_vld128", "d128 <- a32 i32", lambda e, a, i: e.load(128, _address(e, a, i)))
row("arm_vst128", "a32 b128 i32", lambda e, a, b, i: e.store(128, _address(e, a, i), b))
