# The PC's devices: interrupt controller, timer, keyboard, clock, random numbers, power.
.include "layout.inc"

    .code64
.include "devices.inc"

# When a character (ecx) came is mixed into the fingerprint.
note_input:
    call time_stamp
    lea (%rax, %rcx), %rdi
    jmp fingerprint_add

# time_stamp: the processor's cycle counter in rax.
    .globl time_stamp
time_stamp:
    rdtsc
    shl $32, %rdx
    or %rdx, %rax
    ret

# get_input: the next character in eax, or -1 when none has come until tick rdi.
    .globl get_input
get_input:
    cli
    mov input_tail, %ecx
    cmp input_head, %ecx
    jne 1f
    mov $-1, %eax
    cmp ticks, %rdi
    jbe 2f
    sti                              # takes effect after hlt has begun to wait, so no interrupt is missed
    hlt
    jmp get_input
1:  movzbl input(%rcx), %eax
    inc %ecx
    and $INPUT_SIZE - 1, %ecx
    mov %ecx, input_tail
2:  sti
    ret

# fingerprint_add: mix rdi into a 64-bit FNV-1a hash of everything that came from outside.
    .globl fingerprint_add
fingerprint_add:
    mov fingerprint, %rax
    xor %rdi, %rax
    movabs $0x100000001B3, %rcx
    imul %rcx, %rax
    mov %rax, fingerprint
    ret

# rtc_read: the CMOS clock's year, month, day, hour, minute, second into rtc_fields (6 words), each as a plain number.
    .globl rtc_read
rtc_read:
    push %rbx
    mov $0x0A, %al                   # not while it is being updated
    call cmos
    js rtc_read_again
    mov $0x0B, %al
    call cmos
    mov %al, %bl
    xor %esi, %esi
1:  mov rtc_registers(%rsi), %al
    call cmos
    test $4, %bl                     # binary or BCD
    jnz 2f
    mov %al, %cl
    shr $4, %cl
    and $15, %al
    imul $10, %ecx, %ecx
    add %cl, %al
2:  movzbl %al, %eax
    mov %ax, rtc_fields(, %rsi, 2)
    inc %esi
    cmp $6, %esi
    jb 1b
    addw $2000, rtc_fields
    pop %rbx
    ret
rtc_read_again:
    pop %rbx
    jmp rtc_read
# random: 64 bits of the processor's random number generator in rax, carry set; carry clear when it has none.
    .globl random
random:
    push %rbx
    mov $1, %eax
    xor %ecx, %ecx
    cpuid
    pop %rbx
    bt $30, %ecx
    jnc 2f
1:  rdrand %rax
    jnc 1b
2:  ret

    .data
    .balign 8
    .globl fingerprint
fingerprint: .quad 0xCBF29CE484222325
