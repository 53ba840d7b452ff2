"""As much of ACPI Machine Language as a small DSDT needs (ACPI specification, chapters 20 and 6.4)."""

from __future__ import annotations


def name_segment(name: str) -> bytes:
    """One name of up to four characters, padded; a leading backslash stands for the root."""
    root = b"\\" if name.startswith("\\") else b""
    return root + name.lstrip("\\").ljust(4, "_").encode("ascii")


def integer(value: int) -> bytes:
    """The shortest constant for ``value``."""
    if value < 2:
        return bytes((value,))
    for prefix, size in ((0x0A, 1), (0x0B, 2), (0x0C, 4), (0x0E, 8)):
        if value < 1 << 8 * size:
            return bytes((prefix,)) + value.to_bytes(size, "little")
    raise ValueError(f"AML integer {value:#x} has more than 64 bits")


def package_length(body: int) -> bytes:
    """PkgLength for ``body`` bytes that follow it: it counts itself."""
    if body + 1 < 0x40:
        return bytes((body + 1,))
    for extra in (1, 2, 3):
        total = body + 1 + extra
        if total < 1 << (4 + 8 * extra):
            return bytes((extra << 6 | total & 0xF,)) + (total >> 4).to_bytes(extra, "little")
    raise ValueError(f"AML package of {body} bytes is too long")


def _packed(opcode: bytes, body: bytes) -> bytes:
    return opcode + package_length(len(body)) + body


def name(path: str, value: bytes) -> bytes:
    """Name (path, value)."""
    return b"\x08" + name_segment(path) + value


def package(*elements: bytes) -> bytes:
    """Package () { elements }."""
    return _packed(b"\x12", bytes((len(elements),)) + b"".join(elements))


def scope(path: str, *terms: bytes) -> bytes:
    """Scope (path) { terms }."""
    return _packed(b"\x10", name_segment(path) + b"".join(terms))


def device(path: str, *terms: bytes) -> bytes:
    """Device (path) { terms }."""
    return _packed(b"\x5b\x82", name_segment(path) + b"".join(terms))


def processor(path: str, identifier: int) -> bytes:
    """Processor (path, identifier) {}: one without registers of its own (P_BLK)."""
    return _packed(b"\x5b\x83", name_segment(path) + bytes((identifier, 0, 0, 0, 0, 0)))


def buffer(data: bytes) -> bytes:
    """Buffer () { data }."""
    return _packed(b"\x11", integer(len(data)) + data)


def eisa_id(text: str) -> bytes:
    """The compressed form of an EISA identifier such as "PNP0501"."""
    letters = 0
    for letter in text[:3]:
        letters = letters << 5 | ord(letter) - 0x40
    return b"\x0c" + (letters << 16 | int(text[3:], 16)).to_bytes(4, "big")


def io_ports(base: int, size: int) -> bytes:
    """Resource: ``size`` I/O ports at ``base``, 16 address bits decoded."""
    return b"\x47\x01" + base.to_bytes(2, "little") * 2 + bytes((1, size))


def irq(number: int) -> bytes:
    """Resource: an edge-triggered ISA interrupt."""
    return b"\x22" + (1 << number).to_bytes(2, "little")


def memory32(base: int, size: int) -> bytes:
    """Resource: a fixed range of memory, read only."""
    return b"\x86\x09\x00\x00" + base.to_bytes(4, "little") + size.to_bytes(4, "little")


def bus_numbers(first: int, last: int) -> bytes:
    """Resource: the buses behind a bridge."""
    return b"\x88" + _window(2, 0, first, last, 2)


def io_window(first: int, last: int) -> bytes:
    """Resource: ports that a bridge hands on, ISA's and others."""
    return b"\x88" + _window(1, 3, first, last, 2)


def memory_window(first: int, last: int) -> bytes:
    """Resource: memory below 4 GiB that a bridge hands on, uncached, can be written."""
    return b"\x87" + _window(0, 1, first, last, 4)


def _window(kind: int, flags: int, first: int, last: int, size: int) -> bytes:
    """An address space descriptor with numbers of ``size`` bytes: both ends fixed, handed on, not translated."""
    numbers = b"".join(number.to_bytes(size, "little") for number in (0, first, last, 0, last - first + 1))
    return (3 + len(numbers)).to_bytes(2, "little") + bytes((kind, 0x0C, flags)) + numbers


def resources(*descriptors: bytes) -> bytes:
    """A resource template with its end tag (checksum zero: not checked)."""
    return buffer(b"".join(descriptors) + b"\x79\x00")
