@ Exceptions in every mode, banked registers, program status registers, exception returns.

        .include "guest.inc"

@ Go to user mode at a label of A32.
        .macro user where
        adr     lr, \where
        mov     r0, #USR
        msr     spsr_cxsf, r0
        movs    pc, lr
        .endm

main:   push    {lr}
        mrs     r0, cpsr
        bic     r0, r0, #0xf0000000
        value   "start", r0

        @ -- entries
        try     "svc", "svc #5"
        try     "undefined", "udf #1"
        try     "breakpoint", "bkpt #1"
        try     "svc with flags", "msr cpsr_f, #0xf8000000 ; svc #0"
        try     "svc with GE", "msr cpsr_s, #0x000a0000 ; svc #0"
        try     "unmasked svc", "cpsie aif ; svc #0"
        try     "unmasked undefined", "cpsie aif ; udf #0"
        try     "unmasked breakpoint", "cpsie aif ; bkpt #0"
        try     "big-endian svc", "setend be ; svc #0"
        setend  le
        .irp    mode, FIQ, IRQ, ABT, UND, SYS
        try     "svc in \mode", "cps #\mode ; svc #0"
        try     "undefined in \mode", "cps #\mode ; udf #0"
        .endr
        try     "svc in user mode", "user 1f ; 1: svc #0"
        try     "undefined in user mode", "user 1f ; 1: udf #0"
        try     "privileged CP15 in user mode", "user 1f ; 1: mrc p15, 0, r0, c1, c0, 0"
        try     "CPS in user mode", "user 1f ; 1: cps #SYS ; cpsie aif ; svc #0"
        try     "MSR in user mode", "user 1f ; 1: set r0, (0xf80f03df) ; msr cpsr_fsxc, r0 ; svc #0"
        setend  le
        try     "HVC in user mode", "user 1f ; 1: hvc #0"
        try     "SMC", "smc #0"

        @ -- T32
        try     "svc in T32", "adr r0, 1f + 1 ; bx r0 ; .thumb ; 1: svc #0 ; .arm"
        try     "undefined in T32", "adr r0, 1f + 1 ; bx r0 ; .thumb ; 1: udf #0 ; .arm"
        try     "wide undefined in T32", "adr r0, 1f + 1 ; bx r0 ; .thumb ; 1: udf.w #0 ; .arm"
        try     "breakpoint in T32", "adr r0, 1f + 1 ; bx r0 ; .thumb ; 1: bkpt #0 ; .arm"
        try     "svc in an IT block", "cmp r0, r0 ; adr r0, 1f + 1 ; bx r0 ; .thumb ; 1: ittee eq ; nop ; svceq #0 ; nop ; nop ; .arm"
        try     "undefined in an IT block", "cmp r0, r0 ; adr r0, 1f + 1 ; bx r0 ; .thumb ; 1: itete eq ; nop ; nop ; .inst.n 0xde00 ; nop ; .arm"

        @ -- handlers in another state
        set     r3, (thumb_vectors)
        mcr     p15, 0, r3, c12, c0, 0
        mrc     p15, 0, r4, c1, c0, 0
        orr     r3, r4, #(1 << 30)
        mcr     p15, 0, r3, c1, c0, 0
        isb
        try     "svc to T32", "svc #0"
        orr     r3, r3, #(1 << 25)
        mcr     p15, 0, r3, c1, c0, 0
        isb
        try     "svc to big-endian T32", "svc #0"
        mcr     p15, 0, r4, c1, c0, 0
        isb
        value   "big-endian T32 handler", r5
        set     r3, (vectors)
        mcr     p15, 0, r3, c12, c0, 0

        @ -- banked registers: each mode's own SP, LR, SPSR and FIQ's R8..R12
        set     r8, (0x08080808)
        set     r12, (0x12121212)
        .irp    mode, FIQ, IRQ, ABT, UND, SVC
        cps     #\mode
        mov     r6, sp
        mov     r7, #\mode
        mov     lr, r7
        orr     r7, r7, #0xa0000000
        msr     spsr_cxsf, r7
        cps     #SVC
        .endr
        cps     #FIQ
        set     r8, (0xf1f1f1f1)
        set     r12, (0xf2f2f2f2)
        cps     #SVC
        value   "r8", r8
        value   "r12", r12
        .irp    mode, FIQ, IRQ, ABT, UND, SYS
        cps     #\mode
        mov     r5, sp
        mov     r6, lr
        mov     r7, r8
        mov     r9, #0
        cps     #SVC
        value   "\mode sp", r5
        value   "\mode lr", r6
        value   "\mode r8", r7
        .endr
        .irp    mode, FIQ, IRQ, ABT, UND, SVC
        cps     #\mode
        mrs     r5, spsr
        cps     #SVC
        value   "\mode spsr", r5
        .endr

        @ -- status registers by fields
        set     r3, (0xffffffff)
        mov     r4, #0
        .irp    fields, c, x, s, f, cf, xs
        msr     spsr_cxsf, r4
        msr     spsr_\fields, r3
        mrs     r5, spsr
        value   "spsr_\fields", r5
        .endr
        msr     spsr_cxsf, r3
        msr     spsr_f, #0
        mrs     r5, spsr
        value   "spsr_f from an immediate", r5
        msr     cpsr_f, #0x50000000
        mrs     r5, cpsr
        value   "cpsr_f", r5
        msr     cpsr_s, #0x000f0000
        mrs     r5, cpsr
        value   "cpsr_s", r5
        mov     r3, #(SVC | 0x40)
        msr     cpsr_c, r3
        mrs     r5, cpsr
        value   "cpsr_c", r5
        mov     r3, #0x100
        msr     cpsr_x, r3
        mrs     r5, cpsr
        value   "cpsr_x", r5
        cpsid   aif, #SYS
        mrs     r5, cpsr
        cpsie   i, #SVC
        mrs     r6, cpsr
        cpsid   aif
        value   "cpsid and mode", r5
        value   "cpsie and mode", r6
        mrs     r3, cpsr
        bic     r3, r3, #0x1f
        orr     r3, r3, #0x14
        msr     cpsr_c, r3
        mrs     r5, cpsr
        value   "mode that is not there", r5

        @ -- returns
        mov     r0, #(SYS | MASKED)
        orr     r0, r0, #0x20000000
        msr     spsr_cxsf, r0
        adr     r0, 1f
        movs    pc, r0
