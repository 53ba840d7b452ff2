"""``--gdb`` of replay, run and record."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jitrr.cli.errors import Failure, failures
from jitrr.cli.monitor import open_hub

if TYPE_CHECKING:
    from runtime.debug.gdb.server import Server
    from runtime.debug.monitor.hub import Hub
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


def live_debugger(text: str | None, hub: Hub | None) -> Debugger | None:
    """What ``--gdb`` of ``run`` and ``record`` asks for; ``hub``: what ``--monitor`` asked for."""
    if text is None:
        return None
    from runtime.debug.gdb.live import LiveDebugger

    server, address = open_server(text)
    return LiveDebugger(server, lambda arch: announce(address, arch), hub)


def debug_replay(path: Path, gdb: str, seek: str, tier: str, monitors: tuple[str, ...] = ()) -> None:
    """Serve gdb over a replay of ``path`` that stands at the place ``seek``, and monitors at the places of
    ``--monitor``, until gdb kills it, a monitor says quit, or a signal comes."""
    from runtime.borders.console import ConsoleOutput
    from runtime.debug.gdb.company import ReplayMonitors
    from runtime.debug.monitor.monitor import Monitor
    from runtime.debug.subject import ReplaySubject
    from runtime.debug.target import make_target
    from runtime.recording.recording import Recording
    from runtime.timeline.places import resolve
    from runtime.timeline.record import Outside
    from runtime.timeline.travel import Travel
    from runtime.timeline.watch import Watch

    with failures(), Watch() as watch, ExitStack() as stack:
        recording = Recording(path)
        icount = resolve(recording, seek)
        server, address = open_server(gdb)
        stack.callback(server.close)
        hub = open_hub(monitors)
        stack.callback(hub.close)
        travel = Travel(recording, tier=tier, watch=watch)
        stack.callback(travel.close)
        travel.seek(icount)
        subject = ReplaySubject(travel)
        monitor = Monitor(travel, make_target(travel.machine))  # it looks at another processor than gdb
        if "qmp:stdio" not in monitors:
            monitor.outside = lambda: Outside(ConsoleOutput(1))
        hub.open(monitor)
        announce(address, recording.config().arch)
        server.serve(subject, monitor.execute, lambda: monitor.over or watch.reason() is not None, ReplayMonitors(hub))
        hub.ended("left" if monitor.over else "ended")
