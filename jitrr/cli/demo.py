"""``jitrr demo``."""

from __future__ import annotations

import click


@click.command("demo")
def command() -> int | None:
    """Record, replay, seek and verify an embedded guest, and show what happened."""
    from jitrr.cli.errors import failures

    with failures():
        from jitrr.demo import run

        return run()
