# System instructions in 32-bit protected mode, with 16-bit code, virtual-8086 mode and real mode.
    .include "common.inc"
    .include "try32.inc"

    .set U_CODE, 0x1B
    .set U_DATA, 0x23
    .set TSS_SEL, 0x28
    .set CODE16, 0x30
    .set DATA16, 0x38
    .set SMALL, 0x40                # limit 0xFFF
    .set DOWN, 0x48                 # expand-down, offsets above 0xFFF
    .set READ_ONLY, 0x50
    .set EXEC_ONLY, 0x58
    .set CONFORMING, 0x60
    .set ABSENT, 0x68
    .set ABSENT_CODE, 0x70
    .set LDT_SEL, 0x78
    .set UNUSED, 0x80
    .set TSS2_SEL, 0x88
    .set U_SMALL, 0x93
    .set GDT_LIMIT, 0x97
    .set LDT_DATA, 0x04             # first descriptor of the LDT

.macro show_cr2
    mov eax, cr2
    push eax
    call print_hex
.endm

    start
    lgdt [gdt_pointer]
    jmp K_CODE:1f
1:  mov ax, K_DATA
    mov ds, ax
    mov es, ax
    mov ss, ax
    xor eax, eax
    mov fs, ax
    mov gs, ax
    mov edi, offset idt
    mov ecx, 256
    mov ebx, offset stubs
2:  mov eax, ebx
    and eax, 0xFFFF
    or eax, K_CODE << 16
    mov [edi], eax
    mov eax, ebx
    and eax, 0xFFFF0000
    or eax, 0x8E00
    mov [edi + 4], eax
    add edi, 8
    add ebx, 16
    loop 2b
    mov byte ptr [idt + 8 * 3 + 5], 0xEE
    mov byte ptr [idt + 8 * 4 + 5], 0xEE
    mov byte ptr [idt + 8 * 0x80 + 5], 0xEE
    mov byte ptr [idt + 8 * 0x82 + 5], 0x8F
    lidt [idt_pointer]
    base_of TSS_SEL, tss
    base_of TSS2_SEL, tss
    base_of LDT_SEL, ldt
    mov eax, offset window
    mov [gdt + SMALL + 2], ax
    mov [gdt + DOWN + 2], ax
    mov [gdt + READ_ONLY + 2], ax
    mov [gdt + U_SMALL - 3 + 2], ax
    shr eax, 16
    mov [gdt + SMALL + 4], al
    mov [gdt + DOWN + 4], al
    mov [gdt + READ_ONLY + 4], al
    mov [gdt + U_SMALL - 3 + 4], al

    mov esi, offset code16_start
    mov edi, 0x8000
    mov ecx, offset code16_end - code16_start
    rep movsb
    call tables
    call segment_loads
    call segment_limits
    call queries
    call transfers
    call interrupts
    call registers
    call single_step
    call paging32
    call paging_pae
    call outer_ring
    call fast_calls
    call virtual8086
    call real_mode
    call double_faults
    finish

# -- descriptor tables ------------------------------------------------------------------------------------------------------
tables:
    line tables
    mov dword ptr [scratch], 0
    sgdt [scratch]
    show dword ptr [scratch]
    sidt [scratch]
    movzx eax, word ptr [scratch]
    show eax
    mov eax, [scratch + 2]
    sub eax, offset idt
    show eax
    str eax
    show eax
    sldt eax
    show eax
    line ~ltr of a null selector
    try ltr [zero]
    line ltr
    mov ax, K_DATA
    try ltr ax
    mov ax, UNUSED
    try ltr ax
    mov ax, TSS_SEL
    try ltr ax
    str eax
    show eax
    show dword ptr [gdt + TSS_SEL + 4]
    mov ax, TSS_SEL
    try ltr ax                          # busy by now
    line lldt
    mov ax, K_CODE
    try lldt ax
    mov ax, LDT_SEL
    try lldt ax
    sldt eax
    show eax
    mov ax, LDT_DATA
    try mov gs, ax
    mov ax, LDT_DATA + 8
    try mov gs, ax                      # beyond its limit
    mov ax, gs
    movzx eax, ax
    show eax
    try lldt [zero]
    xor eax, eax
    mov gs, ax
    ret

