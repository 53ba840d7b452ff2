# System instructions in long mode: 64-bit code, compatibility mode, and ring 3.
    .include "common.inc"
    .include "long.inc"

    .set U_CODE32, 0x1B
    .set U_DATA, 0x23
    .set U_CODE64, 0x2B
    .set K_CODE32, 0x30
    .set BOTH, 0x38                 # L and D set: not a code segment
    .set FS_SEL, 0x40
    .set LDT_SEL, 0x48              # two slots
    .set TSS_SEL, 0x58              # two slots
    .set UNUSED, 0x68
    .set GDT_LIMIT, 0x6F
    .set MAPPED, 0x40000000         # a table of 4 KiB pages is mapped there

.macro try insn:vararg
    mov qword ptr [resume], offset .Lend\@
    mov [saved_rsp], rsp
    mov qword ptr [began], offset .Ltry\@
.Ltry\@:
    \insn
    call print_ok
.Lend\@:
.endm

.macro to_ring3 flags, code
    mov [kernel_rsp], rsp
    push U_DATA
    push offset user_stack
    push \flags
    push \code
    push offset .Luser\@
    iretq
.Luser\@:
.endm

    start
    first_pages
    mov dword ptr [pdpt + 8], offset directory2 + 7
    mov dword ptr [directory2], offset table + 7
    enter_long_mode
    gates 256
    mov byte ptr [idt + 16 * 3 + 5], 0xEE
    mov byte ptr [idt + 16 * 0x80 + 5], 0xEE
    mov byte ptr [idt + 16 * 0x83 + 5], 0xEE
    mov byte ptr [idt + 16 * 0x82 + 4], 2
    mov byte ptr [idt + 16 * 0x84 + 5], 0x8F
    mov byte ptr [idt + 16 * 8 + 4], 1
    lidt [idt_pointer]
    base_of TSS_SEL, tss
    mov ax, TSS_SEL
    ltr ax

    call tables
    call control
    call interrupts
    call addresses
    call paging
    call transfers
    call segments
    call ring3
    call fast_calls
    call ports
    call double_fault
    finish

tables:
    line tables
    sgdt [scratch]
    movzx eax, word ptr [scratch]
    show rax
    mov rax, [scratch + 2]
    sub rax, offset gdt
    show rax
    sidt [scratch]
    mov rax, [scratch]
    and eax, 0xFFFF
    show rax
    str rax
    show rax
    sldt rax
    show rax
    mov eax, [gdt + TSS_SEL + 4]
    show rax
    mov ax, TSS_SEL
    try ltr ax
    mov ax, UNUSED
    try ltr ax                      # its second half is beyond the limit
    mov ax, LDT_SEL
    try lldt ax
    sldt eax
    show rax
    line lar
    .irp selector, K_CODE, K_DATA, U_CODE32, TSS_SEL, LDT_SEL, UNUSED, 0x70
    mov rbx, -1
    mov eax, \selector
    lar ebx, eax
    call show_zf
    mov rbx, -1
    mov eax, \selector
    lsl rbx, rax
    call show_zf
    .endr
    ret

control:
    line control registers
    mov ecx, 0xC0000080
    rdmsr
    mov ebx, eax
    show rbx
    mov rax, 0x123456789ABCDEF0
    mov cr2, rax
    xor eax, eax
    mov rax, cr2
    show rax
    mov eax, 9
    mov cr8, rax
    xor eax, eax
    mov rax, cr8
    show rax
    xor eax, eax
    mov cr8, rax
    smsw rax
    and eax, 0x8000000F
    show rax
    line ~reserved control bits
    mov eax, 1
    cpuid
    test ecx, ecx                   # bit 31: QEMU, which would carry these out
    js 1f
    mov rax, cr0
    and eax, 0x7FFFFFFF
    try mov cr0, rax
    mov rax, cr4
    and eax, ~0x20
    try mov cr4, rax
    mov rax, cr0
    bts rax, 40
    try mov cr0, rax
    mov rax, cr3
    bts rax, 45
    try mov cr3, rax
    mov rax, cr4
    bts rax, 40
    try mov cr4, rax
    mov eax, 16
    try mov cr8, rax
    mov ecx, 0xC0000080
    rdmsr
    and eax, ~0x100
    try wrmsr
    rdmsr
    or eax, 2
    try wrmsr
    mov rax, 0x100000000
    try mov dr7, rax
