"""Hot integer loops in the guest, recorded by QEMU and by jitrr: instructions per second, and the ratio.

    python bench/loop.py [--arch x86_64] [--rounds 300000] [--repeat 3] [--json]

The guest (loop.S, loop_arm.S) is assembled with binutils. Timed is what lies between the letters that it prints before
and behind each loop; jitrr's translation of the loop is inside.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from itertools import pairwise
from pathlib import Path

from measure import jitrr, qemu, run, table

#: Source, assembler and linker of the guest.
PC = "loop.S", ["as", "--32"], ["ld", "-m", "elf_i386", "-Ttext", "0x100000"]
TOOLS = {
    "x86_64": PC,
    "i386": PC,
    "arm": ("loop_arm.S", ["arm-linux-gnueabihf-as"], ["arm-linux-gnueabihf-ld", "-Ttext", "0x40010000"]),
}
LETTERS = ["A", "B", "C", "D"]
LOOPS = ["registers", "memory", "branches"]
BASELINE = "QEMU, recording"


def assemble(arch: str, rounds: int, folder: Path) -> Path:
    """The guest as an ELF32 image, built in ``folder``."""
    source, assembler, linker = TOOLS[arch]
    module, image = folder / "loop.o", folder / "loop.elf"
    path = Path(__file__).parent / source
    subprocess.run([*assembler, "--defsym", f"ROUNDS={rounds}", "-o", module, path], check=True)
    subprocess.run([*linker, "-o", image, module], check=True)
    return image


def commands(arch: str, image: Path, scratch: Path, attempt: int) -> dict[str, list[str]]:
    """What is compared, by name."""
    plain = [*qemu(arch, 64), "-kernel", str(image)]
    recording = f"shift=5,rr=record,rrfile={scratch}/{attempt}.rr"
    ours = jitrr("record", "--arch", arch, "--memory", "64M", "--kernel", str(image), "-o", f"{scratch}/{attempt}.jrr")
    return {"QEMU": plain, BASELINE: [*plain, "-icount", recording], "jitrr, recording": ours}


def measure(arch: str, rounds: int, repeat: int) -> dict[str, list[float]]:
    """Seconds in each of LOOPS by name, the fastest of the repeats; everyone must have computed the same."""
    best: dict[str, list[float]] = {}
    results = set()
    with tempfile.TemporaryDirectory(prefix="jitrr-bench-") as folder:
        scratch = Path(folder)
        image = assemble(arch, rounds, scratch)
        for attempt in range(repeat):
            for name, command in commands(arch, image, scratch, attempt).items():
                result = run(command, LETTERS)
                results.add(result.console)
                times = [result.marks[letter] for letter in LETTERS]
                seconds = [after - before for before, after in pairwise(times)]
                best[name] = [min(pair) for pair in zip(seconds, best.get(name, seconds), strict=True)]
    if len(results) != 1:
        raise SystemExit(f"the machines computed different results: {sorted(results)}")
    return best


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", choices=list(TOOLS), default="x86_64")
    parser.add_argument("--rounds", type=int, default=300_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    seconds = measure(options.arch, options.rounds, options.repeat)
    if options.json:
        print(json.dumps({"arch": options.arch, "rounds": options.rounds, "loops": LOOPS, "seconds": seconds}))
        return
    rows = [(f"{options.arch}: seconds (times QEMU's recording speed)", *LOOPS)]
    for name, each in seconds.items():
        speed = [reference / mine for reference, mine in zip(seconds[BASELINE], each, strict=True)]
        rows.append((name, *(f"{mine:.2f} ({ratio:.2f}x)" for mine, ratio in zip(each, speed, strict=True))))
    print(table(rows))


if __name__ == "__main__":
    main()