segment_loads:
    line loads
    .irp selector, 0, 3, K_DATA, K_CODE, U_DATA, READ_ONLY, EXEC_ONLY, CONFORMING, ABSENT, TSS_SEL, 0xF8, UNUSED
    mov ax, \selector
    try mov fs, ax
    .endr
    line stack loads
    .irp selector, 0, K_CODE, U_DATA, READ_ONLY, ABSENT, 0xF8, K_DATA + 3, K_DATA
    mov ax, \selector
    try mov ss, ax
    .endr
    line accessed
    mov byte ptr [gdt + SMALL + 5], 0x92
    mov ax, SMALL
    mov fs, ax
    movzx eax, byte ptr [gdt + SMALL + 5]
    show eax
    line pointers
    mov dword ptr [scratch], 0x12345678
    mov dword ptr [scratch + 4], SMALL
    xor ebx, ebx
    try lfs ebx, [scratch]
    show ebx
    mov ax, fs
    show eax
    mov dword ptr [scratch + 4], ABSENT
    xor ebx, ebx
    try lgs ebx, [scratch]
    show ebx
    mov dword ptr [scratch + 4], K_DATA
    mov dword ptr [scratch], esp
    try lss esp, [scratch]
    line pop
    push K_DATA
    try pop es
    push ABSENT
    try pop es
    pop eax
    push gs
    pop eax
    show eax
    ret

segment_limits:
    line ~limits
    mov ax, SMALL
    mov fs, ax
    try mov eax, fs:[0xFFC]
    try mov eax, fs:[0xFFD]
    try mov al, fs:[0xFFF]
    try mov al, fs:[0x1000]
    try mov eax, fs:[-2]
    mov ax, DOWN
    mov fs, ax
    try mov al, fs:[0xFFF]
    try mov al, fs:[0x1000]
    try mov eax, fs:[-4]
    try mov eax, fs:[-3]
    mov ax, READ_ONLY
    mov fs, ax
    try mov eax, fs:[0]
    try mov fs:[0], eax
    xor eax, eax
    mov fs, ax
    try mov eax, fs:[0]
    try mov cs:[scratch], eax
    mov ax, SMALL
    mov ss, ax
    mov ebx, esp
    mov esp, 0x1000
    try push eax
    mov esp, ebx
    mov ax, K_DATA
    mov ss, ax
    ret

queries:
    line lar
    .irp selector, 0, K_CODE, K_DATA, U_CODE, TSS_SEL, LDT_SEL, ABSENT, CONFORMING, UNUSED, 0xF8, K_DATA + 3
    mov ebx, 0xDEAD
    mov eax, \selector
    lar ebx, eax
    call show_zf
    .endr
    line lsl
    .irp selector, 0, K_CODE, SMALL, U_CODE, TSS_SEL, LDT_SEL, ABSENT, CONFORMING, UNUSED, 0xF8, K_DATA + 3
    mov ebx, 0xDEAD
    mov eax, \selector
    lsl ebx, eax
    call show_zf
    .endr
    line verr
    xor ebx, ebx
    .irp selector, 0, K_CODE, EXEC_ONLY, U_CODE, TSS_SEL, READ_ONLY, CONFORMING, 0xF8, K_DATA + 3
    mov eax, \selector
    verr ax
    call show_zf
    .endr
    line verw
    .irp selector, 0, K_CODE, K_DATA, U_DATA, TSS_SEL, READ_ONLY, 0xF8, K_DATA + 3
    mov eax, \selector
    verw ax
    call show_zf
    .endr
    line arpl
    mov ax, 0x10
    mov bx, 0x23
    arpl ax, bx
    setz cl
    movzx eax, ax
    show eax
    arpl ax, bx
    setz ch
    movzx ecx, cx
    show ecx
    ret