1:  line msr
    mov ecx, 0xC0000100
    mov eax, 0x2000
    mov edx, 0xFFFF8000
    try wrmsr
    xor eax, eax
    xor edx, edx
    rdmsr
    shl rdx, 32
    or rax, rdx
    show rax
    mov ecx, 0xC0000103
    mov eax, 0x77
    xor edx, edx
    wrmsr
    rdtscp
    show rcx
    line ~msr that takes canonical addresses
    mov ecx, 0xC0000100
    xor eax, eax
    mov edx, 0x8000
    try wrmsr
    mov ecx, 0xC0000082
    try wrmsr
    line segment bases
    mov ecx, 0xC0000100
    mov eax, offset scratch - 0x100
    xor edx, edx
    wrmsr
    mov dword ptr [scratch], 0xFEED
    mov eax, fs:[0x100]
    show rax
    mov ecx, 0xC0000102
    mov eax, offset scratch - 0x200
    wrmsr
    swapgs
    mov eax, gs:[0x200]
    show rax
    swapgs
    mov ecx, 0xC0000102
    rdmsr
    sub eax, offset scratch - 0x200
    show rax
    ret

interrupts:
    line interrupts
    try int 0x80
    try int3
    try ud2
    try .byte 0xCE                  # INTO
    try .byte 0x06                  # PUSH ES
    xor ecx, ecx
    xor edx, edx
    try div rcx
    mov rbx, rsp
    sub rsp, 5
    int 0x80
    mov rsp, rbx
    mov rax, [frame_rsp]
    sub rax, rbx
    show rax                        # the pushed RSP
    mov rax, [frame_at]
    and eax, 15
    show rax                        # the frame is aligned
    int 0x82
    mov rax, [frame_at]
    mov rdx, offset ist2_stack
    sub rdx, rax
    show rdx
    line interrupt flag
    sti
    int 0x80
    show [handler_flags]
    int 0x84
    show [handler_flags]
    cli
    line ~gates
    mov byte ptr [idt + 16 * 0x90 + 5], 0x86
    try int 0x90
    mov byte ptr [idt + 16 * 0x90 + 5], 0x0E
    try int 0x90
    mov byte ptr [idt + 16 * 0x90 + 5], 0x8E
    mov word ptr [idt + 16 * 0x90 + 2], K_CODE32
    try int 0x90
    mov word ptr [idt + 16 * 0x90 + 2], U_CODE64
    try int 0x90
    mov word ptr [idt + 16 * 0x90 + 2], 0
    try int 0x90
    mov word ptr [idt + 16 * 0x90 + 2], K_DATA
    try int 0x90
    lidt [short_idt_pointer]
    try int 0x80
    lidt [idt_pointer]
    line return
    pushfq
    pop rax
    push K_DATA
    push rsp
    push rax
    push K_CODE
    push offset 1f
    iretq
1:  pop rax
    show rax
    mov rbx, rsp
    push K_DATA
    push rbx
    push 0x2
    push K_CODE32
    push offset 2f
    iretq
    .code32
2:  mov eax, 0x11223344
    inc eax
    jmp K_CODE:3f
    .code64
3:  show rax
    push K_DATA
    push rbx
    push 0x2
    push K_CODE
    push offset 3b
    mov rax, 0x800000000000
    mov [rsp], rax
    line ~return to a bad address
    try iretq
    line return with a wrong stack
    push K_DATA + 1
    push rbx
    push 0x2
    push K_CODE
    push offset 3b
    try iretq
    mov rsp, rbx
    ret

addresses:
    line ~across the end of the canonical addresses
    mov rbx, 0x800000000000
    try mov rax, [rbx - 4]
    line addresses
    try mov rax, [rbx]
    mov rbx, 0xFFFF7FFFFFFFFFFF
    try mov [rbx], al
    mov rbx, 0xFFFF800000000000
    try mov rax, [rbx]
    mov rax, cr2
    show rax
    ret

