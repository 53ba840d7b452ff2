"""What one client asks for, packet by packet: registers, memory, points, queries (gdb manual, E.2 to E.4). Motions are
in :mod:`runtime.debug.gdb.motions`."""

from __future__ import annotations

import re
from collections.abc import Callable

from frontends.registers import NotWritable, Register
from runtime.debug.gdb.description import memory_map, target_description
from runtime.debug.gdb.motions import Motions
from runtime.debug.gdb.packets import unescape
from runtime.debug.gdb.points import Points
from runtime.debug.gdb.stops import encode_register, thread
from runtime.debug.subject import Subject
from runtime.debug.target import MemoryFault

#: Bytes of a packet; the most memory asked for at once is half of it.
PACKET_SIZE = 0x20000
_NAME = re.compile(rb"[qQv](?:q?[A-Za-z]+\.)?[A-Za-z]+|b[cs]|.", re.DOTALL)
_OK = b"OK"
#: Features whose registers are read and written together.
_AT_ONCE = (".core", ".sse", ".segments", ".vfp")
#: Nothing that is mapped is there (EFAULT), or the request makes no sense (EINVAL).
_FAULT, _INVALID = b"E0e", b"E16"


class Refused(Exception):
    """A request that is understood and not done; the message tells the user why."""


class Detached(Exception):
    """The client has taken its leave."""


class Killed(Exception):
    """The client wants the machine ended."""


