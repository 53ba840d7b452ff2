"""Options that commands share, those of machines and of running them, and what is made of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jitrr.cli.errors import CRASHED, DONE, Failure

if TYPE_CHECKING:
    from runtime.config import MachineConfig
    from runtime.debug.monitor.hub import Hub
    from runtime.timeline.progress import Progress
    from runtime.timeline.record import Limits, Outcome, Outside

_FILE = click.Path(path_type=Path)
_LATER = ("drive", "net", "display")

MACHINE_OPTIONS = [
    click.option("--arch", type=click.Choice(["x86_64", "i386", "arm"]), default="x86_64", show_default=True),
    click.option("--machine", metavar="NAME", default="",
                 help="Board; by default pc on x86 (pc-test: for test programs), virt on ARM."),
    click.option("--cpu", metavar="NAME", default="default", help="Processor model."),
    click.option("--smp", type=int, metavar="N", default=1, show_default=True, help="Processors."),
    click.option("--memory", "-m", metavar="SIZE", default="256M", show_default=True, help="RAM: 64M, 2G, ..."),
    click.option("--kernel", type=_FILE, metavar="F", help="Linux kernel (bzImage, zImage) or ELF image to boot."),
    click.option("--initrd", type=_FILE, metavar="F", help="Initial RAM disk."),
    click.option("--append", metavar="S", default="", help="Kernel command line."),
    click.option("--dtb", type=_FILE, metavar="F", help="Device tree of an ARM machine, instead of the generated one."),
    click.option("--bios", type=_FILE, metavar="F", help="Firmware: a ROM image, entered at the reset vector."),
    click.option("--drive", metavar="F", help="Disk image."),
    click.option("--net", metavar="...", help="Network card."),
    click.option("--display", metavar="...", help="Display."),
    click.option("--icount", metavar="shift=N|auto", default="auto", show_default=True,
                 help="virtual ns = instructions << N."),
    click.option("--rtc", metavar="base=utc|DATE", default="base=utc", show_default=True, help="Wall clock at start."),
]  # fmt: skip

#: Options of whatever runs live, a branch too.
RUN_OPTIONS = [
    click.option("--serial", metavar="stdio|file:F|none", default="stdio", show_default=True, help="Serial console."),
    click.option("--input-script", type=_FILE, metavar="F", help="Input at given icounts or after given output."),
    click.option("--monitor", metavar="[qmp:]stdio|PORT|unix:PATH", multiple=True,
                 help="Commands for the machine while it runs; see docs/monitor.md."),
    click.option("--gdb", metavar="[HOST:]PORT",
                 help="Wait for gdb there before the first instruction; without a host, on this machine only."),
    click.option("--max-icount", type=click.IntRange(min=0), metavar="N", help="Stop after N instructions."),
    click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="Stop after S seconds."),
    click.option("--tier", type=click.Choice(["auto", "interp", "jit"]), default="auto", show_default=True,
                 help="How code is run; never changes the outcome."),
]  # fmt: skip


CHECKPOINT_OPTIONS = [
    click.option("--checkpoint-every", type=click.FloatRange(min=0.01), metavar="S", default=0.25, show_default=True,
                 help="Seconds of replay between checkpoints."),
    click.option("--checkpoint-budget", metavar="SIZE", default="1G", show_default=True,
                 help="Disk space for checkpoints; older ones are thinned out."),
]  # fmt: skip


def machine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all options of a machine and of running it."""
    return _options(command, MACHINE_OPTIONS + RUN_OPTIONS)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of running a machine that is given."""
    return _options(command, RUN_OPTIONS)


def checkpoint_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that records the options of its checkpoints."""
    return _options(command, CHECKPOINT_OPTIONS)


