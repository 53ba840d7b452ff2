"""What recordings note of the pages that were used, and searches that leave out what was not."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from real_machine import record_demo

from jitrr.engine.constants import EXEC, TOUCHED, TOUCHED_PLACE
from runtime.debug.target import make_target
from runtime.recording.errors import RecordingError
from runtime.recording.pack import pack
from runtime.recording.recording import Recording
from runtime.recording.touched import Touched, TouchedWriter
from runtime.timeline.record import Pace
from runtime.timeline.travel import Arrival, Point, Travel
from runtime.timeline.trim import trim

RUN = 1 << EXEC
STACK = {"x86_64": "rsp", "i386": "esp", "arm": "sp"}


def table(**uses: int) -> np.ndarray:
    """``table(e7=4)``: entry 7 has the use 4."""
    found = np.zeros(TOUCHED, np.uint8)
    for entry, use in uses.items():
        found[int(entry[1:])] = use
    return found


def may_have(touched: Touched, begin: int, end: int, wanted: np.ndarray) -> bool:
    return touched.last_use(begin, end, wanted) > begin


@pytest.fixture
def file(tmp_path: Path) -> Path:
    writer = TouchedWriter(tmp_path / "touched")
    writer.add(100, table(e1=RUN))  # what was before the beginning
    writer.add(200, table(e7=RUN))
    writer.add(200, table(e6=RUN))
    writer.add(300, table(e8=RUN | TOUCHED_PLACE))
    return tmp_path / "touched"


def test_only_what_is_known_not_to_be_used_is_left_out(file: Path) -> None:
    touched = Touched(file)
    assert may_have(touched, 100, 200, table(e7=RUN)) and not may_have(touched, 100, 200, table(e8=RUN))
    assert may_have(touched, 200, 300, table(e6=RUN)) and not may_have(touched, 100, 200, table(e6=RUN))
    assert not may_have(touched, 100, 300, table(e1=RUN)) and not may_have(touched, 100, 200, table(e7=TOUCHED_PLACE))
    assert may_have(touched, 199, 201, table(e8=TOUCHED_PLACE))
    assert touched.last_use(150, 300, table(e7=RUN)) == 200 and touched.last_use(150, 250, table(e8=RUN)) == 250
    for gap in ((99, 200), (250, 301), (0, 50), (300, 301)):
        assert may_have(touched, *gap, table(e1=RUN))


def test_a_branch_knows_what_its_parent_does(file: Path, tmp_path: Path) -> None:
    writer = TouchedWriter(tmp_path / "own")
    writer.add(250, table())
    writer.add(400, table(e9=RUN))
    both = Touched(tmp_path / "own", Touched(file), 250)
    assert [(each.begin, each.end) for each in both.intervals] == [(100, 200), (200, 250), (250, 400)]
    assert not may_have(both, 100, 250, table(e9=RUN)) and not may_have(both, 250, 400, table(e8=RUN))
    both.write(tmp_path / "piece", 150, 300)
    assert [(each.begin, each.end) for each in Touched(tmp_path / "piece").intervals] == [
        (150, 200), (200, 250), (250, 300),
    ]  # fmt: skip


def test_a_cut_file_is_good_up_to_there_and_an_altered_one_is_refused(file: Path) -> None:
    data = file.read_bytes()
    whole = Touched(file).intervals
    for cut in range(len(data)):
        file.write_bytes(data[:cut])
        assert Touched(file).intervals == whole[: len(Touched(file).intervals)] and len(Touched(file).intervals) < 2
    for at in range(len(data)):
        altered = bytearray(data)
        altered[at] ^= 0x10
        file.write_bytes(altered)
        try:
            found = Touched(file).intervals
        except RecordingError:
            continue
        assert found == whole[: len(found)]  # a length that goes beyond the end


@pytest.fixture(scope="module", params=tuple(STACK))
def travel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Travel]:
    path: Path = tmp_path_factory.mktemp("touched") / "demo.jrr"
    record_demo(path, arch=request.param, pace=Pace(touched=0.02, digest=0.02, checkpoint=0.02, share=1e9))
    found = Travel(Recording(path))
    yield found
    found.close()


def seen(travel: Travel, rng: random.Random) -> tuple[int, list[Point]]:
    """A random place, and points for what may be used there."""
    at = rng.randrange(travel.end)
    travel.seek(at)
    target = make_target(travel.machine)
    stack = target.read_register(STACK[travel.recording.manifest["machine"]["arch"]])
    address = stack + rng.randrange(-64, 64, 8)
    points = [Point("break", travel.pc), Point("write", address, 8), Point("read", stack, 4), Point("access", address)]
    places = [place for place in (target.translate(address),) if place is not None]
    return at, [*points, *(Point("write", place, 4, physical=True) for place in places)]


def test_the_page_of_each_instruction_is_noted(travel: Travel) -> None:
    rng, engine = random.Random(1), travel.machine.engine
    intervals = travel.recording.touched.intervals
    assert intervals[0].begin == 0 and intervals[-1].end == travel.end and len(intervals) > 3
    assert all(one.end == two.begin for one, two in pairwise(intervals))
    assert min((each.uses & RUN).astype(bool).sum() for each in intervals) < 30
    for each in intervals:
        for at in (each.begin, each.end - 1, *(rng.randrange(each.begin, each.end) for _ in range(3))):
            travel.seek(at)
            if not travel.machine.halted:
                assert each.uses[engine.touched_entry(travel.pc)] & RUN


def test_a_search_finds_what_it_finds_without_the_notes(travel: Travel) -> None:
    rng, touched = random.Random(2), travel.recording.touched
    hits = left_out = 0
    for _ in range(6):
        _, points = seen(travel, rng)
        for point in points:
            start = rng.choice([travel.end, rng.randrange(travel.end)])
            found: list[Arrival] = []
            travel.set_points([point])
            left_out += sum(not may_have(touched, each.begin, each.end, travel.uses()) for each in touched.intervals)
            noted = list(touched.intervals)
            for intervals in (noted, []):
                touched.intervals[:] = intervals
                travel.seek(start)
                found.append(travel.run_back())
            touched.intervals[:] = noted
            assert found[0] == found[1], (start, point)
            hits += found[0].point is not None
    assert hits > 5 and left_out > 5


def test_packed_recordings_and_pieces_have_it_too(travel: Travel, tmp_path: Path) -> None:
    recording = travel.recording
    pack(recording, tmp_path / "all.jrrz")
    assert Recording(tmp_path / "all.jrrz").touched.intervals == recording.touched.intervals
    begin, end = travel.end // 3, travel.end // 2
    trim(recording, begin, end, tmp_path / "piece.jrr")
    piece = Recording(tmp_path / "piece.jrr").touched.intervals
    assert (piece[0].begin, piece[-1].end) == (begin, end)
    assert {each.table for each in piece} <= {each.table for each in recording.touched.intervals}
