# Debug registers in long mode. A #DB prints " DISTANCE/DR6", "r" if its frame has RF set; others print " #VECTOR@DISTANCE".
    .include "common.inc"
    .include "long.inc"

    .set U_DATA, 0x1B
    .set U_CODE, 0x23
    .set TSS_SEL, 0x28
    # DR7: enabled breakpoint 0, and what it is.
    .set EXECUTE, 1
    .set WRITE1, 0x00010001
    .set WRITE2, 0x00050001
    .set WRITE4, 0x000D0001
    .set WRITE8, 0x00090001
    .set ACCESS1, 0x00030001
    .set ACCESS4, 0x000F0001
    .set ACCESS8, 0x000B0001
    .set PORT1, 0x00020001
    .set PORT2, 0x00060001
    .set GENERAL, 0x2000
    .set PORT, 0x84                 # nothing answers there
    .set UNMAPPED, 0x40000000

# Distances count from here.
.macro begin
    mov qword ptr [began], offset .Lbegin\@
.Lbegin\@:
.endm

# DR0 and DR7.
.macro arm address, dr7
    mov rax, offset \address
    mov dr0, rax
    mov eax, \dr7
    mov dr7, rax
.endm

.macro disarm
    xor eax, eax
    mov dr7, rax
.endm

.macro trap_flag insn, value
    pushfq
    \insn qword ptr [rsp], \value
    popfq
.endm

# QEMU 7.2 stops with an assertion where an instruction that has hit a watchpoint leads to a page fault.
.macro unless_qemu otherwise
    mov eax, 1
    cpuid
    test ecx, ecx
    js \otherwise
.endm

    start
    first_pages
    enter_long_mode
    gates 32
    mov byte ptr [idt + 16 * 3 + 5], 0xEE
    lidt [idt_pointer]
    base_of TSS_SEL, tss
    mov ax, TSS_SEL
    ltr ax
    xor eax, eax
    mov dr6, rax

    call execution
    call writes
    call accesses
    call several
    call strings
    call stepping
    call order
    call shadows
    call ports
    call general
    call user
    call hot
    finish

execution:
    line execute
    begin
    arm 1f, EXECUTE
    nop
1:  nop
    nop
    disarm
    line execute in a loop
    begin
    arm 1f, EXECUTE
    mov ecx, 3
2:  dec ecx
1:  jnz 2b
    disarm
    line execute, not enabled
    begin
    arm 1f, 0x300
    nop
1:  nop
    disarm
    line execute, by DR3
    begin
    mov rax, offset 1f
    mov dr3, rax
    mov eax, 0x80
    mov dr7, rax
    nop
    jmp 1f
    nop
1:  nop
    disarm
    line execute, an invalid instruction
    begin
    arm 1f, EXECUTE
1:  ud2
    disarm
    line execute, a fault in it keeps RF
    begin
    arm 1f, EXECUTE
    xor ecx, ecx
    xor edx, edx
1:  div ecx
    disarm
    line ~execute, INT3
    begin
    arm 1f, EXECUTE
1:  int3
    disarm
    line execute, POPF does not set RF
    begin
    arm 1f, EXECUTE
    pushfq
    or dword ptr [rsp], 0x10000
    popfq
1:  nop
    disarm
    line execute, IRET sets it
    begin
    arm 1f, EXECUTE
    push K_DATA
    lea rax, [rsp + 8]
    push rax
    push 0x10002
    push K_CODE
    push offset 1f
    iretq
1:  nop
    nop
    disarm
    ret

writes:
    line write 1
    begin
    arm scratch + 1, WRITE1
    mov byte ptr [scratch], 1
    nop
    mov byte ptr [scratch + 1], 1
    nop
    mov byte ptr [scratch + 2], 1
    mov al, [scratch + 1]
    disarm
    line write 2
    begin
    arm scratch + 2, WRITE2
    mov byte ptr [scratch + 1], 1
    mov byte ptr [scratch + 2], 1
    mov byte ptr [scratch + 3], 1
    mov byte ptr [scratch + 4], 1
    mov dword ptr [scratch], 1
    mov word ptr [scratch + 1], 1
    mov word ptr [scratch + 3], 1
    disarm
    line ~write 2, misaligned
    begin
    arm scratch + 3, WRITE2         # means scratch + 2
    mov byte ptr [scratch + 1], 1
    mov byte ptr [scratch + 2], 1
    mov byte ptr [scratch + 3], 1
    mov byte ptr [scratch + 4], 1
    disarm
    line write 4
    begin
    arm scratch + 4, WRITE4
    mov qword ptr [scratch], 1
    mov dword ptr [scratch], 1
    mov dword ptr [scratch + 1], 1
    mov dword ptr [scratch + 8], 1
    mov word ptr [scratch + 7], 1
    disarm
    line write 8
    begin
    arm scratch + 8, WRITE8
    movups [scratch], xmm0
    movups [scratch - 8], xmm0
    mov byte ptr [scratch + 15], 0
    mov byte ptr [scratch + 16], 0
    disarm
    line write across pages
    begin
    arm page, WRITE1
    mov dword ptr [page - 2], 0
    mov dword ptr [page - 4], 0
    movups [page - 15], xmm0
    disarm
    line write implied
    begin
    arm stack_slot, WRITE8
    mov rbx, rsp
    mov rsp, offset stack_slot + 8
    push rax
    pop rax
    call 1f
1:  pop rax
    pushfq
    popfq
    push fs
    mov rsp, rbx
    disarm
    line write, read-modify-write
    begin
    arm scratch, WRITE4
    inc dword ptr [scratch]
    lock xadd [scratch], ecx
    xchg [scratch], ecx
    mov eax, 0x55
    cmpxchg [scratch], ecx
    bts dword ptr [scratch], 3
    cmp dword ptr [scratch], 3
    setz [scratch + 3]
    disarm
    ret

accesses:
    line access
    begin
    arm scratch, ACCESS4
    mov eax, [scratch]
    movzx eax, byte ptr [scratch + 3]
    movzx eax, byte ptr [scratch + 4]
    add [scratch], eax
    add eax, [scratch]
    test byte ptr [scratch + 1], 1
    mov dword ptr [scratch], 1
    lea rax, [scratch]
    prefetchnta [scratch]
    disarm
    line access, jumps
    mov qword ptr [target], offset 1f
    begin
    arm target, ACCESS8
    jmp [target]
    nop
1:  mov qword ptr [target], offset 2f
    push [target]
    ret
    nop
2:  mov qword ptr [target], offset 3f
    call [target]
    nop
3:  pop rax
    disarm
    line access, floating point
    begin
    arm image + 480, ACCESS8
    movups xmm0, [image + 480]
    movsd [image + 480], xmm0
    movsd xmm0, [image + 480]
    fld tbyte ptr [image + 472]
    fstp tbyte ptr [image + 472]
    fild qword ptr [image + 480]
    fstp dword ptr [image + 484]
    disarm
    line access, state
    begin
    arm image + 160, ACCESS8
    fxsave [image]
    fxrstor [image]
    fnsave [image + 104]
    frstor [image + 104]
    disarm
    line ~access, descriptors are none
    begin
    arm gdt_user, ACCESS8
    mov ax, U_DATA
    mov fs, ax
    lar eax, eax
    sgdt [scratch]
    mov rax, [gdt_user]
    xor eax, eax
    mov fs, ax
    disarm
    ret

several:
    line ~several
    begin
    mov rax, offset scratch
    mov dr0, rax
    add rax, 2
    mov dr1, rax
    mov rax, offset scratch + 8
    mov dr2, rax
    mov rax, offset 1f
    mov dr3, rax
    mov eax, 0x01310055             # 0: write 1; 1: access 1; 2: write 1; 3: execute
    mov dr7, rax
    mov dword ptr [scratch], 1
    mov eax, [scratch]
    movups [scratch], xmm0
    mov byte ptr [scratch + 8], 1
1:  nop
    mov word ptr [scratch], 1
    disarm
    line DR6 stays
    begin
    mov byte ptr [sticky], 1
    mov eax, 0x4000
    mov dr6, rax
    arm scratch, WRITE1
    mov byte ptr [scratch], 1
    mov rax, offset scratch + 1
    mov dr1, rax
    mov eax, 0x00100004
    mov dr7, rax
    mov byte ptr [scratch + 1], 1
    mov byte ptr [sticky], 0
    disarm
    mov dr6, rax
    ret

strings:
    line strings
    begin
    arm scratch + 8, ACCESS4
    mov esi, offset scratch
    mov edi, offset scratch + 32
    mov ecx, 4
    rep movsd
    mov edi, offset scratch
    mov ecx, 24
    mov al, 0
    rep stosb
    mov edi, offset scratch
    mov ecx, 8
    repe scasd
    mov esi, offset scratch
    mov edi, offset scratch + 4
    mov ecx, 6
    repe cmpsd
    mov esi, offset scratch + 8
    lodsd
    stosd
    disarm
    line strings, no iteration
    begin
    arm scratch + 8, ACCESS4
    mov esi, offset scratch + 8
    mov edi, offset scratch + 8
    xor ecx, ecx
    rep movsd
    disarm
    line ~execute, a string instruction once
    begin
    arm 1f, EXECUTE
    mov edi, offset scratch
    mov ecx, 3
