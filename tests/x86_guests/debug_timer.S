# Debug exceptions of all kinds among timer interrupts, on the real machine, in 32-bit code: what they saw is summed up, and
# any difference in their order ends as another sum. Then off.
    .include "common.inc"

    .set TIMER, 0x20
    .set ROUNDS, 3000
    .set POWER_PORT, 0x604
    .set POWER_OFF, 0x3400
    # DR0: write 4; DR1: execute; DR2: access 2, enabled too.
    .set ARMED, 0x070D0000 | 0x15

.macro gate vector, handler
    mov eax, offset \handler
    mov [idt + 8 * \vector], ax
    mov word ptr [idt + 8 * \vector + 2], K_CODE
    mov word ptr [idt + 8 * \vector + 4], 0x8E00
    shr eax, 16
    mov [idt + 8 * \vector + 6], ax
.endm

.macro port number, value
    mov al, \value
    out \number, al
.endm

    .text
    .code32
    .globl _start
_start:
    cli
    mov esp, offset stack_top
    lgdt [gdt_pointer]
    jmp K_CODE:1f
1:  mov eax, K_DATA
    mov ds, eax
    mov es, eax
    mov ss, eax
    gate 1, debug
    gate TIMER, timer
    lidt [idt_pointer]
    port 0x20, 0x11
    port 0x21, TIMER
    port 0x21, 4
    port 0x21, 1
    port 0x21, 0xFE
    port 0xA1, 0xFF
    port 0x43, 0x34
    port 0x40, 23                   # about 19 us
    port 0x40, 0
    mov eax, offset watched
    mov dr0, eax
    mov eax, offset breakpoint
    mov dr1, eax
    mov eax, offset selector
    mov dr2, eax
    mov ebp, ROUNDS
    sti
rounds:
    mov eax, ARMED                  # every other round without the instruction breakpoint
    test ebp, 1
    jz 1f
    and al, ~4
1:  mov dr7, eax
    mov ecx, 3
1:  mov [watched], ecx
breakpoint:
    add edx, [watched]
    dec ecx
    jnz 1b
    mov ss, [selector]
    push ebp
    pop edi
    mov edi, offset before
    mov ecx, 4
    rep stosd
    mov ecx, 20                     # a page that is watched, without hits
1:  mov [before], ecx
    add edx, [before]
    dec ecx
    jnz 1b
    test ebp, 7
    jnz 2f
    pushfd
    or dword ptr [esp], 0x100
    popfd
    mov [watched], edx
    sti
    hlt
    mov edi, offset watched
    mov ecx, 2
    rep stosd
    pushfd
    and dword ptr [esp], ~0x100
    popfd
2:  dec ebp
    jnz rounds
    cli
    mov dx, POWER_PORT
    mov ax, POWER_OFF
    out dx, ax
3:  hlt
    jmp 3b

# [sum] = [sum] * 33 + EIP + EFLAGS + DR6
debug:
    push eax
    push ebx
    mov eax, dr6
    cmp dword ptr [esp + 8], offset breakpoint
    jne 1f
    test al, 2
    jz 1f
    or dword ptr [esp + 16], 0x10000
1:  add eax, [esp + 8]
    add eax, [esp + 16]
    call add_up
    inc dword ptr [traps]
    xor eax, eax
    mov dr6, eax
    pop ebx
    pop eax
    iretd

timer:
    push eax
    push ebx
    mov eax, [esp + 8]
    call add_up
    inc dword ptr [ticks]
    port 0x20, 0x20
    pop ebx
    pop eax
    iretd

add_up:
    mov ebx, [sum]
    shl ebx, 5
    add ebx, [sum]
    add ebx, eax
    mov [sum], ebx
    ret

    .data
    .balign 16
gdt:
    .quad 0
    .quad 0x00CF9B000000FFFF
    .quad 0x00CF93000000FFFF
gdt_pointer:
    .word 0x17
    .long gdt
idt_pointer:
    .word 0x1FF
    .long idt
selector: .word K_DATA
    .balign 16
    .globl sum, traps, ticks
sum: .long 0
traps: .long 0
ticks: .long 0
    .balign 4096
before: .skip 8
watched: .skip 4088
    .bss
    .balign 4096
idt: .skip 512
    .skip 4096
stack_top: .skip 16
