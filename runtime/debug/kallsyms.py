"""The symbols of a Linux kernel, out of its own memory: the tables that /proc/kallsyms reads (Linux 4.20 and later,
scripts/kallsyms.c and kernel/kallsyms.c). No file of the kernel's is needed, and with KASLR the addresses are right.

In memory, each aligned as a pointer is: offsets (u32 per symbol), relative base (a pointer), number of symbols (u32),
names, markers (u32: where every 256th name begins), perhaps their order by name, token table (256 strings), token index
(u16 each). From Linux 6.4 on, offsets and base are behind the token index. A name is a length and that many tokens; its
first character is the symbol's type. Modules have tables of their own, which are not read.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from runtime.debug.target import PAGE, Target

#: The digits are in names of every kernel, and so tokens that stand for themselves.
_DIGITS = re.compile(rb"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00")
_FIRST_DIGIT, _TOKENS, _PER_MARKER = ord("0"), 256, 256
#: A table of fewer or more symbols is something else.
_FEWEST, _MOST = 1000, 1 << 20
#: So far before where the last marker says can the names begin: 256 names of the greatest length, in bytes.
_LONGEST_NAMES = _PER_MARKER * 64


class NoSymbols(Exception):
    """There is no table of symbols in the memory."""


@dataclass(frozen=True, order=True)
class Symbol:
    """``kind`` is a letter as nm's: t and T for code, d and D for data, ..."""

    address: int
    kind: str
    name: str


@dataclass(frozen=True)
class Table:
    """Symbols by address, and from where to where in the memory that they were read of their tables are."""

    symbols: list[Symbol]
    begin: int
    end: int


def kernel_symbols(target: Target) -> list[Symbol]:
    """The symbols of the kernel that runs in a stopped machine, by address. NoSymbols: there are none."""
    return kernel_table(target).symbols


def kernel_table(target: Target) -> Table:
    """The same, and where in the machine's RAM they are. If the tables of several kernels are in memory (of one that
    has restarted), it is the first that is mapped, or the first where none is."""
    memory = target.machine.engine.ram
    pages = memory.touched()
    found = []
    for run in np.split(pages, np.flatnonzero(np.diff(pages) > 1) + 1):
        if len(run) * PAGE > _FEWEST:
            start = int(run[0]) * PAGE
            data = memory.map[start : (int(run[-1]) + 1) * PAGE]
            for table in find_tables(data, 8 if target.arch == "x86_64" else 4):
                code = next((symbol.address for symbol in table.symbols if symbol.kind in "tT"), None)
                found.append(Table(table.symbols, start + table.begin, start + table.end))
                if code is not None and target.translate(code) is not None:
                    return found[-1]
    if not found:
        raise NoSymbols("there is no symbol table of a Linux kernel (kallsyms) in the guest's memory")
    return found[0]


def find_symbols(data: bytes, pointer: int) -> Iterator[list[Symbol]]:
    """The symbols, by address, of each table in a piece of memory; ``pointer``: bytes of a kernel's pointer, 4 or 8."""
    yield from (table.symbols for table in find_tables(data, pointer))


def find_tables(data: bytes, pointer: int) -> Iterator[Table]:
    """The same, with where they are."""
    for match in _DIGITS.finditer(data):
        if (table := _token_table(data, match.start())) is not None:
            start, end, tokens = table
            found = _table(data, start, end, tokens, pointer)
            if found is not None:
                yield found


def _token_table(data: bytes, digit: int) -> tuple[int, int, list[bytes]] | None:
    """Where the table begins that has the token "0" at ``digit``, where its index ends (which must agree with it), and
    the tokens."""
    start = digit
    for _ in range(_FIRST_DIGIT):
        if start == 0:
            return None
        start = data.rfind(b"\0", 0, start - 1) + 1
    tokens, at, offsets = [], start, []
    for _ in range(_TOKENS):
        end = data.find(b"\0", at)
        if end < 0:
            return None
        offsets.append(at - start)
        tokens.append(data[at:end])
        at = end + 1
    index = struct.pack(f"<{_TOKENS}H", *(offset & 0xFFFF for offset in offsets))
    index_at = data.find(index, at, at + len(index) + 16)
    return None if index_at < 0 else (start, index_at + len(index), tokens)