# -- transfers --------------------------------------------------------------------------------------------------------------
transfers:
    line jumps
    try jmp 0:0
    try jmp K_DATA:0
    try jmp EXEC_ONLY:1f
1:  call print_ok
    try jmp K_CODE:2f
2:  call print_ok
    try jmp CONFORMING:3f
3:  mov ax, cs
    movzx eax, ax
    show eax
    try jmp K_CODE + 3:0
    try jmp U_CODE:0
    try jmp ABSENT_CODE:0
    try jmp 0xF8:0
    jmp K_CODE:4f
4:  line far call
    mov ebx, esp
    call K_CODE:far_function
    sub ebx, esp
    show ebx
    mov dword ptr [scratch], offset far_function
    mov dword ptr [scratch + 4], K_CODE
    call fword ptr [scratch]
    push 0x11
    push 0x22
    call K_CODE:far_function_8
    mov ebx, esp
    push K_DATA
    push offset 5f
    try retf
5:  mov esp, ebx
    line 16 bit code
    mov eax, 0x11112222
    call CODE16:code16_function - code16_start
    show eax
    ret

far_function:
    mov eax, [esp + 4]
    show eax
    retf

far_function_8:
    mov eax, [esp + 8]
    show eax
    retf 8

interrupts:
    line software interrupts
    try int 0x80
    try int3
    try int 0x82
    mov al, 0x7F
    add al, 1
    try into
    xor eax, eax
    try into
    try ud2
    try .byte 0x0F, 0xFF, 0xC0
    xor edx, edx
    xor ecx, ecx
    try div ecx
    line ~int1
    try .byte 0xF1
    line interrupt flag
    sti
    int 0x80
    show dword ptr [handler_flags]
    int 0x82
    show dword ptr [handler_flags]
    cli
    line idt limit
    lidt [short_idt_pointer]
    try int 0x80
    lidt [idt_pointer]
    ret

registers:
    line control registers
    mov eax, cr0
    and eax, 0xFFFFFFCF
    show eax
    smsw ax
    and eax, 0xFFCF
    show eax
    mov ax, 8
    lmsw ax
    smsw eax
    and eax, 0xF
    show eax
    clts
    smsw eax
    and eax, 0xF
    show eax
    mov eax, 0x12345000
    mov cr2, eax
    xor eax, eax
    mov eax, cr2
    show eax
    line ~fpu gone
    mov eax, cr0
    or eax, 8
    mov cr0, eax
    try fnop
    try emms
    clts
    mov eax, cr0
    or eax, 4
    mov cr0, eax
    try fnop
    try emms
    mov eax, cr0
    and eax, ~4
    mov cr0, eax
    line debug registers
    mov eax, 0x12345678
    mov dr0, eax
    mov eax, 0x0
    mov dr6, eax
    mov eax, dr0
    show eax
    mov eax, dr6
    show eax
    mov eax, dr7
    show eax
    line msr
    mov ecx, 0x175
    xor edx, edx
    mov eax, 0xCAFE
    try wrmsr
    xor eax, eax
    rdmsr
    show eax
    line ~msr faults
    mov ecx, 0x277
    mov eax, 0x2
    try wrmsr
    mov ecx, 0x12345678
    try rdmsr
    mov ecx, 0xC0000080
    try wrmsr
    line time
    rdtsc
    mov ebx, eax
    rdtsc
    sub eax, ebx
    cmp eax, 0
    seta al
    movzx eax, al
    show eax
    ret

single_step:
    line single step
    mov dword ptr [step_count], 0
    mov dword ptr [idt_hook], offset step_hook
    mov dword ptr [began], offset 1f
    pushfd
    or dword ptr [esp], 0x100
    popfd
