"""The replaying border: everything comes from the log, and everything asked for is checked against it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from runtime.border import Sink
from runtime.borders.console import ConsoleOutput
from runtime.machine_api import FOREVER
from runtime.recording.errors import Divergence
from runtime.recording.log import CLOCK, ENTROPY, INPUT, Event


class Replayer:
    """Answers a machine from ``events``. The first deviation is kept in ``failed`` and raised again at every turn of
    the machine's loop, in case the code between swallowed it."""

    def __init__(self, events: list[Event], console: ConsoleOutput | None = None):
        self.read_icount: Callable[[], int] = lambda: 0
        self.on_schedule: Callable[[int], None] = lambda icount: None
        #: Asked at every poll; True ends the run_to.
        self.on_poll: Callable[[int], bool] = lambda icount: False
        #: Told of everything the guest shows: icount (of the instructions before the one that does it), channel, data.
        self.on_output: Callable[[int, str, bytes], None] | None = None
        self.failed: Divergence | None = None
        self._console = console or ConsoleOutput(None)
        self._sinks: dict[str, Sink] = {}
        self._reads = [(number, event) for number, event in enumerate(events) if not event.asynchronous]
        self._inputs = [(number, event) for number, event in enumerate(events) if event.asynchronous]
        self._next_read = self._next_input = 0

    @property
    def position(self) -> tuple[int, int]:
        """How many reads were answered, how many inputs delivered."""
        return self._next_read, self._next_input

    @position.setter
    def position(self, position: tuple[int, int]) -> None:
        self._next_read, self._next_input = position
        self.failed = None

    def position_after(self, events: int) -> tuple[int, int]:
        """The position after the first ``events`` events of the log."""
        return bisect_left(self._reads, events, key=_number), bisect_left(self._inputs, events, key=_number)

    def wall_clock_ns(self) -> int:
        """What the host's clock said."""
        return int.from_bytes(self._answer(CLOCK, 8), "little")

    def entropy(self, size: int) -> bytes:
        """What the host's random source said."""
        return self._answer(ENTROPY, size)

    def connect(self, channel: str, sink: Sink) -> None:
        """Logged input of ``channel`` goes to ``sink``."""
        self._sinks[channel] = sink

    def output(self, channel: str, data: bytes) -> None:
        """Show the console again."""
        if self.on_output is not None:
            self.on_output(self.read_icount(), channel, data)
        if channel == "serial0":
            self._console.write(data)

    def next_event(self) -> int | None:
        """The next logged input."""
        if self._next_input == len(self._inputs):
            return None
        return self._inputs[self._next_input][1].icount

    def deliver_due(self, icount: int) -> None:
        """Logged input of this icount; Divergence if an earlier one was passed by."""
        if self.failed:
            raise self.failed
        while self._next_input < len(self._inputs):
            event = self._inputs[self._next_input][1]
            if event.icount > icount:
                return
            channel = event.kind.removeprefix(INPUT)
            if event.icount < icount:
                raise self._fail(event.icount, f"{event.kind} is due, but the machine is already at {icount}")
            if channel not in self._sinks:
                raise self._fail(icount, f"no device takes input of {channel}")
            self._next_input += 1
            self._sinks[channel](event.data)

    def poll(self, icount: int) -> bool:
        """Nothing is collected in a replay; whoever drives it may end it."""
        if self.failed:
            raise self.failed
        self._console.flush()
        return self.on_poll(icount)

    def idle(self, icount: int, deadline: int | None) -> int:
        """Warp to the deadline or the next logged input; with neither, as far as the replay is to go."""
        known = [at for at in (deadline, self.next_event()) if at is not None]
        return max(icount + 1, min(known)) if known else FOREVER

    def close(self) -> None:
        """Show what is left."""
        self._console.close()

    def _answer(self, kind: str, size: int) -> bytes:
        icount = self.read_icount()
        if self.failed:
            raise self.failed
        if self._next_read == len(self._reads):
            raise self._fail(icount, f"the guest reads {kind}, the recording has no more of it")
        event = self._reads[self._next_read][1]
        if (event.icount, event.kind, len(event.data)) != (icount, kind, size):
            found = f"{event.kind} of {len(event.data)} bytes at {event.icount}"
            raise self._fail(icount, f"the guest reads {kind} of {size} bytes, the recording has {found}")
        self._next_read += 1
        return event.data

    def _fail(self, icount: int, message: str) -> Divergence:
        self.failed = Divergence(icount, message)
        return self.failed


def _number(entry: tuple[int, Event]) -> int:
    return entry[0]
