"""The boot of a Debian guest, recorded by QEMU and by jitrr with cold and warm caches, replayed and sought in.

    python bench/boot.py [--guest debian-x86_64] [--repeat 1] [--seeks 20] [--json]

Everything is measured in one run on one machine, so that the ratios mean something. Boots are timed to the first line
of the guest's init, the fastest of the repeats; replays to the end, with all digests checked.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import qemu_baseline
from measure import Run, fastest, jitrr, run, size_of, table

from runtime.guests import FetchedGuest, debian, fetch

MB = 1e6
GUEST_RAM = 256 << 20
#: To QEMU's recording, cold and warm; a replay to our recording: at most.
FLOORS = {"x86_64": (3.0, 1.5, 1.1), "i386": (1.5, 1.0, 1.05), "arm": (1.5, 1.0, 1.05)}


def record(guest: FetchedGuest, output: Path, cache: Path) -> Run:
    """One recording of the boot up to the guest's power-off, with the translation cache in ``cache``."""
    arguments = [*guest.record_args[:-1], f"{guest.append} jitrr=poweroff"]
    command = jitrr("record", *arguments, "-o", str(output))
    return run(command, [debian.INIT_STARTED], environment={"JITRR_CACHE_DIR": str(cache)})


def seek_times(recording: Path, cache: Path, count: int) -> list[float]:
    """Seconds of ``jitrr replay --seek N --digest`` for ``count`` instructions drawn at random, sorted."""
    length = json.loads(run(jitrr("info", str(recording), "--json"), []).console)["icount"]
    draw = random.Random(length)
    places = [draw.randrange(length + 1) for _ in range(count)]
    environment = {"JITRR_CACHE_DIR": str(cache)}
    commands = [jitrr("replay", str(recording), "--seek", str(at), "--digest") for at in places]
    return sorted(run(command, [], environment=environment).seconds for command in commands)


def rows(guest: FetchedGuest, repeat: int, seeks: int, scratch: Path) -> Iterator[tuple[str, float, str]]:
    """(what, figure, floor) one after the other, as they are measured."""
    qemu, qemu_log = qemu_baseline.measure(guest, repeat, ["plain", "record", "replay"])
    for mode, each in qemu.items():
        yield f"QEMU, {mode}: seconds to init", each.marks[debian.INIT_STARTED], ""
    baseline = qemu["record"].marks[debian.INIT_STARTED]

    cold_runs = [record(guest, scratch / f"c{n}.jrr", scratch / f"cache{n}") for n in range(repeat)]
    cold, cache = fastest(cold_runs, debian.INIT_STARTED), scratch / "cache0"
    warm_runs = [(record(guest, scratch / f"w{n}.jrr", cache), scratch / f"w{n}.jrr") for n in range(max(2, repeat))]
    warm, recording = min(warm_runs, key=lambda each: each[0].marks[debian.INIT_STARTED])
    *floors, replay_floor = FLOORS[guest.record_args[1]]
    for name, each, floor in zip(("cold", "warm"), (cold, warm), floors, strict=True):
        seconds = each.marks[debian.INIT_STARTED]
        yield f"jitrr record, {name} caches: seconds to init", seconds, ""
        yield f"... to QEMU's recording, {name}", seconds / baseline, f"at most {floor}"
    command = jitrr("verify", str(recording))
    replays = [run(command, [], environment={"JITRR_CACHE_DIR": str(cache)}) for _ in warm_runs]
    replay = min(replays, key=lambda each: each.seconds)
    yield "jitrr verify: seconds", replay.seconds, ""
    yield "... to jitrr's recording, whole run", replay.seconds / warm.seconds, f"at most {replay_floor}"

    info = json.loads(run(jitrr("info", str(recording), "--json"), []).console)
    yield "log, KB", info["bytes_log"] / 1e3, "at most 200"
    yield "QEMU's log, KB", qemu_log / 1e3, ""
    yield "checkpoints, MB", info["bytes_checkpoints"] / MB, "at most 300"
    peak = max(each.peak_memory for each in (cold, warm, replay)) - GUEST_RAM
    yield "peak memory beyond guest RAM, MB", peak / MB, "at most 700"
    yield "translation cache, MB", size_of(cache) / MB, ""
    times = seek_times(recording, cache, seeks)
    yield "jitrr replay --seek, median: seconds", times[len(times) // 2], "at most 0.7"
    yield "jitrr replay --seek, 95th percentile: seconds", times[-(-len(times) * 95 // 100) - 1], "at most 2"
    yield "jitrr --help: seconds", min(run(jitrr("--help"), []).seconds for _ in range(5)), "at most 0.3"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--guest", default="debian-x86_64")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--seeks", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jitrr-bench-", ignore_cleanup_errors=True) as scratch:
        measured = list(rows(fetch(options.guest), options.repeat, options.seeks, Path(scratch)))
    if options.json:
        print(json.dumps({what: figure for what, figure, _ in measured}))
    else:
        lines = [(what, f"{figure:.2f}", floor) for what, figure, floor in measured]
        print(table([(options.guest, "measured", "floor"), *lines]))


if __name__ == "__main__":
    main()
