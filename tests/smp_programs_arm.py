"""Random programs of several ARM processors, as assembly text: all run what all change.

As tests/smp_programs_x86.py has them. R4 is the number of the processor, R11 what it draws random numbers from.
"""

from __future__ import annotations

from random import Random

from smp_bodies import BODIES, bodies

_FRAMES, _WINDOW = 0x40600000, 0x40800000

_HEAD = """
        .syntax unified
        .arch armv7ve
        .fpu    neon-vfpv4
        .arm
        .equ    DISTRIBUTOR, 0x08000000
        .equ    INTERFACE, 0x08010000
        .equ    TIMER, 27
        .equ    CPU_OFF, 0x84000002
        .equ    CPU_ON, 0x84000003

        .macro  set reg, to
        movw    \\reg, #:lower16:(\\to)
        movt    \\reg, #:upper16:(\\to)
        .endm

        .macro  draw                    @ r0: 16 random bits
        set     r0, 1664525
        mul     r11, r11, r0
        set     r0, 1013904223
        add     r11, r11, r0
        lsr     r0, r11, #16
        .endm

        .macro  count where             @ r0, r1, r2 are lost; r3 is added
        set     r0, \\where
        add     r0, r0, r4, lsl #2
        ldr     r1, [r0]
        add     r1, r1, r3
        str     r1, [r0]
        .endm

        .text
        .globl  _start
_start: set     r5, FRAMES
        mov     r6, #0
1:      movw    r0, #0xf100             @ across the end of the page: add r0, r0, #1; bx lr
        set     r1, 0xffe
        strh    r0, [r5, r1]
        set     r0, 0x47700001
        str     r0, [r5]
        set     r1, 0xe2800000          @ add r0, r0, #...; bx lr
        add     r1, r1, r6
        set     r2, 0xe12fff1e
        .irp    place, 0x10, 0x40, 0x7c, 0x100
        str     r1, [r5, #\\place]
        str     r2, [r5, #\\place + 4]
        .endr
        set     r1, 0x47703000          @ T32: adds r0, #...; bx lr
        add     r1, r1, r6
        str     r1, [r5, #0x80]
        str     r2, [r5, #0x84]
        add     r5, r5, #0x1000
        add     r6, r6, #1
        cmp     r6, #16
        bne     1b
        mov     r4, #0
        bl      make_tables
        mov     r4, #1
        bl      make_tables
        .irp    number, 1, 2, 3
        set     r0, CPU_ON
        mov     r1, #\\number
        set     r2, second
        mov     r3, #0
        hvc     #0
        .endr

second: mrc     p15, 0, r4, c0, c0, 5
        and     r4, r4, #7
        set     r5, stacks
        add     r5, r5, r4, lsl #12
        cpsid   aif, #0x12
        add     sp, r5, #0x400
        cps     #0x17
        add     sp, r5, #0x800
        cps     #0x13
        add     sp, r5, #0x1000
        set     r0, tables
        and     r1, r4, #1
        add     r0, r0, r1, lsl #14
        mcr     p15, 0, r0, c2, c0, 0
        mov     r0, #0
        mcr     p15, 0, r0, c2, c0, 2
        mov     r0, #1
        mcr     p15, 0, r0, c3, c0, 0
        mcr     p15, 0, r0, c8, c7, 0
        set     r0, vectors
        mcr     p15, 0, r0, c12, c0, 0
        mrc     p15, 0, r0, c1, c0, 0
        orr     r0, r0, #1
        mcr     p15, 0, r0, c1, c0, 0
        set     r0, 0xf00000
        mcr     p15, 0, r0, c1, c0, 2
        mov     r0, #0x40000000
        vmsr    fpexc, r0
        mov     r0, #0
        mcr     p14, 0, r0, c1, c0, 4   @ no OS lock
        set     r0, 0x8000
        mcr     p14, 0, r0, c0, c2, 2   @ monitor debug-mode
        set     r0, DISTRIBUTOR
        mov     r1, #1
        str     r1, [r0]
        mov     r1, #(1 << TIMER)
        str     r1, [r0, #0x100]
        set     r0, INTERFACE
        mov     r1, #0xff
        str     r1, [r0, #4]
        mov     r1, #1
        str     r1, [r0]
        set     r0, 0x9E3779B1
        mul     r11, r4, r0
        set     r0, SEED
        add     r11, r11, r0
        set     r0, first
        ldr     pc, [r0, r4, lsl #2]

make_tables:
        set     r0, tables
        add     r0, r0, r4, lsl #14
        set     r3, DISTRIBUTOR + 0x412
        str     r3, [r0, #(DISTRIBUTOR >> 18)]
        set     r3, 0x4000040e          @ 16 MiB of memory
        add     r1, r0, #0x1000
        mov     r2, #16
1:      str     r3, [r1], #4
        add     r3, r3, #0x100000
        subs    r2, r2, #1
        bne     1b
        set     r2, pages
        add     r2, r2, r4, lsl #10
        orr     r3, r2, #1
        set     r1, (WINDOW >> 20)
        str     r3, [r0, r1, lsl #2]
        set     r3, FRAMES + 0x1e
        mov     r1, #0
1:      str     r3, [r2, r1, lsl #2]
        add     r3, r3, #0x1000
        add     r1, r1, #1
        cmp     r1, #16
        bne     1b
        bx      lr

        .balign 32
vectors:
        b       .
        b       undefined
        b       .
        b       prefetch_abort
        b       data_abort
        b       .
        b       interrupt
        b       .

undefined:
        movs    pc, lr

prefetch_abort:
        sub     lr, lr, #4
        push    {r0, r1, r2, lr}
        mrc     p15, 0, r1, c5, c0, 1
        mrc     p15, 0, r0, c6, c0, 2
        and     r1, r1, #15
        cmp     r1, #2
        bne     repair
        mov     r1, #0
        mcr     p14, 0, r1, c0, c0, 5
        b       aborted
data_abort:
        sub     lr, lr, #8
        push    {r0, r1, r2, lr}
        mrc     p15, 0, r1, c5, c0, 0
        mrc     p15, 0, r0, c6, c0, 0
        and     r1, r1, #15
        cmp     r1, #2
        bne     repair
        mov     r1, #0
        mcr     p14, 0, r1, c0, c0, 7
        b       aborted
repair: ubfx    r0, r0, #12, #4
        set     r1, FRAMES + 0x1e
        add     r1, r1, r0, lsl #12
        set     r2, pages
        str     r1, [r2, r0, lsl #2]
        add     r2, r2, #0x400
        str     r1, [r2, r0, lsl #2]
aborted:
        set     r0, aborts
        ldr     r1, [r0, r4, lsl #2]
        add     r1, r1, #1
        str     r1, [r0, r4, lsl #2]
        ldm     sp!, {r0, r1, r2, pc}^

interrupt:
        sub     lr, lr, #4
        push    {r0, r1, r2, lr}
        set     r0, INTERFACE
        ldr     r1, [r0, #0xc]
        str     r1, [r0, #0x10]
        ubfx    r2, r1, #0, #10
        cmp     r2, #TIMER
        moveq   r2, #0
        mcreq   p15, 0, r2, c14, c3, 1
        set     r0, ticks
        ldr     r2, [r0, r4, lsl #2]
        add     r2, r2, r1
        str     r2, [r0, r4, lsl #2]
        ldm     sp!, {r0, r1, r2, pc}^
"""