1:  nop
    mov eax, 5
2:  dec eax
    jnz 2b
    mov ecx, 3
    mov edi, offset scratch
    rep stosb
    mov ax, K_DATA
    mov ss, ax
    nop
    int 0x80
    pushfd
    and dword ptr [esp], ~0x100
    popfd
    nop
    mov dword ptr [idt_hook], 0
    show dword ptr [step_count]
    ret

step_hook:
    inc dword ptr [step_count]
    mov eax, [esp + 4 + 48]
    sub eax, [began]
    show eax
    mov eax, dr6
    and eax, 0x4000
    cmp eax, 0x4000
    je 1f
    show 0xBAD
1:  xor eax, eax
    mov dr6, eax
    ret

# -- paging -----------------------------------------------------------------------------------------------------------------
# The first 4 MiB map to themselves; the next 4 MiB are a table whose first pages are under test.
paging32:
    line paging
    mov edi, offset directory
    xor eax, eax
    mov ecx, 1024 * 3
    rep stosd
    mov dword ptr [directory], 0x83
    mov eax, offset page_table
    or eax, 7
    mov [directory + 4], eax
    mov dword ptr [directory + 8], 0x2000E7     # reserved bit 21 of a 4 MiB page
    mov eax, offset window
    lea ebx, [eax + 3]
    mov [page_table], ebx
    lea ebx, [eax + 1]
    mov [page_table + 4], ebx
    lea ebx, [eax + 7]
    mov [page_table + 12], ebx
    mov eax, cr4
    or eax, 0x10
    mov cr4, eax
    mov eax, offset directory
    mov cr3, eax
    mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
    mov dword ptr [window], 0xABCD
    try mov eax, [0x400000]
    show eax
    mov eax, [page_table]
    and eax, 0xFFF
    show eax
    try mov [0x400004], eax
    mov eax, [page_table]
    and eax, 0xFFF
    show eax
    mov eax, [directory]
    and eax, 0xFFF
    show eax
    mov eax, [directory + 4]
    and eax, 0xFFF
    show eax
    try mov eax, [0x401000]
    try mov [0x401000], eax
    try mov eax, [0x402000]
    show_cr2
    try mov [0x402004], eax
    show_cr2
    try mov eax, [0x400FFE]
    try mov eax, [0x401FFE]
    show_cr2
    try mov eax, [0xC01000]
    show_cr2
    mov eax, 0x402000
    try jmp eax
    show_cr2
    line ~reserved bits
    try mov eax, [0x801000]
    line write protection
    mov eax, cr0
    or eax, 0x10000
    mov cr0, eax
    try mov [0x401000], eax
    show_cr2
    mov dword ptr [page_table + 4], 0
    invlpg [0x401000]
    try mov eax, [0x401000]
    mov eax, offset window + 3
    mov [page_table + 4], eax
    try mov [0x401000], eax
    mov eax, cr0
    and eax, 0x7FFFFFFF
    mov cr0, eax
    and eax, ~0x10000
    mov cr0, eax
    ret

