/*
 * Reset: QEMU's reset vector jumps here (0x80000000) in machine mode, every hart, with RAM loaded
 * from the ELF. Hart 0 sets up gp, stack and .bss and calls main(); others sleep for ever.
 */
    .section .text.start, "ax"
    .globl _start
    .type _start, @function
_start:
    csrr    t0, mhartid
    bnez    t0, park

    /* With relaxation the assembler would load gp relative to gp itself. */
    .option push
    .option norelax
    la      gp, __global_pointer$
    .option pop

    la      sp, __stack_top
    la      t0, trap_entry
    csrw    mtvec, t0
    csrw    mie, zero

    /* The 4 KiB below the stack: no access, locked, so that it binds machine mode too. */
    la      t0, __stack_guard
    srli    t0, t0, 2
    ori     t0, t0, 0x1FF
    csrw    pmpaddr0, t0
    li      t0, 0x98
    csrw    pmpcfg0, t0

    la      t0, __bss_start
    la      t1, __bss_end
1:  bgeu    t0, t1, 2f
    sw      zero, 0(t0)
    addi    t0, t0, 4
    j       1b

2:  call    main
    /* main() of a board does not return; if it does, the hart sleeps. */
park:
    wfi
    j       park
    .size _start, . - _start

/*
 * Any trap is a fault here: interrupts are only ever polled (idle.c). The stack may be what is
 * broken, so the report runs on the top of it again; nothing returns from here.
 */
    .align 2
    .globl trap_entry
    .type trap_entry, @function
trap_entry:
    la      sp, __stack_top
    csrr    a0, mcause
    csrr    a1, mepc
    csrr    a2, mtval
    call    trap_report
    j       park
    .size trap_entry, . - trap_entry