_TAIL = """
        .balign 64
shared: .space  64
sums:   .space  64
ticks:  .space  64
aborts: .space  64
buffer: .space  512
        .bss
        .balign 16384
tables: .space  32768
pages:  .space  2048
        .balign 4096
stacks: .space  4096 * 8
"""

_PLACES = (0x10, 0x40, 0x7C, 0x81, 0x80, 0x100, 0xFFF)
_SUM = "mov r3, r0\ncount sums"


def _add(rng: Random) -> str:
    between = rng.choice(("", "", "wfe\n", "clrex\n", "nop\nnop\n"))
    again = "" if between in ("wfe\n", "clrex\n") else "bne 1b"
    return (f"set r0, shared + {4 * rng.randrange(4)}\n1: ldrex r1, [r0]\nadd r1, r1, #{rng.randint(1, 9)}\n{between}"
            f"strex r2, r1, [r0]\ncmp r2, #0\n{again}\nmov r3, r2\ncount sums")  # fmt: skip


def _wait(rng: Random) -> str:
    return rng.choice(("wfe", "yield\nwfe", "sev\nwfe", "cpsie i\nwfe\ncpsid i",
                       "set r0, shared\nldr r1, [r0]\nmov r2, #6\n1: ldr r3, [r0]\ncmp r3, r1\nwfeeq\nsubs r2, r2, #1\n"
                       "bne 1b"))  # fmt: skip


