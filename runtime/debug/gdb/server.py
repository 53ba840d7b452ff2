"""The server: a socket, one client at a time, and the loop that hands its packets to a session."""

from __future__ import annotations

import socket
from collections.abc import Callable

from runtime.debug.gdb.company import Alone, Company
from runtime.debug.gdb.packets import INTERRUPT, Framer, ProtocolError
from runtime.debug.gdb.session import Detached, Killed, Session
from runtime.debug.subject import Subject

LOOPBACK = "127.0.0.1"
#: Seconds between two looks at signals while nobody asks for anything, those a client has to take a reply, and those it
#: has to acknowledge the last one.
_IDLE, _PATIENCE, _LAST_WORDS = 0.25, 30.0, 1.0


class AddressError(Exception):
    """The server cannot listen there; the message is one line."""


class Closed(Exception):
    """The client is gone."""


def parse_address(text: str) -> tuple[str, int]:
    """``[HOST:]PORT``; without a host only this machine can connect. AddressError for what is none."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise AddressError(f"--gdb is [HOST:]PORT with a port from 1 to 65535, not {text!r}")
    return host.strip("[]") or LOOPBACK, int(port)


class Connection:
    """A client's end: packets in, replies out. Closed when it is gone or does not speak the protocol."""

    def __init__(self, stream: socket.socket, company: Company):
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.settimeout(_PATIENCE)
        self.stream, self._framer, self._company = stream, Framer(), company
        self._asked_to_stop = self._gone = False

    def packet(self, seconds: float) -> bytes | None:
        """The next packet or INTERRUPT, None when there is none within that time."""
        self._asked_to_stop = False
        try:
            found = self._framer.next()
            if found is None and self._receive(seconds):
                found = self._framer.next()
        except ProtocolError as error:
            raise Closed from error
        self._flush()
        return found

    def interrupted(self) -> bool:
        """Whether the client has sent INTERRUPT since its last packet, or is gone; for during a motion."""
        if not self._asked_to_stop:
            try:
                self._receive(0)
                self._asked_to_stop = self._framer.interrupted
                self._flush()
            except Closed:
                self._asked_to_stop = self._gone = True
        return self._asked_to_stop

    def disturbs(self, waited: bool) -> bool:
        """During a motion that is not the client's: whether it is to end. One that somebody waits for is ended by
        INTERRUPT only; the client's end does not matter to it."""
        if waited:
            return self.interrupted() and not self._gone
        return self._framer.begun or self.readable(0)

    def send(self, data: bytes) -> None:
        """A packet."""
        self._write(self._framer.send(data))

    def without_acks(self) -> None:
        """From now on packets are not acknowledged."""
        self._framer.acknowledged = False

    def close(self) -> None:
        """Hang up. What the client still sends (an acknowledgement) is read first: closing before that would reset the
        connection, and the client could lose the last packet."""
        try:
            self.stream.shutdown(socket.SHUT_WR)
            for _ in range(8):
                if not self.readable(_LAST_WORDS) or not self.stream.recv(1 << 16):
                    break
        except OSError:
            pass
        self.stream.close()

    def readable(self, seconds: float) -> bool:
        """Whether something, or the end, is there to be received within that time."""
        return self._company.wait(self.stream, seconds)

    def _receive(self, seconds: float) -> bool:
        if not self.readable(seconds):
            return False
        try:
            data = self.stream.recv(1 << 16)
        except OSError as error:
            raise Closed from error
        if not data:
            raise Closed
        self._framer.feed(data)
        return True

    def _flush(self) -> None:
        if self._framer.replies:
            self._write(bytes(self._framer.replies))
            self._framer.replies.clear()

    def _write(self, data: bytes) -> None:
        try:
            self.stream.sendall(data)
        except OSError as error:
            raise Closed from error


class Server:
    """Listens at an address (``host``, ``port``). AddressError when it cannot."""

    def __init__(self, address: tuple[str, int]):
        self._ended: Callable[[], bool] = lambda: False
        self._company: Company = Alone()
        host, port = address
        try:
            family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._listener = socket.create_server(where[:2], family=family)
        except OSError as error:
            raise AddressError(f"--gdb: cannot listen on {host}:{port}: {error.strerror or error}") from error

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def serve(self, subject: Subject, monitor: Callable[[str], str] | None, ended: Callable[[], bool],
              company: Company | None = None) -> None:  # fmt: skip
        """Serve one client after the other until one ends the machine (``kill``), it ends by itself, or the program is
        to end: ``ended``, asked while nothing moves. A live machine goes on when a client has left. ``company``: who
        else drives it."""
        self._ended, self._company, first = ended, company or Alone(), True
        while not self._ended() and not subject.over:
            stands = subject.waits or first or self._company.holds
            stream = self._accepted(_IDLE if stands and not self._company.busy else 0)
            if stream is None:
                if self._company.turn(subject, lambda: None, self._knocked):
                    first = False
                elif not stands:
                    self._run_free(subject)
                continue
            first = False
            connection = Connection(stream, self._company)
            try:
                self._talk(connection, subject, monitor)
            except Closed:
                pass
            except Killed:
                return
            finally:
                connection.close()
                subject.interrupt = lambda: False
                subject.set_points(())
            if not subject.waits:
                self._company.moving(True)

    def _accepted(self, seconds: float) -> socket.socket | None:
        """A client, if one comes within that time."""
        if not self._company.wait(self._listener, seconds):
            return None
        return self._listener.accept()[0]

    def _knocked(self, waited: bool) -> bool:
        """During a motion that is the others': whether it is to end because somebody connects."""
        return not waited and self._company.wait(self._listener, 0)

    def _run_free(self, subject: Subject) -> None:
        """Let a live machine run until somebody connects."""
        subject.interrupt = lambda: self._company.wait(self._listener, 0)
        subject.run()

    def _talk(self, connection: Connection, subject: Subject, monitor: Callable[[str], str] | None) -> None:
        def tell(line: str) -> None:
            connection.send(b"O" + f"{line}\n".encode().hex().encode())

        session = Session(subject, monitor, tell, self._company.moving)
        subject.interrupt = lambda: self._asked(connection) or self._company.asked()
        self._company.moving(False)
        while not (self._ended() or subject.over):
            packet = connection.packet(0 if self._company.busy else _IDLE)
            self._turn_away(connection)
            if packet is None:
                self._company.turn(subject, session.points.apply, connection.disturbs)
                continue
            if packet == INTERRUPT:  # it stands still already, unless others have it moved
                self._company.moving(False)
                continue
            try:
                connection.send(session.handle(packet))
            except Detached:
                connection.send(b"OK")
                return
            except Killed:
                if packet != b"k":
                    connection.send(b"OK")
                raise
            if session.wants_no_acks:
                connection.without_acks()

    def _asked(self, connection: Connection) -> bool:
        """During a motion: whether it is to end, because the client says so or is gone."""
        asked = connection.interrupted()
        self._turn_away(connection)
        return asked

    def _turn_away(self, connection: Connection) -> None:
        """There is one client at a time: hang up on others, so that they do not wait in vain. They wait while there is
        something to receive from the one we have, for it may be gone."""
        if not connection.readable(0) and (stream := self._accepted(0)) is not None:
            stream.close()
