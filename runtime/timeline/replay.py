"""Replaying a recording: forward with every digest checked, and to any instruction by way of the nearest checkpoint."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from runtime.borders.console import ConsoleOutput
from runtime.borders.exchange import Exchange
from runtime.borders.replayer import Replayer
from runtime.device import State
from runtime.machine_api import Stop, StopReason
from runtime.recording.digest import PAGE, PageHashes, decode_state, differing, encode_state, machine_digest
from runtime.recording.errors import Divergence, RecordingError
from runtime.recording.recording import Recording
from runtime.timeline.build import Factory, build
from runtime.timeline.progress import Progress
from runtime.timeline.watch import Interrupted, Watch

if TYPE_CHECKING:
    from runtime.borders.live import LiveBorder


@dataclass(frozen=True)
class _Place:
    """A state to come back to: recorded, or kept in memory."""

    icount: int
    cpu: bytes
    devices: State
    table: np.ndarray
    position: tuple[int, int]


class Replay:
    """A machine under replay, at instruction ``icount``. Divergence when it leaves the recorded course."""

    def __init__(self, recording: Recording, *, tier: str = "auto", console: ConsoleOutput | None = None,
                 verify: bool = True, watch: Watch | None = None, progress: Progress | None = None,
                 factory: Factory | None = None):  # fmt: skip
        self.recording = recording
        self._border = Replayer(recording.log.events, console)
        self._watch, self._progress = watch or Watch(), progress
        self._front = Exchange(self._border)
        self.machine = build(recording.config(tier), self._front, factory)
        self._border.on_poll = self._poll
        self._digests = recording.log.digests if verify else []
        self._digest_icounts = [digest.icount for digest in self._digests]
        #: The last icount whose digest was the recorded one.
        self.verified = 0
        self._kept: dict[int, _Place] = {}
        self._kept_pages: dict[bytes, bytes] = {}
        self._hashes = PageHashes(len(self.machine.ram) // PAGE)
        #: A page map whose pages are all to be had: recorded, or kept.
        self._came_from = PageHashes(len(self._hashes.table)).table
        self._begin()

    @property
    def icount(self) -> int:
        """Where the machine is."""
        return self.machine.icount

    def run_to(self, icount: int) -> None:
        """Run forward to exactly ``icount``; the digests on the way are checked."""
        self.recording.check_within(icount)
        while (at := bisect_right(self._digest_icounts, self.icount)) < len(self._digests):
            expected = self._digests[at]
            if expected.icount > icount:
                break
            self._advance(expected.icount)
            if self.digest() != expected.digest:
                interval = f"after {self.verified} and up to {expected.icount}"
                raise Divergence(expected.icount, f"the state is not the recorded one; it was left {interval}")
            self.verified = expected.icount
        self._advance(icount)

    def places(self) -> list[int]:
        """Where there are checkpoints, recorded or temporary, ascending."""
        return sorted({*self.recording.checkpoints.icounts, *self._kept})

    def seek(self, icount: int, afresh: bool = False) -> None:
        """Go to exactly ``icount``, by way of the nearest checkpoint at or before it unless the machine is nearer.
        ``afresh``: even if it is there already."""
        self.recording.check_within(icount)
        recorded = self.recording.checkpoints.icounts
        best = max([recorded[bisect_right(recorded, icount) - 1], *(at for at in self._kept if at <= icount)])
        if not best <= self.icount <= icount or self._border.failed or (afresh and self.icount == icount):
            self._restore(self._kept.get(best) or self._recorded(best))
            self.verified = best
        self.run_to(icount)

    def finish(self) -> None:
        """Run to the end of the recording; a crash of the guest has to happen again."""
        end = self.recording.icount
        self.run_to(end)
        if self.recording.reason == StopReason.CRASHED.value:
            stop = self.machine.run_to(end + 1)
            if stop.reason is not StopReason.CRASHED:
                raise Divergence(end, "the guest crashed here when it was recorded, and does not now")

    def digest(self) -> bytes:
        """The identity of the machine's state, 16 bytes."""
        return machine_digest(self.machine.cpu_state(), encode_state(self.machine.device_state()), self._table())

    def keep(self) -> None:
        """Make this state a temporary checkpoint, in memory."""
        machine, table = self.machine, self._table().copy()
        for page in differing(table, self._came_from).tolist():
            name = table[page].tobytes()
            if name not in self._kept_pages and name not in self.recording.pages:
                self._kept_pages[name] = bytes(machine.ram[page * PAGE : page * PAGE + PAGE])
        self._came_from = table
        devices = decode_state(encode_state(machine.device_state()))
        self._kept[self.icount] = _Place(self.icount, machine.cpu_state(), devices, table, self._border.position)

    def return_to(self, icount: int) -> None:
        """Back to the temporary checkpoint at ``icount``."""
        self._restore(self._kept[icount])

    def forget(self) -> None:
        """Drop the temporary checkpoints."""
        self._kept.clear()
        self._kept_pages.clear()
        self._came_from = PageHashes(len(self._hashes.table)).table

    @property
    def events(self) -> int:
        """How many events of the log came before this state."""
        return sum(self._border.position)

    def page_map(self) -> np.ndarray:
        """The hashes of all pages now, (npages, 2) uint64."""
        return self._table().copy()

    def go_live(self, border: LiveBorder) -> PageHashes:
        """The machine leaves the recording: from here on it is behind ``border``, and not this replay's to run. Returns
        the hashes of its pages, for whoever goes on with it."""
        self._table()
        self._front.exchange(border)
        return self._hashes

    def close(self) -> None:
        """Show what is left of the console, end the machine."""
        self._border.close()
        self.machine.close()

    def _begin(self) -> None:
        """Be at the recorded beginning; a machine that begins otherwise (a piece of a recording, another version's
        loader) is put there."""
        first = self._recorded(self.recording.begin)
        if self._border.position != first.position or self.digest() != self._digest_of(first):
            self._restore(first)

    def _digest_of(self, place: _Place) -> bytes:
        return machine_digest(place.cpu, encode_state(place.devices), place.table)

    def _recorded(self, icount: int) -> _Place:
        saved, table = self.recording.checkpoints.load(icount)
        if len(table) != len(self._hashes.table):
            raise RecordingError(f"the checkpoint at {icount} is of a machine with other memory")
        position = self._border.position_after(saved.events)
        return _Place(icount, saved.cpu, decode_state(saved.devices), table, position)

    def _restore(self, place: _Place) -> None:
        machine, table = self.machine, self._table()
        pages = differing(table, place.table)
        ram = machine.ram
        missing = []
        for page in pages.tolist():
            name = place.table[page].tobytes()
            if name in self._kept_pages:
                ram[page * PAGE : page * PAGE + PAGE] = self._kept_pages[name]
            else:
                missing.append((page, name))
        for page, content in self.recording.pages.fetch(missing):
            ram[page * PAGE : page * PAGE + PAGE] = content
        machine.ram_replaced(pages)
        table[pages] = place.table[pages]
        self._came_from = place.table
        try:
            machine.restore_cpu(place.cpu, place.icount)
            machine.restore_devices(place.devices)
        except (ValueError, KeyError) as error:
            what = f"{self.recording.path}: the checkpoint at {place.icount} is of another version of jitrr"
            raise RecordingError(f"{what} ({error})") from error
        self._border.position = place.position
        if machine.cpu_state() != place.cpu or encode_state(machine.device_state()) != encode_state(place.devices):
            raise Divergence(place.icount, "the machine is not in the checkpoint's state after it was restored")

    def _table(self) -> np.ndarray:
        self._hashes.update(self.machine.ram, self.machine.take_dirty_pages())
        return self._hashes.table

    def _advance(self, icount: int) -> None:
        """Run to exactly ``icount``, no digests."""
        while self.advance(icount).reason is not StopReason.REACHED:
            pass

    def advance(self, icount: int) -> Stop:
        """Run to exactly ``icount``, no digests, or to a breakpoint or watchpoint of the machine's."""
        while True:
            stop = self.machine.run_to(icount)
            if self._border.failed:
                raise self._border.failed
            if stop.reason is StopReason.INTERRUPTED and (reason := self._watch.reason()):
                raise Interrupted(f"{reason} at instruction {stop.icount}")
            if stop.reason in (StopReason.REACHED, StopReason.BREAKPOINT, StopReason.WATCHPOINT):
                return stop
            if stop.icount >= icount:
                return Stop(StopReason.REACHED, stop.icount)
            if stop.reason in (StopReason.POWER_OFF, StopReason.CRASHED):
                how = f"the machine ended ({stop.reason.value}{': ' * bool(stop.message)}{stop.message})"
                raise Divergence(stop.icount, f"{how}; the recording went on to {icount}")

    def _poll(self, icount: int) -> bool:
        if self._progress:
            self._progress.update(icount)
        return self._watch.reason() is not None
