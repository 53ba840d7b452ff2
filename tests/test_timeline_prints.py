"""Where the console printed what, against a replay that listens to everything: whole recordings, branches, pieces."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_machine import make_machine

from runtime.borders.script import Script, parse_script
from runtime.config import MachineConfig
from runtime.recording.errors import RecordingError
from runtime.recording.recording import Recording
from runtime.timeline.branch import branch
from runtime.timeline.places import resolve
from runtime.timeline.record import Outside, Pace, record
from runtime.timeline.replay import Replay
from runtime.timeline.trim import trim

END, LEFT = 60_000, 30_500
OFTEN = Pace(flush=0.0, digest=0.0, checkpoint=0.0, share=1e9)
#: Batches in which more is noted than was printed: the parent's went on after the branch left it.
RARELY = Pace(flush=1e9, digest=0.0, checkpoint=0.0, share=1e9)
TEXTS = (b"30000\r\n[x]", b"0", b"00\r\n", b"1000\r\n22000", b"[hello]", b"lo]4", b"30000\r\n31", b"never")


def typed(text: str) -> Outside:
    return Outside(script=Script(parse_script(text)))


@pytest.fixture(scope="module", params=["often", "rarely", "unnoted", "branch", "piece", "piece of a branch"])
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    folder: Path = tmp_path_factory.mktemp("toy")
    config = MachineConfig(memory=1 << 20, append=f"off={END}", shift=3)
    pace = OFTEN if request.param == "often" else RARELY
    record(folder / "a.jrr", config, typed('at 40500 serial "hello"'), pace=pace, factory=make_machine)
    found = Recording(folder / "a.jrr")
    if request.param == "unnoted":  # as recordings of older versions are
        found.log.printed = None
    if "branch" in request.param:
        branch(found, LEFT, folder / "b.jrr", typed('at 30501 serial "x"'), pace=RARELY, factory=make_machine)
        found = Recording(folder / "b.jrr")
    if "piece" in request.param:
        trim(found, 10_200, 50_200, folder / "p.jrr", factory=make_machine)
        found = Recording(folder / "p.jrr")
    return found


def heard(recording: Recording) -> list[tuple[int, int]]:
    """Each byte that the console shows, and behind which instruction."""
    replay, found = Replay(recording, verify=False, factory=make_machine), list[tuple[int, int]]()
    replay.on_output = lambda at, channel, data: found.extend((byte, at + 1) for byte in data)
    replay.run_to(recording.icount)
    return found


def test_every_text_is_found_everywhere(recording: Recording) -> None:
    printed = heard(recording)
    whole = bytes(byte for byte, _ in printed)
    assert len(whole) > 200
    assert (b"30000\r\n[x]" in whole) == any(event.data == b"x" for event in recording.log.events)
    prints = Replay(recording, verify=False, factory=make_machine).prints
    for text in TEXTS:
        ends = [at + len(text) - 1 for at in range(len(whole)) if whole.startswith(text, at)]
        positions = [printed[end][1] for end in ends]
        for here in {recording.begin, recording.icount, LEFT, *positions, *(at + 1 for at in positions[:20])}:
            assert prints.first(text, here) == min((at for at in positions if at > here), default=None)
            assert prints.last(text, here) == max((at for at in positions if at < here), default=None)
        for number in range(1, len(positions) + 2):
            inside = number <= len(positions)
            assert prints.numbered(text, number) == (positions[number - 1] if inside else None)
            assert prints.numbered(text, -number) == (positions[-number] if inside else None)


def test_places_by_number(recording: Recording) -> None:
    printed = heard(recording)
    zeros = [at for byte, at in printed if byte == ord("0")]
    for number in (1, 2, 7, -1, -3):
        at = zeros[number - 1 if number > 0 else number]
        assert resolve(recording, f'console:"0"#{number}', factory=make_machine) == at
    assert resolve(recording, "console:'0'", factory=make_machine) == zeros[0]
    for place, error in (
        ('console:"0"#0', "of which text"), ('console:""#1', "of which text"), ('console:"0"#9999', "fewer than 9999"),
        ('console:"0#1"', "never printed '0#1'"), ("console:0#2", "never printed '0#2'"),
        ('console:"never"#-1', "never printed 'never'"),
    ):  # fmt: skip
        with pytest.raises(RecordingError, match=error):
            resolve(recording, place, factory=make_machine)
