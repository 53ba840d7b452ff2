"""``jitrr info``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from jitrr.cli.errors import failures
from jitrr.cli.options import recording_argument


@click.command("info")
@recording_argument
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(recording: Path, as_json: bool) -> None:
    """What RUN.jrr is: length in instructions, events, checkpoints, sizes, how it ended."""
    with failures():
        from runtime.recording.recording import Recording

        info = Recording(recording).info()
    if as_json:
        click.echo(json.dumps(info))
        return
    ended = f"{info['reason']}{': ' * bool(info['message'])}{info['message']}"
    closed = ended if info["clean_close"] else "no, it was cut short; what is there replays exactly"
    mb = {name: f"{info[name] / 1e6:.1f} MB" for name in ("bytes", "bytes_checkpoints", "bytes_images", "bytes_shelf")}
    rows = {
        "recording": f"{info['path']}, format {info['format']}, made {info['created']}",
        "machine": f"{info['arch']}, {info['machine']}, {_several(info['smp'])}{info['memory'] >> 20} MiB, "
                   f"icount shift {info['shift']}",
        "command line": info["append"] or "(none)",
        "length": f"{info['icount']:,} instructions",
        "begins": _begins(info),
        "events": f"{info['events']:,}",
        "digests": f"{info['digests']:,}",
        "checkpoints": f"{info['checkpoints']:,}",
        "size": f"{mb['bytes']}: log {info['bytes_log'] / 1e3:.1f} KB, checkpoints {mb['bytes_checkpoints']}, "
        f"images {mb['bytes_images']}" + f", left by replays {mb['bytes_shelf']}" * (info["bytes_shelf"] > 0),
        "closed": closed,
    }
    for name, value in rows.items():
        click.echo(f"{name:<13}{value}")


def _begins(info: dict[str, Any]) -> str:
    if (parent := info["parent"]) is not None:
        return f"as a branch of {parent['path']}, which it left at instruction {parent['icount']:,}"
    return f"at instruction {info['begin']:,}" + ", as a piece of a longer one" * (info["begin"] > 0)


def _several(processors: int) -> str:
    return f"{processors} processors, " * (processors > 1)
