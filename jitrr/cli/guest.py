"""``jitrr guest list`` and ``jitrr guest fetch``."""

from __future__ import annotations

import shlex

import click

from jitrr.cli.errors import Failure


@click.group("guest")
def command() -> None:
    """Real guests from Debian packages, built into ready kernel + initrd."""


@command.command("list")
def list_command() -> None:
    """The guests there are, one a line."""
    from runtime.guests import list_guests

    for guest in list_guests():
        click.echo(f"{guest.name:<24}{guest.arch:<8}{guest.description}")


@command.command("fetch")
@click.argument("name")
def fetch_command(name: str) -> None:
    """Download and build guest NAME; prints the command that records it."""
    from runtime.guests import GuestError, fetch

    try:
        fetched = fetch(name)
    except GuestError as error:
        raise Failure(str(error)) from error
    click.echo(f"jitrr record {shlex.join(fetched.record_args)} -o boot.jrr")
