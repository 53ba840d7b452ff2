"""The sessions in the documents: blocks with lines ``(jitrr) COMMAND``, each followed by what it prints.

``python tests/monitor_docs.py`` writes the outputs of docs/monitor.md anew, from a recording made for it.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from real_machine import record_demo

from runtime.debug.monitor.hmp import PROMPT
from runtime.debug.monitor.monitor import Monitor
from runtime.debug.target import make_target
from runtime.recording.recording import Recording
from runtime.timeline.record import Pace
from runtime.timeline.travel import Travel

DOCUMENT = Path(__file__).parents[1] / "docs" / "monitor.md"
_BLOCK = re.compile(r"(?<=^```text\n)" + re.escape(PROMPT) + r".*?(?=^```$)", re.DOTALL | re.MULTILINE)
#: What is another number in every recording, for the guest reads random ones: how far it is after so many instructions.
_NUMBER = re.compile(r"\b0x[0-9a-f]+|\b[0-9a-f]{4,}\b|\b\d+(\.\d+)?\b")
#: Longer outputs are shown by their beginning.
_SHOWN = 14


def play(text: str, execute: Callable[[str], str]) -> str:
    """A document with the outputs of its commands as they are."""
    return _BLOCK.sub(lambda block: "".join(_played(block[0], execute)), text)


def _played(block: str, execute: Callable[[str], str]) -> Iterator[str]:
    for line in block.splitlines():
        if line.startswith(PROMPT):
            yield line + "\n"
            output = execute(line.removeprefix(PROMPT)).splitlines(keepends=True)
            yield "".join(output if len(output) <= _SHOWN else [*output[: _SHOWN - 2], "...\n"])


def masked(text: str) -> list[str]:
    """The lines of a document without what varies in outputs: numbers, and the instruction that a position is at."""
    return [line if line.startswith(PROMPT) else _masked(line) for line in text.splitlines()]


def _masked(line: str) -> str:
    head, at, _ = line.partition(", pc 0x")
    return _NUMBER.sub("#", " ".join((head + at).split()))


@contextmanager
def demo_session() -> Iterator[Monitor]:
    """The recording that the document speaks of, ``demo.jrr`` in the directory it begins in."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            record_demo(Path("demo.jrr"), pace=Pace(checkpoint=0.3))
            travel = Travel(Recording(Path("demo.jrr")))
            try:
                yield Monitor(travel, make_target(travel.machine))
            finally:
                travel.close()
        finally:
            os.chdir(before)


if __name__ == "__main__":
    with demo_session() as session:
        DOCUMENT.write_text(play(DOCUMENT.read_text(), session.execute))
