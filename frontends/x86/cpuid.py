"""The processor that CPUID announces: exactly what is there, SDM volume 2, CPUID.

It is an in-order Intel one of 64 or 32 bits (family 6, model 0x1C). That is what jitrr is: it executes nothing
speculatively, and operating systems that know so leave out page-table isolation and retpolines. Leaf 0x15 gives the TSC
frequency, so that none is measured at boot, and the crystal is the clock of the local APIC's timer as well. Several
processors are the cores of one package; what numbers they have is in leaves 1, 4 and 0xB.
"""

from __future__ import annotations

from dataclasses import dataclass

from frontends.x86.state import PHYSICAL_BITS

FAMILY, MODEL, STEPPING = 6, 0x1C, 10
SIGNATURE = (MODEL >> 4) << 16 | FAMILY << 8 | (MODEL & 15) << 4 | STEPPING
VENDOR, BRAND = b"GenuineIntel", b"jitrr virtual processor"
LINEAR_BITS = 48
TSC_HZ = 1_000_000_000
ANY = 0xFFFFFFFF

#: Leaf 1 ECX: SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT TSC-deadline RDRAND.
LEAF1_ECX = 1 << 0 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 23 | 1 << 24 | 1 << 30
#: Leaf 1 EDX: FPU DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2. APIC is
#: announced only while it is enabled.
APIC = 1 << 9
LEAF1_EDX = (
    1 << 0 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | APIC | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14
    | 1 << 15 | 1 << 16 | 1 << 17 | 1 << 19 | 1 << 23 | 1 << 24 | 1 << 25 | 1 << 26
)  # fmt: skip
#: Leaf 1 EDX: EBX says how many logical processors a package has.
HTT = 1 << 28
#: Leaf 7 EBX: TSC_ADJUST SMEP.
LEAF7_EBX = 1 << 1 | 1 << 7
#: Leaf 0x80000001 ECX: LAHF in 64-bit mode; EDX: SYSCALL NX 1 GiB pages RDTSCP long mode.
EXTENDED_ECX, EXTENDED_EDX = 1 << 0, 1 << 11 | 1 << 20 | 1 << 26 | 1 << 27 | 1 << 29
#: What a processor without long mode has not: CX16 and, like those of this model, TSC deadlines in leaf 1; all of
#: 0x80000001 but NX and RDTSCP.
CX16_DEADLINE, NX_RDTSCP = 1 << 13 | 1 << 24, 1 << 20 | 1 << 27
ARAT, INVARIANT_TSC = 1 << 2, 1 << 8


@dataclass(frozen=True)
class Leaf:
    """What CPUID answers to one leaf and subleaf (ANY: whatever ECX is)."""

    leaf: int
    subleaf: int
    eax: int = 0
    ebx: int = 0
    ecx: int = 0
    edx: int = 0


def _word(text: bytes, at: int) -> int:
    return int.from_bytes(text[at : at + 4], "little")


def _cache(level: int, kind: int, ways: int, sets: int, cores: int) -> tuple[int, int, int]:
    """EAX, EBX, ECX of leaf 4 for a cache with lines of 64 bytes that one processor uses alone; ``cores``: how many
    there are numbers for in a package."""
    return kind | level << 5 | 1 << 8 | cores - 1 << 26, (ways - 1) << 22 | 63, sets - 1


def _topology(number: int, processors: int) -> list[Leaf]:
    """Leaf 0xB: one thread a core, ``processors`` cores; the rest of an APIC ID is the package's. A level that is not
    there says what the last level does but for its kind."""
    shift = (processors - 1).bit_length()
    levels = [Leaf(0xB, 0, 0, 1, 0x100, number), Leaf(0xB, 1, shift, processors, 0x201, number)]
    return [*levels, Leaf(0xB, 2, 0, 0, 2, number)] if processors > 1 else levels


def _brand(part: int) -> Leaf:
    text = BRAND.ljust(48, b"\0")[16 * part : 16 * part + 16]
    return Leaf(0x80000002 + part, ANY, *(_word(text, at) for at in (0, 4, 8, 12)))


def table(long_mode: bool = True, number: int = 0, processors: int = 1) -> list[Leaf]:
    """All leaves of a processor with or without long mode, ``number`` of ``processors``; the first one's EAX is the
    highest basic leaf."""
    leaf1_ecx = LEAF1_ECX if long_mode else LEAF1_ECX & ~CX16_DEADLINE
    extended = (EXTENDED_ECX, EXTENDED_EDX) if long_mode else (0, NX_RDTSCP)
    leaf1_ebx, leaf1_edx = number << 24 | processors << 16 | 8 << 8, LEAF1_EDX | (HTT if processors > 1 else 0)
    cores = 1 << (processors - 1).bit_length()
    leaves = [
        Leaf(0, ANY, 0x16, _word(VENDOR, 0), _word(VENDOR, 8), _word(VENDOR, 4)),
        Leaf(1, ANY, SIGNATURE, leaf1_ebx, leaf1_ecx, leaf1_edx),
        Leaf(2, ANY, 0x00FFFF01, 0, 0, 0),
        Leaf(4, 0, *_cache(1, 1, 8, 64, cores)),
        Leaf(4, 1, *_cache(1, 2, 8, 64, cores)),
        Leaf(4, 2, *_cache(2, 3, 8, 1024, cores)),
        Leaf(6, ANY, ARAT),
        Leaf(7, 0, 0, LEAF7_EBX),
        *_topology(number, processors),
        Leaf(0x15, ANY, 1, 1, TSC_HZ),
        Leaf(0x16, ANY, TSC_HZ // 1_000_000, TSC_HZ // 1_000_000, 100),
        Leaf(0x80000000, ANY, 0x80000008),
        Leaf(0x80000001, ANY, 0, 0, *extended),
        Leaf(0x80000006, ANY, 0, 0, 512 << 16 | 6 << 12 | 64),
        Leaf(0x80000007, ANY, 0, 0, 0, INVARIANT_TSC),
        Leaf(0x80000008, ANY, (LINEAR_BITS if long_mode else 32) << 8 | PHYSICAL_BITS),
    ]
    return leaves + [_brand(part) for part in range(3)]


def packed(long_mode: bool = True, number: int = 0, processors: int = 1) -> bytes:
    """The table as the native helper reads it: six 32-bit words an entry (leaf, subleaf, EAX, EBX, ECX, EDX)."""
    words = [w for e in table(long_mode, number, processors) for w in (e.leaf, e.subleaf, e.eax, e.ebx, e.ecx, e.edx)]
    return b"".join(w.to_bytes(4, "little") for w in words)
