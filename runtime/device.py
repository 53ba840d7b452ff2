"""What a device is: registers reached through the bus, state that can be saved, and nothing else."""

from __future__ import annotations

from typing import Any, Protocol

#: Plain values only (int, bool, str, bytes, list, dict with str keys), so that a state has one canonical encoding.
State = dict[str, Any]


class Device(Protocol):
    """A device model. It gets its clock, interrupt lines and border injected and has no other way out."""

    #: Unique within a machine; names the device in checkpoints and digests.
    name: str

    def reset(self) -> None:
        """Power-on state."""

    def save(self) -> State:
        """Everything the guest could ever observe of this device (timers are saved by the clock)."""

    def restore(self, state: State) -> None:
        """The inverse of :meth:`save`."""


class Registers(Protocol):
    """A range of addresses on a bus."""

    def read(self, offset: int, size: int) -> int:
        """The little-endian value of ``size`` (1, 2, 4, 8) bytes at ``offset`` of the range."""

    def write(self, offset: int, size: int, value: int) -> None:
        """Store ``size`` bytes."""
