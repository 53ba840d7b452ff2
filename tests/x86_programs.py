"""Random programs for comparing tiers: blocks of hot instructions joined by branches, loops, calls and returns.

They need not make sense: a run is as long as its budget, and one that faults ends there. RBX points into the data pages
and RSP into the stack; the other registers are anything.
"""

from __future__ import annotations

from random import Random

from oracle.generate import random_state
from oracle.state import DF, X86State, layout

RBX, RSP, RBP = 3, 4, 5
#: Registers that an instruction may write.
TARGETS = (0, 1, 2, 5, 6, 7)


class Program:
    """Bytes of a program and where its blocks start. ``mode``: 32 or 64."""

    def __init__(self, mode: int, rng: Random):
        self.mode, self.rng = mode, rng
        self.code = bytearray()
        self.starts: list[int] = []
        self._jumps: list[tuple[int, int, int]] = []  # (place, bytes, block)
        blocks = rng.randint(2, 7)
        for number in range(blocks):
            self.starts.append(len(self.code))
            for _ in range(rng.randint(1, 6)):
                self.code += self._instruction()
            self._end(number, blocks)
        for place, size, block in self._jumps:
            distance = self.starts[block] - (place + size)
            self.code[place : place + size] = distance.to_bytes(size, "little", signed=True)

    # -- instructions -------------------------------------------------------------------------------------------------
    def _size(self) -> tuple[bytes, int]:
        """Prefixes, and 1 for an operand wider than a byte."""
        kind = self.rng.random()
        if kind < 0.2:
            return b"", 0
        if kind < 0.35:
            return b"\x66", 1
        return (b"\x48" if self.mode == 64 and kind < 0.65 else b""), 1

    def _register(self) -> int:
        return self.rng.choice(TARGETS)

    def _modrm(self, reg: int, memory: bool, wide: int = 1) -> bytes:
        """ModRM of ``reg`` with a register, or with memory near RBX."""
        rng = self.rng
        if not memory:
            return bytes([0xC0 | reg << 3 | (self._register() if wide else rng.randrange(3))])
        if rng.random() < 0.3:  # [rbx + rbp], which _masked keeps small
            return bytes([0x04 | reg << 3, 0x2B])
        if rng.random() < 0.5:
            return bytes([0x43 | reg << 3, rng.randrange(128)])
        return bytes([0x83 | reg << 3]) + rng.randrange(0x1FF0).to_bytes(4, "little")

    def _instruction(self) -> bytes:
        rng = self.rng
        makers = (self._alu, self._alu, self._alu, self._immediate, self._move, self._move, self._shift, self._unary,
                  self._extended, self._extended, self._stack, self._vector, self._masked, self._lea)  # fmt: skip
        return rng.choice(makers)()

    def _reg(self, wide: int) -> int:
        """A register operand that may be written: of the bytes AL, CL, DL only, because RBX must stay."""
        return self._register() if wide else self.rng.randrange(3)

    def _alu(self) -> bytes:
        prefix, wide = self._size()
        opcode = self.rng.randrange(8) << 3 | self.rng.choice((0, 2)) | wide
        memory = self.rng.random() < 0.4
        return prefix + bytes([opcode]) + self._modrm(self._reg(wide), memory, wide)

    def _immediate(self) -> bytes:
        prefix, wide = self._size()
        memory = self.rng.random() < 0.3
        opcode = 0x83 if wide else 0x80
        return prefix + bytes([opcode]) + self._modrm(self.rng.randrange(8), memory, wide) + self._byte()

    def _byte(self) -> bytes:
        return bytes([self.rng.choice((0, 1, 4, 0x7F, 0x80, 0xFF, self.rng.randrange(256)))])

    def _move(self) -> bytes:
        prefix, wide = self._size()
        opcode = self.rng.choice((0x88, 0x8A, 0x8A, 0x86)) | wide
        return prefix + bytes([opcode]) + self._modrm(self._reg(wide), self.rng.random() < 0.6, wide)

    def _shift(self) -> bytes:
        prefix, wide = self._size()
        rng = self.rng
        what, memory = rng.choice((0, 1, 2, 3, 4, 5, 7)), rng.random() < 0.2
        kind = rng.randrange(3)
        opcode = (0xC0, 0xD0, 0xD2)[kind] | wide
        tail = bytes([rng.randrange(64)]) if kind == 0 else b""
        return prefix + bytes([opcode]) + self._modrm(what, memory, wide) + tail

    def _unary(self) -> bytes:
        prefix, wide = self._size()
        rng = self.rng
        memory = rng.random() < 0.3
        if rng.random() < 0.5:
            return prefix + bytes([0xFE | wide]) + self._modrm(rng.randrange(2), memory, wide)
        what = rng.choice((2, 3, 4, 5) if rng.random() < 0.95 else (6, 7))
        return prefix + bytes([0xF6 | wide]) + self._modrm(what, memory, wide)

    def _extended(self) -> bytes:
        """0F opcodes: MOVZX, MOVSX, CMOVcc, SETcc, IMUL, BT*, BSF, XADD, CMPXCHG, SHLD."""
        prefix, wide = self._size()
        rng = self.rng
        opcode = rng.choice((0xB6, 0xB7, 0xBE, 0xBF, 0x40 | rng.randrange(16), 0x90 | rng.randrange(16), 0xAF, 0xA3,
                             0xBA, 0xBC, 0xBD, 0xC0 | wide, 0xB0 | wide, 0xA4, 0xAD))  # fmt: skip
        narrow = opcode & 0xF0 == 0x90 or opcode in (0xC0, 0xB0, 0xB6, 0xBE)
        memory = rng.random() < 0.3 and opcode != 0xA3
        reg = rng.randrange(4, 8) if opcode == 0xBA else self._reg(0 if opcode in (0xC0, 0xB0) else 1)
        tail = bytes([rng.randrange(64)]) if opcode in (0xBA, 0xA4) else b""
        code = prefix if wide or opcode not in (0xC1, 0xB1) else b""
        return code + bytes([0x0F, opcode]) + self._modrm(reg, memory, 0 if narrow else 1) + tail

    def _stack(self) -> bytes:
        rng = self.rng
        push = bytes([0x50 | rng.randrange(8)]) if rng.random() < 0.7 else b"\x6a" + self._byte()
        if rng.random() < 0.1:  # whatever comes of it
            return rng.choice((push, bytes([0x58 | self._register()])))
        return push + self._alu() + bytes([0x58 | self._register()])

    def _vector(self) -> bytes:
        """Moves, integer and floating-point SSE between XMM0 to XMM3 and memory."""
        rng = self.rng
        what = rng.choice((b"\x0f\x10", b"\x0f\x11", b"\x66\x0f\xfe", b"\x66\x0f\xef", b"\xf2\x0f\x58", b"\xf3\x0f\x59",
                           b"\x66\x0f\xd4", b"\x66\x0f\x62", b"\x0f\x57"))  # fmt: skip
        memory = what in (b"\x0f\x10", b"\x0f\x11", b"\xf2\x0f\x58") and rng.random() < 0.6
        reg = rng.randrange(4)
        return what + (self._modrm(reg, True) if memory else bytes([0xC0 | reg << 3 | rng.randrange(4)]))

    def _masked(self) -> bytes:
        """AND EBP, so that [rbx + rbp] stays on the data pages and crosses from one to the other at times."""
        return b"\x81\xe5" + self.rng.choice((0xFFF, 0xFF8, 0x1FF0)).to_bytes(4, "little")

    def _lea(self) -> bytes:
        prefix = b"\x48" if self.mode == 64 and self.rng.random() < 0.5 else b""
        index = self.rng.choice((0, 1, 2, 5, 6, 7))
        sib = self.rng.randrange(4) << 6 | index << 3 | self.rng.choice((0, 1, 2, 6, 7))
        return prefix + bytes([0x8D, 0x44 | self._register() << 3, sib]) + self._byte()

    # -- ends of blocks -----------------------------------------------------------------------------------------------
    def _branch(self, opcode: bytes, size: int, block: int) -> None:
        self.code += opcode
        self._jumps.append((len(self.code), size, block))
        self.code += bytes(size)

    def _end(self, number: int, blocks: int) -> None:
        rng = self.rng
        target, kind = rng.randrange(blocks), rng.random()
        if kind < 0.45:
            self._branch(bytes([0x0F, 0x80 | rng.randrange(16)]), 4, target)
        elif kind < 0.55:  # a counted loop
            self.code += b"\x83\xe1" + bytes([rng.choice((1, 3, 15))])
            self._branch(bytes([0x0F, 0x85]), 4, target)
        elif kind < 0.75:
            self._branch(b"\xe8", 4, target)
        elif kind < 0.85:
            self.code += b"\xc3"
        elif kind < 0.92:
            self._indirect(target)
        if number == blocks - 1:
            self._branch(b"\xe9", 4, rng.randrange(blocks))

    def _indirect(self, target: int) -> None:
        """JMP or CALL to a block by EDI: in 64-bit mode by its address, else relative to a CALL's."""
        rng = self.rng
        if self.mode == 64:
            self._branch(b"\x48\x8d\x3d", 4, target)
        else:
            self.code += b"\xe8\0\0\0\0"
            self.code += b"\x5f"
            self._jumps.append((len(self.code) + 2, 4, target))
            self.code += b"\x81\xc7\0\0\0\0"
            # The distance counts from behind this ADD, EDI from 7 bytes before that.
            self.code += b"\x83\xc7\x07"
        self.code += b"\xff" + bytes([rng.choice((0xE7, 0xD7))])


