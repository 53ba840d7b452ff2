"""The gdb server over replays of the demo guests, by raw packets: what QEMU's reverse_debugging.py asks of a server,
and everything a client may send."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator

import pytest
from debug_recordings import ARCHITECTURES, demo_recording
from gdb_client import Client, Served, served_replay

from runtime.debug.gdb.packets import escape


@pytest.fixture(scope="module", params=ARCHITECTURES)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    recording = demo_recording(request.param, tmp_path_factory.getbasetemp())
    with served_replay(recording) as served:
        yield served


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    client = served.client()
    client.seek(31_000_000)
    yield client
    client.close()


def test_steps_and_reverse_steps(client: Client) -> None:
    """QEMU's tests/avocado/reverse_debugging.py: ten steps, ten reverse steps by the same addresses; breakpoints on all
    of them, and reverse-continue lands on the last."""
    steps = [client.pc]
    for _ in range(9):
        assert client.ask("s").startswith("T05")
        steps.append(client.pc)
    for pc in reversed(steps[:-1]):
        assert client.ask("bs").startswith("T05")
        assert client.pc == pc
    for pc in steps[1:]:
        assert client.ask("vCont;s:1").startswith("T05")
        assert client.pc == pc
    assert client.ask("s").startswith("T05")
    after = client.pc
    for pc in steps:
        client.insert(0, pc, 4)
    assert "swbreak" in client.ask("bc")
    assert client.pc == steps[-1] or after in steps
    for pc in set(steps):
        client.remove(0, pc, 4)
    assert client.ask("bc").startswith("T05replaylog:begin;") and client.icount == 0
    assert client.ask("bs").startswith("T05replaylog:begin;")
    assert client.ask("bc").startswith("T05replaylog:begin;")


def test_both_ends(client: Client, served: Served) -> None:
    end = served.subject.travel.end  # type: ignore[attr-defined]
    assert client.ask("c").startswith("T05replaylog:end;") and client.icount == end
    assert "power-off" in client.shown
    assert client.ask("s").startswith("T05replaylog:end;") and client.icount == end
    assert client.ask("bs").startswith("T05thread") and client.icount == end - 1
    assert client.ask("s").startswith("T05thread") and client.icount == end


def test_registers_all_and_one_by_one(client: Client, served: Served) -> None:
    together, at = bytes.fromhex(client.ask("g")), 0
    target = served.subject.target
    for number, register in enumerate(target.registers):
        value = int.from_bytes(bytes.fromhex(client.ask(f"p{number:x}")), "little")
        assert value == target.read_register(register.name), register
        size = register.bits // 8
        if at < len(together):
            assert value == int.from_bytes(together[at : at + size], "little"), register
        at += size
    assert client.ask(f"p{len(target.registers):x}") == "E16"


def test_memory(client: Client, served: Served) -> None:
    target = served.subject.target
    code = client.memory(target.pc, 32)
    assert code == target.read(target.pc, 32)
    unmapped = 0x20000000 if client.arch == "arm" else 0xE0000000
    assert client.ask(f"m{unmapped:x},4") == "E0e"
    assert client.ask("m0") == "E16" and client.ask("mx,y") == "E16"
    physical = target.translate(target.pc)
    assert client.ask("qqemu.PhyMemMode") == "0" and client.ask("Qqemu.PhyMemMode:1") == "OK"
    assert client.memory(physical or 0, 32) == code and client.ask("qqemu.PhyMemMode") == "1"
    assert client.ask("Qqemu.PhyMemMode:2") == "E16" and client.ask("Qqemu.PhyMemMode:0") == "OK"
    (start, size, _), *_ = served.subject.machine.engine.ranges
    last = start + size - 8
    if target.translate(last) == last and target.translate(last + 8) in (None, last + 8):
        assert len(client.memory(last, 64)) == 8  # what there is


def test_writes_are_refused_in_words(client: Client) -> None:
    before = client.memory(client.pc, 8)
    for packet in ("P0=00000000", f"M{client.pc:x},4:00000000", b"X%x,4:" % client.pc + escape(b"#$}*"), "G00"):
        assert client.ask(packet) .startswith("E.this is a replay: what it was cannot be written")
    assert client.ask(f"X{client.pc:x},0:") == "OK"  # whether such packets are known
    assert client.memory(client.pc, 8) == before


def test_breakpoints_of_both_kinds(client: Client) -> None:
    here = client.icount
    for _ in range(40):
        client.ask("s")
    there, at = client.pc, client.icount
    for kind, reason in ((0, "swbreak:;"), (1, "hwbreak:;")):
        client.seek(here)
        client.insert(kind, there)
        reply = client.ask("vCont;c:-1")
        assert reply.startswith(f"T05{reason}") and client.pc == there and here < client.icount <= at
        client.remove(kind, there)


def test_a_breakpoint_where_nothing_is_mapped_yet(client: Client) -> None:
    """Set before the guest has switched paging on, hit afterwards."""
    client.seek(31_500_000)
    there = client.pc
    client.seek(0)
    client.insert(0, there)
    client.insert(0, 0xFFFFFFFF81000000 if client.arch == "x86_64" else 0xC0100000)
    assert "swbreak" in client.ask("c") and client.pc == there


def test_watchpoints_both_ways(client: Client, served: Served) -> None:
    """The word below the stack pointer: written, then found again backwards. ARM's stop before the access (gdb's
    nonsteppable watchpoints), the others behind it."""
    stack = client.register({"x86_64": "rsp", "i386": "esp", "arm": "sp"}[client.arch])
    word = stack - 8
    old = client.memory(word, 4)
    client.insert(2, word, 4)
    assert re.match(rf"T05watch:{word:x};", client.ask("c")) or f"watch:{word:x}" in client.shown
    forward, on_arm = client.icount, client.arch == "arm"
    if on_arm:
        client.remove(2, word, 4)
        client.ask("s")
        client.insert(2, word, 4)
        forward += 1
    new = client.memory(word, 4)
    client.remove(2, word, 4)
    client.ask("s")
    client.insert(2, word, 4)
    assert "watch:" in client.ask("bc")
    assert client.icount == (forward if on_arm else forward - 1)
    assert client.memory(word, 4) == (new if on_arm else old)
    client.remove(2, word, 4)


@pytest.mark.parametrize(("kind", "name"), [(2, "watch"), (3, "rwatch"), (4, "awatch")])
def test_watchpoints_of_physical_addresses(client: Client, served: Served, kind: int, name: str) -> None:
    """In both directions: what is watched is the memory, whatever address it is mapped at."""
    stack = client.register({"x86_64": "rsp", "i386": "esp", "arm": "sp"}[client.arch])
    physical = served.subject.target.translate(stack - 8)
    assert physical is not None
    linear: list[object] = []
    by_place: list[object] = []
    for found, address, mode in ((linear, stack - 8, 0), (by_place, physical, 1)):
        client.seek(31_000_000)
        assert client.ask(f"Qqemu.PhyMemMode:{mode}") == "OK"
        client.insert(kind, address, 4)
        assert client.ask("Qqemu.PhyMemMode:0") == "OK"
        assert f"T05{name}:{address:x}" in client.ask("c")
        found.append(client.icount)
        found.append((client.ask("bc").partition(":")[0], client.icount))
        client.remove(kind, address, 4)
    assert linear == by_place


def test_a_step_over_a_write_tells(client: Client) -> None:
    stack = client.register({"x86_64": "rsp", "i386": "esp", "arm": "sp"}[client.arch])
    client.insert(2, stack - 8, 4)
    assert "watch:" in client.ask("c")
    if client.arch == "arm":
        assert "watch:" in client.ask("s")  # it stands before the access, again
    else:
        assert "watch:" in client.ask("bs") and "watch:" in client.ask("s")


def test_there_is_a_limit_to_watchpoints(client: Client) -> None:
    replies = [client.ask(f"Z2,{0x1000 * number:x},4") for number in range(40)]
    assert replies[0] == "OK" and replies[-1].startswith("E.")
    assert client.ask("Z5,0,1") == "E16" and client.ask("Z0") == "E16"


def test_a_range_is_stepped_through(client: Client) -> None:
    pc = client.pc
    reply = client.ask(f"vCont;r{pc:x},{pc + 1:x}:1")
    assert reply.startswith("T05") and client.pc != pc and client.icount == 31_000_001


def test_ctrl_c_during_a_run(client: Client, served: Served) -> None:
    client.seek(0)
    client.send("c")
    time.sleep(0.02)
    client.stream.sendall(b"\x03")
    reply = client.receive()
    end = served.subject.travel.end  # type: ignore[attr-defined]
    assert reply.startswith("T02") or client.icount == end
    at = client.icount
    assert client.ask("s").startswith("T05") and (client.icount > at or at == end)


def test_ctrl_c_while_it_stands_still(client: Client) -> None:
    client.stream.sendall(b"\x03")
    assert client.ask("?").startswith("T05")


def test_queries(client: Client) -> None:
    supported = client.ask("qSupported:multiprocess+;swbreak+;xmlRegisters=i386")
    for feature in ("ReverseStep+", "ReverseContinue+", "QStartNoAckMode+", "qXfer:features:read+", "PacketSize=",
                    "qXfer:memory-map:read+", "vContSupported+", "swbreak+", "hwbreak+"):  # fmt: skip
        assert feature in supported
    assert client.ask("vCont?") == "vCont;c;C;s;S;r"
    assert client.ask("qfThreadInfo") == "m01" and client.ask("qsThreadInfo") == "l" and client.ask("qC") == "QC01"
    assert bytes.fromhex(client.ask("qThreadExtraInfo,01")).startswith(b"CPU#0")
    replies = {"Hg0": "OK", "Hc-1": "OK", "Hg7": "E16", "T1": "OK", "T2": "E16", "qAttached": "1", "!": "OK",
               "vMustReplyEmpty": "", "qTStatus": "", "Y": "", "": ""}  # fmt: skip
    for packet, reply in replies.items():
        assert client.ask(packet) == reply, packet


def test_the_description_comes_in_pieces(client: Client) -> None:
    whole = client.ask("qXfer:features:read:target.xml:0,10000")
    assert whole.startswith("l<?xml")
    pieces, at = "", 0
    while True:
        piece = client.ask(f"qXfer:features:read:target.xml:{at:x},100")
        pieces, at = pieces + piece[1:], at + len(piece) - 1
        if piece[0] == "l":
            break
    assert pieces == whole[1:]
    assert client.ask("qXfer:memory-map:read::0,1000").startswith("l<?xml")
    assert client.ask("qXfer:features:read:other.xml:0,10") == "E00" and client.ask("qXfer:auxv:read::0,10") == ""


def test_monitor_commands_are_passed_on(client: Client) -> None:
    assert bytes.fromhex(client.ask("qRcmd," + b"info replay".hex())) == b"monitor: info replay\n"


def test_no_acknowledgements_on_request(client: Client) -> None:
    assert client.ask("QStartNoAckMode") == "OK"
    assert client.ask("?").startswith("T05") and client.ask("qC") == "QC01"
    client.stream.sendall(b"$?#00")
    assert client.receive().startswith("T05")


def test_clients_come_and_go(served: Served) -> None:
    first = served.client()
    first.seek(1234)
    first.insert(0, first.pc)
    second = socket.create_connection(("127.0.0.1", served.port), 60)
    assert second.recv(10) == b""  # there is one at a time
    assert first.ask("D") == "OK"
    third = served.client()
    assert third.icount == 1234  # where it was, without the breakpoint
    assert third.ask("c").startswith("T05replaylog:end;")
    third.send("bc")
    third.close()  # in the middle of a motion
    fourth = served.client()
    assert fourth.ask("?").startswith("T05")
    fourth.stream.sendall(b"nonsense\xff\xfe$$$#zz")
    assert fourth.ask("qC")
    fourth.close()


def test_kill_ends_the_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    with served_replay(demo_recording("x86_64", tmp_path_factory.getbasetemp()), "interp") as served:
        client = served.client()
        assert client.ask("vKill;1") == "OK"
        served.thread.join(60)
        assert not served.thread.is_alive()
