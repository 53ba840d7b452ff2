# Interrupts, exceptions, system calls, and four tasks that the processor itself switches between.
.include "layout.inc"

    .text

# What an interrupt leaves on the stack of its task: ES and DS, the general registers, and what the stub pushed.
.macro SAVE
    pusha
    push %ds
    push %es
    mov $KERNEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    cld
.endm

.macro RESTORE
    pop %es
    pop %ds
    popa
.endm

.set FRAME_EAX, 36                   # of the saved registers
.set FRAME_ERROR, 40                 # behind them: error code, EIP, CS, EFLAGS
.set FRAME_EIP, 44
.set FRAME_CS, 48
.set FRAME_EFLAGS, 52
.set FRAME_ES, 64                    # of virtual-8086 mode, behind ESP and SS

# One stub each for exceptions 0 to 31. Those for which the processor pushes no error code push 0 in its place.
    .balign 16
exception_stubs:
.set vector, 0
.rept 32
    .balign 16
    .if ((0x60227D00 >> vector) & 1) == 0
    push $0
    .endif
    push $vector
    jmp exception
    .set vector, vector + 1
.endr

# Nothing here expects other exceptions: say which, and switch off.
exception:
    mov $KERNEL_DATA, %eax
    mov %eax, %ds
    mov $exception_text, %eax
    call puts
    pop %eax
    mov $1, %ecx
    call put_decimal
    mov $exception_error, %eax
    call puts
    pop %eax
    call put_hex
    mov $exception_at, %eax
    call puts
    pop %eax
    call put_hex
    mov $'\n', %al
    call putc
    jmp power_off

# A double fault comes by a task gate: whatever was wrong with the stack, this task has its own.
double_fault:
    mov $double_fault_text, %eax
    call puts
    jmp power_off

# A task has used the FPU for the first time since the processor switched to it (which sets CR0.TS).
fpu_wanted:
    SAVE
    clts
    mov current, %eax
    mov fpu_owner, %ecx
    cmp %eax, %ecx
    je 2f
    mov %eax, fpu_owner
    imul $FPU_SIZE, %ecx, %ecx
    fnsave fpu_states(%ecx)
    bts %eax, fpu_used
    jnc 1f
    imul $FPU_SIZE, %eax, %eax
    frstor fpu_states(%eax)
    jmp 2f
1:  fninit
2:  RESTORE
    iret

# general_protection: the program in virtual-8086 mode asks for something by INT, which it may not use.
general_protection:
    SAVE
    testb $2, FRAME_EFLAGS + 2(%esp)
    jz 2f
    mov FRAME_CS(%esp), %edx
    shl $4, %edx
    add FRAME_EIP(%esp), %edx
    cmpw $0x10CD, (%edx)
    jne 1f
    addl $2, FRAME_EIP(%esp)
    movzwl FRAME_ES(%esp), %ebx      # INT 10h prints CX characters at ES:BP
    shl $4, %ebx
    movzwl %bp, %ebp
    add %ebp, %ebx
    movzwl %cx, %ecx
    call write
    RESTORE
    add $4, %esp
    iret
1:  cmpw $0x20CD, (%edx)             # INT 20h ends the program
    je end_task
2:  RESTORE
    push $13
    jmp exception

irq_keyboard:
    SAVE
    call keyboard_take
    jmp irq_done

irq_serial:
    SAVE
    call serial_take
irq_done:
    mov $0x20, %al
    out %al, $0x20
    RESTORE
irq_unexpected:                      # a spurious one gets no end-of-interrupt
    iret

irq_timer:
    SAVE
    incl ticks
    mov ticks, %eax
    call draw_ticks
    mov $0x20, %al
    out %al, $0x20
    call pick_next
    call switch
    RESTORE
    iret

# pick_next: the task after the current one in eax, round robin over the programs; the kernel's own when none can run.
pick_next:
    mov current, %eax
    mov $TASKS - 1, %ecx
1:  inc %eax
    cmp $TASKS, %eax
    jb 2f
    mov $1, %eax
2:  bt %eax, runnable
    jc 3f
    loop 1b
    xor %eax, %eax
3:  ret

# switch: go on with task eax; comes back when something switches to this one again.
switch:
    cmp %eax, current
    je 1f
    mov %eax, current
    lea FIRST_TASK(, %eax, 8), %eax
    mov %ax, task_pointer + 4
    ljmp *task_pointer
1:  ret

# end_task: the current program is done, for ever.
end_task:
    mov current, %eax
    btr %eax, runnable
    call pick_next
    call switch

# system_call: number in eax.
system_call:
    SAVE
    mov FRAME_EAX(%esp), %eax
    cmp $SYS_EXIT, %eax
    je end_task
    movl $-1, FRAME_EAX(%esp)
    cmp $SYS_WRITE, %eax
    jne 1f
    cmp $USER_TEXT, %ebx             # text must lie in ring 3's own GiB
    jb 1f
    mov $USER_END, %edx
    sub %ebx, %edx
    jb 1f
    cmp %edx, %ecx
    ja 1f
    mov %ecx, FRAME_EAX(%esp)
    call write
1:  RESTORE
    iret

