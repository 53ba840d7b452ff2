"""What checkpoints cost a recording: boots of a Debian guest with and without them, in turn, and where the time goes.

    python bench/checkpoints.py [--guest debian-x86_64 ...] [--rounds 18] [--json]

Whole recordings differ by more than what is looked for, from run to run and from hour to hour. So there are two
answers: the ratio of neighbours, and the sum of what can be measured by itself, each run against its neighbour:

* taking them: processor time of the guest's thread for that, and for digests, notes and the log in either kind;
* for a processor: that thread could have run, and something else did, such as the thread that writes checkpoints;
* otherwise waiting: for Python's lock, for the disk;
* what comes after: a guest whose pages are watched anew runs slower. A third kind of run takes checkpoints as often
  as it can; by how much the guest itself is slower there than without, in terms of how many more there were.

Intervals are those of the median at 95 percent, which suppose nothing about how figures are spread (sign test). Runs
that somebody stopped (SIGSTOP) are repeated; no other is left out. How busy others, the compile worker among them, kept
the machine is shown.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import permutations
from math import comb
from pathlib import Path
from statistics import median
from typing import Any

from measure import run, table

from runtime.guests import fetch

#: Options of ``record`` and the share of the guest's processor, of each kind of run.
KINDS: dict[str, dict[str, float]] = {
    "without": {"every": 1e6},
    "with": {},
    "many": {"every": 0.01, "share": 1.0},
}


@dataclass(frozen=True)
class Account:
    """One recording. Of its loop, in seconds: wall time, processor time of the thread in it, of that what checkpoints,
    digests, notes and the log took, time that it waited for a processor, processor time of other threads, of other
    processes; number of checkpoints; how often somebody stopped the process."""

    seconds: float
    thread: float
    taking: float
    queued: float
    writing: float
    others: float
    checkpoints: int
    stopped: int = 0

    @property
    def guest(self) -> float:
        """Processor time that was the guest's."""
        return self.thread - self.taking

    @property
    def waiting(self) -> float:
        """Neither running nor able to run."""
        return self.seconds - self.thread - self.queued

    @property
    def aside(self) -> float:
        """All that was not the guest's."""
        return self.seconds - self.guest


def clocks() -> list[float]:
    """Wall time, processor time of this thread, its time in a queue, processor time of the other threads, and of
    everybody; in seconds."""
    own, all_of_us = (resource.getrusage(who) for who in (resource.RUSAGE_THREAD, resource.RUSAGE_SELF))
    queued = int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    used = [one.ru_utime + one.ru_stime for one in (own, all_of_us)]
    ticks = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]]
    busy = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
    return [time.perf_counter(), used[0], queued, used[1] - used[0], busy - used[1]]


def record(guest: str, path: str, every: float | None = None, share: float | None = None) -> Account:
    """Record the boot of ``guest`` in this process."""
    from jitrr.cli import main
    from runtime.timeline import record as module

    spent, stops, inside, found = [0.0], [0], [0], []

    def stopped(*_: Any) -> None:
        stops[0] += 1

    def timed(work: Callable[..., None]) -> Callable[..., None]:
        def wrapped(*arguments: Any) -> None:
            before = time.thread_time()
            inside[0] += 1
            work(*arguments)
            inside[0] -= 1
            spent[0] += 0 if inside[0] else time.thread_time() - before

        return wrapped

    loop = module.Recorded.run

    def looped(self: Any, outside: Any = None) -> Any:
        before = clocks()
        outcome = loop(self, outside)
        seconds, thread, queued, writing, others = (b - a for a, b in zip(before, clocks(), strict=True))
        count = self._writer.checkpoints.count
        found.append(Account(seconds, thread, spent[0], queued, writing, others, count, stops[0]))
        return outcome

    for name in ("_note", "_note_touched", "_flush"):  # the first does the others as well, and they are put off then
        setattr(module.Recorded, name, timed(getattr(module.Recorded, name)))
    module.Recorded.run = looped  # type: ignore[method-assign]
    signal.signal(signal.SIGCONT, stopped)
    if share is not None:
        module.Pace = partial(module.Pace, share=share)  # type: ignore[misc,assignment]
    known = fetch(guest)
    options = [] if every is None else ["--checkpoint-every", str(every)]
    boot = [*known.record_args[:-1], f"{known.append} jitrr=poweroff", "--serial", "none"]
    with suppress(SystemExit):
        main(["record", *boot, *options, "-o", path])
    return found[0]


