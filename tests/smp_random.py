"""Random machines of several processors: made by a seed, recorded, and run in many ways that have to come to the same
states."""

from __future__ import annotations

import subprocess
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, cast
from unittest import mock

import smp_programs_arm
import smp_programs_x86
from real_machine import Walk, random_thresholds, wander

from runtime import machine as machines
from runtime.config import Image, MachineConfig
from runtime.recording.recording import Recording
from runtime.timeline.record import Limits, Outside, Pace, record
from runtime.timeline.replay import Replay

_HERE = Path(__file__).parent
_X86 = (["as", "--32", "-mx86-used-note=no"], ["ld", "-m", "elf_i386", "-z", "max-page-size=4096"], "x86_guests")
_ARM = (["arm-linux-gnueabihf-as"], ["arm-linux-gnueabihf-ld", "--no-warn-rwx-segments"], "arm_guests")
SOURCES = {"x86_64": smp_programs_x86.source, "arm": smp_programs_arm.source}
#: Lengths of a turn: they end everywhere.
TURNS = (37, 300, 1_000, 5_000)


def assemble(arch: str, source: str, folder: Path) -> Image:
    """The guest that an assembly text is."""
    assembler, linker, layout = _ARM if arch == "arm" else _X86
    (folder / "guest.S").write_text(source)
    subprocess.run([*assembler, "--fatal-warnings", "-o", folder / "guest.o", folder / "guest.S"], check=True)
    options = ["-z", "noexecstack", "--build-id=none", "-T", str(_HERE / layout / "guest.ld")]
    subprocess.run([*linker, *options, "-o", folder / "guest", folder / "guest.o"], check=True)
    return Image.load(folder / "guest", "kernel")


class Done(NamedTuple):
    """What a machine did: processors, turns begun, instructions, and why it ended."""

    processors: int
    turns: int
    icount: int
    reason: str


def check(arch: str, seed: int, folder: Path, length: int) -> Done:
    """Record the machine of a seed and run it in every way; AssertionError or Divergence where states differ."""
    rng = Random(seed)
    image = assemble(arch, SOURCES[arch](seed), folder)
    config = MachineConfig(arch=arch, memory=16 << 20, kernel=image, smp=rng.randint(2, 4), tier="interp")
    with mock.patch.object(machines, "TURN", rng.choice(TURNS)):
        pace = Pace(flush=0.1, digest=0.02, checkpoint=0.02)
        outcome = record(folder / "r.jrr", config, Outside(), Limits(max_icount=length), pace=pace)
        recording = Recording(folder / "r.jrr")
        turns = turns_of(recording)
        truth = Walk(recording, places(recording, turns, rng), "interp").digests
        _compare(recording, truth, rng)
    return Done(config.smp, len(turns), recording.icount, outcome.reason)


def turns_of(recording: Recording) -> list[tuple[int, int]]:
    """Where turns begin, when nothing stops the machine on the way."""
    replay = Replay(recording, tier="interp")
    try:
        turns: list[tuple[int, int]] = []
        cast(Any, replay.machine).turns = turns
        replay.run_to(recording.icount)
        return turns
    finally:
        replay.close()


def places(recording: Recording, turns: list[tuple[int, int]], rng: Random) -> list[int]:
    """Where states are compared: around the beginnings of turns, and anywhere."""
    begins = [begin for begin, _ in turns]
    at = {begin + n for begin in rng.sample(begins, min(len(begins), 15)) for n in (-1, 0, 1)}
    at |= {rng.randrange(recording.icount + 1) for _ in range(25)} | {recording.icount}
    return sorted(icount for icount in at if 0 <= icount <= recording.icount)


def _compare(recording: Recording, truth: dict[int, bytes], rng: Random) -> None:
    often = sorted({*truth, *(rng.randrange(recording.icount) for _ in range(400))})
    ways: list[tuple[str, list[int], Any]] = [
        ("jit", sorted(truth), None), ("auto", sorted(truth), random_thresholds(rng)), ("auto", often, (2, 4)),
        ("jit", [recording.icount], None), ("interp", often, None),
    ]  # fmt: skip
    for tier, at, thresholds in ways:
        digests = Walk(recording, at, tier, thresholds).digests
        wrong = [icount for icount in at if icount in truth and digests[icount] != truth[icount]]
        assert not wrong, f"{tier} {thresholds} with {len(at)} stops: another state at {wrong[0]}"
    wander(recording, truth, rng, random_thresholds(rng))