class Session:
    """One client and the machine it looks at. ``monitor`` answers ``monitor`` commands; ``tell`` shows the client a
    line while it waits for a motion to end; ``moving`` hears when one begins (True) and when the machine stands."""

    def __init__(self, subject: Subject, monitor: Callable[[str], str] | None, tell: Callable[[str], None],
                 moving: Callable[[bool], None] = lambda on: None):  # fmt: skip
        self._subject, self._target, self._monitor = subject, subject.target, monitor
        self._target.chosen = subject.machine.turn
        self.points = Points(subject)
        self._motions = Motions(subject, self.points, tell, moving)
        self._registers = self._target.registers
        #: Those of ``g`` and ``G``, the first in the list. Others are asked for one by one.
        self._plain = [register for register in self._registers if register.feature.endswith(_AT_ONCE)]
        self._physical = False
        #: The client wants packets without acknowledgements from now on.
        self.wants_no_acks = False

    def handle(self, packet: bytes) -> bytes:
        """The reply to a packet. Detached and Killed after their own reply was to be sent."""
        found = _NAME.match(packet)
        name = found.group().decode("latin-1") if found else ""
        handler = _HANDLERS.get(name)
        if handler is None or found is None:
            return self._motions.handle(name, packet[len(name) :].decode("latin-1"))
        try:
            return handler(self, packet[found.end() :])
        except (Refused, NotWritable) as refused:
            return b"E." + str(refused).encode()
        except MemoryFault:
            return _FAULT
        except (ValueError, IndexError, KeyError):
            return _INVALID

    # -- registers ----------------------------------------------------------------------------------------------------
    def _read_all(self, _: bytes) -> bytes:
        read = self._target.read_register
        return "".join(encode_register(register, read(register.name)) for register in self._plain).encode()

    def _write_all(self, data: bytes) -> bytes:
        self._writable()
        values, at = bytes.fromhex(data.decode()), 0
        for register in self._plain:
            size = register.bits // 8
            value = int.from_bytes(values[at : at + size], "little")
            if value != self._target.read_register(register.name):
                self._target.write_register(register.name, value)
            at += size
        return _OK

    def _read_one(self, data: bytes) -> bytes:
        register = self._numbered(data)
        return encode_register(register, self._target.read_register(register.name)).encode()

    def _write_one(self, data: bytes) -> bytes:
        number, _, value = data.partition(b"=")
        register = self._numbered(number)
        self._writable()
        self._target.write_register(register.name, int.from_bytes(bytes.fromhex(value.decode()), "little"))
        return _OK

    def _numbered(self, number: bytes) -> Register:
        return self._registers[int(number, 16)]

    def _writable(self) -> None:
        if reason := self._subject.refusal:
            raise Refused(reason)

    # -- memory -------------------------------------------------------------------------------------------------------
    def _read_memory(self, data: bytes) -> bytes:
        address, size = (int(number, 16) for number in data.split(b","))
        return self._readable(address, min(size, PACKET_SIZE // 2 - 8)).hex().encode()

    def _readable(self, address: int, size: int) -> bytes:
        """As much as can be read from an address on. MemoryFault: nothing."""
        try:
            return self._target.read(address, size, self._physical)
        except MemoryFault as fault:
            if fault.address == address:
                raise
            return self._target.read(address, fault.address - address, self._physical)

    def _write_memory(self, data: bytes) -> bytes:
        where, _, content = data.partition(b":")
        return self._write(where, bytes.fromhex(content.decode()))

    def _write_binary(self, data: bytes) -> bytes:
        where, _, content = data.partition(b":")
        return self._write(where, unescape(content))

    def _write(self, where: bytes, content: bytes) -> bytes:
        address, size = (int(number, 16) for number in where.split(b","))
        if size == 0:  # the client tries whether binary writes are known
            return _OK
        self._writable()
        if len(content) != size:
            return _INVALID
        self._target.write(address, content, self._physical)
        return _OK

    def _memory_mode(self, data: bytes) -> bytes:
        return b"1" if self._physical else b"0"

    def _set_memory_mode(self, data: bytes) -> bytes:
        if data not in (b":0", b":1"):
            return _INVALID
        self._physical = data == b":1"
        return _OK

    # -- points -------------------------------------------------------------------------------------------------------
    def _insert(self, data: bytes) -> bytes:
        kind, address, size = self._point(data)
        if refusal := self.points.insert(kind, address, size, self._physical):
            raise Refused(refusal)
        return _OK

    def _remove(self, data: bytes) -> bytes:
        self.points.remove(*self._point(data))
        return _OK

    def _point(self, data: bytes) -> tuple[int, int, int]:
        kind, address, size = data.split(b";")[0].split(b",")
        return int(kind), int(address, 16), int(size, 16)

    # -- queries ------------------------------------------------------------------------------------------------------
    def _supported(self, data: bytes) -> bytes:
        asked = data.decode().lstrip(":").split(";")
        self._motions.understood = frozenset(f[:-1] for f in asked if f in ("swbreak+", "hwbreak+"))
        features = ["QStartNoAckMode+", "qXfer:features:read+", "qXfer:memory-map:read+", "vContSupported+", "swbreak+",
                    "hwbreak+"]  # fmt: skip
        if self._subject.reversible:
            features += ["ReverseStep+", "ReverseContinue+"]
        return f"PacketSize={PACKET_SIZE:x};{';'.join(features)}".encode()

    def _transfer(self, data: bytes) -> bytes:
        _, what, action, name, window = data.decode().split(":")
        if action != "read" or (what, name) not in (("features", "target.xml"), ("memory-map", "")):
            return b"E00" if what in ("features", "memory-map") else b""
        arch = self._target.arch
        text = (memory_map(arch) if what == "memory-map" else target_description(arch, self._registers)).encode()
        start, size = (int(number, 16) for number in window.split(","))
        size = min(size, PACKET_SIZE - 8)
        return (b"m" if start + size < len(text) else b"l") + text[start : start + size]

    def _no_acks(self, _: bytes) -> bytes:
        self.wants_no_acks = True
        return _OK

    def _command(self, data: bytes) -> bytes:
        if self._monitor is None:
            raise Refused("there is no monitor here")
        line = bytes.fromhex(data.lstrip(b",").decode()).decode(errors="replace")
        before = self._subject.icount
        self.points.apply()
        text = self._monitor(line)
        if text and not text.endswith("\n"):
            text += "\n"
        if self._subject.icount != before:
            text += f"now at instruction {self._subject.icount}; gdb sees it after: maintenance flush register-cache\n"
        return text.encode().hex().encode() or _OK

    # -- threads: the processors --------------------------------------------------------------------------------------
    def _thread_list(self, _: bytes) -> bytes:
        return f"m{','.join(map(thread, range(self._subject.machine.processors)))}".encode()

    def _thread_list_end(self, _: bytes) -> bytes:
        return b"l"

    def _current_thread(self, _: bytes) -> bytes:
        return f"QC{thread(self._target.processor)}".encode()

    def _thread_info(self, data: bytes) -> bytes:
        processor = self._processor(data.lstrip(b","))
        with self._target.of(processor):
            return f"CPU#{processor} [{self._target.status}]".encode().hex().encode()

    def _set_thread(self, data: bytes) -> bytes:
        """``g``: whose registers and memory are asked for next, ``c``: whose steps; 0 and -1: any."""
        kind, number = data[:1], data[1:]
        processor = None if int(number, 16) in (-1, 0) else self._processor(number)
        if kind == b"c":
            self._motions.stepped = processor
        elif kind != b"g":
            return _INVALID
        elif processor is not None:
            self._target.chosen = processor
        return _OK

    def _thread_alive(self, data: bytes) -> bytes:
        self._processor(data)
        return _OK

    def _processor(self, data: bytes) -> int:
        """The number of the processor that is a thread. ValueError: there is none."""
        number = int(data, 16)
        if not 1 <= number <= self._subject.machine.processors:
            raise ValueError
        return number - 1

    def _attached(self, _: bytes) -> bytes:
        return b"1"

    def _extended(self, _: bytes) -> bytes:
        return _OK

    # -- the end ------------------------------------------------------------------------------------------------------
    def _detach(self, _: bytes) -> bytes:
        raise Detached

    def _kill(self, _: bytes) -> bytes:
        raise Killed


_HANDLERS: dict[str, Callable[[Session, bytes], bytes]] = {
    "g": Session._read_all, "G": Session._write_all, "p": Session._read_one, "P": Session._write_one,
    "m": Session._read_memory, "M": Session._write_memory, "X": Session._write_binary,
    "qqemu.PhyMemMode": Session._memory_mode, "Qqemu.PhyMemMode": Session._set_memory_mode,
    "Z": Session._insert, "z": Session._remove,
    "qSupported": Session._supported, "qXfer": Session._transfer, "QStartNoAckMode": Session._no_acks,
    "qRcmd": Session._command, "qfThreadInfo": Session._thread_list, "qsThreadInfo": Session._thread_list_end,
    "qC": Session._current_thread, "qThreadExtraInfo": Session._thread_info, "H": Session._set_thread,
    "T": Session._thread_alive, "qAttached": Session._attached, "!": Session._extended,
    "D": Session._detach, "k": Session._kill, "vKill": Session._kill,
}  # fmt: skip
