"""QMP over a real socket, with a real program behind it: what QEMU's clients send and expect."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from debug_recordings import ARCHITECTURES, demo_recording
from monitor_client import PATIENCE, Program, QmpClient

from runtime.debug.monitor.qmp import _complete
from runtime.recording.recording import Recording


@pytest.fixture(scope="module", params=ARCHITECTURES)
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return demo_recording(request.param, tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def program(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    place = tmp_path_factory.mktemp("qmp") / "socket"
    with Program(place, "qmp:", "replay", recording.path) as running:
        yield running


@pytest.fixture
def qmp(program: Program) -> Iterator[QmpClient]:
    """Each test is a client of its own; the program stays."""
    client = QmpClient(program.connect())
    assert client.result("qmp_capabilities") == {}
    yield client
    client.close()


def test_greeting_and_negotiation(program: Program) -> None:
    client = QmpClient(program.connect())
    assert set(client.greeting) == {"QMP"} and client.greeting["QMP"]["capabilities"] == []
    assert set(client.greeting["QMP"]["version"]["qemu"]) == {"major", "minor", "micro"}
    assert client.ask("query-status")["error"]["class"] == "CommandNotFound"
    assert client.ask("qmp_capabilities", enable=["oob"])["error"]["class"] == "GenericError"
    assert client.result("qmp_capabilities") == {}
    assert client.ask("qmp_capabilities")["error"]["class"] == "CommandNotFound"
    client.close()


def test_queries(qmp: QmpClient, recording: Recording) -> None:
    assert qmp.result("query-status") == {"status": "paused", "running": False, "singlestep": False}
    found = qmp.result("query-replay")
    assert found["mode"] == "play" and found["filename"] == str(recording.path) and found["icount"] >= 0
    assert qmp.result("query-version") == qmp.greeting["QMP"]["version"]
    names = {entry["name"] for entry in qmp.result("query-commands")}
    assert names >= {"query-replay", "replay-break", "replay-delete-break", "replay-seek", "cont", "stop",
                     "quit", "human-monitor-command", "system_powerdown", "send-key", "query-status",
                     "query-version"}  # fmt: skip


def test_seek_and_break(qmp: QmpClient, recording: Recording) -> None:
    for icount in (2_000_000, 1000):
        assert qmp.result("replay-seek", icount=icount) == {}
        qmp.event("RESUME")
        stop = qmp.event("STOP")
        assert set(stop["timestamp"]) == {"seconds", "microseconds"}
        assert qmp.result("query-replay")["icount"] == icount
    assert qmp.result("replay-break", icount=5000) == {}
    assert qmp.result("cont") == {}
    qmp.event("STOP")
    assert qmp.result("query-replay")["icount"] == 5000
    assert qmp.result("replay-delete-break") == {}
    assert qmp.result("cont") == {}
    assert qmp.event("SHUTDOWN")["data"] == {"guest": True, "reason": "guest-shutdown"}
    qmp.event("STOP")
    assert qmp.result("query-replay")["icount"] == recording.icount


def test_requests_while_it_runs(qmp: QmpClient, recording: Recording) -> None:
    """They interrupt the run at an exact place, which then goes on; stop ends it where it is."""
    qmp.result("replay-seek", icount=0)
    qmp.event("STOP")
    assert qmp.result("cont") == {}
    before = 0
    for _ in range(3):
        if qmp.result("query-status")["running"]:
            before, last = qmp.result("query-replay")["icount"], before
            assert before >= last
    assert qmp.result("stop") == {}
    qmp.event("STOP")
    at = qmp.result("query-replay")["icount"]
    assert before <= at <= recording.icount
    assert qmp.result("query-replay")["icount"] == at and not qmp.result("query-status")["running"]


def test_human_monitor_command(qmp: QmpClient) -> None:
    assert "instruction 4321 of" in qmp.result("human-monitor-command", command_line="replay_seek 4321")
    assert qmp.result("human-monitor-command", command_line="info status") == "VM status: paused\r\n"
    assert qmp.result("human-monitor-command", command_line="nothing").startswith("Error: unknown command")
    assert [event["event"] for event in qmp.events] == ["RESUME", "STOP"]


@pytest.mark.parametrize(("sent", "kind", "said"), [
    (b'{"execute": "nothing"}', "CommandNotFound", "The command nothing has not been found"),
    (b'{"execute": "replay-seek"}', "GenericError", "Parameter 'icount' is missing"),
    (b'{"execute": "replay-seek", "arguments": {"icount": "1"}}', "GenericError", "expected: integer"),
    (b'{"execute": "replay-seek", "arguments": {"icount": true}}', "GenericError", "expected: integer"),
    (b'{"execute": "replay-seek", "arguments": {"icount": 1, "x": 1}}', "GenericError", "Parameter 'x' is unexpected"),
    (b'{"execute": "replay-seek", "arguments": {"icount": 99999999999}}', "GenericError", "there is no instruction"),
    (b'{"execute": "replay-break", "arguments": {"icount": -1}}', "GenericError", "there is no instruction"),
    (b'{"execute": "system_powerdown"}', "GenericError", "this is a replay"),
    (b'{"execute": "send-key", "arguments": {"keys": []}}', "GenericError", "this is a replay"),
    (b'{"execute": 1}', "GenericError", "must be a string"), (b'{"arguments": {}}', "GenericError", "lacks member"),
    (b'{"execute": "stop", "arguments": []}', "GenericError", "must be an object"),
    (b'{"execute": "stop", "more": 1}', "GenericError", "'more' is unexpected"),
    (b"[1, 2]", "GenericError", "must be a JSON object"), (b"{x}", "GenericError", "Invalid JSON syntax"),
    (b"nonsense\n", "GenericError", "Invalid JSON syntax"),
])  # fmt: skip
def test_errors_have_qmps_form(qmp: QmpClient, sent: bytes, kind: str, said: str) -> None:
    answer = qmp.raw(sent)
    assert set(answer) == {"error"} and set(answer["error"]) == {"class", "desc"}
    assert answer["error"]["class"] == kind and said in answer["error"]["desc"]


def test_requests_in_pieces_and_in_one_piece(qmp: QmpClient) -> None:
    assert qmp.raw(b' {"execute": "query-status", "id": {"a": "}]"}}')["id"] == {"a": "}]"}
    qmp._stream.sendall(b'{"execute": "query-')
    assert qmp.raw(b'status", "id": 1}\r\n{"execute": "stop", "id": "\\"{"}')["id"] == 1
    assert qmp._read() == {"return": {}, "id": '"{'}


def test_where_a_request_ends() -> None:
    whole = b'  {"a": ["}", {"b": "\\\\"}], "c": "\\"]}"} rest'
    end = _complete(whole)
    assert end is not None and json.loads(whole[:end]) and whole[end:] == b" rest"
    assert all(_complete(whole[:cut]) is None for cut in range(end))


def test_quit(recording: Recording, tmp_path: Path) -> None:
    with Program(tmp_path / "socket", "qmp:", "replay", recording.path, "--seek", 77) as program:
        client = QmpClient(program.connect())
        client.result("qmp_capabilities")
        assert client.result("query-replay")["icount"] == 77
        assert client.result("quit") == {}
        assert client.event("SHUTDOWN")["data"] == {"guest": False, "reason": "host-qmp-quit"}
        assert program.wait() == 0
        assert not os.path.lexists(tmp_path / "socket")
        client.close()


def test_qemus_own_client(recording: Recording, program: Program) -> None:
    library = pytest.importorskip("qemu.qmp")

    async def converse() -> int:
        client = library.QMPClient("test")
        await client.connect(str(program.path))
        try:
            with client.listener(("STOP",)) as listener:
                await client.execute("replay-seek", {"icount": 12345})
                await asyncio.wait_for(listener.get(), PATIENCE)
            with pytest.raises(library.ExecuteError, match="there is no instruction"):
                await client.execute("replay-seek", {"icount": 1 << 60})
            return (await client.execute("query-replay"))["icount"]
        finally:
            await client.disconnect()

    assert asyncio.run(converse()) == 12345
