"""The monitor of a machine that runs live: input by commands, recorded like any other; standing still; its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from monitor_client import PATIENCE, Program, QmpClient

from jitrr.demo import GUESTS
from runtime.devices.power import PRESS_BUTTON, RESET
from runtime.recording.recording import Recording
from runtime.timeline.verify import verify

ARCHITECTURES = ("x86_64", "i386", "arm")


def arguments(tmp_path: Path, arch: str) -> list[object]:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(Path(GUESTS[arch].IMAGE).read_bytes())
    console = f"file:{tmp_path / 'console'}"
    return ["--arch", arch, "--memory", "16M", "--kernel", kernel, "--serial", console, "--timeout", PATIENCE]


def printed(tmp_path: Path) -> str:
    console = tmp_path / "console"
    return console.read_text(errors="replace") if console.exists() else ""


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_keys_are_recorded(arch: str, tmp_path: Path) -> None:
    """The demo guest asks for a name; it is typed by commands of both languages."""
    path = tmp_path / "run.jrr"
    with Program(tmp_path / "socket", "qmp:", "record", *arguments(tmp_path, arch), "-o", path) as program:
        qmp = QmpClient(program.connect())
        qmp.result("qmp_capabilities")
        assert qmp.result("query-replay")["mode"] == "record"
        until(lambda: GUESTS[arch].QUESTION in printed(tmp_path))
        assert qmp.result("query-status")["running"]
        assert qmp.result("human-monitor-command", command_line="savevm asked") == ""
        keys = [{"type": "qcode", "data": name} for name in ("shift", "a")]
        assert qmp.result("send-key", keys=keys, hold_time=10) == {}
        for key in ("d", "a", "ret"):
            assert qmp.result("human-monitor-command", command_line=f"sendkey {key} 10") == ""
        assert qmp.event("SHUTDOWN")["data"] == {"guest": True, "reason": "guest-shutdown"}
        assert program.wait() == 0
        qmp.close()
    assert "Ada" in printed(tmp_path)
    recording = Recording(path)
    assert [event.kind for event in recording.log.events].count("input:keyboard") >= 7  # it is off before all are up
    assert verify(recording).good
    from runtime.recording.labels import recorded_labels

    assert 0 < recorded_labels(recording).all()["asked"] < recording.icount


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_stopped_it_stands_still(arch: str, tmp_path: Path) -> None:
    with Program(tmp_path / "socket", "qmp:", "run", *arguments(tmp_path, arch)) as program:
        qmp = QmpClient(program.connect())
        qmp.result("qmp_capabilities")
        assert qmp.result("query-replay")["mode"] == "none"
        assert qmp.result("stop") == {}
        qmp.event("STOP")
        at = qmp.result("query-replay")["icount"]
        time.sleep(0.5)
        assert qmp.result("query-replay")["icount"] == at
        assert qmp.result("query-status") == {"status": "paused", "running": False, "singlestep": False}
        shown = qmp.result("human-monitor-command", command_line="info registers")
        assert {"x86_64": "RIP=", "i386": "EIP=", "arm": "R15="}[arch] in shown
        assert qmp.result("cont") == {}
        qmp.event("RESUME")
        until(lambda: qmp.result("query-replay")["icount"] > at)
        assert "replay" in qmp.ask("replay-seek", icount=0)["error"]["desc"]
        assert "runs live" in qmp.result("human-monitor-command", command_line="back")
        assert qmp.result("quit") == {}
        assert qmp.event("SHUTDOWN")["data"] == {"guest": False, "reason": "host-qmp-quit"}
        assert program.wait() == 0
        qmp.close()


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_reset_power_button_and_mouse(arch: str, tmp_path: Path) -> None:
    """Buttons go through the border; so do the mouse's packets, of at most 127 a step."""
    path = tmp_path / "run.jrr"
    with Program(tmp_path / "socket", "qmp:", "record", *arguments(tmp_path, arch), "-o", path) as program:
        qmp = QmpClient(program.connect())
        qmp.result("qmp_capabilities")
        until(lambda: GUESTS[arch].QUESTION in printed(tmp_path))
        for line in ("mouse_move 200 -3", "mouse_button 3"):
            assert qmp.result("human-monitor-command", command_line=line) == ""
        assert qmp.result("system_powerdown") == {} and qmp.event("POWERDOWN")
        assert qmp.result("system_reset") == {}
        assert qmp.event("RESET")["data"] == {"guest": False, "reason": "host-qmp-system-reset"}
        until(lambda: printed(tmp_path).count(GUESTS[arch].QUESTION) == 2)
        qmp.result("quit")
        assert program.wait() == 0
        qmp.close()
    recording = Recording(path)
    events = [(event.kind, event.data) for event in recording.log.events if event.kind.startswith("input:")]
    assert events == [("input:mouse", bytes([0, 127, 3, 0])), ("input:mouse", bytes([0, 73, 0, 0])),
                      ("input:mouse", bytes([5, 0, 0, 0])), ("input:power", bytes([PRESS_BUTTON])),
                      ("input:power", bytes([RESET]))]  # fmt: skip
    assert verify(recording).good


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_text_by_a_socket(arch: str, tmp_path: Path) -> None:
    """Two conversations one after the other; the second ends the run."""
    with Program(tmp_path / "socket", "", "run", *arguments(tmp_path, arch)) as program:
        first = program.connect()
        heard = first.makefile("r", newline="\n")
        assert heard.readline().endswith("type 'help' for more information\n")
        first.sendall(b"stop\ninfo status\n")
        assert heard.readline() == "(jitrr) (jitrr) VM status: paused\n"
        heard.close()
        first.close()
        second = program.connect()
        heard = second.makefile("r", newline="\n")
        heard.readline()
        second.sendall(b"info status\nsystem_powerdown\nsendkey nothing\nquit\n")
        assert heard.read() == "(jitrr) VM status: paused\n(jitrr) (jitrr) Error: invalid parameter: nothing\n(jitrr) "
        assert program.wait() == 0
        heard.close()
        second.close()
