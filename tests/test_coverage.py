"""The x86 table against Capstone's enumeration and against what CPUID announces."""

from __future__ import annotations

from pathlib import Path

import pytest

from frontends.x86 import coverage

PAGE = Path(__file__).resolve().parents[1] / "docs" / "coverage-x86.md"
#: Encodings of features that are not announced but have a meaning on processors without them: BSF and BSR behind F3,
#: the reserved NOPs.
OLDER = {"tzcnt", "lzcnt", "bndcl", "bndcn", "bndcu", "bndldx", "bndmk", "bndmov", "bndstx", "rdsspd", "rdsspq"}


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == coverage.document(), "python -m frontends.x86.coverage > docs/coverage-x86.md"


def test_everything_that_cpuid_announces_is_there() -> None:
    assert coverage.missing() == []
    for feature in filter(coverage.announced, coverage.FEATURES):
        assert [entry.name for entry in coverage.brings(feature) if entry.lifted], feature


@pytest.mark.parametrize("feature", [name for name in coverage.FEATURES if not coverage.announced(name)])
def test_what_cpuid_does_not_announce_is_undefined(feature: str) -> None:
    there = {entry.name for entry in coverage.brings(feature) if entry.lifted}
    assert there <= OLDER


def test_features_of_x86_64_v2_are_announced() -> None:
    needed = ["FPU", "CMPXCHG8B", "CMOV", "MMX", "FXSAVE", "SSE", "SSE2", "SSE3", "SSSE3", "CMPXCHG16B"]
    needed += ["SSE4.1", "SSE4.2", "POPCNT", "SYSCALL"]
    assert [feature for feature in needed if not coverage.announced(feature)] == []


def test_the_survey_sees_what_it_should() -> None:
    table = coverage.survey()
    assert table["add"].modes == {16, 32, 64} and "m32, imm" in table["add"].lifted and table["add"].on_host
    assert table["aaa"].modes == {16, 32}
    assert table["aesenc"].lifted == [] and set(table["aesenc"].forms.values()) == {coverage.UNDEFINED}
    assert table["mov_cr"].group == "system" and not table["mov_cr"].on_host
    assert len(coverage.absent()["AES"]) == 6
