# Hardware task switches, call gates and faults on the way, in 32-bit protected mode. Exceptions go through task gates to
# tasks of their own, which say what happened and send the main task on.
    .include "common.inc"
    .include "try32.inc"

    .set U_CODE, 0x1B
    .set U_DATA, 0x23
    .set MAIN, 0x28
    .set TASK_A, 0x30
    .set TASK_16, 0x38
    .set GATE_A, 0x40               # task gate, for ring 3 too
    .set GATE_K, 0x48               # task gate, ring 0 only
    .set GATE_ABSENT, 0x50          # task gate
    .set CALL_32, 0x58              # call gates: two parameters
    .set CALL_16, 0x60              # one parameter
    .set CALL_K, 0x68               # ring 0 only
    .set CALL_ABSENT, 0x70
    .set CALL_DATA, 0x78            # leads to a data segment
    .set CALL_SAME, 0x88            # to conforming code
    .set VICTIM, 0x90               # a TSS that tests spoil
    .set SHORT_TSS, 0x98
    .set ABSENT_TSS, 0xA0
    .set ABSENT_CODE, 0xA8
    .set READ_ONLY, 0xB0
    .set CONFORMING, 0xB8
    .set SMALL_CODE, 0xC0
    .set DATA16, 0xC8
    .set ABSENT_DATA, 0xD0
    .set LDT_SEL, 0xD8
    .set EXEC_ONLY, 0xE0
    .set CODE16, 0xE8               # base 0, for the 16-bit task
    .set HANDLERS, 0xF0             # TSS of the handlers of 8, 10, 11, 12, 13, 14, 1
    .set GDT_END, 0xF0 + 7 * 8
    .set NT, 0x4000
    .set HANDLERS_3, HANDLERS + 3
    .set MAIN_3, MAIN + 3
    .set U_CALL_16, CALL_16 + 3
    .set U_CALL_32, CALL_32 + 3
    .set U_CALL_ABSENT, CALL_ABSENT + 3
    .set U_CALL_DATA, CALL_DATA + 3
    .set U_CALL_K, CALL_K + 3
    .set U_CALL_SAME, CALL_SAME + 3
    .set U_GATE_A, GATE_A + 3

# Jumps to a sound task in which one field of the TSS has been spoilt.
.macro spoil offset, value
    call make_victim
    mov dword ptr [victim + \offset], \value
    try jmp VICTIM:0
.endm

    start
    lgdt [gdt_pointer]
    jmp K_CODE:1f
1:  mov ax, K_DATA
    mov ds, ax
    mov es, ax
    mov fs, ax
    mov gs, ax
    mov ss, ax
    base_of MAIN, main_tss
    base_of TASK_A, tss_a
    base_of TASK_16, tss_16
    base_of VICTIM, victim
    base_of SHORT_TSS, victim
    base_of ABSENT_TSS, victim
    base_of LDT_SEL, ldt
    .irp number, 0, 1, 2, 3, 4, 5, 6
    base_of HANDLERS+8*\number, handler_tss+104*\number
    .endr
    .irp gate, CALL_32, CALL_16, CALL_K, CALL_ABSENT, CALL_SAME
    mov eax, offset called_32
    .if \gate == CALL_16
    mov eax, 0x8000 + called_16 - code16_start
    .elseif \gate == CALL_SAME
    mov eax, offset called_same
    .endif
    mov [gdt + \gate], ax
    shr eax, 16
    mov [gdt + \gate + 6], ax
    .endr
    mov esi, offset code16_start
    mov edi, 0x8000
    mov ecx, offset code16_end - code16_start
    rep movsb
    mov eax, offset leave_ring3
    mov [idt + 8 * 0x83], ax
    shr eax, 16
    mov [idt + 8 * 0x83 + 6], ax
    lidt [idt_pointer]
    mov ax, MAIN
    ltr ax
    call switches
    call wrong_selectors
    call wrong_tasks
    call returns
    call small_tasks
    call virtual_tasks
    call outer
    call legacy
    call double_fault
    finish

# What a switch has left: types of both TSS descriptors, NT, TS, TR, and whether registers are as before.
show_state:
    movzx eax, byte ptr [gdt + MAIN + 5]
    show eax
    movzx eax, byte ptr [gdt + TASK_A + 5]
    show eax
    pushfd
    pop eax
    and eax, NT
    show eax
    mov eax, cr0
    and eax, 8
    show eax
    clts
    str eax
    show eax
    show ebx
    mov eax, fs
    show eax
    ret

