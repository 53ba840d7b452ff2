"""``jitrr unpack``."""

from __future__ import annotations

from pathlib import Path

import click

from jitrr.cli.errors import failures


@click.command("unpack")
@click.argument("packed", type=click.Path(path_type=Path), metavar="FILE")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="RUN.jrr", required=True, help="Recording.")
def command(packed: Path, output: Path) -> None:
    """Make the directory RUN.jrr of a packed recording."""
    with failures():
        from runtime.recording.pack import unpack

        unpack(packed, output)
