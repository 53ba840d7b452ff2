"""``jitrr branch``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from jitrr.cli.errors import Failure, failures
from jitrr.cli.options import (
    checkpoint_options,
    limits,
    outside,
    progress,
    recording_argument,
    report,
    run_options,
)


@click.command("branch")
@recording_argument
@click.option("--at", metavar="PLACE", required=True, help="Where to leave: N, 50%, end-1000, 12.5s, console:TEXT, ...")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="NEW.jrr", required=True, help="Recording.")
@run_options
@checkpoint_options
def command(recording: Path, at: str, output: Path, checkpoint_every: float, checkpoint_budget: str,
            tier: str, **options: Any) -> int:  # fmt: skip
    """Go to an instruction of RUN.jrr and run on live from there, recording into NEW.jrr. For what came before, NEW.jrr
    refers to RUN.jrr."""
    with failures():
        from runtime.config import parse_size
        from runtime.recording.recording import Recording
        from runtime.timeline.branch import branch
        from runtime.timeline.places import resolve
        from runtime.timeline.record import Pace

        if output.exists():
            raise Failure(f"{output} exists already")
        opened = Recording(recording)
        left = resolve(opened, at)
        pace = Pace(checkpoint=checkpoint_every, budget=parse_size(checkpoint_budget))
        shown = progress("recording", options)
        there = outside(options, left)
        outcome = branch(opened, left, output, there, limits(options), tier=tier, pace=pace, progress=shown)
        shown.done()
    return report(f"left {recording} at instruction {left:,}, recorded", outcome, left)