# PAE: the first 2 MiB map to themselves; then pages under test, in 2 MiB pages and a table.
paging_pae:
    line pae
    mov edi, offset directory
    xor eax, eax
    mov ecx, 1024 * 3
    rep stosd
    mov ecx, 0xC0000080
    rdmsr
    or eax, 0x800
    wrmsr
    mov eax, offset page_table + 1
    mov [directory], eax
    mov dword ptr [directory + 8], 0x2      # not present
    mov dword ptr [page_table], 0x83
    mov dword ptr [page_table + 8], 0x83
    mov dword ptr [page_table + 8 + 4], 0x80000000
    mov eax, offset page_table2 + 3
    mov [page_table + 16], eax
    mov dword ptr [page_table + 24], 0x2083 # reserved bit 13 of a 2 MiB page
    mov eax, offset window + 3
    mov [page_table2], eax
    mov dword ptr [page_table2 + 4], 0x80000000
    mov [page_table2 + 8], eax
    mov dword ptr [page_table2 + 8 + 4], 0x00100000
    mov [page_table2 + 16], eax
    mov eax, cr4
    or eax, 0x20
    mov cr4, eax
    mov eax, offset directory
    mov cr3, eax
    mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
    mov byte ptr [window], 0xC3
    mov eax, 0x200000
    try mov ebx, [eax]
    try call eax
    show_cr2
    mov eax, 0x400000
    try mov ebx, [eax]
    try call eax
    show_cr2
    mov eax, 0x402000
    try call eax
    line ~reserved bits of pae
    mov eax, 0x401000
    try mov ebx, [eax]
    show_cr2
    try mov [eax], ebx
    mov eax, 0x600000
    try mov ebx, [eax]
    line absent with pae
    mov eax, 0x40000000
    try mov ebx, [eax]
    try call eax
    mov eax, [page_table2]
    and eax, 0xFFF
    show eax
    mov eax, [page_table + 8]
    and eax, 0xFFF
    show eax
    line ~pdpte
    mov eax, [directory]
    and eax, 0xFFF
    show eax
    mov dword ptr [directory + 16], 0x3     # reserved bit 1
    mov eax, offset directory
    try mov cr3, eax
    mov dword ptr [directory + 16], 0
    mov eax, cr0
    and eax, 0x7FFFFFFF
    mov cr0, eax
    mov eax, cr4
    and eax, ~0x20
    mov cr4, eax
    mov ecx, 0xC0000080
    rdmsr
    and eax, ~0x800
    wrmsr
    ret

# -- ring 3 -----------------------------------------------------------------------------------------------------------------
outer_ring:
    line ring 3
    mov byte ptr [idt + 8 * 0x83 + 5], 0xEE
    mov [kernel_esp], esp
    push U_DATA
    push offset user_stack
    push 0x2
    push U_CODE
    push offset 1f
    iretd
1:  mov eax, ds
    cmp ax, 0
    setz al
    mov bx, U_DATA
    mov ds, bx
    mov es, bx
    movzx eax, al
    show eax
    mov eax, cs
    show eax
    mov eax, ss
    show eax
    try cli
    try hlt
    try in al, 0x60
    try in al, DEBUG_PORT
    try in ax, DEBUG_PORT
    try in eax, dx
    try mov eax, cr0
    try mov dr0, eax
    try lgdt [gdt_pointer]
    try invlpg [eax]
    try wbinvd
    try rdmsr
    try rdtsc
    try int 0x80
    try int 0x81
    try int3
    mov ax, K_DATA
    try mov fs, ax
    mov ax, K_DATA + 3
    try mov fs, ax
    mov ax, U_DATA
    try mov fs, ax
    try jmp K_CODE:0
    try jmp CONFORMING + 3:2f
2:  mov eax, cs
    show eax
    try jmp U_CODE:3f
3:  mov ebx, 0xDEAD
    mov eax, K_DATA
    lar ebx, eax
    call show_zf
    line ring 3 flags
    pushfd
    or dword ptr [esp], 0x3200
    popfd
    pushfd
    pop eax
    and eax, 0x3200
    show eax
    line ring 3 return
    mov ebx, esp
    push U_CODE
    push offset 4f
    retf
4:  sub ebx, esp
    show ebx
    push K_CODE
    push offset 5f
    try retf
5:  add esp, 8
    push 0x202
    push U_CODE
    push offset 6f
    iretd
6:  pushfd
    pop eax
    and eax, 0x200
    show eax
    line iopl
    int 0x83
    mov [kernel_esp], esp
    push U_DATA
    push offset user_stack
    push 0x3002
    push U_CODE
    push offset 7f
    iretd
