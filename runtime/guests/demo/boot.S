# Entry in 32-bit protected mode as the Multiboot specification 0.6.96 (3.2) says: flat segments, paging and interrupts
# off. Builds page tables, switches to long mode, and goes to the kernel proper.
.include "layout.inc"
.include "multiboot.inc"

    .text
    .code32
    .globl _start
_start:
    cli
    cld
    mov $kernel_stack_top, %esp
    mov %eax, loader_magic
    mov %ebx, loader_info

# The first GiB maps to itself in 2 MiB pages, for the kernel only.
    movl $page_directory_pointers + 7, page_map                  # present, writable, user: decided further down
    movl $kernel_directory + 3, page_directory_pointers
    mov $kernel_directory, %edi
    mov $0x83, %eax                                              # present, writable, 2 MiB
    mov $512, %ecx
1:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b

# The second GiB is ring 3: its text in read-only 4 KiB pages, one stack page a task that cannot be executed.
    movl $user_directory + 7, page_directory_pointers + 8
    movl $user_text_table + 7, user_directory
    mov $user_text_table, %edi
    mov $user_load + 5, %eax                                     # present, read-only, user
    mov $user_pages, %ecx
2:  mov %eax, (%edi)
    add $PAGE, %eax
    add $8, %edi
    loop 2b
    mov $user_text_table + 8 * (USER_STACKS - USER_TEXT) / PAGE, %edi
    mov $user_stacks + 7, %eax
    mov $USER_TASKS, %ecx
3:  mov %eax, (%edi)
    movl $0x80000000, 4(%edi)                                    # no-execute
    add $PAGE, %eax
    add $8, %edi
    loop 3b

# Long mode (SDM volume 3, 10.8.5): PAE and SSE, CR3, EFER (SYSCALL, LME, NXE), then paging with write protection.
    mov %cr4, %eax
    or $0x620, %eax
    mov %eax, %cr4
    mov $page_map, %eax
    mov %eax, %cr3
    mov $0xC0000080, %ecx
    rdmsr
    or $0x901, %eax
    wrmsr
    mov %cr0, %eax
    and $~0x4, %eax                                              # no x87 emulation
    or $0x80010023, %eax                                         # PG, WP, NE, MP, PE
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $KERNEL_CODE, $long_mode

    .code64
long_mode:
    mov $KERNEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov $kernel_stack_top, %esp
    fninit
    call main
    jmp power_off

    .data
    .balign 16
    .globl gdt_task_state
gdt:
    .quad 0
    .quad 0x00AF9B000000FFFF         # kernel code, 64-bit
    .quad 0x00CF93000000FFFF         # kernel data
    .quad 0x00CFF3000000FFFF         # user data
    .quad 0x00AFFB000000FFFF         # user code, 64-bit
gdt_task_state:
    .quad 0, 0                       # its base is filled in later
gdt_end:

    .balign 4
gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt, 0

    .globl loader_magic, loader_info
loader_magic: .long 0
loader_info:  .long 0

    .bss
    .balign PAGE
page_map:                .skip PAGE
page_directory_pointers: .skip PAGE
kernel_directory:        .skip PAGE
user_directory:          .skip PAGE
user_text_table:         .skip PAGE
user_stacks:             .skip PAGE * USER_TASKS
kernel_stack:            .skip 2 * PAGE
kernel_stack_top:
