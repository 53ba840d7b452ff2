# Four processors: starting them, messages, memory and code that others change, in 32-bit code. The first one tells the others
# what to do by an interrupt, waits for all of them, and prints what they have written down.
    .include "common.inc"
    .set DEBUG_PORT, 0x3F8          # of a machine, not only of a processor
    .include "try32.inc"

    .set COUNT, 4
    .set APIC, 0xFEE00000
    .set ID, APIC + 0x20
    .set EOI, APIC + 0xB0
    .set LOGICAL_ID, APIC + 0xD0
    .set LOGICAL_MODE, APIC + 0xE0
    .set SPURIOUS, APIC + 0xF0
    .set COMMAND, APIC + 0x300
    .set DESTINATION, APIC + 0x310
    .set TIMER_ENTRY, APIC + 0x320
    .set TIMER_COUNT, APIC + 0x380
    .set TIMER_DIVIDER, APIC + 0x3E0
    .set PAGE_ONE, 0x8000           # two places to start at
    .set PAGE_TWO, 0x9000
    .set NOTE, 0x41                 # vectors: to be counted
    .set TASK, 0x44                 # ... to do something
    .set TIMER, 0x45
    .set SELF, 0x40000
    .set ALL, 0x80000
    .set OTHERS, 0xC0000
    .set LOGICAL, 0x800
    .set LOWEST, 0x100
    .set NMI, 0x4400
    .set INIT, 0x4500
    .set START_UP, 0x4600
    .set WINDOW, 0x400000           # the page that is another one later on
    .set LARGE, 0x83

# EDI: the number of this processor.
.macro own
    mov edi, [ID]
    shr edi, 24
.endm

.macro send destination, command:vararg
    mov dword ptr [DESTINATION], \destination << 24
    mov dword ptr [COMMAND], \command
.endm

.macro wait_for where, value
1:  pause
    cmp dword ptr [\where], \value
    jne 1b
.endm

# A row for each processor.
.macro show_all table
    .irp number, 0, 1, 2, 3
    show [\table + 4 * \number]
    .endr
.endm

.macro clear table
    xor eax, eax
    mov edi, offset \table
    mov ecx, COUNT
    rep stosd
.endm

# All others do something at the same time.
.macro everybody what
    mov dword ptr [done], 0
    mov dword ptr [task], offset \what
    send 0, OTHERS | TASK
    wait_for done, COUNT-1
.endm

# Who counts a message; \total of them arrive.
.macro message total, destination, command:vararg
    clear notes
    mov dword ptr [noted], 0
    send \destination, NOTE | \command
    wait_for noted, \total
    show_all notes
.endm

    start
    lgdt [gdt_pointer]
    jmp K_CODE:1f
1:  mov ax, K_DATA
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov fs, ax
    mov gs, ax
    .irp vector, 2, NOTE, TASK, TIMER
    mov eax, offset on_\vector
    mov [idt + 8 * \vector], ax
    shr eax, 16
    mov [idt + 8 * \vector + 6], ax
    .endr
    .irp page, PAGE_ONE, PAGE_TWO
    mov esi, offset trampoline
    mov edi, \page
    mov ecx, offset trampoline_end - trampoline
    rep movsb
    .endr
    lidt [idt_pointer]
    mov dword ptr [SPURIOUS], 0x1FF
first_sti:
    sti
    call starting
    call messages
    call nmis
    call start_again
    call adding
    call timers
    call mapping
    call patching
    finish

# What the others find when they begin: who is there, CS, the registers together, CR0 in real mode; base bits and identities.
starting:
    line start
    send 0, OTHERS | INIT
    send 0, OTHERS | START_UP | PAGE_ONE >> 12
    wait_for online, COUNT-1
    show [here]
    show_all selectors
    show_all registers
    show_all controls
    line identity
    mov dword ptr [here], 0
    call identify
    everybody identify
    show_all bases
    show_all identities
    show_all topologies
    show_all packages
    ret

messages:
    line physical
    message 1, 0, 0
    message 1, 2, 0
    message COUNT, 0xFF, 0
    line shorthand
    message 1, 2, SELF
    message COUNT, 2, ALL
    message COUNT-1, 2, OTHERS
    line cluster
    mov dword ptr [addressing], offset cluster_ids
    call address
    everybody address
    message 1, 0x12, LOGICAL
    message 2, 0x03, LOGICAL
    line flat
    mov dword ptr [addressing], offset flat_ids
    call address
    everybody address
    message 1, 0x04, LOGICAL
    message 3, 0x0B, LOGICAL
    message COUNT, 0xFF, LOGICAL
    line lowest
    clear notes
    mov ebx, 10