paging:
    line paging
    mov qword ptr [table], offset window + 3
    movabs rax, offset window + 0x8000000000000003
    mov [table + 8], rax
    mov qword ptr [table + 16], offset window + 7
    mov qword ptr [table + 24], offset window + 1
    mov qword ptr [directory2 + 8], 0x87
    mov qword ptr [window], 0xC3
    mov ebx, MAPPED
    try mov rax, [rbx]
    mov rax, [table]
    and eax, 0xFFF
    show rax
    try mov [rbx + 8], rax
    mov rax, [table]
    and eax, 0xFFF
    show rax
    try call rbx
    try mov rax, [rbx + 0x1000]
    lea rdx, [rbx + 0x1000]
    try call rdx
    try mov [rbx + 0x3000], rax
    try mov rax, [rbx + 0x4000]
    mov rax, cr2
    show rax
    try mov rax, [rbx + 0x3FFC]
    mov rax, cr2
    show rax
    try mov [rbx + 0x2FFC], rax
    mov rax, cr2
    show rax
    try mov rax, [rbx + 0x200000]
    mov eax, [directory2 + 8]
    and eax, 0xFFF
    show rax
    mov eax, [pdpt + 8]
    and eax, 0xFFF
    show rax
    mov eax, [pml4]
    and eax, 0xFFF
    show rax
    line write protection
    mov rax, cr0
    and eax, ~0x10000
    mov cr0, rax
    try mov [rbx + 0x3000], rax
    mov eax, [table + 24]
    and eax, 0xFFF
    show rax
    mov rax, cr0
    or eax, 0x10000
    mov cr0, rax
    try mov [rbx + 0x3000], rax
    line smep
    lea rdx, [rbx + 0x2000]
    mov byte ptr [window], 0xC3
    try call rdx
    mov qword ptr [pdpt], offset directory + 3
    mov rax, cr3
    mov cr3, rax
    mov rax, cr4
    bts rax, 20
    mov cr4, rax
    try call rdx
    mov rax, cr4
    btr rax, 20
    mov cr4, rax
    mov qword ptr [pdpt], offset directory + 7
    mov rax, cr3
    mov cr3, rax
    line ~reserved bits
    movabs rax, offset window + 0x0010000000000003
    mov qword ptr [table + 40], rax
    try mov rax, [rbx + 0x5000]
    movabs rax, offset window + 0x0000200000000003
    mov qword ptr [table + 40], rax
    try mov rax, [rbx + 0x5000]
    mov qword ptr [directory2 + 16], 0x2083
    try mov rax, [rbx + 0x400000]
    mov ecx, 0xC0000080
    rdmsr
    and eax, ~0x800
    wrmsr
    try mov rax, [rbx + 0x1000]
    or eax, 0x800
    rdmsr
    or eax, 0x800
    wrmsr
    ret

transfers:
    line transfers
    mov rbx, rsp
    push K_CODE
    push offset 1f
    retfq
1:  sub rbx, rsp
    show rbx
    mov qword ptr [scratch], offset far_function
    mov dword ptr [scratch + 8], K_CODE
    rex.w call fword ptr [scratch]
    sub rbx, rsp
    mov qword ptr [scratch], offset 2f
    rex.w jmp fword ptr [scratch]
2:  mov dword ptr [scratch], offset 3f
    mov dword ptr [scratch + 4], K_CODE32
    jmp fword ptr [scratch]
    .code32
3:  mov eax, cs
    call K_CODE32:far_function32
    jmp K_CODE:4f
    .code64
4:  show rax
    mov dword ptr [scratch], offset 4b
    mov dword ptr [scratch + 4], TSS_SEL + 8
    try jmp fword ptr [scratch]
    mov dword ptr [scratch + 4], U_CODE64
    try jmp fword ptr [scratch]
    mov dword ptr [scratch + 4], 0
    try jmp fword ptr [scratch]
    line ~code with L and D
    mov eax, 1
    cpuid
    test ecx, ecx
    js 5f
    mov dword ptr [scratch + 4], BOTH
    try jmp fword ptr [scratch]
    mov rbx, rsp
    push K_DATA
    push rbx
    push 0x2
    push BOTH
    push offset 5f
    try iretq
    mov rsp, rbx
5:  ret

far_function:
    show qword ptr [rsp + 16]
    rex.w retf

    .code32
far_function32:
    add eax, [esp + 4]
    retf
    .code64

segments:
    line segments
    mov ax, FS_SEL
    try mov fs, ax
    mov ecx, 0xC0000100
    rdmsr
    show rax
    mov ax, K_CODE
    try mov ds, ax
    mov ax, 0
    try mov ss, ax
    mov ax, U_DATA
    try mov ss, ax
    mov ax, K_DATA
    try mov ss, ax
    line ~null stack segment
    mov ax, 3
    try mov ss, ax
    line null data segments
    xor eax, eax
    mov ds, ax
    mov es, ax
    try mov rax, [scratch]
    mov ax, K_DATA
    mov ds, ax
    mov es, ax
    ret

