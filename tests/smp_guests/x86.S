# Two processors that count, take turns at a spin lock, and sleep: 32-bit code, or with LONG defined 64-bit code. The page at
# PRIVATE is another one for each. It goes on for ever.
    .intel_syntax noprefix
    .set APIC, 0xFEE00000
    .set TRAMPOLINE, 0x8000
    .set PRIVATE, 0x800000
    .set CODE32, 0x08
    .set DATA, 0x10
    .set CODE64, 0x18
    .set TIMER, 0x40

.ifdef LONG
    .macro frame
    push rbp
    mov rbp, rsp
    .endm
    .macro unframe
    pop rbp
    ret
    .endm
.else
    .macro frame
    push ebp
    mov ebp, esp
    .endm
    .macro unframe
    pop ebp
    ret
    .endm
.endif

    .section .multiboot, "a"
    .balign 4
    .long 0x1BADB002, 0, -0x1BADB002

    .text
    .code32
    .globl _start
_start:
    cli
    mov al, 0xFF                    # no interrupts but those of the local APICs
    out 0x21, al
    out 0xA1, al
    lgdt [gdt_pointer]
    jmp CODE32:1f
1:  mov esi, offset trampoline
    mov edi, TRAMPOLINE
    mov ecx, offset trampoline_end - trampoline
    rep movsb
    mov eax, offset timer
    mov [idt_timer], ax
    shr eax, 16
    mov [idt_timer + 6], ax
    xor esi, esi                    # from here on: the number of the processor
    jmp protected

    .code16
trampoline:
    cli
    xor eax, eax
    mov ds, ax
    .byte 0x66, 0x0F, 0x01, 0x16    # lgdt with a base of 32 bits
    .word TRAMPOLINE + 8f - trampoline
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xEA                # a far jump with an offset of 32 bits
    .long second
    .word CODE32
8:  .word 31
    .long gdt
trampoline_end:

    .code32
second:
    mov esi, 1
protected:
    mov eax, DATA
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    mov esp, [stacks + 4 * esi]
    lidt [idt_pointer]
    mov eax, [roots + 4 * esi]
    mov cr3, eax
    mov eax, cr4
.ifdef LONG
    or eax, 0x20
    mov cr4, eax
    mov ecx, 0xC0000080
    rdmsr
    or eax, 0x100
    wrmsr
.else
    or eax, 0x10
    mov cr4, eax
.endif
    mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
.ifdef LONG
    jmp CODE64:1f
    .code64
1:
.endif
    mov edi, APIC
    mov dword ptr [edi + 0xF0], 0x1FF
    mov dword ptr [edi + 0x320], TIMER
    mov dword ptr [edi + 0x3E0], 0xB
    test esi, esi
    jnz round
    mov dword ptr [edi + 0x310], 1 << 24
    mov dword ptr [edi + 0x300], 0x4500
    mov dword ptr [edi + 0x300], 0x4600 | TRAMPOLINE >> 12

    .globl round
round:
    inc dword ptr [counts + 4 * esi]
    mov eax, [counts + 4 * esi]
    lea eax, [esi + 2 * eax]
    mov edx, PRIVATE
    mov [edx], eax
    lock inc dword ptr [shared]
    call wait_turn
    call work
    xor dword ptr [turn], 1
    mov eax, [counts + 4 * esi]
    test al, 31
    jnz 1f
    call hurry
1:  test al, 7
    jnz round
    call nap
    jmp round

    .globl wait_turn
wait_turn:
    frame
1:  cmp [turn], esi
    je 2f
    pause
    jmp 1b
2:  unframe

    .globl work
work:
    frame
    mov ecx, 20
1:  add [sums + 4 * esi], ecx
    loop 1b
    unframe

# Longer than a turn, and nobody waits.
    .globl hurry
hurry:
    frame
    mov ecx, 150000
1:  add [sums + 4 * esi], ecx
    loop 1b
    unframe

    .globl nap
nap:
    frame
    mov edx, APIC
    mov dword ptr [edx + 0x380], 24000
    sti
    hlt
    cli
    unframe

    .globl timer
timer:
.ifdef LONG
    push rdx
    mov edx, APIC
    inc dword ptr [ticks + 4 * esi]
    mov dword ptr [edx + 0xB0], 0
    pop rdx
    iretq
.else
    push edx
    mov edx, APIC
    inc dword ptr [ticks + 4 * esi]
    mov dword ptr [edx + 0xB0], 0
    pop edx
    iretd
.endif

    .data
    .balign 16
gdt:
    .quad 0
    .quad 0x00CF9B000000FFFF
    .quad 0x00CF93000000FFFF
    .quad 0x00AF9B000000FFFF
gdt_pointer:
    .word 31
    .long gdt, 0
idt_pointer:
    .word 0x7FF
    .long idt, 0
stacks: .long first_stack, second_stack
counts: .long 0, 0
shared: .long 0
turn:   .long 0
sums:   .long 0, 0
ticks:  .long 0, 0
    .balign 16
idt:
.ifdef LONG
    .skip 16 * TIMER
idt_timer:
    .word 0, CODE64, 0x8E00, 0, 0, 0, 0, 0
.else
    .skip 8 * TIMER
idt_timer:
    .word 0, CODE32, 0x8E00, 0
.endif

# The first 16 MiB, from which the private page is taken, and the local APIC.
    .balign 4096
.ifdef LONG
    .macro tables number, private
root\number:
    .quad pointers\number + 3
    .skip 4096 - 8
pointers\number:
    .quad low\number + 3, 0, 0, high + 3
    .skip 4096 - 32
low\number:
    .quad 0x000083, 0x200083, 0x400083, 0x600083, \private + 0x83
    .skip 4096 - 40
    .endm
    tables 0, 0x800000
    tables 1, 0x1000000
high:
    .skip 8 * 0x1F7
    .quad APIC + 0x83
    .skip 4096 - 8 * 0x1F8
.else
    .macro tables number, private
root\number:
    .long 0x000083, 0x400083, \private + 0x83
    .skip 4 * 0x3FB - 12
    .long 0xFEC00083
    .skip 4096 - 4 * 0x3FC
    .endm
    tables 0, 0x800000
    tables 1, 0x1000000
.endif
roots:  .long root0, root1

    .bss
    .balign 16
    .skip 4096
first_stack:
    .skip 4096
second_stack:
