"""A real operating system by the command line: Debian's cloud kernel is recorded, verified, sought in, typed at,
killed; the 32-bit kernels with larger page tables are recorded and verified. The others: test_linux_shells.py.

The kernel comes from Debian's archive; where that cannot be reached these tests say so and skip.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from linux_guests import PROMPT, WITHOUT_SELF_TESTS, digest, fetched, info, jitrr, powering_off, recorded
from real_machine import Walk, places, random_thresholds, wander

from runtime.guests.debian import INIT_STARTED, POWERING_OFF
from runtime.recording.recording import Recording

pytestmark = pytest.mark.slow

SEED = 20_240_229
TYPED = f'''
after "{PROMPT}" serial "echo hi $((6*7))\\n"
after "hi 42" serial "poweroff -f\\n"
'''


@pytest.fixture(scope="module")
def guest() -> list[str]:
    return fetched("debian-cloud-x86_64")


@pytest.fixture(scope="module")
def boot(guest: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(powering_off(guest), tmp_path_factory.mktemp("linux") / "boot.jrr")


def test_a_32_bit_kernel_with_pae(tmp_path: Path) -> None:
    path = recorded(powering_off(fetched("debian-i386-pae"), WITHOUT_SELF_TESTS), tmp_path / "boot.jrr")
    assert (info(path)["arch"], info(path)["reason"]) == ("i386", "power-off")
    done = jitrr("verify", path)
    assert done.returncode == 0, done.stderr


def test_an_arm_kernel_with_long_descriptors(tmp_path: Path) -> None:
    path = recorded(powering_off(fetched("debian-arm-lpae"), WITHOUT_SELF_TESTS), tmp_path / "boot.jrr")
    assert (info(path)["arch"], info(path)["machine"], info(path)["reason"]) == ("arm", "virt", "power-off")
    done = jitrr("verify", path)
    assert done.returncode == 0, done.stderr


def test_the_recording_is_complete_and_small(boot: Path) -> None:
    said = info(boot)
    assert said["clean_close"] and said["reason"] == "power-off"
    assert said["icount"] > 500_000_000
    assert said["bytes_log"] < 200_000
    assert said["bytes_checkpoints"] < 300_000_000


def test_it_verifies(boot: Path) -> None:
    done = jitrr("verify", boot)
    assert done.returncode == 0, done.stderr


def test_the_replay_shows_the_console_again(boot: Path) -> None:
    done = jitrr("replay", boot)
    assert done.returncode == 0, done.stderr
    assert INIT_STARTED in done.stdout and POWERING_OFF in done.stdout


@pytest.mark.parametrize("part", range(3))
def test_a_seek_comes_to_the_same_state_each_time(boot: Path, part: int) -> None:
    icount = random.Random(SEED + part).randrange(info(boot)["icount"])
    assert digest(boot, icount, "auto") == digest(boot, icount, "auto") == digest(boot, icount, "interp")


@pytest.fixture(scope="module")
def truth(boot: Path) -> dict[int, bytes]:
    """Digests of some places, by the interpreter alone; every digest of the recording is checked on the way."""
    recording = Recording(boot)
    return Walk(recording, places(recording, random.Random(SEED), 8), "interp").digests


def test_all_code_compiled_comes_to_the_same_states(boot: Path, truth: dict[int, bytes]) -> None:
    walk = Walk(Recording(boot), sorted(truth), "jit")
    assert walk.digests == truth
    assert walk.regions > 5_000


def test_thresholds_stops_and_seeks_do_not_matter(boot: Path, truth: dict[int, bytes]) -> None:
    recording, rng = Recording(boot), random.Random(SEED)
    assert Walk(recording, sorted(truth), "auto", random_thresholds(rng)).digests == truth
    few = dict(rng.sample(sorted(truth.items()), 5))
    wander(recording, few, rng, random_thresholds(rng))


def test_somebody_types_at_the_shell(guest: list[str], tmp_path: Path) -> None:
    script, path = tmp_path / "typed", tmp_path / "shell.jrr"
    script.write_text(TYPED)
    done = jitrr("record", *guest, "--input-script", script, "-o", path)
    assert done.returncode == 0, done.stderr
    assert "hi 42" in done.stdout.partition(PROMPT)[2]
    assert info(path)["reason"] == "power-off"
    typed = [event.data for event in Recording(path).log.events if event.kind == "input:serial0"]
    assert b"".join(typed) == b"echo hi $((6*7))\npoweroff -f\n"
    done = jitrr("verify", path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["debian-cloud-x86_64", "debian-i386", "debian-arm"])
def test_what_a_killed_recorder_has_flushed_replays(name: str, tmp_path: Path) -> None:
    path = tmp_path / "killed.jrr"
    command = [sys.executable, "-m", "jitrr", "record", *powering_off(fetched(name)), "-o", str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as child:
        wait_for_flushes(path / "log.mcap", 4)
        assert child.poll() is None
        child.send_signal(signal.SIGKILL)
    said = info(path)
    assert not said["clean_close"] and said["icount"] > 0
    assert "cut short" in jitrr("info", path).stdout
    done = jitrr("verify", path)
    assert done.returncode == 0, done.stderr
    assert digest(path, said["icount"], "auto") == digest(path, said["icount"], "interp")


def wait_for_flushes(log: Path, count: int) -> None:
    """Until a log has grown so many times."""
    end = time.monotonic() + 200
    sizes: set[int] = set()
    while len(sizes) <= count:
        assert time.monotonic() < end, "nothing is recorded"
        time.sleep(0.02)
        if log.is_file():
            sizes.add(log.stat().st_size)
