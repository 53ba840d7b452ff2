"""What Capstone calls an instruction, held against the row of the table that would lift it.

Both decode each instruction. They have to agree: a row has the names it may have there (Pattern.capstone). Where
Capstone (5.0) has none or another one's, :data:`FAULTS` says so, each read up in the manual (DDI 0406C, A8.8); there
the pattern decides. What is in neither list is not lifted (decode.py): the guest stops with a report instead of being
run wrongly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from frontends.arm.patterns import A32, PATTERNS, T32, Fields, Pattern


@dataclass(frozen=True)
class Fault:
    """What Capstone makes of some instructions of a row: ``says`` another's name, or "" for none; ``when``: fields ->
    true for those."""

    says: str
    when: Callable[[Fields], Any]
    why: str


def _always(fields: Fields) -> bool:
    return True


_FLDMX = Fault("", lambda f: f["z"] and f["D"] and f["i"] & 1, "FLDMX and FSTMX of D16 and above")
_PC_BASE = Fault("", lambda f: f["n"] == 15, "PLDW with the PC as base")
_HINT = Fault("hint", _always, "a hint like others")

_IN_BOTH = {
    "wfe": _HINT, "wfi": _HINT,
    "vmov_to_lane": Fault("fmdhr", lambda f: not f["p"] and f["o"] < 2, "the old name of VMOV.32 to half a D register"),
    "vldm": _FLDMX, "vldm_db": _FLDMX, "vstm": _FLDMX, "vstm_db": _FLDMX,
}  # fmt: skip
#: Instruction set and row: how Capstone is wrong about it.
FAULTS: dict[tuple[str, str], Fault] = {
    **{(isa, name): fault for isa in (A32, T32) for name, fault in _IN_BOTH.items()},
    (A32, "hint"): Fault("", lambda f: "U" in f, "a memory hint that is not allocated, which does nothing"),
    (A32, "hint_reg"): Fault("", _always, "likewise"),
    (T32, "cps_narrow"): Fault("cps", _always, "CPSIE and CPSID are all CPS in its list of instructions"),
    (T32, "pldw"): _PC_BASE, (T32, "pldw_imm8"): _PC_BASE, (T32, "pldw_reg"): _PC_BASE,
}  # fmt: skip

#: What Capstone decodes besides: coprocessors that are not there, ARMv8 and its extensions, and instructions with
#: another encoding in the table. Without a row they are Undefined: the ID registers do not announce them.
_ABSENT = """
swp swpb cdp cdp2 ldc ldcl ldc2 ldc2l stc stcl stc2 stc2l mcr mcr2 mrc mrc2 mcrr mcrr2 mrrc mrrc2 hvc smc
lda ldab ldah ldaex ldaexb ldaexd ldaexh stl stlb stlh stlex stlexb stlexd stlexh crc32b crc32h crc32w crc32cb
crc32ch crc32cw hlt sevl setpan esb csdb tsb dcps1 dcps2 dcps3 eret mrs msr bxns blxns sg ttt tt tta ttat
vseleq vselge vselgt vselvs vmaxnm vminnm vcvta vcvtm vcvtn vcvtp vcvtr vrinta vrintm vrintn vrintp vrintr vrintx
vrintz vcmla vcadd vsdot vudot vfmal vfmsl vmovx vins vqrdmlah vqrdmlsh vjcvt vlldm vlstm aesd aese aesimc aesmc
sha1c sha1h sha1m sha1p sha1su0 sha1su1 sha256h sha256h2 sha256su0 sha256su1 vmull
"""
NOT_ANNOUNCED = frozenset(_ABSENT.split())

_known: set[str] = set()


def agree(pattern: Pattern | None, word: int, name: str) -> bool:
    """Whether a row (None: there is none) fits the instruction that Capstone calls ``name`` ("": nothing)."""
    if pattern is None:
        return not name or name in NOT_ANNOUNCED or name in _names()
    if name in pattern.capstone:
        return True
    fault = FAULTS.get((pattern.isa, pattern.name))
    return fault is not None and fault.says == name and bool(fault.when(pattern.extract(word)))


def _names() -> set[str]:
    """All names that rows have there. An instruction of such a name without a row has should-be bits that are not as
    they should be, or fields that no row has: UNPREDICTABLE or UNDEFINED."""
    if not _known:
        _known.update(name for pattern in PATTERNS for name in pattern.capstone)
    return _known
