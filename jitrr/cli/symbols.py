"""``jitrr symbols``."""

from __future__ import annotations

from pathlib import Path

import click

from jitrr.cli.errors import Failure, failures
from jitrr.cli.options import recording_argument


@click.command("symbols")
@recording_argument
@click.option("--at", "place", metavar="PLACE", default="end", show_default=True,
              help="Look there, where the kernel runs already: N, 50%, 12.5s, console:TEXT, ...")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", required=True, help="ELF file.")
@click.option("--tier", type=click.Choice(["auto", "interp", "jit"]), default="auto", show_default=True)
def command(recording: Path, place: str, output: Path, tier: str) -> None:
    """Write the symbols of the Linux kernel that runs in RUN.jrr as FILE, which gdb's file command loads."""
    with failures():
        from runtime.debug.kallsyms import NoSymbols, kernel_symbols
        from runtime.debug.symbol_file import symbol_file
        from runtime.debug.target import make_target
        from runtime.debug.unwind import debug_frame
        from runtime.recording.recording import Recording
        from runtime.timeline.places import resolve
        from runtime.timeline.progress import Progress
        from runtime.timeline.replay import Replay
        from runtime.timeline.watch import Watch

        opened = Recording(recording)
        icount = resolve(opened, place)
        progress = Progress("going there", icount)
        with Watch() as watch:
            replay = Replay(opened, tier=tier, watch=watch, progress=progress)
            try:
                replay.seek(icount)
                progress.done()
                target = make_target(replay.machine)
                found = kernel_symbols(target)
                frames = debug_frame(target, found)
            except NoSymbols as error:
                raise Failure(f"at instruction {icount:,} {error}") from error
            finally:
                replay.close()
    try:
        output.write_bytes(symbol_file(opened.config().arch, found, frames))
    except OSError as error:
        raise Failure(f"{output}: {error.strerror}") from error
    click.echo(f"{output}: {len(found):,} symbols of the kernel; in gdb: file {output}")