7:  mov bx, U_DATA
    mov ds, bx
    mov es, bx
    try sti
    pushfd
    pop eax
    and eax, 0x3200
    show eax
    try cli
    try in al, 0x60
    line outer return
    int 0x83
    mov [kernel_esp], esp
    push U_DATA
    push offset user_stack
    push U_CODE
    push offset 8f
    retf
8:  mov bx, U_DATA
    mov ds, bx
    mov es, bx
    mov eax, esp
    sub eax, offset user_stack
    show eax
    int 0x83
    mov eax, ds
    show eax
    ret

fast_calls:
    line sysenter
    mov ecx, 0x174
    xor edx, edx
    xor eax, eax
    wrmsr
    try sysenter
    try sysexit
    mov eax, K_CODE
    wrmsr
    mov ecx, 0x175
    mov eax, esp
    wrmsr
    mov ecx, 0x176
    mov eax, offset 2f
    wrmsr
    mov edx, offset 1f
    mov ecx, offset user_stack
    sti
    sysexit
1:  mov ax, U_DATA
    mov ds, ax
    mov es, ax
    mov eax, cs
    show eax
    mov eax, ss
    show eax
    mov eax, esp
    sub eax, offset user_stack
    show eax
    try sysexit
    sysenter
2:  mov eax, cs
    show eax
    mov eax, ss
    show eax
    pushfd
    pop eax
    and eax, 0x200
    show eax
    mov ax, K_DATA
    mov ds, ax
    mov es, ax
    ret

# -- virtual-8086 and real mode ---------------------------------------------------------------------------------------------
.macro to_v86 iopl
    line virtual-8086 mode, iopl \iopl
    mov [kernel_esp], esp
    push 0x1111
    push 0x2222
    push 0x3333
    push 0x4444
    push 0x0
    push 0x7F00
    push 0x20202 - 0x200 + \iopl
    push 0x800
    push v86_code - code16_start
    mov dword ptr [v86_hook], offset v86_monitor
    mov dword ptr [v86_return], offset .Lback\@
    iretd
.Lback\@:
.endm

virtual8086:
    to_v86 0x0
    to_v86 0x3000
    ret

# Called with the handler's frame: prints where and what, and goes on behind the instruction, or returns at INT 83h.
v86_monitor:
    show dword ptr [esp + 4 + 40]
    show dword ptr [esp + 4 + 44]
    mov eax, [esp + 4 + 48]
    sub eax, offset v86_code - code16_start
    show eax
    show dword ptr [esp + 4 + 52]
    mov eax, [esp + 4 + 56]
    and eax, ~0x10000
    show eax
    show dword ptr [esp + 4 + 60]
    show dword ptr [esp + 4 + 64]
    show dword ptr [esp + 4 + 68]
    show dword ptr [esp + 4 + 72]
    show dword ptr [esp + 4 + 76]
    show dword ptr [esp + 4 + 80]
    mov eax, ds
    show eax
    cmp dword ptr [esp + 4 + 40], 13
    jne 1f
    mov eax, [esp + 4 + 48]
    movzx eax, word ptr [0x8000 + eax]
    show eax
    cmp eax, 0x83CD
    je 2f
    movzx eax, al
    inc dword ptr [esp + 4 + 48]
    cmp eax, 0xCD
    jne 1f
    inc dword ptr [esp + 4 + 48]
1:  ret
2:  add esp, 4
    jmp to_kernel

real_mode:
    line real mode
    mov [kernel_esp], esp
    sgdt [scratch]
    mov dword ptr [0x60 * 4], ((0x800 << 16) + real_handler - code16_start)
    mov dword ptr [6 * 4], ((0x800 << 16) + real_ud - code16_start)
    lidt [real_idt_pointer]
    mov ax, DATA16
    mov ss, ax
    mov ds, ax
    mov es, ax
    jmp CODE16:real_entry - code16_start
real_back:
    mov ax, K_DATA
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov esp, [kernel_esp]
    lidt [idt_pointer]
    .irp index, 0, 4, 8, 12, 16, 20, 24
    show dword ptr [0x9000 + \index]
    .endr
    ret

double_faults:
    line double fault
    mov word ptr [idt + 8 * 13 + 2], 0xF8
    mov ax, 0xF0
    try mov fs, ax
    mov word ptr [idt + 8 * 13 + 2], K_CODE
    and byte ptr [idt + 8 * 13 + 5], 0x7F
    try mov fs, ax
    or byte ptr [idt + 8 * 13 + 5], 0x80
    line ~exceptions on the way to a handler
    and byte ptr [idt + 8 * 6 + 5], 0x7F
    try ud2
    or byte ptr [idt + 8 * 6 + 5], 0x80
    mov byte ptr [idt + 8 * 6 + 5], 0x80
    try ud2
    mov byte ptr [idt + 8 * 6 + 5], 0x8E
    mov word ptr [idt + 8 * 6 + 2], K_DATA
    try ud2
    mov word ptr [idt + 8 * 6 + 2], 0
    try ud2
    mov word ptr [idt + 8 * 6 + 2], K_CODE
    ret

# -- handlers ---------------------------------------------------------------------------------------------------------------
    stubs 256

# Above the stack pointer: ES, DS, EDI..EAX, vector, error code, EIP, CS, EFLAGS, ESP and SS of ring 3.
handler:
    pushad
    push ds
    push es
    mov ax, K_DATA
    mov ds, ax
    mov es, ax
    cld
    mov eax, [esp + 40]
    cmp eax, 0x83
    je to_kernel
    cmp dword ptr [v86_hook], 0
    jne 3f
    cmp eax, 1
    jne 1f
    cmp dword ptr [idt_hook], 0
    je 1f
    call [idt_hook]
    jmp back
1:  cmp eax, 3
    jb exception
    cmp eax, 4
    jbe 2f
    cmp eax, 0x80
    jb exception
2:  pushfd
    pop eax
    and eax, 0x200
    mov ebx, [esp + 56]
    and ebx, 0x200
    shl ebx, 4
    or eax, ebx
    mov [handler_flags], eax
    mov al, '<'
    call print_char
    mov eax, [esp + 40]
    call print_byte
    mov al, '>'
    call print_char
    jmp back
3:  call [v86_hook]
back:
    pop es
    pop ds
    popad
    add esp, 8
    iretd

exception:
    mov al, ' '
    call print_char
    mov al, '#'
    call print_char
    mov eax, [esp + 40]
    call print_byte
    mov al, '('
    call print_char
    mov eax, [esp + 44]
    push eax
    call print_hex_only
    mov al, ')'
    call print_char
    mov eax, [esp + 48]
    sub eax, [began]
    push eax
    call print_hex
    mov eax, [resume]
    test byte ptr [esp + 52], 3
    jz 1f
    mov [esp + 48], eax
    mov eax, [saved_esp]
    mov [esp + 60], eax
    jmp back
1:  add esp, 8
    popad
    mov esp, [saved_esp]
    jmp [resume]

# INT 83h: back to ring 0, behind the INT or, from virtual-8086 mode, behind the IRET that went there.
to_kernel:
    mov eax, [esp + 48]
    test dword ptr [esp + 56], 0x20000
    jz 1f
    mov eax, [v86_return]
1:  mov dword ptr [v86_hook], 0
    mov esp, [kernel_esp]
    jmp eax

# -- output -----------------------------------------------------------------------------------------------------------------
    .include "print32.inc"

# -- 16-bit code, copied to 8000h -------------------------------------------------------------------------------------------
    .code16
code16_start:
code16_function:
    add ax, 0xF000
    push ax
    pop bx
    mov ax, bx
    data32 retf

v86_code:
    mov ax, ds
    mov ax, 0x55
    mov ds, ax
    pushf
    pop ax
    cli
    sti
    int 0x82
    int 0x80
    .byte 0x0F, 0x20, 0xC0
    hlt
    int 0x83

