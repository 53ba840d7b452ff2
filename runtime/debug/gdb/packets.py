"""Packets of the protocol (gdb manual, E.1): ``$data#sum``, acknowledged with ``+`` until both sides do without."""

from __future__ import annotations

from dataclasses import dataclass, field

#: The client wants the machine to stop. It comes outside packets.
INTERRUPT = b"\x03"
_ESCAPE = 0x7D
_SPECIAL = b"#$}*"
#: Longer than any packet that a client was told it may send: the connection carries something else.
LONGEST = 1 << 20


class ProtocolError(Exception):
    """What came is no packet."""


def checksum(data: bytes) -> bytes:
    """The sum of the bytes as two hexadecimal digits."""
    return b"%02x" % (sum(data) & 0xFF)


def frame(data: bytes) -> bytes:
    """A packet with this content, which is escaped already where it must be."""
    return b"$" + data + b"#" + checksum(data)


def escape(data: bytes) -> bytes:
    """Binary data as it may stand in a packet."""
    out = bytearray()
    for byte in data:
        out += bytes((_ESCAPE, byte ^ 0x20)) if byte in _SPECIAL else bytes((byte,))
    return bytes(out)


def unescape(data: bytes) -> bytes:
    """The inverse of :func:`escape`."""
    out, at = bytearray(), 0
    while (found := data.find(_ESCAPE, at)) >= 0 and found + 1 < len(data):
        out += data[at:found]
        out.append(data[found + 1] ^ 0x20)
        at = found + 2
    return bytes(out + data[at:])


@dataclass
class Framer:
    """Takes packets out of a stream. What was received goes in by :meth:`feed`; :meth:`next` gives contents of packets
    and INTERRUPT one by one; ``replies`` collects what is to be sent at once (acknowledgements, repetitions)."""

    acknowledged: bool = True
    replies: bytearray = field(default_factory=bytearray)
    _buffer: bytearray = field(default_factory=bytearray)
    _last: bytes = b""

    def feed(self, data: bytes) -> None:
        """More of the stream."""
        self._buffer += data

    @property
    def interrupted(self) -> bool:
        """The next thing in the stream is INTERRUPT; it is taken out."""
        self._skip()
        if self._buffer[:1] != INTERRUPT:
            return False
        del self._buffer[:1]
        return True

    @property
    def begun(self) -> bool:
        """A packet is there, or its beginning."""
        self._skip()
        return bool(self._buffer)

    def next(self) -> bytes | None:
        """The next packet's content, or INTERRUPT; None: nothing is complete. ProtocolError for what is no packet."""
        while True:
            self._skip()
            if not self._buffer:
                return None
            if self._buffer[:1] == INTERRUPT:
                del self._buffer[:1]
                return INTERRUPT
            end = self._buffer.find(b"#")
            if end < 0 or len(self._buffer) < end + 3:
                if len(self._buffer) > LONGEST:
                    raise ProtocolError("a packet without an end")
                return None
            data, sent = bytes(self._buffer[1:end]), bytes(self._buffer[end + 1 : end + 3])
            del self._buffer[: end + 3]
            if not self.acknowledged:
                return data
            if sent.lower() == checksum(data):
                self.replies += b"+"
                self._drop_repetitions(bytes(b"$" + data + b"#" + sent))
                return data
            self.replies += b"-"

    def send(self, data: bytes) -> bytes:
        """What to write for a packet with this content; kept for a repetition."""
        self._last = frame(data)
        return self._last

    def _drop_repetitions(self, packet: bytes) -> None:
        """A client that waited too long for its acknowledgement has sent the packet again, and wants one reply."""
        while self._buffer.startswith(packet):
            del self._buffer[: len(packet)]

    def _skip(self) -> None:
        """Over acknowledgements, to the beginning of a packet or INTERRUPT; ``-`` asks for the last packet again."""
        at = 0
        while at < len(self._buffer) and self._buffer[at] not in b"$\x03":
            if self._buffer[at] == ord("-") and self.acknowledged:
                self.replies += self._last
            at += 1
        del self._buffer[:at]
