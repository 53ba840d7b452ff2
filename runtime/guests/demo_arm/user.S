@ Two programs in user mode. They run at the same time: the timer switches between them.
        .include "layout.inc"

        .section .user, "ax"
        .equ LINE_SIZE, 128

        .macro system_call number
        mov     r7, #\number
        svc     #0
        .endm

@ write_line: r1 characters at r0, then r2, then a line's end. It is one system call, so that the other program, which may
@ run at any time, cannot write in between.
write_line:
        push    {r4, r5, lr}
        sub     sp, sp, #LINE_SIZE
        mov     r3, sp
1:      ldrb    r4, [r0], #1
        strb    r4, [r3], #1
        subs    r1, r1, #1
        bne     1b
        mov     r4, #10
        add     r5, sp, #LINE_SIZE
2:      udiv    r0, r2, r4
        mls     r1, r0, r4, r2
        add     r1, r1, #'0'
        strb    r1, [r5, #-1]!
        movs    r2, r0
        bne     2b
        add     r1, sp, #LINE_SIZE
3:      ldrb    r0, [r5], #1
        strb    r0, [r3], #1
        cmp     r5, r1
        bne     3b
        mov     r0, #'\n'
        strb    r0, [r3], #1
        mov     r0, sp
        sub     r1, r3, sp
        system_call SYS_WRITE
        add     sp, sp, #LINE_SIZE
        pop     {r4, r5, pc}

@ Which start below 30000 gives the longest Collatz sequence?
        .equ COLLATZ_END, 30000
        .globl collatz
collatz:
        mov     r4, #1                  @ start
        mov     r5, #0                  @ longest so far
        set     r8, COLLATZ_END
1:      mov     r0, r4
        mov     r1, #0
2:      cmp     r0, #1
        beq     3f
        tst     r0, #1
        addne   r0, r0, r0, lsl #1
        addne   r0, r0, #1
        lsreq   r0, r0, #1
        add     r1, r1, #1
        b       2b
3:      cmp     r1, r5
        movhi   r5, r1
        movhi   r6, r4
        add     r4, r4, #1
        cmp     r4, r8
        blo     1b
        mov     r2, r6
        adr     r0, collatz_text
        mov     r1, #COLLATZ_TEXT_SIZE
        bl      write_line
        system_call SYS_EXIT

@ Pi by Machin's formula would be too quick: the Leibniz series in double precision, then its first digits.
        .equ PI_TERMS, 400000
        .globl pi
pi:     vmov.f64 d1, #1.0               @ 1, 3, 5, ...
        vmov.f64 d0, #2.0
        vmov.f64 d2, #4.0               @ 4, -4, ...
        vsub.f64 d3, d0, d0             @ the sum
        set     r4, PI_TERMS
1:      vdiv.f64 d4, d2, d1
        vadd.f64 d3, d3, d4
        vadd.f64 d1, d1, d0
        vneg.f64 d2, d2
        subs    r4, r4, #1
        bne     1b
        vldr    d0, pi_scale
        vmul.f64 d3, d3, d0
        vcvt.u32.f64 s0, d3
        vmov    r2, s0
        adr     r0, pi_text
        mov     r1, #PI_TEXT_SIZE
        bl      write_line
        system_call SYS_EXIT

        .balign 8
pi_scale: .double 1e9
collatz_text: .ascii "task 1: the longest Collatz sequence below 30000 starts at "
        .equ COLLATZ_TEXT_SIZE, . - collatz_text
        .balign 4
pi_text: .ascii "task 2: pi after 400000 terms, times 10^9: "
        .equ PI_TEXT_SIZE, . - pi_text
