"""The monitor's commands over recordings of the demo guests: what they show against the machine, where they go against
single steps, and what they say to mistakes."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from debug_recordings import ARCHITECTURES, demo_recording

from jitrr.engine.constants import TLB_BYTES, TLB_ENTRY, TLB_SIZE
from runtime.debug.monitor.commands import TABLE, MonitorError
from runtime.debug.monitor.expressions import evaluate
from runtime.debug.monitor.keys import key_number
from runtime.debug.monitor.monitor import Monitor
from runtime.debug.target import make_target
from runtime.recording.recording import Recording
from runtime.timeline.travel import Travel
from runtime.timeline.verify import verify

PLACE = 2_000_000
NOTHING = (1 << 64) - 1


@pytest.fixture(scope="module", params=ARCHITECTURES)
def travel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Travel]:
    found = Travel(demo_recording(request.param, tmp_path_factory.getbasetemp()))
    yield found
    found.close()


@pytest.fixture
def monitor(travel: Travel) -> Monitor:
    travel.stops.clear()
    travel.seek(PLACE)
    return Monitor(travel, make_target(travel.machine))


def numbers(text: str) -> list[int]:
    return [int(number, 0) for number in re.findall(r"0x[0-9a-f]+|\b\d+\b", text)]


def test_every_command_has_help(monitor: Monitor) -> None:
    listed = monitor.execute("help").splitlines()
    assert [line.split("  ")[0].strip() for line in listed] == [TABLE[name].usage for name in sorted(TABLE)]
    assert monitor.execute("help info replay").startswith("info replay")
    assert monitor.execute("help rc").startswith("reverse-continue")


def test_registers(monitor: Monitor) -> None:
    shown = monitor.execute("info registers")
    target = monitor.target
    for register in target.registers[:8]:
        label = f"R{register.name[1:]:0>2}" if target.arch == "arm" else f"{register.name.upper():<3}"
        digits = 16 if target.arch == "x86_64" else 8
        assert f"{label}={target.read_register(register.name):0{digits}x}" in shown
    assert monitor.execute("print/x $pc") == f"{target.pc:#x}\n"
    assert monitor.execute("p $sp - $sp + 3*(4|1) - ~0") == "0x10\n"


def test_memory(monitor: Monitor) -> None:
    target, sp = monitor.target, monitor.value("$sp")
    data = target.read(sp, 32)
    shown = monitor.execute("x/8xw $sp").splitlines()
    assert [int(word, 0) for line in shown for word in line.split(": ")[1].split()] == [
        int.from_bytes(data[at : at + 4], "little") for at in range(0, 32, 4)
    ]
    assert int(shown[0].split(":")[0], 16) == sp
    physical = target.translate(sp)
    assert monitor.execute("gva2gpa $sp") == f"gpa: {physical:#x}\n"
    by_physical = monitor.execute(f"xp/32xb {physical}")
    assert bytes(int(b, 0) for line in by_physical.splitlines() for b in line.split(": ")[1].split()) == data
    assert monitor.execute(f"xp/2db {physical}").count(":") == 1
    assert "Cannot access memory" in monitor.execute("xp/4xw 0xfe00000000")


def test_instructions(monitor: Monitor) -> None:
    lines = monitor.execute("x/3i $pc").splitlines()
    assert len(lines) == 3
    assert int(lines[0].split(":")[0], 16) == monitor.target.pc
    code = bytes.fromhex(lines[0].split(":  ")[1].split("  ")[0])
    assert code == monitor.target.read(monitor.target.pc, len(code))
    assert lines[0].split()[-2] in monitor.execute("forward 0")


def test_mappings(monitor: Monitor) -> None:
    ranges = [line.split()[0].split("-") for line in monitor.execute("info mem").splitlines()]
    pages = [int(line.split(":")[0], 16) for line in monitor.execute("info tlb").splitlines()]
    assert all(any(int(start, 16) <= page < int(end, 16) for start, end in ranges) for page in pages)
    assert len(pages) == len(list(monitor.target.mappings()))


def in_user_mode(monitor: Monitor) -> bool:
    state = monitor.target.machine.engine.state
    return int(state["tlb"]) != int(state["tlb_base"])


def walked(monitor: Monitor, address: int) -> int | None:
    """The place in RAM of a virtual address as the processor itself finds it for a load; None: that faults."""
    engine = monitor.target.machine.engine
    state, signed = engine.state, address - (1 << 64) if address >> 63 else address
    engine.call("flush_tlb")
    engine.call("slow_load", signed, 1, engine.cells.ctypes.data, 0)
    faulted, state["exc_vector"] = int(state["exc_vector"]) != NOTHING, NOTHING
    if faulted:
        return None
    entry = int(state["tlb_base"]) + in_user_mode(monitor) * TLB_BYTES + (address >> 12) % TLB_SIZE * TLB_ENTRY
    addend = ctypes.c_uint64.from_address(entry + 24).value
    return (address + addend - int(state["ram"])) & NOTHING


@pytest.mark.parametrize("share", [0.03, 0.5, 1.0])
def test_mappings_are_those_of_the_processor(monitor: Monitor, travel: Travel, share: float) -> None:
    """Every page of ``info tlb``, and the addresses before and behind each stretch of ``info mem``."""
    travel.seek(int(travel.end * share))
    digest = travel.replay.digest()
    locate = monitor.target.machine.engine.locate
    pages = [re.match(r"(\w+): (\w+) +(\d+) KiB ([\w-]{4})\n", line) for line in
             monitor.execute("info tlb").splitlines(keepends=True)]  # fmt: skip
    assert len(pages) > 10 and all(pages)
    for page in pages:
        assert page is not None
        virtual, physical, size = int(page[1], 16), int(page[2], 16), int(page[3]) << 10
        for offset in (0, size // 2, size - 1):
            if (place := locate(physical + offset)) is not None:  # otherwise it is a device's
                may = page[4][1] == "r" and (page[4][0] == "u" or not in_user_mode(monitor))
                assert walked(monitor, virtual + offset) == (place if may else None)
                assert monitor.execute(f"gva2gpa {virtual + offset}") == f"gpa: {physical + offset:#x}\n"
    ranges = [line.split()[0].split("-") for line in monitor.execute("info mem").splitlines()]
    edges = {int(first, 16) - 1 for first, _ in ranges} | {int(last, 16) for _, last in ranges}
    inside = [(int(first, 16), int(last, 16)) for first, last in ranges]
    top = 1 << (47 if monitor.target.arch == "x86_64" else 32)
    for edge in edges:
        if 0 <= edge < top and not any(first <= edge < last for first, last in inside):
            assert walked(monitor, edge) is None and monitor.execute(f"gva2gpa {edge}") == "Unmapped\n"
    travel.replay.seek(travel.icount, afresh=True)  # the walks have set accessed bits
    assert travel.replay.digest() == digest


def test_status(monitor: Monitor) -> None:
    assert monitor.execute("info status") == "VM status: paused\n"
    path = monitor.travel and monitor.travel.recording.path
    assert monitor.execute("info replay") == f"Replaying execution '{path}': instruction count = {PLACE}\n"
    assert monitor.execute("when").startswith(f"Completed instruction: {PLACE}, virtual time 0.016000000 s, ")
    assert monitor.execute("info version").strip().count(".") >= 2


def test_moving(monitor: Monitor, travel: Travel) -> None:
    for line, icount in (
        ("forward 10", PLACE + 10), ("back 3", PLACE + 7), ("forward", PLACE + 8), ("rsi", PLACE + 7),
        (f"replay_seek {PLACE - 5}", PLACE - 5), ("seek 0x10+0x20", 0x30), ("cont", travel.end),
        ("reverse-continue", 0),
    ):  # fmt: skip
        said = monitor.execute(line)
        assert f"instruction {icount} of {travel.end}, pc {travel.pc:#x}: " in said
        assert travel.icount == icount
    assert said.startswith("The recording begins here")


def test_replay_breaks_stop_in_both_directions(monitor: Monitor, travel: Travel) -> None:
    for place in (PLACE + 700, PLACE + 30, PLACE - 50):
        assert monitor.execute(f"replay_break {place}") == ""
    assert monitor.execute("info breakpoints").count("replay_break") == 3
    reached = []
    for line in ("cont", "cont", "rc", "rc", "rc"):
        monitor.execute(line)
        reached.append(travel.icount - PLACE)
    assert reached == [30, 700, 30, -50, -PLACE]
    assert monitor.execute(f"replay_delete_break {PLACE - 50}") == ""
    monitor.execute("cont")
    assert travel.icount == PLACE + 30
    monitor.execute("replay_delete_break")
    assert monitor.execute("cont").startswith("The recording ends here (power-off): ")


def test_breakpoints(monitor: Monitor, travel: Travel) -> None:
    travel.step(5)
    pc, again = travel.pc, travel.icount
    travel.seek(PLACE)
    assert monitor.execute(f"break {pc:#x}") == f"Breakpoint 1 at {pc:#x}\n"
    assert monitor.execute("cont").startswith(f"Breakpoint 1: instruction {again} of")
    monitor.execute("forward 1")
    assert monitor.execute("rc").startswith(f"Breakpoint 1: instruction {again} of")
    assert travel.points == ()  # those of gdb are not touched
    monitor.execute("delete 1")
    assert monitor.execute("info breakpoints") == "none\n"


def test_last_write(monitor: Monitor, travel: Travel) -> None:
    """Single steps see the same write."""
    sp = monitor.value("$sp")
    said = monitor.execute(f"last-write {sp:#x} 4")
    at = travel.icount
    assert re.match(rf"Watchpoint, {sp & ~7:#x}|Watchpoint, {sp:#x}", said) and at < PLACE
    assert monitor.execute(f"watch {sp:#x} 4").startswith("Watchpoint 1: write, 4 bytes at ")
    assert monitor.execute("cont").startswith("Watchpoint 1, ") and travel.icount == at + 1
    monitor.execute("delete")
    physical = monitor.target.translate(sp)
    travel.seek(PLACE)
    monitor.execute(f"last-write-phys {physical} 4")
    assert travel.icount == at
    travel.seek(PLACE)
    for kind in ("read", "access"):
        said = monitor.execute(f"{kind[0]}watch-phys {physical} 4")
        assert said.endswith(f": {kind}, 4 bytes at {physical:#x} (physical)\n")
    said = monitor.execute("rc")
    assert re.match(r"Watchpoint \d, 0x[0-9a-f]+ (read|accessed): ", said) and at <= travel.icount < PLACE
    monitor.execute("delete")
    accessed = travel.icount
    travel.seek(PLACE)
    assert "read: instruction" in monitor.execute(f"last-read-phys {physical} 4")
    read = travel.icount
    assert accessed == max(at, read)
    travel.seek(PLACE)
    monitor.execute(f"last-read {sp:#x} 4")
    assert travel.icount == read
    travel.seek(10)
    assert monitor.execute(f"last-write-phys {physical} 4").startswith(
        "Nothing has written there before instruction 10"
    )


def test_console_output(monitor: Monitor, travel: Travel) -> None:
    """Backward and forward to what the console printed; positions are those of ``console:``."""
    monitor.execute('replay_seek console:"What is"')
    first = travel.icount
    monitor.execute('replay_seek console:"What is"#-1')
    assert travel.icount == first  # it asks once
    assert monitor.execute('watch-console "What is"') == "Watchpoint 1: console, 'What is'\n"
    assert monitor.execute("info breakpoints") == "Watchpoint 1: console, 'What is'\n"
    monitor.execute("replay_seek end")
    for line in ("rc", 'last-console "What is"', "last-console What is"):
        monitor.execute("replay_seek end")
        assert "console printed 'What is': instruction " in monitor.execute(line) and travel.icount == first
    monitor.execute(f"replay_seek {PLACE}")
    assert monitor.execute("cont").startswith("Watchpoint 1, console printed 'What is': ") and travel.icount == first
    assert monitor.execute("cont").startswith("The recording ends here (power-off)")
    monitor.execute(f"replay_seek {first}")
    missing = f"The console has not printed that before instruction {first}. The recording begins here: "
    assert monitor.execute("last-console What is").startswith(missing)


def test_checkpoints(monitor: Monitor, travel: Travel) -> None:
    assert monitor.execute("checkpoint").startswith(f"Checkpoint 1 at instruction {PLACE} of")
    monitor.execute("forward 20")
    assert monitor.execute("checkpoint").startswith("Checkpoint 2")
    monitor.execute("restart 1")
    assert travel.icount == PLACE
    assert numbers(monitor.execute("info checkpoints"))[:4] == [1, PLACE, 2, PLACE + 20]
    assert monitor.execute("delete checkpoint 2") == ""
    assert monitor.execute("restart 2") == "Error: no checkpoint 2 (info checkpoints lists them)\n"
    monitor.execute("restart")
    assert travel.icount == 0


def test_snapshots_are_kept_with_the_recording(monitor: Monitor, travel: Travel) -> None:
    assert monitor.execute("savevm early") == ""
    path = travel.recording.path
    other = Travel(Recording(path))  # it opens all the same, and has them
    try:
        again = Monitor(other, make_target(other.machine))
        again.execute("loadvm early")
        assert other.icount == PLACE
        again.execute("replay_seek 0")
        again.execute("replay_seek early")
        assert other.icount == PLACE
        assert "early" in again.execute("info snapshots")
        assert again.execute("delvm early") == ""
    finally:
        other.close()
    assert monitor.execute("info snapshots") == "There is no snapshot available.\n"
    assert monitor.execute("loadvm early") == "Error: no snapshot 'early' (info snapshots lists them)\n"


@pytest.mark.parametrize(("line", "said"), [
    ("nothing", "unknown command: 'nothing'"), ("info", "info what? one of: "), ("info nothing", "info what?"),
    ("replay_seek", "usage: replay_seek PLACE"), ("when now", "usage: when"), ("when/3", "usage: when"),
    ("x/9q 0", "invalid format '9q'"), ("x/1000000000xb 0", "too much at once"), ("print/i 3", "print has the formats"),
    ("x/i 0x20000000", "Cannot access memory"), ("replay_seek 1 +", "invalid expression '1 +'"),
    ("replay_seek $nothing", "unknown register $nothing"), ("p 1/0", "division by zero"),
    ("p __import__('os')", "invalid"),
    ("p 1.5", "invalid expression"), ("replay_seek 1 << 60", "there is no instruction 1152921504606846976"),
    ("replay_break 1 << 60", "there is no instruction"), ("replay_delete_break 7", "no replay_break at instruction 7"),
    ("delete 9", "no breakpoint or watchpoint 9"), ("watch 0 0", "1 to 65536 bytes"), ("savevm 1x", "no name"),
    ("delvm gone", "no snapshot 'gone'"), ("last-write-phys 1<<45", "no RAM at physical address"),
    ("sendkey a", "this is a replay, its input is what was recorded"), ("system_powerdown", "this is a replay"),
    ("mouse_move 1 1", "this is a replay"), ("\x00\xff", "unknown command"),
    ("break panic", "unknown name 'panic': there are no symbols"), ("replay_seek panic", "'panic' is no place"),
    ("back panic", "'panic' is no place"), ("x/3i panic", "unknown name"), ("print/a 3", "print has the formats"),
    ("help me", "unknown"), ("watch-console", "usage: watch-console TEXT"), ('watch-console ""', "is no point"),
    ("replay_seek console:never", "never printed 'never'"),
])  # fmt: skip
def test_mistakes(monitor: Monitor, line: str, said: str) -> None:
    output = monitor.execute(line)
    assert output.startswith("Error: ") and said in output and output.count("\n") == 1
    assert monitor.icount == PLACE
    with pytest.raises(MonitorError):
        monitor.perform(line)


def test_going_live(travel: Travel, tmp_path: Path) -> None:
    """Somebody else answers: the machine runs on by itself from the question, and its branch is a recording."""
    other = Travel(travel.recording)
    try:
        monitor = Monitor(other, make_target(other.machine))
        monitor.execute('replay_seek console:"What is your name? "')
        at = other.icount
        path = tmp_path / "bob.jrr"
        said = monitor.execute(f"golive {path}")
        assert said.startswith(f"The machine runs live from here on, recorded in {path}: instruction {at}, pc ")
        assert monitor.execute(f"golive {tmp_path / 'more.jrr'}").startswith("Error: the machine runs live already")
        assert "runs live: there is no going back" in monitor.execute("back")
        assert monitor.execute("info replay").startswith(f"Recording execution '{path}'")
        assert "where its console prints is not known" in monitor.execute("watch-console Hello")
        assert monitor.execute('input keyboard "Bob\\n"') == ""
        assert monitor.execute("input nothing").startswith("Error: input:1: unknown action")
        assert monitor.execute("forward 10").startswith(f"Stopped: instruction {at + 10}, pc ")
        assert monitor.execute("cont").startswith("The machine is switched off: instruction ")
    finally:
        other.close()
    branch = Recording(path)
    assert branch.past is not None and branch.past.icount == at
    assert b"Hello, Bob" in b"".join(printed.data for printed in branch.log.printed or ())
    assert verify(branch).good


def test_an_empty_line_is_nothing(monitor: Monitor) -> None:
    assert monitor.execute("  ") == ""


def test_looking_leaves_no_trace(monitor: Monitor, travel: Travel) -> None:
    digest = travel.replay.digest()
    for line in ("info registers", "info mem", "info tlb", "x/20i $pc", "x/64xb $sp", "when", "info checkpoints"):
        monitor.execute(line)
    assert travel.replay.digest() == digest


def test_expressions() -> None:
    symbols = {"name0": 5, "foo.cold": 100, "_a": 3, "x10": 9}

    def symbol(name: str) -> int:
        if name not in symbols:
            raise MonitorError("unknown name")
        return symbols[name]

    assert evaluate("(1 + 2) * 3 << 4 ^ 0xf | 1 & 3", lambda name: 0, int, symbol) == ((1 + 2) * 3 << 4 ^ 0xF | 1 & 3)
    assert evaluate("$a * $b + -$c", {"a": 6, "b": 7, "c": 2}.__getitem__, int, symbol) == 40
    assert evaluate("[$a + [8]] + 1", {"a": 6}.__getitem__, {8: 100, 106: 7}.__getitem__, symbol) == 8
    assert evaluate("foo.cold + name0*$_a - [_a+x10]", {"_a": 2}.__getitem__, {12: 7}.__getitem__, symbol) == 103
    for wrong in (
        "",
        "1 2",
        "a",
        "$",
        "f(1)",
        "1 if 1 else 2",
        "[1, 2]",
        "'a'",
        "True",
        "1 ** 9",
        "1" * 2000,
        "(" * 900,
    ):
        with pytest.raises(MonitorError):
            evaluate(wrong, lambda name: 0, int, symbol)


def test_keys_are_those_of_linux() -> None:
    """Numbers of the kernel's input-event-codes.h."""
    known = {"esc": 1, "1": 2, "0": 11, "ret": 28, "ctrl": 29, "a": 30, "shift": 42, "m": 50, "slash": 53, "alt": 56,
             "spc": 57, "f10": 68, "kp_0": 82, "f12": 88, "ctrl_r": 97, "sysrq": 99, "home": 102, "delete": 111,
             "meta_l": 125, "menu": 127}  # fmt: skip
    assert {name: key_number(name) for name in known} == known
    assert key_number("0x1c") == 28
    assert [key_number(name) for name in ("", "0x", "0x80", "0xg", "nothing")] == [None] * 5


def test_labels_of_a_recording_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from runtime.recording.labels import Labels

    monkeypatch.setenv("JITRR_CACHE_DIR", str(tmp_path / "cache"))
    packed = tmp_path / "one.file"
    packed.write_bytes(b"a recording in one file")
    Labels(packed, "it").put("late", 9)
    Labels(packed, "it").put("early", 3)
    assert list(Labels(packed, "it").all().items()) == [("early", 3), ("late", 9)]
    assert Labels(packed, "another").all() == {}
    Labels(packed, "it").remove("late")
    assert Labels(packed, "it").all() == {"early": 3}
    with pytest.raises(KeyError):
        Labels(packed, "it").remove("late")
