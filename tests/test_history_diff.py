"""Where two recordings part: by an event, by their lengths, by a machine that ran otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from toy_machine import ToyMachine, make_machine

from runtime.borders.script import Script, parse_script
from runtime.config import MachineConfig
from runtime.recording.diff import compare_logs
from runtime.recording.errors import Divergence, RecordingError
from runtime.recording.recording import Recording
from runtime.timeline.branch import branch
from runtime.timeline.diff import Look, Parting, diff
from runtime.timeline.record import Limits, Outside, Pace, record
from runtime.timeline.trim import trim

BUSY = Pace(flush=0.0, digest=0.0, checkpoint=0.0, share=1e9)  # at every poll
CONFIG = MachineConfig(memory=1 << 20, append="off=100000")


def typed(text: str) -> Outside:
    return Outside(script=Script(parse_script(text)))


def look(machine: ToyMachine) -> Look:
    return Look(f"step {machine.icount}", {"x": (machine.x, 64), "halted": (machine.halted, 1)})


def parting(a: Recording, b: Recording) -> Parting | None:
    return diff(a, b, factory=make_machine, look=look)


@pytest.fixture(scope="module")
def parent(tmp_path_factory) -> Recording:
    path = tmp_path_factory.mktemp("toy") / "parent.jrr"
    record(path, CONFIG, typed('at 50000 serial "x"'), pace=BUSY, factory=make_machine)
    return Recording(path)


def leave(parent: Recording, at: int, path: Path, text: str = "", limits: Limits | None = None) -> Recording:
    branch(parent, at, path, typed(text), limits, pace=BUSY, factory=make_machine)
    return Recording(path)


def test_a_recording_is_the_same_as_itself(parent):
    assert parting(parent, Recording(parent.path)) is None


@pytest.mark.parametrize("at", [30_000, 50_000, 50_001])
def test_a_branch_parts_where_something_else_happens(parent, tmp_path, at):
    child = leave(parent, at, tmp_path / "b.jrr", 'at 60000 serial "y"')
    found = parting(parent, child)
    assert found is not None and found.same is not None and found.differs == found.same + 1
    first = next(
        min(one.icount, other.icount)
        for one, other in zip(parent.log.events, child.log.events, strict=False) if one != other
    )  # fmt: skip
    assert found.same == found.logs.event_icount == first >= at
    assert found.code == f"step {first}"
    assert [name for name, *_ in found.registers] == ["x"]
    (_, bits, one, other), *_ = found.registers
    assert bits == 64 and one != other


def test_input_parts_them_with_its_traces(tmp_path, parent):
    a = leave(parent, 61_000, tmp_path / "a.jrr", 'at 61500 serial "one"', Limits(max_icount=62_000))
    b = leave(parent, 61_000, tmp_path / "b.jrr", 'at 61500 serial "two"', Limits(max_icount=62_000))
    found = parting(a, b)
    assert found is not None and found.logs.events is not None and (found.same, found.differs) == (61_500, 61_501)
    assert [event and event.data for event in found.logs.events] == [b"one", b"two"]
    assert found.pages == 1 and found.memory is not None
    at, one, two = found.memory
    assert at == (1 << 20) - 4096 + len("serial0") and one.startswith(b"one") and two.startswith(b"two")


def test_other_machines_times_are_the_beginning(parent, tmp_path):
    record(tmp_path / "b.jrr", CONFIG, Outside(), pace=BUSY, factory=make_machine)
    found = parting(parent, Recording(tmp_path / "b.jrr"))
    assert found is not None and found.same is None and found.differs == 0 and found.registers


def test_one_that_ends_earlier(parent, tmp_path):
    trim(parent, 0, 40_000, tmp_path / "a.jrr", factory=make_machine)
    found = parting(Recording(tmp_path / "a.jrr"), parent)
    assert found is not None and (found.same, found.differs, found.logs.events) == (40_000, None, None)


def test_a_piece_is_compared_where_both_are(parent, tmp_path):
    trim(parent, 40_000, 100_000, tmp_path / "a.jrr", factory=make_machine)
    assert parting(Recording(tmp_path / "a.jrr"), parent) is None
    child = leave(parent, 60_000, tmp_path / "b.jrr")
    found = parting(Recording(tmp_path / "a.jrr"), child)
    assert found is not None and found.same is not None and found.same >= 60_000
    trim(parent, 0, 39_999, tmp_path / "c.jrr", factory=make_machine)
    with pytest.raises(RecordingError, match=r"c.jrr ends at instruction 39999, .*a.jrr begins at 40000"):
        parting(Recording(tmp_path / "a.jrr"), Recording(tmp_path / "c.jrr"))


def test_events_that_change_nothing(parent, tmp_path):
    """A difference of the logs alone is told as such."""
    a = leave(parent, 70_000, tmp_path / "a.jrr", limits=Limits(max_icount=70_100))
    b = Recording(a.path)
    at = b.log.events.index(next(event for event in b.log.events if event.icount > 60_000))
    del b.log.events[at:]
    logs = compare_logs(a, b)
    assert logs.events is not None and logs.events[1] is None


def test_a_machine_that_ran_otherwise_is_a_divergence(parent, tmp_path):
    """The same events, other digests: one of the two was recorded by a machine with a flaw."""
    b = Recording(parent.path)
    at = next(at for at, digest in enumerate(b.log.digests) if digest.icount > 30_000)
    b.log.digests[at] = b.log.digests[at]._replace(digest=bytes(16))
    with pytest.raises(Divergence, match="both replay to the same state here"):
        parting(parent, b)


def test_two_machines_that_differ_are_narrowed(parent):
    """The second replay is run by a machine with a flaw, and its recording has the digests of such a one."""
    flaws = iter([None, 33_333])
    b = Recording(parent.path)
    for at, digest in enumerate(b.log.digests):
        if digest.icount > 33_333:
            b.log.digests[at] = digest._replace(digest=bytes(16))
    found = diff(parent, b, factory=lambda config, border: ToyMachine(config, border, next(flaws)), look=look)
    assert found is not None and (found.same, found.differs, found.code) == (33_333, 33_334, "step 33333")


@pytest.mark.parametrize("change", [{"memory": 2 << 20}, {"append": "off=5"}, {"shift": 5}, {"rtc": "2024-02-29"}])
def test_different_machines_are_one_line(parent, tmp_path, change):
    record(tmp_path / "b.jrr", replace(CONFIG, **change), Outside(), Limits(max_icount=10), factory=make_machine)
    with pytest.raises(RecordingError, match=f"are of different machines: {next(iter(change))} "):
        parting(parent, Recording(tmp_path / "b.jrr"))
