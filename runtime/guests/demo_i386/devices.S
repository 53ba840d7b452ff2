# The PC's devices: interrupt controller, timer, keyboard, clock, random numbers, power.
.include "layout.inc"

.set COM1, 0x3F8
.set INPUT_SIZE, 256                 # a power of two

    .text
# Two 8259: vectors 0x20 to 0x2F; timer, keyboard, the second controller and COM1 let through.
    .globl pic_init
pic_init:
    mov $0x11, %al
    out %al, $0x20
    out %al, $0xA0
    mov $0x20, %al
    out %al, $0x21
    mov $0x28, %al
    out %al, $0xA1
    mov $4, %al
    out %al, $0x21
    mov $2, %al
    out %al, $0xA1
    mov $1, %al
    out %al, $0x21
    out %al, $0xA1
    mov $~0x17 & 0xFF, %al
    out %al, $0x21
    mov $0xFF, %al
    out %al, $0xA1
    ret

# 8254 channel 0, mode 2: 1193182 Hz / 11932 = 100 Hz.
    .globl pit_init
pit_init:
    mov $0x34, %al
    out %al, $0x43
    mov $11932 & 0xFF, %al
    out %al, $0x40
    mov $11932 >> 8, %al
    out %al, $0x40
    ret

# i8042: empty it, then the keyboard on, its interrupt on, translation to scancode set 1 on, the mouse off.
    .globl keyboard_init
keyboard_init:
    mov $0xAD, %al
    call controller_command
    mov $0xA7, %al
    call controller_command
1:  in $0x64, %al
    test $1, %al
    jz 2f
    in $0x60, %al
    jmp 1b
2:  mov $0x20, %al
    call controller_command
    call controller_read
    and $~0x32, %al
    or $0x41, %al
    mov %al, %bl
    mov $0x60, %al
    call controller_command
    call controller_ready
    mov %bl, %al
    out %al, $0x60
    mov $0xAE, %al
controller_command:
    mov %al, %cl
    call controller_ready
    mov %cl, %al
    out %al, $0x64
    ret
controller_ready:
    in $0x64, %al
    test $2, %al
    jnz controller_ready
    ret
controller_read:
    in $0x64, %al
    test $1, %al
    jz controller_read
    in $0x60, %al
    ret

# keyboard_take: one scancode; what it types, if anything, goes to the input queue. Called by IRQ 1.
    .globl keyboard_take
keyboard_take:
    in $0x60, %al
    movzbl %al, %eax
    mov %eax, %ecx
    and $0x7F, %ecx
    cmp $0x2A, %ecx                  # the two shift keys
    je 1f
    cmp $0x36, %ecx
    jne 2f
1:  test $0x80, %al
    setz shifted
    ret
2:  cmp $keymap_size, %eax           # releases and prefixes are beyond the table
    jae 3f
    cmpb $0, shifted
    movzbl keymap_shifted(%eax), %ecx
    jnz queue_input
    movzbl keymap(%eax), %ecx
    jmp queue_input
3:  ret

# serial_take: everything that has come in on COM1 goes to the input queue. Called by IRQ 4.
    .globl serial_take
serial_take:
    mov $COM1 + 5, %edx
    in %dx, %al
    test $1, %al
    jz 1f
    mov $COM1, %edx
    in %dx, %al
    movzbl %al, %ecx
    call queue_input
    jmp serial_take
1:  ret

# queue_input: the character in ecx, unless it is 0 or the queue is full. When it came is mixed into the fingerprint.
queue_input:
    jecxz 1f
    mov input_head, %eax
    lea 1(%eax), %edx
    and $INPUT_SIZE - 1, %edx
    cmp input_tail, %edx
    je 1f
    mov %cl, input(%eax)
    mov %edx, input_head
    rdtsc
    add %ecx, %eax
    jmp fingerprint_add
1:  ret

# get_input: the next character in eax, or -1 when none has come until tick eax.
    .globl get_input
get_input:
    cli
    mov input_tail, %ecx
    cmp input_head, %ecx
    jne 1f
    cmp ticks, %eax
    jbe 2f
    sti                              # takes effect after hlt has begun to wait, so no interrupt is missed
    hlt
    jmp get_input
1:  movzbl input(%ecx), %eax
    inc %ecx
    and $INPUT_SIZE - 1, %ecx
    mov %ecx, input_tail
    sti
    ret
2:  mov $-1, %eax
    sti
    ret

# fingerprint_add: mix eax into a 32-bit FNV-1a hash of everything that came from outside.
    .globl fingerprint_add
fingerprint_add:
    xor fingerprint, %eax
    imul $0x01000193, %eax, %eax
    mov %eax, fingerprint
    ret

# rtc_read: the CMOS clock's year, month, day, hour, minute, second into rtc_fields (6 words), each as a plain number.
    .globl rtc_read
rtc_read:
    push %ebx
    push %esi
1:  mov $0x0A, %al                   # not while it is being updated
    call cmos
    js 1b
    mov $0x0B, %al
    call cmos
    mov %al, %bl
    xor %esi, %esi
2:  mov rtc_registers(%esi), %al
    call cmos
    test $4, %bl                     # binary or BCD
    jnz 3f
    mov %al, %ah                     # AAD makes one number of two digits
    shr $4, %ah
    and $15, %al
    aad
3:  movzbl %al, %eax
    mov %ax, rtc_fields(, %esi, 2)
    inc %esi
    cmp $6, %esi
    jb 2b
    addw $2000, rtc_fields
    pop %esi
    pop %ebx
    ret
cmos:
    out %al, $0x70
    in $0x71, %al
    test %al, %al
    ret

# random: 32 bits of the processor's random number generator in eax, carry set; carry clear when it has none.
    .globl random
random:
    push %ebx
    mov $1, %eax
    xor %ecx, %ecx
    cpuid
    pop %ebx
    bt $30, %ecx
    jnc 2f
1:  rdrand %eax
    jnc 1b
2:  ret

# power_off: ACPI sleep state S5 by PM1a control, with the sleep type of this board (5), then that of QEMU's (0).
    .globl power_off
power_off:
    cli
    mov $0x604, %edx
    mov $(5 << 10 | 1 << 13), %eax
    out %ax, %dx
    mov $(0 << 10 | 1 << 13), %eax
    out %ax, %dx
1:  hlt
    jmp 1b

    .section .rodata
rtc_registers: .byte 9, 8, 7, 4, 2, 0
keymap:
    .byte 0, 27
    .ascii "1234567890-=\b\tqwertyuiop[]\n"
    .byte 0
    .ascii "asdfghjkl;'`"
    .byte 0
    .ascii "\\zxcvbnm,./"
    .byte 0, '*', 0, ' '
.set keymap_size, . - keymap
keymap_shifted:
    .byte 0, 27
    .ascii "!@#$%^&*()_+\b\tQWERTYUIOP{}\n"
    .byte 0
    .ascii "ASDFGHJKL:\"~"
    .byte 0
    .ascii "|ZXCVBNM<>?"
    .byte 0, '*', 0, ' '

    .data
    .balign 4
    .globl fingerprint
fingerprint: .long 0x811C9DC5

    .bss
    .balign 4
    .globl rtc_fields
input_head: .skip 4
input_tail: .skip 4
rtc_fields: .skip 12
shifted:    .skip 4
input:      .skip INPUT_SIZE
