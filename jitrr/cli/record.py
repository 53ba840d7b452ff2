"""``jitrr record``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from jitrr.cli.errors import Failure, failures
from jitrr.cli.options import limits, machine_config, machine_options, outside, progress, report


@click.command("record")
@machine_options
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="RUN.jrr", required=True, help="Recording.")
@click.option("--checkpoint-every", type=click.FloatRange(min=0.01), metavar="S", default=2.0, show_default=True,
              help="Seconds of replay between checkpoints.")
@click.option("--checkpoint-budget", metavar="SIZE", default="1G", show_default=True,
              help="Disk space for checkpoints; older ones are thinned out.")  # fmt: skip
def command(output: Path, checkpoint_every: float, checkpoint_budget: str, **options: Any) -> int:
    """Run a machine and record it into the directory RUN.jrr."""
    with failures():
        from runtime.config import parse_size
        from runtime.timeline.record import Pace, record

        if output.exists():
            raise Failure(f"{output} exists already")
        config = machine_config(options)
        pace = Pace(checkpoint=checkpoint_every, budget=parse_size(checkpoint_budget))
        shown = progress("recording", options)
        outcome = record(output, config, outside(options), limits(options), pace=pace, progress=shown)
        shown.done()
    return report("recorded", outcome)
