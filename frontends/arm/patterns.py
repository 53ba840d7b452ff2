"""The table of ARM encodings: bit patterns with named fields, each with the lifter for what it encodes.

A pattern is written as in the manual (DDI 0406C, A8.8), most significant bit first: ``0`` and ``1`` are fixed, a letter
is a field whose bits are joined in the order they are written, blanks mean nothing. 32 bits of A32; 16 or 32 bits of
T32 (first halfword first). Should-be-zero and should-be-one bits are written as what they should be. Where several
patterns match, the one with most fixed bits decides. What matches none, or what its ``bad`` calls UNPREDICTABLE, is
Undefined here.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from random import Random
from string import ascii_letters
from typing import Any, TypeVar

Fields = dict[str, int]
Lifter = TypeVar("Lifter", bound=Callable[..., None])

A32, T32 = "A32", "T32"
#: A pattern's characters as those of its mask and of its value.
_MASK = str.maketrans(dict.fromkeys(ascii_letters, "0") | {"0": "1"})
_VALUE = str.maketrans(dict.fromkeys(ascii_letters, "0"))


@dataclass(frozen=True)
class Pattern:
    """One encoding. ``capstone``: the names Capstone has for it (they differ where it prefers an alias)."""

    isa: str
    text: str
    name: str
    capstone: frozenset[str]
    lifter: Callable[[Any], None]
    bad: Callable[[Fields], Any] | None
    see: Callable[[Fields], Any] | None
    group: str
    bits: int
    mask: int
    value: int

    @cached_property
    def fields(self) -> dict[str, tuple[tuple[int, int], ...]]:
        """Field -> its bits, as (position, place in the field)."""
        bits = self.text.replace(" ", "")
        found: dict[str, list[int]] = defaultdict(list)
        for position, char in zip(reversed(range(len(bits))), bits, strict=True):
            if char.isalpha():
                found[char].append(position)
        return {n: tuple((p, len(ps) - 1 - k) for k, p in enumerate(ps)) for n, ps in found.items()}

    def extract(self, word: int) -> Fields:
        """The fields of an instruction that matches."""
        found = {}
        for name, runs in self._runs:
            value = 0
            for position, mask, place in runs:
                value |= (word >> position & mask) << place
            found[name] = value
        return found

    @cached_property
    def _runs(self) -> list[tuple[str, list[tuple[int, int, int]]]]:
        """The fields by what is side by side in them: (lowest position, mask, place in the field)."""
        found = []
        for name, places in self.fields.items():
            runs: list[tuple[int, int, int]] = []
            for position, place in reversed(places):
                if runs and position == runs[-1][0] + runs[-1][1].bit_length():
                    runs[-1] = (runs[-1][0], runs[-1][1] << 1 | 1, runs[-1][2])
                else:
                    runs.append((position, 1, place))
            found.append((name, runs))
        return found

    def matches(self, word: int) -> bool:
        """Whether it is this encoding; an A32 condition of 1111 is another instruction, and so is what ``see`` says."""
        if word & self.mask != self.value or (self.conditional and word >> 28 == 15):
            return False
        return self.see is None or not self.see(self.extract(word))

    @property
    def conditional(self) -> bool:
        """A32 with a condition field of its own."""
        return self.isa == A32 and self.mask >> 28 == 0

    def unpredictable(self, word: int) -> bool:
        return self.bad is not None and bool(self.bad(self.extract(word)))

    def encode(self, **fields: int) -> int:
        """The instruction with these fields, the others 0. Raises KeyError for a field it does not have."""
        word = self.value
        for name, value in fields.items():
            for position, place in self.fields[name]:
                word |= (value >> place & 1) << position
        return word

    def random(self, rng: Random) -> int:
        """A random instruction of this encoding that no other pattern takes and that is predictable."""
        for _ in range(10000):
            word = self.value | rng.getrandbits(self.bits) & ~self.mask
            if self.conditional and rng.random() < 0.5:
                word = word & 0x0FFFFFFF | 0xE0000000
            if find(self.isa, word, self.bits) is self and not self.unpredictable(word):
                return word
        raise ValueError(f"no instruction is {self.isa} {self.name} {self.text}")


PATTERNS: list[Pattern] = []
_buckets: dict[tuple[str, int], dict[int, list[Pattern]]] = {}


def _parse(text: str) -> tuple[int, int, int]:
    """Bits of a pattern, mask and value of its fixed ones. There are a thousand, and all are read at each start."""
    bits = text.replace(" ", "")
    try:
        return len(bits), int(bits.translate(_MASK), 2), int(bits.translate(_VALUE), 2)
    except ValueError:
        raise ValueError(f"pattern {text!r} is not made of 0, 1 and letters") from None


def encoding(
    isa: str,
    text: str,
    name: str,
    lifter: Callable[[Any], None] | None = None,
    *,
    capstone: str = "",
    bad: Callable[[Fields], Any] | None = None,
    see: Callable[[Fields], Any] | None = None,
    group: str = "",
) -> Pattern:
    """A pattern that is in no table yet; see :func:`a32`."""
    bits, mask, value = _parse(text)
    if bits != 32 and not (isa == T32 and bits == 16):
        raise ValueError(f"{isa} {name}: {bits} bits in {text!r}")
    names = frozenset((capstone or name.partition("_")[0]).split())
    return Pattern(isa, text, name, names, lifter or _nothing, bad, see, group, bits, mask, value)


def _nothing(insn: Any) -> None:
    pass


def _add(pattern: Pattern) -> None:
    PATTERNS.append(pattern)
    _buckets.clear()


def _group() -> str:
    """The module that declares a pattern, without ``lift_``."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals["__name__"] == __name__:
        frame = frame.f_back
    return frame.f_globals["__name__"].rpartition(".")[2].removeprefix("lift_") if frame is not None else ""


