/*
 * Whether a thread finds its general, vector and mask registers and its red zone as it left them, over a loop or over a system
 * call.
 */
#ifndef REGISTERS_H
#define REGISTERS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct image { uint64_t general[14], red_zone[16]; uint8_t vectors[32 * 64]; uint64_t mask; } __attribute__((aligned(64)));

/*
 * Loads every register, counts down or makes the call that they are the arguments of, and stores every register: rdi loaded,
 * rsi stored, rdx rounds or 0 for the call, rcx 0 AVX2, 1 AVX-512.
 */
void carry(const struct image *loaded, struct image *stored, uint64_t rounds, uint64_t wide);
__asm__(
	".text\n.globl carry\ncarry:\n"
	"push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15; push %rsi; push %rcx\n"
	"test %rcx, %rcx; jnz 1f\n"
	".set i, 0\n.macro LOADY n\nvmovups 240+64*\\n(%rdi), %ymm\\n\n.endm\n"
	".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\nLOADY \\n\n.endr\n"
	"jmp 2f\n1:\n"
	".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
	"vmovups 240+64*\\n(%rdi), %zmm\\n\n.endr\n"
	"kmovw 2288(%rdi), %k5\n2:\n"
	"mov %rdx, %rcx\n"
	".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"mov 112+8*\\n(%rdi), %rax; mov %rax, -8-8*\\n(%rsp)\n.endr\n"
	"mov 0(%rdi), %rax; mov 8(%rdi), %rbx; mov 16(%rdi), %rdx; mov 24(%rdi), %rsi; mov 40(%rdi), %rbp\n"
	"mov 48(%rdi), %r8; mov 56(%rdi), %r9; mov 64(%rdi), %r10; mov 72(%rdi), %r11; mov 80(%rdi), %r12\n"
	"mov 88(%rdi), %r13; mov 96(%rdi), %r14; mov 104(%rdi), %r15; mov 32(%rdi), %rdi\n"
	"test %rcx, %rcx; jz 6f; 3: dec %rcx; jnz 3b; jmp 7f; 6: syscall; 7:\n"
	"mov 8(%rsp), %rcx\n"
	"mov %rax, 0(%rcx); mov %rbx, 8(%rcx); mov %rdx, 16(%rcx); mov %rsi, 24(%rcx); mov %rdi, 32(%rcx); mov %rbp, 40(%rcx)\n"
	"mov %r8, 48(%rcx); mov %r9, 56(%rcx); mov %r10, 64(%rcx); mov %r11, 72(%rcx); mov %r12, 80(%rcx)\n"
	"mov %r13, 88(%rcx); mov %r14, 96(%rcx); mov %r15, 104(%rcx)\n"
	".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"mov -8-8*\\n(%rsp), %rax; mov %rax, 112+8*\\n(%rcx)\n.endr\n"
	"cmpq $0, (%rsp); jnz 4f\n"
	".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"vmovups %ymm\\n, 240+64*\\n(%rcx)\n.endr\n"
	"jmp 5f\n4:\n"
	".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
	"vmovups %zmm\\n, 240+64*\\n(%rcx)\n.endr\n"
	"kmovw %k5, 2288(%rcx)\n5:\n"
	"vzeroupper\n"
	"pop %rcx; pop %rsi; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp\nret\n");

_Static_assert(offsetof(struct image, red_zone) == 112 && offsetof(struct image, vectors) == 240 &&
	offsetof(struct image, mask) == 2288, "as in the assembly");

/* In the order of the image. */
enum { RAX, RBX, RDX, RSI, RDI, RBP, R8, R9, R10, R11, R12, R13, R14, R15 };

static void fill_image(struct image *image)
{
	for (size_t i = 0; i < sizeof *image; i++) ((uint8_t *)image)[i] = i * 37 + 11;
	image->mask = 0xa5c3;
}

/* 0, or which one is not as it was: 1 + a general register, 101 the red zone, 201 + a vector register, 301 the mask. */
static int compare_images(const struct image *loaded, const struct image *stored, uint64_t wide, int is_call)
{
	for (int i = 0; i < 14; i++) /* a call answers in rax, and takes r11 */
		if (loaded->general[i] != stored->general[i] && !(is_call && (i == RAX || i == R11))) return 1 + i;
	if (memcmp(loaded->red_zone, stored->red_zone, sizeof loaded->red_zone)) return 101;
	for (int i = 0; i < (wide ? 32 : 16); i++)
		if (memcmp(loaded->vectors + 64 * i, stored->vectors + 64 * i, wide ? 64 : 32)) return 201 + i;
	return wide && loaded->mask != stored->mask ? 301 : 0;
}

static inline int lost_in_loop(uint64_t rounds)
{
	struct image loaded, stored;
	uint64_t wide = __builtin_cpu_supports("avx512f") != 0;
	fill_image(&loaded);
	memset(&stored, 0, sizeof stored);
	carry(&loaded, &stored, rounds, wide);
	return compare_images(&loaded, &stored, wide, 0);
}

/* The answer as the kernel gives it, so that -EINTR is one. */
static inline int lost_in_call(long *answer, long number, long a, long b, long c, long d, long e, long f)
{
	struct image loaded, stored;
	uint64_t wide = __builtin_cpu_supports("avx512f") != 0;
	fill_image(&loaded);
	loaded.general[RAX] = number;
	loaded.general[RDI] = a;
	loaded.general[RSI] = b;
	loaded.general[RDX] = c;
	loaded.general[R10] = d;
	loaded.general[R8] = e;
	loaded.general[R9] = f;
	memset(&stored, 0, sizeof stored);
	carry(&loaded, &stored, 0, wide);
	*answer = stored.general[RAX];
	return compare_images(&loaded, &stored, wide, 1);
}

#endif
