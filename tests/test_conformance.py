"""How the conformance suites are judged, without them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

import conformance
import kernels
import kvm_unit_tests
import tcg
from verdict import FAIL, PASS, SKIPPED, Missing, Result


@pytest.mark.parametrize(("program", "text", "outcome", "detail", "reason"), [
    ("tsc", "PASS: a\nSUMMARY: 3 tests\n", PASS, "3 tests", ""),
    ("memory", "SKIP: clwb\nSUMMARY: 7 tests, 1 skipped\n", PASS, "7 tests, 1 skipped", "clwb"),
    ("psci", "SKIP: two needed\nSUMMARY: 1 tests, 1 skipped\n", SKIPPED, "1 tests, 1 skipped", "two needed"),
    ("smap", "enabling apic\nSMAP not enabled\nSUMMARY: 0 tests\n\n", SKIPPED, "0 tests", "SMAP not enabled"),
    ("tsc", "FAIL: b\nSUMMARY: 3 tests, 1 unexpected failures\n", FAIL, "3 tests, 1 unexpected failures; FAIL: b", ""),
    ("tsc", "PASS: a\n", FAIL, "does not come to its end", ""),
    ("sieve", "virtual:5761455\n", PASS, "comes to its end", ""),
    ("tsc", "virtual:5761455\n", FAIL, "does not come to its end", ""),
])  # fmt: skip
def test_kvm_unit_tests(program: str, text: str, outcome: str, detail: str, reason: str) -> None:
    assert kvm_unit_tests.judged("i386", program, text) == Result(
        "kvm-unit-tests, i386", program, outcome, detail, reason
    )


def test_a_failure_is_explained_or_not() -> None:
    text = "FAIL: gicv2: mmio\nSUMMARY: 17 tests\n"
    assert not kvm_unit_tests.judged("arm", "gic mmio", text).unexplained
    assert kvm_unit_tests.judged("arm", "gic active", text).unexplained


@pytest.mark.parametrize(("found", "due", "passed"), [
    (tcg.Outcome(0, b"a\n"), tcg.Outcome(0, b"a\n"), True), (tcg.Outcome(0, b"a\n"), tcg.Outcome(0, b"b\n"), False),
    (tcg.Outcome(0, b"a\n"), tcg.Outcome(0, b"a\nb\n"), False), (tcg.Outcome(1, b""), tcg.Outcome(0, b""), False),
    (tcg.Outcome(0, b""), tcg.Outcome(1, b""), False), (None, tcg.Outcome(0, b""), False),
])  # fmt: skip
def test_programs(found: tcg.Outcome | None, due: tcg.Outcome, passed: bool) -> None:
    assert tcg.compared("sha1", found, due)[0] is passed


def boot(*messages: str, said: str = "x") -> str:
    """A guest's console."""
    lines = [f"[    1.{n:06}] {message}" for n, message in enumerate(messages)]
    return "\n".join([said, kernels.BEGIN, *lines, kernels.END, "[    9.000000] reboot: Power down", ""])


def test_messages_of_a_kernel() -> None:
    there = boot("Memory: 100K", "mask: 0xffff", "shift -3")
    assert kernels.messages_result("g", boot("mask: 0x1f", "shift 4"), there).outcome == PASS
    named = boot("ACPI: RSDP 0x00000000000E0000 000014 (v00 JITRR )", "DMI: jitrr jitrr PC, BIOS 1 01/01/2022")
    other = boot("ACPI: RSDP 0x00000000000F59B0 000014 (v00 BOCHS )", "DMI: QEMU Standard PC (i440FX), BIOS 1.16-b 4")
    assert kernels.messages_result("g", named, other).detail == "2 lines, 0 of them not QEMU's"
    explained = kernels.messages_result("g", boot("TSC deadline timer available"), there)
    assert (explained.outcome, explained.detail) == (PASS, "1 lines, 1 of them not QEMU's")
    assert explained.reason
    assert kernels.messages_result("g", boot("oops"), there).unexplained
    assert kernels.messages_result("g", "", there).unexplained


def test_script_of_a_kernel() -> None:
    assert kernels.script_result("g", boot(), boot("other")).outcome == PASS
    assert "+ y" in kernels.script_result("g", boot(said="y"), boot()).detail
    assert kernels.script_result("g", "x", boot()).outcome == FAIL


def test_what_is_missing_is_said_and_the_page_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    page = tmp_path / "conformance.md"
    page.write_text("as it was")
    monkeypatch.setattr(conformance, "PAGE", page)
    monkeypatch.setattr(kernels, "jobs", lambda work: [])
    monkeypatch.setenv("JITRR_SUITES", str(tmp_path))
    assert conformance.main() == 0
    lines = capsys.readouterr().out.splitlines()
    for suite in conformance.SUITES[:-1]:
        assert sum(line.startswith(f"missing: {tmp_path / suite.folder}: put there ") for line in lines) == 1
    assert page.read_text() == "as it was"


@pytest.mark.parametrize(("reason", "code"), [("", 1), ("known", 0)])
def test_the_page_is_written_and_failures_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str,
                                                 code: int) -> None:  # fmt: skip
    page = tmp_path / "conformance.md"
    monkeypatch.setattr(conformance, "PAGE", page)
    results = [Result("s", "a", PASS, "1 | 2"), Result("s", "b", FAIL, "d", reason)]
    jobs = [lambda result=result: [result] for result in results]
    monkeypatch.setattr(conformance, "SUITES", (conformance.Suite("", lambda source, work: jobs),))
    monkeypatch.setenv("JITRR_SUITES", str(tmp_path))
    assert conformance.main() == code
    text = page.read_text()
    assert f"| s | a | pass | 1 &#124; 2 |  |\n| s | b | FAIL | d | {reason} |\n" in text
    assert "1 pass, 1 fail, 0 are skipped." in text


def test_a_guest_that_cannot_be_had_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def job() -> list[Result]:
        raise Missing("no guest")

    monkeypatch.setattr(conformance, "SUITES", (conformance.Suite("", lambda source, work: [job]),))
    assert conformance.run_all(tmp_path, tmp_path).missing == ["no guest"]
