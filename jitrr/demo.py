"""``jitrr demo``: records a small operating system, replays it and seeks in it, and tells a newcomer what happened."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click

from runtime.borders.console import ConsoleOutput
from runtime.borders.script import Script, parse_script
from runtime.config import Image, MachineConfig
from runtime.guests import demo, demo_arm, demo_i386
from runtime.machine_api import StopReason
from runtime.recording.errors import Divergence
from runtime.recording.recording import Recording
from runtime.timeline.build import Factory
from runtime.timeline.record import Limits, Outcome, Outside, Pace, record
from runtime.timeline.replay import Replay

#: The guest of each architecture: modules with IMAGE, DESCRIPTION, QUESTION.
GUESTS: dict[str, Any] = {"x86_64": demo, "i386": demo_i386, "arm": demo_arm}
#: Someone types a name, a sixth of a virtual second after being asked.
SCRIPT = f'after "{demo.QUESTION}" +20_000_000 keyboard "Ada\\n"'
#: Where to seek to, as parts of the recording's length; backwards, so that each one needs a checkpoint.
PLACES = (0.95, 0.5, 0.1)
_TIMEOUT = 120.0
_KINDS = {"clock": "host clock readings", "entropy": "host random numbers", "input:keyboard": "keys typed"}


class _Transcript(ConsoleOutput):
    """A console that also keeps what it showed."""

    def __init__(self, fd: int | None):
        super().__init__(fd)
        self.text = b""

    def write(self, data: bytes) -> None:
        """Keep, then show."""
        self.text += data
        super().write(data)


def _machine(arch: str) -> MachineConfig:
    return MachineConfig(arch=arch, memory=16 << 20, kernel=Image.load(GUESTS[arch].IMAGE, "demo guest"))


def _record(path: Path, config: MachineConfig, factory: Factory | None) -> tuple[Outcome, bytes]:
    console = _Transcript(1)
    outside = Outside(console, None, Script(parse_script(SCRIPT)))
    pace = Pace(flush=0.1, digest=0.1, checkpoint=0.1)
    outcome = record(path, config, outside, Limits(timeout=_TIMEOUT), pace=pace, factory=factory)
    return outcome, console.text


def _describe(recording: Recording, seconds: float) -> None:
    kinds = sorted(Counter(event.kind for event in recording.log.events).items())
    events = ", ".join(f"{_KINDS.get(kind, kind)}: {count}" for kind, count in kinds)
    size = recording.size()["log"] / 1000
    click.echo(f"\n   {recording.icount:,} instructions in {seconds:.1f} s, a log of {size:.1f} KB.")
    click.echo(f"   Logged, because it came from outside: {events}.")
    click.echo("   Not logged, because it follows: every timer interrupt, task switch and output.")


def _replay(recording: Recording, shown: bytes, factory: Factory | None) -> dict[int, bytes]:
    """Replay all of it; the digests at PLACES."""
    start = time.monotonic()
    console = _Transcript(None)
    replay = Replay(recording, console=console, factory=factory)
    passed = {}
    for icount in sorted(int(recording.icount * place) for place in PLACES):
        replay.run_to(icount)
        passed[icount] = replay.digest()
    replay.finish()
    replay.close()
    if console.text != shown:
        raise Divergence(recording.icount, "the console of the replay is not that of the recording")
    seconds, places = time.monotonic() - start, len(recording.log.digests)
    click.echo(f"   {seconds:.1f} s. At {places} places the whole machine (processor, memory, devices) was compared")
    click.echo(f"   by its digest: always the recorded one. The console showed the same {len(shown)} bytes.")
    return passed


def _seek(recording: Recording, passed: dict[int, bytes], factory: Factory | None) -> None:
    replay = Replay(recording, factory=factory)
    for icount, expected in sorted(passed.items(), reverse=True):
        start = time.monotonic()
        replay.seek(icount)
        digest = replay.digest()
        if digest != expected:
            raise Divergence(icount, "seeking came to another state than replaying")
        took = f"{(time.monotonic() - start) * 1000:.0f} ms"
        click.echo(f"   instruction {icount:>13,}   {took:>8}   digest {digest.hex()}, as when the replay passed it")
    replay.close()


def run(arch: str = "x86_64", *, config: MachineConfig | None = None, factory: Factory | None = None) -> int:
    """Record the demo guest of ``arch`` (or ``config``), replay it, seek, compare digests; returns the exit code.

    Divergence, RecordingError or ConfigError when something is not as it must be. ``factory`` builds another machine.
    """
    with tempfile.TemporaryDirectory(prefix="jitrr-demo-") as folder:
        path = Path(folder) / "demo.jrr"
        click.echo(f"1. Recording a small operating system: {GUESTS[arch].DESCRIPTION}.")
        click.echo('   Its clock and its random numbers come from this host; a script types "Ada".\n')
        outcome, shown = _record(path, config or _machine(arch), factory)
        if outcome.reason != StopReason.POWER_OFF.value:
            click.echo(f"jitrr: the demo guest did not switch itself off: {outcome.reason} {outcome.message}", err=True)
            return 4
        recording = Recording(path)
        _describe(recording, outcome.seconds)
        click.echo("\n2. Replaying it. Nothing of this host is looked at any more: the log has it all.\n")
        passed = _replay(recording, shown, factory)
        click.echo("\n3. Seeking: any instruction is reached from the nearest checkpoint before it, here backwards.\n")
        _seek(recording, passed, factory)
    kernel = GUESTS[arch].IMAGE
    click.echo(f"\nYourself: jitrr record --arch {arch} --memory 16M --kernel {kernel} -o my.jrr")
    click.echo("Then:     jitrr info my.jrr, jitrr log my.jrr, jitrr replay my.jrr --seek 1000000 --digest")
    return 0
