"""Random programs of several x86 processors, as assembly text: all run what all change.

Each processor goes on for ever with a body of random actions, chosen among those of the seed. The window is 16 pages
whose entries everybody edits; its frames hold code that everybody calls and changes. ESI is the number of the
processor, EBP what it draws random numbers from.
"""

from __future__ import annotations

from random import Random

from smp_bodies import BODIES, bodies

_PAGES, _FRAMES = 16, 0x800000
_WINDOW = 0x400000

_HEAD = """
    .intel_syntax noprefix
    .set APIC, 0xFEE00000
    .set TRAMPOLINE, 0x8000
    .set MIXED, 0x9000              # code that is run as 16-bit and as 32-bit code
    .set CODE32, 0x08
    .set DATA, 0x10
    .set CODE16, 0x18

    .macro draw                     # EAX: 16 random bits
    imul ebp, ebp, 1664525
    add ebp, 1013904223
    mov eax, ebp
    shr eax, 16
    .endm

    .macro own reg                  # in a handler, where ESI may be anything
    mov \\reg, [APIC + 0x20]
    shr \\reg, 24
    .endm

    .macro gate vector, to
    mov eax, offset \\to
    mov [idt + 8 * \\vector], ax
    mov word ptr [idt + 8 * \\vector + 2], CODE32
    mov word ptr [idt + 8 * \\vector + 4], 0x8E00
    shr eax, 16
    mov [idt + 8 * \\vector + 6], ax
    .endm

    .section .multiboot, "a"
    .balign 4
    .long 0x1BADB002, 0, -0x1BADB002

    .text
    .code32
    .globl _start
_start:
    cli
    mov al, 0xFF
    out 0x21, al
    out 0xA1, al
    lgdt [gdt_pointer]
    jmp CODE32:1f
1:  mov ax, DATA
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov esi, offset trampoline
    mov edi, TRAMPOLINE
    mov ecx, offset trampoline_end - trampoline
    rep movsb
    mov esi, offset mixed
    mov edi, MIXED
    mov ecx, offset mixed_end - mixed
    rep movsb
    gate 1, on_debug
    gate 2, on_nmi
    gate 14, on_page_fault
    gate 0x40, on_timer
    gate 0x41, on_message
    mov edi, FRAMES
    xor edx, edx
1:  mov byte ptr [edi + 0xFFE], 0x05        # add eax, ...; ret: across the end of the page
    mov byte ptr [edi + 0xFFF], 1
    mov dword ptr [edi], 0xC3000000
    .irp place, 0x10, 0x40, 0x7D, 0x100
    mov byte ptr [edi + \\place], 0x05
    mov [edi + \\place + 1], edx
    mov byte ptr [edi + \\place + 5], 0xC3
    .endr
    add edi, 4096
    inc edx
    cmp edx, 16
    jne 1b
    mov dword ptr [APIC + 0x300], 0xC4500
    mov dword ptr [APIC + 0x300], 0xC4600 | TRAMPOLINE >> 12
    jmp protected

    .code16
trampoline:
    cli
    xor eax, eax
    mov ds, ax
    .byte 0x66, 0x0F, 0x01, 0x16
    .word TRAMPOLINE + 8f - trampoline
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xEA
    .long protected
    .word CODE32
8:  .word 31
    .long gdt
trampoline_end:

    .balign 16
mixed:                              # 16 bits: mov ax, 0x4005; inc ax; ...
    .byte 0xB8, 0x05, 0x40, 0x40, 0x40, 0x83, 0xC0, 0x03, 0x01, 0xC2, 0xFF, 0xE1
    .balign 16
    .code16
    .byte 0x66, 0xEA                # at MIXED + 0x10: back from 16-bit code
    .long from_mixed
    .word CODE32
    .balign 16
    .code32
    jmp ebx                         # at MIXED + 0x20
mixed_end:
from_mixed:
    jmp ebx

protected:
    mov ax, DATA
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov fs, ax
    mov gs, ax
    own esi
    mov esp, esi
    shl esp, 12
    add esp, offset stacks + 4096
    lidt [idt_pointer]
    mov eax, offset root0
    test esi, 1
    jz 1f
    mov eax, offset root1
1:  mov cr3, eax
    mov eax, cr4
    or eax, 0x210
    mov cr4, eax
    mov eax, cr0
    and eax, 0x9FFFFFF3
    or eax, 0x80010020
    mov cr0, eax
    fninit
    mov dword ptr [APIC + 0xF0], 0x1FF
    mov dword ptr [APIC + 0x320], 0x40
    mov dword ptr [APIC + 0x3E0], 0xB
    imul ebp, esi, 0x9E3779B1
    add ebp, SEED
    lock inc dword ptr [starts]
    mov eax, esi
    jmp [first + 4 * eax]

on_timer:
    pushad
    own ecx
    inc dword ptr [ticks + 4 * ecx]
    mov dword ptr [APIC + 0xB0], 0
    popad
    iretd
on_message:
    pushad
    own ecx
    inc dword ptr [messages + 4 * ecx]
    mov dword ptr [APIC + 0xB0], 0
    popad
    iretd
on_nmi:
    lock inc dword ptr [nmis]
    iretd
on_debug:
    push eax
    mov eax, dr6
    lock add [debugs], eax
    xor eax, eax
    mov dr6, eax
    and dword ptr [esp + 12], ~0x100
    or dword ptr [esp + 12], 0x10000
    pop eax
    iretd
on_page_fault:
    pushad
    mov eax, cr2
    lock inc dword ptr [faults]
    shr eax, 12
    and eax, 15
    mov ecx, eax
    shl ecx, 12
    add ecx, FRAMES + 3
    mov [table0 + 4 * eax], ecx
    mov [table1 + 4 * eax], ecx
    popad
    add esp, 4
    iretd
"""

