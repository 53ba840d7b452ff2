"""The command line: one file per command. Only click is imported here; a command brings in what it needs when it runs.

Exit codes: 0 done; 1 two recordings differ; 2 usage or bad input, one clear line on standard error; 3 divergence; 4 the
guest crashed the machine.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys

import click

from jitrr.cli.errors import Failure

# numpy starts a thread for each processor when it is loaded, 40 ms of every command, for algebra that nobody does here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

#: What this process ends with, once that is known.
_code: int | None = None

_COMMANDS = {
    "run": "Run a machine without recording.",
    "record": "Run a machine and record it.",
    "replay": "Replay a recording, all of it or to any instruction.",
    "monitor": "Look at a recording and move about in it, by commands.",
    "info": "What a recording is: length, events, sizes.",
    "log": "The events of a recording, one a line.",
    "verify": "Replay all of a recording and check every digest.",
    "branch": "Leave a recording at any instruction and run on live, recording.",
    "pack": "Make one file of a recording, which needs no other.",
    "unpack": "Make a directory of a packed recording.",
    "trim": "Cut out a piece of a recording, which replays alone.",
    "diff": "Where two recordings of the same machine part.",
    "symbols": "The symbols of a recorded Linux kernel, for gdb.",
    "bench": "Compare with other emulators.",
    "guest": "Real guests from Debian packages.",
    "demo": "Record, replay, seek and verify an embedded guest.",
}


class _Commands(click.Group):
    """Finds a command in its own file when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        return importlib.import_module(f"jitrr.cli.{cmd_name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"jitrr {version('jitrr')}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def jitrr() -> None:
    """Record and replay whole operating systems, bit for bit, and stop at any instruction."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code. Without ``arguments``: that of this process, which ends at once."""
    if arguments is None:
        atexit.register(_leave)  # the first to be registered is the last to be called
    # A collection of everything takes 30 ms and finds next to nothing: what there is, is in use.
    gc.set_threshold(20_000, 20, 100)
    try:
        code = jitrr.main(arguments, prog_name="jitrr", standalone_mode=False)
        sys.stdout.flush()
    except Failure as failure:
        _complain(str(failure))
        code = failure.code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        code = 2
    except click.ClickException as error:
        where = f" (see {error.ctx.command_path} --help)" if isinstance(error, click.UsageError) and error.ctx else ""
        _complain(error.format_message() + where)
        code = 2
    except (click.Abort, KeyboardInterrupt):
        _complain("interrupted")
        code = 130
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    global _code
    _code = code if isinstance(code, int) else 0
    sys.exit(_code)


def _leave() -> None:
    """End this process when threads and exit handlers are through: Python would take memory and libraries apart first,
    which are 0.1 s of a machine's process."""
    if _code is None:  # an error of ours
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return
    os._exit(_code)


def _complain(message: str) -> None:
    click.echo("jitrr: " + " ".join(message.split()), err=True)
