"""``--gdb`` of replay, run and record."""

from __future__ import annotations

from pathlib import Path

import click

from jitrr.cli.errors import Failure, failures


def announce(address: tuple[str, int], arch: str) -> None:
    """Say where the server is, and what to type in gdb."""
    host, port = address
    gdb = "gdb-multiarch" if arch == "arm" else "gdb"
    click.echo(f"jitrr: waiting for gdb at {host}:{port}; start {gdb} and type: target remote {host}:{port}", err=True)


def debug_replay(path: Path, gdb: str, seek: str, tier: str) -> None:
    """Serve gdb over a replay of ``path`` that stands at the place ``seek``, until gdb kills it or a signal comes."""
    from runtime.debug.gdb.server import AddressError, Server, parse_address
    from runtime.debug.monitor.monitor import Monitor
    from runtime.debug.subject import ReplaySubject
    from runtime.recording.recording import Recording
    from runtime.timeline.places import resolve
    from runtime.timeline.travel import Travel
    from runtime.timeline.watch import Watch

    with failures(), Watch() as watch:
        recording = Recording(path)
        icount = resolve(recording, seek)
        try:
            address = parse_address(gdb)
            server = Server(address, lambda: watch.reason() is not None)
        except AddressError as error:
            raise Failure(str(error)) from error
        travel = Travel(recording, tier=tier, watch=watch)
        try:
            travel.seek(icount)
            announce(address, recording.config().arch)
            subject = ReplaySubject(travel)
            server.serve(subject, Monitor(travel, subject.target).execute)
        finally:
            server.close()
            travel.close()
