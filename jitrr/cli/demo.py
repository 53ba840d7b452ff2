"""``jitrr demo``."""

from __future__ import annotations

import click


@click.command("demo")
@click.option("--arch", type=click.Choice(["x86_64", "i386", "arm"]), default="x86_64", show_default=True)
def command(arch: str) -> int | None:
    """Record, replay, seek and verify an embedded guest, and show what happened."""
    from jitrr.cli.errors import failures

    with failures():
        from jitrr.demo import run

        return run(arch)