2:  mov dword ptr [noted], 0
    send 0xFF, LOGICAL | LOWEST | NOTE
    wait_for noted, 1
    dec ebx
    jnz 2b
    mov eax, [notes]                # who it is depends on the machine
    add eax, [notes + 4]
    add eax, [notes + 8]
    add eax, [notes + 12]
    show eax
    ret

# They sleep with interrupts off. One that has not fallen asleep yet misses its NMI, so there are more until all are awake.
nmis:
    line nmi
    mov dword ptr [done], 0
    mov dword ptr [task], offset sleep
    send 0, OTHERS | TASK
    wait_for entered, COUNT-1
2:  .irp number, 1, 2, 3
    send \number, NMI
    .endr
    mov ecx, 1000
3:  pause
    loop 3b
    cmp dword ptr [done], COUNT - 1
    jne 2b
    show_all nmi_seen
    ret

# One is sent back and begins elsewhere; of what it had, INIT leaves the x87 alone.
start_again:
    line again
    everybody precision
    mov dword ptr [online], 0
    clear selectors
    clear notes
    send 2, INIT
    mov dword ptr [noted], 0
    send 1, NOTE
    wait_for noted, 1
    send 2, START_UP | PAGE_TWO >> 12
    send 1, START_UP | PAGE_TWO >> 12   # it runs: nothing happens
    wait_for online, 1
    show_all selectors
    show_all notes
    line precision
    everybody precision
    show_all precisions
    ret

# Locked, and under a spin lock.
adding:
    line adding
    mov dword ptr [done], 0
    mov dword ptr [task], offset add_up
    send 0, OTHERS | TASK
    call add_up
    wait_for done, COUNT-1
    show [locked]
    show [guarded]
    line exchange
    mov dword ptr [tickets], 0
    mov dword ptr [done], 0
    mov dword ptr [task], offset draw
    send 0, OTHERS | TASK
    call draw
    wait_for done, COUNT-1
    mov eax, [drawn]
    add eax, [drawn + 4]
    add eax, [drawn + 8]
    add eax, [drawn + 12]
    show eax
    ret

timers:
    line timers
    mov dword ptr [done], 0
    mov dword ptr [task], offset set_timer
    send 0, OTHERS | TASK
    wait_for ticked, COUNT-1
    show_all ticks
    ret

# Each maps a window with the same tables; then it shows another page.
mapping:
    line mapping
    mov dword ptr [first_page], 0x1111
    mov dword ptr [second_page], 0x2222
    mov eax, offset first_page + 3
    mov [window_table], eax
    call turn_paging_on
    everybody turn_paging_on
    everybody look
    show_all seen
    mov eax, offset second_page + 3
    mov [window_table], eax
    invlpg [WINDOW]
    everybody forget_and_look
    show_all seen
    and dword ptr [window_table], ~0x20
    everybody forget_and_look
    mov eax, [window_table]
    and eax, 0x7F
    show eax
    ret

# Code is changed while others wait, and while they run it.
patching:
    line patching
    everybody run_patched
    show_all results
    mov byte ptr [patched + 1], 2
    everybody run_patched
    show_all results
    mov dword ptr [done], 0
    mov dword ptr [entered], 0
    mov dword ptr [task], offset run_until_patched
    send 0, OTHERS | TASK
    wait_for entered, COUNT-1
    mov ecx, 2000
2:  loop 2b
    mov byte ptr [patched + 1], 3
    wait_for done, COUNT-1
    show_all results
    ret

# -- what each does: EDI is its number ---------------------------------------------------------------------------------------
identify:
    own
    mov ecx, 0x1B
    rdmsr
    and eax, 0xFFFFF900
    mov [bases + 4 * edi], eax
    mov eax, 1
    cpuid
    shr ebx, 16
    mov [identities + 4 * edi], ebx
    mov eax, 0xB
    xor ecx, ecx
    cpuid
    mov [topologies + 4 * edi], edx
    mov eax, 0xB
    mov ecx, 1
    cpuid
    mov [packages + 4 * edi], eax
    ret

address:
    own
    mov eax, [addressing]
    mov ecx, [eax]
    mov [LOGICAL_MODE], ecx
    mov ecx, [eax + 4 * edi + 4]
    mov [LOGICAL_ID], ecx
    ret

sleep:
    own
    cli
    lock inc dword ptr [entered]
1:  hlt
    cmp dword ptr [nmi_seen + 4 * edi], 0
    je 1b
    ret

precision:
    own
    fnstcw [precisions + 4 * edi]
    fldcw [changed_precision]
    ret

add_up:
    mov ecx, 3000
1:  lock inc dword ptr [locked]
2:  lock bts dword ptr [lock_bit], 0
    jnc 4f
3:  pause
    test dword ptr [lock_bit], 1
    jnz 3b
    jmp 2b
4:  inc dword ptr [guarded]
    mov dword ptr [lock_bit], 0
    loop 1b
    ret

