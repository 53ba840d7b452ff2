"""Call frames of made-up kernels: ORC tables in both of its numberings, functions of i386 by how they begin."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import pytest

from runtime.debug.kallsyms import Symbol
from runtime.debug.target import MemoryFault
from runtime.debug.unwind import _frame_made, debug_frame

IPS, ROWS, TEXT = 0x10000, 0x20000, 0x8000
#: At an offset of the text: registers (SP and PREV_SP for RBP, ...), offsets, and what it is in Linux 6.1 and in 6.4.
TABLE = [(0, 5, 8, 0, 0, 2), (1, 5, 16, 0, 0, 2), (4, 0x15, 24, -24, 0, 2), (9, 5, 0, 0, 1, 3), (12, 5, 0, 0, 2, 4),
         (16, 0, 0, 0, 4, 0), (20, 9, 8, 0, 0, 2), (24, 8, 8, 0, 0, 2), (28, 5, 8, 0, 0, 2)]  # fmt: skip
SYMBOLS = [
    Symbol(TEXT, "T", "one"),
    Symbol(TEXT + 20, "t", "two"),
    Symbol(TEXT + 28, "t", "end"),
    Symbol(IPS, "R", "__start_orc_unwind_ip"),
    Symbol(IPS + 4 * len(TABLE), "R", "__stop_orc_unwind_ip"),
    Symbol(ROWS, "R", "__start_orc_unwind"),
]


def kernel(newer: bool) -> SimpleNamespace:
    """A stopped machine with such tables."""
    ips = b"".join(struct.pack("<i", TEXT + row[0] - (IPS + 4 * n)) for n, row in enumerate(TABLE))
    rows = b"".join(struct.pack("<hhH", row[2], row[3], row[1] | row[5 if newer else 4] << 8) for row in TABLE)

    def read(address: int, size: int) -> bytes:
        part = ips if address == IPS else rows if address == ROWS else b""
        if len(part) < size:
            raise MemoryFault(address)
        return part[:size]

    return SimpleNamespace(arch="x86_64", read=read)


def test_both_numberings_say_the_same() -> None:
    old, new = (debug_frame(kernel(newer), SYMBOLS) for newer in (False, True))  # type: ignore[arg-type]
    assert old == new
    spans = [struct.unpack_from("<QQ", old, at + 8) for at in records(old)[2:]]
    assert spans == [(TEXT, 9), (TEXT + 9, 7), (TEXT + 16, 4), (TEXT + 20, 8)]  # calls, saved registers, none, calls


def records(section: bytes) -> list[int]:
    """Where the records of a section begin."""
    found, at = [], 0
    while at < len(section):
        found.append(at)
        at += 4 + int.from_bytes(section[at : at + 4], "little")
    assert at == len(section)
    return found


def test_a_kernel_without_tables_has_no_frames() -> None:
    assert debug_frame(kernel(False), SYMBOLS[:3]) == b""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "made"),
    [
        ("55 89e5", (1, 3)),
        ("3e8d742600 55 89e5", (6, 8)),  # behind the bytes of ftrace
        ("e800000000 55 ba80000000 31c9 89e5", (6, 15)),  # ftrace is on; others in between
        ("f30f1efb 55 89e5", (5, 7)),
        ("53 55 89e5", None),
        ("55 83ec10 89e5", None),
        ("89e5 c3", None),
    ],
)
def test_functions_that_make_a_frame(code: str, made: tuple[int, int] | None) -> None:
    assert _frame_made(bytes.fromhex(code)) == made
