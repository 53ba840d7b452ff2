"""The monitor's commands about several processors, on guests that have two."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from monitor_client import Program, QmpClient
from smp_guest import ARCHITECTURES, LENGTH, PRIVATE, places, smp_recording

from runtime.debug.monitor.monitor import Monitor
from runtime.debug.target import make_target
from runtime.timeline.travel import Travel

PC = {"x86_64": r"^RIP=(\w+)", "i386": r"^EIP=(\w+)", "arm": r"R15=(\w+)"}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def guest(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Monitor, dict[str, int]]]:
    recording, linked = smp_recording(request.param, tmp_path_factory.getbasetemp())
    travel = Travel(recording)
    yield Monitor(travel, make_target(travel.machine)), places(linked, request.param)
    travel.close()


@pytest.fixture
def monitor(guest: tuple[Monitor, dict[str, int]]) -> Monitor:
    guest[0].perform(f"replay_seek {LENGTH // 2}")
    guest[0].perform("delete")
    return guest[0]


def pcs(text: str, arch: str) -> list[int]:
    """Of the processors whose registers are shown."""
    return [int(found, 16) for found in re.findall(PC[arch], text, re.MULTILINE)]


def test_info_cpus(monitor: Monitor) -> None:
    turn = monitor.target.machine.turn
    lines = monitor.perform("info cpus").splitlines()
    assert [re.fullmatch(r"([* ]) CPU #(\d): pc=0x\w+( \(halted\))?", line).groups()[:2]  # type: ignore[union-attr]
            for line in lines] == [("*" if number == turn else " ", str(number)) for number in (0, 1)]  # fmt: skip
    monitor.perform("replay_seek 0")
    assert re.fullmatch(r"\* CPU #0: pc=0x\w+\n  CPU #1: pc=0x\w+ \(off\)\n", monitor.perform("info cpus"))


def test_commands_look_at_the_chosen_one(monitor: Monitor) -> None:
    arch, private = monitor.target.arch, PRIVATE[monitor.target.arch]
    of_all = pcs(monitor.perform("info registers -a"), arch)
    assert len(of_all) == 2
    for number in (0, 1):
        assert monitor.perform(f"cpu {number}") == ""
        text = monitor.perform("info registers")
        assert text.startswith(f"CPU#{number}\n") and pcs(text, arch) == [of_all[number]]
        assert monitor.value("$pc") == of_all[number] and f"* CPU #{number}:" in monitor.perform("info cpus")
        assert int(monitor.perform(f"x/xw {private:#x}").split()[-1], 16) & 1 == number
        assert monitor.perform(f"info registers {1 - number}").startswith(f"CPU#{1 - number}\n")
        assert f", CPU {number}, pc {of_all[number]:#x}" in monitor.where()
    mapped = [(monitor.perform(f"cpu {number}"), monitor.perform(f"gva2gpa {private:#x}"))[1] for number in (0, 1)]
    assert mapped[0] != mapped[1] and all(text.startswith("gpa: ") for text in mapped)
    assert monitor.perform("cpu") == "" and monitor.target.processor == monitor.target.machine.turn
    for command in ("cpu 2", "info registers 2"):
        assert monitor.execute(command) == "Error: there is no CPU 2, only 0 to 1\n"


def test_info_lapic(monitor: Monitor) -> None:
    if monitor.target.arch == "arm":
        assert monitor.execute("info lapic") == "Error: this machine has no local APIC\n"
        return
    for number in (0, 1):
        text = monitor.perform(f"info lapic {number}")
        assert text.startswith(f"dumping local APIC state for CPU {number}, at 0xfee00000\n")
        for line in ("LVTT    0x00000040 one-shot (vec 64)", "SPIV    0x000001ff APIC enabled, spurious vec 255"):
            assert line + "\n" in text, text
    assert "ICR     0x00004608" in monitor.perform("info lapic 0")  # it has started the other one
    monitor.perform("replay_seek 0")
    assert "LVTT    0x00010000 masked one-shot (vec 0)" in monitor.perform("info lapic 1")


def test_a_motion_chooses_who_it_was_about(guest: tuple[Monitor, dict[str, int]], monitor: Monitor) -> None:
    names, turn = guest[1], monitor.target.machine.turn
    monitor.perform(f"cpu {1 - turn}")
    monitor.perform("forward")
    assert monitor.target.processor == monitor.target.machine.turn
    monitor.perform(f"watch {names['turn']:#x} 4")
    writers = []
    for command in ("reverse-continue", "reverse-continue", "cont", "cont"):
        monitor.perform(command)
        writers.append(monitor.target.processor)
    first, second = writers[:2]
    assert writers == [first, second, second, first] and first != second
    monitor.perform("reverse-continue")
    assert f"* CPU #{first}:" in monitor.perform("info cpus")  # it is about to write
    assert monitor.value(f"[{names['turn']:#x}]") & 0xFFFFFFFF == first


def test_steps_of_the_machine(guest: tuple[Monitor, dict[str, int]], monitor: Monitor) -> None:
    """Whosever turn it is; back the same way."""
    monitor.perform(f"break {guest[1]['wait_turn']:#x}")
    for _ in range(6):  # then they take turns
        monitor.perform("cont")
    way = []
    for _ in range(400):
        way.append((monitor.icount, monitor.target.machine.turn, monitor.target.pc))
        monitor.perform("forward")
    assert {turn for _, turn, _ in way} == {0, 1}
    for place in reversed(way):
        monitor.perform("back")
        assert (monitor.icount, monitor.target.machine.turn, monitor.target.pc) == place


def test_qmp(tmp_path_factory: pytest.TempPathFactory) -> None:
    recording, _ = smp_recording("x86_64", tmp_path_factory.getbasetemp())
    folder = tmp_path_factory.mktemp("qmp")
    with Program(folder / "m.sock", "qmp:", "replay", recording.path, "--seek", LENGTH // 2) as program:
        client = QmpClient(program.connect())
        client.result("qmp_capabilities")
        cpus = client.result("query-cpus-fast")
        assert [(cpu["cpu-index"], cpu["target"]) for cpu in cpus] == [(0, "x86_64"), (1, "x86_64")]
        assert cpus[0]["thread-id"] == cpus[1]["thread-id"] > 0
        ask = {"command_line": "info registers"}
        for number in (1, 0):
            assert client.result("human-monitor-command", **ask, cpu_index=number).startswith(f"CPU#{number}\r\n")
        assert "cpu-index" in client.ask("human-monitor-command", **ask, cpu_index=2)["error"]["desc"]
        client.result("quit")
        client.close()
        assert program.wait() == 0
