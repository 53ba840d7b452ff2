"""What several processors cost: a Debian guest boots, then works at four jobs at once, on one, two and four processors.

    python bench/processors.py [--guest debian-x86_64] [--processors 1 2 4] [--repeat 1] [--json]

They take turns on one of the host's, so that the jobs take no less time; what more they take is the price of the turns.
QEMU is asked whether it records as many; it does not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measure import Run, fastest, jitrr, qemu, run, table

from runtime.guests import FetchedGuest, cpio, debian, fetch

JOBS = "for n in 1 2 3 4; do (head -c 20000000 /dev/zero | sha256sum) & done; wait"
BEGUN, DONE = "jitrr bench: begun", "jitrr bench: done"


def initrd(guest: FetchedGuest, folder: Path) -> Path:
    """The guest's initramfs with an init that does the jobs."""
    started = debian.INIT.partition("if [")[0]
    init = f"{started}\necho '{BEGUN}'\n{JOBS}\necho '{DONE}'\npoweroff -f\n"
    path = folder / "initrd.gz"
    path.write_bytes(guest.initrd.read_bytes() + cpio.compressed(cpio.archive([cpio.program("init", init.encode())])))
    return path


def record(guest: FetchedGuest, image: Path, count: int, output: Path, cache: Path) -> Run:
    """One recording with so many processors."""
    arguments = list(guest.record_args)
    arguments[arguments.index("--initrd") + 1] = str(image)
    command = jitrr("record", *arguments, "--smp", str(count), "-o", str(output))
    return run(command, [BEGUN, DONE], environment={"JITRR_CACHE_DIR": str(cache)})


def qemu_says(guest: FetchedGuest, arch: str, count: int, folder: Path) -> str:
    """The last line of QEMU's when it is to record so many processors."""
    command = [*qemu(arch), "-smp", str(count), "-icount", f"shift=3,rr=record,rrfile={folder}/qemu.rr",
               "-kernel", str(guest.kernel)]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)
    return (ended.stderr.strip().splitlines() or ["nothing"])[-1]


def rows(guest: FetchedGuest, counts: list[int], repeat: int, scratch: Path) -> Iterator[tuple[str, float]]:
    """(what, figure) one after the other, as they are measured; caches are warm."""
    image, cache, jobs = initrd(guest, scratch), scratch / "cache", 0.0
    for count in counts:
        record(guest, image, count, scratch / f"cold{count}.jrr", cache)
        recording = scratch / f"warm{count}-0.jrr"
        runs = [record(guest, image, count, scratch / f"warm{count}-{n}.jrr", cache) for n in range(repeat)]
        best = fastest(runs, DONE)
        yield f"{count} processors: seconds to init", best.marks[BEGUN]
        seconds = best.marks[DONE] - best.marks[BEGUN]
        jobs = jobs or seconds
        yield "... seconds at the jobs", seconds
        yield f"... of those with {counts[0]}", seconds / jobs
        replay = run(jitrr("verify", str(recording)), [], environment={"JITRR_CACHE_DIR": str(cache)})
        yield "... jitrr verify, to recording", replay.seconds / best.seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--guest", default="debian-x86_64")
    parser.add_argument("--processors", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    guest = fetch(options.guest)
    with tempfile.TemporaryDirectory(prefix="jitrr-bench-", ignore_cleanup_errors=True) as scratch:
        measured = list(rows(guest, options.processors, options.repeat, Path(scratch)))
        arch = guest.record_args[guest.record_args.index("--arch") + 1]
        said = qemu_says(guest, arch, options.processors[-1], Path(scratch))
    if options.json:
        print(json.dumps(measured))
    else:
        print(table([(options.guest, "measured"), *((what, f"{figure:.2f}") for what, figure in measured)]))
        print(f"QEMU with {options.processors[-1]}: {said}")


if __name__ == "__main__":
    main()
