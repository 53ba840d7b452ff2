"""gdb over machines that run live: ``--gdb`` of run and record."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from debug_recordings import ARCHITECTURES
from gdb_client import LOOPBACK, PATIENCE, Client, free_port
from real_machine import ANSWER, demo_config

from runtime.borders.script import Script, parse_script
from runtime.debug.gdb.live import LiveDebugger
from runtime.debug.gdb.server import Server
from runtime.recording.recording import Recording
from runtime.timeline.record import Limits, Outcome, Outside, record, run
from runtime.timeline.replay import Replay


class LiveMachine:
    """A run in a thread, with gdb's server; ``path``: it is recorded there."""

    def __init__(self, arch: str, path: Path | None = None, limits: Limits | None = None):
        self.arch, self.port = arch, free_port()
        self._waiting = threading.Event()
        self.debugger = LiveDebugger(Server((LOOPBACK, self.port)), lambda arch: self._waiting.set())
        outside = Outside(script=Script(parse_script(ANSWER)), debugger=self.debugger)
        config = demo_config(arch=arch)
        work: Callable[[], Outcome] = lambda: run(config, outside, limits)  # noqa: E731
        if path is not None:
            work = lambda: record(path, config, outside, limits)  # noqa: E731
        self.outcome: Outcome | None = None
        self.thread = threading.Thread(target=self._work, args=(work,), daemon=True)
        self.thread.start()
        assert self._waiting.wait(PATIENCE)

    def _work(self, work: Callable[[], Outcome]) -> None:
        self.outcome = work()

    def client(self) -> Client:
        subject: Any = self.debugger._subject
        return Client(self.port, self.arch, subject.target.registers)

    def ended(self) -> Outcome:
        self.thread.join(PATIENCE)
        assert self.outcome is not None
        return self.outcome


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_steps_points_and_writes(arch: str) -> None:
    machine = LiveMachine(arch)
    client = machine.client()
    assert client.icount == 0 and "ReverseStep+" not in client.ask("qSupported:swbreak+;hwbreak+")
    pcs = [client.pc]
    for number in range(20):
        assert client.ask("s").startswith("T05") and client.icount == number + 1
        pcs.append(client.pc)
    assert client.ask("bs").startswith("T06") and "no going back" in client.shown
    name = {"x86_64": "rbx", "i386": "ebx", "arm": "r7"}[arch]
    number = [register.name for register in client.registers].index(name)
    digits = "78563412" + "00000000" * (arch == "x86_64")
    assert client.ask(f"P{number:x}={digits}") == "OK" and client.register(name) == 0x12345678
    stack = client.pc & ~0xFFF
    before = client.memory(stack, 4)
    assert client.ask(f"M{stack:x},4:01020304") == "OK" and client.memory(stack, 4) == bytes((1, 2, 3, 4))
    assert client.ask(f"M{stack:x},4:{before.hex()}") == "OK"
    client.send("c")
    client.stream.sendall(b"\x03")
    assert client.receive()[:3] in ("T02", "T05", "W00")
    assert client.ask("vKill;1") == "OK"
    assert machine.ended().reason == "left"


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_breakpoint_is_reached_and_the_run_goes_on_without_gdb(arch: str) -> None:
    machine = LiveMachine(arch)
    client = machine.client()
    for _ in range(30):
        client.ask("s")
    there, at = client.pc, client.icount
    client.insert(1, there)
    reply = client.ask("vCont;c:1")
    assert ("hwbreak" in reply and client.pc == there and client.icount > at) or reply == "W00"
    client.remove(1, there)
    if reply != "W00":
        assert client.ask("D") == "OK"
    assert machine.ended().reason == "power-off"


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_what_is_recorded_under_gdb_replays(arch: str, tmp_path: Path) -> None:
    """However often it was stopped; what would not be in the recording is refused."""
    path = tmp_path / "run.jrr"
    machine = LiveMachine(arch, path)
    client = machine.client()
    for _ in range(40):
        client.ask("s")
    assert client.ask("P0=00000000").startswith("E.this is recorded in")
    assert client.ask(f"M{client.pc:x},1:00").startswith("E.this is recorded in")
    client.insert(0, client.pc)
    for _ in range(5):
        client.ask("c")
    client.close()  # without a word: the machine goes on
    assert machine.ended().reason == "power-off"
    replay = Replay(Recording(path))
    replay.finish()
    assert replay.verified > 0
    replay.close()


def test_a_limit_ends_it(tmp_path: Path) -> None:
    machine = LiveMachine("x86_64", tmp_path / "run.jrr", Limits(max_icount=1000))
    client = machine.client()
    assert client.ask("c") == "W00" and "max-icount" in client.shown
    assert machine.ended().reason == "max-icount" and Recording(tmp_path / "run.jrr").icount == 1000
