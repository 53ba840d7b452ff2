"""Branches of the real machine: the demo guest of each architecture is answered otherwise than it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_machine import record_demo

from jitrr.cli import main
from runtime.borders.console import ConsoleOutput
from runtime.borders.script import Script, parse_script
from runtime.debug.monitor.monitor import Monitor
from runtime.debug.target import make_target
from runtime.recording.errors import RecordingError
from runtime.recording.recording import Recording
from runtime.timeline.branch import branch
from runtime.timeline.record import Outside, Pace
from runtime.timeline.replay import Replay
from runtime.timeline.travel import Point, Travel
from runtime.timeline.verify import verify
from runtime.timeline.watch import Limits

OFTEN = Pace(digest=0.1, checkpoint=0.1)


@pytest.mark.parametrize("arch", ["x86_64", "i386", "arm"])
def test_the_demo_guest_is_answered_otherwise(arch: str, tmp_path: Path) -> None:
    record_demo(tmp_path / "a.jrr", pace=OFTEN, arch=arch)
    parent = Recording(tmp_path / "a.jrr")
    typed = next(event.icount for event in parent.log.events if event.asynchronous)
    answer = Script(parse_script(f'at {typed} keyboard "Eve\\n"'))
    outside = Outside(ConsoleOutput.file(tmp_path / "console"), None, answer)
    outcome = branch(parent, typed - 10_001, tmp_path / "b.jrr", outside, pace=OFTEN)
    assert outcome.reason == "power-off"
    shown = (tmp_path / "console").read_bytes()
    assert b"Eve" in shown and b"Ada" not in shown
    child = Recording(tmp_path / "b.jrr")
    assert child.size()["images"] == 0 < parent.size()["images"]
    verdict = verify(child)
    assert verdict.good and verdict.verified == child.icount, verdict.message
    replay = Replay(child)
    for icount in (child.icount - 5, typed - 20_000, typed + 77):
        replay.seek(icount)
        digest = replay.digest()
        replay.seek(child.begin)
        replay.run_to(icount)
        assert replay.digest() == digest
    replay.close()


@pytest.fixture(scope="module", params=["x86_64", "arm"])
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    path: Path = tmp_path_factory.mktemp("live") / "a.jrr"
    record_demo(path, pace=OFTEN, arch=request.param)
    return Recording(path)


def test_a_debugger_goes_live_and_records(recorded: Recording, tmp_path: Path) -> None:
    """Steps, breakpoints and interruptions of a live machine leave no trace in its recording."""
    at = recorded.log.events[-1].icount - 1_000_000
    travel = Travel(recorded)
    travel.seek(at)
    travel.go_live(tmp_path / "b.jrr", pace=OFTEN)
    assert "b.jrr" in travel.refusal
    with pytest.raises(RecordingError, match="there is no going back"):
        travel.back()
    for _ in range(20):
        travel.step()
    assert travel.icount >= at + 20
    travel.step(1000)
    pc = travel.pc
    travel.set_points([Point("break", pc)])
    arrivals = [travel.run() for _ in range(3)]
    assert {arrival.why for arrival in arrivals} <= {"break", "power-off", "interrupted"}
    travel.set_points(())
    asked = iter([True])
    travel.interrupt = lambda: next(asked, False)
    assert travel.run().why in ("interrupted", "power-off")
    travel.run(travel.icount + 50_000)
    travel.close()
    child = Recording(tmp_path / "b.jrr")
    assert child.clean_close and child.icount > at
    verdict = verify(child)
    assert verdict.good and verdict.icount == child.icount, verdict.message


def test_a_debugger_goes_live_and_writes(recorded: Recording) -> None:
    travel = Travel(recorded)
    travel.seek(recorded.icount // 2)
    assert travel.refusal
    travel.go_live()
    assert not travel.refusal
    target = make_target(travel.machine)
    name = "rax" if target.arch == "x86_64" else "r0"
    target.write_register(name, 0x1234)
    assert target.read_register(name) == 0x1234
    with pytest.raises(RecordingError, match="runs live already"):
        travel.go_live()
    arrival = travel.run()
    assert arrival.why in ("power-off", "crashed", "interrupted")
    travel.close()


def test_the_monitor_goes_live(recorded: Recording, tmp_path: Path) -> None:
    """Keys pressed in a monitor that has left the recording are in the new one."""
    travel = Travel(recorded)
    travel.seek(next(event.icount for event in recorded.log.events if event.asynchronous) - 10_001)
    monitor = Monitor(travel, make_target(travel.machine))
    assert "is a replay" in monitor.execute("sendkey e")
    assert monitor.execute(f"golive {tmp_path / 'b.jrr'}").startswith("The machine runs live from here on, ")
    assert monitor.execute("info replay").startswith(f"Recording execution '{tmp_path / 'b.jrr'}'")
    for key in ("shift-e", "v", "e"):
        assert monitor.execute(f"sendkey {key} 1") == ""
        assert travel.run(travel.icount + 500_000).why == "reached"
    monitor.execute("sendkey ret 1")
    assert "no going back" in monitor.execute("back") and "no going back" in monitor.execute("replay_seek 5")
    assert "The machine is switched off" in monitor.execute("cont")
    travel.close()
    child = Recording(tmp_path / "b.jrr")
    assert child.reason == "power-off" and verify(child).good
    keys = b"".join(event.data for event in child.log.events if event.kind == "input:keyboard")
    assert keys.startswith(bytes([42, 18, 0x80 | 18, 0x80 | 42, 47, 0x80 | 47, 18, 0x80 | 18, 28]))


def test_nothing_goes_live_behind_the_end(recorded: Recording) -> None:
    travel = Travel(recorded)
    travel.seek(recorded.icount)
    with pytest.raises(RecordingError, match="the machine is switched off"):
        travel.go_live()
    travel.back()
    travel.go_live()
    assert travel.step(5).why == "power-off"
    assert travel.run().why == "power-off"
    travel.close()


def test_where_two_answers_part(recorded: Recording, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    typed = next(event.icount for event in recorded.log.events if event.asynchronous)
    script = Script(parse_script(f'at {typed} keyboard "Eve\\n"'))
    branch(recorded, typed - 5000, tmp_path / "b.jrr", Outside(script=script), Limits(max_icount=typed + 10_000))
    with pytest.raises(SystemExit) as ended:
        main(["diff", str(recorded.path), str(tmp_path / "b.jrr")])
    report = capfd.readouterr().out
    assert ended.value.code == 1
    assert f"they part at instruction {typed:,}: the states there are the same, those at {typed + 1:,} not" in report
    lines = {" ".join(line.split()[:3]) for line in report.splitlines()}
    assert "event in A" in lines and "event in B" in lines and any(line.startswith("device keyboard") for line in lines)
    assert any(line.startswith("instruction 0x") or "halted" in line for line in report.splitlines())
