"""Branches of the real machine: the demo guest of each architecture is answered otherwise than it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_machine import record_demo

from runtime.borders.console import ConsoleOutput
from runtime.borders.script import Script, parse_script
from runtime.recording.recording import Recording
from runtime.timeline.branch import branch
from runtime.timeline.record import Outside, Pace
from runtime.timeline.replay import Replay
from runtime.timeline.verify import verify

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
    assert child.size()["total"] < parent.size()["total"]
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
