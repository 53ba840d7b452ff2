"""Breakpoints, watchpoints and single steps in both directions, against what single stepping alone finds."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from real_machine import record_demo

from runtime.recording.recording import Recording
from runtime.timeline.record import Pace
from runtime.timeline.travel import Arrival, Point, Travel

ARCHES = ("x86_64", "i386", "arm")


@pytest.fixture(scope="module", params=ARCHES)
def travel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Travel]:
    path: Path = tmp_path_factory.mktemp("travel") / "demo.jrr"
    record_demo(path, arch=request.param, pace=Pace(digest=0.2, checkpoint=0.2))
    found = Travel(Recording(path), verify=True)
    yield found
    found.close()


def stepped(travel: Travel, start: int, count: int) -> list[tuple[int, int]]:
    """(icount, pc) of ``count`` positions one step apart."""
    travel.set_points(())
    travel.seek(start)
    found = []
    for _ in range(count):
        found.append((travel.icount, travel.pc))
        travel.step()
    return found


def windows(travel: Travel) -> list[int]:
    rng = random.Random(3)
    return [0, *(event.icount - 150 for event in travel.recording.log.events[1:2]),
            *(rng.randrange(travel.end // 2) for _ in range(2))]  # fmt: skip


def test_steps_back_are_steps_undone(travel: Travel) -> None:
    for start in windows(travel):
        positions = stepped(travel, max(0, start), 40)
        digest = travel.replay.digest()
        travel.step()
        for position in [None, *reversed(positions)]:
            travel.back()
            if position is None:
                assert travel.replay.digest() == digest
            else:
                assert (travel.icount, travel.pc) == position


def idle_times(travel: Travel) -> list[int]:
    """Some positions at which the processor has just halted."""
    travel.set_points(())
    found, here = [], travel.recording.log.events[-1].icount - 200_000
    for _ in range(60):
        travel.seek(here)
        idled = travel.machine.idled
        travel.replay.advance(min(here + 10_000, travel.end))
        if travel.machine.idled > idled and travel.machine.halted_at is not None:
            found.append(travel.machine.halted_at)
        here = travel.icount
    return [at for at in found if at < travel.end - 400]


def test_many_steps_at_once_are_as_many_single_ones(travel: Travel) -> None:
    """In both directions, over time spent halted, and from within such a time."""
    rng = random.Random(7)
    halts = idle_times(travel)
    assert halts
    for start in [halts[0] - 40, halts[-1] - 100, *windows(travel)[1:3]]:
        positions = stepped(travel, max(0, start), 200)
        for _ in range(12):
            here, there = rng.randrange(200), rng.randrange(200)
            travel.seek(positions[here][0])
            arrival = travel.step(there - here) if there > here else travel.back(here - there)
            assert (arrival.icount, travel.pc) == positions[there]
        for (icount, _), behind in pairwise(positions):
            if behind[0] - icount > 100:  # there is a halt
                travel.seek(icount + 50)
                travel.back(1)
                travel.back(3)
                halted = travel.icount
                travel.seek(icount + 50)
                assert travel.back(4).icount == halted
                travel.seek(icount + 50)
                assert travel.step(2).icount == behind[0] + 1
    travel.seek(travel.end - 5)
    assert travel.step(100).why == "end" and travel.icount == travel.end
    travel.seek(5)
    assert travel.back(100).why == "begin" and travel.icount == 0
    travel.seek(7)
    assert travel.step(0).icount == travel.back(0).icount == 7


def test_breakpoints_in_both_directions(travel: Travel) -> None:
    rng = random.Random(5)
    for start in windows(travel):
        positions = stepped(travel, max(0, start), 400)
        first, last = positions[0][0], positions[-1][0]
        for _ in range(10):
            places = {rng.choice(positions)[1] for _ in range(rng.choice((1, 3)))}
            travel.seek(rng.choice(positions)[0])
            travel.set_points(Point("break", place) for place in places)
            for forward in rng.choices((True, False), k=4):
                at = travel.icount
                ahead = [c for c, pc in positions if (c > at if forward else c < at) and pc in places]
                if forward:
                    assert travel.run(last).icount == min(ahead, default=last)
                else:
                    assert travel.run_back(first).icount == max(ahead, default=first)


def test_a_breakpoint_changes_nothing(travel: Travel) -> None:
    """The end is the same state, however often the run stopped on its way."""
    positions = stepped(travel, travel.end // 3, 60)
    travel.seek(positions[0][0])
    travel.set_points(Point("break", pc) for _, pc in positions[:3])
    for _ in range(50):
        travel.run()
    travel.set_points(())
    assert travel.run().why == "end"
    assert travel.replay.digest() == travel.recording.log.digests[-1].digest


def changes(travel: Travel, start: int, count: int) -> dict[int, list[int]]:
    """Place in RAM of each word of 8 bytes that steps from ``start`` change -> where the steps that do began."""
    machine = travel.machine
    travel.set_points(())
    travel.seek(start)
    machine.take_dirty_pages()
    before = np.frombuffer(machine.ram, np.uint64).copy()
    found: dict[int, list[int]] = {}
    for _ in range(count):
        icount = travel.icount
        travel.step()
        for page in machine.take_dirty_pages().tolist():
            words = np.frombuffer(machine.ram[page * 4096 : page * 4096 + 4096], np.uint64)
            old = before[page * 512 : page * 512 + 512]
            for word in np.flatnonzero(words != old).tolist():
                found.setdefault(page * 4096 + word * 8, []).append(icount)
            old[:] = words
    return found


def test_watchpoints_find_the_writes(travel: Travel) -> None:
    """Every change of a word of RAM is a stop, in both directions, by its physical address and by its linear one."""
    for start in range(0, travel.end, travel.end // 23):
        if writes := changes(travel, start, 200):
            break
    place, expected = max(writes.items(), key=lambda item: len(item[1]))
    last = expected[-1] + 1
    base = next(base - offset for base, size, offset in travel.machine.engine.ranges if offset <= place < offset + size)
    travel.set_points([Point("write", place + base, 8, physical=True)])
    travel.seek(start)
    ahead, behind = [], []
    while (arrival := travel.run(last)).why == "watch":
        ahead.append(arrival)
    while (arrival := travel.run_back(start)).why == "watch":
        behind.append(arrival.icount)
    assert {arrival.icount - 1 for arrival in ahead} >= set(expected)
    assert behind == [arrival.icount - 1 for arrival in reversed(ahead)]


def test_linear_watchpoints_stop_at_accesses(travel: Travel) -> None:
    """The demo guest's stack is mapped where it is: what is written there is watched by linear addresses."""
    for start in range(0, travel.end, travel.end // 23):
        if writes := changes(travel, start, 200):
            break
    place, expected = max(writes.items(), key=lambda item: len(item[1]))
    base = next(base - offset for base, size, offset in travel.machine.engine.ranges if offset <= place < offset + size)
    travel.set_points([Point("write", place + base, 8)])
    travel.seek(start)
    arrival = travel.run(expected[-1] + 1)
    assert arrival.why == "watch"
    assert arrival.icount - 1 <= expected[0]
    assert 0 <= arrival.address - (place + base) + 7 < 16


def test_points_that_cannot_be(travel: Travel) -> None:
    with pytest.raises(ValueError, match="no RAM at physical address"):
        travel.set_points([Point("write", 1 << 39, 8, physical=True)])
    with pytest.raises(ValueError, match="cannot be a breakpoint"):
        Point("break", 0, physical=True)
    with pytest.raises(ValueError, match="a text is what the console prints"):
        Point("write", 0, text=b"?")
    with pytest.raises(ValueError, match="no point"):
        Point("stop", 0)
    travel.set_points(())


def test_console_output_in_both_directions(travel: Travel) -> None:
    """What the console prints is a stop, with breakpoints on the way: in the order of a replay that listens."""
    printed: list[tuple[int, int]] = []
    travel.set_points(())
    travel.replay.on_output = lambda at, channel, data: printed.extend((at + 1, byte) for byte in data)
    travel.seek(0)
    printed.clear()
    travel.run()
    travel.replay.on_output = None
    whole = bytes(byte for _, byte in printed)
    text = bytes(Counter(pairwise(whole)).most_common(1)[0][0])
    said = [printed[at + 1][0] for at in range(len(whole)) if whole.startswith(text, at)]
    assert len(said) > 2
    travel.seek(said[1])
    breakpoint = Point("break", travel.pc)  # in the guest's output routine: very often
    console = Point("console", text=text)
    travel.set_points([console])
    travel.seek(0)
    assert [travel.run() for _ in said] == [Arrival(at, "console", console) for at in said]
    assert travel.run().why == "end"
    assert [travel.run_back() for _ in said] == [Arrival(at, "console", console) for at in reversed(said)]
    assert travel.run_back().why == "begin"
    travel.set_points([console, breakpoint])
    travel.seek(said[0])
    forward = [travel.run(said[1])]
    while forward[-1].icount < said[1]:
        assert (forward[-1].why, travel.pc) == ("break", breakpoint.address)
        forward.append(travel.run(said[1]))
    assert len(forward) > 1
    backward = []
    while travel.icount > said[0]:
        backward.append(travel.run_back(said[0]).icount)
    assert backward[-1] == said[0] and backward[-2::-1] == [arrival.icount for arrival in forward[:-1]]
    travel.set_points(())
