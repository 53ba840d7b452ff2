"""Searching backward with several processes gives what one process finds, however the hits are spread."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from real_machine import BUSY, record_demo

from runtime.debug.target import make_target
from runtime.recording.recording import Recording
from runtime.timeline import search
from runtime.timeline.travel import Point, Travel


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    path: Path = tmp_path_factory.mktemp("search") / "demo.jrr"
    record_demo(path, arch="x86_64", pace=BUSY)
    found = Recording(path)
    assert len(found.checkpoints.icounts) > search.MANY
    return found


@pytest.fixture(scope="module")
def travels(recording: Recording) -> Iterator[tuple[Travel, Travel]]:
    """One that searches alone, and one with two helpers."""
    found = Travel(recording), Travel(recording)
    for travel, jobs in zip(found, (1, 3), strict=True):
        travel._search._jobs = jobs
    yield found
    for travel in found:
        travel.close()


@pytest.fixture(scope="module")
def never(travels: tuple[Travel, Travel]) -> Point:
    """A breakpoint in the middle of an instruction: in a page that is run from nearly everywhere, and never hit."""
    alone, _ = travels
    touched, places = alone.recording.touched, [*alone.recording.checkpoints.icounts, alone.end]
    best = (0, 0)
    for at in range(alone.end // 20, alone.end, alone.end // 20):
        (here, behind) = pcs(alone, [at, at + 1])
        if 1 < behind - here < 8:
            alone.set_points([Point("break", here + 1)])
            used = sum(touched.last_use(*part, alone.uses()) > part[0] for part in pairwise(places))
            best = max(best, (used, here + 1))
    assert best[0] > len(places) // 2
    return Point("break", best[1])


def test_segments_cover_the_way_from_the_last_to_the_first() -> None:
    rng = random.Random(1)
    for _ in range(200):
        places = sorted(rng.sample(range(1000), rng.randrange(60)))
        begin = rng.randrange(999)
        end = rng.randrange(begin + 1, 1000)
        parts = search.segments(places, begin, end)
        assert parts[0][1] == end and parts[-1][0] == begin
        assert all(later[0] == earlier[1] for later, earlier in pairwise(parts))
        assert all(cut in {begin, end, *places} for part in parts for cut in part)
    assert search.segments([3, 5], 7, 7) == []


def test_only_what_may_have_a_hit_is_searched() -> None:
    unused = {(30, 40), (50, 60)}
    found = search.segments([*range(10, 100, 10)], 5, 95, lambda at, to: at if (at, to) in unused else to - (at == 70))
    assert found[0] == (90, 95)
    covered = {icount for begin, end in found for icount in range(begin, end)}
    assert covered == set(range(5, 95)) - set(range(30, 40)) - set(range(50, 60)) - {79}


def test_each_searches_runs_forward_and_an_idle_one_takes_half_of_what_another_has() -> None:
    length = search.FIRST // 4
    parts = search.segments([*range(length, 40 * length, length)], 0, 40 * length)
    shares = search.Shares(parts)
    taken: dict[str, list[int]] = {"a": [], "b": []}
    for who in ["a", *["b", "b", "a"] * 9, *"ab" * len(parts)]:
        number = shares.take(who, len(parts))
        if number is not None:
            taken[who].append(number)
    assert sorted(taken["a"] + taken["b"]) == list(range(len(parts)))
    assert taken["a"][0] == 0 and taken["b"][:4] == [4, 3, 2, 1]
    for numbers in taken.values():  # few begin elsewhere than where the one before ended
        assert sum(later != earlier - 1 for earlier, later in pairwise(numbers)) <= 5


def test_behind_a_hit_a_run_is_searched_from_its_end() -> None:
    length = search.FIRST // 4
    shares = search.Shares(search.segments([*range(length, 40 * length, length)], 0, 40 * length))
    assert [shares.take("a", 40) for _ in range(2)] == [0, 4]
    shares.hit("a")
    assert [shares.take("a", 4) for _ in range(4)] == [1, 2, 3, None]


def test_segments_behind_a_hit_are_nobodys_and_those_of_a_lost_helper_are_searched_again() -> None:
    parts = search.segments([*range(10, 200, 10)], 0, 200)
    shares = search.Shares(parts)
    assert shares.take("a", len(parts)) == 0
    assert shares.take("b", len(parts), begins={180}) == 1
    assert shares.take("c", len(parts), begins={5}) is None
    shares.give_back("b", 1)
    left = [shares.take("a", 10) for _ in range(12)]
    assert sorted(number for number in left if number is not None) == [*range(1, 10)]
    assert left[-3:] == [None] * 3


def pcs(travel: Travel, icounts: list[int]) -> list[int]:
    found = []
    for icount in icounts:
        travel.seek(icount)
        found.append(travel.pc)
    return found


def test_several_processes_find_what_one_does(travels: tuple[Travel, Travel], never: Point) -> None:
    alone, together = travels
    rng = random.Random(2)
    end = alone.end
    for at in [end // 50, end // 3, end - 100_000, *(rng.randrange(end) for _ in range(3))]:
        (place,) = pcs(alone, [at])
        for points in ([Point("break", place)], [never]):
            arrivals = []
            for travel in travels:
                travel.set_points(points)
                travel.seek(end - 5)
                arrivals.append(travel.run_back())
            assert arrivals[0] == arrivals[1]
            assert (arrivals[1].why == "begin") == (points[0] == never)
    assert len(together._search._workers) == 2 and not alone._search._workers


def test_the_last_write_to_an_address_is_found(travels: tuple[Travel, Travel]) -> None:
    alone, _ = travels
    written = []
    alone.seek(alone.end // 2)
    stack = make_target(alone.machine).read_register("rsp")
    for travel in travels:
        travel.set_points([Point("write", stack - 8, 8)])
        travel.seek(travel.end - 5)
        written.append(travel.run_back())
    assert written[0] == written[1] and written[0].why == "watch"


def test_a_helper_that_was_killed_is_no_loss(travels: tuple[Travel, Travel], never: Point) -> None:
    _, together = travels
    together.set_points([never])
    together.seek(together.end)
    together.run_back()  # starts them
    together.seek(together.end)
    killer = threading.Timer(0.05, together._search._workers[0]._process.kill)
    killer.start()
    assert together.run_back().why == "begin"
    killer.join()


def test_a_search_can_be_interrupted(travels: tuple[Travel, Travel], never: Point) -> None:
    _, together = travels
    together.set_points([never])
    together.seek(together.end)
    asked_at = time.monotonic() + 0.05
    together.interrupt = lambda: time.monotonic() > asked_at
    before = time.monotonic()
    assert together.run_back().why == "interrupted"
    assert time.monotonic() - before < 20
    together.interrupt = lambda: False
    together.seek(together.end)
    assert together.run_back().why == "begin"