1:      mrs     r5, cpsr
        cps     #SVC
        value   "movs pc", r5
        mov     r0, #(IRQ | MASKED)
        msr     spsr_cxsf, r0
        adr     lr, 1f
        add     lr, lr, #4
        subs    pc, lr, #4
1:      mrs     r5, cpsr
        cps     #SVC
        value   "subs pc, lr", r5
        mov     r0, #(SVC | MASKED | 0x20)
        msr     spsr_cxsf, r0
        adr     lr, 1f
        movs    pc, lr
        .thumb
1:      mov     r5, pc
        nop
        bx      pc
        nop
        .arm
        value   "to T32", r5
        set     r0, ((SVC | MASKED | 0x20 | 0x60000000 | 0xc00))  @ IT: eq, then else
        msr     spsr_cxsf, r0
        adr     lr, 1f
        mov     r5, #0
        mov     r6, #0
        movs    pc, lr
        .thumb
1:      .inst.n 0x2501 @ moveq r5, #1
        .inst.n 0x2602 @ movne r6, #2
        bx      pc
        nop
        .arm
        value   "into an IT block, first", r5
        value   "into an IT block, second", r6
        set     r0, ((UND | MASKED | 0x80000000))
        msr     spsr_cxsf, r0
        adr     r0, 1f
        mov     r1, #0x11
        mov     r2, #0x22
        push    {r1, r2}
        push    {r0}
        sub     sp, sp, #8
        ldm     sp, {r1, r2, pc}^
