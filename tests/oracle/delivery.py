"""What INT n, INT3 and INTO do through a gate, written down from the manual (volume 3, 6.12 and 6.14; 20.1 for real
mode): Unicorn hands interrupts to a hook instead of delivering them.

In protected and long mode the gates of vectors from 32 on are in RAM, those below outside it, so that an exception on
the way is seen before it is delivered itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from .state import CF, DF, IF, TF, ZF
from .system_state import Exception_, Outcome, SystemCase, changed, image
from .world import (
    ABSENT_DATA,
    CODE,
    DATA,
    GATES,
    GDT,
    KERNEL_STACK,
    LDT,
    NAMES,
    PAGE,
    PC,
    SYSTEM_FIRST,
    TOP,
    TSS,
    TSS_SELECTOR,
    USER_PAGES,
    World,
    code_selector,
    data_selector,
    world,
)

NT, RF, VM, OF = 1 << 14, 1 << 16, 1 << 17, 1 << 11
FIRST = 32
GP, NP, SS, TS, PF = 13, 11, 12, 10, 14


class Raised(Exception):
    """An exception on the way."""

    def __init__(self, vector: int, error: int, address: int | None = None):
        self.fault, self.address = Exception_(vector, error), address


@dataclass
class Code:
    """A checked target: selector, descriptor, offset, privilege level."""

    selector: int
    descriptor: int
    offset: int
    level: int


# -- cases -----------------------------------------------------------------------------------------------------------
def cases(seed: int, count: int) -> Iterator[SystemCase]:
    """``count`` software interrupts in each world, most of them through gates that work."""
    for name in NAMES:
        rng = Random(f"{seed} {name}")
        for _ in range(count):
            yield _real(rng, name) if world(name).real else _case(rng, name)


def _instruction(rng: Random, place: World) -> tuple[bytes, int]:
    """INT n, or one whose vector is outside RAM: for those the base of the table is another."""
    vector = FIRST + rng.randrange(60)
    return b"\xcd" + bytes([vector]), vector


def _real(rng: Random, name: str) -> SystemCase:
    code, vector = rng.choice((_instruction(rng, world(name)), (b"\xcc", 3), (b"\xce", 4)))
    vectors = {DATA + 4 * vector: struct.pack("<2H", CODE + 2 * rng.randrange(2000), rng.choice((0, 0, 0x12)))}
    registers = {"idtr.base": DATA, "idtr.limit": 0x3FF, "rflags": _flags(rng) | OF * (vector == 4)}
    return SystemCase(name, code, registers | _stack(rng), vectors)


def _case(rng: Random, name: str) -> SystemCase:
    place = world(name)
    code, vector = _instruction(rng, place)
    size = place.gate_size
    registers = {"idtr.base": GATES - FIRST * size, "idtr.limit": 0xFFF, "rflags": _flags(rng)} | _stack(rng)
    if rng.random() < 0.05:
        registers["idtr.limit"] = size * vector + rng.choice((-1, 0, size - 2, size - 1))
    memory = {GATES + size * (vector - FIRST): _gate(rng, place)}
    if rng.random() < 0.3 and not place.long:
        slot = rng.choice((0, 0, 1, 2))
        any_data = _any_data(rng) & ~3 | slot
        selector = rng.choice((any_data, any_data, any_data, 0, 3, data_selector(32, 0), ABSENT_DATA))
        memory[TSS + 4 + 8 * slot] = struct.pack("<2I", KERNEL_STACK + 0x800, selector)
    return SystemCase(name, code, registers, memory)


def _flags(rng: Random) -> int:
    return 2 | rng.getrandbits(22) & (CF | ZF | DF | IF | 3 << 12 | NT)


def _stack(rng: Random) -> dict[str, int]:
    return {"rsp": TOP + rng.randrange(64)}


def _any_data(rng: Random) -> int:
    return 8 * rng.randrange(13, SYSTEM_FIRST) | rng.randrange(4)


def _gate(rng: Random, place: World) -> bytes:
    """A gate of the mode's size. One in two is right in everything but its levels."""
    good = rng.random() < 0.5
    bits = 64 if place.long else rng.choice((16, 32))
    level = rng.randrange(place.level + 1) if good else rng.randrange(4)
    selector = code_selector(bits, level) if good else rng.choice((
        8 * rng.randrange(SYSTEM_FIRST) | rng.randrange(4), rng.choice((0, 3, TSS_SELECTOR, 0x1000, 4, 12, 44, 0x84)),
    ))  # fmt: skip
    types = (14, 15) if place.long else (6, 7, 14, 15)
    kind = rng.choice(types) if rng.random() < 0.9 else rng.choice((0, 4, 12, 13, 8, 16 + 14, 1))
    access = kind | (rng.randrange(place.level, 4) if rng.random() < 0.9 else rng.randrange(4)) << 5
    access |= 0x80 * (rng.random() < 0.95)
    offset = CODE + 2 * rng.randrange(2000) if rng.random() < 0.9 else rng.getrandbits(32)
    stack = rng.randrange(8) if place.long and rng.random() < 0.4 else 0
    high = rng.choice((0, 0, 0, 0xFFFF8000, 0x8000)) if place.long and not good else 0
    gate = struct.pack("<HHBBH", offset & 0xFFFF, selector, stack, access, offset >> 16)
    return gate + struct.pack("<2I", high, 0) if place.long else gate


