"""Names of a stopped kernel's symbols, out of its own memory (runtime.debug.kallsyms), for what the monitor shows and
reads. They are those of the position: before a kernel is in memory there are none, after a restart there are others."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import cached_property

import xxhash

from runtime.debug.kallsyms import NoSymbols, Table, kernel_table
from runtime.debug.monitor.commands import MonitorError
from runtime.debug.target import Target

#: Kernels are at this address and above.
_LOWEST = {"x86_64": 1 << 63, "i386": 1 << 31, "arm": 1 << 31}
#: Further behind a symbol, an address is not of it; and symbols that nothing is behind.
_FAR = 1 << 16
_ENDS = ("_etext", "_einittext", "_edata", "_end", "__init_end", "__bss_stop")
_CODE = "tTwW"


class _Index:
    """A table, and how it is looked up."""

    def __init__(self, table: Table, lowest: int):
        self._table = table
        #: Those that have an address in the kernel.
        self.symbols = [symbol for symbol in table.symbols if symbol.address >= lowest]
        self._addresses = [symbol.address for symbol in self.symbols]

    @cached_property
    def addresses(self) -> dict[str, list[int]]:
        """Name -> where it is."""
        found: dict[str, list[int]] = {}
        for symbol in self._table.symbols:
            found.setdefault(symbol.name, []).append(symbol.address)
        return found

    def before(self, address: int) -> int | None:
        """The number of the first of the symbols that are last at or before an address."""
        at = bisect_right(self._addresses, address)
        if not at or address - self._addresses[at - 1] >= _FAR:
            return None
        return bisect_left(self._addresses, self._addresses[at - 1])


class Names:
    """The names of one machine."""

    def __init__(self, target: Target):
        self._target = target
        self._index: _Index | None = None
        self._where, self._content = slice(0), b""
        #: Where it was seen that they are those, and of how many pages that there are none in them.
        self._seen = self._without = -1

    def address(self, name: str) -> int:
        """Where a symbol is. MonitorError: there is none of that name, or several."""
        index = self._find(again=True)
        if index is None:
            raise MonitorError(f"unknown name {name!r}: there are no symbols of a Linux kernel in the memory now")
        found = index.addresses.get(name, [])
        if not found:
            raise MonitorError(f"unknown name {name!r}")
        if len(found) > 1:
            raise MonitorError(f"{name} is the name of several: {', '.join(map(hex, found[:8]))}")
        return found[0]

    def of(self, address: int) -> str:
        """What an address is called, as ``panic+0x1c``; "" when it has no name."""
        name, offset = self.symbol(address) or ("", 0)
        return name + (f"+{offset:#x}" if offset else "")

    def marked(self, address: int) -> str:
        """The same, to be put behind the address."""
        name = self.of(address)
        return f" <{name}>" if name else ""

    def symbol(self, address: int, code: bool = False) -> tuple[str, int] | None:
        """The symbol that an address belongs to, and how far behind it that is; ``code``: only if that is a
        function."""
        lowest = _LOWEST[self._target.arch]
        index = self._find() if address >= lowest else None
        number = index.before(address) if index is not None else None
        if index is None or number is None:
            return None
        symbol = index.symbols[number]
        offset = address - symbol.address
        if (code and symbol.kind not in _CODE) or (offset and symbol.name in _ENDS):
            return None
        return symbol.name, offset

    def _find(self, again: bool = False) -> _Index | None:
        """The symbols now. Where there were none they are looked for ``again``, or when memory has come into use."""
        now = self._target.machine.icount
        if self._index is not None and (now == self._seen or self._digest() == self._content):
            self._seen = now
            return self._index
        self._index, pages = None, len(self._target.machine.engine.ram.touched())
        if pages == self._without and not again:
            return None
        try:
            table = kernel_table(self._target)
        except NoSymbols:
            self._without = pages
            return None
        self._index = _Index(table, _LOWEST[self._target.arch])
        self._where = slice(table.begin, table.end)
        self._content, self._seen = self._digest(), now
        return self._index

    def _digest(self) -> bytes:
        """Of the memory that the table was read from."""
        return xxhash.xxh3_128_digest(self._target.machine.engine.ram.array[self._where])