1:  rep stosb
    show rcx
    mov edi, offset scratch
    mov ecx, 5
    mov al, [scratch]
    arm 1f, EXECUTE
1:  repe scasb
    disarm
    line ~strings, access and execute
    begin
    mov rax, offset scratch + 1
    mov dr1, rax
    arm 1f, 0x00100005
    mov edi, offset scratch
    mov ecx, 3
1:  rep stosb
    disarm
    ret

stepping:
    line ~step and write
    begin
    arm scratch, WRITE1
    trap_flag or, 0x100
    nop
    mov byte ptr [scratch], 1
    nop
    trap_flag and, ~0x100
    nop
    disarm
    line ~step to a breakpoint
    begin
    arm 1f, EXECUTE
    trap_flag or, 0x100
    nop
1:  nop
    trap_flag and, ~0x100
    disarm
    line ~step, STI holds nothing off
    begin
    trap_flag or, 0x100
    sti
    nop
    cli
    trap_flag and, ~0x100
    line step, INT3
    begin
    trap_flag or, 0x100
    int3
    nop
    trap_flag and, ~0x100
    ret

order:
    line ~trap before an invalid instruction
    begin
    arm scratch, WRITE1
    mov byte ptr [scratch], 1
    ud2
    disarm
    line ~trap before a fetch that faults
    unless_qemu 2f
    begin
    arm stack_slot, WRITE8
    mov qword ptr [resume], offset 1f
    mov rbx, rsp
    mov rsp, offset stack_slot + 8
    mov eax, UNMAPPED
    call rax
1:  mov rsp, rbx
    disarm
2:  line ~execute, where fetching faults
    begin
    arm UNMAPPED, EXECUTE
    mov qword ptr [resume], offset 1f
    mov eax, UNMAPPED
    jmp rax
1:  disarm
    line ~step, then a fetch that faults
    begin
    mov qword ptr [resume], offset 1f
    mov eax, UNMAPPED
    trap_flag or, 0x100
    jmp rax
1:  trap_flag and, ~0x100
    line ~a fault leaves nothing behind
    unless_qemu 2f
    begin
    arm scratch, ACCESS4
    mov qword ptr [resume], offset 1f
    mov esi, offset scratch
    mov edi, UNMAPPED
    movsd
1:  nop
    arm stack_slot, ACCESS8
    mov qword ptr [resume], offset 1f
    mov rbx, rsp
    mov rsp, offset stack_slot
    pop qword ptr [rdi]
1:  mov rsp, rbx
    disarm
2:  ret

shadows:
    line ~MOV SS, a write
    begin
    mov word ptr [scratch], K_DATA
    arm scratch, ACCESS4
    mov ss, [scratch]
    nop
    nop
    disarm
    line ~MOV SS, then a breakpoint
    begin
    arm 1f, EXECUTE
    mov ecx, 2
2:  mov eax, K_DATA
    mov ss, ax
1:  nop
    dec ecx
    jnz 2b
    disarm
    ret

ports:
    line ~port, CR4.DE
    begin
    mov rax, cr4
    or eax, 8
    mov cr4, rax
    arm PORT, PORT1
    in al, PORT
    in al, PORT - 1
    in ax, PORT - 1
    out PORT, al
    mov dx, PORT
    mov edi, offset scratch
    insb
    mov esi, offset scratch
    mov ecx, 2
    rep outsb
    mov dx, PORT + 1
    out dx, al
    disarm
    line port, two
    begin
    arm PORT, PORT2
    in al, PORT - 2
    in al, PORT - 1
    in al, PORT
    in al, PORT + 1
    disarm
    mov rax, cr4
    and eax, ~8
    mov cr4, rax
    line ~port, without CR4.DE
    begin
    arm PORT, PORT1
    in al, PORT
    mov al, [PORT]
    disarm
    ret

general:
    line ~general detect
    begin
    mov eax, GENERAL
    mov dr7, rax
    mov rbx, dr0
    mov rax, dr7
    and eax, GENERAL
    show rax
    line ~any debug exception ends general detect
    begin
    arm 1f, 0x2001
1:  nop
    mov rax, dr7
    and eax, GENERAL
    show rax
    disarm
    ret

user:
    line ring 3
    begin
    arm scratch, WRITE4
    mov rax, offset 2f
    mov dr1, rax
    mov eax, 0x000D0005
    mov dr7, rax
    mov [kernel_rsp], rsp
    push U_DATA
    push offset user_stack
    push 2
    push U_CODE
    push offset 1f
    iretq
1:  mov dword ptr [scratch], 1
    mov dword ptr [scratch + 4], 1
