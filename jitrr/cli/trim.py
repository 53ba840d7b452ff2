"""``jitrr trim``."""

from __future__ import annotations

from pathlib import Path

import click

from jitrr.cli.errors import failures
from jitrr.cli.options import recording_argument


@click.command("trim")
@recording_argument
@click.option("--from", "begin", metavar="A", default="begin", help="Where it begins: N, 50%, 12.5s, console:TEXT, ...")
@click.option("--to", "end", metavar="B", default="end", help="Where it ends; +N counts from its beginning.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="PIECE.jrr", required=True, help="Recording.")
@click.option("--tier", type=click.Choice(["auto", "interp", "jit"]), default="auto", show_default=True)
def command(recording: Path, begin: str, end: str, output: Path, tier: str) -> None:
    """Write what RUN.jrr has from A to B as PIECE.jrr, which replays alone and keeps the instruction counts."""
    with failures():
        from runtime.recording.recording import Recording
        from runtime.timeline.places import resolve
        from runtime.timeline.progress import Progress
        from runtime.timeline.trim import trim
        from runtime.timeline.watch import Watch

        opened = Recording(recording)
        first = resolve(opened, begin)
        last = resolve(opened, end, first)
        progress = Progress("going there", last)
        with Watch() as watch:
            trim(opened, first, last, output, tier=tier, watch=watch, progress=progress)
        progress.done()
        piece = Recording(output)
    click.echo(f"{output}: {piece.size()['total'] / 1e6:.1f} MB, {last - first:,} instructions from {first:,} on")
