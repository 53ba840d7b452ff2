"""``jitrr pack``."""

from __future__ import annotations

from pathlib import Path

import click

from jitrr.cli.errors import failures
from jitrr.cli.options import recording_argument


@click.command("pack")
@recording_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
              help="The packed recording; by default RUN.jrrz beside RUN.jrr.")  # fmt: skip
def command(recording: Path, output: Path | None) -> None:
    """Make one file of RUN.jrr and what it needs of the recordings that it is a branch of. Every command that takes a
    recording takes the file."""
    with failures():
        from runtime.recording.pack import pack
        from runtime.recording.packed import SUFFIX
        from runtime.recording.recording import Recording

        target = output or recording.with_suffix(SUFFIX)
        opened = Recording(recording)
        pack(opened, target)
        size = target.stat().st_size
    click.echo(f"{target}: {size / 1e6:.1f} MB, {opened.icount:,} instructions")
