"""The ARM table against Capstone: every encoding of the table, and everything that Capstone decodes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import frontends.arm.table  # noqa: F401  (declares the rows)
from frontends.arm import agreement
from frontends.arm import decode as decoding
from frontends.arm import state as st
from frontends.arm.agreement import FAULTS, agree
from frontends.arm.decode import code_of, decode, describe_missing, lift
from frontends.arm.patterns import A32, PATTERNS, T32, Pattern, encoding, find
from jitrr.microops.table import TABLE


def name_of(pattern: Pattern, word: int) -> str:
    """Capstone's name of an instruction, or "" where it has none of that size."""
    return decode(code_of(word, pattern.bits, pattern.isa == T32), pattern.isa == T32)[0]


@pytest.mark.parametrize("isa", [A32, T32])
def test_capstone_and_the_table_agree(isa: str) -> None:
    rng, wrong = Random(1), []
    for pattern in PATTERNS:
        for word in (pattern.random(rng) for _ in range(20) if pattern.isa == isa):
            name = name_of(pattern, word)
            if not agree(pattern, word, name):
                wrong.append(f"{pattern.name} {word:#x}: {name or 'nothing'}, not {sorted(pattern.capstone)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("isa", "row"), FAULTS)
def test_each_written_fault_is_one(isa: str, row: str) -> None:
    """In every instruction that it is said of, and in no other of the row."""
    rng, fault, seen = Random(5), FAULTS[isa, row], 0
    for pattern in (pattern for pattern in PATTERNS if (pattern.isa, pattern.name) == (isa, row)):
        for word in (pattern.random(rng) for _ in range(200)):
            faulty = bool(fault.when(pattern.extract(word)))
            assert (name_of(pattern, word) == fault.says) == faulty, hex(word)
            seen += faulty
    assert seen


@pytest.mark.parametrize(("isa", "mode"), [(A32, 0), (T32, st.MODE_THUMB)])
def test_a_disagreement_is_not_lifted(isa: str, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that lifts another's instructions: the guest stops there, with a report that has both names."""
    wrong = encoding(isa, "1110 0001 1010 dddd" if mode else "1110 0001 1010 0000 dddd 0000 0000 mmmm", "bkpt_wrong")
    word = wrong.encode(d=2)
    monkeypatch.setattr(decoding, "row_of", lambda *instruction: wrong)
    code = code_of(word, wrong.bits, bool(mode))
    template = lift(code, mode)
    assert [uop.name for uop in template.uops] == ["missing"] and template.ends
    said = describe_missing(code, bool(mode), 0)
    assert said.endswith(f"Capstone decodes {name_of(wrong, word)}, the table bkpt_wrong") and code.hex(" ") in said


def test_what_is_announced_nowhere_is_undefined_and_else_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instruction without a row: of an extension that is known to be absent, then of none."""
    swp = code_of(0xE1003091, 32, False)
    assert decode(swp, False)[0] == "swp"
    assert lift(swp, 0).uops[0].name == "arm_undefined"
    monkeypatch.setattr(agreement, "NOT_ANNOUNCED", frozenset())
    assert [uop.name for uop in lift(swp, 0).uops] == ["missing"]


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
    missing = {}
    for word in words(isa, bits, Random(2)):
        if find(isa, word, bits) is None:
            name, text = decode(code_of(word, bits, isa == T32), isa == T32)
            if not agree(None, word, name):
                missing[name] = f"{word:#x} {text}"
    assert not missing


def test_patterns_do_not_hide_each_other() -> None:
    """Each has an instruction of its own, and no two are the same."""
    rng = Random(3)
    for pattern in PATTERNS:
        assert find(pattern.isa, pattern.random(rng), pattern.bits) is pattern
    assert len({(p.isa, p.text.replace(" ", "")) for p in PATTERNS}) == len(PATTERNS)


def test_a_t32_saturation_with_a_shift_of_none_is_undefined() -> None:
    assert lift(code_of(0xF32A0A1C, 32, True), st.MODE_THUMB).uops[0].name == "arm_undefined"


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
