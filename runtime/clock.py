"""Virtual time: the instruction count, and the timers devices set on it.

``icount`` is the machine's only time base: ``virtual_ns = icount << shift``. No device ever sees another clock.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

NS = 1_000_000_000


class Timer:
    """One deadline on the virtual clock. Ties between timers fire in order of their creation."""

    __slots__ = ("clock", "deadline", "fire", "name", "order")

    def __init__(self, clock: VirtualClock, name: str, order: int, fire: Callable[[], None]):
        self.clock, self.name, self.order, self.fire = clock, name, order, fire
        self.deadline: int | None = None

    def arm(self, icount: int) -> None:
        """Fire once when the instruction count is ``icount`` (or at once after this instruction if that has passed)."""
        self.deadline = icount
        self.clock.push(self)

    def arm_ns(self, ns: int) -> None:
        """Fire once at virtual time ``ns``, at the first instruction count that is not before it."""
        self.arm(self.clock.icount_at(ns))

    def cancel(self) -> None:
        """Forget the deadline, if any."""
        self.deadline = None


class VirtualClock:
    """Icount time with timers. ``read_icount`` is installed by the machine and is exact at every device access."""

    def __init__(self, shift: int = 3):
        self.shift = shift
        self.read_icount: Callable[[], int] = lambda: 0
        #: Called with the new earliest deadline whenever a timer is armed; the machine shortens the running budget.
        self.on_arm: Callable[[int], None] = lambda icount: None
        self._timers: list[Timer] = []
        self._heap: list[tuple[int, int, Timer]] = []

    def icount(self) -> int:
        """Instructions retired so far, exact."""
        return self.read_icount()

    def now_ns(self) -> int:
        """Virtual nanoseconds since the machine was switched on."""
        return self.read_icount() << self.shift

    def icount_at(self, ns: int) -> int:
        """The first instruction count whose virtual time is not before ``ns``."""
        return -(-ns >> self.shift)

    def timer(self, name: str, fire: Callable[[], None]) -> Timer:
        """A new, unarmed timer. A device creates its timers in its constructor, so that their order is fixed."""
        timer = Timer(self, name, len(self._timers), fire)
        self._timers.append(timer)
        return timer

    def push(self, timer: Timer) -> None:
        assert timer.deadline is not None
        heappush(self._heap, (timer.deadline, timer.order, timer))
        self.on_arm(timer.deadline)

    def next_deadline(self) -> int | None:
        """The earliest armed deadline (icount), or None."""
        heap = self._heap
        while heap and heap[0][2].deadline != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None

    def run_due(self) -> None:
        """Fire every timer whose deadline is not after now, earliest first."""
        now = self.read_icount()
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            timer = heappop(self._heap)[2]
            timer.deadline = None
            timer.fire()

    def save(self) -> dict[str, int]:
        """The armed deadlines by timer name."""
        return {t.name: t.deadline for t in self._timers if t.deadline is not None}

    def restore(self, state: dict[str, int]) -> None:
        """Arm exactly the timers of a saved state."""
        self._heap.clear()
        for timer in self._timers:
            timer.deadline = state.get(timer.name)
            if timer.deadline is not None:
                self.push(timer)
