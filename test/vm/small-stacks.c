/*
 * An owner whose thread runs on a small stack with somebody else's data right below it.
 *
 *   small-stacks KIND FILE
 *
 * KIND is where the stack is: an alternate signal stack in .bss (bss), on the heap (heap) or in an array of a function that is
 * being executed (array), or a coroutine's in such an array (coroutine). FILE is a report as victim.c writes it.
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

enum { WORDS = 1024, STACK = 16384 };
struct place { volatile uint64_t data[WORDS]; char stack[STACK]; };

static struct report *report;
static struct place *place, in_bss;
static int size = STACK;

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

static void wait_on_coroutine(void)
{
	for (;;) poll(NULL, 0, 20);
}

static void run_coroutine(void)
{
	static ucontext_t here, there;
	start_counting();
	getcontext(&there);
	there.uc_stack = (stack_t){.ss_sp = place->stack, .ss_size = 4096};
	makecontext(&there, wait_on_coroutine, 0);
	swapcontext(&here, &there);
}

int main(int argc, char **argv)
{
	struct place in_array;
	const char *kind = argv[1];
	int file = open(argv[2], O_RDWR | O_CLOEXEC);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc != 3 || ftruncate(file, sizeof *report)) return 1;
	report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	report->vm_fd = ioctl(open("/dev/kvm", O_RDWR | O_CLOEXEC), KVM_CREATE_VM, 0);
	/* as small as the kernel's own signal frame allows */
	size = getauxval(AT_MINSIGSTKSZ) + 1024;
	if (size < 4096) size = 4096;
	memset(&in_array, 0, sizeof in_array);
	place = !strcmp(kind, "bss") ? &in_bss : !strcmp(kind, "heap") ? calloc(1, sizeof *place) : &in_array;
	if (!strcmp(kind, "coroutine")) run_coroutine();
	take_alarms();
}
