"""Debian's 32-bit kernels, one recording of each architecture: somebody sits at a terminal, and waits for the shell,
types, reads, and switches off. Then the invariant, in stretches of a few million instructions from all over the boot.

The kernels come from Debian's archive; where that cannot be reached these tests say so and skip.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from linux_guests import PROMPT, WITHOUT_SELF_TESTS, Person, digest, fetched, info, jitrr, with_words
from real_machine import Walk, random_thresholds, stretches, wander

from runtime.recording.recording import Recording

pytestmark = pytest.mark.slow

SEED = 20_240_229
#: What is typed, and what is shown then: the shell and two programs that read, one of which is interrupted. Each says
#: first that it runs: until then the shell has switched off the terminal's echo.
DIALOGUE = [
    ("echo $((6*7)); read word; echo $word $word\n", "42\r\n"),
    ("hello\n", "hello hello"),
    ("echo $((7*7)); cat\n", "49\r\n"),
    ("one line\n", "one line\r\none line"),
    ("\x03", PROMPT),
    ("poweroff -f\n", "Power down"),
]


@pytest.fixture(scope="module", params=["debian-i386", "debian-arm"])
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its checkpoints are a few million instructions apart where the guest does something new."""
    path = tmp_path_factory.mktemp("shell") / "shell.jrr"
    guest = with_words(fetched(request.param), WITHOUT_SELF_TESTS)
    with Person("record", *guest, "-o", path) as person:
        person.sees(PROMPT)
        for typed, shown in DIALOGUE:
            person.types(typed)
            person.sees(shown)
        assert person.leaves() == 0, person.shown
    return path


@pytest.fixture(scope="module")
def truth(shell: Path) -> dict[int, bytes]:
    """Digests of some places, by the interpreter alone."""
    recording = Recording(shell)
    at = stretches(recording, random.Random(SEED), 8, 2_000_000)
    return Walk(recording, at, "interp", seeking=True).digests


def test_what_was_typed_is_in_the_log(shell: Path) -> None:
    said = info(shell)
    assert said["clean_close"] and said["reason"] == "power-off"
    assert said["icount"] > 1_000_000_000 and said["bytes_log"] < 200_000
    typed = [event.data for event in Recording(shell).log.events if event.kind == "input:serial0"]
    assert b"".join(typed) == "".join(keys for keys, _ in DIALOGUE).encode()


def test_it_verifies(shell: Path) -> None:
    done = jitrr("verify", shell)
    assert done.returncode == 0, done.stderr


def test_a_seek_by_the_command_line_comes_to_the_same_state(shell: Path) -> None:
    icount = random.Random(SEED).randrange(info(shell)["icount"])
    assert digest(shell, icount, "auto") == digest(shell, icount, "interp")


@pytest.mark.parametrize("seed", range(2))
def test_thresholds_do_not_matter(shell: Path, truth: dict[int, bytes], seed: int) -> None:
    thresholds = random_thresholds(random.Random(SEED + seed))
    assert Walk(Recording(shell), sorted(truth), "auto", thresholds, seeking=True).digests == truth


def test_all_code_compiled_comes_to_the_same_states(shell: Path, truth: dict[int, bytes]) -> None:
    """In the last third of the places: nearly every block has to be compiled."""
    late = dict(sorted(truth.items())[-len(truth) // 3 :])
    walk = Walk(Recording(shell), sorted(late), "jit", seeking=True)
    assert walk.digests == late
    assert walk.regions > 500


def test_seeks_stops_and_checkpoints_leave_no_trace(shell: Path, truth: dict[int, bytes]) -> None:
    rng = random.Random(SEED)
    wander(Recording(shell), dict(rng.sample(sorted(truth.items()), 20)), rng, random_thresholds(rng))