real_entry:
    mov eax, cr0
    and al, 0xFE
    mov cr0, eax
    jmp 0x800:1f - code16_start
1:  mov ax, 0x900
    mov ds, ax
    mov ax, 0x700
    mov ss, ax
    mov sp, 0xFFF0
    mov ax, cs
    mov [0], ax
    mov word ptr [2], 0
    stc
    sti
    int 0x60
    pushf
    pop ax
    and ax, 0x201
    mov [12], ax
    mov word ptr [14], sp
    cli
    mov eax, 0x12345678
    push eax
    pop cx
    mov [16], cx
    pop word ptr [18]
    call 0x800:real_far - code16_start
    mov [20], ax
    mov ax, sp
    mov [22], ax
    ud2
    mov eax, cr0
    or al, 1
    mov cr0, eax
    data32 jmp K_CODE:real_back
real_handler:
    pushf
    pop ax
    and ax, 0x201
    mov [4], ax
    mov bp, sp
    mov ax, [bp + 4]
    and ax, 0x201
    mov [6], ax
    mov ax, [bp + 2]
    mov [8], ax
    mov [10], sp
    iret
real_far:
    mov bp, sp
    mov ax, [bp + 2]
    retf
real_ud:
    mov word ptr [24], 0x600D
    mov bp, sp
    add word ptr [bp], 2
    iret
code16_end:

# -- data -------------------------------------------------------------------------------------------------------------------
    .data
    .balign 16
gdt:
    .quad 0
    .quad 0x00CF9B000000FFFF        # 08 kernel code
    .quad 0x00CF93000000FFFF        # 10 kernel data
    .quad 0x00CFFB000000FFFF        # 18 user code
    .quad 0x00CFF3000000FFFF        # 20 user data
    .word tss_end - tss - 1, 0, 0x8900, 0    # 28 TSS
    .quad 0x00009B008000FFFF        # 30 16-bit code
    .quad 0x000093000000FFFF        # 38 16-bit data
    .quad 0x0040930000000FFF        # 40 small
    .quad 0x0040970000000FFF        # 48 expand-down
    .quad 0x0040910000000FFF        # 50 read-only
    .quad 0x00CF99000000FFFF        # 58 execute-only
    .quad 0x00CF9F000000FFFF        # 60 conforming
    .quad 0x00CF13000000FFFF        # 68 absent
    .quad 0x00CF1B000000FFFF        # 70 absent code
    .quad 0x0000820000000007        # 78 LDT of one descriptor
    .quad 0                         # 80
    .quad 0x0000890000000067        # 88 another TSS
    .quad 0x0040F30000000FFF        # 90 small, user
ldt:
    .quad 0x00CF93000000FFFF, 0
gdt_pointer:
    .word GDT_LIMIT
    .long gdt
idt_pointer:
    .word 0x7FF
    .long idt
short_idt_pointer:
    .word 0x3FF
    .long idt
real_idt_pointer:
    .word 0x3FF
    .long 0
    .balign 16
tss:
    .long 0, ring0_stack, K_DATA
    .fill 22, 4, 0
    .word 0, tss_bitmap - tss
tss_bitmap:
    .fill 0xE8 / 8, 1, 0xFF
    .byte 0xFD
    .fill 3, 1, 0xFF
tss_end:
resume: .long 0
saved_esp: .long 0
kernel_esp: .long 0
began: .long 0
handler_flags: .long 0
idt_hook: .long 0
v86_hook: .long 0
v86_return: .long 0
step_count: .long 0
zero: .long 0
scratch: .fill 4, 4, 0
    .bss
    .balign 4096
window: .skip 8192
directory: .skip 4096
page_table: .skip 4096
page_table2: .skip 4096
idt: .skip 2048
    .skip 4096
stack_top: .skip 16
    .skip 4096
ring0_stack: .skip 16
    .skip 4096
user_stack: .skip 16
