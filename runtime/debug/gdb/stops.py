"""Stop replies: where a motion ended and why, as gdb is told (gdb manual, E.3)."""

from __future__ import annotations

from frontends.registers import Register
from runtime.debug.target import Target
from runtime.timeline.travel import Arrival, Point

#: Signals by gdb's numbers.
SIGINT, SIGABRT, SIGTRAP, SIGSEGV = 2, 6, 5, 11
_WATCHES = {"write": "watch", "read": "rwatch", "access": "awatch"}
#: Registers that gdb looks at after every stop.
_EXPEDITED = ("rip", "rsp", "rbp", "eip", "esp", "ebp", "pc", "sp", "r11")


def thread(processor: int) -> str:
    """gdb's name for a processor: threads are counted from 1."""
    return f"{processor + 1:02x}"


def encode_register(register: Register, value: int) -> str:
    """A register's value in the guest's byte order, as hexadecimal digits."""
    return value.to_bytes(register.bits // 8, "little").hex()


def stop_reply(target: Target, arrival: Arrival, hardware: bool, understood: frozenset[str]) -> bytes:
    """The reply to a motion, about the processor that ``target`` looks at. ``hardware``: the breakpoint hit was asked
    for as one; ``understood``: reasons that the client knows ("swbreak", "hwbreak")."""
    if arrival.why == "power-off":
        return b"W00"
    signal = {"interrupted": SIGINT, "crashed": SIGSEGV, "failed": SIGABRT}.get(arrival.why, SIGTRAP)
    reason, stopped = _reason(arrival, hardware, understood), thread(target.processor)
    return f"T{signal:02x}{reason}thread:{stopped};{_expedited(target)}".encode()


def _reason(arrival: Arrival, hardware: bool, understood: frozenset[str]) -> str:
    if arrival.why in ("begin", "end"):
        return f"replaylog:{arrival.why};"
    if arrival.why == "break":
        kind = "hwbreak" if hardware else "swbreak"
        return f"{kind}:;" if kind in understood else ""
    if arrival.why == "watch" and arrival.point is not None:
        return f"{_WATCHES[arrival.point.kind]}:{_within(arrival.point, arrival.address):x};"
    return ""


def _within(point: Point, address: int) -> int:
    """gdb finds its watchpoint by an address in it; an access may begin before."""
    return address if point.address <= address < point.address + point.size else point.address


def _expedited(target: Target) -> str:
    return "".join(
        f"{number:x}:{encode_register(register, target.read_register(register.name))};"
        for number, register in enumerate(target.registers)
        if register.name in _EXPEDITED and register.feature.endswith(".core")
    )
