"""``jitrr record``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from jitrr.cli.errors import Failure, failures
from jitrr.cli.options import checkpoint_options, limits, machine_config, machine_options, outside, progress, report


@click.command("record")
@machine_options
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="RUN.jrr", required=True, help="Recording.")
@checkpoint_options
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
