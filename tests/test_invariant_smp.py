"""The invariant with several processors: a small guest of two that count, wait for each other, map their own pages and
sleep does the same however it is run, and turns begin where they begin."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from real_machine import Walk, random_thresholds, wander
from smp_guest import ARCHITECTURES, LENGTH, build, smp_config, smp_recording

from runtime.borders.script import Script, parse_script
from runtime.processors import IDLE, TURN
from runtime.recording.recording import Recording
from runtime.timeline.branch import branch
from runtime.timeline.diff import look_at
from runtime.timeline.record import Limits, Outside, Pace, record
from runtime.timeline.replay import Replay
from runtime.timeline.trim import trim
from runtime.timeline.verify import verify

SEED = 20_240_229


@pytest.fixture(scope="module", params=ARCHITECTURES)
def arch(request: pytest.FixtureRequest) -> str:
    """Every test here is one of each architecture."""
    return request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("smp")


@pytest.fixture(scope="module")
def recording(arch: str, folder: Path) -> Recording:
    return smp_recording(arch, folder)[0]


@pytest.fixture(scope="module")
def turns(recording: Recording) -> list[tuple[int, int]]:
    """Where turns begin, without a stop on the way."""
    return turns_of(recording, [])


@pytest.fixture(scope="module")
def truth(recording: Recording, turns: list[tuple[int, int]]) -> dict[int, bytes]:
    """Digests, by the interpreter alone, around the beginnings of turns and at random places."""
    rng = random.Random(SEED)
    at = {begin + n for begin, _ in rng.sample(turns, 15) for n in (-1, 0, 1, 2)}
    at |= {rng.randrange(LENGTH) for _ in range(30)}
    return Walk(recording, sorted(icount for icount in at if 0 <= icount <= LENGTH), "interp").digests


def turns_of(recording: Recording, stops: list[int]) -> list[tuple[int, int]]:
    """Where turns begin on the way, with a stop at each of these places."""
    replay = Replay(recording)
    try:
        turns: list[tuple[int, int]] = []
        cast(Any, replay.machine).turns = turns
        for icount in [*stops, recording.icount]:
            replay.run_to(icount)
        return turns
    finally:
        replay.close()


def test_both_have_turns_of_every_kind(turns: list[tuple[int, int]]) -> None:
    """Ended by waiting, by their length, by sleep; both slept at times."""
    assert {number for _, number in turns} == {0, 1, IDLE}
    lengths = [end - begin for (begin, number), (end, _) in pairwise(turns) if number != IDLE]
    assert min(lengths) < 1000 and max(lengths) == TURN


def test_stops_do_not_end_turns(recording: Recording, turns: list[tuple[int, int]]) -> None:
    rng = random.Random(SEED)
    stops = {begin + n for begin, _ in rng.sample(turns, 40) for n in (-1, 0, 1)}
    stops |= {rng.randrange(LENGTH) for _ in range(100)}
    stopped = turns_of(recording, sorted(at for at in stops if 0 < at < LENGTH))
    # Time spent halted is noted in as many pieces as it is run in.
    assert merged(stopped) == merged(turns)


def merged(turns: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Turns alone: the same processor goes on behind a time in which all were halted."""
    found: list[tuple[int, int]] = []
    for begin, number in turns:
        if number != IDLE and (not found or found[-1][1] != number):
            found.append((begin, number))
    return found


@pytest.mark.parametrize("tier", ["auto", "jit"])
def test_tiers_do_not_matter(recording: Recording, truth: dict[int, bytes], tier: str) -> None:
    walk = Walk(recording, sorted(truth), tier)
    assert walk.verified == recording.icount and walk.digests == truth
    assert tier == "auto" or walk.regions > 5


@pytest.mark.parametrize("seed", range(2))
def test_thresholds_do_not_matter(recording: Recording, truth: dict[int, bytes], seed: int) -> None:
    thresholds = random_thresholds(random.Random(SEED + seed))
    assert Walk(recording, sorted(truth), "auto", thresholds).digests == truth


@pytest.mark.parametrize("seed", range(2))
def test_seeks_stops_and_checkpoints_leave_no_trace(recording: Recording, truth: dict[int, bytes], seed: int) -> None:
    rng = random.Random(SEED + seed)
    wander(recording, truth, rng, random_thresholds(rng))


def test_single_steps_come_where_a_run_comes(recording: Recording, truth: dict[int, bytes]) -> None:
    """The last hundred instructions before some places, one at a time."""
    for icount in random.Random(SEED).sample(sorted(truth), 8):
        steps = list(range(max(0, icount - 100), icount + 1))
        assert Walk(recording, steps, "auto", seeking=True).digests[icount] == truth[icount]


def test_who_runs_next_is_known(recording: Recording, turns: list[tuple[int, int]]) -> None:
    """Before the turn begins, of those that begin at the end of one; and the processor's instruction is shown."""
    replay = Replay(recording)
    machine = cast(Any, replay.machine)
    full = [(b, n) for (a, _), (b, n) in pairwise(turns) if b - a == TURN and n != IDLE]
    for begin, number in full[:5]:
        replay.seek(begin)
        assert machine.runs_next == number != machine.turn
        with machine.looking_at(number):
            pc = machine.engine.linear(int(machine.engine.state["pc"]))
        shown = look_at(machine)
        assert shown.code.startswith(f"{pc:#x}: ")
        assert {name.partition(".")[0] for name in shown.registers} == {"cpu0", "cpu1"}
    assert full
    replay.close()


def test_branches_and_pieces_replay(recording: Recording, tmp_path: Path) -> None:
    outside = Outside(script=Script(parse_script(f"at {LENGTH // 2 + 200_000} power reset\n")))
    branch(recording, LENGTH // 2, tmp_path / "b.jrr", outside, Limits(max_icount=LENGTH))
    child = Recording(tmp_path / "b.jrr")
    assert child.icount == LENGTH and verify(child).good
    trim(recording, LENGTH // 3, LENGTH // 2, tmp_path / "t.jrr")
    piece = Recording(tmp_path / "t.jrr")
    assert (piece.begin, piece.icount) == (LENGTH // 3, LENGTH // 2) and verify(piece).good


def test_a_reset_in_the_middle(arch: str, folder: Path, recording: Recording, tmp_path: Path) -> None:
    """The second processor waits to be started again, and is."""
    at = 1_000_003
    script = Script(parse_script(f"at {at} power reset\n"))
    image, _ = build(arch, folder)
    pace = Pace(flush=0.1, digest=0.0, checkpoint=0.0, share=1e9)
    record(tmp_path / "r.jrr", smp_config(arch, image), Outside(script=script), Limits(max_icount=LENGTH), pace=pace)
    twice = Recording(tmp_path / "r.jrr")
    assert {number for begin, number in turns_of(twice, []) if begin > at} >= {0, 1}
    places = [at - 1, at, at + 1, at + 100, 2 * at, LENGTH]
    wander(twice, Walk(twice, places, "interp").digests, random.Random(SEED))


def test_a_recording_of_another_number_of_processors_is_refused(recording: Recording) -> None:
    """The state says how many there are."""
    replay = Replay(recording)
    machine = cast(Any, replay.machine)
    state = bytearray(machine.cpu_state())
    state[1] = 3
    with pytest.raises(ValueError, match="a state of 3 processors, not 2"):
        machine.restore_cpu(bytes(state), 0)
    replay.close()