switches:
    mov ebx, 0x1234
    xor eax, eax
    mov fs, ax
    line call
    call TASK_A:0xDEAD
    call show_state
    line call again
    call TASK_A:0
    call show_state
    line call through a gate
    call GATE_A:0
    call show_state
    line interrupt
    int 0x90
    call show_state
    line jump
    jmp TASK_A:0
    call show_state
    line jump through a gate
    jmp GATE_K:0
    call show_state
    line far pointer
    call fword ptr [pointer_to_a]
    call show_state
    ret

# What it says of itself is what its TSS has: register values, and the link to its caller.
task_a:
    mov al, ' '
    call print_char
    mov al, 'A'
    call print_char
    movzx eax, word ptr [tss_a]
    show eax
    show ecx
    movzx eax, byte ptr [gdt + MAIN + 5]
    show eax
    movzx eax, byte ptr [gdt + TASK_A + 5]
    show eax
    mov eax, [main_tss + 0x24]
    and eax, NT
    show eax
    pushfd
    pop eax
    and eax, NT
    show eax
    str eax
    show eax
    clts
    inc ecx
    mov bx, U_DATA
    mov fs, bx
    pushfd
    pop eax
    test eax, NT
    jnz 1f
    jmp MAIN:0
    jmp task_a
1:  iretd
    jmp task_a

wrong_selectors:
    line selectors
    .irp selector, MAIN, 0x34, 0x1F8, SHORT_TSS, ABSENT_TSS, GATE_ABSENT, LDT_SEL, HANDLERS_3, MAIN_3
    try jmp \selector:0
    try call \selector:0
    .endr
    ret

wrong_tasks:
    line sound
    call make_victim
    try jmp VICTIM:0
    line code
    .irp value, 0, K_DATA, 0x1F8, U_CODE, ABSENT_CODE, K_CODE + 1, CONFORMING, LDT_SEL, 0x0C
    spoil 0x4C, \value
    .endr
    line stack
    .irp value, 0, K_CODE, 0x1F8, U_DATA, READ_ONLY, K_DATA + 1, LDT_SEL
    spoil 0x50, \value
    .endr
    line ~conforming code and an absent stack
    spoil 0x4C, CONFORMING + 3
    spoil 0x50, ABSENT_DATA
    line data
    .irp value, 0, K_CODE, 0x1F8, U_DATA, READ_ONLY, EXEC_ONLY, ABSENT_DATA, LDT_SEL, 0x04
    spoil 0x54, \value
    .endr
    line other data
    spoil 0x48, 0x1F8
    spoil 0x58, EXEC_ONLY
    spoil 0x5C, ABSENT_DATA
    line tables
    .irp value, LDT_SEL, 0x1F8, K_DATA, LDT_SEL + 4
    spoil 0x60, \value
    .endr
    line pc
    call make_victim
    mov dword ptr [victim + 0x4C], SMALL_CODE
    try jmp VICTIM:0
    line ~pc of a fault
    spoil 0x50, 0
    mov eax, [victim + 0x20]
    sub eax, offset victim_code
    show eax
    line ~trap on entry
    spoil 0x64, 0x680001
    mov eax, dr6
    and eax, 0xE00F
    show eax
    line flags
    spoil 0x24, 0x4002
    ret

make_victim:
    pushad
    mov ecx, 26
    mov esi, offset sound
    mov edi, offset victim
    rep movsd
    popad
    ret

victim_code:
    mov al, '!'
    call print_char
    jmp MAIN:0

returns:
    line return to
    .irp selector, 0, 0x1F8, 0x34, K_DATA, TASK_A
    mov word ptr [main_tss], \selector
    pushfd
    or dword ptr [esp], NT
    popfd
    try iretd
    pushfd
    and dword ptr [esp], ~NT
    popfd
    .endr
    line return to a busy task
    call make_victim
    mov byte ptr [gdt + VICTIM + 5], 0x8B
    mov word ptr [main_tss], VICTIM
    pushfd
    or dword ptr [esp], NT
    popfd
    try iretd
    movzx eax, byte ptr [gdt + VICTIM + 5]
    show eax
    mov eax, [main_tss + 0x24]
    and eax, NT
    show eax
    mov byte ptr [gdt + VICTIM + 5], 0x89
    ret

small_tasks:
    line 16-bit task
    mov ebx, 0x5678
    mov dword ptr [0x9000], 0
    call TASK_16:0
    call show_small
    line 16-bit jump
    jmp TASK_16:0
    call show_small
    ret
show_small:
    show ebx
    movzx eax, word ptr [0x9000]
    show eax
    movzx eax, word ptr [0x9004]
    show eax
    show dword ptr [0x9008]
    show dword ptr [0x900C]
    movzx eax, word ptr [tss_16]
    show eax
    movzx eax, byte ptr [gdt + TASK_16 + 5]
    show eax
    movzx eax, word ptr [tss_16 + 0x0E]
    sub eax, 0x8000
    show eax
    clts
    ret

# A task in virtual-8086 mode: its HLT is #GP.
virtual_tasks:
    line virtual task
    call make_victim
    mov dword ptr [victim + 0x20], virtual_code - code16_start
    mov dword ptr [victim + 0x24], 0x20002
    mov dword ptr [victim + 0x4C], 0x800
    mov dword ptr [victim + 0x50], 0x900
    mov dword ptr [victim + 0x54], 0x123
    mov dword ptr [victim + 0x38], 0x700
    try jmp VICTIM:0
    .irp offset, 0x20, 0x24, 0x28, 0x38, 0x4C, 0x50, 0x54
    mov eax, dword ptr [victim + \offset]
    and eax, ~0x10000                # RF
    show eax
    .endr
    ret

outer:
    line ring 3
    mov [kernel_esp], esp
    push U_DATA
    push offset user_stack
    push 0x3002
    push U_CODE
    push offset 1f
    iretd
1:  mov ax, U_DATA
    mov ds, ax
    mov es, ax
    try call TASK_A:0
    try call GATE_K:0
    try call U_CALL_K:0
    try call U_CALL_ABSENT:0
    try call U_CALL_DATA:0
    try jmp U_CALL_32:0
    line ring 3 tasks
    mov ebx, 0x77
    call U_GATE_A:0
    mov eax, cs
    show eax
    show ebx
    line ring 3 gates
    mov ebx, esp
    push 0x1111
    push 0x2222
    call U_CALL_32:0x1234
    sub ebx, esp
    show ebx
    mov eax, cs
    show eax
    mov ebx, esp
    push 0x33334444
    call U_CALL_16:0x1234
after_16:
    sub ebx, esp
    show ebx
    show dword ptr [0x9010]
    mov eax, [0x9014]
    sub eax, offset after_16
    and eax, 0xFFFF
    show eax
    movzx eax, word ptr [0x9016]
    show eax
    movzx eax, word ptr [0x9018]
    show eax
    mov ax, [0x901A]
    sub eax, offset user_stack
    movzx eax, ax
    show eax
    movzx eax, word ptr [0x901C]
    show eax
    jmp U_CALL_SAME:0
2:  line ring 3 gates to bad stacks
    mov dword ptr [main_tss + 8], K_DATA + 3
    try call U_CALL_32:0
    mov dword ptr [main_tss + 8], 0
    try call U_CALL_32:0
    mov dword ptr [main_tss + 8], 0x1F8
    try call U_CALL_32:0
    mov dword ptr [main_tss + 8], READ_ONLY
    try call U_CALL_32:0
    line ~ring 3 gates to an absent stack
    mov dword ptr [main_tss + 8], ABSENT_DATA
    try call U_CALL_32:0
    mov dword ptr [main_tss + 8], K_DATA
    int 0x83

# Two parameters. ECX..: what is on the stack.
called_32:
    mov eax, cs
    show eax
    mov eax, ss
    show eax
    mov eax, offset ring0_stack
    sub eax, esp
    show eax
    mov eax, [esp]
    sub eax, offset outer
    show dword ptr [esp + 4]
    show dword ptr [esp + 8]
    show dword ptr [esp + 12]
    mov eax, [esp + 16]
    sub eax, offset user_stack
    show eax
    show dword ptr [esp + 20]
    retf 8

called_same:
    mov eax, cs
    show eax
    jmp U_CODE:2b

# INT 83h from ring 3: back behind the call of "outer".
leave_ring3:
    mov ax, K_DATA
    mov ds, ax
    mov es, ax
    mov esp, [kernel_esp]
    ret

