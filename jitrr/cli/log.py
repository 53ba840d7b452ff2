"""``jitrr log``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jitrr.cli.errors import failures
from jitrr.cli.options import recording_argument

if TYPE_CHECKING:
    from runtime.recording.log import Event


@click.command("log")
@recording_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
def command(recording: Path, as_json: bool) -> None:
    """The events of RUN.jrr, one a line: icount, kind, data."""
    with failures():
        from runtime.recording.recording import Recording

        events = Recording(recording).log.events
    for event in events:
        click.echo(json.dumps(_plain(event)) if as_json else event_line(event))


def _plain(event: Event) -> dict[str, Any]:
    plain: dict[str, Any] = {"icount": event.icount, "kind": event.kind, "data": event.data.hex()}
    if event.kind == "clock":
        plain["ns"] = int.from_bytes(event.data, "little")
    return plain


def event_line(event: Event) -> str:
    """An event for people: icount, kind, data."""
    if event.kind == "clock":
        ns = int.from_bytes(event.data, "little")
        shown = f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%d %H:%M:%S}.{ns % 10**9:09} UTC"
    elif event.kind == "entropy":
        shown = event.data.hex()
    else:
        shown = ascii(event.data)[1:]
    return f"{event.icount:>16,}  {event.kind:<16}  {shown}"
