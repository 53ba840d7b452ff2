# Interrupts, exceptions, tasks and system calls.
.include "layout.inc"

    .text
    .code64

.macro SAVE
    .irp register, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
    push %\register
    .endr
.endm

.macro RESTORE
    .irp register, r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax
    pop %\register
    .endr
.endm

.set SAVED_REGISTERS, 15

# One stub each for exceptions 0 to 31. Those for which the processor pushes no error code push 0 in its place.
    .balign 16
exception_stubs:
.set vector, 0
.rept 32
    .balign 16
    .if (0x60227D00 >> vector) & 1
    .else
    push $0
    .endif
    push $vector
    jmp exception
    .set vector, vector + 1
.endr

# Nothing here expects an exception: say which, and switch off.
exception:
    mov $exception_text, %edi
    call puts
    pop %rdi
    mov $1, %esi
    call put_decimal
    mov $exception_error, %edi
    call puts
    pop %rdi
    mov $8, %esi
    call put_hex
    mov $exception_at, %edi
    call puts
    pop %rdi
    mov $16, %esi
    call put_hex
    mov $'\n', %dil
    call putc
    jmp power_off

# set_gate: vector edi goes to the handler at esi, in ring 0, interrupts off.
set_gate:
    shl $4, %edi
    add $idt, %edi
    mov %si, (%rdi)
    movw $KERNEL_CODE, 2(%rdi)
    movw $0x8E00, 4(%rdi)
    shr $16, %esi
    mov %esi, 6(%rdi)
    ret

    .globl interrupts_init
interrupts_init:
    xor %ecx, %ecx
1:  mov %ecx, %edi
    mov %ecx, %esi
    shl $4, %esi
    add $exception_stubs, %esi
    call set_gate
    inc %ecx
    cmp $32, %ecx
    jb 1b
2:  mov %ecx, %edi
    mov $irq_unexpected, %esi
    call set_gate
    inc %ecx
    cmp $48, %ecx
    jb 2b
    .irp pair, timer, keyboard, serial
    mov $vector_\pair, %edi
    mov $irq_\pair, %esi
    call set_gate
    .endr
    lidt idt_pointer

# The task state segment holds the stack that an interrupt of ring 3 switches to.
    mov $task_state, %eax
    mov %ax, gdt_task_state + 2
    shr $16, %eax
    mov %al, gdt_task_state + 4
    mov %ah, gdt_task_state + 7
    movb $0x89, gdt_task_state + 5
    movw $103, gdt_task_state
    movw $104, task_state + 102      # no I/O permission map
    mov $TASK_STATE_SEGMENT, %eax
    ltr %ax

# SYSCALL: segments (STAR), entry (LSTAR), interrupts and direction off (FMASK), the kernel's GS base.
    mov $0xC0000081, %ecx
    xor %eax, %eax
    mov $((USER_DATA - 8) << 16 | KERNEL_CODE), %edx
    wrmsr
    inc %ecx
    mov $system_call, %eax
    xor %edx, %edx
    wrmsr
    add $2, %ecx
    mov $0x600, %eax
    wrmsr
    mov $0xC0000102, %ecx
    mov $call_area, %eax
    wrmsr
    ret

.set vector_timer, 0x20
.set vector_keyboard, 0x21
.set vector_serial, 0x24

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
    iretq

irq_timer:
    SAVE
    incq ticks
    mov ticks, %rdi
    call draw_ticks
    mov $0x20, %al
    out %al, $0x20
    mov current, %rbx
    mov %rsp, TASK_RSP(%rbx)
    fxsave64 TASK_FPU(%rbx)
    call pick_next

# resume: go on with task rbx.
resume:
    mov %rbx, current
    mov TASK_KSTACK(%rbx), %rax
    mov %rax, task_state + 4
    mov %rax, call_area
    fxrstor64 TASK_FPU(%rbx)
    mov TASK_RSP(%rbx), %rsp
    RESTORE
    iretq

# pick_next: the task after rbx in rbx, round robin over ring 3; the kernel's own when none of them can run.
pick_next:
    mov $USER_TASKS, %ecx
1:  add $TASK_SIZE, %rbx
    cmp $tasks_end, %rbx
    jb 2f
    mov $tasks + TASK_SIZE, %ebx
2:  cmpl $0, TASK_RUNNABLE(%rbx)
    jne 3f
    loop 1b
    mov $tasks, %ebx
3:  ret

# spawn: task number edi starts in ring 3 at rsi, on the user stack page and the kernel stack of its number.
    .globl spawn
spawn:
    imul $TASK_SIZE, %edi, %r8d
    add $tasks, %r8d
    fxsave64 TASK_FPU(%r8)
    mov %edi, %ecx
    shl $12, %ecx
    lea task_stacks(%rcx), %eax      # numbers start at 1, so this is the end of its page
    mov %rax, TASK_KSTACK(%r8)
    lea USER_STACKS(%rcx), %edx
    movq $USER_DATA, -8(%rax)        # what iretq takes
    mov %rdx, -16(%rax)
    movq $0x202, -24(%rax)
    movq $USER_CODE, -32(%rax)
    mov %rsi, -40(%rax)
    sub $40 + 8 * SAVED_REGISTERS, %rax
    mov %rax, TASK_RSP(%r8)
    movl $1, TASK_RUNNABLE(%r8)
    ret

# wait_for_tasks: until nothing runs in ring 3 any more.
    .globl wait_for_tasks
wait_for_tasks:
    cli
    mov $tasks, %ebx
    call pick_next
    cmp $tasks, %rbx
    sti
    je 1f
    hlt
    jmp wait_for_tasks
1:  ret

# system_call: number in rax; rcx and r11 hold the caller's rip and flags. Interrupts are off.
system_call:
    swapgs
    mov %rsp, %gs:8
    mov %gs:0, %rsp
    pushq %gs:8
    push %rcx
    push %r11
    cmp $system_calls, %rax
    jae 1f
    call *system_call_table(, %rax, 8)
    jmp 2f
1:  mov $-1, %rax
2:  pop %r11
    pop %rcx
    pop %rsp
    swapgs
    sysretq

# Text must lie in ring 3's own GiB.
sys_write:
    mov $-1, %rax
    mov $USER_END, %ecx
    cmp $USER_TEXT, %rdi
    jb 1f
    cmp %rcx, %rdi
    ja 1f
    sub %rdi, %rcx
    cmp %rcx, %rsi
    ja 1f
    push %rsi
    call write
    pop %rax
1:  ret

sys_ticks:
    mov ticks, %rax
    ret

sys_exit:
    swapgs
    mov current, %rbx
    movl $0, TASK_RUNNABLE(%rbx)
    call pick_next
    jmp resume

    .section .rodata
exception_text:  .asciz "\nexception "
exception_error: .asciz ", error code "
exception_at:    .asciz ", at "
    .balign 8
system_call_table: .quad sys_write, sys_ticks, sys_exit
.set system_calls, (. - system_call_table) / 8

    .data
    .balign 8
    .globl ticks
ticks:   .quad 0
current: .quad tasks
idt_pointer:
    .word 48 * 16 - 1
    .quad idt

    .bss
    .balign 64
tasks:       .skip TASK_SIZE * (1 + USER_TASKS)
tasks_end:
idt:         .skip 48 * 16
task_state:  .skip 104
    .balign 16
call_area:   .skip 16                # kernel stack, caller's stack
    .balign PAGE
task_stacks: .skip PAGE * USER_TASKS
