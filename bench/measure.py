"""What the benchmarks share: run a program, note when its guest's console shows something, and print a table."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

#: QEMU's machine for each of our architectures.
QEMU = {
    "x86_64": "qemu-system-x86_64 -M pc",
    "i386": "qemu-system-i386 -M pc",
    "arm": "qemu-system-arm -M virt -cpu cortex-a15",
}


class BenchError(Exception):
    """A run that did not do what it should; the message says which and how it ended."""


@dataclass
class Run:
    """One run. ``marks`` maps each text to the seconds after the start at which the console had shown it."""

    seconds: float = 0.0
    user: float = 0.0
    peak_memory: int = 0
    marks: dict[str, float] = field(default_factory=dict)
    console: bytes = b""


def run(
    command: list[str], texts: list[str], *, timeout: float = 600, environment: dict[str, str] | None = None
) -> Run:
    """Run ``command`` to its end with nothing on standard input, watching its standard output for ``texts``.

    ``user`` is processor seconds, ``peak_memory`` bytes; both count the process and its waited-for children. BenchError
    when it fails, when it takes longer than ``timeout`` seconds, or when one of the texts never comes.
    """
    result = Run()
    everything = {**os.environ, **(environment or {})}
    start = time.perf_counter()
    with (
        tempfile.TemporaryFile() as messages,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages, env=everything
        ) as process,
    ):
        assert process.stdout
        watchdog = threading.Timer(timeout, process.kill)
        watchdog.start()
        while chunk := os.read(process.stdout.fileno(), 65536):
            now = time.perf_counter() - start
            result.console += chunk
            for text in texts:
                if text not in result.marks and text.encode() in result.console:
                    result.marks[text] = now
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        result.seconds = time.perf_counter() - start
        watchdog.cancel()
        messages.seek(0)
        errors = messages.read().decode(errors="replace").strip()
    result.user, result.peak_memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    missing = [text for text in texts if text not in result.marks]
    if process.returncode or missing:
        last = errors.splitlines()[-1] if errors else "no message"
        raise BenchError(f"{' '.join(command)}: exit code {process.returncode}, {last}; never shown: {missing}")
    return result


def qemu(arch: str, memory: int = 256) -> list[str]:
    """QEMU's command line for a machine with its serial port on standard output and ``memory`` MiB."""
    return f"{QEMU[arch]} -m {memory} -nodefaults -display none -serial stdio -no-reboot".split()


def fastest(runs: list[Run], text: str) -> Run:
    """The run in which ``text`` appeared soonest."""
    return min(runs, key=lambda run: run.marks[text])


def jitrr(*arguments: str) -> list[str]:
    """The command line of this checkout's ``jitrr``."""
    return [sys.executable, "-m", "jitrr", *arguments]


def size_of(path: Path) -> int:
    """Bytes in a file, or in all files under a directory."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)


def table(rows: list[tuple[str, ...]]) -> str:
    """``rows`` (the first is the header) as a Markdown table."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    padded.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in padded)
