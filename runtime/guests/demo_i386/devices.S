# The PC's devices: interrupt controller, timer, keyboard, clock, random numbers, power.
.include "layout.inc"

.include "devices.inc"

# When a character (ecx) came is mixed into the fingerprint.
note_input:
    rdtsc
    add %ecx, %eax
    jmp fingerprint_add

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

    .data
    .balign 4
    .globl fingerprint
fingerprint: .long 0x811C9DC5
