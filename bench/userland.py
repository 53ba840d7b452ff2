"""Work of a guest's user space, recorded by QEMU and by jitrr: 100,000 system calls, gzip, sha256sum.

    python bench/userland.py [--guest debian-x86_64] [--repeat 1] [--json]

The guest is Debian's kernel with an init of this benchmark, which prints a line between any two pieces of work. jitrr's
caches are cold in the first column and warm in the second.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from itertools import pairwise
from pathlib import Path

from measure import Run, jitrr, qemu, run, table

from runtime.guests import FetchedGuest, cpio, debian, fetch

WORK = {
    "100,000 system calls": "dd if=/dev/zero of=/dev/null bs=1 count=50000 2>/dev/null",
    "gzip": "gzip -c /bin/busybox /bin/busybox >/dev/null",
    "sha256sum": "for i in 1 2 3 4 5 6 7 8; do sha256sum /bin/busybox; done >/dev/null",
}
MARKS = [f"jitrr bench: {number}" for number in range(len(WORK) + 1)]
LIMIT = 1.3


def init() -> str:
    """The guest's init: as ever, then a mark, a piece of work, a mark, and so on."""
    work = [f"{command}\necho '{mark}'" for command, mark in zip(WORK.values(), MARKS[1:], strict=True)]
    started = debian.INIT.partition("if [")[0]
    lines = [started, f"echo '{MARKS[0]}'", *work, "poweroff -f"]
    return "\n".join(lines) + "\n"


def initrd(guest: FetchedGuest, folder: Path) -> Path:
    """The guest's initramfs with the other init: of two archives, one behind the other, the later file counts."""
    path = folder / "initrd.gz"
    path.write_bytes(guest.initrd.read_bytes() + cpio.compressed(cpio.archive([cpio.program("init", init().encode())])))
    return path


def seconds(result: Run) -> list[float]:
    """How long each piece of work took."""
    return [after - before for before, after in pairwise(result.marks[mark] for mark in MARKS)]


def measure(guest: FetchedGuest, repeat: int, scratch: Path) -> dict[str, list[float]]:
    """Seconds of each piece of work, the fastest of the repeats, by who did it."""
    image = initrd(guest, scratch)
    arch = guest.record_args[guest.record_args.index("--arch") + 1]
    machine = ["--memory", "256M", "--kernel", str(guest.kernel), "--initrd", str(image), "--append", guest.append]
    found: dict[str, list[list[float]]] = {"QEMU, recording": [], "jitrr, cold": [], "jitrr, warm": []}
    for number in range(repeat):
        boot = ["-kernel", str(guest.kernel), "-initrd", str(image), "-append", guest.append]
        recording = ["-icount", f"shift=5,rr=record,rrfile={scratch}/qemu.rr"]
        found["QEMU, recording"].append(seconds(run([*qemu(arch), *boot, *recording], MARKS)))
        for name in ("jitrr, cold", "jitrr, warm"):
            output = scratch / f"{name[7:]}{number}.jrr"
            environment = {"JITRR_CACHE_DIR": str(scratch / f"cache{number}")}
            command = jitrr("record", "--arch", arch, *machine, "-o", str(output))
            found[name].append(seconds(run(command, MARKS, environment=environment)))
    return {name: [min(each) for each in zip(*runs, strict=True)] for name, runs in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--guest", default="debian-x86_64")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jitrr-bench-", ignore_cleanup_errors=True) as folder:
        measured = measure(fetch(options.guest), options.repeat, Path(folder))
    if options.json:
        print(json.dumps({"guest": options.guest, "work": list(WORK), "seconds": measured}))
        return
    rows = [(f"{options.guest}: seconds (of QEMU's; at most {LIMIT})", *WORK)]
    baseline = measured["QEMU, recording"]
    for name, each in measured.items():
        ratios = [f"{mine:.2f} ({mine / theirs:.2f}x)" for mine, theirs in zip(each, baseline, strict=True)]
        rows.append((name, *ratios))
    print(table(rows))


if __name__ == "__main__":
    main()
