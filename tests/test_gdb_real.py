"""Debian's own gdb and gdb-multiarch against ``jitrr replay --gdb``, as a person types it, for the demo guests."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from debug_recordings import ARCHITECTURES, demo_recording
from real_gdb import PROGRAMS, TIMEOUT, Debugger, installed

from runtime.recording.recording import Recording
from runtime.timeline.verify import verify

STACK = {"x86_64": "$rsp", "i386": "$esp", "arm": "$sp"}
START = 31_000_000


@pytest.fixture(scope="module", params=ARCHITECTURES)
def gdb(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debugger]:
    installed(request.param)
    recording = demo_recording(request.param, tmp_path_factory.getbasetemp())
    debugger = Debugger(recording.path, request.param, START)
    yield debugger
    debugger.close()


def test_the_line_that_tells_what_to_type(gdb: Debugger) -> None:
    program = PROGRAMS[gdb.arch] + " -ex 'set arm abi AAPCS'" * (gdb.arch == "arm")
    assert f"start {program} and type: target remote 127.0.0.1:{gdb.port}" in gdb.said


def test_steps_both_ways(gdb: Debugger) -> None:
    pcs = gdb.values("p $icount", "p (long)$pc", *["stepi", "p (long)$pc"] * 10, *["reverse-stepi", "p (long)$pc"] * 10,
                     "p $icount", "stepi 25", "reverse-stepi 25", "p $icount")  # fmt: skip
    assert pcs[0] == pcs[-2] == pcs[-1]
    forward = pcs[1:12]
    assert pcs[11:22] == forward[::-1]


def test_breakpoints_both_ways(gdb: Debugger) -> None:
    """From the end of the recording back to a place, and on from there."""
    there, first, last, back, at = gdb.values(
        "p (long)$pc", "p $icount", "set $here = $pc", "stepi 400", "p $icount", "tbreak *$here", "reverse-continue",
        "p (long)$pc", "p $icount",
    )  # fmt: skip
    assert back == there and first <= at < last


def test_a_watchpoint_back_to_the_write(gdb: Debugger) -> None:
    """reverse-continue with a watchpoint ends before the write that made the value, reverse-stepi's way as well."""
    word = f"*(int*)({STACK[gdb.arch]}-8)"
    lines = (f"set $w = (int*)({STACK[gdb.arch]}-8)", "watch *$w", "continue", "p *$w", "p $icount",
             "reverse-continue", "p *$w", "p $icount", "continue", "p *$w", "p $icount")  # fmt: skip
    shown = gdb.run("p " + word, *lines)
    assert re.search(r"Hardware watchpoint \d+: \*\$w", shown), shown
    before, new, after, old, at, again, last = (
        int(number) for number in re.findall(r"^\$\d+ = (-?\d+)$", shown, re.MULTILINE)
    )
    assert (old, at, again, last) == (before, after - 1, new, after), shown
    assert old != new


def test_both_ends_of_the_recording(gdb: Debugger) -> None:
    shown = gdb.run("continue", "p $icount", "reverse-continue", "p $icount")
    assert shown.count("No more reverse-execution history.") == 2 and "jitrr: power-off" in shown
    assert re.findall(r"^\$\d+ = (\d+)$", shown, re.MULTILINE)[1] == "0"


def test_registers_by_name(gdb: Debugger) -> None:
    names = {"x86_64": ("rip", "eflags", "cr3", "efer", "fs_base", "k_gs_base", "xmm3", "st0", "mxcsr"),
             "i386": ("eip", "eflags", "cr0", "cr3", "gdtr_base", "xmm3", "st0", "fctrl"),
             "arm": ("pc", "cpsr", "SCTLR", "TTBR0", "VBAR", "sp_usr", "d5", "q2", "fpscr")}[gdb.arch]  # fmt: skip
    shown = gdb.run(*(f"info registers {name}" for name in names))
    for name in names:
        assert re.search(rf"^{name}\s+\S+", shown, re.MULTILINE), (name, shown)
    assert "Invalid register" not in shown