# -- what comes of them ----------------------------------------------------------------------------------------------
def expected(case: SystemCase, start: dict[str, int]) -> Outcome:
    """The outcome of a case of this module; ``start``: its world's registers."""
    before = {**start, **case.registers}
    vector = {0xCC: 3, 0xCE: 4}.get(case.code[0], case.code[-1])
    delivery = Delivery(case, before)
    try:
        if world(case.world).real:
            delivery.real(vector)
        else:
            delivery.protected(vector)
    except Raised as raised:
        return Outcome({} if raised.address is None else {"cr2": raised.address}, fault=raised.fault)
    return delivery.outcome()


class Delivery:
    """One delivery: the state before, and what it changes."""

    def __init__(self, case: SystemCase, before: dict[str, int]):
        self.place, self.before = world(case.world), before
        self.pages, self.size = image(case), len(case.code)
        self.old = dict(self.pages)
        self.changes: dict[str, int] = {}

    def outcome(self) -> Outcome:
        """What has changed."""
        registers = {k: v for k, v in self.changes.items() if v != self.before[k]}
        if registers.get("rip") == PC + self.size:
            del registers["rip"]
        return Outcome(registers, changed(self.old, self.pages))

    # -- memory -------------------------------------------------------------------------------------------------------
    def load(self, at: int, size: int) -> int:
        """A number in memory."""
        return int.from_bytes(self.pages[at & -PAGE][at & PAGE - 1 : (at & PAGE - 1) + size], "little")

    def store(self, at: int, size: int, value: int) -> None:
        """Write a number."""
        page = bytearray(self.pages[at & -PAGE])
        page[at & PAGE - 1 : (at & PAGE - 1) + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        self.pages[at & -PAGE] = bytes(page)

    def push(self, sp: int, base: int, size: int, *values: int) -> int:
        """Push values; the new stack pointer."""
        for value in values:
            sp -= size
            self.store(base + sp, size, value)
        return sp

    # -- descriptors --------------------------------------------------------------------------------------------------
    def descriptor(self, selector: int, vector: int) -> int:
        """The descriptor of a selector; an exception with that vector where there is none."""
        table, limit = (LDT, 0x7F) if selector & 4 else (GDT, PAGE - 1)
        if (selector & 0xFFF8) + 7 > limit:
            raise Raised(vector, selector & 0xFFFC)
        return self.load(table + (selector & 0xFFF8), 8)

    def accessed(self, selector: int, descriptor: int) -> None:
        """Mark a descriptor accessed."""
        at = (LDT if selector & 4 else GDT) + (selector & 0xFFF8) + 5
        self.store(at, 1, descriptor >> 40 & 255 | 1)

    def segment(self, name: str, selector: int, descriptor: int) -> None:
        """Load a segment register."""
        limit = descriptor & 0xFFFF | descriptor >> 32 & 0xF0000
        self.changes.update({
            name: selector, f"{name}.base": descriptor >> 16 & 0xFFFFFF | descriptor >> 56 << 24,
            f"{name}.limit": limit << 12 | 0xFFF if descriptor >> 55 & 1 else limit,
            f"{name}.attr": descriptor >> 40 & 0xF0FF | 1,
        })  # fmt: skip
        self.accessed(selector, descriptor)

    # -- modes --------------------------------------------------------------------------------------------------------
    def real(self, vector: int) -> None:
        """Volume 3, 20.1.4."""
        flags, target = self.before["rflags"], self.load(self.before["idtr.base"] + 4 * vector, 4)
        sp = self.push(self.before["rsp"], 0, 2, flags, self.before["cs"], PC + self.size)
        self.changes = {"rsp": sp, "rflags": flags & ~(IF | TF | 1 << 18), "rip": target & 0xFFFF, "cs": target >> 16,
                        "cs.base": target >> 16 << 4}  # fmt: skip

    def protected(self, vector: int) -> None:
        """Volume 3, 6.12.1 and 6.14.1: the gate, its code, the stack, the frame."""
        size, error = self.place.gate_size, 8 * vector + 2
        if size * vector + size - 1 > self.before["idtr.limit"]:
            raise Raised(GP, error)
        gate = self.load(self.before["idtr.base"] + size * vector, 8)
        kind = gate >> 40 & 31
        if kind not in ((14, 15) if self.place.long else (6, 7, 14, 15)) or gate >> 45 & 3 < self.place.level:
            raise Raised(GP, error)
        if not gate >> 47 & 1:
            raise Raised(NP, error)
        high = self.load(self.before["idtr.base"] + size * vector + 8, 4) if self.place.long else 0
        offset = gate & 0xFFFF | (gate >> 32 & 0xFFFF0000 if kind & 8 else 0) | high << 32
        code = self.code(gate >> 16 & 0xFFFF, offset)
        if self.place.long:
            self.long_frame(code, gate >> 32 & 7)
        else:
            self.legacy_frame(code, 4 if kind & 8 else 2)
        self.segment("cs", code.selector & 0xFFFC | code.level, code.descriptor)
        keep = ~(TF | NT | RF | VM | (0 if kind & 1 else IF))
        self.changes.update(rip=offset, rflags=self.before["rflags"] & keep, cpl=code.level)

    def code(self, selector: int, offset: int) -> Code:
        """The code segment of a gate, checked in the order that volume 2 has for CALL through one."""
        if not selector & 0xFFFC:
            raise Raised(GP, 0)
        descriptor, error = self.descriptor(selector, GP), selector & 0xFFFC
        access = descriptor >> 40
        if access & 0x18 != 0x18 or access >> 5 & 3 > self.place.level:
            raise Raised(GP, error)
        if self.place.long and descriptor >> 53 & 3 != 1:
            raise Raised(GP, error)
        if not access & 0x80:
            raise Raised(NP, error)
        limit = descriptor & 0xFFFF | descriptor >> 32 & 0xF0000
        limit = limit << 12 | 0xFFF if descriptor >> 55 & 1 else limit
        if offset >> 47 not in (0, 0x1FFFF) if self.place.long else offset > limit:
            raise Raised(GP, 0)
        return Code(selector, descriptor, offset, self.place.level if access & 4 else access >> 5 & 3)

    def long_frame(self, code: Code, ist: int) -> None:
        """Volume 3, 6.14.2 to 6.14.5."""
        sp = self.before["rsp"]
        if ist:
            sp = self.load(TSS + 36 + 8 * (ist - 1), 8)
        elif code.level != self.place.level:
            sp = self.load(TSS + 4 + 8 * code.level, 8)
        if code.level == 3 and (sp & -16) - 8 & -PAGE not in USER_PAGES:  # it is pushed as level 3 would (4.6.1)
            raise Raised(PF, 7, (sp & -16) - 8)
        frame = [self.before[name] for name in ("ss", "rsp", "rflags", "cs")]
        self.changes["rsp"] = self.push(sp & -16, 0, 8, *frame, PC + self.size)
        if code.level != self.place.level:
            self.changes["ss"] = code.level

    def legacy_frame(self, code: Code, size: int) -> None:
        """Volume 3, 6.12.1: on the same stack, or on that of the TSS."""
        frame = [self.before["rflags"], self.before["cs"], PC + self.size]
        if code.level == self.place.level:
            self.changes["rsp"] = self.push(self.before["rsp"], 0, size, *frame)
            return
        sp, selector = self.load(TSS + 4 + 8 * code.level, 4), self.load(TSS + 8 + 8 * code.level, 2)
        if not selector & 0xFFFC:
            raise Raised(TS, 0)
        stack, error = self.descriptor(selector, TS), selector & 0xFFFC
        access = stack >> 40
        if selector & 3 != code.level or access >> 5 & 3 != code.level or access & 0x1A != 0x12:
            raise Raised(TS, error)
        if not access & 0x80:
            raise Raised(SS, error)
        base = self.stack_base(stack, sp, size)
        self.changes["rsp"] = self.push(sp, base, size, self.before["ss"], self.before["rsp"], *frame)
        self.segment("ss", selector, stack)

    def stack_base(self, stack: int, sp: int, size: int) -> int:
        """Base of the new stack, if the frame is within its limit."""
        limit = stack & 0xFFFF | stack >> 32 & 0xF0000
        limit = limit << 12 | 0xFFF if stack >> 55 & 1 else limit
        top = 0xFFFFFFFF if stack >> 54 & 1 else 0xFFFF
        inside = sp - 5 * size > limit and sp - 1 <= top if stack >> 40 & 4 else sp - 1 <= limit
        if not inside:
            raise Raised(SS, 0)
        return stack >> 16 & 0xFFFFFF | stack >> 56 << 24