_TAIL = """
    .data
    .balign 16
gdt:
    .quad 0
    .quad 0x00CF9B000000FFFF
    .quad 0x00CF93000000FFFF
    .quad 0x008F9B000000FFFF
gdt_pointer:
    .word 31
    .long gdt, 0
idt_pointer:
    .word 0x7FF
    .long idt, 0
starts: .long 0
nmis:   .long 0
debugs: .long 0
faults: .long 0
    .balign 64
shared: .skip 64
sums:   .skip 64
ticks:  .skip 64
messages: .skip 64
buffer: .skip 512
    .balign 4096
    .macro tables number
root\\number:
    .long 0x000083, table\\number + 3, 0x800083
    .skip 4 * 0x3FB - 12
    .long 0xFEC00083
    .skip 4096 - 4 * 0x3FC
table\\number:
    .set page, 0
    .rept 16
    .long FRAMES + ((page + 3 * \\number) & 15) * 4096 + 3
    .set page, page + 1
    .endr
    .skip 4096 - 64
    .endm
    tables 0
    tables 1
idt: .skip 2048
stacks: .skip 4096 * 8
"""

_PLACES = (0x10, 0x40, 0x7D, 0x100, 0xFFE)


def _add(rng: Random) -> str:
    word = f"[shared + {4 * rng.randrange(4)}]"
    return rng.choice((
        f"lock add dword ptr {word}, {rng.randrange(100)}", f"draw\nlock xadd {word}, eax\nadd [sums + 4 * esi], eax",
        f"mov ecx, {rng.randint(1, 30)}\n1: mov eax, {word}\nlea edx, [eax + ecx]\nlock cmpxchg {word}, edx\n"
        "jne 1b\nloop 1b",
        "mov eax, [shared]\nmov edx, [shared + 4]\nmov ebx, eax\nlea ecx, [edx + 1]\nlock cmpxchg8b [shared]",
    ))  # fmt: skip


def _wait(rng: Random) -> str:
    return rng.choice(("pause", "pause\npause", "mov eax, [shared]\nmov ecx, 5\n1: pause\ncmp [shared], eax\n"
                       "loope 1b", "sti\npause\ncli", "mov ax, ss\nmov ss, ax\npause\npause"))  # fmt: skip


def _sleep(rng: Random) -> str:
    return (f"cli\nmov dword ptr [APIC + 0x380], {rng.choice((50, 700, 3000, 20000))}\n"
            + rng.choice(("sti\nhlt\n", "sti\nhlt\n", "mov ecx, 40\nsti\n1: loop 1b\n"))
            + rng.choice(("cli", "")))  # fmt: skip


def _message(rng: Random) -> str:
    kind = rng.choice((0x41, 0x41, 0x400, 0x40041, 0x80041, 0xC0041, 0x40400, 0x141))
    among = 0 if kind == 0x400 else 3  # one that starts has no handler yet of what cannot be masked
    return (f"draw\nand eax, {among}\nshl eax, 24\nmov [APIC + 0x310], eax\nmov dword ptr [APIC + 0x300], {kind}\n"
            + rng.choice(("", "", "sti\nnop\ncli")))  # fmt: skip


def _call(rng: Random, place: int | None = None) -> str:
    place = rng.choice(_PLACES) if place is None else place
    times = rng.choice((1, 1, 3, 40))
    return (f"draw\nand eax, {_PAGES - 1 if place < 0xFFE else _PAGES - 2}\nmov edx, eax\nshl edx, 12\nadd edx, "
            f"{_WINDOW + place}\nmov ecx, {times}\n1: call edx\nadd [sums + 4 * esi], eax\n"
            + ("dec ecx\njnz 1b" if times > 1 else ""))  # fmt: skip


def _patch(rng: Random) -> str:
    place = rng.choice(_PLACES[:4])
    where = "draw\nmov edx, eax\nand edx, 15\nshl edx, 12\n"
    return where + rng.choice((
        f"mov [edx + {_WINDOW + place + 1}], eax",
        f"mov byte ptr [edx + {_WINDOW + place}], {rng.choice((0x05, 0x2D, 0x35))}",
        f"mov [edx + {_WINDOW + 0xFFF}], al", f"mov [edx + {_WINDOW}], ax",
        f"lock xadd [edx + {_FRAMES + place + 1}], eax",
        f"mov [edx + {_FRAMES + place + 2}], al\nlea edx, [edx + {_WINDOW + place}]\ncall edx",
    ))  # fmt: skip


def _patch_here(rng: Random) -> str:
    """The next instruction of this body, which others may be in the middle of."""
    return f"draw\nmov byte ptr [1f + {rng.choice((2, 2, 1))}], " + rng.choice(("0xC0", "0xC2")) + (
        "\nnop" * rng.randrange(3)) + "\n1: .byte 0x83, 0xC0, 0xC0\nadd [sums + 4 * esi], eax"  # fmt: skip


def _map(rng: Random) -> str:
    flags = rng.choice((3, 3, 0x23, 0x63, 1, 0x21, 0))
    table = f"table{rng.randrange(2)}"
    entry = f"draw\nmov ecx, eax\nand ecx, 15\nand eax, 0xF0\nshl eax, 8\nadd eax, {_FRAMES + flags}\n"
    return rng.choice((
        entry + f"mov [{table} + 4 * ecx], eax", entry + f"xchg [{table} + 4 * ecx], eax",
        entry + f"mov [{table} + 4 * ecx], eax\nshl ecx, 12\ninvlpg [ecx + {_WINDOW}]",
        f"draw\nand eax, 15\nand byte ptr [{table} + 4 * eax], 0xFE",
        f"draw\nand eax, 15\nlock btr dword ptr [{table} + 4 * eax], {rng.choice((0, 1, 5, 6))}",
        f"mov eax, offset root{rng.randrange(2)}\nmov cr3, eax",
        f"mov eax, {_FRAMES + 3}\nmov edi, offset {table}\nmov ecx, 8\n1: stosd\nadd eax, 0x1000\nloop 1b",
    ))  # fmt: skip


def _strings(rng: Random) -> str:
    places = [f"draw\nand eax, 15\nshl eax, 12\nlea {reg}, [eax + {_WINDOW + rng.randrange(0x400, 0xE00)}]"
              for reg in ("edi", "ebx")]  # fmt: skip
    count = rng.choice((3, 17, 60))
    move = "push esi\nmov esi, ebx\nrep movsd\npop esi"
    return "\n".join([*places, f"mov ecx, {count}",
                      rng.choice((move, move, "rep stosd", "rep stosb", "repne scasb",
                                  "mov edi, offset buffer\n" + move, "sti\n" + move + "\ncli"))])  # fmt: skip


