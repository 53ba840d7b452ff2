"""Replaying a recording: forward with every digest checked, and to any instruction by way of the nearest checkpoint."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from runtime.borders.console import ConsoleOutput
from runtime.borders.exchange import Exchange
from runtime.borders.replayer import Replayer
from runtime.machine_api import Stop, StopReason
from runtime.recording.digest import (
    PAGE,
    PageHashes,
    decode_state,
    differing,
    encode_state,
    machine_digest,
    row_names,
)
from runtime.recording.errors import Divergence, RecordingError
from runtime.recording.recording import Recording
from runtime.recording.shelf import Shelf
from runtime.timeline.build import Factory, build
from runtime.timeline.dense import DISTANCES, Kept, Place, nearest
from runtime.timeline.progress import Progress
from runtime.timeline.shelving import WORTH, Lead, shelve, unshelve
from runtime.timeline.watch import Interrupted, Watch

if TYPE_CHECKING:
    from runtime.borders.live import LiveBorder
    from runtime.timeline.prints import Prints


#: What a machine stops for that goes on as it was recorded.
_ON_THE_WAY = (StopReason.REACHED, StopReason.BREAKPOINT, StopReason.WATCHPOINT, StopReason.TURN)
#: Seconds of a long run after which a place is left, unless the recording has one there.
_EVERY = 0.3
#: Pages in which a place may differ from the checkpoint it is described by, before a nearer one is taken.
_FAR = 4096


class Replay:
    """A machine under replay, at instruction ``icount``. Divergence when it leaves the recorded course. ``dense``:
    leave temporary checkpoints on the way, for somebody who moves about (runtime.timeline.dense), and states for later
    sessions (runtime.timeline.shelving). ``shelf``: use those that earlier ones left, too. ``first``: where it will be
    sent first; what that takes is read from disk while the machine is built."""

    def __init__(self, recording: Recording, *, tier: str = "auto", console: ConsoleOutput | None = None,
                 verify: bool = True, watch: Watch | None = None, progress: Progress | None = None,
                 factory: Factory | None = None, dense: bool = False, shelf: bool = True,
                 first: int | None = None):  # fmt: skip
        self.recording, self._dense = recording, dense
        self._border = Replayer(recording.log.events, console)
        self._watch, self._progress = watch or Watch(), progress
        self._front = Exchange(self._border)
        config = recording.config(tier)
        self._hashes = PageHashes(config.pages)
        self._recorded = lru_cache(4)(self._load)
        if first is not None:
            self._read_ahead(first)
        self.machine = build(config, self._front, factory)
        self._border.on_poll = self._poll
        self._digests = recording.log.digests if verify else []
        self._digest_icounts = [digest.icount for digest in self._digests]
        #: The last icount whose digest was the recorded one.
        self.verified = 0
        self._kept = Kept(recording.pages)
        self._shelf, self._lead = Shelf(recording, shelf), Lead()
        self._base = recording.begin
        self._marked = (time.monotonic(), self.icount)
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
        """Where there are checkpoints, recorded, left by a replay or temporary, ascending."""
        return sorted({*self.recording.checkpoints.icounts, *self._shelf.icounts, *self._kept.icounts})

    def shared(self) -> set[int]:
        """Those of them that other processes have as well, when they :meth:`look`."""
        self._shelf.settle()
        return {*self.recording.checkpoints.icounts, *self._shelf.icounts}

    def look(self) -> None:
        """Find the states that other replays have left."""
        self._shelf.look()

    def seek(self, icount: int, afresh: bool = False) -> None:
        """Go to exactly ``icount``, by way of the nearest checkpoint at or before it unless the machine is nearer.
        ``afresh``: even if it is there already."""
        self.recording.check_within(icount)
        best = self._nearest(icount)
        if not best <= self.icount <= icount or self._border.failed or (afresh and self.icount == icount):
            self.verified = self._restore_before(icount)
            self._kept.thin(icount)
        if self._dense:
            for distance in DISTANCES:
                self._leave_place(icount - distance, distance)
        self.run_to(icount)

    def _nearest(self, icount: int) -> int:
        """Where the last place at or before ``icount`` is."""
        return max(self._on_disk(icount), nearest(self._kept.icounts, icount))

    def _on_disk(self, icount: int) -> int:
        """Where the last place at or before ``icount`` is that later sessions have."""
        return max(nearest(self.recording.checkpoints.icounts, icount), nearest(self._shelf.icounts, icount))

    def _restore_before(self, icount: int) -> int:
        """Put the machine into the last state to be had at or before ``icount``; returns where that is."""
        while True:
            best = self._nearest(icount)
            try:
                if (place := self._place(best)) is not None:
                    self._restore(place)
                    return best
            except (Divergence, RecordingError):
                if best not in self._shelf:
                    raise
                self._shelf.remove(best)  # perhaps another version of jitrr left it
                self._kept.drop(best)

    def _place(self, icount: int) -> Place | None:
        """The place at ``icount``; None, and there is none any more, if what an earlier session left is no good."""
        if icount in self._kept:
            return self._kept[icount]
        if icount not in self._shelf:
            return self._recorded(icount)
        shelved = self._shelf.take(icount)
        if shelved is None:
            return None
        place = unshelve(shelved, self._recorded(shelved.base), self.recording)
        if place is None:
            self._shelf.remove(icount)
            return None
        self._base = shelved.base
        self._kept.put(place, shelved.contents)
        return place

    def _leave_place(self, icount: int, distance: int) -> None:
        """On the way to a position ``distance`` behind ``icount``: go there and keep it, if it helps."""
        if self.icount < icount and icount - self._nearest(icount) > distance // 2:
            self.run_to(icount)
            self._leave()
            self._kept.thin(icount)

    def _leave(self) -> None:
        """Keep this state, also for later sessions if they would take long to come here."""
        self.keep()
        place = self._kept[self.icount]
        if place.seconds < WORTH:
            return
        shelved = shelve(place, self._base, self._kept, self.recording)
        if shelved is not None and self._shelf.put(shelved):
            self._lead.restart(self.icount, 0.0)

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
        machine, table, base = self.machine, self._table(), self._recorded(self._base).base
        pages = differing(table, base)
        if len(pages) > _FAR and (near := nearest(self.recording.checkpoints.icounts, self.icount)) != self._base:
            self._base, base = near, self._recorded(near).base
            pages = differing(table, base)
        place = Place(self.icount, machine.cpu_state(), encode_state(machine.device_state()), base,
                      self._border.position, pages, table[pages], machine.halted_at,
                      self._lead.seconds(self.icount, self._on_disk(self.icount)))  # fmt: skip
        self._kept.add(place, machine.ram)

    def return_to(self, icount: int) -> None:
        """Back to the temporary checkpoint at ``icount``."""
        self._restore(self._kept[icount])

    def forget(self) -> None:
        """Drop the temporary checkpoints."""
        self._kept.forget()

    @property
    def on_output(self) -> Callable[[int, str, bytes], None] | None:
        """Told of everything the guest shows: icount of the instruction that does it, channel, data."""
        return self._border.on_output

    @on_output.setter
    def on_output(self, listener: Callable[[int, str, bytes], None] | None) -> None:
        self._border.on_output = listener

    @cached_property
    def prints(self) -> Prints:
        """What the console printed where; asking moves the machine."""
        from runtime.timeline.prints import Prints

        return Prints(self)

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
        self._shelf.close()

    def _read_ahead(self, icount: int) -> None:
        """Begin to read the pages of the recorded checkpoint before ``icount``; a state on the shelf is mostly of the
        same."""
        near = nearest(self.recording.checkpoints.icounts, icount)
        if near >= self.recording.begin:
            table = self._recorded(near).base
            used = differing(table, self._hashes.table)
            self.recording.pages.read_ahead(row_names(table[used]))

    def _begin(self) -> None:
        """Be at the recorded beginning; a machine that begins otherwise (a piece of a recording, another version's
        loader) is put there."""
        first = self._recorded(self.recording.begin)
        if self._border.position != first.position or self.digest() != self._digest_of(first):
            self._restore(first)

    def _digest_of(self, place: Place) -> bytes:
        return machine_digest(place.cpu, place.devices, place.table())

    def _load(self, icount: int) -> Place:
        """The recorded checkpoint at ``icount``."""
        saved, table = self.recording.checkpoints.load(icount)
        if len(table) != len(self._hashes.table):
            raise RecordingError(f"the checkpoint at {icount} is of a machine with other memory")
        position, none = self._border.position_after(saved.events), np.empty(0, np.int64)
        return Place(icount, saved.cpu, saved.devices, table, position, none, table[none])

    def _restore(self, place: Place) -> None:
        machine, table, wanted = self.machine, self._table(), place.table()
        pages = differing(table, wanted)
        self._write_pages(pages, wanted)
        table[pages] = wanted[pages]
        self._kept.came_from(wanted)
        if place.icount not in self._kept:
            self._base = place.icount
        try:
            machine.restore_cpu(place.cpu, place.icount)
            machine.restore_devices(decode_state(place.devices))
        except (ValueError, KeyError) as error:
            what = f"{self.recording.path}: the checkpoint at {place.icount} is of another version of jitrr"
            raise RecordingError(f"{what} ({error})") from error
        self._border.position = place.position
        if machine.cpu_state() != place.cpu or encode_state(machine.device_state()) != place.devices:
            raise Divergence(place.icount, "the machine is not in the checkpoint's state after it was restored")
        machine.halted_at = place.halted_at
        self._lead.restart(place.icount, 0.0 if self._on_disk(place.icount) == place.icount else place.seconds)
        self._marked = (time.monotonic(), self.icount)

    def _write_pages(self, pages: np.ndarray, wanted: np.ndarray) -> None:
        """Give ``pages`` of RAM the contents that the page map ``wanted`` says."""
        ram, elsewhere = self.machine.ram, []
        for page, name in zip(pages.tolist(), row_names(wanted[pages]), strict=True):
            content = self._kept.page(name)
            if content is None:
                elsewhere.append((page, name))
            else:
                ram[page * PAGE : page * PAGE + PAGE] = content
        for page, stored in self.recording.pages.fetch(elsewhere):
            ram[page * PAGE : page * PAGE + PAGE] = stored
        self.machine.ram_replaced(pages)

    def _table(self) -> np.ndarray:
        self._hashes.update(self.machine.ram, self.machine.take_dirty_pages())
        return self._hashes.table

    def _advance(self, icount: int) -> None:
        """Run to exactly ``icount``, no digests."""
        while self.advance(icount).reason is not StopReason.REACHED:
            pass

    def advance(self, icount: int) -> Stop:
        """Run to exactly ``icount``, no digests, or to a breakpoint, a watchpoint or the turn that the machine stops
        at."""
        while True:
            begin = time.perf_counter()
            stop = self.machine.run_to(icount)
            self._lead.ran(time.perf_counter() - begin)
            if self._border.failed:
                raise self._border.failed
            if stop.reason is StopReason.INTERRUPTED:
                if reason := self._watch.reason():
                    raise Interrupted(f"{reason} at instruction {stop.icount}")
                self._mark(stop.icount)
            if stop.reason in _ON_THE_WAY:
                return stop
            if stop.icount >= icount:
                return Stop(StopReason.REACHED, stop.icount)
            if stop.reason in (StopReason.POWER_OFF, StopReason.CRASHED):
                how = f"the machine ended ({stop.reason.value}{': ' * bool(stop.message)}{stop.message})"
                raise Divergence(stop.icount, f"{how}; the recording went on to {icount}")

    def _poll(self, icount: int) -> bool:
        if self._progress:
            self._progress.update(icount)
        return self._watch.reason() is not None or (self._dense and time.monotonic() >= self._marked[0] + _EVERY)

    def _mark(self, icount: int) -> None:
        """In a long run: see that going back from here will not be one."""
        if self._dense and self._nearest(icount) <= self._marked[1]:
            self._leave()
            self._kept.thin(icount)
        self._marked = (time.monotonic(), icount)
