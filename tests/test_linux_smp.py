"""Linux on several processors, one recording of each architecture: a script has the shell keep all of them busy with a
job each, and switches off. Then the invariant, in stretches of a few million instructions from all over it.

The kernels come from Debian's archive; where that cannot be reached these tests say so and skip.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any, cast

import pytest
from linux_guests import PROMPT, WITHOUT_SELF_TESTS, digest, fetched, info, jitrr, with_words
from real_machine import Walk, random_thresholds, stretches, wander

from runtime.recording.recording import Recording
from runtime.timeline.replay import Replay

pytestmark = pytest.mark.slow

SEED = 20_240_229
#: Guests and how many processors they have.
GUESTS = {"debian-cloud-x86_64": 4, "debian-i386": 2, "debian-arm": 3}
#: A job on each processor, and whatever takes turns there: pipes, a process that ends another one.
JOBS = (
    "for n in $(seq {0}); do (head -c 3000000 /dev/zero | sha256sum; echo job $n) & done; wait; yes > /dev/null & "
    "sleep 0.3; kill $!; grep -c ^cpu[0-9] /proc/stat; grep -E '(Function|Resched)' /proc/interrupts; echo a''ll done"
)


@pytest.fixture(scope="module", params=GUESTS)
def busy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    """The recording, how many processors, and what the console showed."""
    folder, count = tmp_path_factory.mktemp("smp"), GUESTS[request.param]
    script = folder / "script"
    script.write_text(
        f'after "{PROMPT}" serial "{JOBS.format(count)}\\n"\nafter "all done" serial "poweroff -f\\n"\n'
    )
    guest = with_words(fetched(request.param), WITHOUT_SELF_TESTS)
    done = jitrr("record", *guest, "--smp", count, "--input-script", script, "-o", folder / "smp.jrr")
    assert done.returncode == 0, done.stderr
    return folder / "smp.jrr", count, done.stdout


@pytest.fixture(scope="module")
def truth(busy: tuple[Path, int, str]) -> dict[int, bytes]:
    """Digests of some places, by the interpreter alone."""
    recording = Recording(busy[0])
    at = stretches(recording, random.Random(SEED), 8, 2_000_000)
    return Walk(recording, at, "interp", seeking=True).digests


def test_all_processors_work(busy: tuple[Path, int, str]) -> None:
    path, count, shown = busy
    shown = shown.partition(PROMPT)[2]
    assert info(path)["reason"] == "power-off"
    assert len(re.findall(r"^job \d\s*$", shown, re.MULTILINE)) == count
    assert re.search(rf"^{count}\s*$", shown, re.MULTILINE)  # lines of /proc/stat
    calls = [line.split() for line in shown.splitlines() if "Function call" in line or "Rescheduling" in line]
    assert len(calls) == 2 and all(int(times) > 0 for line in calls for times in line[1 : 1 + count])


def test_it_verifies(busy: tuple[Path, int, str]) -> None:
    done = jitrr("verify", busy[0])
    assert done.returncode == 0, done.stderr


def test_a_seek_by_the_command_line_comes_to_the_same_state(busy: tuple[Path, int, str]) -> None:
    icount = random.Random(SEED).randrange(info(busy[0])["icount"])
    assert digest(busy[0], icount, "auto") == digest(busy[0], icount, "interp")


def test_thresholds_do_not_matter(busy: tuple[Path, int, str], truth: dict[int, bytes]) -> None:
    thresholds = random_thresholds(random.Random(SEED))
    assert Walk(Recording(busy[0]), sorted(truth), "auto", thresholds, seeking=True).digests == truth


def test_all_code_compiled_comes_to_the_same_states(busy: tuple[Path, int, str], truth: dict[int, bytes]) -> None:
    """In the last third of the places: nearly every block has to be compiled."""
    late = dict(sorted(truth.items())[-len(truth) // 3 :])
    assert Walk(Recording(busy[0]), sorted(late), "jit", seeking=True).digests == late


def test_seeks_stops_and_checkpoints_leave_no_trace(busy: tuple[Path, int, str], truth: dict[int, bytes]) -> None:
    rng = random.Random(SEED)
    wander(Recording(busy[0]), dict(rng.sample(sorted(truth.items()), 20)), rng, random_thresholds(rng))


def test_where_turns_end_does_not_depend_on_stops(busy: tuple[Path, int, str]) -> None:
    """In a stretch at the jobs: with a run to each of many places, and around each place where a turn began."""
    recording, rng = Recording(busy[0]), random.Random(SEED)
    start = recording.checkpoints.icounts[-len(recording.checkpoints.icounts) // 3]
    end = min(start + 3_000_000, recording.icount)
    whole = turns_of(recording, start, [end])
    assert len(whole) > 5
    stops = {at + n for at, _ in rng.sample(whole, 5) for n in (-1, 0, 1)}
    stops |= {rng.randint(start, end) for _ in range(50)}
    assert turns_of(recording, start, sorted({*(at for at in stops if start < at < end), end})) == whole


def turns_of(recording: Recording, start: int, stops: list[int]) -> list[tuple[int, int]]:
    """Where turns begin on the way from one place to the next."""
    replay = Replay(recording)
    try:
        replay.seek(start)
        turns: list[tuple[int, int]] = []
        cast(Any, replay.machine).turns = turns
        for at in stops:
            replay.advance(at)
        return turns
    finally:
        replay.close()
