"""A client of gdb's remote protocol, for tests: raw packets, and a server in a thread to talk to."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from frontends.registers import Register
from runtime.debug.gdb.packets import frame, unescape
from runtime.debug.gdb.server import LOOPBACK, Server
from runtime.debug.subject import ReplaySubject, Subject
from runtime.recording.recording import Recording
from runtime.timeline.travel import Travel

PATIENCE = 120.0
_PC = {"x86_64": "rip", "i386": "eip", "arm": "pc"}


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server((LOOPBACK, 0)) as server:
        return int(server.getsockname()[1])


class Client:
    """A connection to the server at ``port``; the target is one with these ``registers``."""

    def __init__(self, port: int, arch: str, registers: list[Register]):
        self.stream = socket.create_connection((LOOPBACK, port), PATIENCE)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self.arch, self.registers = arch, registers
        self._numbers = {register.name: number for number, register in enumerate(registers)}
        self.shown = ""
        self.ask("qSupported:swbreak+;hwbreak+")

    def learn(self) -> Client:
        """Take the registers from the target's description, as gdb does."""
        text = self.ask("qXfer:features:read:target.xml:0,1fff0")
        names = re.findall(r'<reg name="(\w+)"', text)
        assert text.startswith("l") and names
        self._numbers = {name: number for number, name in enumerate(names)}
        return self

    def close(self) -> None:
        """Hang up without a word."""
        self.stream.close()

    def send(self, packet: bytes | str) -> None:
        """A packet, without waiting for anything."""
        self.stream.sendall(frame(packet.encode() if isinstance(packet, str) else packet))

    def receive(self) -> str:
        """The next packet that is no console output."""
        while True:
            while not (found := re.match(rb"[+-]*\$([^#]*)#..", self._received, re.DOTALL)):
                data = self.stream.recv(1 << 16)
                assert data, f"the server has hung up; there was {self._received!r}"
                self._received += data
            self._received = self._received[found.end() :]
            self.stream.sendall(b"+")
            reply = unescape(found.group(1)).decode("latin-1")
            if not re.match(r"O[0-9a-f]", reply):
                return reply
            self.shown += bytes.fromhex(reply[1:]).decode()

    def ask(self, packet: bytes | str) -> str:
        """The reply to a packet."""
        self.send(packet)
        return self.receive()

    def register(self, name: str) -> int:
        """The value of a register."""
        return int.from_bytes(bytes.fromhex(self.ask(f"p{self._numbers[name]:x}")), "little")

    @property
    def pc(self) -> int:
        """The register."""
        return self.register(_PC[self.arch])

    @property
    def icount(self) -> int:
        """The position."""
        return self.register("icount")

    def memory(self, address: int, size: int) -> bytes:
        """Bytes of memory."""
        return bytes.fromhex(self.ask(f"m{address:x},{size:x}"))

    def seek(self, icount: int) -> None:
        """Go to an instruction."""
        assert self.ask(f"vRun;;{str(icount).encode().hex()}").startswith("T05")

    def insert(self, kind: int, address: int, size: int = 1) -> None:
        """A breakpoint or watchpoint."""
        assert self.ask(f"Z{kind},{address:x},{size:x}") == "OK"

    def remove(self, kind: int, address: int, size: int = 1) -> None:
        """The inverse."""
        assert self.ask(f"z{kind},{address:x},{size:x}") == "OK"


class Served:
    """A subject served in a thread: ``client()`` connects."""

    def __init__(self, make: Callable[[], Subject]):
        self.port = free_port()
        self._over = threading.Event()
        self._ready = threading.Event()
        self._make = make
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        assert self._ready.wait(PATIENCE)

    def _serve(self) -> None:
        self.subject = self._make()
        server = Server((LOOPBACK, self.port))
        self._ready.set()
        server.serve(self.subject, lambda line: f"monitor: {line}", self._over.is_set)
        server.close()

    def client(self) -> Client:
        """Connect."""
        return Client(self.port, self.subject.target.arch, self.subject.target.registers)

    def close(self) -> None:
        """End the server."""
        self._over.set()
        self.thread.join(PATIENCE)


@contextmanager
def served_replay(recording: Recording, tier: str = "auto") -> Iterator[Served]:
    """A replay, served."""
    served = Served(lambda: ReplaySubject(Travel(recording, tier=tier)))
    yield served
    served.close()
    served.subject.travel.close()  # type: ignore[attr-defined]
