"""Verifying a recording: all of it replayed, every digest and every checkpoint checked, a divergence narrowed down."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from threading import Event

from runtime.recording.digest import machine_digest
from runtime.recording.errors import Divergence
from runtime.recording.recording import Recording
from runtime.timeline.build import Factory
from runtime.timeline.progress import Progress
from runtime.timeline.replay import Replay
from runtime.timeline.watch import Interrupted, Watch


@dataclass(frozen=True)
class Verdict:
    """``good``, or the message of the first divergence: noticed at ``icount``, the state was right at ``verified``."""

    good: bool
    icount: int
    verified: int = 0
    message: str = ""


def verify(recording: Recording, *, tier: str = "auto", jobs: int = 1, watch: Watch | None = None,
           progress: Progress | None = None, factory: Factory | None = None) -> Verdict:  # fmt: skip
    """Replay everything and check every digest; RecordingError if a file is damaged."""
    ended = Event()
    with ThreadPoolExecutor(1, "verify") as thread:
        check = thread.submit(check_checkpoints, recording, ended.is_set)
        try:
            verdict = _replay_all(recording, tier, jobs, _Checked(watch, check), progress, factory)
            check.result()
        except Interrupted:
            if check.done():
                check.result()
            raise
        finally:
            ended.set()
    return verdict


class _Checked(Watch):
    """Ends a replay when the checkpoints have turned out to be damaged, besides the reasons of the program."""

    def __init__(self, program: Watch | None, check: Future[None]):
        super().__init__()
        self._program, self._check = program, check

    def reason(self) -> str | None:
        """Signals and time-outs go first."""
        if self._program is not None and (reason := self._program.reason()):
            return reason
        return "damaged" if self._check.done() and self._check.exception() else None


def _replay_all(recording: Recording, tier: str, jobs: int, watch: Watch, progress: Progress | None,
                factory: Factory | None) -> Verdict:  # fmt: skip
    bounds = _segments(recording, jobs)
    if len(bounds) == 2:
        return _verify_segment(recording, bounds[0], bounds[1], tier, watch, progress, factory)
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        verdicts = [
            pool.submit(_verify_path, recording.path, begin, end, tier, factory)
            for begin, end in pairwise(bounds)
        ]
        results = [verdict.result() for verdict in verdicts]
    return next((verdict for verdict in results if not verdict.good), results[-1])


def narrow(recording: Recording, good: int, bad: int, tiers: tuple[str, str], *, watch: Watch | None = None,
           factories: tuple[Factory | None, Factory | None] = (None, None)) -> str:  # fmt: skip
    """Replay the interval on two machines and find the instruction after which they first differ, one line of text.
    Both are right at ``good``; at ``bad`` at least one is wrong."""
    runs = [
        Replay(recording, tier=tier, verify=False, watch=watch, factory=factory, shelf=False)
        for tier, factory in zip(tiers, factories, strict=True)
    ]
    try:
        return _narrow(runs, good, bad, tiers)
    finally:
        for run in runs:
            run.close()


def _narrow(runs: list[Replay], good: int, bad: int, tiers: tuple[str, str]) -> str:
    same = last_agreement(runs, good, bad)
    if same is None:
        return f"{' and '.join(tiers)} agree with each other up to {bad}: the recorded run was another one"
    return f"{' and '.join(tiers)} first differ after instruction {same} (the state at {same + 1} is not the same)"


def last_agreement(runs: list[Replay], good: int, bad: int) -> int | None:
    """The last icount before two replays, in the same state at ``good``, are in different ones; None if they are not
    even at ``bad``."""
    for run in runs:
        run.seek(good)
        run.keep()
    first, second = _states(runs, good, bad)
    if first == second:
        return None
    while bad - good > 1:
        middle = (good + bad) // 2
        first, second = _states(runs, good, middle)
        if first == second:
            good = middle
            for run in runs:
                run.forget()
                run.keep()
        else:
            bad = middle
    return good


def check_checkpoints(recording: Recording, ended: Callable[[], bool] = lambda: False) -> None:
    """Every checkpoint describes the state that the log has a digest of, or Divergence; its pages are there, or
    RecordingError. Nobody wants to know any more when ``ended``."""
    names: set[bytes] = set()
    logged = {digest.icount: digest.digest for digest in recording.log.digests}
    for icount in recording.checkpoints.icounts:
        saved, table = recording.checkpoints.load(icount)
        digest = machine_digest(saved.cpu, saved.devices, table)
        if digest != saved.digest or logged.get(icount, digest) != digest:
            raise Divergence(icount, "the checkpoint here is not of the recorded state")
        names.update(saved.hashes[at : at + 16] for at in range(0, len(saved.hashes), 16))
    for _ in recording.pages.fetch(enumerate(sorted(names))):  # reading a page checks it
        if ended():
            return


def _verify_path(path: Path, begin: int, end: int, tier: str, factory: Factory | None) -> Verdict:
    return _verify_segment(Recording(path), begin, end, tier, None, None, factory)


def _verify_segment(recording: Recording, begin: int, end: int, tier: str, watch: Watch | None,
                    progress: Progress | None, factory: Factory | None) -> Verdict:  # fmt: skip
    replay = Replay(recording, tier=tier, watch=watch, progress=progress, factory=factory, shelf=False)
    try:
        replay.seek(begin)
        if end == recording.icount:
            replay.finish()
        else:
            replay.run_to(end)
    except Divergence as divergence:
        replay.close()
        found = _narrowed(recording, replay.verified, divergence.icount, tier, factory)
        return Verdict(False, divergence.icount, replay.verified, f"{divergence}; {found}")
    replay.close()
    return Verdict(True, end, replay.verified)


def _narrowed(recording: Recording, good: int, bad: int, tier: str, factory: Factory | None) -> str:
    """What two tiers say about the interval; the state after the instruction at ``bad`` is certainly wrong."""
    other = "interp" if tier != "interp" else "jit"
    return narrow(recording, good, min(bad + 1, recording.icount), (tier, other), factories=(factory, factory))


def _states(runs: list[Replay], begin: int, icount: int) -> list[bytes | str]:
    return [_state(run, begin, icount) for run in runs]


def _state(run: Replay, begin: int, icount: int) -> bytes | str:
    try:
        run.return_to(begin)
        run.run_to(icount)
        return run.digest()
    except Divergence as divergence:
        return str(divergence)


def _segments(recording: Recording, jobs: int) -> list[int]:
    """Icounts that cut the recording into ``jobs`` parts with about the same number of checkpoints."""
    icounts = recording.checkpoints.icounts
    parts = min(jobs, len(icounts))
    cuts = {icounts[len(icounts) * part // parts] for part in range(parts)}
    return [*sorted(cuts - {recording.icount}), recording.icount]
