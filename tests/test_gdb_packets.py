"""Packets of gdb's remote protocol: framing, acknowledgements, escapes; descriptions as XML."""

from __future__ import annotations

import xml.etree.ElementTree as xml
from types import SimpleNamespace
from typing import Any

import pytest

from frontends.arm.inspect import ArmInspector
from frontends.x86.inspect import X86Inspector
from runtime.debug.gdb.description import memory_map, target_description
from runtime.debug.gdb.packets import INTERRUPT, LONGEST, Framer, ProtocolError, escape, frame, unescape
from runtime.debug.gdb.server import AddressError, Server, parse_address


def framed(*pieces: bytes, acknowledged: bool = True) -> tuple[list[bytes], bytes]:
    framer = Framer(acknowledged)
    found = []
    for piece in pieces:
        framer.feed(piece)
        while (packet := framer.next()) is not None:
            found.append(packet)
    return found, bytes(framer.replies)


def test_packets_are_found_however_they_come() -> None:
    stream = b"+" + frame(b"g") + b"\x03+" + frame(b"m0,4") + frame(b"")
    expected = ([b"g", INTERRUPT, b"m0,4", b""], b"+++")
    assert framed(stream) == expected
    assert framed(*(bytes((byte,)) for byte in stream)) == expected


def test_a_wrong_sum_is_asked_for_again() -> None:
    assert framed(b"$g#00" + frame(b"g")) == ([b"g"], b"-+")
    assert framed(b"$g#00", acknowledged=False) == ([b"g"], b"")


def test_a_packet_sent_twice_has_one_reply() -> None:
    assert framed(frame(b"?") * 3 + frame(b"g")) == ([b"?", b"g"], b"++")


def test_a_reply_is_repeated_on_request() -> None:
    framer = Framer()
    sent = framer.send(b"OK")
    framer.feed(b"-")
    assert framer.next() is None and bytes(framer.replies) == sent == b"$OK#9a"


def test_interrupts_are_seen_ahead_of_packets() -> None:
    framer = Framer()
    framer.feed(b"+\x03" + frame(b"g"))
    assert framer.interrupted and not framer.interrupted
    assert framer.next() == b"g"


def test_a_packet_without_end_is_no_packet() -> None:
    with pytest.raises(ProtocolError):
        framed(b"$" + bytes(LONGEST + 1))


def test_binary_data_is_escaped() -> None:
    data = bytes(range(256))
    assert unescape(escape(data)) == data
    assert not set(escape(data)) & set(b"#$*")
    assert escape(b"}#") == b"}]}\x03"


@pytest.mark.parametrize("arch", ["x86_64", "i386", "arm"])
def test_descriptions(arch: str) -> None:
    """Well-formed; a type that is no builtin of gdb's is defined before it is used, every register is there once."""
    cpu: Any = SimpleNamespace(get=lambda name, index=0: int(name == "has_long_mode" and arch == "x86_64"))
    registers = (ArmInspector(cpu) if arch == "arm" else X86Inspector(cpu)).registers
    root = xml.fromstring(target_description(arch, registers))
    assert [reg.get("name") for reg in root.iter("reg")] == [register.name for register in registers]
    builtin = {"int", "code_ptr", "data_ptr", "i387_ext", "ieee_single", "ieee_double"}
    builtin |= {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64, 128)}
    for feature in root.iter("feature"):
        known = set(builtin)
        for item in feature:
            assert {part.get("type", "int") for part in (item, *item)} <= known | {None}, item.attrib
            known.add(item.get("id", "int"))
    regions = [(int(r.get("start", ""), 0), int(r.get("length", ""), 0)) for r in xml.fromstring(memory_map(arch))]
    assert sum(length for _, length in regions) == 1 << (64 if arch == "x86_64" else 32)
    assert regions[1][0] == sum(regions[0])


def test_addresses() -> None:
    assert parse_address("1234") == ("127.0.0.1", 1234) == parse_address(":1234")
    assert parse_address("0.0.0.0:99") == ("0.0.0.0", 99) and parse_address("[::1]:99") == ("::1", 99)
    for wrong in ("", "0", "65536", "x", "host:", "1234x", "-1"):
        with pytest.raises(AddressError):
            parse_address(wrong)


def test_a_port_in_use_is_one_line() -> None:
    port = 20000
    first = None
    while first is None:
        try:
            first = Server(("127.0.0.1", port))
        except AddressError:
            port += 1
    with pytest.raises(AddressError, match=f"cannot listen on 127.0.0.1:{port}"):
        Server(("127.0.0.1", port))
    first.close()
