"""Places in a recording as people say them."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_machine import make_machine

from runtime.borders.script import Script, parse_script
from runtime.config import MachineConfig
from runtime.recording.errors import RecordingError
from runtime.recording.labels import recorded_labels
from runtime.recording.recording import Recording
from runtime.timeline.places import resolve
from runtime.timeline.record import Outside, Pace, record
from runtime.timeline.replay import Replay

END = 100_000


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    path: Path = tmp_path_factory.mktemp("toy") / "toy.jrr"
    script = Script(parse_script('at 50_500 serial "hello"'.replace("_", "")))
    pace = Pace(flush=0.0, digest=0.0, checkpoint=0.0, share=1e9)
    config = MachineConfig(memory=1 << 20, append=f"off={END}", shift=3)
    record(path, config, Outside(script=script), pace=pace, factory=make_machine)
    return Recording(path)


@pytest.mark.parametrize(("text", "icount"), [
    ("1000", 1000), ("12,345", 12_345), ("1_000", 1000), ("begin", 0), ("begin+7", 7), ("end", END),
    ("end-1000", 99_000), ("+5", 505), ("-100", 400), ("50%", 50_000), ("0.5 %", 500), ("100%", END),
    ("0.4ms", 50_000), ("12us", 1500), ("0.0001s", 12_500), ("event:1", 0), ("later", 77), ("label:later", 77),
])  # fmt: skip
def test_what_people_say(recording: Recording, text: str, icount: int) -> None:
    recorded_labels(recording).put("later", 77)
    assert resolve(recording, text, 500, factory=make_machine) == icount


@pytest.mark.parametrize("text", [
    "", "soon", "end5", "+", "5+", "1.5", "101%", "2s", "-501", "end+1", "event:0", "event:999", "event:x", "label:no",
    "console:", 'console:"never printed"', "100001",
])  # fmt: skip
def test_what_is_no_place_is_one_clear_line(recording: Recording, text: str) -> None:
    with pytest.raises(RecordingError) as caught:
        resolve(recording, text, 500, factory=make_machine)
    assert len(str(caught.value).splitlines()) == 1


def heard(recording: Recording, icount: int) -> bytes:
    """What the console has shown at ``icount``."""
    replay, shown = Replay(recording, verify=False, factory=make_machine), bytearray()
    replay.on_output = lambda at, channel, data: shown.extend(data)
    replay.run_to(icount)
    return bytes(shown)


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("text", ["0", "2000\\r\\n3000", "[hello", "ello]5", '"99000"', "'9000\\r'"])
def test_console_output_is_found_to_the_instruction(
    recording: Recording, text: str, indexed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not indexed:  # a recording of an older version
        monkeypatch.setattr(recording.log, "printed", None)
    found = resolve(recording, f"console:{text}", factory=make_machine)
    wanted = text.strip("\"'").replace("\\r", "\r").replace("\\n", "\n").encode()
    assert wanted in heard(recording, found) and wanted not in heard(recording, found - 1)


def test_the_log_notes_the_console_in_many_batches(recording: Recording) -> None:
    assert recording.log.printed is not None and len(recording.log.printed) > 10
    assert b"".join(each.data for each in recording.log.printed) == heard(recording, END)
    assert all(a.end == b.begin for a, b in zip(recording.log.printed, recording.log.printed[1:], strict=False))