2:  push rax
    mov qword ptr [resume], offset 3f
    hlt
3:  disarm
    ret

# Without printing: how many times.
hot:
    line hot loops
    mov byte ptr [quiet], 1
    mov qword ptr [count], 0
    arm page + 8, WRITE4
    mov ecx, 100
1:  mov [page], ecx
    mov eax, [page]
    mov [page + 64], eax
    add edx, eax
    dec ecx
    jnz 1b
    show [count]
    mov ecx, 100
1:  mov [page + 8], ecx
    mov eax, [page + 8]
    push rax
    pop rdx
    dec ecx
    jnz 1b
    show [count]
    disarm
    mov ecx, 100
1:  mov [page + 8], ecx
    dec ecx
    jnz 1b
    show [count]
    arm 2f, EXECUTE
    mov ecx, 100
1:  mov [page + 8], ecx
2:  dec ecx
    jnz 1b
    show [count]
    disarm
    mov byte ptr [quiet], 0
    ret

    stubs 32

# Above RAX and RBX: vector, error code, RIP, CS, RFLAGS, RSP, SS.
handler:
    push rbx
    push rax
    cmp byte ptr [rsp + 16], 1
    jne exception
    mov rbx, dr6
    cmp byte ptr [quiet], 0
    jne 2f
    mov rax, [rsp + 32]
    call distance
    call print_hex
    mov al, '/'
    call print_char
    movzx eax, bx
    and eax, 0xE00F
    call print_hex_only
    test dword ptr [rsp + 48], 0x10000
    jz 1f
    mov al, 'r'
    call print_char
1:  cmp byte ptr [sticky], 0
    jne 2f
    xor eax, eax
    mov dr6, rax
2:  inc qword ptr [count]
    # At an instruction breakpoint that was hit: not again.
    push rcx
    .irp number, 0, 1, 3
    mov rcx, dr\number
    cmp [rsp + 40], rcx
    jne 3f
    bt ebx, \number
    jc 4f
3:
    .endr
    jmp 5f
4:  or dword ptr [rsp + 56], 0x10000
5:  pop rcx
back:
    pop rax
    pop rbx
    add rsp, 16
    iretq

# RAX, from [began] if it is near.
distance:
    sub rax, [began]
    cmp rax, 0x400
    jb 1f
    add rax, [began]
1:  ret

exception:
    mov al, ' '
    call print_char
    mov al, '#'
    call print_char
    mov rax, [rsp + 16]
    call print_byte
    mov al, '@'
    call print_char
    mov rax, [rsp + 32]
    call distance
    call print_hex_only
    test dword ptr [rsp + 48], 0x10000
    jz 1f
    mov al, 'r'
    call print_char
1:  cmp byte ptr [rsp + 16], 3
    je back
    cmp byte ptr [rsp + 16], 13
    jb 2f
    cmp dword ptr [rsp + 40], U_CODE
    jne 3f
    mov rax, [kernel_rsp]
    mov [rsp + 56], rax
    mov qword ptr [rsp + 40], K_CODE
    mov qword ptr [rsp + 64], K_DATA
3:  mov rax, [resume]
    mov [rsp + 32], rax
    jmp back
2:  add qword ptr [rsp + 32], 2     # UD2, DIV
    jmp back

# -- output -----------------------------------------------------------------------------------------------------------------
    .include "print64.inc"

    .data
    .balign 16
gdt:
    .quad 0
    .quad 0x00AF9B000000FFFF        # 08 kernel code
    .quad 0x00CF93000000FFFF        # 10 kernel data
gdt_user:
    .quad 0x00CFF3000000FFFF        # 18 user data
    .quad 0x00AFFB000000FFFF        # 20 user code
    .word tss_end - tss - 1, 0, 0x8900, 0, 0, 0, 0, 0    # 28
gdt_pointer:
    .word 0x37
    .quad gdt
idt_pointer:
    .word 0x1FF
    .quad idt
    .balign 16
tss:
    .long 0
    .quad ring0_stack
    .fill 11, 8, 0
    .word 0, tss_end - tss
tss_end:
    .balign 8
resume: .quad 0
kernel_rsp: .quad 0
began: .quad 0
count: .quad 0
target: .quad 0
quiet: .byte 0
sticky: .byte 0
    .balign 64
    .quad 0
    .balign 64
scratch: .fill 16, 8, 0
    .bss
    .balign 4096
pml4: .skip 4096
pdpt: .skip 4096
directory: .skip 4096
idt: .skip 4096
image: .skip 4096
page: .skip 4096
    .skip 2048
stack_slot: .skip 2048
    .skip 4096
stack_top: .skip 4096
ring0_stack: .skip 4096
user_stack: .skip 16
