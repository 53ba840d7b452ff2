"""How long QEMU takes for the boot of a Debian guest: plain, recording, replaying.

    python bench/qemu_baseline.py [--guest debian-x86_64] [--repeat 3] [--json]

Seconds are from the start of the process to the first line of the guest's init, the fastest of the repeats; then the
guest switches itself off, and the whole run is timed as well.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from measure import Run, fastest, qemu, run, size_of, table

from runtime.guests import FetchedGuest, debian, fetch

MODES = {
    "plain": "",
    "icount": "shift=5",
    "record": "shift=5,rr=record,rrfile={log}",
    "replay": "shift=5,rr=replay,rrfile={log}",
}


def command(guest: FetchedGuest, mode: str, log: Path) -> list[str]:
    """QEMU's command line for ``mode``, a key of MODES."""
    arch = guest.record_args[guest.record_args.index("--arch") + 1]
    boot = ["-kernel", str(guest.kernel), "-initrd", str(guest.initrd), "-append", f"{guest.append} jitrr=poweroff"]
    icount = MODES[mode].format(log=log)
    return qemu(arch) + boot + (["-icount", icount] if icount else [])


def measure(guest: FetchedGuest, repeat: int, modes: list[str]) -> tuple[dict[str, Run], int]:
    """The fastest run of each mode, and the size of QEMU's log in bytes. A replay needs a recording before it."""
    results = {}
    with tempfile.TemporaryDirectory(prefix="jitrr-bench-") as scratch:
        log = Path(scratch) / "qemu.rr"
        for mode in modes:
            runs = [run(command(guest, mode, log), [debian.INIT_STARTED]) for _ in range(repeat)]
            results[mode] = fastest(runs, debian.INIT_STARTED)
        return results, size_of(log)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--guest", default="debian-x86_64")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results, log = measure(fetch(options.guest), options.repeat, list(MODES))
    figures = {mode: (each.marks[debian.INIT_STARTED], each.seconds) for mode, each in results.items()}
    if options.json:
        seconds = {mode: {"init": init, "whole": whole} for mode, (init, whole) in figures.items()}
        print(json.dumps({"guest": options.guest, "seconds": seconds, "log": log}))
    else:
        rows = [(f"QEMU, {mode}", f"{init:.2f}", f"{whole:.2f}") for mode, (init, whole) in figures.items()]
        print(table([(options.guest, "to init, s", "whole run, s"), *rows]))
        print(f"QEMU's log of it: {log / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
