"""Where two recordings of the same machine part: by what is logged, then by replaying both, to the instruction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runtime.device import State
from runtime.recording.diff import LogDifference, compare_logs
from runtime.recording.digest import PAGE, differing, encode_state
from runtime.recording.errors import Divergence
from runtime.recording.recording import Recording
from runtime.timeline.build import Factory
from runtime.timeline.progress import Progress
from runtime.timeline.replay import Replay
from runtime.timeline.verify import last_agreement
from runtime.timeline.watch import Watch


@dataclass(frozen=True)
class Look:
    """What a person is shown of a processor: ``code``, its next instruction; ``registers`` by name: value, width in
    bits."""

    code: str
    registers: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Parting:
    """Where two recordings part. The states are the same at ``same`` (None: not even at the beginning) and not at
    ``differs`` (None: they never differ, only events or lengths do). ``code`` is the instruction between the two;
    ``registers`` (name, bits, two values), ``devices`` (names of fields), ``memory`` (offset in RAM, up to 8 bytes of
    each) and ``pages`` (how many) say what is not the same at ``differs``."""

    logs: LogDifference
    same: int | None
    differs: int | None = None
    code: str = ""
    registers: tuple[tuple[str, int, int, int], ...] = ()
    devices: tuple[str, ...] = ()
    memory: tuple[int, bytes, bytes] | None = None
    pages: int = 0


def look_at(machine: Any) -> Look:
    """The processors of a real machine: the next instruction is that of the one that runs it."""
    from runtime.debug.disassemble import disassemble
    from runtime.debug.target import MemoryFault, make_target

    target = make_target(machine)
    if machine.halted:
        code = "the processor is halted"
    else:
        with target.of(machine.runs_next):
            try:
                code = f"{target.pc:#x}: {disassemble(target, target.pc)[0][2]}"
            except MemoryFault:
                code = f"{target.pc:#x}: no memory"
    named = [register for register in target.registers if register.name != "icount"]
    registers: dict[str, tuple[int, int]] = {}
    for number in range(machine.processors):
        with target.of(number):
            prefix = f"cpu{number}." if machine.processors > 1 else ""
            registers |= {f"{prefix}{r.name}": (target.read_register(r.name), r.bits) for r in named}
    return Look(code, registers)


def diff(a: Recording, b: Recording, *, tier: str = "auto", watch: Watch | None = None,
         progress: Progress | None = None, factory: Factory | None = None,
         look: Callable[[Any], Look] = look_at) -> Parting | None:  # fmt: skip
    """Where two recordings of the same machine part, or None if they are the same from where both begin to the end of
    both. RecordingError when they are of different machines; Divergence when one does not replay."""
    logs = compare_logs(a, b)
    runs: list[Replay] = []
    try:
        for recording in (a, b):
            runs.append(Replay(recording, tier=tier, verify=False, watch=watch, progress=progress, factory=factory))
        return _part(runs, logs, look)
    finally:
        for run in runs:
            run.close()


def _part(runs: list[Replay], logs: LogDifference, look: Callable[[Any], Look]) -> Parting | None:
    good = _known_good(runs, logs)
    if good is None:
        return _described(runs, logs, None, logs.begin, look)
    bracket = _bracket(runs, logs, good)
    same = last_agreement(runs, *bracket) if bracket is not None else None
    if same is not None:
        return _described(runs, logs, same, same + 1, look)
    if logs.bad is not None:
        raise Divergence(logs.bad, "both replay to the same state here, but the recorded digests are not the same")
    if logs.events is None and runs[0].recording.icount == runs[1].recording.icount:
        return None
    return Parting(logs, logs.end)


def _known_good(runs: list[Replay], logs: LogDifference) -> int | None:
    """An icount at which both states are the same, the later the better; None: they differ where both begin."""
    limit = logs.end if logs.event_icount is None else logs.event_icount
    for icount in (limit, logs.good, logs.begin):
        before = icount is not None and icount <= limit and (logs.bad is None or icount < logs.bad)
        if icount is not None and before and _same_at(runs, icount):
            return icount
    return None


def _bracket(runs: list[Replay], logs: LogDifference, good: int) -> tuple[int, int] | None:
    """Two icounts from ``good`` on: at the first the states are the same, at the second they are not, or may not be; or
    None."""
    if logs.events is None:
        return None if logs.bad is None else (good, logs.bad)
    reach = 1
    while good < logs.end:
        icount = min(good + reach, logs.end)
        for run in runs:
            run.run_to(icount)
        if runs[0].digest() != runs[1].digest():
            return good, icount
        good, reach = icount, reach * 4
    return None


def _same_at(runs: list[Replay], icount: int) -> bool:
    for run in runs:
        run.seek(icount)
    return runs[0].digest() == runs[1].digest()


def _described(runs: list[Replay], logs: LogDifference, same: int | None, differs: int,
               look: Callable[[Any], Look]) -> Parting:  # fmt: skip
    code = ""
    if same is not None:
        for run in runs:
            run.seek(same)
        code = look(runs[0].machine).code
    for run in runs:
        run.seek(differs)
    first, second = (look(run.machine).registers for run in runs)
    registers = tuple(
        (name, bits, value, second[name][0]) for name, (value, bits) in first.items() if second[name][0] != value
    )
    devices = tuple(_fields(*(run.machine.device_state() for run in runs)))
    pages = differing(*(run.page_map() for run in runs))
    memory = _first_bytes(runs, int(pages[0])) if len(pages) else None
    return Parting(logs, same, differs, code, registers, devices, memory, len(pages))


def _fields(a: State, b: State) -> list[str]:
    """Names of devices and their fields that are not the same."""
    names = []
    for device in sorted(a.keys() | b.keys()):
        first, second = a.get(device), b.get(device)
        if isinstance(first, dict) and isinstance(second, dict):
            fields = sorted(first.keys() | second.keys(), key=str)
            names += [f"{device}.{name}" for name in fields if _differ(first.get(name), second.get(name))]
        elif _differ(first, second):
            names.append(device)
    return names


def _differ(a: Any, b: Any) -> bool:
    return encode_state({"": a}) != encode_state({"": b})


def _first_bytes(runs: list[Replay], page: int) -> tuple[int, bytes, bytes]:
    """Where a page first differs, and what is there in each."""
    first, second = (bytes(run.machine.ram[page * PAGE : (page + 1) * PAGE]) for run in runs)
    at = next(at for at in range(PAGE) if first[at] != second[at])
    return page * PAGE + at, first[at : at + 8], second[at : at + 8]
