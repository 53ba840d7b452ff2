"""The ARM table against what the ID registers announce."""

from __future__ import annotations

from pathlib import Path

import pytest

from frontends.arm import coverage
from frontends.arm.patterns import PATTERNS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "coverage-arm.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == coverage.document(), "python -m frontends.arm.coverage > docs/coverage-arm.md"


@pytest.mark.parametrize("feature", coverage.FEATURES)
def test_what_the_id_registers_announce_is_there_and_nothing_else(feature: str) -> None:
    there, absent = coverage.announced(feature)
    assert set(there.split()) <= coverage.names()
    assert not set(absent.split()) & coverage.names()


def test_nothing_announced_is_missing() -> None:
    """No example of an encoding stops the machine with a report."""
    assert [p.name for p in PATTERNS if any(uop.name == "missing" for uop in coverage.lifted(p))] == []


def test_the_survey_sees_what_it_should() -> None:
    data, block = coverage.survey()["data"], coverage.survey()["block"]
    assert data["add"].encodings == {"A32": 6, "T32": 9} and data["add"].compiled == "yes"
    assert block["ldrex"].compiled == "yes"
    assert coverage.survey()["system"]["svc"].compiled == "interpreter"
