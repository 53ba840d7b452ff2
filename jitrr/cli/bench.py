"""``jitrr bench``."""

from __future__ import annotations

import click

from jitrr.cli.errors import Failure


@click.command("bench", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Compare with interpreters and other emulators."""
    raise Failure("bench is not there yet; in a checkout, `make bench` compares with QEMU")
