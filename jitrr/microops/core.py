"""Architecture-neutral micro-ops: moves, plain arithmetic, guest memory, and the exits of a block.

Plain arithmetic sets no flags; front ends add rows of their own for instructions whose results include flags.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jitrr.microops.table import TABLE, row, rows

INTS = (8, 16, 32, 64)
_DECLARED_BEFORE = set(TABLE)


def _same(e: Any, w: int, x: str) -> str:
    return x


rows("mov{w}", INTS, "d{w} <- a{w}", _same)
rows("movi{w}", INTS, "d{w} <- i{w}", _same)
row("mov128", "d128 <- a128", lambda e, x: x)

for _from in (8, 16, 32):
    for _to in (16, 32, 64):
        if _from < _to:
            row(f"zx{_from}_{_to}", f"d{_to} <- a{_from}", lambda e, x, f=_from, t=_to: e.zext(f, x, t))
            row(f"sx{_from}_{_to}", f"d{_to} <- a{_from}", lambda e, x, f=_from, t=_to: e.sext(f, x, t))

for _name in ("add", "sub", "and", "or", "xor", "mul"):
    rows(f"{_name}{{w}}", INTS, "d{w} <- a{w} b{w}", lambda e, w, x, y, op=_name: e.bin(op, w, x, y))
    rows(f"{_name}{{w}}i", INTS, "d{w} <- a{w} i{w}", lambda e, w, x, y, op=_name: e.bin(op, w, x, y))
for _name in ("shl", "lshr", "ashr"):
    # The count is taken modulo the width.
    rows(f"{_name}{{w}}", INTS, "d{w} <- a{w} b{w}",
         lambda e, w, x, y, op=_name: e.bin(op, w, x, e.bin("and", w, y, w - 1)))  # fmt: skip
    rows(f"{_name}{{w}}i", INTS, "d{w} <- a{w} i{w}",
         lambda e, w, x, y, op=_name: e.bin(op, w, x, e.bin("and", w, y, w - 1)))  # fmt: skip
rows("not{w}", INTS, "d{w} <- a{w}", lambda e, w, x: e.bin("xor", w, x, -1))

#: Effective addresses: d = a + (b << scale) + imm, scale 0..3 in the name, in 64, 32 or 16 bits (zero-extended to 64).
for _scale in range(4):
    for _w in (64, 32, 16):
        row(f"ea{_w}s{_scale}", "d64 <- a64 b64 i64",
            lambda e, a, b, i, s=_scale, w=_w: _address(e, w, e.bin("add", 64, a, e.bin("shl", 64, b, s)), i),
        )  # fmt: skip
        row(f"eax{_w}s{_scale}", "d64 <- b64 i64",
            lambda e, b, i, s=_scale, w=_w: _address(e, w, e.bin("shl", 64, b, s), i))  # fmt: skip
for _w in (64, 32, 16):
    row(f"ea{_w}", "d64 <- a64 i64", lambda e, a, i, w=_w: _address(e, w, a, i))


def _address(e: Any, w: int, base: str, offset: str) -> str:
    total = e.bin("add", 64, base, offset)
    return total if w == 64 else e.bin("and", 64, total, (1 << w) - 1)


#: pc of the block plus a constant (pc-relative addresses, return addresses).
row("pcrel", "d64 <- i64", lambda e, i: e.bin("add", 64, e.get("pc"), i))
row("pcrel32", "d64 <- i64", lambda e, i: e.bin("and", 64, e.bin("add", 64, e.get("pc"), i), 0xFFFFFFFF))
row("pcrel16", "d64 <- i64", lambda e, i: e.bin("and", 64, e.bin("add", 64, e.get("pc"), i), 0xFFFF))

# Guest memory at linear address a + imm. ``ld8z32`` loads 8 bits and zero-extends to 32, ``ld8s64`` sign-extends to 64.
rows("ld{w}", (*INTS, 128), "d{w} <- a64 i64", lambda e, w, a, i: e.load(w, e.bin("add", 64, a, i)))
#: The load of a read-modify-write instruction.
rows("ldrmw{w}", (*INTS, 128), "d{w} <- a64 i64", lambda e, w, a, i: e.load(w, e.bin("add", 64, a, i), write=True))
rows("st{w}", (*INTS, 128), "a64 b{w} i64", lambda e, w, a, b, i: e.store(w, e.bin("add", 64, a, i), b))
for _from in (8, 16, 32):
    for _to in (16, 32, 64):
        if _from < _to:
            row(f"ld{_from}z{_to}", f"d{_to} <- a64 i64",
                lambda e, a, i, f=_from, t=_to: e.zext(f, e.load(f, e.bin("add", 64, a, i)), t))  # fmt: skip
            row(f"ld{_from}s{_to}", f"d{_to} <- a64 i64",
                lambda e, a, i, f=_from, t=_to: e.sext(f, e.load(f, e.bin("add", 64, a, i)), t))  # fmt: skip

#: Leave out cells if no other processor can run; ``yield`` ends this one's turn after the instruction.
row("alone", "i64", lambda e, i: e.icmp("eq", 64, e.get("others"), 0), kind="skip")
row("yield", "", lambda e: e.helper("yield_turn") and None, cold=True)

# Exits. Each executor writes these itself (kind "exit"); what they do:
#: pc += imm, on to the block there; within the page (linked) or anywhere (through the jump cache).
row("goto", "i64", lambda e, i: None, kind="exit")
row("gofar", "i64", lambda e, i: None, kind="exit")
row("goto32", "i64", lambda e, i: None, kind="exit")
row("gofar32", "i64", lambda e, i: None, kind="exit")
row("goto16", "i64", lambda e, i: None, kind="exit")
row("gofar16", "i64", lambda e, i: None, kind="exit")
#: pc = a.
row("jump", "a64", lambda e, a: None, kind="exit")
#: pc is already set (by a helper): look the next block up; and leave for the runtime if an interrupt waits.
row("dispatch", "i64", lambda e, i: None, kind="exit", cold=True)
#: pc += imm; then as ``dispatch``: after anything that may change the mode or enable interrupts.
row("sync", "i64", lambda e, i: None, kind="exit", cold=True)
#: pc += imm; leave for the runtime if an interrupt waits: after what may enable interrupts, but leaves the mode alone
#: wherever a compiled region gets this far.
row("poll", "i64", lambda e, i: None, kind="exit")
#: pc += imm, out to the runtime with exit reason ``a``.
row("leave", "i64", lambda e, i: None, kind="exit", cold=True)
#: An instruction that is announced and not there: out to the runtime, nothing retired.
row("missing", "i64", lambda e, i: None, kind="exit", cold=True)
#: First in the block of an instruction that crosses its page: ``i`` is the physical address of the second page.
row("cross", "i64", lambda e, i: None, kind="exit", cold=True)
#: First in a block at which a debugger may have a breakpoint: out to the runtime if so, nothing retired.
row("break", "i64", lambda e, i: None, kind="exit", cold=True)

for _name in set(TABLE) - _DECLARED_BEFORE:
    TABLE[_name] = replace(TABLE[_name], neutral=True)
