@ Interrupts, exceptions, tasks and system calls.
        .include "layout.inc"
        .equ ACKNOWLEDGE, 0x0c
        .equ END, 0x10
        .equ SAVED_WORDS, 16            @ r0-r12, lr, then what RFE takes: pc and CPSR

        .text
        .balign 32
        .globl vectors
vectors:
        b       .
        b       exception_1
        b       system_call
        b       exception_3
        b       data_abort
        b       .
        b       irq
        b       exception_7

@ Nothing here expects an exception: say which, and switch off.
        .irp    number, 1, 3, 4, 7
exception_\number:
        mov     r5, #\number
        b       exception
        .endr
exception:
        mov     r4, lr
        cpsid   if, #SVC
        set     r0, exception_text
        bl      puts
        mov     r0, r5
        mov     r1, #1
        bl      put_decimal
        set     r0, exception_at
        bl      puts
        mov     r0, r4
        bl      put_hex
        mov     r0, #'\n'
        bl      putc
        b       power_off

@ probe: the word at r0, or 0 where no device answers.
        .globl probe
probe:  set     r1, probing
        mov     r2, #1
        str     r2, [r1]
        ldr     r0, [r0]
        mov     r2, #0
        str     r2, [r1]
        bx      lr
data_abort:
        push    {r1, r2}
        set     r1, probing
        ldr     r2, [r1]
        cmp     r2, #0
        pop     {r1, r2}
        beq     exception_4
        mov     r0, #0
        subs    pc, lr, #4

irq:    sub     lr, lr, #4
        srsdb   sp!, #SVC
        cps     #SVC
        push    {r0-r12, lr}
        set     r8, GIC_INTERFACE
        ldr     r4, [r8, #ACKNOWLEDGE]
        cmp     r4, #TIMER_INTERRUPT
        beq     irq_timer
        cmp     r4, #UART_INTERRUPT
        bleq    serial_take
        cmp     r4, #KEYBOARD_INTERRUPT
        bleq    keyboard_take
        lsr     r0, r4, #2              @ a spurious one is not ended
        cmp     r0, #(1020 >> 2)
        strlo   r4, [r8, #END]
        pop     {r0-r12, lr}
        rfeia   sp!

irq_timer:
        bl      timer_take
        set     r0, ticks
        ldr     r1, [r0]
        add     r1, r1, #1
        str     r1, [r0]
        str     r4, [r8, #END]
        set     r0, current
        ldr     r5, [r0]
        str     sp, [r5, #TASK_SP]
        add     r0, r5, #TASK_BANKED
        stm     r0, {sp, lr}^
        vmrs    r1, fpscr
        str     r1, [r5, #TASK_FPSCR]
        add     r0, r5, #TASK_VFP
        vstmia  r0!, {d0-d15}
        vstmia  r0!, {d16-d31}
        bl      pick_next

@ resume: go on with task r5.
resume: set     r0, current
        str     r5, [r0]
        add     r0, r5, #TASK_VFP
        vldmia  r0!, {d0-d15}
        vldmia  r0!, {d16-d31}
        ldr     r1, [r5, #TASK_FPSCR]
        vmsr    fpscr, r1
        add     r0, r5, #TASK_BANKED
        ldm     r0, {sp, lr}^
        nop
        ldr     sp, [r5, #TASK_SP]
        clrex
        pop     {r0-r12, lr}
        rfeia   sp!

@ pick_next: the task after r5 in r5, round robin over user mode; the kernel's own when none of them can run.
pick_next:
        mov     r0, #USER_TASKS
        set     r1, tasks_end
1:      add     r5, r5, #TASK_SIZE
        cmp     r5, r1
        blo     2f
        set     r5, (tasks + TASK_SIZE)
2:      ldr     r2, [r5, #TASK_RUNNABLE]
        cmp     r2, #0
        bxne    lr
        subs    r0, r0, #1
        bne     1b
        set     r5, tasks
        bx      lr

@ spawn: task number r0 starts in user mode at r1, on the user stack and the kernel stack of its number.
        .globl spawn
spawn:  set     r2, tasks
        mov     r3, #TASK_SIZE
        mla     r2, r0, r3, r2
        lsl     r0, r0, #12
        set     r3, USER_STACKS
        add     r3, r3, r0
        str     r3, [r2, #TASK_BANKED]
        set     r3, task_stacks         @ numbers start at 1, so this is the end of its page
        add     r3, r3, r0
        mov     r0, #USR
        str     r0, [r3, #-4]
        str     r1, [r3, #-8]
        sub     r3, r3, #(4 * SAVED_WORDS)
        str     r3, [r2, #TASK_SP]
        mov     r0, #1
        str     r0, [r2, #TASK_RUNNABLE]
        bx      lr

@ wait_for_tasks: until nothing runs in user mode any more.
        .globl wait_for_tasks
wait_for_tasks:
        push    {r5, lr}
1:      cpsid   i
        set     r5, tasks
        bl      pick_next
        set     r0, tasks
        cmp     r5, r0
        wfine                           @ a masked interrupt ends it, so none is missed
        cpsie   i
        bne     1b
        pop     {r5, pc}

@ system_call: number in r7, arguments in r0 and r1; interrupts are off.
system_call:
        srsdb   sp!, #SVC
        push    {r1-r12, lr}
        cmp     r7, #SYSTEM_CALLS
        set     r2, system_calls
        mvnhs   r0, #0
        ldrlo   r2, [r2, r7, lsl #2]
        blxlo   r2
        pop     {r1-r12, lr}
        rfeia   sp!

@ Text must lie in user mode's own section.
sys_write:
        set     r2, USER
        set     r3, USER_END
        cmp     r0, r2
        blo     1f
        subs    r3, r3, r0
        blo     1f
        cmp     r1, r3
        bhi     1f
        push    {r1, lr}
        bl      write
        pop     {r0, pc}
1:      mvn     r0, #0
        bx      lr

sys_ticks:
        set     r0, ticks
        ldr     r0, [r0]
        bx      lr

sys_exit:
        set     r0, current
        ldr     r5, [r0]
        mov     r0, #0
        str     r0, [r5, #TASK_RUNNABLE]
        bl      pick_next
        b       resume

        .section .rodata
exception_text: .asciz "\nexception "
exception_at: .asciz ", LR "
        .balign 4
system_calls: .word sys_write, sys_ticks, sys_exit
        .equ SYSTEM_CALLS, (. - system_calls) / 4

        .data
        .balign 4
        .globl ticks
ticks:  .word   0
current: .word  tasks
probing: .word  0

        .bss
        .balign 8
tasks:  .space  TASK_SIZE * (1 + USER_TASKS)
tasks_end:
        .balign PAGE
task_stacks: .space PAGE * USER_TASKS
