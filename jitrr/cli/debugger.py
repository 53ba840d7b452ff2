"""``--gdb`` of replay, run and record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jitrr.cli.errors import Failure, failures

if TYPE_CHECKING:
    from runtime.debug.gdb.server import Server
    from runtime.timeline.record import Debugger


def announce(address: tuple[str, int], arch: str) -> None:
    """Say where the server is, and what to type in gdb."""
    host, port = address
    gdb = "gdb-multiarch -ex 'set arm abi AAPCS'" if arch == "arm" else "gdb"
    click.echo(f"jitrr: waiting for gdb at {host}:{port}; start {gdb} and type: target remote {host}:{port}", err=True)


def open_server(text: str) -> tuple[Server, tuple[str, int]]:
    """Listen at an address of ``--gdb``; Failure when that cannot be."""
    from runtime.debug.gdb.server import AddressError, Server, parse_address

    try:
        address = parse_address(text)
        return Server(address), address
    except AddressError as error:
        raise Failure(str(error)) from error


def live_debugger(text: str | None) -> Debugger | None:
    """What ``--gdb`` of ``run`` and ``record`` asks for."""
    if text is None:
        return None
    from runtime.debug.gdb.live import LiveDebugger

    server, address = open_server(text)
    return LiveDebugger(server, lambda arch: announce(address, arch))


def debug_replay(path: Path, gdb: str, seek: str, tier: str) -> None:
    """Serve gdb over a replay of ``path`` that stands at the place ``seek``, until gdb kills it or a signal comes."""
    from runtime.debug.monitor.monitor import Monitor
    from runtime.debug.subject import ReplaySubject
    from runtime.recording.recording import Recording
    from runtime.timeline.places import resolve
    from runtime.timeline.travel import Travel
    from runtime.timeline.watch import Watch

    with failures(), Watch() as watch:
        recording = Recording(path)
        icount = resolve(recording, seek)
        server, address = open_server(gdb)
        travel = Travel(recording, tier=tier, watch=watch)
        try:
            travel.seek(icount)
            announce(address, recording.config().arch)
            subject = ReplaySubject(travel)
            monitor = Monitor(travel, subject.target)
            server.serve(subject, monitor.execute, lambda: monitor.over or watch.reason() is not None)
        finally:
            server.close()
            travel.close()
