/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A firmware of 64 KiB that switches the processor to 64-bit mode, computes there, and tells the result through
 * isa-debug-exit: QEMU then ends with 2 * GOOD + 1. Nothing else is asked of the machine, not even a stack.
 */
#define GOOD	0x2a
#define BAD	0x2b
#define PORT	0xf4
#define BASE	0xf0000			/* where the chipset shows the last 64 KiB of the firmware */
#define TABLES	0x10000			/* three pages of RAM: one level of the page tables each */
#define PRESENT_WRITABLE 3
#define LARGE	0x80
#define EFER	0xc0000080
#define EFER_LME 0x100
#define CR4_PAE	0x20
#define CR0_PG_PE 0x80000001
#define RESULT	0x86898093797b7f87

	.text
	.code16
	.org	0
real:
	cli
	lgdtl	%cs:gdt_register
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$8, $(BASE + protected)

	.code32
protected:
	movw	$16, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movl	$TABLES, %edi		/* the first 2 MiB, mapped to themselves */
	xorl	%eax, %eax
	movl	$(3 * 4096 / 4), %ecx
	cld
	rep stosl
	movl	$(TABLES + 0x1000 + PRESENT_WRITABLE), TABLES
	movl	$(TABLES + 0x2000 + PRESENT_WRITABLE), TABLES + 0x1000
	movl	$(LARGE + PRESENT_WRITABLE), TABLES + 0x2000
	movl	$TABLES, %eax
	movl	%eax, %cr3
	movl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	$CR0_PG_PE, %eax
	movl	%eax, %cr0
	ljmpl	$24, $(BASE + long_mode)

	.code64
long_mode:
	movabsq	$0xfedcba9876543210, %rax	/* a loop that only 64-bit registers get right */
	xorq	%rbx, %rbx
	movl	$100000, %ecx
1:	addq	%rax, %rbx
	rolq	$7, %rbx
	decq	%rcx
	jnz	1b
	movabsq	$RESULT, %rax
	cmpq	%rax, %rbx
	movb	$GOOD, %al
	je	2f
	movb	$BAD, %al
2:	outb	%al, $PORT
3:	hlt
	jmp	3b

	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9a000000ffff	/*  8: code, 32 bits, everything */
	.quad	0x00cf92000000ffff	/* 16: data */
	.quad	0x00af9a000000ffff	/* 24: code, 64 bits */
gdt_register:
	.word	. - gdt - 1
	.long	BASE + gdt

	.org	0xfff0
	.code16
reset:
	ljmp	$(BASE >> 4), $real
	.org	0x10000