def _sleep(rng: Random) -> str:
    return (f"set r0, {rng.choice((5, 50, 300, 1500))}\nmcr p15, 0, r0, c14, c3, 0\nmov r0, #1\n"
            "mcr p15, 0, r0, c14, c3, 1\n" + rng.choice(("wfi\n", "cpsid i\nwfi\n", "cpsie i\nwfi\n", "cpsie i\n"))
            + rng.choice(("cpsie i\nnop\ncpsid i", "cpsie i", "")))  # fmt: skip


def _message(rng: Random) -> str:
    way = rng.choice(("and r0, r0, #0xf0000", "mov r0, #0x1000000", "mov r0, #0x2000000"))
    return (f"draw\nlsl r0, r0, #16\n{way}\norr r0, r0, #{rng.randrange(16)}\nset r1, DISTRIBUTOR + 0xf00\n"
            "str r0, [r1]\n" + rng.choice(("", "", "cpsie i\nnop\ncpsid i")))  # fmt: skip


def _call(rng: Random) -> str:
    place, times = rng.choice(_PLACES), rng.choice((1, 1, 3, 40))
    return (f"draw\nand r0, r0, #{15 if place < 0xFFE else 14}\nset r1, {_WINDOW + place}\nadd r5, r1, r0, lsl #12\n"
            f"mov r6, #{times}\n1: cmp r0, r0\nblx r5\nsubs r6, r6, #1\nbne 1b\n{_SUM}")  # fmt: skip


def _patch(rng: Random) -> str:
    place = rng.choice((0x10, 0x40, 0x7C, 0x100))
    where = f"draw\nand r2, r0, #15\nset r1, {rng.choice((_WINDOW, _FRAMES))}\nadd r1, r1, r2, lsl #12\n"
    return where + rng.choice((
        f"strb r0, [r1, #{place}]", "strb r0, [r1, #0x80]", "strb r0, [r1]",
        f"mov r2, #{rng.choice((0x80, 0x40, 0x20))}\nstrb r2, [r1, #{place + 2}]",
        f"strb r0, [r1, #{place}]\nadd r5, r1, #{place}\nblx r5\n{_SUM}",
    ))  # fmt: skip


def _patch_here(rng: Random) -> str:
    """The next instruction of this body, which others may be in the middle of."""
    return "draw\nadr r1, 1f\nstrb r0, [r1]" + "\nnop" * rng.randrange(3) + f"\n1: add r0, r0, #3\n{_SUM}"


def _map(rng: Random) -> str:
    flags = rng.choice((0x1E, 0x1E, 0x1F, 0x21E, 0))
    table = f"pages + {0x400 * rng.randrange(2)}"
    entry = (f"draw\nset r1, {table}\nand r2, r0, #15\nand r0, r0, #0xf0\nset r3, {_FRAMES + flags}\n"
             "add r3, r3, r0, lsl #8\n")  # fmt: skip
    return rng.choice((
        entry + "str r3, [r1, r2, lsl #2]", entry + "str r3, [r1, r2, lsl #2]",
        entry + "str r3, [r1, r2, lsl #2]\nmcr p15, 0, r0, c8, c3, 0",
        f"draw\nset r1, {table}\nand r2, r0, #15\nmov r3, #0\nstrb r3, [r1, r2, lsl #2]",
        f"set r0, tables + {0x4000 * rng.randrange(2)}\nmcr p15, 0, r0, c2, c0, 0",
        f"mov r0, #{rng.randrange(3)}\nmcr p15, 0, r0, c13, c0, 1",
        f"set r0, {_FRAMES + 0x1E}\nset r1, {table}\nmov r2, #8\n1: str r0, [r1], #4\nadd r0, r0, #0x1000\n"
        "subs r2, r2, #1\nbne 1b",
    ))  # fmt: skip


def _copy(rng: Random) -> str:
    places = [f"draw\nand r0, r0, #15\nset {reg}, {_WINDOW + rng.randrange(0x400, 0xE00, 4)}\n"
              f"add {reg}, {reg}, r0, lsl #12" for reg in ("r7", "r8")]  # fmt: skip
    step = rng.choice(("ldm r7!, {r0-r3}\nstm r8!, {r0-r3}", "vld1.8 {d0-d3}, [r7]!\nvst1.8 {d0-d3}, [r8]!",
                       "ldrd r0, r1, [r7], #8\nstrd r0, r1, [r8], #8"))  # fmt: skip
    return "\n".join([*places, f"mov r6, #{rng.choice((1, 5, 12))}", f"1: {step}", "subs r6, r6, #1", "bne 1b"])


