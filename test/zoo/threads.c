/*
 * Many threads, each of which checks all that it has: registers over loops and over calls, what the kernel keeps of it, and the
 * memory on both sides of its stack.
 *
 *   threads KIND FILE [COUNT]
 *
 * KIND is what they do: busy (a third spins, the others wait), waiting, spinning (no one makes a call for long), or idle (they
 * wait for long).
 */
#include "owner.h"
#include "../owner/inject/registers.h"
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>

enum { PAGE = 4096, STACK = 64 * 1024, MOST = 4096 };

static const char *kind;
static int count = 16;
static volatile uint64_t rounds[MOST];

/* Live data, a stack, live data: a stack that ends in nobody's memory would show less. */
static char *memory;
static char *place_of(int number) { return memory + (size_t)number * (STACK + PAGE); }

static void check_page(int number)
{
	const uint64_t *page = (const uint64_t *)place_of(number);
	for (int i = 0; i < PAGE / 8; i++) if (page[i] != (uint64_t)number * 1000003 + i) BROKEN(number);
}

static void wait_somehow(int number)
{
	static uint32_t word = 1;
	struct timespec time = {0, 20000000 + number % 7 * 1000000};
	long answer = 0;
	int lost;
	/* thousands of them leave an emulated processor time for others */
	if (!strcmp(kind, "idle")) time = (struct timespec){2, number % 97 * 5000000};
	switch (number % 4) {
	case 0:
		lost = lost_in_call(&answer, SYS_poll, 0, 0, time.tv_sec * 1000 + time.tv_nsec / 1000000, 0, 0, 0);
		break;
	case 1:
		lost = lost_in_call(&answer, SYS_futex, (long)&word, FUTEX_WAIT_PRIVATE, 1, (long)&time, 0, 0);
		if (answer == -ETIMEDOUT) answer = 0;
		break;
	case 2:
		lost = lost_in_call(&answer, SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, (long)&time, 0, 0, 0);
		break;
	default:
		lost = lost_in_call(&answer, SYS_ppoll, 0, 0, (long)&time, 0, 8, 0);
	}
	if (lost) BROKEN(lost);
	if (answer) BROKEN(answer);
}

static void *live(void *argument)
{
	int number = (intptr_t)argument;
	struct self self;
	settle(&self, number);
	for (;;) {
		int spins = !strcmp(kind, "spinning") || (!strcmp(kind, "busy") && number % 3 == 2);
		if (spins) {
			int lost = lost_in_loop(!strcmp(kind, "spinning") ? 200000000 : 2000000);
			if (lost) BROKEN(lost);
		} else
			wait_somehow(number);
		check(&self);
		check_page(number);
		check_page(number + 1);
		rounds[number]++;
		if (number) continue;
		/* no one is left behind */
		uint64_t least = UINT64_MAX;
		for (int i = 0; i < count; i++) if (rounds[i] < least) least = rounds[i];
		report->ticks = least;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	begin(argc, argv);
	kind = argv[1];
	if (argc > 3) count = atoi(argv[3]);
	memory = mmap(NULL, (size_t)(count + 1) * (STACK + PAGE), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int number = 0; number <= count; number++)
		for (int i = 0; i < PAGE / 8; i++) ((uint64_t *)place_of(number))[i] = (uint64_t)number * 1000003 + i;
	pthread_attr_t attributes;
	pthread_t thread;
	pthread_attr_init(&attributes);
	for (int number = 1; number < count; number++) {
		pthread_attr_setstack(&attributes, place_of(number) + PAGE, STACK);
		if (pthread_create(&thread, &attributes, live, (void *)(intptr_t)number)) return 3;
	}
	report->ready = 1;
	live(NULL);
}