legacy:
    line ~arpl writes only what changes
    mov dword ptr [0x9000], 0x1013
    mov ax, READ_ONLY
    mov fs, ax
    mov bx, 2
    try arpl fs:[0x9000], bx
    mov word ptr [0x9000], 0x1010
    try arpl fs:[0x9000], bx
    movzx eax, word ptr [0x9000]
    show eax
    try arpl [0x9000], bx
    movzx eax, word ptr [0x9000]
    show eax
    line enter on a 16-bit stack
    mov edx, esp
    mov ebp, 0x1E000
    mov dword ptr [0xDFFC], 0x1234
    mov ax, DATA16
    mov ss, ax
    mov esp, 0x1F000
    enter 16, 2
    mov ebx, esp
    mov ax, K_DATA
    mov ss, ax
    mov esp, edx
    show ebx
    show ebp
    show dword ptr [0xEFFC]
    show dword ptr [0xEFF8]
    show dword ptr [0xEFF4]
    ret

# #GP whose gate is absent is #NP, and that is #DF.
double_fault:
    line double fault
    mov byte ptr [idt + 8 * 13 + 5], 0x05
    try mov fs, [bad_selector]
    mov byte ptr [idt + 8 * 13 + 5], 0x85
    line and no more
    try mov fs, [bad_selector]
    ret

# -- the tasks of exceptions: EBX is the vector, the error code is on the stack -------------------------------------------------
handle_debug:
    push 0
handle:
    mov ax, K_DATA
    mov ds, ax
    mov al, ' '
    call print_char
    mov al, '#'
    call print_char
    mov eax, ebx
    call print_byte
    mov al, '('
    call print_char
    call print_hex_only
    mov al, ')'
    call print_char
    str esi
    and esi, ~7
    lea edi, [gdt + esi]             # our own TSS: the link
    mov eax, [edi + 2]
    and eax, 0xFFFFFF
    mov cl, [edi + 7]
    shl ecx, 24
    or eax, ecx
    movzx eax, word ptr [eax]
    show eax
    cmp eax, VICTIM
    je 1f
    cmp eax, MAIN
    jne 2f
    mov eax, [main_tss + 0x20]
    sub eax, [began]
    show eax
    mov eax, [resume]
    mov [main_tss + 0x20], eax
    mov eax, [saved_esp]
    mov [main_tss + 0x38], eax
    clts
    iretd
    jmp handle
1:  mov eax, [resume]
    mov [main_tss + 0x20], eax
    mov byte ptr [gdt + VICTIM + 5], 0x89
    mov byte ptr [gdt + MAIN + 5], 0x89
    pushfd
    and dword ptr [esp], ~NT
    popfd
    jmp MAIN:0
    jmp handle
2:  mov dx, EXIT_PORT                # that was not meant to happen
    mov al, 1
    out dx, al
    jmp 2b

# -- output -----------------------------------------------------------------------------------------------------------------
    .include "print32.inc"

# -- 16-bit code, copied to 8000h -----------------------------------------------------------------------------------------------
    .code16
code16_start:
task_16:
    mov [0x9000], eax
    mov [0x9004], esp
    mov ax, fs
    movzx eax, ax
    mov [0x9008], eax
    pushfd
    pop eax
    mov [0x900C], eax
    mov eax, 0xABCDEF01
    test word ptr [0x900C], NT
    jnz 1f
    ljmp MAIN, 0
1:  iret
    jmp task_16
virtual_code:
    push ds
    pop ax
    hlt
    .code32
called_16:                           # in the flat segment; a 16-bit return would lose half of EIP
    mov eax, offset ring0_stack
    sub eax, esp
    mov [0x9010], eax
    .irp index, 0, 2, 4, 6, 8
    mov ax, [esp + \index]
    mov [0x9014 + \index], ax
    .endr
    push U_DATA
    push ebx
    push U_CODE
    push offset after_16
    retf
code16_end:

# -- data -----------------------------------------------------------------------------------------------------------------------
    .data
    .balign 16