# Numbers 0 to 19999, each to one of them.
draw:
    own
1:  mov eax, [tickets]
2:  lea ebx, [eax + 1]
    lock cmpxchg [tickets], ebx
    jne 2b
    cmp eax, 20000
    jae 3f
    add [drawn + 4 * edi], eax
    jmp 1b
3:  ret

set_timer:
    mov dword ptr [TIMER_ENTRY], TIMER
    mov dword ptr [TIMER_DIVIDER], 0xB
    mov dword ptr [TIMER_COUNT], 100000
    ret

turn_paging_on:
    mov eax, offset directory
    mov cr3, eax
    mov eax, cr4
    or eax, 0x10
    mov cr4, eax
    mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
    ret

forget_and_look:
    invlpg [WINDOW]
look:
    own
    mov eax, [WINDOW]
    mov [seen + 4 * edi], eax
    ret

run_patched:
    own
    mov ecx, 3000
1:  call patched
    loop 1b
    mov [results + 4 * edi], eax
    ret

run_until_patched:
    own
    lock inc dword ptr [entered]
1:  call patched
    cmp eax, 3
    jne 1b
    mov [results + 4 * edi], eax
    ret

# -- interrupts --------------------------------------------------------------------------------------------------------------
on_NOTE:
    push edi
    own
    inc dword ptr [notes + 4 * edi]
    lock inc dword ptr [noted]
    mov dword ptr [EOI], 0
    pop edi
    iretd

on_TASK:
    pushad
    call [task]
    mov dword ptr [EOI], 0
    lock inc dword ptr [done]
    popad
    iretd

on_TIMER:
    push edi
    own
    inc dword ptr [ticks + 4 * edi]
    lock inc dword ptr [ticked]
    mov dword ptr [EOI], 0
    pop edi
    iretd

on_2:
    push edi
    own
    mov dword ptr [nmi_seen + 4 * edi], 1
    pop edi
    iretd

# -- where the others begin --------------------------------------------------------------------------------------------------
    .code16
trampoline:
    cli
    or eax, ebx
    or eax, ecx
    or eax, esi
    or eax, edi
    or eax, ebp
    or eax, esp
    mov ebx, eax
    mov ax, ds
    or bx, ax
    mov ax, ss
    or bx, ax
    mov cx, cs
    mov ebp, cr0
    data32 lgdt cs:[6f - trampoline]
    mov eax, ebp
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xEA                # a far jump with an offset of 32 bits
    .long begin
    .word K_CODE
6:  .word 0x17
    .long gdt
trampoline_end:

    .code32
begin:
    mov ax, K_DATA
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov fs, ax
    mov gs, ax
    own
    movzx ecx, cx
    mov [selectors + 4 * edi], ecx
    mov [registers + 4 * edi], ebx
    mov [controls + 4 * edi], ebp
    mov esp, edi
    shl esp, 10
    add esp, offset stacks + 1024
    lidt [idt_pointer]
    mov dword ptr [SPURIOUS], 0x1FF
    lock bts dword ptr [here], edi
    lock inc dword ptr [online]
1:  sti
    hlt
    jmp 1b

    .include "print32.inc"

    .balign 64
patched:
    mov eax, 1
    ret

    .data
    .balign 8
gdt:
    .quad 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF
gdt_pointer:
    .word 0x17
    .long gdt
idt_pointer:
    .word 0x7FF
    .long idt
flat_ids:
    .long 0xFFFFFFFF, 1 << 24, 2 << 24, 4 << 24, 8 << 24
cluster_ids:
    .long 0x0FFFFFFF, 0x01 << 24, 0x02 << 24, 0x11 << 24, 0x12 << 24
changed_precision: .word 0x27F
    .balign 8
idt:
    .rept 0x50
    .long K_CODE << 16, 0x8E00
    .endr
    .irp name, here, online, done, entered, noted, ticked, task, addressing, locked, guarded, lock_bit, tickets
\name: .long 0
    .endr
    .irp name, selectors, registers, controls, bases, identities, topologies, packages, notes, nmi_seen, precisions
\name: .long 0, 0, 0, 0
    .endr
    .irp name, drawn, ticks, seen, results
\name: .long 0, 0, 0, 0
    .endr

    .balign 4096
directory:                          # 4 MiB pages, the window's table, and the local APIC's 4 MiB
    .long LARGE, window_table + 3
    .fill 1024 - 2 - 5, 4, 0
    .long 0xFEC00083, 0, 0, 0, 0
window_table:
    .fill 1024, 4, 0
first_page:
    .fill 1024, 4, 0
second_page:
    .fill 1024, 4, 0
stacks:
    .skip 1024 * COUNT
    .bss
    .balign 16
    .skip 1024
stack_top:
