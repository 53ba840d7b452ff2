"""Moving about in the recorded boot of a Debian guest: seeks, steps back, searches backward.

    python bench/seeks.py [--guest debian-x86_64] [--seeks 40] [--json]

The caches are those of the user: everything is measured warm, after a recording that is not counted. Ratios are in
terms of one replay of the whole recording, without points, in the same process.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from measure import jitrr, run, table

from runtime.debug.target import make_target
from runtime.guests import FetchedGuest, fetch
from runtime.recording.recording import Recording
from runtime.timeline.travel import Point, Travel

MB = 1e6
#: Where the breakpoint and the address of the searches are taken from: an instruction that is run once.
EARLY = 10
#: No guest runs code there.
NOWHERE = 1 << 46 | 0x123
STACK = {"x86_64": "rsp", "i386": "esp", "arm": "sp"}
Row = tuple[str, float, str]


def record(guest: FetchedGuest, output: Path) -> float:
    """Seconds of recording the boot."""
    arguments = [*guest.record_args[:-1], f"{guest.append} jitrr=poweroff"]
    return run(jitrr("record", *arguments, "-o", str(output)), []).seconds


def recorded(guest: FetchedGuest, path: Path, warm: Path) -> Iterator[Row]:
    """The recording in ``path``, made with the caches that the one in ``warm`` leaves."""
    record(guest, warm)
    yield "recording: s", record(guest, path), ""
    info = json.loads(run(jitrr("info", str(path), "--json"), []).console)
    yield "checkpoints", info["checkpoints"], ""
    yield "checkpoints: MB on disk", info["bytes_checkpoints"] / MB, "at most 200"


def timed(work: Callable[[], object]) -> float:
    """Seconds of ``work``."""
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


def quantiles(times: list[float], what: str, median: str, high: str) -> Iterator[Row]:
    """Median and 95th percentile."""
    times = sorted(times)
    yield f"{what}, median: s", times[len(times) // 2], median
    yield f"{what}, 95th percentile: s", times[-(-len(times) * 95 // 100) - 1], high


def steps_back(recording: Recording) -> Iterator[Row]:
    """At the end, in a session that has just begun."""
    with closing(Travel(recording)) as travel:
        travel.seek(travel.end)
        yield "reverse-stepi at the end, the first: s", timed(travel.back), "at most 1.0"
        times = sorted(timed(travel.back) for _ in range(100))
        yield "... each of the next 100, median: s", times[50], "at most 0.06"


def searches(recording: Recording, seeks: int) -> Iterator[Row]:
    """Seeks in a session, and searches over the whole boot."""
    draw = random.Random(recording.icount)
    with closing(Travel(recording)) as travel:
        whole = timed(travel.run)
        yield "replay of all of it: s", whole, ""
        places = [draw.randrange(travel.end + 1) for _ in range(seeks)]
        times = [timed(lambda at=at: travel.seek(at)) for at in places]  # type: ignore[misc]
        yield from quantiles(times, "replay_seek to a random instruction", "at most 0.7", "at most 2")
        travel.seek(EARLY)
        early = travel.pc
        stack = make_target(travel.machine).read_register(STACK[recording.manifest["machine"]["arch"]])
    for what, point, floor in (
        ("reverse-continue to a breakpoint early on", Point("break", early), "at most 0.7"),
        ("the last write to an address", Point("write", (stack - 8) % 2**32, 8), "at most 2"),
        ("a breakpoint where nothing is, all of it searched", Point("break", NOWHERE), ""),
    ):
        with closing(Travel(recording)) as travel:
            if point.address == NOWHERE:  # as if its page were in use everywhere
                recording.touched.intervals.clear()
            travel.seek(travel.end)
            travel.set_points([point])
            seconds = timed(travel.run_back)
            yield f"{what}: s, ends at {travel.icount:,}", seconds, ""
            yield "... in terms of one replay", seconds / whole, floor


def command_line(path: Path, length: int, seeks: int) -> Iterator[Row]:
    """Whole processes."""
    draw = random.Random(length)
    commands = [jitrr("replay", str(path), "--seek", str(draw.randrange(length + 1)), "--digest") for _ in range(seeks)]
    times = [run(command, []).seconds for command in commands]
    yield from quantiles(times, "jitrr replay --seek to a random instruction", "at most 0.7", "at most 2")


def noted(rows: Iterator[Row]) -> list[Row]:
    """``rows``, shown on standard error as they come."""
    found = []
    for row in rows:
        print(f"{row[0]}: {row[1]:.3f}", file=sys.stderr, flush=True)
        found.append(row)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--guest", default="debian-x86_64")
    parser.add_argument("--seeks", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jitrr-bench-", ignore_cleanup_errors=True) as scratch:
        path = Path(scratch) / "boot.jrr"
        measured = noted(recorded(fetch(options.guest), path, Path(scratch) / "warm.jrr"))
        recording = Recording(path)
        measured += noted(steps_back(recording)) + noted(searches(recording, options.seeks))
        measured += noted(command_line(path, recording.icount, options.seeks // 2))
    if options.json:
        print(json.dumps({what: figure for what, figure, _ in measured}))
    else:
        lines = [(what, f"{figure:.3f}", floor) for what, figure, floor in measured]
        print(table([(options.guest, "measured", "floor"), *lines]))


if __name__ == "__main__":
    main()
