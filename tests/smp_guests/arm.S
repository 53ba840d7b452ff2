@ Two processors that count, take turns at a spin lock, and sleep. The section at PRIVATE is another one for each. It goes
@ on for ever.
        .syntax unified
        .arch armv7ve
        .arm
        .equ DISTRIBUTOR, 0x08000000
        .equ INTERFACE, 0x08010000
        .equ TIMER, 27
        .equ PRIVATE, 0x40800000
        .equ CPU_ON, 0x84000003
        .equ IRQ, 0x12
        .equ SVC, 0x13

        .macro set reg, to
        movw    \reg, #:lower16:\to
        movt    \reg, #:upper16:\to
        .endm

        .text
        .globl _start
_start: mov     r4, #0
        bl      setup
        set     r0, CPU_ON
        mov     r1, #1
        set     r2, second
        mov     r3, #1
        hvc     #0
        b       round

second: mov     r4, r0                  @ from here on: the number of the processor
        bl      setup
        b       round

setup:  cpsid   aif, #IRQ
        set     sp, stacks_irq
        add     sp, sp, r4, lsl #10
        cps     #SVC
        set     sp, stacks_svc
        add     sp, sp, r4, lsl #10
        set     r0, tables
        add     r0, r0, r4, lsl #14
        mov     r1, #0
1:      lsl     r3, r1, #20
        cmp     r1, #0x400
        set     r2, 0x412               @ devices
        set     r5, 0x40e               @ memory
        orrlo   r3, r3, r2
        orrhs   r3, r3, r5
        set     r2, (PRIVATE >> 20)
        cmp     r1, r2
        addeq   r3, r3, r4, lsl #23
        str     r3, [r0, r1, lsl #2]
        add     r1, r1, #1
        cmp     r1, #4096
        bne     1b
        mcr     p15, 0, r0, c2, c0, 0
        mov     r0, #0
        mcr     p15, 0, r0, c2, c0, 2
        mov     r0, #1
        mcr     p15, 0, r0, c3, c0, 0
        mov     r0, #0
        mcr     p15, 0, r0, c8, c7, 0
        set     r0, vectors
        mcr     p15, 0, r0, c12, c0, 0
        isb
        mrc     p15, 0, r0, c1, c0, 0
        orr     r0, r0, #1
        mcr     p15, 0, r0, c1, c0, 0
        isb
        set     r0, DISTRIBUTOR
        mov     r1, #1
        str     r1, [r0]
        mov     r1, #(1 << TIMER)
        str     r1, [r0, #0x100]
        set     r0, INTERFACE
        mov     r1, #0xff
        str     r1, [r0, #4]
        mov     r1, #1
        str     r1, [r0]
        bx      lr

        .globl round
round:  set     r5, counts
        ldr     r0, [r5, r4, lsl #2]
        add     r0, r0, #1
        str     r0, [r5, r4, lsl #2]
        set     r1, PRIVATE
        add     r0, r4, r0, lsl #1
        str     r0, [r1]
        set     r0, shared
1:      ldrex   r1, [r0]
        add     r1, r1, #1
        strex   r2, r1, [r0]
        cmp     r2, #0
        bne     1b
        bl      wait_turn
        bl      work
        set     r0, turn
        ldr     r1, [r0]
        eor     r1, r1, #1
        str     r1, [r0]
        ldr     r6, [r5, r4, lsl #2]
        tst     r6, #31
        bleq    hurry
        tst     r6, #7
        bleq    nap
        b       round

        .globl wait_turn
wait_turn:
        push    {r11, lr}
        add     r11, sp, #4
        set     r0, turn
1:      ldr     r1, [r0]
        cmp     r1, r4
        wfene
        bne     1b
        pop     {r11, pc}

        .macro  add_up
        set     r0, sums
1:      ldr     r1, [r0, r4, lsl #2]
        add     r1, r1, r2
        str     r1, [r0, r4, lsl #2]
        subs    r2, r2, #1
        bne     1b
        pop     {r11, pc}
        .endm

        .globl work
work:   push    {r11, lr}
        add     r11, sp, #4
        mov     r2, #20
        add_up

@ Longer than a turn, and nobody waits.
        .globl hurry
hurry:  push    {r11, lr}
        add     r11, sp, #4
        set     r2, 60000
        add_up

        .globl nap
nap:    push    {r11, lr}
        add     r11, sp, #4
        set     r0, 1500
        mcr     p15, 0, r0, c14, c3, 0
        mov     r0, #1
        mcr     p15, 0, r0, c14, c3, 1
        wfi
        cpsie   i
        nop
        cpsid   i
        pop     {r11, pc}

        .balign 32
vectors:
        .rept   6
        b       .
        .endr
        b       timer
        b       .

        .globl timer
timer:  sub     lr, lr, #4
        push    {r0, r1, lr}
        set     r0, INTERFACE
        ldr     r1, [r0, #0xc]
        str     r1, [r0, #0x10]
        mov     r1, #0
        mcr     p15, 0, r1, c14, c3, 1
        set     r0, ticks
        ldr     r1, [r0, r4, lsl #2]
        add     r1, r1, #1
        str     r1, [r0, r4, lsl #2]
        ldm     sp!, {r0, r1, pc}^

        .data
counts: .word   0, 0
shared: .word   0
turn:   .word   0
sums:   .word   0, 0
ticks:  .word   0, 0

        .bss
        .balign 16384
tables: .space  32768
        .space  1024
stacks_irq:
        .space  2048
stacks_svc:
        .space  1024
