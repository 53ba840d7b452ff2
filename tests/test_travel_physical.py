"""Watchpoints of physical addresses, reads as well as writes, in both directions and both tiers: against single steps
whose instructions' operands Capstone names."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import capstone
import pytest
from capstone import arm_const, x86_const
from debug_recordings import ARCHITECTURES, demo_recording

from runtime.debug.target import Target, make_target
from runtime.timeline.travel import Point, Travel

STEPS = 600
_MODES = {"x86_64": (capstone.CS_ARCH_X86, capstone.CS_MODE_64), "i386": (capstone.CS_ARCH_X86, capstone.CS_MODE_32),
          "arm": (capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM)}  # fmt: skip
_CODE = {"x86_64": "64", "i386": "32", "arm": "arm"}
KINDS = ("read", "write", "access")
Access = tuple[str, int, int]


@pytest.fixture(scope="module", params=[(arch, tier) for arch in ARCHITECTURES for tier in ("interp", "jit")], ids=str)
def travel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Travel]:
    arch, tier = request.param
    found = Travel(demo_recording(arch, tmp_path_factory.getbasetemp()), tier=tier)
    yield found
    found.close()


class Decoder:
    """The explicit memory operands of instructions; None of one that may access other memory."""

    def __init__(self, target: Target):
        self._target = target
        self._decoder = capstone.Cs(*_MODES[target.arch])
        self._decoder.detail = True

    def accesses(self) -> tuple[list[Access], int] | None:
        """Of the instruction that comes next: "read" or "write", address, size; and where the one behind it is."""
        code, pc = self._target.read(self._target.pc, 16), self._target.pc
        if self._target.code != _CODE[self._target.arch] or not (found := list(self._decoder.disasm(code, pc, 1))):
            return None
        (insn,) = found
        accesses = self._arm(insn) if self._target.arch == "arm" else self._x86(insn)
        return None if accesses is None else (accesses, insn.address + insn.size)

    def _register(self, insn: capstone.CsInsn, number: int) -> int:
        name = insn.reg_name(number) if number else ""
        if name in ("", "riz", "eiz"):
            return 0
        if self._target.arch == "x86_64" and name[0] == "e":
            return self._target.read_register("r" + name[1:]) & 0xFFFFFFFF
        return self._target.read_register(name)

    def _x86(self, insn: capstone.CsInsn) -> list[Access] | None:
        word = insn.mnemonic
        stack = x86_const.X86_REG_RSP in insn.regs_read or x86_const.X86_REG_ESP in insn.regs_read
        if stack or "rep" in word or word[:4] in ("movs", "stos", "lods", "cmps", "scas") or word in ("leave", "iret"):
            return None
        found: list[Access] = []
        for operand in insn.operands:
            if operand.type == x86_const.X86_OP_MEM and word != "lea" and word != "nop":
                base = insn.address + insn.size if operand.mem.base == x86_const.X86_REG_RIP else None
                start = self._register(insn, operand.mem.base) if base is None else base
                at = start + self._register(insn, operand.mem.index) * operand.mem.scale + operand.mem.disp
                address = at & (1 << 64 if self._target.arch == "x86_64" else 1 << 32) - 1
                found += [(kind, address, operand.size) for kind in _kinds(operand.access)]
        return found

    def _arm(self, insn: capstone.CsInsn) -> list[Access] | None:
        sizes = {"ldr": 4, "str": 4, "ldrb": 1, "strb": 1, "ldrh": 2, "strh": 2}
        memory = [operand for operand in insn.operands if operand.type == arm_const.ARM_OP_MEM]
        if not memory:
            return None if insn.mnemonic[:3] in ("ldm", "stm", "pus", "pop", "svc", "vld", "vst", "swp") else []
        if insn.mnemonic not in sizes or insn.cc != arm_const.ARM_CC_AL or memory[0].mem.index:
            return None
        base = self._register(insn, memory[0].mem.base)
        if memory[0].mem.base == arm_const.ARM_REG_PC:
            base = (insn.address + 8) & -4
        at = base if insn.post_index else (base + memory[0].mem.disp) & 0xFFFFFFFF
        return [("read" if insn.mnemonic[0] == "l" else "write", at, sizes[insn.mnemonic])]


def _kinds(access: int) -> list[str]:
    found = ["read"] if access & capstone.CS_AC_READ else []
    return [*found, "write"] if access & capstone.CS_AC_WRITE else found


def model(travel: Travel, start: int) -> tuple[list[int], list[list[Access] | None]]:
    """Positions one step apart, and what each step accesses, by physical address; None: that is not known."""
    target = make_target(travel.machine)
    decoder = Decoder(target)
    travel.set_points(())
    travel.seek(start)
    positions, known = [travel.icount], list[list[Access] | None]()
    for _ in range(STEPS):
        accesses, behind = decoder.accesses() or ([], None)
        places = [(kind, target.translate(address), size) for kind, address, size in accesses]
        travel.step()
        positions.append(travel.icount)
        straight = travel.pc == behind  # otherwise it is a jump, or an interrupt went before it
        known.append([(kind, at, size) for kind, at, size in places if at is not None] if straight else None)
    return positions, known


def hit(accesses: list[Access], point: Point) -> bool:
    kinds = ("read", "write") if point.kind == "access" else (point.kind,)
    return any(
        kind in kinds and at < point.address + point.size and point.address < at + size for kind, at, size in accesses
    )


def test_accesses_are_where_the_operands_are(travel: Travel) -> None:
    seen = 0
    begins, loop, input_ = 9000, travel.end // 3, travel.recording.log.events[-1].icount - 300
    for start in (begins, loop, input_) if travel.machine.config.tier == "interp" else (loop,):
        positions, known = model(travel, start)
        ram = travel.machine.engine.locate
        read = sorted({at & -8 for found in known for kind, at, _ in found or () if kind == "read" and ram(at)})
        steps = list(zip(pairwise(positions), known, strict=True))
        for at in {*read[:1], *read[-1:], *read[len(read) // 2 :][:1]}:
            seen_by = {}
            for kind in KINDS:
                point = Point(kind, at, 4, physical=True)
                forward, backward = hits(travel, positions, point)
                assert forward == backward
                sure = {here for (here, there), found in steps if there == here + 1 and hit(found or [], point)}
                perhaps = {there - 1 for (here, there), found in steps if found is None or there > here + 1}
                assert sure <= set(forward) <= sure | perhaps
                seen_by[kind] = {*forward}
                seen += len(sure)
            assert seen_by["access"] == seen_by["read"] | seen_by["write"]
    assert seen > 10


def hits(travel: Travel, positions: list[int], point: Point) -> tuple[list[int], list[int]]:
    """Where a window's hits begin, by runs forward, and by runs backward (in the order of time)."""
    travel.set_points([point])
    travel.seek(positions[0])
    forward, backward = [], []
    while (arrival := travel.run(positions[-1])).why == "watch":
        assert arrival.point == point and point.address - 16 < arrival.address < point.address + point.size
        forward.append(arrival.icount - 1)
    while (arrival := travel.run_back(positions[0])).why == "watch":
        backward.append(arrival.icount)
    return forward, backward[::-1]