def _data(rng: Random) -> str:
    where = f"draw\nmov edx, eax\nand edx, 15\nshl edx, 12\nadd edx, {_WINDOW + rng.randrange(0x400, 0xF00)}\n"
    return where + f"mov ecx, {rng.choice((1, 20))}\n1: " + rng.choice((
        "add [edx], eax", "mov eax, [edx]\nadd [sums + 4 * esi], eax", "lock inc dword ptr [edx]", "mov [edx], ecx",
        "push [edx]\npop eax")) + "\nloop 1b"  # fmt: skip


def _float(rng: Random) -> str:
    return rng.choice((
        "fild dword ptr [shared]\nfld1\nfaddp\nfistp qword ptr [sums + 32]", "fld1\nfadd dword ptr [shared + 16]\n"
        "pause\nfstp dword ptr [shared + 16]",
        "cvtsi2sd xmm0, esi\naddsd xmm0, [shared + 24]\nmovsd [shared + 24], xmm0",
        "movups xmm1, [shared]\npaddd xmm2, xmm1\nmovups [buffer + 32], xmm2",
    ))  # fmt: skip


def _start(rng: Random) -> str:
    both = "mov dword ptr [APIC + 0x300], 0x4500\n" if rng.random() < 0.7 else ""
    return (f"draw\ntest eax, {rng.choice((0, 16, 48))}\njnz 1f\nand eax, 3\njz 1f\ncmp eax, esi\nje 1f\nshl eax, 24\n"
            f"mov [APIC + 0x310], eax\n{both}mov dword ptr [APIC + 0x300], 0x4600 | TRAMPOLINE >> 12\n1:")  # fmt: skip


def _debug(rng: Random) -> str:
    window = _WINDOW + 4096 * rng.randrange(16)
    where, control = rng.choice((
        (window + rng.choice(_PLACES), 0x401), ("offset shared", 0xD0401), ("offset shared + 4", 0xF0401),
        (window + 0x800, 0xF0401), ("offset table0", 0xD0401), (window + rng.choice(_PLACES), 0x401),
    ))  # fmt: skip
    return rng.choice((
        f"mov eax, {where}\nmov dr0, eax\nmov eax, {control}\nmov dr7, eax", "mov eax, 0x400\nmov dr7, eax",
        "pushfd\nor dword ptr [esp], 0x100\npopfd\nnop\nadd eax, 1",
        "mov ax, ss\nmov ss, ax\nmov eax, [shared]",
    ))  # fmt: skip


def _mixed(rng: Random) -> str:
    code, back = rng.choice((("CODE32", 0x20), ("CODE16", 0x10)))
    write = rng.choice(("", "", f"draw\nmov [MIXED + {rng.choice((1, 2, 7))}], al\n"))
    byte = rng.choice(("", "mov byte ptr [MIXED + 3], 0x48\n"))
    return f"{write}{byte}mov ebx, offset 1f\nmov ecx, MIXED + {back}\njmp {code}:MIXED\n1: add [sums + 4 * esi], edx"


def _flow(rng: Random) -> str:
    return rng.choice(("sti", "cli", "sti\nnop\nnop\ncli", "rdtsc\nadd [sums + 4 * esi], eax",
                       f"mov ecx, {rng.randint(20, 400)}\n1: add [sums + 4 * esi], ecx\nloop 1b"))  # fmt: skip


_KINDS = (
    _add, _add, _wait, _sleep, _message, _call, _call, _call, _patch, _patch, _patch_here, _map, _map, _strings, _data,
    _data, _float, _start, _debug, _mixed, _flow, _flow,
)  # fmt: skip


def source(seed: int) -> str:
    """The program of a seed, for up to four processors."""
    rng = Random(seed)
    constants = f".set SEED, {rng.randrange(1 << 31)}\n.set FRAMES, {_FRAMES}\n"
    code = bodies(rng, _KINDS, "test eax, {bit}\njz {place}", "jmp")
    first = "first: .long " + ", ".join(f"body{rng.randrange(BODIES)}" for _ in range(8))
    return constants + _HEAD + code + "\n" + _TAIL.replace("starts: .long 0", f"{first}\nstarts: .long 0") + "\n"
