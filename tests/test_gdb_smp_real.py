"""Debian's gdb with a thread for each processor: the guests of two processors, and Debian's kernels on them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from linux_guests import WITHOUT_SELF_TESTS, fetched, jitrr, with_words
from real_gdb import TIMEOUT, Debugger, installed
from smp_guest import ARCHITECTURES, PRIVATE, smp_recording

from runtime.recording.recording import Recording
from runtime.timeline.verify import verify

KERNELS = {"x86_64": "debian-cloud-x86_64", "i386": "debian-i386", "arm": "debian-arm"}
_NUMBER = re.compile(r"^\$\d+ = (-?\d+)$", re.MULTILINE)
MIDDLE = 1_500_000


@pytest.fixture(scope="module", params=ARCHITECTURES)
def gdb(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debugger]:
    arch = request.param
    installed(arch)
    recording, linked = smp_recording(arch, tmp_path_factory.getbasetemp())
    debugger = Debugger(recording.path, arch, MIDDLE, linked)
    yield debugger
    debugger.close()


def test_threads(gdb: Debugger) -> None:
    shown = gdb.run("info threads", "thread apply all bt", "thread 1", f"p *(int*){PRIVATE[gdb.arch]} & 1",
                    "thread 2", f"p *(int*){PRIVATE[gdb.arch]} & 1")  # fmt: skip
    for number in (1, 2):
        line = rf"^[* ] {number} +Thread {number} \(CPU#{number - 1} \[(running|halted)\]\) .* in \w+ \(\)"
        assert re.search(line, shown, re.MULTILINE), shown
        assert f"Thread {number} (Thread {number} (CPU#{number - 1} [" in shown
    assert len(re.findall(r"^#1 .* in round \(\)", shown, re.MULTILINE)) == 2, shown
    assert _NUMBER.findall(shown) == ["0", "1"], shown


@pytest.mark.parametrize("number", [1, 2])
def test_steps_of_a_thread_both_ways(gdb: Debugger, number: int) -> None:
    """Looking at all threads in between does not change which one is stepped."""
    look = ("thread apply all bt", "p (long)$pc")
    shown = gdb.run(f"thread {number}", "stepi", "p $icount", "p (long)$pc", *["stepi", *look] * 5,
                    *["reverse-stepi", *look] * 5, "p $icount", "p $_thread")  # fmt: skip
    start, *pcs, end, thread = map(int, _NUMBER.findall(shown))
    assert pcs[:6] == pcs[-1:4:-1] and thread == number and start <= end, shown


def test_breakpoints_of_both_threads_both_ways(gdb: Debugger) -> None:
    stops = ("p $icount", "p $_thread")
    shown = gdb.run("break work", *["continue", *stops] * 5, *["reverse-continue", *stops] * 4, "info threads")
    found = list(map(int, _NUMBER.findall(shown)))
    places = list(zip(found[::2], found[1::2], strict=True))
    assert places[:5] == places[:3:-1] and {thread for _, thread in places} == {1, 2}, shown
    assert re.search(r"^Thread [12] hit Breakpoint 1, .* in work \(\)", shown, re.MULTILINE), shown
    assert shown.count("[Switching to Thread") >= 3, shown


def test_a_watchpoint_back_to_the_other_thread(gdb: Debugger) -> None:
    """Who wrote last is not who is looked at."""
    shown = gdb.run("tbreak work", "continue", "p $_thread", "watch *(int*)&turn", "reverse-continue", "p $_thread",
                    "p *(int*)&turn", "stepi", "p *(int*)&turn", "p $_thread")  # fmt: skip
    here, writer, before, after, stepped = map(int, _NUMBER.findall(shown))
    assert writer == 3 - here == stepped and (before, after) == (writer - 1, here - 1), shown


def test_a_step_over_a_call(gdb: Debugger) -> None:
    """``finish`` and its reverse end in their own thread, whoever else is in the function."""
    shown = gdb.run("tbreak work", "continue", "p $_thread", "p $icount", "finish", "info symbol $pc", "p $_thread",
                    "reverse-stepi", "reverse-finish", "info symbol $pc", "p $_thread", "p $icount")  # fmt: skip
    thread, begin, *threads, end = map(int, _NUMBER.findall(shown))
    assert threads == [thread, thread] and begin - 8 < end < begin and shown.count("round + ") == 2, shown


def test_the_monitor_looks_at_a_processor_of_its_own(gdb: Debugger) -> None:
    """Whosever turn it is, or the one it was told; whatever gdb has looked at, and gdb's thread stays the same."""
    shown = gdb.run("tbreak work", "continue", "p $_thread", "thread apply all bt 1", "monitor info cpus",
                    "monitor cpu 0", "thread 2", "monitor info cpus", "p $_thread")  # fmt: skip
    turn, *_, thread = map(int, _NUMBER.findall(shown))
    assert re.findall(r"^\* CPU #(\d):", shown, re.MULTILINE) == [str(turn - 1), "0"] and thread == 2, shown


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_golive(arch: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Out of the recording: steps of both threads, breakpoints, and the branch is as good a recording."""
    installed(arch)
    recording, linked = smp_recording(arch, tmp_path_factory.getbasetemp())
    branch = tmp_path_factory.mktemp("golive") / "branch.jrr"
    debugger = Debugger(recording.path, arch, MIDDLE, linked)
    stops = ("p $_thread", "p $icount")
    shown = debugger.run(
        f"monitor golive {branch}", "thread 2", "stepi", *stops, "thread 1", "stepi", *stops, "break work",
        "continue", *stops, "continue", *stops, "reverse-stepi", "delete", "thread 1", "stepi", *stops, "monitor quit",
    )  # fmt: skip
    found = list(map(int, _NUMBER.findall(shown)))
    assert found[0] == 2 and found[2] == found[8] == 1 and found[1::2] == sorted(found[1::2]), shown
    assert "runs live: there is no going back" in shown, shown
    assert debugger.server.wait(TIMEOUT) == 0
    made = Recording(branch)
    assert made.icount == found[9] and verify(made).good


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_kernels(arch: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where Linux has started the others each thread is in a function of its own; back to the beginning of one."""
    installed(arch)
    folder = tmp_path_factory.mktemp("kernel")
    path, symbols, script = folder / "boot.jrr", folder / "kernel.elf", folder / "enough.txt"
    script.write_text('after "smp: Brought up" stop\n')
    guest = [word.replace("quiet", "") for word in with_words(fetched(KERNELS[arch]), WITHOUT_SELF_TESTS, "earlycon")]
    done = jitrr("record", *guest, "--smp", 3, "--input-script", script, "-o", path)
    assert done.returncode == 0 and "smp: Brought up" in done.stdout, done.stderr
    done = jitrr("symbols", path, "-o", symbols)
    assert done.returncode == 0, done.stderr
    debugger = Debugger(path, arch, None, symbols, ("--seek", "end"))
    try:
        begin = "secondary_start_kernel" if arch == "arm" else "start_secondary"
        shown = debugger.run("info threads", "thread apply all bt 3", f"tbreak {begin}", "reverse-continue",
                             "info threads", "p $_thread", "p $icount", "stepi", "reverse-stepi", "p $icount",
                             "p $_thread")  # fmt: skip
    finally:
        debugger.close()
    for number in (1, 2, 3):
        assert re.search(rf"^[* ] {number} +Thread {number} \(CPU#{number - 1} \[\w+\]\) .* in \w+ \(\)", shown,
                         re.MULTILINE), shown  # fmt: skip
    assert "Thread 3 hit Temporary breakpoint 1, 0x" in shown and f"in {begin} ()" in shown, shown
    first, at, again, last = map(int, _NUMBER.findall(shown))
    assert (first, last) == (3, 3) and at == again, shown