def recorded(guest: str, kind: str, scratch: Path) -> Account:
    """The same in a process of its own; again if somebody stopped it meanwhile."""
    while True:
        with tempfile.TemporaryDirectory(dir=scratch) as place:
            request = {"guest": guest, "path": f"{place}/boot.jrr", **KINDS[kind]}
            done = run([sys.executable, __file__, "--record", json.dumps(request)], [])
        account = Account(**json.loads(done.console.splitlines()[-1]))
        print(guest, kind, json.dumps(asdict(account)), file=sys.stderr, flush=True)
        if not account.stopped:
            return account


def interval(figures: list[float]) -> tuple[float, float]:
    """Where the median of whatever gave ``figures`` is, at 95 percent; the outermost ones when they are too few."""
    n, cut, below = len(figures), 0, 0.0
    while (below := below + comb(n, cut) / 2**n) <= 0.025:
        cut += 1
    ordered = sorted(figures)
    cut = max(cut - 1, 0)
    return ordered[cut], ordered[n - 1 - cut]


Row = tuple[str, float, float, float]


def row(what: str, figures: list[float]) -> Row:
    """``what``, median and interval."""
    return (what, median(figures), *interval(figures))


def rows(runs: dict[str, list[Account]]) -> Iterator[Row]:
    """What there is to say; percentages are in terms of the recording without checkpoints."""
    without, kept, many = runs["without"], runs["with"], runs["many"]

    def more(of: Callable[[Account], float], than: list[Account] = without) -> list[float]:
        return [100 * (of(a) - of(b)) / b.seconds for a, b in zip(kept, than, strict=True)]

    yield row("recording: s", [each.seconds for each in kept])
    yield row("checkpoints", [each.checkpoints for each in kept])
    yield row("others' use of the machine: processors", [each.others / each.seconds for each in kept + without])
    yield row("seconds, in terms of one without", [a.seconds / b.seconds for a, b in zip(kept, without, strict=True)])
    yield row("processor time of the guest's thread", [a.thread / b.thread for a, b in zip(kept, without, strict=True)])
    yield row("taking them: %", more(lambda each: each.taking))
    yield row("for a processor: %", more(lambda each: each.queued))
    yield row("otherwise waiting: %", more(lambda each: each.waiting))
    after = [
        100 * (a.guest / b.guest - 1) * (k.checkpoints - b.checkpoints) / (a.checkpoints - b.checkpoints)
        for a, b, k in zip(many, without, kept, strict=True)
    ]
    yield row(f"what comes after (by {median(each.checkpoints for each in many):.0f} of them): %", after)
    total = [a + b for a, b in zip(more(lambda each: each.aside), after, strict=True)]
    yield row("all of these: %", total)
    yield row("thread that writes: % of a processor", more(lambda each: each.writing))


def measure(guest: str, rounds: int) -> list[Row]:
    """Rounds of one run of each kind, in all orders in turn: none is earlier, or always behind the same other."""
    orders = [*permutations(KINDS)]
    runs: dict[str, list[Account]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="jitrr-bench-", ignore_cleanup_errors=True) as scratch:
        for kind in ("with", "without"):
            recorded(guest, kind, Path(scratch))  # into the caches
        for number in range(rounds):
            for kind in orders[number % len(orders)]:
                runs[kind].append(recorded(guest, kind, Path(scratch)))
    return list(rows(runs))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--guest", action="append")
    parser.add_argument("--rounds", type=int, default=18)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--record", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.record:
        print("\n" + json.dumps(asdict(record(**options.record))))
        return
    found = {guest: measure(guest, options.rounds) for guest in options.guest or ["debian-x86_64"]}
    if options.json:
        print(json.dumps({guest: {what: figures for what, *figures in rows} for guest, rows in found.items()}))
        return
    for guest, measured in found.items():
        lines = [(what, f"{middle:.3f}", f"{low:.3f} to {high:.3f}") for what, middle, low, high in measured]
        print(table([(guest, "median", "95 percent"), *lines]))


if __name__ == "__main__":
    main()