1:      mrs     r5, cpsr
        cps     #SVC
        add     sp, sp, #20
        value   "ldm with pc", r5

        @ -- RFE and SRS
        mov     r0, #(ABT | MASKED)
        orr     r0, r0, #0x30000000
        adr     r1, 1f
        push    {r1, r0}
        strd    r0, r1, [sp]            @ pc below, then cpsr
        str     r1, [sp]
        str     r0, [sp, #4]
        rfeia   sp!
1:      mrs     r5, cpsr
        cps     #SVC
        mov     r6, sp
        value   "rfeia", r5
        value   "rfeia sp", r6
        set     r3, (words + 8)
        adr     r1, 1f
        str     r1, [r3, #-8]
        str     r0, [r3, #-4]
        rfedb   r3!
1:      mrs     r5, cpsr
        cps     #SVC
        value   "rfedb", r5
        set     r2, (words)
        sub     r3, r3, r2
        value   "rfedb base", r3
        set     r3, (words - 4)
        adr     r1, 1f
        str     r1, [r3, #4]
        str     r0, [r3, #8]
        rfeib   r3
1:      mrs     r5, cpsr
        cps     #SVC
        value   "rfeib", r5
        set     r3, (words + 4)
        adr     r1, 1f
        str     r1, [r3, #-4]
        str     r0, [r3]
        rfeda   r3!
1:      mrs     r5, cpsr
        cps     #SVC
        sub     r3, r3, r2
        value   "rfeda", r5
        value   "rfeda base", r3
        .irp    form, srsia, srsib, srsda, srsdb
        cps     #SYS
        mov     r4, sp
        set     sp, (words + 16)
        cps     #SVC
        mov     r0, #0
        set     r1, (words)
        .rept   8
        str     r0, [r1], #4
        .endr
        set     lr, (0x11112222)
        set     r0, (0x60000010)
        msr     spsr_cxsf, r0
        \form   sp!, #SYS
        cps     #SYS
        mov     r5, sp
        mov     sp, r4
        cps     #SVC
        set     r1, (words)
        sub     r5, r5, r1
        value   "\form sp", r5
        mov     r6, #0
        set     r1, (words)
1:      ldr     r5, [r1, r6]
        cmp     r5, #0
        beq     2f
        value   "\form offset", r6
        value   "\form word", r5
2:      add     r6, r6, #4
        cmp     r6, #32
        bne     1b
        .endr
        set     r3, (words + 2)
        try     "misaligned rfe", "rfeia r3"
        try     "misaligned srs", "cps #SYS ; mov r4, sp ; mov sp, r3 ; cps #SVC ; srsia sp, #SYS"
        cps     #SYS
        mov     sp, r4
        cps     #SVC

        @ -- user registers
        cps     #FIQ
        set     r3, (words)
        mov     r8, #8
        mov     sp, r8
        stm     r3, {r8, sp}^
        cps     #SVC
        ldr     r5, [r3]
        value   "stm of user r8", r5
        ldr     r5, [r3, #4]
        value   "stm of user sp", r5
        set     r5, (0x77778888)
        str     r5, [r3]
        str     r5, [r3, #8]
        cps     #FIQ
        ldm     r3, {r8, lr}^
        nop
        mov     r5, r8
        set     sp, (stack_FIQ)
        cps     #SVC
        value   "fiq r8 after ldm of user registers", r5
        value   "user r8", r8
        cps     #SYS
        mov     r5, lr
        cps     #SVC
        value   "user lr", r5

        @ -- unprivileged masks do not let interrupts in; what is left
        mrs     r5, cpsr
        value   "end", r5
        pop     {pc}

        .balign 32
        .thumb
thumb_vectors:
        b.w     1f
        b.w     1f
        b.w     2f
        b.w     1f
        b.w     1f
        b.w     1f
        b.w     1f
        b.w     1f
1:      b       1b
2:      setend  le
        mrs     r5, cpsr
        ldr     pc, 3f
        .balign 4
3:      .word   vector2
        .arm

        .bss
        .balign 8
words:  .space  64