def _table(data: bytes, start: int, end: int, tokens: list[bytes], pointer: int) -> Table | None:
    """The table whose tokens begin at ``start``, and their index ends at ``end``."""
    for markers_at, marks in _markers(data, start):
        names = _names_begin(data, markers_at, marks, pointer)
        if names is not None:
            break
    else:
        return None
    at, count = names
    length = _aligned(4 * count, pointer)
    before = at - 2 * pointer  # the base; the number of symbols is between it and the names
    behind = _aligned(end, pointer)
    for offsets_at, base_at in ((before - length, before), (behind, behind + length)):
        addresses = _addresses(data, offsets_at, base_at, count, pointer)
        if addresses is not None:
            texts = _texts(data, at, count, tokens)
            symbols = [Symbol(address, text[:1], text[1:]) for address, text in zip(addresses, texts, strict=True)]
            return Table(symbols, min(offsets_at, at), max(end, base_at + pointer))
    return None


def _aligned(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment


def _addresses(data: bytes, offsets_at: int, base_at: int, count: int, pointer: int) -> list[int] | None:
    """The addresses, if these are offsets and a base: then they ascend. On 64-bit kernels with negative offsets, the
    others are addresses of per-processor data, and the negative ones count down from the base."""
    if offsets_at < 0 or max(offsets_at + 4 * count, base_at + pointer) > len(data):
        return None
    base = int.from_bytes(data[base_at : base_at + pointer], "little")
    offsets = np.frombuffer(data, "<i4", count, offsets_at).astype(np.int64)
    if pointer == 8 and (offsets < 0).any():
        found = [offset if offset >= 0 else base - 1 - offset for offset in offsets.tolist()]
    else:
        found = [base + offset for offset in (offsets & 0xFFFFFFFF).tolist()]
    ascend = all(one <= following for one, following in pairwise(found))
    return found if base and ascend and found[-1] < 1 << 8 * pointer else None


def _markers(data: bytes, end: int) -> Iterator[tuple[int, list[int]]]:
    """What may be the markers before ``end``, the nearest first: where they begin, and what they are. They ascend from
    0, each step the length of 256 names; newer kernels have a table of the symbols' order behind them."""
    begin = max(0, end - 8 * _MOST) & -4
    words = np.frombuffer(data, "<u4", (end - begin) // 4, begin).astype(np.int64)
    steps = np.diff(words)
    good = np.append((steps >= 2 * _PER_MARKER) & (steps <= _LONGEST_NAMES), False)
    few = _FEWEST // _PER_MARKER
    starts = words == 0
    for ahead in range(few):
        starts[: len(good) - ahead] &= good[ahead:]
    for start in np.flatnonzero(starts)[::-1].tolist():
        length = int(np.argmin(good[start:])) + 1
        yield begin + 4 * start, words[start : start + length].tolist()


def _names_begin(data: bytes, markers_at: int, marks: list[int], pointer: int) -> tuple[int, int] | None:
    """Where the names before these markers begin, and how many there are, which is said before them."""
    last = (markers_at - marks[-1]) & -pointer
    for at in range(last, max(last - _LONGEST_NAMES, pointer - 1), -pointer):
        (count,) = struct.unpack_from("<I", data, at - pointer)
        if (len(marks) - 1) * _PER_MARKER < count <= len(marks) * _PER_MARKER and _agree(data, at, marks):
            return at, count
    return None


def _agree(data: bytes, names: int, marks: list[int]) -> bool:
    """Whether each stretch of names is as long as the markers say."""
    at = names
    for mark in marks[1:]:
        for _ in range(_PER_MARKER):
            length, at = _length(data, at)
            at += length
        if at - names != mark:
            return False
    return True


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A name's length (one byte, or two for 128 and more) and where its tokens begin."""
    length = data[at]
    if length & 0x80:
        return length & 0x7F | data[at + 1] << 7, at + 2
    return length, at + 1


def _texts(data: bytes, at: int, count: int, tokens: list[bytes]) -> list[str]:
    found = []
    for _ in range(count):
        length, at = _length(data, at)
        found.append(b"".join([tokens[byte] for byte in data[at : at + length]]).decode("latin-1"))
        at += length
    return found
