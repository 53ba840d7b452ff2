"""``jitrr trim``."""

from __future__ import annotations

from pathlib import Path

import click

from jitrr.cli.errors import failures
from jitrr.cli.options import recording_argument

_COUNT = click.IntRange(min=0)


@click.command("trim")
@recording_argument
@click.option("--from", "begin", type=_COUNT, metavar="A", help="First instruction count; by default the beginning.")
@click.option("--to", "end", type=_COUNT, metavar="B", help="Last instruction count; by default the end.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="PIECE.jrr", required=True, help="Recording.")
@click.option("--tier", type=click.Choice(["auto", "interp", "jit"]), default="auto", show_default=True)
def command(recording: Path, begin: int | None, end: int | None, output: Path, tier: str) -> None:
    """Write what RUN.jrr has from A to B as PIECE.jrr, which replays alone and keeps the instruction counts."""
    with failures():
        from runtime.recording.recording import Recording
        from runtime.timeline.progress import Progress
        from runtime.timeline.trim import trim
        from runtime.timeline.watch import Watch

        opened = Recording(recording)
        first = opened.begin if begin is None else begin
        last = opened.icount if end is None else end
        progress = Progress("going there", last)
        with Watch() as watch:
            trim(opened, first, last, output, tier=tier, watch=watch, progress=progress)
        progress.done()
        piece = Recording(output)
    click.echo(f"{output}: {piece.size()['total'] / 1e6:.1f} MB, {last - first:,} instructions from {first:,} on")