def a32(
    text: str,
    name: str,
    *,
    capstone: str = "",
    bad: Callable[[Fields], Any] | None = None,
    see: Callable[[Fields], Any] | None = None,
) -> Callable[[Lifter], Lifter]:
    """Decorator: declare an A32 encoding of the lifter. ``capstone``: instruction names there (default: ``name`` up to
    its first underscore). ``bad``: fields -> true where the manual says UNPREDICTABLE or UNDEFINED; ``see``: where it
    is another instruction."""
    group = _group()

    def register(lifter: Lifter) -> Lifter:
        _add(encoding(A32, text, name, lifter, capstone=capstone, bad=bad, see=see, group=group))
        return lifter

    return register


def t32(
    text: str,
    name: str,
    *,
    capstone: str = "",
    bad: Callable[[Fields], Any] | None = None,
    see: Callable[[Fields], Any] | None = None,
) -> Callable[[Lifter], Lifter]:
    """Decorator: declare a T32 encoding of 16 or 32 bits, as :func:`a32`."""
    group = _group()

    def register(lifter: Lifter) -> Lifter:
        _add(encoding(T32, text, name, lifter, capstone=capstone, bad=bad, see=see, group=group))
        return lifter

    return register


#: Bits that patterns are sorted by: 27-20 and 4 in A32; the first halfword's upper ones in T32.
_INDEX = {(A32, 32): (20, 8), (T32, 32): (20, 9), (T32, 16): (8, 8)}


def _sorted(isa: str, bits: int) -> dict[int, list[Pattern]]:
    """Patterns by the value of their index bits, most fixed bits first."""
    shift, width = _INDEX[(isa, bits)]
    table: dict[int, list[Pattern]] = {index: [] for index in range(1 << width)}
    patterns = [p for p in PATTERNS if p.isa == isa and p.bits == bits]
    for pattern in sorted(patterns, key=lambda p: (-p.mask.bit_count(), p.text, p.name)):
        mask, value = pattern.mask >> shift & (1 << width) - 1, pattern.value >> shift & (1 << width) - 1
        for index, found in table.items():
            if index & mask == value:
                found.append(pattern)
    return table


def find(isa: str, word: int, bits: int = 32) -> Pattern | None:
    """The pattern that an instruction of ``bits`` bits is, or None."""
    key = (isa, bits)
    if key not in _buckets:
        _buckets[key] = _sorted(isa, bits)
    shift, width = _INDEX[key]
    for pattern in _buckets[key][word >> shift & (1 << width) - 1]:
        if pattern.matches(word):
            return pattern
    return None
