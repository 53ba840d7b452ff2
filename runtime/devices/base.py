"""What device models share: declared state, and the shapes of register windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from runtime.device import State

ReadByte = Callable[[int], int]
WriteByte = Callable[[int, int], None]
Read = Callable[[int, int], int]
Write = Callable[[int, int, int], None]


def _copy(value: Any) -> Any:
    if isinstance(value, list):
        return list(value)
    return bytes(value) if isinstance(value, bytearray) else value


class Stateful:
    """A device whose whole state is the attributes named in ``STATE`` (plain values, lists of them, bytearrays)."""

    STATE: ClassVar[tuple[str, ...]] = ()

    def save(self) -> State:
        """Copies of the declared attributes, by name."""
        return {name: _copy(getattr(self, name)) for name in self.STATE}

    def restore(self, state: State) -> None:
        """The inverse of :meth:`save`; KeyError when the state is of another kind of device."""
        for name in self.STATE:
            value = state[name]
            is_buffer = isinstance(getattr(self, name), bytearray)
            setattr(self, name, bytearray(value) if is_buffer else _copy(value))


class Window:
    """A range of registers given by two functions: ``read(offset, size)`` and ``write(offset, size, value)``."""

    __slots__ = ("read", "write")

    def __init__(self, read: Read, write: Write):
        self.read, self.write = read, write


class ByteWindow:
    """Byte-wide registers: a wider access is that many byte accesses, lowest address first, as on the ISA bus."""

    __slots__ = ("_read", "_write")

    def __init__(self, read: ReadByte, write: WriteByte):
        self._read, self._write = read, write

    def read(self, offset: int, size: int) -> int:
        """Little-endian value of ``size`` byte registers."""
        if size == 1:
            return self._read(offset)
        value = 0
        for at in range(size):
            value |= self._read(offset + at) << (8 * at)
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        """Write ``size`` byte registers."""
        if size == 1:
            self._write(offset, value & 0xFF)
            return
        for at in range(size):
            self._write(offset + at, (value >> (8 * at)) & 0xFF)
