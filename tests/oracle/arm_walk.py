"""VMSAv7 translation in plain Python, written from the pseudocode of DDI 0406C (B3.19), as a reference for tests.

``translate`` gives a physical address or raises :class:`Fault` with the status that DFSR or IFSR would hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: Reads 4 or 8 bytes of physical memory; None where there is none.
Reader = Callable[[int, int], int | None]


@dataclass(frozen=True)
class Regime:
    """The registers a walk depends on."""

    sctlr: int = 1
    ttbr0: int = 0
    ttbr1: int = 0
    ttbcr: int = 0
    dacr: int = 0


class Fault(Exception):
    """``fsr``: the fault status register's value."""

    def __init__(self, fsr: int):
        super().__init__(hex(fsr))
        self.fsr = fsr


@dataclass(frozen=True)
class Found:
    """A descriptor that maps the address."""

    address: int
    ap: int
    xn: bool
    pxn: bool
    level: int
    domain: int | None  # None: long format
    flagged: bool  # access flag set, or not in use


SHORT = {
    ("translation", 1): 0b00101, ("translation", 2): 0b00111, ("access", 1): 0b00011, ("access", 2): 0b00110,
    ("domain", 1): 0b01001, ("domain", 2): 0b01011, ("permission", 1): 0b01101, ("permission", 2): 0b01111,
    ("walk", 1): 0b01100, ("walk", 2): 0b01110,
}  # fmt: skip
LONG = {"translation": 0b000100, "access": 0b001000, "permission": 0b001100, "walk": 0b010100}


def bits(value: int, high: int, low: int) -> int:
    return value >> low & (1 << high - low + 1) - 1


def translate(regime: Regime, read: Reader, va: int, access: str, user: bool) -> int:
    """``access``: "read", "write" or "exec"."""
    if not regime.sctlr & 1:
        return va
    long_format = bool(regime.ttbcr >> 31)

    def fail(kind: str, level: int, domain: int = 0) -> Fault:
        if long_format:
            status = 1 << 9 | LONG[kind] | level
        else:
            code = SHORT[kind, level]
            status = code & 15 | (code >> 4) << 10
            if access != "exec":
                status |= domain << 4
        return Fault(status | 1 << 11 if access == "write" else status)

    found = (_long if long_format else _short)(regime, read, va, fail)
    if not found.flagged:
        raise fail("access", found.level, found.domain or 0)
    if found.domain is not None:
        control = bits(regime.dacr, 2 * found.domain + 1, 2 * found.domain)
        if control in (0, 2):
            raise fail("domain", found.level, found.domain)
        if control == 3:
            return found.address
    if access not in _permissions(found, user):
        raise fail("permission", found.level, found.domain or 0)
    return found.address


def _permissions(found: Found, user: bool) -> set[str]:
    """Table B3-8, and execute-never."""
    privileged_rights = {0: "", 1: "rw", 2: "rw", 3: "rw", 4: "", 5: "r", 6: "r", 7: "r"}[found.ap]
    user_rights = {0: "", 1: "", 2: "r", 3: "rw", 4: "", 5: "", 6: "r", 7: "r"}[found.ap]
    rights = user_rights if user else privileged_rights
    allowed = {{"r": "read", "w": "write"}[letter] for letter in rights}
    if "read" in allowed and not found.xn and (user or not found.pxn):
        allowed.add("exec")
    return allowed


def _short(regime: Regime, read: Reader, va: int, fail: Callable[..., Fault]) -> Found:
    n = bits(regime.ttbcr, 2, 0)
    use_afe = bool(regime.sctlr >> 29 & 1)
    if n == 0 or bits(va, 31, 32 - n) == 0:
        base, index, off = bits(regime.ttbr0, 31, 14 - n) << 14 - n, bits(va, 31 - n, 20), bits(regime.ttbcr, 4, 4)
    else:
        base, index, off = bits(regime.ttbr1, 31, 14) << 14, bits(va, 31, 20), bits(regime.ttbcr, 5, 5)
    if off:
        raise fail("translation", 1)
    first = read(base + 4 * index, 4)
    if first is None:
        raise fail("walk", 1)
    kind = bits(first, 1, 0)
    if kind == 0:
        raise fail("translation", 1)
    if kind >= 2:
        ap = bits(first, 15, 15) << 2 | bits(first, 11, 10)
        if first >> 18 & 1:
            address = bits(first, 8, 5) << 36 | bits(first, 23, 20) << 32 | bits(first, 31, 24) << 24 | bits(va, 23, 0)
            domain = 0
        else:
            address, domain = bits(first, 31, 20) << 20 | bits(va, 19, 0), bits(first, 8, 5)
        return Found(address, ap, bool(first >> 4 & 1), bool(first & 1), 1, domain, not use_afe or bool(ap & 1))
    domain = bits(first, 8, 5)
    second = read(bits(first, 31, 10) << 10 | bits(va, 19, 12) << 2, 4)
    if second is None:
        raise fail("walk", 2, domain)
    if bits(second, 1, 0) == 0:
        raise fail("translation", 2, domain)
    ap = bits(second, 9, 9) << 2 | bits(second, 5, 4)
    if second & 2:
        address, xn = bits(second, 31, 12) << 12 | bits(va, 11, 0), second & 1
    else:
        address, xn = bits(second, 31, 16) << 16 | bits(va, 15, 0), second >> 15 & 1
    return Found(address, ap, bool(xn), bool(first >> 2 & 1), 2, domain, not use_afe or bool(ap & 1))


def _long(regime: Regime, read: Reader, va: int, fail: Callable[..., Fault]) -> Found:
    t0, t1 = bits(regime.ttbcr, 2, 0), bits(regime.ttbcr, 18, 16)
    chosen = None
    if t0 == 0 or bits(va, 31, 32 - t0) == 0:
        chosen = regime.ttbr0, t0, bits(regime.ttbcr, 7, 7)
    if (t1 == 0 and chosen is None) or (t1 and bits(va, 31, 32 - t1) == (1 << t1) - 1):
        chosen = regime.ttbr1, t1, bits(regime.ttbcr, 23, 23)
    if chosen is None or chosen[2]:
        raise fail("translation", 1)
    ttbr, size, _ = chosen
    if size < 2:
        level, low = 1, 5 - size
        top = 31 - size
    else:
        level, low = 2, 14 - size
        top = 31 - size
    table = bits(ttbr, 39, low) << low
    read_only = no_user = table_xn = table_pxn = False
    while True:
        shift = {1: 30, 2: 21, 3: 12}[level]
        entry = read(table + 8 * bits(va, top, shift), 8)
        if entry is None:
            raise fail("walk", level)
        if not entry & 1 or (level == 3 and not entry & 2):
            raise fail("translation", level)
        if entry & 2 and level < 3:
            read_only |= bool(entry >> 62 & 1)
            no_user |= bool(entry >> 61 & 1)
            table_xn |= bool(entry >> 60 & 1)
            table_pxn |= bool(entry >> 59 & 1)
            table, top, level = bits(entry, 39, 12) << 12, shift - 1, level + 1
            continue
        ap2, ap1 = bits(entry, 7, 7) | read_only, bits(entry, 6, 6) & (not no_user)
        address = bits(entry, 39, shift) << shift | bits(va, shift - 1, 0)
        xn, pxn = bool(entry >> 54 & 1) or table_xn, bool(entry >> 53 & 1) or table_pxn
        return Found(address, ap2 << 2 | ap1 << 1 | 1, xn, pxn, level, None, bool(entry >> 10 & 1))
