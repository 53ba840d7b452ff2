"""Rows of the stack in one micro-op, for stacks without a segment: PUSH, POP, CALL, LEAVE (SDM volume 1, chapter 6).

The number after ``s`` is the stack's width: RSP wraps there. RSP changes after the access, so that a fault leaves it
alone.
"""

from __future__ import annotations

from typing import Any

from jitrr.microops.table import row

RSP, RBP = 4, 5
GP = 13


def _wrap(e: Any, s: int, value: str) -> str:
    return value if s == 64 else e.bin("and", 64, value, (1 << s) - 1)


def push(e: Any, w: int, s: int, value: str) -> None:
    """Store ``w`` bits below the top of a stack of ``s`` bits, which becomes the top."""
    top = _wrap(e, s, e.bin("add", 64, e.get("gpr", index=RSP), -(w // 8)))
    e.store(w, top, value)
    e.set("gpr", top, index=RSP)


def check_target(e: Any, target: str) -> None:
    """#GP(0) for a branch to an address that is not canonical: the branch itself faults."""
    high = e.bin("lshr", 64, e.bin("add", 64, target, 1 << 47), 48)
    e.raise_if(e.icmp("ne", 64, high, 0), GP, 0)


def pop(e: Any, w: int, s: int, extra: str, branch: bool = False) -> str:
    """Take ``w`` bits off the stack, and ``extra`` bytes more; ``branch``: they are where a return goes."""
    top = e.get("gpr", index=RSP)
    value: str = e.load(w, _wrap(e, s, top))
    if branch:
        check_target(e, value)
    e.set("gpr", _wrap(e, s, e.bin("add", 64, e.bin("add", 64, top, w // 8), extra)), index=RSP)
    return value


def _leave(e: Any, w: int, s: int) -> str:
    top = _wrap(e, s, e.get("gpr", index=RBP))
    value: str = e.load(w, top)
    e.set("gpr", _wrap(e, s, e.bin("add", 64, top, w // 8)), index=RSP)
    return value


def _call(e: Any, w: int, s: int, offset: str) -> None:
    push(e, w, s, e.trunc(64, e.bin("add", 64, e.get("pc"), offset), w))


for _s, _w in ((64, 64), (64, 16), (32, 32), (32, 16)):
    row(f"x86_push{_w}s{_s}", f"a{_w}", lambda e, a, w=_w, s=_s: push(e, w, s, a))
    row(f"x86_push{_w}s{_s}i", f"i{_w}", lambda e, i, w=_w, s=_s: push(e, w, s, i))
    row(f"x86_pop{_w}s{_s}", f"d{_w} <- i64", lambda e, i, w=_w, s=_s: pop(e, w, s, i))
    row(f"x86_leave{_w}s{_s}", f"d{_w} <-", lambda e, w=_w, s=_s: _leave(e, w, s))
    #: Push the address at an offset from the block's start.
    row(f"x86_call{_w}s{_s}", "i64", lambda e, i, w=_w, s=_s: _call(e, w, s, i))

row("x86_target", "a64", check_target)
row("x86_ret64", "d64 <- i64", lambda e, i: pop(e, 64, 64, i, branch=True))


def _call_to(e: Any, target: str, offset: str) -> None:
    check_target(e, target)
    _call(e, 64, 64, offset)


#: ``x86_call64s64`` for an indirect target.
row("x86_callto", "a64 i64", _call_to)
