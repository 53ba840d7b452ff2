"""gdb's server over machines of two processors, by raw packets: a thread for each."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from gdb_client import LOOPBACK, PATIENCE, Client, Served, free_port, served_replay
from real_machine import ANSWER, demo_config
from smp_guest import ARCHITECTURES, LENGTH, PRIVATE, build, places, smp_config, smp_recording

from runtime.borders.script import Script, parse_script
from runtime.config import MachineConfig
from runtime.debug.gdb.live import LiveDebugger
from runtime.debug.gdb.server import Server
from runtime.processors import TURN
from runtime.recording.recording import Recording
from runtime.timeline.record import Limits, Outcome, Outside, Pace, record, run

MIDDLE = 1_500_000


@pytest.fixture(scope="module", params=ARCHITECTURES)
def guest(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, dict[str, int]]]:
    recording, linked = smp_recording(request.param, tmp_path_factory.getbasetemp())
    with served_replay(recording) as served:
        yield served, places(linked, request.param)


@pytest.fixture
def client(guest: tuple[Served, dict[str, int]]) -> Iterator[Client]:
    client = guest[0].client()
    client.seek(MIDDLE)
    yield client
    client.close()


@pytest.fixture
def names(guest: tuple[Served, dict[str, int]]) -> dict[str, int]:
    return guest[1]


def thread(reply: str) -> int:
    """Of which thread a stop reply tells."""
    found = re.match(r"T\w\w.*?thread:(\w+);", reply)
    assert found is not None, reply
    return int(found[1], 16)


def state(client: Client, number: int) -> str:
    return bytes.fromhex(client.ask(f"qThreadExtraInfo,{number:02x}")).decode()


def choose(client: Client, number: int) -> Client:
    assert client.ask(f"Hg{number:x}") == "OK"
    return client


def word(client: Client, address: int) -> int:
    return int.from_bytes(client.memory(address, 4), "little")


def test_a_thread_for_each_processor(client: Client) -> None:
    assert client.ask("qfThreadInfo") == "m01,02" and client.ask("qsThreadInfo") == "l"
    stopped = thread(client.ask("?"))
    assert client.ask("qC") == f"QC{stopped:02x}"
    for number in (1, 2):
        assert client.ask(f"T{number:02x}") == "OK"
        assert re.fullmatch(rf"CPU#{number - 1} \[(running|halted)\]", state(client, number))
    replies = {"T03": "E16", "T00": "E16", "Hg3": "E16", "Hc3": "E16", "Hx1": "E16", "qThreadExtraInfo,03": "E16",
               "vCont;s:3": "E16", "vCont;x:1": "E16", "Hg0": "OK", "Hg-1": "OK", "Hc-1": "OK"}  # fmt: skip
    for packet, reply in replies.items():
        assert client.ask(packet) == reply, packet
    other = 3 - stopped
    choose(client, other)
    assert client.ask("qC") == f"QC{other:02x}" and thread(client.ask("?")) == stopped
    assert client.ask("qC") == f"QC{stopped:02x}"  # the client looks at the one that it is told of


def test_each_thread_has_its_own_registers_and_page_tables(client: Client, guest: tuple[Served, dict]) -> None:
    seen: dict[int, tuple[str, int, int]] = {}
    for number in (1, 2, 1, 2):
        choose(client, number)
        private = word(client, PRIVATE[client.arch])
        assert private & 1 == number - 1  # it writes its number there
        found = client.ask("g"), private, client.pc
        assert seen.setdefault(number, found) == found
    assert seen[1][0] != seen[2][0]
    machine = guest[0].subject.machine
    assert machine.engine.selected == machine.turn


def test_the_second_one_is_off_until_it_is_started(client: Client, names: dict[str, int]) -> None:
    client.seek(0)
    assert thread(client.ask("?")) == 1 and state(client, 1) == "CPU#0 [running]" and state(client, 2) == "CPU#1 [off]"
    assert thread(client.ask("vCont;s:2;c")) == 2
    started = client.icount
    assert started > 20 and client.pc != 0 and state(client, 2) == "CPU#1 [running]"
    assert thread(client.ask("bs")) == 2 and client.icount == started - 1
    assert "CPU 1" not in client.shown
    assert client.ask("bs").startswith("T05replaylog:begin;") and client.icount == 0
    assert "CPU 1 has run no instruction since the beginning" in client.shown
    assert thread(client.ask("vCont;s:1;c")) == 1 and client.icount == 1


def test_a_thread_that_does_not_run_again(client: Client) -> None:
    client.seek(LENGTH - 1)
    assert client.ask("s").startswith("T05")
    last = thread(client.ask("?"))
    client.seek(LENGTH - 1)
    assert client.ask(f"vCont;s:{3 - last}").startswith("T05replaylog:end;") and client.icount == LENGTH
    assert f"CPU {2 - last} runs no instruction until the end" in client.shown
    assert client.ask(f"vCont;s:{last}").startswith("T05replaylog:end;") and client.icount == LENGTH
    choose(client, 3 - last)
    assert thread(client.ask("bs")) == 3 - last and client.icount < LENGTH - 1


def test_steps_of_one_thread_there_and_back(client: Client) -> None:
    for number in (1, 2):
        client.seek(MIDDLE)
        way = []
        for _ in range(30):
            assert thread(client.ask(f"vCont;s:{number};c")) == number
            way.append((client.icount, client.pc))
        for _, pc in reversed(way[:-1]):
            assert thread(client.ask("bs")) == number and client.pc == pc
        assert client.icount < way[0][0] + 2 * TURN


def both_hurry(client: Client, names: dict[str, int]) -> int:
    """Go to where neither waits for the other; the thread whose turn it is."""
    for at in range(MIDDLE, LENGTH, 20_000):
        client.seek(at)
        if all(names["hurry"] <= choose(client, number).pc < names["nap"] for number in (1, 2)):
            return thread(client.ask("?"))
    raise AssertionError("they wait all the time")


def test_a_step_ends_where_another_one_hits_a_breakpoint(client: Client, names: dict[str, int]) -> None:
    turn = both_hurry(client, names)
    start, other = client.icount, 3 - turn
    for _ in range(2):
        client.ask(f"vCont;s:{turn};c")
    there, hit = client.pc, client.icount
    client.seek(start)
    client.insert(0, there)
    reply = client.ask(f"vCont;s:{other};c")
    assert "swbreak" in reply and thread(reply) == turn and (client.icount, client.pc) == (hit, there)
    client.remove(0, there)
    reply = client.ask(f"vCont;s:{other};c")
    assert thread(reply) == other and hit + 100 < client.icount <= start + TURN + 1
    behind = client.icount
    client.insert(0, there)
    assert thread(client.ask("bs")) == other and client.icount == behind - 1
    reply = client.ask("bs")
    assert "swbreak" in reply and thread(reply) == turn and client.pc == there and hit < client.icount < behind
    client.remove(0, there)
    choose(client, other)
    assert thread(client.ask("bs")) == other and client.icount < start


def test_runs_tell_who_has_hit(client: Client, names: dict[str, int]) -> None:
    """Breakpoints are everybody's; forward and backward the same places, the same threads."""
    client.insert(0, names["work"])
    forward = []
    for _ in range(6):
        reply = client.ask("vCont;c")
        assert "swbreak" in reply and client.pc == names["work"]
        forward.append((client.icount, thread(reply)))
    assert {number for _, number in forward} == {1, 2}
    for place in reversed(forward[:-1]):
        reply = client.ask("bc")
        assert "swbreak" in reply and client.pc == names["work"] and (client.icount, thread(reply)) == place
    client.remove(0, names["work"])


