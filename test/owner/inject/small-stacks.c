/*
 * An owner whose thread runs on a small stack with somebody else's data right below it.
 *
 *   small-stacks KIND FILE [SIZE]
 *
 * KIND is where the stack is: an alternate signal stack in .bss (bss), on the heap (heap), in a mapping of its own (mmap) or in an
 * array of a function that is being executed (array); of the first thread, which has it in use most of the time, or of another
 * one (other). Or a coroutine's in such an array (coroutine), several in .bss that take turns (coroutines), or one that a thread
 * was given in .bss (thread). FILE is a report as victim.c writes it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

struct report { volatile uint64_t ready, vm_fd, ticks, broken, detail, rest[8]; };

enum { WORDS = 1024, STACK = 1 << 20, COROUTINES = 8 };
struct place { volatile uint64_t data[WORDS]; char stack[STACK]; };

static struct report *report;
static struct place *place, in_bss;
static int size;

/* Counts in the data below the stack, and finds whatever else was written there. */
static void *count(void *unused)
{
	static uint64_t expected[WORDS];
	prctl(PR_SET_NAME, "vcpu0");
	memcpy(expected, (void *)place->data, sizeof expected);
	for (;; report->ticks++)
		for (int i = 0; i < WORDS; i++) {
			if (place->data[i] != expected[i] && !report->broken) {
				report->detail = place->data[i];
				report->broken = i + 1;
			}
			place->data[i] = ++expected[i];
		}
	return unused;
}

/* Most of the time is spent on the alternate stack. */
static void on_alarm(int signal)
{
	struct timespec begin, now;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	do clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - begin.tv_sec) * 1000000000 + now.tv_nsec - begin.tv_nsec < 900000);
	(void)signal;
}

static void start_counting(void)
{
	pthread_t thread;
	sigset_t alarm;
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	pthread_create(&thread, NULL, count, NULL);
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	report->ready = 1;
}

static void take_alarms(void)
{
	stack_t stack = {.ss_sp = place->stack, .ss_size = size};
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_ONSTACK | SA_RESTART};
	struct itimerval every = {{0, 1000}, {0, 1000}};
	if (sigaltstack(&stack, NULL)) exit(1);
	sigaction(SIGALRM, &action, NULL);
	start_counting();
	setitimer(ITIMER_REAL, &every, NULL);
	for (;;) ;
}

static void *take_alarms_in_thread(void *unused)
{
	take_alarms();
	return unused;
}

static void *wait_in_thread(void *unused)
{
	for (;;) poll(NULL, 0, 20);
	return unused;
}

static ucontext_t contexts[COROUTINES];

/* What each has on its stack stays there while the others run. */
static void wait_on_coroutine(int number, int count)
{
	volatile uint64_t own[64];
	for (uint64_t round = 0;; round++) {
		for (int i = 0; i < 64; i++) own[i] = round * 64 + number + i;
		poll(NULL, 0, count > 1 ? 1 : 20);
		if (count > 1) swapcontext(&contexts[number], &contexts[(number + 1) % count]);
		for (int i = 0; i < 64; i++)
			if (own[i] != round * 64 + number + i && !report->broken) report->broken = 5000 + i;
	}
}

static void run_coroutines(char *stacks, int bytes, int count)
{
	static ucontext_t here;
	start_counting();
	for (int i = 0; i < count; i++) {
		getcontext(&contexts[i]);
		contexts[i].uc_stack = (stack_t){.ss_sp = stacks + (size_t)i * bytes, .ss_size = bytes};
		makecontext(&contexts[i], (void (*)(void))wait_on_coroutine, 2, i, count);
	}
	swapcontext(&here, &contexts[0]);
}

static void give_stack(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	start_counting();
	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, place->stack, size < 32768 ? 32768 : size);
	if (pthread_create(&thread, &attributes, wait_in_thread, NULL)) exit(1);
	for (;;) ;
}

int main(int argc, char **argv)
{
	struct place in_array;
	const char *kind = argv[1];
	pthread_t thread;
	int file = open(argv[2], O_RDWR | O_CLOEXEC);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc < 3 || ftruncate(file, sizeof *report)) return 1;
	report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	report->vm_fd = ioctl(open("/dev/kvm", O_RDWR | O_CLOEXEC), KVM_CREATE_VM, 0);
	/* as small as the kernel's own signal frame allows */
	size = getauxval(AT_MINSIGSTKSZ) + 1024;
	if (size < 4096) size = 4096;
	if (argc > 3 && atoi(argv[3]) > size) size = atoi(argv[3]);
	if (size > STACK) return 1;
	memset(&in_array, 0, sizeof in_array);
	place = !strcmp(kind, "heap") ? calloc(1, sizeof *place) : !strcmp(kind, "array") || !strcmp(kind, "coroutine") ? &in_array : &in_bss;
	if (!strcmp(kind, "mmap"))
		place = mmap(NULL, sizeof *place, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!strcmp(kind, "coroutine")) run_coroutines(place->stack, 4096, 1);
	if (!strcmp(kind, "coroutines")) run_coroutines(place->stack, 8192, COROUTINES);
	if (!strcmp(kind, "thread")) give_stack();
	if (!strcmp(kind, "other")) {
		sigset_t alarm;
		sigemptyset(&alarm);
		sigaddset(&alarm, SIGALRM);
		pthread_create(&thread, NULL, take_alarms_in_thread, NULL);
		pthread_sigmask(SIG_BLOCK, &alarm, NULL);
		wait_in_thread(NULL);
	}
	take_alarms();
}
