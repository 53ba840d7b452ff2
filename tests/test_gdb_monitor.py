"""gdb and a monitor of one machine, ``--gdb`` with ``--monitor``: they take turns, and ``stop`` ends what gdb began."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from debug_recordings import ARCHITECTURES, demo_recording
from gdb_client import Client, free_port
from monitor_client import Program, QmpClient

from jitrr.demo import GUESTS
from runtime.recording.recording import Recording
from runtime.timeline.verify import verify

pytestmark = pytest.mark.parametrize("arch", ARCHITECTURES)


class Both:
    """A command with a server for gdb and a QMP monitor, and a connection to the latter."""

    def __init__(self, program: Program, port: int, arch: str):
        self.program, self.port, self.arch = program, port, arch
        self.qmp = QmpClient(program.connect())
        self.qmp.result("qmp_capabilities")

    def gdb(self) -> Client:
        """Connect as gdb does."""
        return Client(self.port, self.arch, []).learn()

    @property
    def icount(self) -> int:
        """The position, as the monitor sees it."""
        return int(self.qmp.result("query-replay")["icount"])

    @property
    def running(self) -> bool:
        """Whether the machine goes on, as the monitor sees it."""
        return bool(self.qmp.result("query-status")["running"])

    def told(self) -> list[str]:
        """The events since this was asked for last."""
        self.qmp.result("query-version")
        names = [event["event"] for event in self.qmp.events]
        self.qmp.events.clear()
        return names


@contextmanager
def both(tmp_path: Path, arch: str, *arguments: object) -> Iterator[Both]:
    port = free_port()
    with Program(tmp_path / "socket", "qmp:", *arguments, "--gdb", port) as program:
        found = Both(program, port, arch)
        yield found
        found.qmp.close()


@pytest.fixture
def replay(arch: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    recording = demo_recording(arch, tmp_path_factory.getbasetemp())
    with both(tmp_path, arch, "replay", recording.path, "--seek", "50%") as found:
        yield found


def live(tmp_path: Path, arch: str) -> list[object]:
    """Words that record the demo guest, which waits for a name."""
    kernel = tmp_path / "kernel"
    kernel.write_bytes(Path(GUESTS[arch].IMAGE).read_bytes())
    return [
        "record",
        "--arch",
        arch,
        "--memory",
        "16M",
        "--kernel",
        kernel,
        "--serial",
        "none",
        "-o",
        tmp_path / "r.jrr",
    ]


def test_a_replay_goes_where_either_says(replay: Both) -> None:
    gdb = replay.gdb()
    start = replay.icount
    assert gdb.icount == start and replay.told() == []
    assert gdb.ask("s").startswith("T05")
    assert replay.icount == gdb.icount > start and replay.told() == ["RESUME", "STOP"]
    replay.qmp.result("replay-seek", icount=start - 1000)
    replay.qmp.event("STOP")
    assert gdb.icount == replay.icount == start - 1000
    assert gdb.ask("bs").startswith("T05") and replay.icount == gdb.icount < start - 1000
    replay.told()
    there, before = gdb.pc, gdb.icount
    gdb.insert(0, there)
    answer = gdb.ask("c")  # back here, or to the recording's end
    gdb.remove(0, there)
    at = replay.icount
    assert ("swbreak" in answer and at > before) or "replaylog:end" in answer
    assert replay.told() == ["RESUME", "STOP"]
    replay.qmp.result("human-monitor-command", command_line="forward 5")  # gdb's breakpoint is not the monitor's
    assert gdb.icount == replay.icount >= at
    gdb.close()


def test_either_ends_what_the_other_has_begun(replay: Both) -> None:
    """A motion may be through before: then there is nothing to end."""
    gdb = replay.gdb()
    gdb.send("bc")
    replay.qmp.result("stop")
    answer = gdb.receive()
    assert answer.startswith("T02") or "replaylog:begin" in answer
    assert not replay.running and replay.told() == ["RESUME", "STOP"]
    replay.qmp.result("cont")  # nobody waits for it: gdb is answered in between
    assert gdb.icount <= replay.icount
    gdb.stream.sendall(b"\x03")
    replay.qmp.event("STOP")
    assert not replay.running and gdb.icount == replay.icount
    assert gdb.ask("D") == "OK"
    again = replay.gdb()
    assert again.icount == replay.icount
    replay.qmp.result("quit")
    assert replay.program.wait() == 0
    with suppress(ConnectionResetError):  # it has not read our last acknowledgement
        assert again.stream.recv(1) == b""


def test_what_qemu_asks_of_itself(arch: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """QEMU's tests/avocado/reverse_debugging.py, by our command line: ten steps forward, backward and forward again, to
    the recording's end by QMP, and backward to the last of the breakpoints at all ten."""
    recording = demo_recording(arch, tmp_path_factory.getbasetemp())
    with both(tmp_path, arch, "replay", recording.path) as machine:
        gdb, steps = machine.gdb(), []
        for _ in range(10):
            steps.append(gdb.pc)
            assert gdb.ask("s").startswith("T05")
        for pc in reversed(steps):
            assert gdb.ask("bs").startswith("T05") and gdb.pc == pc
        for pc in steps:
            assert gdb.pc == pc and gdb.ask("s").startswith("T05")
        machine.qmp.result("replay-break", icount=recording.icount - 1)
        machine.told()
        machine.qmp.result("cont")
        machine.qmp.event("STOP")
        assert machine.icount == recording.icount - 1
        for pc in steps:
            gdb.insert(1, pc)
        assert gdb.ask("bc").startswith("T05") and gdb.pc == steps[-1]
        machine.qmp.result("quit")
        assert machine.program.wait() == 0


def test_a_live_machine_stops_for_both(arch: str, tmp_path: Path) -> None:
    with both(tmp_path, arch, *live(tmp_path, arch)) as machine:
        assert not machine.running and machine.icount == 0
        gdb = machine.gdb()
        assert gdb.ask("s").startswith("T05") and machine.icount == 1
        assert machine.told() == ["RESUME", "STOP"]
        gdb.send("c")
        while not machine.icount > 1000:  # commands are done while it runs
            pass
        assert machine.running
        machine.qmp.result("stop")
        assert gdb.receive().startswith("T02")  # as in QEMU
        assert not machine.running and gdb.icount == machine.icount
        gdb.send("c")
        machine.qmp.event("RESUME")
        gdb.stream.sendall(b"\x03")
        assert gdb.receive().startswith("T02") and not machine.running
        machine.told()
        machine.qmp.result("cont")
        before = machine.icount
        while not machine.icount > before:
            pass
        assert machine.running and gdb.icount >= before
        machine.qmp.result("stop")
        assert not machine.running and machine.told() == ["RESUME", "STOP"]
        assert gdb.ask("D") == "OK"  # it runs on without gdb
        machine.qmp.event("RESUME")
        assert machine.running
        machine.qmp.result("quit")
        assert machine.program.wait() == 0
    assert Recording(tmp_path / "r.jrr").reason == "left" and verify(Recording(tmp_path / "r.jrr")).good


def test_a_monitor_starts_a_live_machine_without_gdb(arch: str, tmp_path: Path) -> None:
    with both(tmp_path, arch, *live(tmp_path, arch)) as machine:
        machine.qmp.result("cont")
        while not machine.icount > 1000:
            pass
        gdb = machine.gdb()  # who comes stops it
        machine.qmp.event("STOP")
        assert gdb.icount == machine.icount > 1000 and not machine.running
        gdb.close()
        machine.qmp.event("RESUME")
        machine.qmp.result("quit")
        assert machine.program.wait() == 0