def test_watchpoints_tell_who_has_written(client: Client, names: dict[str, int]) -> None:
    client.insert(2, names["turn"], 4)
    for packet in ("c", "bc", "bc"):
        writers = []
        for _ in range(4):
            reply = client.ask(packet)
            assert f"watch:{names['turn']:x};" in reply
            writers.append(thread(reply))
            if client.arch == "arm" and packet == "c":  # it stands before the access
                client.remove(2, names["turn"], 4)
                assert thread(client.ask(f"vCont;s:{writers[-1]};c")) == writers[-1]
                client.insert(2, names["turn"], 4)
            elif client.arch == "arm":
                client.remove(2, names["turn"], 4)
                assert thread(client.ask("bs")) == writers[-1]
                client.insert(2, names["turn"], 4)
        assert writers in ([1, 2, 1, 2], [2, 1, 2, 1])
    client.remove(2, names["turn"], 4)


def test_a_range_is_of_one_thread(client: Client, names: dict[str, int]) -> None:
    """Through the loop of ``work``, which the other one is in as well at times."""
    client.insert(0, names["work"])
    for _ in range(3):
        hit = thread(client.ask("c"))
    client.remove(0, names["work"])
    start = client.pc
    reply = client.ask(f"vCont;r{start:x},{start + 64:x}:{hit};c")
    assert thread(reply) == hit and not start <= client.pc < start + 64