def _options(command: Callable[..., Any], options: list[Callable[..., Any]]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command


def recording_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the recording it works on."""
    return click.argument("recording", type=_FILE, metavar="RUN.jrr")(command)


def machine_config(options: dict[str, Any]) -> MachineConfig:
    """The machine asked for. Failure or ConfigError names what is wrong."""
    from runtime.config import Image, MachineConfig, parse_size

    for name in _LATER:
        if options[name] is not None:
            raise Failure(f"--{name} is not there yet")
    if options["kernel"] is None and options["bios"] is None:
        raise Failure("there is nothing to run: give a --kernel or a --bios")
    files = [name for name in ("kernel", "initrd", "bios", "dtb") if options[name] is not None]
    values: dict[str, Any] = {name: Image.load(options[name], name) for name in files}
    values |= {name: options[name] for name in ("arch", "machine", "cpu", "smp", "append", "tier")}
    values |= _shift(options["icount"])
    return MachineConfig(memory=parse_size(options["memory"]), rtc=_rtc(options["rtc"]), **values)


def limits(options: dict[str, Any]) -> Limits:
    """When to stop at the latest."""
    from runtime.timeline.record import Limits

    return Limits(options["max_icount"], options["timeout"])


def outside(options: dict[str, Any], begin: int = 0) -> Outside:
    """Console and scripted input as asked for, of a run that begins at ``begin``."""
    from jitrr.cli.debugger import live_debugger
    from runtime.borders.console import ConsoleOutput, standard_input
    from runtime.borders.script import Script
    from runtime.timeline.record import Outside

    script = Script.load(options["input_script"], begin) if options["input_script"] is not None else None
    serial, visitor = options["serial"], _visitor(options)
    debugger = live_debugger(options["gdb"], visitor)
    if serial == "stdio":
        return Outside(ConsoleOutput(1), standard_input(), script, visitor, debugger)
    if serial.startswith("file:") and len(serial) > 5:
        return Outside(ConsoleOutput.file(Path(serial[5:])), None, script, visitor, debugger)
    if serial == "none":
        return Outside(None, None, script, visitor, debugger)
    raise Failure(f"--serial is stdio, file:F or none, not {serial!r}")


def _visitor(options: dict[str, Any]) -> Hub | None:
    """The monitor, if one is asked for."""
    from jitrr.cli.monitor import open_hub

    texts = options["monitor"]
    if options["serial"] == "stdio" and any(text.removeprefix("qmp:") == "stdio" for text in texts):
        raise Failure("standard input is the serial console's: give --serial file:F or none, or another --monitor")
    return open_hub(texts) if texts else None


def progress(label: str, options: dict[str, Any]) -> Progress:
    """Progress on standard error, unless it would be drawn over the guest's console."""
    from runtime.timeline.progress import Progress

    over_console = options["serial"] == "stdio" and sys.stdout.isatty() and sys.stderr.isatty()
    return Progress(label, options["max_icount"], quiet=over_console)


def report(what: str, outcome: Outcome, begin: int = 0) -> int:
    """Say on standard error how a run from instruction ``begin`` on ended; returns the exit code."""
    count = outcome.icount - begin
    speed = count / max(outcome.seconds, 1e-9) / 1e6
    detail = f": {outcome.message}" if outcome.message else ""
    how = {"idle": "the guest is halted and nothing can wake it"}.get(outcome.reason, outcome.reason)
    line = f"{what} {count:,} instructions in {outcome.seconds:.1f} s ({speed:.0f} MIPS), {how}{detail}"
    if outcome.reason == "crashed":
        raise Failure(line, CRASHED)
    click.echo(f"jitrr: {line}", err=True)
    return DONE


def _shift(text: str) -> dict[str, int]:
    if text == "auto":
        return {}
    name, _, number = text.partition("=")
    if name != "shift" or not number.isdigit():
        raise Failure(f"--icount is auto or shift=N, not {text!r}")
    return {"shift": int(number)}


def _rtc(text: str) -> str:
    name, _, base = text.partition("=")
    if name != "base" or not base:
        raise Failure(f"--rtc is base=utc or base=DATE, not {text!r}")
    return base
