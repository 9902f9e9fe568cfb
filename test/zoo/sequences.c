/*
 * Threads that do little else than restartable sequences (rseq(2)): each adds to the counter of the CPU it is on, without a lock.
 * One that goes on with a sequence on another CPU, or after somebody else's, loses what another thread has added.
 *
 *   sequences KIND FILE
 */
#include "owner.h"
#include <pthread.h>
#include <sched.h>

enum { THREADS = 4, CPUS = 1024, ROUNDS = 1000000 };
static struct { uint64_t count, unused[7]; } counters[CPUS] __attribute__((aligned(64)));
static pthread_barrier_t barrier;

/* 0 when it was aborted. What is between 1: and 2: is the sequence, and its last instruction commits. */
static inline int add_one(struct rseq *area)
{
	uint32_t cpu = *(volatile uint32_t *)&area->cpu_id_start;
	__asm__ goto(
		".pushsection __rseq_cs, \"aw\"\n.balign 32\n3: .long 0, 0\n.quad 1f, 2f - 1f, 4f\n.popsection\n"
		"leaq 3b(%%rip), %%rax\n movq %%rax, %1\n"
		"1: cmpl %0, %2\n jnz %l[aborted]\n"
		"movq (%3), %%rax\n"
		".rept 200\n nop\n .endr\n"
		"addq $1, %%rax\n movq %%rax, (%3)\n2:\n"
		".pushsection __rseq_failure, \"ax\"\n.byte 0x0f, 0xb9, 0x3d\n.long 0x53053053\n4: jmp %l[aborted]\n.popsection\n"
		:: "r"(cpu), "m"(area->rseq_cs), "m"(area->cpu_id), "r"(&counters[cpu].count)
		: "memory", "cc", "rax" : aborted);
	return 1;
aborted:
	return 0;
}

static void *add(void *first)
{
	struct self self;
	settle(&self, (intptr_t)first);
	if (!self.sequence) exit(3);
	for (uint64_t goal = 0;;) {
		for (int done = 0; done < ROUNDS;) {
			done += add_one(self.sequence);
			for (volatile int i = 0; i < 40; i++) ; /* not all of the time */
		}
		goal += (uint64_t)THREADS * ROUNDS;
		pthread_barrier_wait(&barrier);
		if (!first) {
			uint64_t sum = 0;
			for (int cpu = 0; cpu < CPUS; cpu++) sum += counters[cpu].count;
			if (sum != goal) BROKEN(goal - sum);
			report->ticks++;
		}
		check(&self);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	begin(argc, argv);
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (intptr_t i = 1; i < THREADS; i++) pthread_create(&thread, NULL, add, (void *)i);
	report->ready = 1;
	add(NULL);
}
