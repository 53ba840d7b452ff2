@ The board's devices: interrupt controller, timer, serial port, keyboard, clock; the device tree; power.
        .include "layout.inc"
        .equ INPUT_SIZE, 256            @ a power of two
        .equ SYSTEM_OFF, 0x84000008

        .text
@ Everything off, then the three interrupts on, for processor 0, with one priority.
        .globl gic_init
gic_init:
        set     r0, GIC_DISTRIBUTOR
        mov     r1, #(1 << TIMER_INTERRUPT)
        str     r1, [r0, #0x100]
        set     r1, (1 << (UART_INTERRUPT - 32) | 1 << (KEYBOARD_INTERRUPT - 32))
        str     r1, [r0, #0x104]
        mov     r1, #0xa0
        add     r2, r0, #0x400
        strb    r1, [r2, #TIMER_INTERRUPT]
        strb    r1, [r2, #UART_INTERRUPT]
        strb    r1, [r2, #KEYBOARD_INTERRUPT]
        mov     r1, #1
        add     r2, r0, #0x800
        strb    r1, [r2, #UART_INTERRUPT]
        strb    r1, [r2, #KEYBOARD_INTERRUPT]
        str     r1, [r0]
        set     r0, GIC_INTERFACE
        mov     r2, #0xf0
        str     r2, [r0, #4]
        str     r1, [r0]
        bx      lr

@ The virtual timer, 100 times a second.
        .globl timer_init
timer_init:
        mrc     p15, 0, r0, c14, c0, 0
        mov     r1, #TICKS_PER_SECOND
        udiv    r0, r0, r1
        set     r1, period
        str     r0, [r1]
        mrrc    p15, 1, r2, r3, c14
        adds    r2, r2, r0
        adc     r3, r3, #0
        mcrr    p15, 3, r2, r3, c14
        mov     r0, #1
        mcr     p15, 0, r0, c14, c3, 1
        isb
        bx      lr

@ timer_take: the next tick, one period after this one. Called by its interrupt.
        .globl timer_take
timer_take:
        set     r0, period
        ldr     r0, [r0]
        mrrc    p15, 3, r2, r3, c14
        adds    r2, r2, r0
        adc     r3, r3, #0
        mcrr    p15, 3, r2, r3, c14
        isb
        bx      lr

@ 8 bits, no FIFOs, an interrupt for each character that comes in.
        .globl serial_init
serial_init:
        set     r0, UART
        mov     r1, #0
        str     r1, [r0, #0x30]
        mov     r1, #0x60
        str     r1, [r0, #0x2c]
        mov     r1, #0x10
        str     r1, [r0, #0x38]
        set     r1, 0x301
        str     r1, [r0, #0x30]
        bx      lr

@ serial_take: everything that has come in goes to the input queue. Called by its interrupt.
        .globl serial_take
serial_take:
        push    {r4, lr}
        set     r4, UART
1:      ldr     r0, [r4, #0x18]
        tst     r0, #0x10
        popne   {r4, pc}
        ldr     r0, [r4]
        and     r0, r0, #0xff
        bl      queue_input
        b       1b

@ The keyboard interface, if there is one (it says 0x50 in its identification): on, with an interrupt for each byte.
        .globl keyboard_init
keyboard_init:
        push    {r4, lr}
        set     r0, (KEYBOARD + 0xfe0)
        bl      probe
        cmp     r0, #0x50
        set     r4, KEYBOARD
        moveq   r1, #0x14
        streq   r1, [r4]
        pop     {r4, pc}

@ keyboard_take: the bytes of scancode set 2; what they type, if anything, goes to the input queue. Called by its
@ interrupt.
        .globl keyboard_take
keyboard_take:
        push    {r4-r6, lr}
        set     r4, KEYBOARD
        set     r5, shifted
1:      ldr     r0, [r4, #4]
        tst     r0, #0x10
        popeq   {r4-r6, pc}
        ldr     r0, [r4, #8]
        ldrb    r1, [r5, #1]            @ the byte before was the prefix of a release
        mov     r2, #0
        strb    r2, [r5, #1]
        cmp     r0, #0xf0
        moveq   r2, #1
        strbeq  r2, [r5, #1]
        beq     1b
        cmp     r0, #0x12               @ the two shift keys
        cmpne   r0, #0x59
        eoreq   r1, r1, #1
        strbeq  r1, [r5]
        beq     1b
        cmp     r1, #0
        bne     1b
        cmp     r0, #KEYMAP_SIZE
        bhs     1b
        ldrb    r1, [r5]
        set     r2, keymap
        cmp     r1, #0
        set     r1, keymap_shifted
        movne   r2, r1
        ldrb    r0, [r2, r0]
        bl      queue_input
        b       1b

@ queue_input: the character in r0, unless it is 0 or the queue is full. When it came is mixed into the fingerprint.
queue_input:
        push    {r4, lr}
        cmp     r0, #0
        popeq   {r4, pc}
        set     r1, input_head
        ldr     r2, [r1]
        ldr     r3, [r1, #4]
        add     r4, r2, #1
        and     r4, r4, #(INPUT_SIZE - 1)
        cmp     r4, r3
        popeq   {r4, pc}
        add     r3, r1, #8
        strb    r0, [r3, r2]
        str     r4, [r1]
        mrrc    p15, 1, r2, r3, c14
        adds    r0, r0, r2
        adc     r1, r3, #0
        bl      fingerprint_add
        pop     {r4, pc}

@ get_input: the next character in r0, or -1 when none has come until tick r0.
        .globl get_input
get_input:
        set     r1, input_head
        set     r3, ticks
1:      cpsid   i
        ldr     r2, [r1, #4]
        ldr     r12, [r1]
        cmp     r2, r12
        bne     2f
        ldr     r12, [r3]
        cmp     r12, r0
        movhs   r0, #-1
        bhs     3f
        wfi
        cpsie   i
        b       1b
2:      add     r12, r1, #8
        ldrb    r0, [r12, r2]
        add     r2, r2, #1
        and     r2, r2, #(INPUT_SIZE - 1)
        str     r2, [r1, #4]
3:      cpsie   i
        bx      lr

@ fingerprint_add: mix r1:r0 into a 64-bit FNV-1a hash of everything that came from outside.
        .globl fingerprint_add
fingerprint_add:
        push    {r4, r5}
        set     r12, fingerprint
        ldrd    r2, r3, [r12]
        eor     r2, r2, r0
        eor     r3, r3, r1
        set     r4, 0x1b3
        umull   r0, r1, r2, r4
        mla     r1, r3, r4, r1
        add     r1, r1, r2, lsl #8
        strd    r0, r1, [r12]
        pop     {r4, r5}
        bx      lr

@ rtc_read: year, month, day, hour, minute, second into rtc_fields (6 words). The clock counts seconds since 1970.
        .globl rtc_read
rtc_read:
        push    {r4-r8, lr}
        set     r0, RTC
        ldr     r0, [r0]
        set     r8, rtc_fields
        mov     r1, #60
        udiv    r2, r0, r1
        mls     r3, r2, r1, r0
        str     r3, [r8, #20]
        udiv    r0, r2, r1
        mls     r3, r0, r1, r2
        str     r3, [r8, #16]
        mov     r1, #24
        udiv    r2, r0, r1
        mls     r3, r2, r1, r0
        str     r3, [r8, #12]
        set     r0, 719468              @ days from the first of March of the year 0
        add     r0, r0, r2
        set     r1, 146097
        udiv    r2, r0, r1              @ era of 400 years
        mls     r3, r2, r1, r0          @ day of the era
        set     r4, 1460
        udiv    r5, r3, r4
        set     r4, 36524
        udiv    r6, r3, r4
        sub     r7, r3, r5
        add     r7, r7, r6
        set     r4, 146096
        udiv    r5, r3, r4
        sub     r7, r7, r5
        set     r4, 365
        udiv    r7, r7, r4              @ year of the era
        mov     r5, #400
        mla     r5, r2, r5, r7
        mul     r0, r7, r4
        add     r0, r0, r7, lsr #2
        mov     r4, #100
        udiv    r1, r7, r4
        sub     r0, r0, r1
        sub     r0, r3, r0              @ day of the year
        mov     r1, #5
        mul     r1, r0, r1
        add     r1, r1, #2
        mov     r4, #153
        udiv    r2, r1, r4              @ month, March is 0
        mul     r1, r2, r4
        add     r1, r1, #2
        mov     r4, #5
        udiv    r1, r1, r4
        sub     r0, r0, r1
        add     r0, r0, #1
        str     r0, [r8, #8]
        cmp     r2, #10
        addlo   r2, r2, #3
        subhs   r2, r2, #9
        addhs   r5, r5, #1
        str     r2, [r8, #4]
        str     r5, [r8]
        pop     {r4-r8, pc}

@ property: of the node whose name begins with the text at r0, that with the name at r1: its bytes and their number, or 0.
        .globl property
property:
        push    {r4-r10, lr}
        mov     r8, r0
        mov     r9, r1
        set     r4, device_tree
        ldr     r4, [r4]
        bl      is_tree
        set     r1, RAM                 @ where other loaders put it
        movne   r4, r1
        blne    is_tree
        movne   r0, #0
        popne   {r4-r10, pc}
        ldr     r5, [r4, #8]
        rev     r5, r5
        add     r5, r5, r4              @ structure
        ldr     r6, [r4, #12]
        rev     r6, r6
        add     r6, r6, r4              @ names
        mov     r7, #0                  @ in the node looked for
next_token:
        ldr     r0, [r5], #4
        rev     r0, r0
        cmp     r0, #1
        beq     begin_node
        cmp     r0, #3
        beq     one_property
        cmp     r0, #9
        moveq   r0, #0
        popeq   {r4-r10, pc}
        b       next_token
begin_node:
        mov     r0, r8
        mov     r1, r5
        bl      begins
        mov     r7, r0
1:      ldrb    r0, [r5], #1
        cmp     r0, #0
        bne     1b
        add     r5, r5, #3
        bic     r5, r5, #3
        b       next_token
one_property:
        ldrd    r2, r3, [r5], #8
        rev     r10, r2
        rev     r3, r3
        cmp     r7, #0
        beq     2f
        mov     r0, r9
        add     r1, r6, r3
        bl      begins
        cmp     r0, #0
        movne   r0, r5
        movne   r1, r10
        popne   {r4-r10, pc}
2:      add     r5, r5, r10
        add     r5, r5, #3
        bic     r5, r5, #3
        b       next_token

@ Z: a device tree begins at r4 (which lies in RAM).
is_tree:
        lsr     r0, r4, #28
        cmp     r0, #(RAM >> 28)
        bxne    lr
        ldr     r0, [r4]
        set     r1, 0xedfe0dd0
        cmp     r0, r1
        bx      lr

@ begins: whether the text at r1 begins with that at r0.
begins: ldrb    r2, [r0], #1
        ldrb    r3, [r1], #1
        cmp     r2, #0
        moveq   r0, #1
        bxeq    lr
        cmp     r2, r3
        movne   r0, #0
        bxne    lr
        b       begins

@ power_off: by the firmware.
        .globl power_off
power_off:
        cpsid   if
        set     r0, SYSTEM_OFF
        .arch_extension virt
        hvc     #0
1:      wfi
        b       1b

        .section .rodata
@ Scancode set 2.
keymap:
        .byte 0,0,0,0,0,0,0,0,0,0,0,0,0
        .ascii "\t`"
        .byte 0,0,0,0,0,0
        .ascii "q1"
        .byte 0,0,0
        .ascii "zsaw2"
        .byte 0,0
        .ascii "cxde43"
        .byte 0,0
        .ascii " vftr5"
        .byte 0,0
        .ascii "nbhgy6"
        .byte 0,0,0
        .ascii "mju78"
        .byte 0,0
        .ascii ",kio09"
        .byte 0,0
        .ascii "./l;p-"
        .byte 0,0,0
        .ascii "'"
        .byte 0
        .ascii "[="
        .byte 0,0,0,0
        .ascii "\n]"
        .byte 0
        .ascii "\\"
        .byte 0,0,0,0,0,0,0,0
        .ascii "\b"
        .equ KEYMAP_SIZE, . - keymap
keymap_shifted:
        .byte 0,0,0,0,0,0,0,0,0,0,0,0,0
        .ascii "\t~"
        .byte 0,0,0,0,0,0
        .ascii "Q!"
        .byte 0,0,0
        .ascii "ZSAW@"
        .byte 0,0
        .ascii "CXDE$#"
        .byte 0,0
        .ascii " VFTR%"
        .byte 0,0
        .ascii "NBHGY^"
        .byte 0,0,0
        .ascii "MJU&*"
        .byte 0,0
        .ascii "<KIO)("
        .byte 0,0
        .ascii ">?L:P_"
        .byte 0,0,0
        .ascii "\""
        .byte 0
        .ascii "{+"
        .byte 0,0,0,0
        .ascii "\n}"
        .byte 0
        .ascii "|"
        .byte 0,0,0,0,0,0,0,0
        .ascii "\b"

        .data
        .balign 8
        .globl fingerprint
fingerprint: .word 0x84222325, 0xcbf29ce4

        .bss
        .balign 4
        .globl rtc_fields
input_head: .space 4                    @ head, tail, then the characters
        .space  4
        .space  INPUT_SIZE
rtc_fields: .space 24
period: .space 4
shifted: .space 2                       @ a shift key is down; a release is coming