def _data(rng: Random) -> str:
    where = f"draw\nand r2, r0, #15\nset r1, {_WINDOW + rng.randrange(0x400, 0xF00, 4)}\nadd r1, r1, r2, lsl #12\n"
    return where + f"mov r6, #{rng.choice((1, 20))}\n1: " + rng.choice((
        "ldr r2, [r1]\nadd r2, r2, r0\nstr r2, [r1]", "ldr r0, [r1]", "str r6, [r1]",
        "ldrb r2, [r1, #3]\nstrh r2, [r1]",
    )) + f"\nsubs r6, r6, #1\nbne 1b\n{_SUM}"  # fmt: skip


def _float(rng: Random) -> str:
    return "set r1, shared\n" + rng.choice((
        "vldr s0, [r1, #16]\nvmov.f32 s1, #1.0\nvadd.f32 s0, s0, s1\nwfe\nvstr s0, [r1, #16]",
        "vldr d1, [r1, #24]\nvmov s0, r4\nvcvt.f64.s32 d2, s0\nvadd.f64 d1, d1, d2\nvstr d1, [r1, #24]",
        "vld1.32 {q1}, [r1]\nvadd.i32 q2, q2, q1\nadd r1, r1, #32\nvst1.32 {q2}, [r1]", "vmrs r3, fpscr\ncount sums",
    ))  # fmt: skip


def _power(rng: Random) -> str:
    off = f"draw\ntst r0, #{rng.choice((0, 16, 48))}\nbne 1f\ncmp r4, #0\nbeq 1f\nset r0, CPU_OFF\nhvc #0\n1:"
    on = "draw\nand r1, r0, #3\nset r0, CPU_ON\nset r2, second\nmov r3, r11\nhvc #0\nmov r3, r0\ncount sums"
    return rng.choice((off, on, on))


def _debug(rng: Random) -> str:
    window = _WINDOW + 4096 * rng.randrange(16)
    watched = rng.choice(("shared", "shared + 4", f"{window + 0x800}", "pages"))
    return rng.choice((
        f"set r0, {window + rng.choice(_PLACES[:3])}\nmcr p14, 0, r0, c0, c0, 4\nset r0, 0x1e7\n"
        "mcr p14, 0, r0, c0, c0, 5",
        f"set r0, {watched}\nmcr p14, 0, r0, c0, c0, 6\nset r0, 0x{rng.choice(('1fff', '1ff7'))}\n"
        "mcr p14, 0, r0, c0, c0, 7",
        "mov r0, #0\nmcr p14, 0, r0, c0, c0, 5", "mov r0, #0\nmcr p14, 0, r0, c0, c0, 7",
    ))  # fmt: skip


def _flow(rng: Random) -> str:
    return rng.choice(("cpsie i", "cpsid i", "cpsie i\nnop\nnop\ncpsid i", f"mrrc p15, 1, r0, r1, c14\n{_SUM}",
                       f"set r2, {rng.randint(20, 400)}\nset r0, sums\n1: ldr r1, [r0, r4, lsl #2]\nadd r1, r1, r2\n"
                       "str r1, [r0, r4, lsl #2]\nsubs r2, r2, #1\nbne 1b"))  # fmt: skip


_KINDS = (
    _add, _add, _wait, _sleep, _message, _call, _call, _call, _patch, _patch, _patch_here, _map, _map, _copy, _data,
    _data, _float, _power, _debug, _flow, _flow,
)  # fmt: skip


def source(seed: int) -> str:
    """The program of a seed, for up to four processors."""
    rng = Random(seed)
    constants = f".equ SEED, {rng.randrange(1 << 31)}\n.equ FRAMES, {_FRAMES}\n.equ WINDOW, {_WINDOW}\n"
    code = bodies(rng, _KINDS, "tst r0, #{bit}\nbeq {place}", "b")
    first = "\n.balign 4\nfirst: .word " + ", ".join(f"body{rng.randrange(BODIES)}" for _ in range(8))
    return constants + _HEAD + code + first + _TAIL