gdt:
    .quad 0
    .quad 0x00CF9B000000FFFF        # 08
    .quad 0x00CF93000000FFFF        # 10
    .quad 0x00CFFB000000FFFF        # 18
    .quad 0x00CFF3000000FFFF        # 20
    .quad 0x0000890000000067        # 28 main task
    .quad 0x0000890000000067        # 30 task A
    .quad 0x000081000000002B        # 38 16-bit task
    .quad 0x0000E50000300000        # 40 task gate
    .quad 0x0000850000300000        # 48 task gate, ring 0
    .quad 0x0000650000300000        # 50 task gate, absent
    .quad 0x0000EC0200080000        # 58 call gate, 2 parameters
    .quad 0x0000E40100080000        # 60 16-bit call gate, 1 parameter
    .quad 0x00008C0000080000        # 68 call gate, ring 0
    .quad 0x00006C0000080000        # 70 call gate, absent
    .quad 0x0000EC0000100000        # 78 call gate to data
    .quad 0                         # 80
    .quad 0x0000EC0000B80000        # 88 call gate to conforming code
    .quad 0x0000890000000067        # 90 victim
    .quad 0x0000890000000066        # 98 short TSS
    .quad 0x0000090000000067        # A0 absent TSS
    .quad 0x00CF1B000000FFFF        # A8 absent code
    .quad 0x00CF91000000FFFF        # B0 read-only
    .quad 0x00CF9F000000FFFF        # B8 conforming
    .quad 0x00409B0000000FFF        # C0 code of 4 KiB
    .quad 0x000093000000FFFF        # C8 16-bit data
    .quad 0x00CF13000000FFFF        # D0 absent data
    .quad 0x0000820000000007        # D8 LDT
    .quad 0x00CF99000000FFFF        # E0 execute-only
    .quad 0x00009B000000FFFF        # E8 16-bit code
    .rept 7
    .quad 0x0000890000000067        # F0.. handlers
    .endr
ldt:
    .quad 0x00CF93000000FFFF
gdt_pointer:
    .word GDT_END - 1
    .long gdt
idt_pointer:
    .word 0x7FF
    .long idt
pointer_to_a:
    .long 0
    .word TASK_A
bad_selector: .word 0x1F8

    .balign 8
idt:
    .quad 0
    .long (HANDLERS + 8 * 6) << 16, 0x8500
    .fill 6, 8, 0
    .long HANDLERS << 16, 0x8500
    .quad 0
    .irp number, 1, 2, 3, 4, 5
    .long (HANDLERS + 8 * \number) << 16, 0x8500
    .endr
    .fill 0x83 - 15, 8, 0
    .long K_CODE << 16, 0xEE00
    .fill 0x90 - 0x84, 8, 0
    .long TASK_A << 16, 0xE500
    .fill 0x100 - 0x91, 8, 0

    .balign 16
main_tss:
    .long 0, ring0_stack, K_DATA
    .fill 23, 4, 0
tss_a:
    .fill 8, 4, 0
    .long task_a, 2, 0, 0xA000, 0, 0, stack_a, 0, 0, 0
    .long K_DATA, K_CODE, K_DATA, K_DATA, K_DATA, K_DATA, 0, 0x680000
victim:
    .fill 26, 4, 0
sound:
    .long 0, victim_stack, K_DATA
    .fill 5, 4, 0
    .long victim_code, 2, 0, 0, 0, 0, victim_stack, 0, 0, 0
    .long K_DATA, K_CODE, K_DATA, K_DATA, K_DATA, K_DATA, 0, 0x680000
tss_16:
    .word 0, 0, 0, 0, 0, 0, 0
    .word 0x8000, 0x2, 0x1111, 0x2222, 0x3333, 0x4444, 0x7000, 0, 0, 0
    .word K_DATA, CODE16, DATA16, K_DATA, 0
handler_tss:
    .irp vector, 8, 10, 11, 12, 13, 14
    .fill 8, 4, 0
    .long handle, 2, 0, 0, 0, \vector, handler_stack_\vector, 0, 0, 0
    .long K_DATA, K_CODE, K_DATA, K_DATA, K_DATA, K_DATA, 0, 0x680000
    .endr
    .fill 8, 4, 0                   # debug exceptions: no error code
    .long handle_debug, 2, 0, 0, 0, 1, handler_stack_8, 0, 0, 0
    .long K_DATA, K_CODE, K_DATA, K_DATA, K_DATA, K_DATA, 0, 0x680000
resume: .long 0
saved_esp: .long 0
began: .long 0
kernel_esp: .long 0
    .bss
    .balign 16
    .skip 1024
stack_top:
    .skip 512
ring0_stack:
    .skip 512
user_stack:
    .skip 512
stack_a:
    .skip 512
victim_stack:
    .irp vector, 8, 10, 11, 12, 13, 14
    .skip 512
handler_stack_\vector:
    .endr
