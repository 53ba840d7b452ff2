"""``jitrr monitor``, and ``--monitor`` of replay, run and record."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jitrr.cli.errors import Failure, failures
from jitrr.cli.options import recording_argument

if TYPE_CHECKING:
    from runtime.debug.monitor.hub import Hub
    from runtime.debug.monitor.monitor import Monitor
    from runtime.timeline.watch import Watch

METAVAR = "[qmp:]stdio|PORT|unix:PATH"


@click.command("monitor")
@recording_argument
@click.option("--seek", metavar="PLACE", default="begin", help="Begin there: N, 50%, end-1000, 12.5s, event:N, ...")
@click.option("--tier", type=click.Choice(["auto", "interp", "jit"]), default="auto", show_default=True)
def command(recording: Path, seek: str, tier: str) -> None:
    """Look at RUN.jrr and move about in it, by commands; help lists them. Ctrl-C ends a motion."""
    monitor_replay(recording, ("stdio",), seek, tier)


def monitor_replay(path: Path, texts: tuple[str, ...], seek: str, tier: str) -> None:
    """Talk about a replay of ``path`` that stands at the place ``seek``, at the places of ``--monitor``."""
    with failures():
        from runtime.borders.console import ConsoleOutput
        from runtime.debug.monitor.monitor import Monitor
        from runtime.debug.target import make_target
        from runtime.recording.recording import Recording
        from runtime.timeline.places import resolve
        from runtime.timeline.record import Outside
        from runtime.timeline.travel import Travel
        from runtime.timeline.watch import Watch

        recording = Recording(path)
        icount = resolve(recording, seek)
        hub = open_hub(texts)
        with Watch() as watch:
            travel = Travel(recording, tier=tier, watch=watch)
            try:
                travel.seek(icount)
                monitor = Monitor(travel, make_target(travel.machine))
                if "qmp:stdio" not in texts:
                    monitor.outside = lambda: Outside(ConsoleOutput(1))
                _converse(monitor, hub, watch, texts)
            finally:
                hub.close()
                travel.close()


def open_hub(texts: tuple[str, ...]) -> Hub:
    """Listen at the places of ``--monitor``; Failure when that cannot be."""
    from runtime.debug.monitor.channel import AddressError
    from runtime.debug.monitor.hub import Hub

    if sum(text.removeprefix("qmp:") == "stdio" for text in texts) > 1:
        raise Failure("--monitor: standard input can be one monitor only")
    try:
        return Hub(texts)
    except AddressError as error:
        raise Failure(str(error)) from error


def _converse(monitor: Monitor, hub: Hub, watch: Watch, texts: tuple[str, ...]) -> None:
    if texts == ("stdio",) and sys.stdin.isatty():
        _on_terminal(monitor)
    else:
        hub.serve(monitor, lambda: watch.reason() is not None)


def _on_terminal(monitor: Monitor) -> None:
    """A person types: lines can be edited, Ctrl-C ends a motion, or empties the line."""
    from runtime.debug.monitor.hmp import PROMPT

    with suppress(ImportError):
        import readline  # input() uses it when it is there

        readline.set_completer(_completer())
        readline.set_completer_delims("")
        readline.parse_and_bind("tab: complete")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    print(monitor.where(), end="")
    while not monitor.over:
        try:
            line = input(PROMPT)
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            continue
        with _interrupted_by_ctrl_c(monitor):
            print(monitor.execute(line), end="", flush=True)


def _end(number: int, frame: Any) -> None:
    """Reading a line is not ended by a signal unless something is raised."""
    raise Failure(f"ended by {signal.Signals(number).name}", 130)


def _completer() -> Callable[[str, int], str | None]:
    from runtime.debug.monitor.commands import TABLE

    def complete(text: str, number: int) -> str | None:
        found = sorted(name for name in TABLE if name.startswith(text))
        return found[number] if number < len(found) else None

    return complete


@contextmanager
def _interrupted_by_ctrl_c(monitor: Monitor) -> Iterator[None]:
    asked: list[Any] = []
    assert monitor.travel is not None
    monitor.travel.interrupt = lambda: bool(asked)
    before = signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