def test_a_range_goes_through_its_own_threads_interrupts(client: Client, names: dict[str, int]) -> None:
    """A sleep: the processor halts, its timer's handler runs, and the range ends behind the return."""
    behind = min(address for address in names.values() if address > names["nap"])
    client.insert(0, names["nap"])
    for _ in range(4):
        sleeper = thread(client.ask("c"))
        assert client.pc == names["nap"]
        client.remove(0, names["nap"])
        ticks = names["ticks"] + 4 * (sleeper - 1)
        before = word(client, ticks)
        assert thread(client.ask(f"vCont;r{names['nap']:x},{behind:x}:{sleeper};c")) == sleeper
        assert names["round"] < client.pc < names["wait_turn"] and word(client, ticks) == before + 1
        client.insert(0, names["nap"])
    client.remove(0, names["nap"])


class LiveMachine:
    """A run in a thread, with gdb's server."""

    def __init__(self, config: MachineConfig, limits: Limits | None = None):
        self.port, self.waiting = free_port(), threading.Event()
        debugger = LiveDebugger(Server((LOOPBACK, self.port)), lambda arch: self.waiting.set())
        outside = Outside(debugger=debugger)
        self.outcome: list[Outcome] = []
        work = lambda: self.outcome.append(run(config, outside, limits))  # noqa: E731
        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()
        assert self.waiting.wait(PATIENCE)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_live_machine(arch: str, tmp_path: Path) -> None:
    image, linked = build(arch, tmp_path)
    names, machine = places(linked, arch), LiveMachine(smp_config(arch, image), Limits(max_icount=LENGTH))
    client = Client(machine.port, arch, []).learn()
    assert client.ask("qfThreadInfo") == "m01,02" and state(client, 2) == "CPU#1 [off]"
    assert thread(client.ask("vCont;s:2;c")) == 2 and client.icount > 20
    for number in (2, 1, 1, 2):
        at = client.icount
        assert thread(client.ask(f"vCont;s:{number};c")) == number and client.icount > at
    client.insert(0, names["work"])
    hits = [thread(client.ask("c")) for _ in range(6)]
    assert client.pc == names["work"] and set(hits) == {1, 2}
    register = {"x86_64": "rbx", "i386": "ebx", "arm": "r7"}[arch]
    digits = "78563412" + "00000000" * (arch == "x86_64")
    for number in (1, 2):
        assert choose(client, number).ask(f"P{client._numbers[register]:x}={digits}") == "OK"
        digits = digits.replace("78", "79")
    assert [choose(client, number).register(register) for number in (1, 2)] == [0x12345678, 0x12345679]
    client.remove(0, names["work"])
    assert client.ask("c") == "W00"
    machine.thread.join(PATIENCE)
    assert machine.outcome[0].reason == "max-icount"


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_processor_that_nobody_starts(arch: str, tmp_path: Path) -> None:
    """A guest for one has the other one off: its steps go to either end of the recording, and say why."""
    config = replace(demo_config(arch=arch), smp=2)
    record(tmp_path / "run.jrr", config, Outside(script=Script(parse_script(ANSWER))), pace=Pace(checkpoint=0.2))
    recording = Recording(tmp_path / "run.jrr")
    with served_replay(recording) as served:
        client = served.client()
        client.seek(recording.icount // 2)
        assert client.ask("vCont;s:2;c").startswith("T05replaylog:end;") and client.icount == recording.icount
        assert "CPU 1 runs no instruction until the end" in client.shown
        assert client.ask("Hc2") == "OK" and client.ask("bs").startswith("T05replaylog:begin;") and client.icount == 0
        assert "CPU 1 has run no instruction since the beginning" in client.shown
        assert client.ask("Hc0") == "OK" and thread(client.ask("s")) == 1 and client.icount == 1
        client.close()


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_live_one_is_waited_for_until_somebody_asks(arch: str) -> None:
    """The demo guest halts at its question; nobody answers."""
    machine = LiveMachine(replace(demo_config(arch=arch), smp=2))
    client = Client(machine.port, arch, []).learn()
    client.send("vCont;s:2;c")
    client.stream.sendall(b"\x03")
    reply = client.receive()
    assert reply.startswith("T02") and thread(reply) == 1 and state(client, 2) == "CPU#1 [off]"
    assert thread(client.ask("vCont;s:1;c")) == 1
    assert client.ask("vKill;1") == "OK"
    machine.thread.join(PATIENCE)
    assert machine.outcome[0].reason == "left"
