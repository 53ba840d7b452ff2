"""Random A32 and T32 programs for comparing tiers: blocks of the table's instructions, IT blocks, branches of every
kind between blocks of both instruction sets.

They need not make sense: a run is as long as its budget, and one that faults ends there. R7 points into the data pages,
R6 is an index, SP is in the stack; the others are anything.
"""

from __future__ import annotations

from random import Random

from arm_cases import LAST_IN_IT, NOT_COMPARED, NOT_IN_IT, patterns, random_state
from oracle.arm_state import PLACES, SYS, ArmState, E, T

from frontends.arm.decode import code_of
from frontends.arm.patterns import A32, T32, Pattern, find

DATA, INDEX, SP, LR, PC = 7, 6, 13, 14, 15
#: Registers that instructions may write.
TARGETS = (0, 1, 2, 3, 4, 5, 12)
RESULTS = "dhltu"
AL = 14


def _plain(pattern: Pattern) -> bool:
    """An instruction for the middle of a block."""
    return pattern.group in ("data", "media", "load") or "rex" in pattern.name


_MIDDLE = {isa: [p for p in patterns(isa, ("data", "media", "load", "block")) if _plain(p)] for isa in (A32, T32)}


class Program:
    """Bytes of a program for address ``base`` and the addresses of its blocks (with bit 0 set for T32)."""

    def __init__(self, rng: Random, base: int):
        self.rng, self.base = rng, base
        self.code = bytearray()
        self.starts: list[int] = []
        self._jumps: list[tuple[int, str, int, int]] = []  # (place, kind, condition, block)
        thumb = rng.random() < 0.5
        self.isas = [rng.random() < 0.2 for _ in range(rng.randint(2, 6))]
        self.isas = [thumb ^ other for other in self.isas]
        for number in range(len(self.isas)):
            self._block(number)
        for place, kind, condition, block in self._jumps:
            self._patch(place, kind, condition, block)

    # -- instructions -------------------------------------------------------------------------------------------------
    def _put(self, word: int, bits: int = 32) -> None:
        self.code += code_of(word, bits, self.thumb)

    def _tame(self, pattern: Pattern) -> int | None:
        """A random instruction of a pattern with registers as above, or None."""
        rng, fields = self.rng, pattern.extract(pattern.random(self.rng))
        for name in RESULTS:
            if name in fields:
                fields[name] = rng.choice(TARGETS if len(pattern.fields[name]) > 3 else TARGETS[:6])
        if "u" in fields and "t" in fields:
            fields["u"] = fields["t"] + 1 if fields["t"] != 12 else 5
        if pattern.group != "data" and pattern.group != "media":
            if "n" in fields:
                fields["n"] = DATA if rng.random() < 0.9 or len(pattern.fields["n"]) == 3 else SP
            if "m" in fields:
                fields["m"] = INDEX
            if "i" in fields and fields["i"] > 0x7FF:
                fields["i"] &= 0x7FC
            if rng.random() < 0.8:
                fields.update({k: v for k, v in (("P", 1), ("W", 0), ("U", 1)) if k in fields})
        if "c" in fields and rng.random() < 0.6:
            fields["c"] = AL
        word = pattern.encode(**fields)
        if find(pattern.isa, word, pattern.bits) is not pattern or pattern.unpredictable(word):
            return None
        return word

    def _instruction(self, in_it: bool = False) -> None:
        while True:
            pattern = self.rng.choice(_MIDDLE[T32 if self.thumb else A32])
            if pattern.name in NOT_COMPARED or pattern.name in LAST_IN_IT or (in_it and pattern.name in NOT_IN_IT):
                continue
            word = self._tame(pattern)
            if word is not None:
                self._put(word, pattern.bits)
                return

    def _it_block(self, branch: int | None = None) -> None:
        """IT and its instructions, the last one of which may be a branch."""
        rng = self.rng
        condition, mask = rng.randrange(14), rng.randrange(1, 16)
        self._put(0xBF00 | condition << 4 | mask, 16)
        count = 4 - (mask & -mask).bit_length() + 1
        for n in range(count):
            if n == count - 1 and branch is not None:
                self._put(rng.choice((0x4770, 0x4700 | branch << 3, 0xBD00)), 16)  # bx lr, bx r, pop {pc}
            else:
                self._instruction(True)

    def _housekeeping(self) -> None:
        """Keep index and data pointer in range, work with the stack, change the endianness at times."""
        rng = self.rng
        address = PLACES.data[0] + rng.choice((0x100, 0x800, 0xFF0, 0x1100)) // 4 * 4
        kind = rng.random()
        if kind < 0.4:
            self._put(0xF006063F if self.thumb else 0xE206603F)  # and r6, r6, 63
        elif kind < 0.8:
            self._move(DATA, address)
        elif kind < 0.95:
            mask = rng.randrange(1, 64)
            self._put(0xB400 | mask if self.thumb else 0xE92D0000 | mask, 16 if self.thumb else 32)
            self._put(0xBC00 | mask if self.thumb else 0xE8BD0000 | mask, 16 if self.thumb else 32)
        elif self.thumb:
            self._put(rng.choice((0xB650, 0xB650, 0xB658)), 16)  # setend
        else:
            self._put(rng.choice((0xF1010000, 0xF1010000, 0xF1010200)))

    def _move(self, register: int, value: int) -> None:
        """MOVW and MOVT."""
        for half, top in ((value & 0xFFFF, 0), (value >> 16, 1)):
            if self.thumb:
                word = 0xF2400000 | top << 23 | (half >> 12) << 16 | (half >> 11 & 1) << 26 | (half >> 8 & 7) << 12
                self._put(word | register << 8 | half & 0xFF)
            else:
                self._put(0xE3000000 | top << 22 | (half >> 12) << 16 | register << 12 | half & 0xFFF)

    # -- blocks -------------------------------------------------------------------------------------------------------
    def _block(self, number: int) -> None:
        rng = self.rng
        self.thumb = self.isas[number]
        if len(self.code) & 2 and not self.thumb:
            self.code += b"\0\xbf"
        self.starts.append(self.base + len(self.code) | int(self.thumb))
        for _ in range(rng.randint(1, 7)):
            kind = rng.random()
            if kind < 0.15:
                self._housekeeping()
            elif kind < 0.35 and self.thumb:
                self._it_block()
            else:
                self._instruction()
        self._end(number)

    def _jump(self, kind: str, condition: int, block: int) -> None:
        self._jumps.append((len(self.code), kind, condition, block))
        self.code += bytes(4 if kind != "move" else 8)

    def _end(self, number: int) -> None:
        rng = self.rng
        blocks, kind, target = len(self.isas), rng.random(), rng.randrange(len(self.isas))
        if kind < 0.3 and self.isas[target] == self.thumb:
            self._jump("b", rng.randrange(14), target)
        elif kind < 0.45:
            self._jump("bl" if self.isas[target] == self.thumb else "blx", AL, target)
        elif kind < 0.6:
            self._jump("move", AL, target)
            self._indirect(12)
        elif kind < 0.75:
            self._return()
        if number == blocks - 1:
            self._jump("move", AL, rng.randrange(blocks))
            self._put(0x4760 if self.thumb else 0xE12FFF1C, 16 if self.thumb else 32)  # bx r12

    def _indirect(self, register: int) -> None:
        rng = self.rng
        if self.thumb:
            if rng.random() < 0.5:
                self._it_block(register)
            else:
                self._put(rng.choice((0x4700, 0x4780)) | register << 3, 16)
        else:
            condition = rng.choice((AL, rng.randrange(14)))
            self._put(condition << 28 | rng.choice((0x012FFF10, 0x012FFF30)) | register)

    def _return(self) -> None:
        """BX LR, MOV PC, LR, a load of the PC."""
        rng = self.rng
        if self.thumb:
            if rng.random() < 0.5:
                self._it_block(LR)
            else:
                self._put(rng.choice((0x4770, 0xBD00, 0xBD03)), 16)
        else:
            condition = rng.choice((AL, AL, rng.randrange(14)))
            self._put(condition << 28 | rng.choice((0x012FFF1E, 0x01A0F00E, 0x08BD8000, 0x08BD8006, 0x049DF004)))

    def _patch(self, place: int, kind: str, condition: int, block: int) -> None:
        here, target = self.base + place, self.starts[block]
        saved, self.code = self.code, bytearray()
        self.thumb = self._thumb_at(place)
        distance = (target & ~1) - here - (4 if self.thumb else 8)
        if kind == "move":
            self._move(12, target)
        elif not self.thumb:
            words = {"b": condition << 28 | 0x0A000000, "bl": 0xEB000000, "blx": 0xFA000000 | (distance & 2) << 23}
            self._put(words[kind] | distance >> 2 & 0xFFFFFF)
        elif kind == "b":
            bits = distance >> 1
            word = 0xF0008000 | (bits >> 19 & 1) << 26 | condition << 22 | (bits >> 11 & 0x3F) << 16 | bits & 0x7FF
            self._put(word | (bits >> 17 & 1) << 13 | (bits >> 18 & 1) << 11)
        else:
            if kind == "blx":
                distance = (target & ~3) - (here & ~3) - 4
            bits = distance >> 1
            s = bits >> 23 & 1
            word = 0xF000C000 | s << 26 | (bits >> 11 & 0x3FF) << 16 | bits & 0x7FF
            word |= (bits >> 22 & 1 ^ s ^ 1) << 13 | (bits >> 21 & 1 ^ s ^ 1) << 11
            self._put(word | (1 << 12 if kind == "bl" else 0))
        made, self.code = self.code, saved
        self.code[place : place + len(made)] = made

    def _thumb_at(self, place: int) -> bool:
        """The instruction set of the block that a place is in."""
        return next(bool(s & 1) for s in reversed(self.starts) if (s & ~1) - self.base <= place)


def program(rng: Random) -> tuple[ArmState, bytes]:
    """A program and a state in which it starts."""
    state = random_state(rng, False, True)
    state.cpsr = state.cpsr & ~(E | T) | SYS
    base = PLACES.code + rng.randrange(0x40) * 4
    while True:
        made = Program(rng, base)
        if len(made.code) < 0xE00:
            break
    state.r[15], state.cpsr = made.starts[0] & ~1, state.cpsr | (T if made.starts[0] & 1 else 0)
    state.r[DATA], state.r[INDEX], state.r[SP] = PLACES.data[0] + 0x400, 12, PLACES.stack + 0x800
    state.r[LR] = rng.choice(made.starts)
    for at in range(0x7C0, 0x880, 4):  # what returns find before anything was pushed
        state.write(PLACES.stack + at, rng.choice(made.starts).to_bytes(4, "little"))
    return state, bytes(made.code)
