@ Text out: every character goes to the serial port, polled.
        .include "layout.inc"
        .equ DATA, 0x00
        .equ FLAGS, 0x18
        .equ FULL, 0x20

        .text
@ putc: the character in r0.
        .globl putc
putc:   cmp     r0, #'\n'
        bne     out
        push    {r0, lr}
        mov     r0, #'\r'
        bl      out
        pop     {r0, lr}
out:    set     r1, UART
1:      ldr     r2, [r1, #FLAGS]
        tst     r2, #FULL
        bne     1b
        str     r0, [r1, #DATA]
        bx      lr

@ puts: the zero-terminated text at r0.
        .globl puts
puts:   push    {r4, lr}
        mov     r4, r0
1:      ldrb    r0, [r4], #1
        cmp     r0, #0
        popeq   {r4, pc}
        bl      putc
        b       1b

@ write: r1 characters at r0.
        .globl write
write:  push    {r4-r6, lr}
        mov     r4, r0
        add     r5, r0, r1
1:      cmp     r4, r5
        pophs   {r4-r6, pc}
        ldrb    r0, [r4], #1
        bl      putc
        b       1b

@ put_decimal: r0 without a sign, in at least r1 digits.
        .globl put_decimal
put_decimal:
        push    {r4-r6, lr}
        mov     r4, #10
        mov     r5, #0
1:      udiv    r2, r0, r4
        mls     r3, r2, r4, r0
        push    {r3}
        add     r5, r5, #1
        movs    r0, r2
        bne     1b
        cmp     r5, r1
        blo     1b
2:      pop     {r0}
        add     r0, r0, #'0'
        bl      putc
        subs    r5, r5, #1
        bne     2b
        pop     {r4-r6, pc}

@ put_hex: the 8 digits of r0.
        .globl put_hex
put_hex:
        push    {r4, r5, r6, lr}
        mov     r4, r0
        mov     r5, #8
1:      lsr     r0, r4, #28
        cmp     r0, #10
        addlo   r0, r0, #'0'
        addhs   r0, r0, #('a' - 10)
        bl      putc
        lsl     r4, r4, #4
        subs    r5, r5, #1
        bne     1b
        pop     {r4, r5, r6, pc}
