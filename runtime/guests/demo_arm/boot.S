@ From the loader's entry (supervisor mode, MMU off, r2 = device tree) to main: stacks, tables, vectors, floating point.
        .include "layout.inc"

        .section .text.boot, "ax"
        .globl _start
_start: cpsid   aif, #ABT
        set     sp, abort_stack
        cps     #UND
        set     sp, abort_stack
        cps     #IRQ
        set     sp, abort_stack
        cps     #SVC
        set     sp, kernel_stack
        set     r0, device_tree
        str     r2, [r0]

@ Sections: the devices for the kernel, not executable; RAM for the kernel; one section for user mode, which the kernel
@ cannot execute.
        set     r0, table
        mov     r1, #0
1:      mov     r3, #0
        lsr     r2, r1, #4
        cmp     r2, #(UART >> 24)
        set     r2, 0x412               @ privileged, execute never
        orrls   r3, r2, r1, lsl #20
        cmp     r1, #(RAM >> 20)
        set     r2, 0x40e               @ privileged, cached
        orrhs   r3, r2, r1, lsl #20
        set     r12, (USER >> 20)
        cmp     r1, r12
        set     r2, 0xc0f               @ everybody, cached, privileged execute never
        orreq   r3, r2, r1, lsl #20
        str     r3, [r0, r1, lsl #2]
        add     r1, r1, #1
        cmp     r1, #4096
        bne     1b
        mcr     p15, 0, r0, c2, c0, 0   @ TTBR0
        mov     r0, #0
        mcr     p15, 0, r0, c2, c0, 2   @ TTBCR
        mov     r0, #1
        mcr     p15, 0, r0, c3, c0, 0   @ DACR: domain 0 as the tables say
        mov     r0, #0
        mcr     p15, 0, r0, c8, c7, 0   @ TLBs
        mcr     p15, 0, r0, c7, c5, 0   @ instruction cache
        set     r0, vectors
        mcr     p15, 0, r0, c12, c0, 0
        dsb
        isb
        mrc     p15, 0, r0, c1, c0, 0
        set     r1, 0x1805              @ MMU, caches, branch prediction
        orr     r0, r0, r1
        mcr     p15, 0, r0, c1, c0, 0
        mov     r0, #(0xf << 20)        @ VFP and Advanced SIMD for everybody
        mcr     p15, 0, r0, c1, c0, 2
        isb
        mov     r0, #(1 << 30)
        vmsr    fpexc, r0
        bl      main
        b       power_off

        .bss
        .balign 16384
table:  .space  16384
        .space  512
abort_stack:
        .space  PAGE
        .globl  kernel_stack
kernel_stack:
        .globl  device_tree
device_tree: .space 4
