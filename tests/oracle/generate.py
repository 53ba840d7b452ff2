"""Random cases for an encoding: concrete bytes with every addressing form, and a state in which they mostly succeed.

Memory operands point into the layout's data pages, sometimes unaligned, across a page, into read-only or unmapped
memory, or out of canonical range; then the expected result is the exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from random import Random

from . import values
from .encodings import Encoding, encodings
from .state import PAGE, USER_FLAGS, Case, X86State, default_state, disassembler, layout

__all__ = ["Encoding", "cases", "encodings", "random_case", "random_state"]

_M64 = (1 << 64) - 1
_REGISTER_IN_OPCODE = frozenset((*range(0x50, 0x60), *range(0x91, 0x98), *range(0xB0, 0xC0)))
_BIT_STRING = frozenset(("bt", "bts", "btr", "btc"))
_PAIRS_16 = ((3, 6), (3, 7), (5, 6), (5, 7), (6, None), (7, None), (5, None), (3, None))
"""Base and index register numbers of 16-bit addressing by r/m (SDM vol. 2, table 2-1)."""


def cases(mode: int, seed: int, each: int = 1, select: Callable[[Encoding], bool] | None = None) -> Iterator[Case]:
    """`each` random cases (without results) for every encoding of `mode` that `select` accepts; same seed, same
    cases.
    """
    for encoding in encodings(mode):
        if select is None or select(encoding):
            rng = Random(f"{seed} {encoding}")
            for _ in range(each):
                yield random_case(encoding, rng)


def random_case(encoding: Encoding, rng: Random) -> Case:
    """One case for `encoding`. Raises ValueError if Capstone does not accept any of the attempts to make one."""
    for _ in range(20):
        state = random_state(encoding.mode, rng, _uses_x87(encoding), "mm" in encoding.text or _mxcsr(encoding))
        code = _build(encoding, rng, state)
        decoded = next(disassembler(encoding.mode).disasm_lite(code, state.rip, 1), None)
        if decoded and decoded[1] == len(code):
            return Case(encoding.mode, code, state)
    raise ValueError(f"no bytes for {encoding}")


def random_state(mode: int, rng: Random, x87: bool = False, sse: bool = False) -> X86State:
    """General registers and flags at random, the stack pointer in the stack page; x87 and SSE state where asked for."""
    state = default_state(mode)
    mask = _M64 if mode == 64 else 0xFFFFFFFF
    count = 16 if mode == 64 else 8
    state.gpr[:count] = [values.integer(rng) & mask for _ in range(count)]
    stack = layout(mode).stack
    state.gpr[4] = stack + rng.choice((PAGE // 2, PAGE // 2 - rng.randrange(64), rng.randrange(0, PAGE, 8)))
    if rng.random() < 0.5:
        state.gpr[5] = stack + PAGE // 2 + 8 * rng.randrange(64)
    state.rflags = 0x202 | rng.getrandbits(22) & USER_FLAGS & ~(1 << 18 | 1 << 14)
    if x87:
        state.fcw = values.x87_control(rng)
        state.fsw = values.x87_status(rng, state.fcw)
        state.ftw = values.x87_tags(rng, state.fsw)
        state.st = [values.float80(rng) for _ in range(8)]
    if sse:
        state.mxcsr = values.mxcsr(rng)
        state.xmm[:count] = [values.vector(rng) for _ in range(count)]
    return state


def _uses_x87(encoding: Encoding) -> bool:
    name = encoding.mnemonic
    mmx = any(operand.strip().startswith("mm") for operand in encoding.text.partition(" ")[2].split(","))
    return mmx or name[0] == "f" or name in ("wait", "emms", "cvtpi2ps", "cvtpi2pd")


def _mxcsr(encoding: Encoding) -> bool:
    return encoding.mnemonic in ("ldmxcsr", "stmxcsr", "maskmovdqu") or encoding.mnemonic.startswith("fx")


def _build(encoding: Encoding, rng: Random, state: X86State) -> bytes:
    """The bytes of a random instance of `encoding`; puts into `state` what its operands need."""
    rex = 8 if encoding.rex_w else 0
    prefixes, tail, memory, form = encoding.prefixes, b"", None, None
    reg = rng.randrange(8) if encoding.reg is None else encoding.reg
    extend = encoding.mode == 64 and rng.random() < 0.6
    if encoding.operands == "register":
        rm = rng.randrange(8) if encoding.rm is None else encoding.rm
        tail = bytes([0xC0 | reg << 3 | rm])
        rex |= rng.getrandbits(1) if extend and encoding.rm is None else 0
    elif encoding.operands == "memory":
        memory = _target(encoding.mode, rng)
        form = _Address(encoding.mode, rng, state, memory, extend)
        tail, rex, prefixes = form.bytes(reg), rex | form.rex, form.prefixes + prefixes
        _fill(encoding, rng, state, memory)
    elif extend and (encoding.opcode[-1] in _REGISTER_IN_OPCODE or encoding.text.startswith("bswap")):
        rex |= rng.getrandbits(1)
    if extend and encoding.operands != "none" and encoding.reg is None:
        rex |= rng.getrandbits(1) << 2
    immediate = _immediate(encoding, rng)
    rex_byte = bytes([0x40 | rex]) if rex or (extend and rng.random() < 0.3) else b""
    code = prefixes + rex_byte + encoding.opcode + tail + immediate
    if form and memory is not None and form.relative:
        at = len(code) - len(immediate) - 4
        displacement = (memory - state.rip - len(code) - form.segment) & 0xFFFFFFFF
        code = code[:at] + displacement.to_bytes(4, "little") + immediate
    _adjust(encoding, rng, state, memory)
    if form and encoding.mnemonic in _BIT_STRING and not encoding.immediate and rng.random() < 0.7:
        offset = reg | (rex & 4) << 1
        if offset not in form.used:
            state.gpr[offset] = rng.randint(-2000, 2000) & _mask(encoding.mode)
    return code


def _immediate(encoding: Encoding, rng: Random) -> bytes:
    """Immediate bytes, a displacement of a branch, or the address of a MOV between memory and the accumulator."""
    size = encoding.immediate
    if encoding.opcode[0] in range(0xA0, 0xA4) and len(encoding.opcode) == 1:
        return (_target(encoding.mode, rng) & (1 << 8 * size) - 1).to_bytes(size, "little")
    if size == 3:  # ENTER
        return rng.randrange(600).to_bytes(2, "little") + bytes([rng.choice((0, 1, 2, 3, 31, 33))])
    return (values.integer(rng) & (1 << 8 * size) - 1).to_bytes(size, "little")


def _target(mode: int, rng: Random) -> int:
    """Where a memory operand shall lie."""
    places, kind = layout(mode), rng.random()
    if kind < 0.6:
        return places.data[0] + 0x100 + 16 * rng.randrange(64)
    if kind < 0.8:
        return places.data[0] + 0x100 + rng.randrange(1024)
    if kind < 0.86:
        return places.data[1] - rng.randint(1, 15)
    if kind < 0.9:
        return places.data[1] + PAGE - rng.randint(1, 15)
    if kind < 0.93 and places.read_only is not None:
        return places.read_only + 16 * rng.randrange(64)
    if kind < 0.98 and places.high is not None:
        return places.high + 0x100 + 8 * rng.randrange(64)
    if kind < 0.99 and mode != 16:
        return 0x40001000 + rng.randrange(64)
    return (0x1234 << 48) + 0x1000 if mode == 64 else places.data[0] + 0x800


class _Address:
    """A random addressing form for one effective address, with the registers of `state` set to match."""

    def __init__(self, mode: int, rng: Random, state: X86State, target: int, extend: bool) -> None:
        """`extend` allows R8-R15. The prefixes (address size, segment) come out in `prefixes`, REX.X and REX.B in
        `rex`.
        """
        self.rex, self.segment, self.relative = 0, 0, False
        self.used: list[int] = []
        self._rng, self._state = rng, state
        self._sib = self._displacement = b""
        self._mod = self._rm = 0
        short = rng.random() < 0.07 and (mode != 64 or target < 1 << 32)
        self.prefixes = b"\x67" if short else b""
        if (mode == 16) != short and mode != 64:
            self._sixteen(target & 0xFFFF)
            return
        if mode == 64 and rng.random() < 0.08:
            self._override(target)
        elif rng.random() < 0.04:  # changes nothing: flat segments
            self.prefixes += rng.choice((b"\x26", b"\x36", b"\x3e"))
        width = 64 if mode == 64 and not short else 32
        self._wide(mode, width, target - self.segment & (1 << width) - 1, extend)

    def bytes(self, reg: int) -> bytes:
        """ModRM with `reg`, SIB and displacement, which is zero when `relative` (to the next instruction)."""
        return bytes([self._mod << 6 | (reg & 7) << 3 | self._rm]) + self._sib + self._displacement

    def _override(self, target: int) -> None:
        """FS or GS with a base."""
        which = self._rng.randrange(2)
        self.prefixes += (b"\x64", b"\x65")[which]
        self.segment = self._rng.choice((0x20000000, 0x1000, 0x7FFF_0000_0000))
        if which:
            self._state.gs_base = self.segment
        else:
            self._state.fs_base = self.segment

    def _sixteen(self, target: int) -> None:
        """BX, BP, SI, DI and a displacement, modulo 64 KiB."""
        rng, gpr = self._rng, self._state.gpr
        self._mod, self._rm = rng.randrange(3), rng.randrange(8)
        displacement = self._choose_displacement(16)
        base, index = _PAIRS_16[self._rm]
        if self._mod == 0 and self._rm == 6:
            self._displacement = target.to_bytes(2, "little")
            return
        self.used += [base] if index is None else [base, index]
        if index is not None:
            target -= gpr[index]
        gpr[base] = gpr[base] & ~0xFFFF | target - displacement & 0xFFFF

    def _choose_displacement(self, width: int) -> int:
        """Bytes by `mod`; returns the value as sign-extended."""
        size = (0, 1, width // 8 if width == 16 else 4)[self._mod]
        value = values.integer(self._rng) & (1 << 8 * size) - 1 if size else 0
        self._displacement = value.to_bytes(size, "little")
        return int.from_bytes(self._displacement, "little", signed=True)

    def _wide(self, mode: int, width: int, target: int, extend: bool) -> None:
        """32-bit and 64-bit addressing: base, base + index * scale, index alone, absolute, relative to RIP."""
        rng, near = self._rng, target < 1 << 31
        kind = rng.random()
        if kind < 0.1 and near:
            self._absolute(mode, target)
        elif kind < 0.2 and near and mode == 64 and width == 64:
            self._rm, self._displacement, self.relative = 5, bytes(4), True
        elif kind < 0.3 and near:
            self._index_only(mode, width, target, extend)
        else:
            self._based(width, target, extend, with_index=kind > 0.6)

    def _absolute(self, mode: int, target: int) -> None:
        self._displacement = target.to_bytes(4, "little")
        if mode == 64:
            self._rm, self._sib = 4, b"\x25"
        else:
            self._rm = 5

    def _index_only(self, mode: int, width: int, target: int, extend: bool) -> None:
        """[index * scale + disp32]."""
        scale, index = self._rng.randrange(4), self._pick(extend, 2, (4,))
        value = self._rng.randrange(1 << 20)
        self._set(index, value, width)
        self._rm, self._sib = 4, bytes([scale << 6 | (index & 7) << 3 | 5])
        self._displacement = (target - (value << scale)).to_bytes(4, "little", signed=True)

    def _based(self, width: int, target: int, extend: bool, with_index: bool) -> None:
        self._mod = self._rng.randrange(3)
        base = self._pick(extend, 1, () if with_index else (4,))
        if base & 7 == 5 and self._mod == 0:
            self._mod = 1
        self._rm = base & 7
        displacement = self._choose_displacement(width if width == 64 else 32)
        if with_index or base & 7 == 4:
            self._rm, offset = 4, 0
            index = 4
            if with_index:
                index = self._pick(extend, 2, (4, base))
                scale = self._rng.randrange(4)
                value = values.integer(self._rng) & (1 << width) - 1
                self._set(index, value, width)
                offset = value << scale
            else:
                scale = self._rng.randrange(4)
            self._sib = bytes([scale << 6 | (index & 7) << 3 | base & 7])
            displacement += offset
        self._set(base, target - displacement, width)

    def _pick(self, extend: bool, rex_bit: int, avoid: tuple[int, ...]) -> int:
        """A register that is not in `avoid`; sets its REX bit."""
        while True:
            register = self._rng.randrange(16 if extend else 8)
            if register not in avoid:
                self.rex |= rex_bit if register > 7 else 0
                return register

    def _set(self, register: int, value: int, width: int) -> None:
        """Give a register its part of the address; what a narrow address ignores stays as it is."""
        mask = (1 << width) - 1
        self.used.append(register)
        self._state.gpr[register] = self._state.gpr[register] & ~mask | value & mask


def _put(state: X86State, mode: int, address: int, data: bytes) -> None:
    """Write what of `data` falls on pages of the layout."""
    pages = layout(mode).pages
    split = -address % PAGE or PAGE
    for start, part in ((address, data[:split]), (address + split, data[split:])):
        if part and start & -PAGE in pages:
            state.write(start, part)


def _fill(encoding: Encoding, rng: Random, state: X86State, target: int) -> None:
    """Memory contents that the instruction can make something of."""
    name = encoding.mnemonic
    if name.startswith("fxrstor"):
        image = bytearray(values.memory(rng, 512))
        image[24:28] = (values.mxcsr(rng) if rng.random() < 0.9 else rng.getrandbits(32)).to_bytes(4, "little")
        data = bytes(image)
    elif name == "ldmxcsr" and rng.random() < 0.9:
        data = values.mxcsr(rng).to_bytes(4, "little")
    elif name == "fbld" and rng.random() < 0.8:
        data = values.decimal(rng)
    else:
        data = values.memory(rng, 128 if name in ("frstor", "fldenv") else 32)
    _put(state, encoding.mode, target, data)


def _adjust(encoding: Encoding, rng: Random, state: X86State, memory: int | None) -> None:
    """Make the interesting outcome likely for instructions with implicit operands or preconditions."""
    name, mode, gpr = encoding.mnemonic.split()[-1], encoding.mode, state.gpr
    if name[:-1] in ("movs", "cmps", "scas", "lods", "stos") and encoding.operands == "none":
        for register in (6, 7):
            gpr[register] = _aim(encoding, rng, state, gpr[register])
        gpr[1] = rng.choice((0, 1, 2, 3, gpr[1]))
    elif name.startswith("maskmov"):
        gpr[7] = _aim(encoding, rng, state, gpr[7])
    elif name == "xlatb":
        gpr[3] = _aim(encoding, rng, state, gpr[3])
    elif name in ("div", "idiv") and rng.random() < 0.6:
        gpr[2] = rng.choice((0, -(gpr[0] >> 31 & 1) & 0xFFFFFFFF, 1))
        gpr[0] &= rng.choice((_M64, 0xFF, 0x7FFF))
    elif name.startswith("cmpxchg") and memory is not None and rng.random() < 0.5:
        gpr[0], gpr[2] = (int.from_bytes(state.read(memory + at, 8), "little") & _mask(mode) for at in (0, 8))
        if name == "cmpxchg8b":
            gpr[0], gpr[2] = gpr[0] & 0xFFFFFFFF, int.from_bytes(state.read(memory + 4, 4), "little")
    elif name.startswith("pcmpestr") and rng.random() < 0.7:
        gpr[0], gpr[2] = (rng.randint(-20, 20) & _mask(mode) for _ in range(2))
    elif name == "bound" and memory is not None and rng.random() < 0.5:
        _put(state, mode, memory, b"\0\x80" * 2 + b"\xff\x7f" * 2)
    elif name in ("pop", "ret", "leave", "popf", "popfd", "popfq", "popal", "popaw", "iretd"):
        _put(state, mode, gpr[4], values.memory(rng, 64))
        if name == "ret" and rng.random() < 0.7:
            _put(state, mode, gpr[4], (values.integer(rng) >> 17).to_bytes(8, "little"))
        _put(state, mode, gpr[5], values.memory(rng, 16))


def _mask(mode: int) -> int:
    return _M64 if mode == 64 else 0xFFFFFFFF


def _aim(encoding: Encoding, rng: Random, state: X86State, old: int) -> int:
    """A value for an address register; where the address size ignores its upper half, the old one stays there."""
    target = _target(encoding.mode, rng)
    _put(state, encoding.mode, target, values.memory(rng, 32))
    if b"\x67" in encoding.prefixes and encoding.mode == 64 and target < 1 << 32:
        return old & ~0xFFFFFFFF | target
    return target


def encodings_of(mode: int, mnemonics: Iterable[str]) -> list[Encoding]:
    """The encodings whose mnemonic (without REP or LOCK) is one of `mnemonics`."""
    wanted = set(mnemonics)
    return [encoding for encoding in encodings(mode) if encoding.mnemonic.split()[-1] in wanted]