def test_a_replay_is_not_written_to(gdb: Debugger) -> None:
    register = {"x86_64": "rax", "i386": "eax", "arm": "r0"}[gdb.arch]
    shown = gdb.run(f"set ${register} = 5", "set *(int*)$pc = 0", "p $icount")
    assert "this is a replay: what it was cannot be written" in shown and "Cannot access memory" in shown


def test_monitor_commands(gdb: Debugger) -> None:
    shown = gdb.run("monitor when", "monitor replay_seek 1234567", "maintenance flush register-cache", "p $icount",
                    "monitor info registers", "monitor nonsense")  # fmt: skip
    assert f"Completed instruction: {START}" in shown
    assert "$1 = 1234567" in shown and "CPU#0" in shown and "unknown command" in shown


def test_it_stays_where_it_was_for_the_next_session(gdb: Debugger) -> None:
    (first,) = gdb.values("stepi", "p $icount")
    (second,) = gdb.values("p $icount", seek=None)
    assert first == second


def test_ctrl_c_ends_a_motion(gdb: Debugger) -> None:
    """gdb's own way to say so: an interrupt while the target runs."""
    words = ["-ex", "set pagination off", "-ex", f"target remote localhost:{gdb.port}", "-ex", "monitor replay_seek 0",
             "-ex", "maintenance flush register-cache", "-ex", "shell (sleep 0.3; kill -INT $PPID) &",
             "-ex", "continue", "-ex", "p $icount"]  # fmt: skip
    command = [PROGRAMS[gdb.arch], "-q", "-nx", "-batch", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert "SIGINT" in done.stdout or "No more reverse-execution history" in done.stdout, done.stdout + done.stderr


GENERAL = {"x86_64": "rbx", "i386": "ebx", "arm": "r7"}


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_golive(arch: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Out of the recording by gdb: forward only, everything can be written."""
    installed(arch)
    debugger = Debugger(demo_recording(arch, tmp_path_factory.getbasetemp()).path, arch, START)
    shown = debugger.run(
        "monitor golive", "p $icount", "stepi 20", "p $icount", f"set ${GENERAL[arch]} = 1234",
        f"set $there = (int*)({STACK[arch]}-64)", "set *$there = 4321", "maintenance flush register-cache",
        "maintenance flush dcache", f"p ${GENERAL[arch]}", "p *$there", "watch *$there", "delete",
        "reverse-stepi", "stepi", "p $icount", "monitor quit",
    )  # fmt: skip
    assert "The machine runs live from here on, not recorded" in shown, shown
    start, later, register, memory, last = (int(n) for n in re.findall(r"^\$\d+ = (-?\d+)$", shown, re.MULTILINE))
    assert start == START < later < last and (register, memory) == (1234, 4321), shown
    assert "the machine has left the recording and runs live: there is no going back" in shown, shown
    assert debugger.server.wait(TIMEOUT) == 0


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_golive_into_a_branch(arch: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is recorded from there on is what would happen again: nothing is written to it, and it verifies."""
    installed(arch)
    debugger = Debugger(demo_recording(arch, tmp_path_factory.getbasetemp()).path, arch, START)
    branch = tmp_path / "branch.jrr"
    shown = debugger.run(
        f"monitor golive {branch}", "set $here = $pc", "stepi 400", "p $icount", f"set ${GENERAL[arch]} = 1234",
        "stepi", "p $icount", "monitor quit",
    )  # fmt: skip
    middle, last = (int(n) for n in re.findall(r"^\$\d+ = (-?\d+)$", shown, re.MULTILINE))
    assert f"this is recorded in {branch}" in shown, shown
    assert debugger.server.wait(TIMEOUT) == 0
    recording = Recording(branch)
    assert START < middle < last == recording.icount
    assert verify(recording).good
