"""The command line as a user meets it: outputs, exit codes, one clear line for every mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
import toy_machine

import runtime.timeline.travel  # noqa: F401 (before the toy takes the machine's place)
from jitrr.cli import main


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """The command line builds its machine with runtime.machine.make_machine: here, a toy."""
    module = types.ModuleType("runtime.machine")
    module.make_machine = toy_machine.make_machine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "runtime.machine", module)


@pytest.fixture
def jitrr(capfd):
    def call(*arguments: object) -> types.SimpleNamespace:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return types.SimpleNamespace(code=ended.value.code, out=out, err=err)

    return call


@pytest.fixture
def kernel(tmp_path) -> Path:
    path = tmp_path / "kernel"
    path.write_bytes(b"kernel" * 1000)
    return path


@pytest.fixture
def toy_args(kernel) -> list[object]:
    return ["--kernel", kernel, "--memory", "1M", "--append", "off=100000"]


@pytest.fixture
def recorded(jitrr, toy_args, tmp_path) -> Path:
    result = jitrr("record", *toy_args, "-o", tmp_path / "a.jrr")
    assert result.code == 0 and "recorded 100,000 instructions" in result.err and "power-off" in result.err
    return tmp_path / "a.jrr"


def test_run(jitrr, toy_args, tmp_path):
    result = jitrr("run", *toy_args)
    assert result.code == 0 and result.out.startswith("0\r\n1000\r\n")
    assert jitrr("run", *toy_args, "--serial", f"file:{tmp_path / 'console'}").out == ""
    assert (tmp_path / "console").read_bytes().startswith(b"0\r\n1000\r\n")
    assert jitrr("run", *toy_args, "--serial", "none").out == ""


def test_replay_shows_the_console_and_checks(jitrr, recorded):
    result = jitrr("replay", recorded)
    assert result.code == 0 and result.out.startswith("0\r\n1000\r\n") and "digests right up to 100,000" in result.err


def test_seek_and_until_agree(jitrr, recorded):
    digests = [jitrr("replay", recorded, *how, "--digest").out for how in
               (("--seek", 54321), ("--until", 54321), ("--seek", 10000, "--until", 54321), ("--seek", 54321))]
    assert len(set(digests)) == 1
    line = json.loads(digests[0].splitlines()[-1])
    assert line["icount"] == 54321 and len(bytes.fromhex(line["digest"])) == 16
    assert json.loads(jitrr("replay", recorded, "--digest").out)["icount"] == 100000


def test_info_and_log(jitrr, recorded):
    info = json.loads(jitrr("info", recorded, "--json").out)
    assert info["icount"] == 100000 and info["clean_close"] is True and info["format"] == 3
    assert (info["arch"], info["machine"]) == ("x86_64", "pc")
    assert info["events"] > 10 and info["checkpoints"] >= 1 and info["bytes"] > 1000
    assert "100,000 instructions" in jitrr("info", recorded).out
    events = [json.loads(line) for line in jitrr("log", recorded, "--json").out.splitlines()]
    assert len(events) == info["events"] and events[0]["kind"] == "clock"
    assert len(jitrr("log", recorded).out.splitlines()) == info["events"]


def test_verify(jitrr, recorded):
    result = jitrr("verify", recorded)
    assert result.code == 0 and "all right" in result.out


def test_a_divergence_is_exit_3(jitrr, recorded, monkeypatch):
    def flawed(config, border):
        return toy_machine.ToyMachine(config, border, flaw=50_000)

    monkeypatch.setattr(sys.modules["runtime.machine"], "make_machine", flawed)
    for command in ("replay", "verify"):
        result = jitrr(command, recorded)
        assert result.code == 3 and len(result.err.splitlines()) == 1 and "divergence at instruction" in result.err


def test_a_crash_of_the_guest_is_exit_4(jitrr, toy_args, tmp_path):
    result = jitrr("record", *toy_args, "--append", "crash=5001", "-o", tmp_path / "c.jrr")
    assert result.code == 4 and "triple fault" in result.err
    assert jitrr("verify", tmp_path / "c.jrr").code == 0


def test_input_script_and_limits(jitrr, toy_args, tmp_path):
    script = tmp_path / "script"
    script.write_text('# typed\nat 2_000 serial "ls\\n"\nafter "[ls" keyboard "aB"\nat 1000000 serial "never"\n')
    result = jitrr("record", *toy_args, "--input-script", script, "--max-icount", 90000, "-o", tmp_path / "s.jrr")
    assert result.code == 0 and "[ls\n]" in result.out
    log = jitrr("log", tmp_path / "s.jrr", "--json").out.splitlines()
    inputs = [event for event in map(json.loads, log) if event["kind"].startswith("input:")]
    assert [(event["icount"], event["kind"]) for event in inputs] == [
        (2000, "input:serial0"), (3000, "input:keyboard"),
    ]  # fmt: skip
    assert jitrr("replay", tmp_path / "s.jrr").code == 0


def test_branch(jitrr, recorded, tmp_path):
    script = tmp_path / "script"
    script.write_text('at +9999 serial "hello"\n')
    new = tmp_path / "b.jrr"
    result = jitrr("branch", recorded, "--at", 50_001, "-o", new, "--input-script", script, "--max-icount", 70_000)
    assert result.code == 0 and "recorded 19,999 instructions" in result.err, result.err
    assert result.out.startswith("51000\r\n") and "[hello]" in result.out
    info = json.loads(jitrr("info", new, "--json").out)
    assert (info["icount"], info["begin"]) == (70_000, 0)
    assert (info["parent"]["path"], info["parent"]["icount"]) == ("a.jrr", 50_001)
    assert any((event["icount"], event["data"]) == (60_000, b"hello".hex())
               for event in map(json.loads, jitrr("log", new, "--json").out.splitlines()))  # fmt: skip
    assert "as a branch of a.jrr, which it left at instruction 50,001" in jitrr("info", new).out
    assert jitrr("verify", new).code == 0
    assert jitrr("replay", new).out.startswith("0\r\n1000\r\n")
    where = ("--seek", 50_001, "--digest")
    assert jitrr("replay", new, *where).out == jitrr("replay", recorded, *where).out


def test_pack_and_unpack(jitrr, recorded, tmp_path, monkeypatch):
    monkeypatch.setenv("JITRR_CACHE_DIR", str(tmp_path / "cache"))
    assert "100,000 instructions" in jitrr("pack", recorded).out
    where = ("--seek", 54_321, "--digest")
    expected = jitrr("replay", recorded, *where).out
    packed = recorded.with_suffix(".jrrz")
    assert jitrr("replay", packed, *where).out == expected
    assert jitrr("verify", packed).code == 0 and "100,000 instructions" in jitrr("info", packed).out
    assert jitrr("unpack", packed, "-o", tmp_path / "u.jrr").code == 0
    assert jitrr("replay", tmp_path / "u.jrr", *where).out == expected
    again = jitrr("pack", recorded)
    assert again.code == 2 and "exists already" in again.err and len(again.err.splitlines()) == 1


def test_trim(jitrr, recorded, tmp_path):
    piece = tmp_path / "p.jrr"
    result = jitrr("trim", recorded, "--from", 30_000, "--to", 60_000, "-o", piece)
    assert result.code == 0 and "30,000 instructions from 30,000 on" in result.out, result.err
    assert jitrr("verify", piece).code == 0
    where = ("--seek", 54_321, "--digest")
    assert jitrr("replay", piece, *where).out == jitrr("replay", recorded, *where).out
    assert jitrr("replay", piece).out.startswith("30000\r\n31000\r\n")
    assert "at instruction 30,000, as a piece of a longer one" in jitrr("info", piece).out
    early = jitrr("replay", piece, "--seek", 29_999)
    assert early.code == 2 and "is a piece that begins at instruction 30000" in early.err


def test_diff(jitrr, recorded, toy_args, tmp_path):
    same = jitrr("diff", recorded, recorded)
    assert same.code == 0 and same.out == "the same from instruction 0 to 100,000, where both end\n"
    jitrr("trim", recorded, "--to", 60_000, "-o", tmp_path / "p.jrr")
    shorter = jitrr("diff", tmp_path / "p.jrr", recorded)
    assert shorter.code == 1
    assert [" ".join(line.split()) for line in shorter.out.splitlines()] == [
        "the states are the same up to instruction 60,000", "A ends at 60,000: trimmed", "B ends at 100,000: power-off",
    ]  # fmt: skip
    jitrr("record", *toy_args, "--memory", "2M", "-o", tmp_path / "b.jrr")
    other = jitrr("diff", recorded, tmp_path / "b.jrr")
    assert other.code == 2 and "are of different machines: memory 1048576 and 2097152" in other.err
    assert len(other.err.splitlines()) == 1


BAD = {
    "no kernel": (["record", "-o", "{new}"], "give a --kernel"),
    "missing kernel": (["record", "--kernel", "{tmp}/none", "-o", "{new}"], "cannot read the kernel"),
    "initrd too large": (["record", "--kernel", "{kernel}", "--initrd", "{big}", "--memory", "1M", "-o", "{new}"],
                         "is larger than memory"),
    "existing output": (["record", "--kernel", "{kernel}", "-o", "{tmp}"], "exists already"),
    "output nowhere": (["record", "--kernel", "{kernel}", "-o", "{tmp}/no/where"], "cannot create"),
    "no output": (["record", "--kernel", "{kernel}"], "--output"),
    "bad memory": (["run", "--kernel", "{kernel}", "--memory", "much"], "a size is a number"),
    "odd memory": (["run", "--kernel", "{kernel}", "--memory", "1048577"], "whole pages"),
    "bad arch": (["run", "--arch", "vax"], "--arch"),
    "bad kernel": (["run", "--kernel", "{kernel}", "--append", "badkernel"], "this is not a kernel"),
    "bad script": (["run", "--kernel", "{kernel}", "--input-script", "{kernel}"], "kernel:1: a step is"),
    "missing script": (["run", "--kernel", "{kernel}", "--input-script", "{tmp}/none"], "cannot read the input script"),
    "bad serial": (["run", "--kernel", "{kernel}", "--serial", "pty"], "--serial is"),
    "bad icount": (["run", "--kernel", "{kernel}", "--icount", "shift=x"], "--icount is"),
    "bad shift": (["run", "--kernel", "{kernel}", "--icount", "shift=64"], "icount shift"),
    "bad rtc": (["run", "--kernel", "{kernel}", "--rtc", "base=soon"], "rtc base is utc or a date"),
    "drive": (["run", "--kernel", "{kernel}", "--drive", "x"], "--drive is not there yet"),
    "dtb": (["run", "--kernel", "{kernel}", "--dtb", "{kernel}.dtb"], "cannot read the dtb"),
    "smp": (["run", "--kernel", "{kernel}", "--smp", "0"], "1 to 255 processors, not 0"),
    "monitor nowhere": (["replay", "{recorded}", "--monitor", "tcp:1"], "--monitor is stdio, PORT or unix:PATH"),
    "monitor over console": (["run", "--kernel", "{kernel}", "--monitor", "stdio"], "standard input is the serial"),
    "monitors at one end": (["replay", "{recorded}", "--monitor=stdio", "--monitor=qmp:stdio"], "one monitor only"),
    "monitor and end": (["replay", "{recorded}", "--monitor", "4444", "--until", "1"], "goes with --seek"),
    "monitor in no folder": (["run", "--kernel", "{kernel}", "--monitor", "unix:{tmp}/no/where"], "cannot listen at"),
    "no recording": (["replay", "{tmp}/none.jrr"], "does not exist"),
    "not a recording": (["info", "{tmp}"], "is not a recording"),
    "seek beyond": (["replay", "{recorded}", "--seek", "100001"], "there is no instruction 100001"),
    "until beyond": (["replay", "{recorded}", "--until", "100001"], "there is no instruction 100001"),
    "until before seek": (["replay", "{recorded}", "--seek", "10", "--until", "5"], "is before --seek"),
    "negative seek": (["replay", "{recorded}", "--seek", "-1"], "-1 is before the beginning"),
    "no place": (["replay", "{recorded}", "--seek", "soon"], "is no place: "),
    "branch beyond": (["branch", "{recorded}", "--at", "100001", "-o", "{new}"], "there is no instruction 100001"),
    "branch over": (["branch", "{recorded}", "--at", "100000", "-o", "{new}"], "the machine is switched off"),
    "branch of nothing": (["branch", "{tmp}/none.jrr", "--at", "1", "-o", "{new}"], "does not exist"),
    "branch nowhere": (["branch", "{recorded}", "--at", "1", "-o", "{tmp}/no/where"], "cannot create"),
    "branch onto": (["branch", "{recorded}", "--at", "1", "-o", "{recorded}"], "exists already"),
    "branch at nothing": (["branch", "{recorded}", "-o", "{new}"], "--at"),
    "pack nothing": (["pack", "{tmp}/none.jrr"], "does not exist"),
    "pack nowhere": (["pack", "{recorded}", "-o", "{tmp}/no/where"], "cannot write"),
    "pack no recording": (["pack", "{tmp}"], "is not a recording"),
    "unpack nothing": (["unpack", "{tmp}/none", "-o", "{new}"], "does not exist"),
    "unpack a directory": (["unpack", "{recorded}", "-o", "{new}"], "is not a packed recording"),
    "unpack no recording": (["unpack", "{kernel}", "-o", "{new}"], "is no packed recording"),
    "read no recording": (["info", "{kernel}"], "is no packed recording"),
    "trim beyond": (["trim", "{recorded}", "--to", "100001", "-o", "{new}"], "there is no instruction 100001"),
    "trim backwards": (["trim", "{recorded}", "--from", "9", "--to", "8", "-o", "{new}"], "has no instructions"),
    "trim nowhere": (["trim", "{recorded}", "-o", "{tmp}/no/where"], "cannot write"),
    "trim onto": (["trim", "{recorded}", "-o", "{recorded}"], "exists already"),
    "gdb": (["replay", "{recorded}", "--gdb", "70000"], "--gdb is [HOST:]PORT with a port from 1 to 65535"),
    "diff nothing": (["diff", "{recorded}", "{tmp}/none.jrr"], "does not exist"),
    "diff one": (["diff", "{recorded}"], "B.jrr"),
    "bench": (["bench"], "not there yet"),
    "unknown command": (["rewind"], "No such command"),
    "unknown option": (["info", "--fast", "x"], "--fast"),
    "unknown guest": (["guest", "fetch", "minix"], "minix"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_one_clear_line_and_exit_2(case, jitrr, kernel, tmp_path, request):
    words, expected = BAD[case]
    (tmp_path / "big").write_bytes(b"x" * (2 << 20))
    places = {"tmp": tmp_path, "new": tmp_path / "new.jrr", "kernel": kernel, "big": tmp_path / "big"}
    if any("{recorded}" in word for word in words):
        places["recorded"] = request.getfixturevalue("recorded")
    result = jitrr(*(word.format(**places) for word in words))
    assert result.code == 2 and expected in result.err, result.err
    assert len(result.err.splitlines()) == 1 and result.err.startswith("jitrr: ")
    assert not (tmp_path / "new.jrr").exists()


def test_a_damaged_recording_is_one_clear_line(jitrr, recorded):
    log = recorded / "log.mcap"
    log.write_bytes(log.read_bytes()[:-100])
    for command in ("info", "log", "verify", "replay"):
        result = jitrr(command, recorded)
        assert result.code == 2 and len(result.err.splitlines()) == 1 and "log.mcap is damaged" in result.err


def test_help_is_quick_and_light():
    program = "import sys, jitrr.cli\ntry: jitrr.cli.main(['--help'])\nfinally: print(*sys.modules, file=sys.stderr)"
    before = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert time.monotonic() - before < 3  # 0.1 s on a quiet machine; the floor is 0.3
    assert "record" in done.stdout
    heavy = {"llvmlite", "numba", "capstone", "numpy", "mcap", "zstandard"}
    assert not heavy & {name.partition(".")[0] for name in done.stderr.split()}


def test_no_standard_input_is_no_error(tmp_path):
    """Closed, at its end, or never written to: a recording goes on without input."""
    program = (
        "import sys, types, toy_machine; module = types.ModuleType('runtime.machine');"
        "module.make_machine = toy_machine.make_machine; sys.modules['runtime.machine'] = module;"
        "from jitrr.cli import main; main(sys.argv[1:])"
    )
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"k")
    command = [sys.executable, "-c", program, "run", "--kernel", str(kernel), "--memory", "1M", "--append", "off=50000"]
    here = Path(__file__).parent
    env = dict(os.environ, PYTHONPATH=f"{here.parent}:{here}")
    silent, keep_open = os.pipe()
    for standard_input in ("closed", subprocess.DEVNULL, silent):
        line = ["sh", "-c", 'exec "$@" <&-', "sh", *command] if standard_input == "closed" else command
        stdin = None if standard_input == "closed" else standard_input
        done = subprocess.run(line, stdin=stdin, capture_output=True, env=env, timeout=60)  # type: ignore[arg-type]
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(b"0\r\n1000\r\n")
    os.close(keep_open)
    os.close(silent)
