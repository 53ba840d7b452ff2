"""``jitrr verify``."""

from __future__ import annotations

from pathlib import Path

import click

from jitrr.cli.errors import DIVERGED, Failure, failures
from jitrr.cli.options import recording_argument


@click.command("verify")
@recording_argument
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", default=1, show_default=True, help="Processes.")
@click.option("--tier", type=click.Choice(["auto", "interp", "jit"]), default="auto", show_default=True)
def command(recording: Path, jobs: int, tier: str) -> None:
    """Replay all of RUN.jrr, check every digest; exit 0, or say where it first diverges and exit 3."""
    with failures():
        from runtime.recording.recording import Recording
        from runtime.timeline.progress import Progress
        from runtime.timeline.verify import verify
        from runtime.timeline.watch import Watch

        opened = Recording(recording)
        progress = Progress("verifying", opened.icount)
        with Watch() as watch:
            verdict = verify(opened, tier=tier, jobs=jobs, watch=watch, progress=progress)
        progress.done()
    if not verdict.good:
        raise Failure(verdict.message, DIVERGED)
    cut = "" if opened.clean_close else "; it was cut short, what is there is right"
    click.echo(f"{recording}: {opened.icount:,} instructions, {len(opened.log.digests):,} digests, all right{cut}")