# set_gate: vector ecx goes to the handler at eax, in ring 0, interrupts off.
set_gate:
    mov %ax, idt(, %ecx, 8)
    movw $KERNEL_CODE, idt + 2(, %ecx, 8)
    movw $0x8E00, idt + 4(, %ecx, 8)
    shr $16, %eax
    mov %ax, idt + 6(, %ecx, 8)
    ret

.macro HANDLER vector, address
    mov $\address, %eax
    mov $\vector, %ecx
    call set_gate
.endm

    .globl interrupts_init
interrupts_init:
    xor %ecx, %ecx
1:  mov %ecx, %eax
    shl $4, %eax
    add $exception_stubs, %eax
    call set_gate
    inc %ecx
    cmp $32, %ecx
    jb 1b
2:  mov $irq_unexpected, %eax
    call set_gate
    inc %ecx
    cmp $48, %ecx
    jb 2b
    HANDLER 7, fpu_wanted
    HANDLER 13, general_protection
    HANDLER 0x20, irq_timer
    HANDLER 0x21, irq_keyboard
    HANDLER 0x24, irq_serial
    HANDLER 0x80, system_call
    movb $0xEE, idt + 8 * 0x80 + 5   # ring 3 may
    movl $FAULT_TASK << 16, idt + 8 * 8
    movl $0x8500, idt + 8 * 8 + 4    # a task gate
    lidt idt_pointer
    jmp tasks_init

# Task state segments: descriptors, and what all of them have.
tasks_init:
    xor %ecx, %ecx
    mov $task_states, %ebx
1:  mov %ebx, %eax
    lea gdt + FIRST_TASK(, %ecx, 8), %edx
    mov %ax, 2(%edx)
    shr $16, %eax
    mov %al, 4(%edx)
    mov %ah, 7(%edx)
    movl $page_directory, TSS_CR3(%ebx)
    movw $KERNEL_DATA, TSS_SS0(%ebx)
    movw $TSS_SIZE, TSS_BITMAP(%ebx)  # no I/O permission map
    mov %ecx, %eax
    shl $12, %eax
    add $task_stacks + PAGE, %eax
    mov %eax, TSS_ESP0(%ebx)
    add $TSS_SIZE, %ebx
    inc %ecx
    cmp $TASKS + 1, %ecx
    jb 1b
    mov $task_states + TSS_SIZE * TASKS, %ebx
    mov TSS_ESP0(%ebx), %eax
    mov %eax, TSS_ESP(%ebx)
    movl $double_fault, TSS_EIP(%ebx)
    movl $2, TSS_EFLAGS(%ebx)
    movw $KERNEL_CODE, TSS_CS(%ebx)
    movw $KERNEL_DATA, TSS_SS(%ebx)
    movw $KERNEL_DATA, TSS_DS(%ebx)
    movw $KERNEL_DATA, TSS_ES(%ebx)
    mov $FIRST_TASK, %eax
    ltr %ax
    ret

# spawn: task ecx (1 or 2) starts in ring 3 at eax, on the user stack page of its number.
    .globl spawn
spawn:
    imul $TSS_SIZE, %ecx, %ebx
    add $task_states, %ebx
    mov %eax, TSS_EIP(%ebx)
    movl $0x202, TSS_EFLAGS(%ebx)
    mov %ecx, %eax
    shl $12, %eax
    add $USER_STACKS, %eax
    mov %eax, TSS_ESP(%ebx)
    movw $USER_CODE, TSS_CS(%ebx)
    movw $USER_DATA, TSS_SS(%ebx)
    movw $USER_DATA, TSS_DS(%ebx)
    movw $USER_DATA, TSS_ES(%ebx)
    bts %ecx, runnable
    ret

# spawn_v86: task 3 starts in virtual-8086 mode, in a page of its own below 1 MiB, with a copy of its program.
    .globl spawn_v86
spawn_v86:
    mov $v86_program, %esi
    mov $V86_PAGE, %edi
    mov $v86_program_size, %ecx
    rep movsb
    mov $task_states + TSS_SIZE * 3, %ebx
    movl $0, TSS_EIP(%ebx)
    movl $0x20202, TSS_EFLAGS(%ebx)
    movl $PAGE, TSS_ESP(%ebx)
    .irp segment, TSS_CS, TSS_SS, TSS_DS, TSS_ES
    movw $V86_PAGE >> 4, \segment(%ebx)
    .endr
    mov $3, %ecx
    bts %ecx, runnable
    ret

# wait_for_tasks: until no program runs any more.
    .globl wait_for_tasks
wait_for_tasks:
    cli
    cmpl $0, runnable
    sti
    je 1f
    hlt
    jmp wait_for_tasks
1:  ret

    .section .rodata
exception_text:    .asciz "\nexception "
exception_error:   .asciz ", error code "
exception_at:      .asciz ", at "
double_fault_text: .asciz "\ndouble fault\n"

    .data
    .balign 4
    .globl ticks
ticks:        .long 0
current:      .long 0
runnable:     .long 0                # a bit for each program
fpu_owner:    .long 0
fpu_used:     .long 1
task_pointer: .long 0
              .word 0
idt_pointer:  .word 0x81 * 8 - 1
              .long idt

.set FPU_SIZE, 108
    .bss
    .balign 16
idt:         .skip 0x81 * 8
task_states: .skip TSS_SIZE * (TASKS + 1)
fpu_states:  .skip FPU_SIZE * TASKS
    .balign PAGE
task_stacks: .skip PAGE * (TASKS + 1)
