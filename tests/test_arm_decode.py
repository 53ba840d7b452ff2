"""The ARM table against Capstone: every encoding of the table, and everything that Capstone decodes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import frontends.arm.table  # noqa: F401  (declares the rows)
from frontends.arm import state as st
from frontends.arm.decode import code_of, decoder, lift
from frontends.arm.patterns import A32, PATTERNS, T32, Pattern, find
from jitrr.microops.table import TABLE

#: Encodings for which Capstone has no name, at least with some operands: hints that are not allocated, SSAT by a shift
#: of 32 to the right, PLDW with SP, VLDM of one register or of many, S registers whose number is odd.
NOT_IN_CAPSTONE = {
    "hint",
    "hint_reg",
    "ssat",
    "usat",
    "pldw",
    "pldw_imm8",
    "pldw_reg",
    "vldm",
    "vldm_db",
    "vstm",
    "vstm_db",
}
#: Instructions that have another's name there, at least with some operands.
OTHER_NAMES = {"wfe": "hint", "wfi": "hint", "cps_narrow": "cps", "vmov_to_lane": "fmdhr"}
#: What Capstone decodes besides: coprocessors that are not there, ARMv8 and its extensions. Undefined here.
NOT_ANNOUNCED = """
swp swpb cdp cdp2 ldc ldcl ldc2 ldc2l stc stcl stc2 stc2l mcr mcr2 mrc mrc2 mcrr mcrr2 mrrc mrrc2 hvc smc
lda ldab ldah ldaex ldaexb ldaexd ldaexh stl stlb stlh stlex stlexb stlexd stlexh crc32b crc32h crc32w crc32cb
crc32ch crc32cw hlt sevl setpan esb csdb tsb dcps1 dcps2 dcps3 eret mrs msr bxns blxns sg ttt tt tta ttat
vseleq vselge vselgt vselvs vmaxnm vminnm vcvta vcvtm vcvtn vcvtp vcvtr vrinta vrintm vrintn vrintp vrintr vrintx
vrintz vcmla vcadd vsdot vudot vfmal vfmsl vmovx vins vqrdmlah vqrdmlsh vjcvt vlldm vlstm aesd aese aesimc aesmc
sha1c sha1h sha1m sha1p sha1su0 sha1su1 sha256h sha256h2 sha256su0 sha256su1 vmull
"""


def named(pattern: Pattern, word: int) -> str:
    """Capstone's name of an instruction, or "" where it has none of that size."""
    cs = decoder(pattern.isa == T32)
    code = code_of(word, pattern.bits, pattern.isa == T32)
    found = next(cs.disasm(code, 0, 1), None)
    return cs.insn_name(found.id) if found is not None and found.size == len(code) else ""


@pytest.mark.parametrize("isa", [A32, T32])
def test_capstone_decodes_what_the_table_has(isa: str) -> None:
    rng, wrong = Random(1), []
    for pattern in PATTERNS:
        if pattern.isa != isa:
            continue
        for _ in range(20):
            word = pattern.random(rng)
            name = named(pattern, word)
            known = {*pattern.capstone, OTHER_NAMES.get(pattern.name)}
            if name not in known and not (name == "" and pattern.name in NOT_IN_CAPSTONE):
                wrong.append(f"{pattern.name} {word:#x}: {name or 'nothing'}, not {sorted(pattern.capstone)}")
    assert not wrong, "\n".join(wrong)


def words(isa: str, bits: int, rng: Random) -> Iterator[int]:
    """Random instructions, among them more of the plain and of the unconditional ones."""
    for number in range(20000 if bits == 32 else 1 << 16):
        word = rng.getrandbits(32)
        if bits == 16:
            word = number
        elif isa == A32:
            word = word & 0x0FFFFFFF | rng.choice((0xE0000000, 0xF0000000, 0x10000000))
        else:
            word |= 0xE8000000 if rng.random() < 0.5 else 0xF0000000
        if isa == A32 or (bits == 32) == (word >> (bits - 5) >= 0b11101):
            yield word


@pytest.mark.parametrize(("isa", "bits"), [(A32, 32), (T32, 32), (T32, 16)])
def test_the_table_has_what_capstone_decodes(isa: str, bits: int) -> None:
    """Or another encoding of that name: then it is one with should-be bits that are not as they should be."""
    known = {name for pattern in PATTERNS for name in pattern.capstone} | set(NOT_ANNOUNCED.split())
    missing = {}
    for word in words(isa, bits, Random(2)):
        if find(isa, word, bits) is None:
            cs = decoder(isa == T32)
            found = next(cs.disasm(code_of(word, bits, isa == T32), 0, 1), None)
            if found is not None and found.size * 8 == bits and cs.insn_name(found.id) not in known:
                missing[cs.insn_name(found.id)] = hex(word)
    assert not missing


def test_patterns_do_not_hide_each_other() -> None:
    """Each has an instruction of its own, and no two are the same."""
    rng = Random(3)
    for pattern in PATTERNS:
        assert find(pattern.isa, pattern.random(rng), pattern.bits) is pattern
    assert len({(p.isa, p.text.replace(" ", "")) for p in PATTERNS}) == len(PATTERNS)


MODES = [0, st.MODE_BIG, st.MODE_USER, st.MODE_ALIGN, st.MODE_FP, st.MODE_FP | st.MODE_BIG | st.MODE_ALIGN]


@pytest.mark.parametrize("isa", [A32, T32])
def test_everything_lifts_in_every_mode(isa: str) -> None:
    """To rows that exist, with exits at the end and nowhere else."""
    rng = Random(4)
    for pattern in (p for p in PATTERNS if p.isa == isa):
        thumb = isa == T32
        for mode in MODES:
            for itstate, more in ((0, 0), (0x08, 0), (0x1C, 0), (0, st.MODE_IT)):
                if not thumb and (itstate or more):
                    continue
                code = code_of(pattern.random(rng), pattern.bits, thumb)
                made = lift(code, mode | more | (st.MODE_THUMB if thumb else 0), itstate)
                kinds = [TABLE[uop.name].kind for uop in made.uops]
                assert made.uops, pattern.name
                ends = kinds.count("exit")
                assert ends == (2 if "branch" in kinds else int(made.ends)), (pattern.name, made.uops)
                assert all(kind == "exit" for kind in kinds[len(kinds) - ends :])
                if more:
                    assert made.ends
