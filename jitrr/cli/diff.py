"""``jitrr diff``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jitrr.cli.errors import DIFFERENT, DONE, failures
from jitrr.cli.log import event_line

if TYPE_CHECKING:
    from runtime.recording.recording import Recording
    from runtime.timeline.diff import Parting

_FILE = click.Path(path_type=Path)


@click.command("diff")
@click.argument("a", type=_FILE, metavar="A.jrr")
@click.argument("b", type=_FILE, metavar="B.jrr")
@click.option("--tier", type=click.Choice(["auto", "interp", "jit"]), default="auto", show_default=True)
def command(a: Path, b: Path, tier: str) -> int:
    """Where two recordings of the same machine part: the first event that is not the same, the instruction after which
    the states differ, and in what. Exit code 0: they do not, 1: they do, 2: they cannot be compared."""
    with failures():
        from runtime.recording.recording import Recording
        from runtime.timeline.diff import diff
        from runtime.timeline.progress import Progress
        from runtime.timeline.watch import Watch

        recordings = (Recording(a), Recording(b))
        progress = Progress("comparing")
        with Watch() as watch:
            parting = diff(*recordings, tier=tier, watch=watch, progress=progress)
        progress.done()
    if parting is None:
        begin, end = max(recording.begin for recording in recordings), recordings[0].icount
        click.echo(f"the same from instruction {begin:,} to {end:,}, where both end")
        return DONE
    for line in _report(parting, recordings):
        click.echo(line)
    return DIFFERENT


def _report(parting: Parting, recordings: tuple[Recording, Recording]) -> Iterator[str]:
    """The lines about two recordings that part."""
    yield _where(parting)
    if parting.code:
        yield f"instruction {parting.code}"
    for name, event in zip("AB", parting.logs.events or (), strict=False):
        what = "no other event" if event is None else " ".join(event_line(event).split())
        yield f"event in {name}  {what}"
    if parting.differs is None:
        for name, recording in zip("AB", recordings, strict=True):
            yield f"{name} ends     at {recording.icount:,}: {recording.reason}"
    for register, bits, first, second in parting.registers:
        yield f"register    {register:<12} {first:0{bits // 4}x}  {second:0{bits // 4}x}"
    for device in parting.devices:
        yield f"device      {device}"
    if parting.memory is not None:
        at, first_bytes, second_bytes = parting.memory
        yield f"memory      {at:#x} in RAM: {first_bytes.hex(' ')}  {second_bytes.hex(' ')}"
        yield f"            {parting.pages} pages are not the same"


def _where(parting: Parting) -> str:
    if parting.same is None:
        return f"they differ from the beginning: the states at instruction {parting.logs.begin:,} are not the same"
    if parting.differs is None:
        return f"the states are the same up to instruction {parting.same:,}"
    return f"they part at instruction {parting.same:,}: the states there are the same, those at {parting.differs:,} not"