# -- ring 3 -----------------------------------------------------------------------------------------------------------------
ring3:
    line ring 3
    to_ring3 2, U_CODE64
    mov rax, cs
    show rax
    mov rax, ss
    show rax
    mov rax, ds
    show rax
    try cli
    try hlt
    try in al, 0x60
    try in al, DEBUG_PORT
    try mov rax, cr0
    try mov cr8, rax
    try swapgs
    try rdmsr
    try wrmsr
    try invlpg [rax]
    try sysretq
    try int 0x80
    line ~ring 3, a gate of ring 0
    try int 0x81
    line ring 3 memory
    try mov rax, [MAPPED]
    mov rbx, 0xFFFF800000000000
    try mov rax, [rbx]
    mov ax, K_DATA
    try mov ds, ax
    mov ax, 3
    try mov ss, ax
    mov ax, U_DATA
    try mov ds, ax
    line compatibility mode
    mov dword ptr [scratch], offset 1f
    mov dword ptr [scratch + 4], U_CODE32
    jmp fword ptr [scratch]
    .code32
1:  mov eax, -1
    inc eax
    mov ecx, 0xFFFFFFFF
    inc ecx
    int 0x80
    push eax
    pop ebx
    mov eax, cs
    jmp U_CODE64:2f
    .code64
2:  show rax
    show rcx
    show [frame_cs]
    line flags
    pushfq
    or qword ptr [rsp], 0x3200
    popfq
    pushfq
    pop rax
    and eax, 0x3200
    show rax
    int 0x83
    ret

fast_calls:
    line syscall
    mov ecx, 0xC0000081
    xor eax, eax
    mov edx, (0x1B << 16) + K_CODE
    wrmsr
    mov ecx, 0xC0000082
    mov eax, offset syscall_entry
    xor edx, edx
    wrmsr
    mov ecx, 0xC0000084
    mov eax, 0x200 + 1
    wrmsr
    mov [kernel_rsp], rsp
    to_ring3 0x202, U_CODE64
    stc
    lea rdx, [rip + 1f]
    syscall
1:  pushfq
    pop rbx
    sub rcx, rdx
    show rcx
    and ebx, 0x201
    show rbx
    mov rax, cs
    show rax
    mov rax, ss
    show rax
    show qword ptr [syscall_saw]
    show qword ptr [syscall_saw + 8]
    show qword ptr [syscall_saw + 16]
    show qword ptr [syscall_saw + 24]
    int 0x83
    line sysret to 32 bits
    mov [kernel_rsp], rsp
    mov ecx, offset 2f
    mov r11d, 0x202
    mov rsp, offset user_stack
    sysretd
    .code32
2:  mov eax, cs
    mov ebx, ss
    jmp U_CODE64:3f
    .code64
3:  show rax
    show rbx
    pushfq
    pop rax
    and eax, 0x200
    show rax
    int 0x83
    line syscall off
    mov ecx, 0xC0000080
    rdmsr
    and eax, ~1
    wrmsr
    try syscall
    try sysretq
    or eax, 1
    wrmsr
    line sysenter
    mov ecx, 0x174
    mov eax, K_CODE
    xor edx, edx
    wrmsr
    mov ecx, 0x175
    mov rax, rsp
    wrmsr
    mov ecx, 0x176
    mov eax, offset 5f
    wrmsr
    mov rdx, offset 4f
    mov rcx, offset user_stack
    rex.w sysexit
4:  mov rax, cs
    show rax
    mov rax, ss
    show rax
    mov rax, offset user_stack
    sub rax, rsp
    show rax
    sysenter
5:  mov rax, cs
    show rax
    mov rax, ss
    show rax
    ret

syscall_entry:
    mov [syscall_saw], cs
    mov [syscall_saw + 8], ss
    mov rax, r11
    and eax, 0x201
    mov [syscall_saw + 16], rax
    pushfq
    pop rax
    and eax, 0x201
    mov [syscall_saw + 24], rax
    sysretq

ports:
    line strings
    mov rsi, offset text
    mov ecx, 5
    mov dx, DEBUG_PORT
    cld
    rep outsb
    show rcx
    mov rdi, offset scratch
    mov ecx, 3
    mov dx, 0x2F0
    rep insb
    mov rax, offset scratch
    sub rdi, rax
    show rdi
    mov eax, [scratch]
    and eax, 0xFFFFFF
    show rax
    std
    mov ecx, 2
    mov rdi, offset scratch + 8
    rep insd
    cld
    mov rax, offset scratch
    sub rdi, rax
    show rdi
    mov rdi, MAPPED + 0x4FFF
    mov ecx, 2
    try rep insb
    show rcx
    ret