#: A second address of the code page, through which self-modifying programs write as well.
ALIAS = 0x20006000


class SelfModifying(Program):
    """A program that overwrites operands, and registers and operations, of its own instructions.

    ``base``: its address; the page is writable there and at ALIAS."""

    def __init__(self, mode: int, rng: Random, base: int):
        self.base = base
        self._operands: list[int] = []  # of instructions 81 /n: where the ModRM is, behind it 4 bytes
        self._writes: list[tuple[int, bool]] = []  # places of absolute addresses, and whether of a ModRM
        super().__init__(mode, rng)
        for place, operation in self._writes:
            target = rng.choice(self._operands) if self._operands else 0x800
            target += 0 if operation else rng.choice((1, 1, 2, 3, 4))
            page, offset = rng.choice((base & -4096, ALIAS)), (base & 4095) + target
            self.code[place : place + 4] = (page + offset).to_bytes(4, "little")

    def _instruction(self) -> bytes:
        kind = self.rng.random()
        if kind < 0.3:
            code = bytes([0x81, self._operation()]) + self.rng.randbytes(4)
            self._operands.append(len(self.code) + 1)
        elif kind < 0.4:  # MOV BYTE PTR [address], operation
            code = b"\xc6\x04\x25" + bytes(4) + bytes([self._operation()])
            self._writes.append((len(self.code) + 3, True))
        elif kind < 0.55:  # MOV [address], AL, CL or DL
            code = bytes([0x88, 0x04 | self.rng.randrange(3) << 3, 0x25]) + bytes(4)
            self._writes.append((len(self.code) + 3, False))
        else:
            code = super()._instruction()
        return code

    def _operation(self) -> int:
        """ModRM of an operation on a register."""
        return 0xC0 | self.rng.randrange(8) << 3 | self._register()


def program(mode: int, rng: Random, self_modifying: bool = False) -> tuple[X86State, bytes]:
    """A program and a state in which it starts."""
    state = random_state(mode, rng, sse=True)
    state.mxcsr = 0x1F80
    state.rflags &= ~DF
    places = layout(mode)
    state.rip = places.code + rng.randrange(0x800)
    state.gpr[RBX], state.gpr[RSP] = places.data[0], places.stack + 0x800
    state.gpr[RBP] &= 0xFFF
    for page in places.data:
        state.write(page, rng.randbytes(4096))
    made = SelfModifying(mode, rng, state.rip) if self_modifying else Program(mode, rng)
    for at in range(0x7C0, 0x840, 8):  # what returns find before anything was pushed
        to = state.rip + rng.choice(made.starts)
        state.write(places.stack + at, to.to_bytes(8, "little") if mode == 64 else to.to_bytes(4, "little") * 2)
    return state, bytes(made.code)
