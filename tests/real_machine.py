"""What the tests of the invariant share: recordings of the real machine, run in many ways, by their digests."""

from __future__ import annotations

import importlib
import random
import shutil
from bisect import bisect_right
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from jitrr.demo import GUESTS
from jitrr.engine import cache
from jitrr.engine.build import load_native
from jitrr.engine.frontends import load_frontend
from runtime.borders.script import Script, parse_script
from runtime.config import Image, MachineConfig
from runtime.guests import demo
from runtime.machine import make_machine
from runtime.recording.recording import Recording
from runtime.timeline.record import Outcome, Outside, Pace, record
from runtime.timeline.replay import Replay

#: Somebody answers the demo guest's question.
ANSWER = f'after "{demo.QUESTION}" +5_000_000 keyboard "Ada\\n"\n'
#: Digests and checkpoints at every poll of the machine.
BUSY = Pace(flush=0.0, digest=0.0, checkpoint=0.0, share=1e9)

#: The front end of each architecture.
FRONTENDS = {"x86_64": "x86", "i386": "x86", "arm": "arm"}

Thresholds = tuple[int, int] | None


def demo_config(rtc: str = "utc", arch: str = "x86_64") -> MachineConfig:
    """The demo guest in 16 MiB."""
    return MachineConfig(arch=arch, memory=16 << 20, kernel=Image.load(GUESTS[arch].IMAGE, "demo guest"), rtc=rtc)


def record_demo(path: Path, script: str = ANSWER, pace: Pace = BUSY, rtc: str = "utc", arch: str = "x86_64") -> Outcome:
    """Record the demo guest with scripted input."""
    return record(path, demo_config(rtc, arch), Outside(script=Script(parse_script(script))), pace=pace)


def random_thresholds(rng: random.Random) -> tuple[int, int]:
    """When a block is asked of the cache and when it is compiled: from at once to seldom."""
    first = round(2 ** rng.uniform(0, 10))
    return first, first + round(2 ** rng.uniform(0, 10))


def places(recording: Recording, rng: random.Random, count: int) -> list[int]:
    """Icounts to look at: random ones, both ends, and those around some events and digests of the log."""
    log = recording.log
    noted = [event.icount for event in log.events] + [digest.icount for digest in log.digests]
    chosen = {0, recording.icount, *(rng.randrange(recording.icount) for _ in range(count))}
    for icount in rng.sample(noted, min(len(noted), 5)):
        chosen.update((icount - 1, icount, icount + 1))
    return sorted(at for at in chosen if 0 <= at <= recording.icount)


def stretches(recording: Recording, rng: random.Random, count: int, length: int) -> list[int]:
    """Icounts to look at in a long recording: ``count`` stretches of ``length`` instructions, each behind a checkpoint,
    the last ones that have input from outside among them; both ends, random places and those around its events."""
    starts, events = recording.checkpoints.icounts, [event.icount for event in recording.log.events]
    before = {starts[bisect_right(starts, icount) - 1] for icount in events[-2:]}
    chosen: set[int] = set()
    for start in before | set(rng.sample(starts, count - len(before))):
        end = min(start + length, recording.icount)
        chosen.update((start, end, *(rng.randint(start, end) for _ in range(3))))
        within = [icount for icount in events if start < icount < end]
        for icount in rng.sample(within, min(len(within), 2)):
            chosen.update((icount - 1, icount, icount + 1))
    return sorted(chosen)


class Walk:
    """A replay from the beginning to the end, or with ``seeking`` only of what lies between the places and the
    checkpoints before them: ``digests`` at places on the way, ``regions`` put in place, how many of them had to be
    ``compiled``, and ``traces`` made."""

    def __init__(
        self, recording: Recording, at: list[int], tier: str, thresholds: Thresholds = None, *, seeking: bool = False
    ):
        replay = Replay(recording, tier=tier, factory=partial(make_machine, thresholds=thresholds))
        try:
            self.digests = {}
            for icount in at:
                (replay.seek if seeking else replay.run_to)(icount)
                self.digests[icount] = replay.digest()
            if not seeking:
                replay.finish()
            self.verified = replay.verified
            engine = cast(Any, replay.machine).engine
            self.regions, self.traces = engine.counters["regions"], engine.counters["traces"]
            self.compiled = engine.tier.number if engine.tier is not None else 0
        finally:
            replay.close()


def wander(recording: Recording, truth: dict[int, bytes], rng: random.Random, thresholds: Thresholds = None) -> None:
    """Visit the places of ``truth`` in random order, each as often as chance has it, by seeking and by temporary
    checkpoints made on the way; the digest has to be the true one each time."""
    replay = Replay(recording, factory=partial(make_machine, thresholds=thresholds))
    kept: list[int] = []
    try:
        for icount in rng.choices(sorted(truth), k=2 * len(truth)):
            if kept and rng.random() < 0.3:
                icount = rng.choice(kept)
                replay.return_to(icount)
            else:
                replay.seek(icount)
            assert replay.digest() == truth[icount], f"another state at {icount}"
            if rng.random() < 0.3:
                replay.keep()
                kept.append(icount)
            if rng.random() < 0.05:
                replay.forget()
                kept.clear()
    finally:
        replay.close()


def processor(arch: str) -> Any:
    """The class of an architecture's processor."""
    module = importlib.import_module(f"frontends.{FRONTENDS[arch]}.cpu")
    return module.ArmCpu if arch == "arm" else module.X86Cpu


def empty_cache(folder: Path, arch: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of translated code that has at most the engine's own native code, which takes long to build."""
    frontend = load_frontend(FRONTENDS[arch])
    load_native(frontend)
    built = cache.cache_dir() / cache.key("native", frontend.name)
    folder.mkdir()
    if built.exists():  # it was not built with the installation
        shutil.copy(built, folder)
    monkeypatch.setenv("JITRR_CACHE_DIR", str(folder))
    return folder
