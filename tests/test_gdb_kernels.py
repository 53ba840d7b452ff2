"""Debian's gdb on unmodified Debian kernels, by the names and frames of ``jitrr symbols``, forward and backward."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from debug_recordings import ARCHITECTURES
from gdb_interrupts import check_range_past_an_interrupt
from linux_guests import WITHOUT_SELF_TESTS, fetched, jitrr, with_words
from real_gdb import Debugger, installed

from runtime.recording.recording import Recording
from runtime.timeline.travel import Travel

GUESTS = {"x86_64": "debian-cloud-x86_64", "i386": "debian-i386", "arm": "debian-arm"}
#: Printed soon after the first processes are there.
ENOUGH = 'after "devtmpfs: initialized" stop\n'
CALL = {"x86_64": "call", "i386": "call", "arm": "bl"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=ARCHITECTURES)
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debugger]:
    """The beginning of a boot, served at its end, and the file of the kernel's symbols."""
    arch = request.param
    installed(arch)
    folder = tmp_path_factory.mktemp("kernel")
    path, symbols, script = folder / "boot.jrr", folder / "kernel.elf", folder / "enough.txt"
    script.write_text(ENOUGH)
    guest = [word.replace("quiet", "") for word in with_words(fetched(GUESTS[arch]), WITHOUT_SELF_TESTS, "earlycon")]
    done = jitrr("record", *guest, "--input-script", script, "-o", path)
    assert done.returncode == 0 and "devtmpfs" in done.stdout, done.stderr
    done = jitrr("symbols", path, "-o", symbols)
    assert done.returncode == 0, done.stderr
    debugger = Debugger(path, arch, None, symbols, ("--seek", "end"))
    yield debugger
    debugger.close()


def test_names_frames_and_steps_both_ways(kernel: Debugger) -> None:
    """Into a function that the kernel's start calls once, out of it, over the call and into it backward."""
    icount, where = "p $icount", "info symbol $pc"
    over_it = ("reverse-step", "reverse-finish") if kernel.arch == "arm" else ("reverse-next",)
    shown = kernel.run(
        "echo back\\n", "tbreak start_kernel", "reverse-continue", icount,
        "echo down\\n", "tbreak cred_init", "continue", "tbreak kmem_cache_create", "continue", "bt", icount,
        "echo finish\\n", "set step-mode on", "finish", "finish", where, icount,
        "echo over\\n", *over_it, "x/i $pc", where, icount,
        "echo again\\n", "next", where, icount,
        "echo in\\n", "reverse-step", where, icount,
        "echo out\\n", "reverse-finish", where, icount,
        "echo forward\\n", "step", where, icount, "reverse-stepi", icount,
        "echo on\\n", "advance rest_init", where, icount, "reverse-finish", "x/i $pc",
    )  # fmt: skip
    at = [int(number) for number in re.findall(r"^\$\d+ = (\d+)$", shown, re.MULTILINE)]
    begin, inner, finished, over, again, inside, out, stepped, unstepped, rest = at
    assert begin < over < inner < inside < finished < rest, shown
    assert (again, inside, out, stepped, unstepped) == (finished, finished - 1, over, over + 1, over), shown
    frames = [f"#{n} .* in {name} \\(\\)" for n, name in enumerate(("kmem_cache_create", "cred_init", "start_kernel"))]
    assert re.search("^down\n(?:.*\n)*?" + " *\n".join(frames), shown, re.MULTILINE), shown
    calls = re.findall(rf"^=> \S+ <(\w+)\+\d+>:\t{CALL[kernel.arch]}\s.*<(\w+)>$", shown, re.MULTILINE)
    assert len(calls) == 2 and calls[0] == ("start_kernel", "cred_init") and calls[1][1] == "rest_init", shown
    symbols = re.findall(r"^(\w+)(?: \+ \d+)? in section \.text$", shown, re.MULTILINE)
    assert symbols == ["start_kernel"] * 3 + ["cred_init", "start_kernel", "cred_init", "rest_init"], shown
    assert "Cannot access memory" not in shown and "corrupt" not in shown.replace(_ARM_END, ""), shown


def test_a_variable_of_the_kernel_is_watched_both_ways(kernel: Debugger) -> None:
    """The write that sets it, reads of it, and back to that write."""
    if kernel.arch != "x86_64":
        pytest.skip("this kernel has names of functions only")
    it, icount, where = "*(long*)&cred_jar", "p $icount", "info symbol $pc"
    shown = kernel.run(
        f"p {it}", "tbreak start_kernel", "reverse-continue", f"p {it}", f"watch {it}", "continue", f"p {it}", icount,
        where, "delete", f"rwatch {it}", "continue", icount, "continue", icount, "delete", f"awatch {it}",
        *["reverse-continue", icount] * 2, "delete", f"watch {it}", "reverse-continue", icount, f"p {it}",
    )  # fmt: skip
    last, before, new, written, read, later, back, again, begin, old = (
        int(number) for number in re.findall(r"^\$\d+ = (-?\d+)$", shown, re.MULTILINE)
    )
    assert before == old == 0 != new == last, shown
    assert written < read < later and (back, again, begin) == (later - 1, read - 1, written - 1), shown
    assert re.search(r"^cred_init \+ \d+ in section", shown, re.MULTILINE), shown
    assert shown.count("Hardware read watchpoint") == 3 and "Hardware access (read/write) watchpoint" in shown, shown


def test_a_range_goes_past_an_interrupt(kernel: Debugger) -> None:
    """gdb's ``step`` through a function is not left for the handler of an interrupt."""
    recording = Recording(kernel.recording)
    travel = Travel(recording)
    travel.seek(recording.icount - 4_000_000)
    check_range_past_an_interrupt(travel)
    travel.close()


#: What ARM's kernel leaves gdb with at the outermost frame.
_ARM_END = "Backtrace stopped: previous frame identical to this frame (corrupt stack?)"
