"""``jitrr run``."""

from __future__ import annotations

from typing import Any

import click

from jitrr.cli.errors import failures
from jitrr.cli.options import limits, machine_config, machine_options, outside, progress, report


@click.command("run")
@machine_options
def command(**options: Any) -> int:
    """Run a machine without recording."""
    with failures():
        from runtime.timeline.record import run

        config = machine_config(options)
        shown = progress("running", options)
        outcome = run(config, outside(options), limits(options), progress=shown)
        shown.done()
    return report("ran", outcome)