double_fault:
    line double fault
    mov rbx, rsp
    mov rsp, MAPPED + 0x6000
    try push rax
    mov rsp, rbx
    mov byte ptr [idt + 16 * 13 + 5], 0x0E
    mov ax, UNUSED
    try mov fs, ax
    mov byte ptr [idt + 16 * 13 + 5], 0x8E
    ret

# -- handlers ---------------------------------------------------------------------------------------------------------------
    stubs 256

# Above RAX and RBX: vector, error code, RIP, CS, RFLAGS, RSP, SS.
handler:
    push rbx
    push rax
    cmp byte ptr [rsp + 16], 0x83
    je to_kernel
    lea rax, [rsp + 32]
    mov [frame_at], rax
    mov rax, [rsp + 56]
    mov [frame_rsp], rax
    mov rax, [rsp + 40]
    mov [frame_cs], rax
    pushfq
    pop rax
    and eax, 0x200
    mov rbx, [rsp + 48]
    and ebx, 0x200
    shl ebx, 4
    or eax, ebx
    mov [handler_flags], rax
    mov rax, [rsp + 16]
    cmp al, 3
    je 1f
    cmp al, 0x80
    jb exception
1:  mov al, '<'
    call print_char
    mov rax, [rsp + 16]
    call print_byte
    mov al, '>'
    call print_char
    jmp back

exception:
    mov al, ' '
    call print_char
    mov al, '#'
    call print_char
    mov rax, [rsp + 16]
    call print_byte
    mov al, '('
    call print_char
    mov rax, [rsp + 24]
    call print_hex_only
    mov al, ')'
    call print_char
    mov rax, [rsp + 32]
    sub rax, [began]
    cmp rax, 16
    jb 2f
    mov rax, [rsp + 32]
2:  call print_hex
    mov rax, [resume]
    mov [rsp + 32], rax
    mov rax, [saved_rsp]
    mov [rsp + 56], rax
back:
    pop rax
    pop rbx
    add rsp, 16
    iretq

# INT 83h from ring 3: behind the INT in ring 0.
to_kernel:
    mov rax, [rsp + 32]
    mov rsp, [kernel_rsp]
    jmp rax

# -- output -----------------------------------------------------------------------------------------------------------------
    .include "print64.inc"

    .section .rodata
text: .ascii " text"

    .data
    .balign 16
gdt:
    .quad 0
    .quad 0x00AF9B000000FFFF        # 08 kernel code
    .quad 0x00CF93000000FFFF        # 10 kernel data
    .quad 0x00CFFB000000FFFF        # 18 user code, 32 bits
    .quad 0x00CFF3000000FFFF        # 20 user data
    .quad 0x00AFFB000000FFFF        # 28 user code, 64 bits
    .quad 0x00CF9B000000FFFF        # 30 kernel code, 32 bits
    .quad 0x00EF9B000000FFFF        # 38 L and D
    .quad 0x12CF93345678FFFF        # 40 a base
    .quad 0x000082000000000F, 0     # 48 LDT
    .word tss_end - tss - 1, 0, 0x8900, 0, 0, 0, 0, 0
    .quad 0                         # 68
gdt_pointer:
    .word GDT_LIMIT
    .quad gdt
idt_pointer:
    .word 0xFFF
    .quad idt
short_idt_pointer:
    .word 0x7FF
    .quad idt
    .balign 16
tss:
    .long 0
    .quad ring0_stack, 0, 0
    .quad 0
    .quad ist1_stack, ist2_stack, 0, 0, 0, 0, 0
    .quad 0
    .word 0, tss_bitmap - tss
tss_bitmap:
    .fill 0xE8 / 8, 1, 0xFF
    .byte 0xFD
    .fill 3, 1, 0xFF
tss_end:
    .balign 8
resume: .quad 0
saved_rsp: .quad 0
kernel_rsp: .quad 0
began: .quad 0
frame_at: .quad 0
frame_rsp: .quad 0
frame_cs: .quad 0
handler_flags: .quad 0
syscall_saw: .quad 0, 0, 0, 0
scratch: .fill 4, 8, 0
    .bss
    .balign 4096
pml4: .skip 4096
pdpt: .skip 4096
directory: .skip 4096
directory2: .skip 4096
table: .skip 4096
window: .skip 4096
idt: .skip 4096
    .skip 4096
stack_top: .skip 4096
ring0_stack: .skip 4096
ist1_stack: .skip 4096
ist2_stack: .skip 4096
user_stack: .skip 16
