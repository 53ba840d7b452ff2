"""``jitrr replay``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from jitrr.cli.debugger import debug_replay
from jitrr.cli.errors import Failure, failures
from jitrr.cli.monitor import METAVAR, monitor_replay
from jitrr.cli.options import recording_argument


@click.command("replay")
@recording_argument
@click.option("--seek", metavar="PLACE", help="Go there at once: N, 50%, end-1000, 12.5s, event:N, console:TEXT.")
@click.option("--until", metavar="PLACE", help="Stop there instead of at the end; +N counts from the start or --seek.")
@click.option("--digest", is_flag=True, help="Print the digest of the state reached, as JSON.")
@click.option("--no-verify", is_flag=True, help="Do not check the recorded digests on the way.")
@click.option("--tier", type=click.Choice(["auto", "interp", "jit"]), default="auto", show_default=True)
@click.option("--gdb", metavar="[HOST:]PORT", help="Wait for gdb there; without a host, on this machine only.")
@click.option("--monitor", metavar=METAVAR, multiple=True, help="Move as told there; see docs/monitor.md.")
def command(recording: Path, seek: str | None, until: str | None, digest: bool, no_verify: bool, tier: str,
            gdb: str | None, monitor: tuple[str, ...]) -> None:  # fmt: skip
    """Replay RUN.jrr: all of it with the guest's console, or to any instruction."""
    if gdb is not None:
        if until is not None or digest:
            raise Failure("--gdb goes with --seek, not with --until or --digest")
        return debug_replay(recording, gdb, seek or "begin", tier, monitor)
    if monitor:
        if until is not None or digest:
            raise Failure("--monitor goes with --seek, not with --until or --digest")
        return monitor_replay(recording, monitor, seek or "begin", tier)
    with failures():
        _replay(recording, seek, until, digest, not no_verify, tier)


def _replay(path: Path, begin: str | None, end: str | None, digest: bool, verify: bool, tier: str) -> None:
    from runtime.borders.console import ConsoleOutput
    from runtime.recording.recording import Recording
    from runtime.timeline.places import resolve
    from runtime.timeline.progress import Progress
    from runtime.timeline.replay import Replay
    from runtime.timeline.watch import Watch

    recording = Recording(path)
    seek = None if begin is None else resolve(recording, begin)
    until = None if end is None else resolve(recording, end, seek or 0)
    if seek is not None and until is not None and until < seek:
        raise Failure(f"--until {until} is before --seek {seek}")
    silent = seek is not None or digest
    goal = next((at for at in (until, seek) if at is not None), recording.icount)
    over_console = not silent and sys.stdout.isatty() and sys.stderr.isatty()
    progress = Progress("replaying", goal, quiet=over_console)
    console = ConsoleOutput(None if silent else 1)
    with Watch() as watch:
        replay = Replay(
            recording, tier=tier, console=console, verify=verify, watch=watch, progress=progress, first=seek
        )
        try:
            if seek is not None:
                replay.seek(seek)
            if until is not None:
                replay.run_to(until)
            elif seek is None and not digest:
                replay.finish()
            elif seek is None:
                replay.run_to(recording.icount)
            reached = {"icount": replay.icount, "digest": replay.digest().hex()} if digest else None
        finally:
            replay.close()
            progress.done()
    if reached:
        click.echo(json.dumps(reached))
    else:
        checked = f", digests right up to {replay.verified:,}" if verify else ""
        click.echo(f"jitrr: replayed to instruction {replay.icount:,} of {recording.icount:,}{checked}", err=True)
