/*
 * An owner of a VM that checks itself all the time, for the tests of src/owner/inject.
 *
 *   victim MODE FILE [OPTION...]
 *
 * FILE holds a struct report, which the victim writes and the test reads. MODE says what the first thread does, for ever:
 *   spin       compares its general, vector and control registers and its red zone
 *   poll ppoll nanosleep futex epoll read sigwait   waits in that call, and checks what it returns and that it did not
 *              return too early
 *   clock      reads the clock while it is told to, and reports the longest time between two readings
 *   signals    does nothing, while a timer of 10 kHz and queued signals come
 *   small      waits in poll on a stack of half a page with a guard page below it
 *   vcpu       runs a vCPU that never leaves the guest
 * OPTION:
 *   threads    two more threads, that count
 *   vcpus      one more thread, that runs a vCPU
 *   execs      one more thread, that executes sleep when it is told to
 *   undumpable not dumpable
 *   unreadable its C library's code may be executed only, not read
 *   filtered   a seccomp filter that kills for anything but what the mode needs
 *   mute       the same, and rt_sigreturn kills too
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include "registers.h"

struct report {
	volatile uint64_t ready, vm_fd;
	volatile uint64_t ticks;	/* rounds of the first thread */
	volatile uint64_t broken;	/* line of this file that found something wrong */
	volatile uint64_t detail;
	volatile uint64_t interrupted;	/* EINTR of calls that fail so when a process is stopped, see signal(7) */
	volatile uint64_t longest;	/* ns */
	volatile uint64_t expirations, queued, handlers;
	volatile uint64_t others[2];	/* rounds of the other threads */
	volatile uint64_t measure;	/* by the test, 1: begin to look at the clock, 0: end */
};

static struct report *report;
static const char *mode, *filter_program;

static void filter(int sigreturn_too);

#define BROKEN(value) do { if (!report->broken) { report->detail = (uint64_t)(value); report->broken = __LINE__; } } while (0)

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static stack_t alternate;
static sigset_t blocked;

/* What rt_sigreturn and a wrong way back could change beside registers. */
static void check_signal_state(void)
{
	stack_t stack;
	sigset_t set;
	sigaltstack(NULL, &stack);
	if (stack.ss_sp != alternate.ss_sp || stack.ss_size != alternate.ss_size || stack.ss_flags != alternate.ss_flags)
		BROKEN(stack.ss_sp);
	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, NULL, &set);
	for (int signal = 1; signal < 64; signal++)
		if (sigismember(&set, signal) != sigismember(&blocked, signal)) BROKEN(signal);
}

static void spin(void)
{
	uint32_t mxcsr = 0x7fa0, mxcsr_found; /* rounds to zero, and has seen an inexact result */
	uint16_t control = 0x0a7f, control_found;
	__asm__ volatile("ldmxcsr %0; fldcw %1" :: "m"(mxcsr), "m"(control));
	for (;;) {
		int lost = lost_in_loop(2000000);
		if (lost) BROKEN(lost);
		__asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr_found), "=m"(control_found));
		if (mxcsr_found != mxcsr || control_found != control) BROKEN(mxcsr_found);
		check_signal_state();
		report->ticks++;
	}
}

/* ---- waiting ---- */

#define WAIT_NS 30000000ull
static const struct timespec WAIT = {0, WAIT_NS};

static void late_enough(uint64_t begin)
{
	if (now() - begin < WAIT_NS) BROKEN(now() - begin);
}

static void wait_for_ever(void)
{
	int pipes[2], epoll = epoll_create1(EPOLL_CLOEXEC);
	uint32_t word = 1;
	sigset_t none, usr1;
	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR2);
	if (pipe2(pipes, O_CLOEXEC)) exit(1);
	int is_read = !strcmp(mode, "read");
	if (is_read && fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (uint8_t byte = 0;; byte++) { nanosleep(&WAIT, NULL); if (write(pipes[1], &byte, 1) != 1) _exit(0); }
	}
	if (filter_program) filter(!strcmp(filter_program, "mute"));
	report->ready = 1;
	for (uint8_t byte = 0;; byte++) {
		uint64_t begin = now();
		if (is_read) {
			uint8_t found = byte + 1;
			ssize_t n = read(pipes[0], &found, 1);
			if (n != 1 || found != byte) BROKEN(errno);
		} else if (!strcmp(mode, "poll")) {
			int r = poll(NULL, 0, WAIT_NS / 1000000);
			if (r) BROKEN(errno); else late_enough(begin);
		} else if (!strcmp(mode, "ppoll")) {
			int r = ppoll(NULL, 0, &WAIT, &none);
			if (r) BROKEN(errno); else late_enough(begin);
		} else if (!strcmp(mode, "nanosleep")) {
			int r = clock_nanosleep(CLOCK_MONOTONIC, 0, &WAIT, NULL);
			if (r) BROKEN(r); else late_enough(begin);
		} else if (!strcmp(mode, "futex")) {
			long r = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, &WAIT, NULL, 0);
			if (r != -1 || errno != ETIMEDOUT) {
				if (r == -1 && errno == EINTR) report->interrupted++; else BROKEN(errno);
			} else late_enough(begin);
		} else if (!strcmp(mode, "epoll")) {
			struct epoll_event event;
			int r = epoll_wait(epoll, &event, 1, WAIT_NS / 1000000);
			if (r == -1 && errno == EINTR) report->interrupted++;
			else if (r) BROKEN(errno); else late_enough(begin);
		} else if (!strcmp(mode, "sigwait")) {
			int r = sigtimedwait(&usr1, NULL, &WAIT);
			if (r == -1 && errno == EINTR) report->interrupted++;
			else if (r != -1 || errno != EAGAIN) BROKEN(errno); else late_enough(begin);
		}
		if (!strcmp(mode, "ppoll")) check_signal_state();
		report->ticks++;
	}
}

/* Not preempted by ordinary processes where that is permitted, and so for no longer than the kernel lets such threads run. */
static void read_clock(void)
{
	sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 10});
	for (;;) {
		while (!report->measure) nanosleep(&(struct timespec){0, 1000000}, NULL);
		uint64_t longest = 0;
		for (uint64_t begin = now(), last = begin, t; report->measure && (t = now()) - begin < 800000000; last = t) {
			if (t - last > longest) longest = t - last;
			report->ticks++;
		}
		report->longest = longest;
		report->measure = 0;
	}
}

/* ---- signals ---- */

static char *stack_low, *stack_high;

static void on_signal(int signal, siginfo_t *info, void *context)
{
	volatile uint64_t canary[64];
	char *frame = __builtin_frame_address(0);
	if (frame < stack_low || frame > stack_high) BROKEN(frame);
	if ((char *)context < stack_low || (char *)context > stack_high) BROKEN(context);
	for (int i = 0; i < 64; i++) canary[i] = report->handlers + i;
	if (signal == SIGALRM) report->expirations += 1 + info->si_overrun;
	else if ((uint64_t)info->si_value.sival_int != report->queued) BROKEN(info->si_value.sival_int);
	else report->queued++;
	for (int i = 0; i < 64; i++) if (canary[i] != report->handlers + i) BROKEN(i);
	report->handlers++;
}

static void take_signals(void)
{
	pthread_attr_t attributes;
	void *low;
	size_t size;
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	struct itimerspec every = {{0, 100000}, {0, 100000}};
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
	pthread_getattr_np(pthread_self(), &attributes);
	pthread_attr_getstack(&attributes, &low, &size);
	stack_low = low;
	stack_high = stack_low + size;
	sigfillset(&action.sa_mask);
	sigaction(SIGALRM, &action, NULL);
	sigaction(SIGRTMIN, &action, NULL);
	timer_create(CLOCK_MONOTONIC, &event, &timer);
	timer_settime(timer, 0, &every, NULL);
	pid_t owner = getpid();
	if (fork() == 0) { /* the kernel refuses more than RLIMIT_SIGPENDING at a time, and none is lost */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int sent = 0;;) {
			if (sigqueue(owner, SIGRTMIN, (union sigval){.sival_int = sent}) == 0) sent++;
			if (sent % 8 == 0) nanosleep(&(struct timespec){0, 500000}, NULL);
		}
	}
	report->longest = now(); /* when the timer was started */
	for (volatile uint64_t x = 0;; x++) if (x % 1000000 == 0) report->ticks++;
}

/* ---- a stack with little room ---- */

static char *around;

static void on_small_stack(void)
{
	for (;;) {
		if (poll(NULL, 0, 30)) BROKEN(errno);
		for (int i = 0; i < 4096; i++) if (around[i] != 0x5a) BROKEN(i);
		report->ticks++;
	}
}

/* One page of stack, a guard page below it, and somebody else's page below that. */
static void use_small_stack(void)
{
	static ucontext_t here, there;
	poll(NULL, 0, 0); /* the dynamic linker looks it up now, for which half a page is not enough */
	around = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(around, 0x5a, 4096);
	mprotect(around + 4096, 4096, PROT_NONE);
	getcontext(&there);
	there.uc_stack = (stack_t){.ss_sp = around + 2 * 4096, .ss_size = 2048};
	makecontext(&there, on_small_stack, 0);
	swapcontext(&here, &there);
}

/* ---- threads ---- */

static void *count(void *counter)
{
	for (;;) (*(volatile uint64_t *)counter)++;
	return NULL;
}

static int vm;

static void *run_vcpu(void *unused)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	uint8_t *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = {.memory_size = 4096, .userspace_addr = (uint64_t)memory};
	memory[0] = 0xeb; memory[1] = 0xfe; /* jmp . */
	ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
	int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	struct kvm_run *run = mmap(NULL, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	struct kvm_sregs sregs;
	struct kvm_regs regs = {.rflags = 2};
	ioctl(vcpu, KVM_GET_SREGS, &sregs);
	sregs.cs.base = sregs.cs.selector = 0;
	ioctl(vcpu, KVM_SET_SREGS, &sregs);
	ioctl(vcpu, KVM_SET_REGS, &regs);
	for (;;) {
		report->others[1]++;
		int r = ioctl(vcpu, KVM_RUN, 0);
		if (r == -1 && errno == EINTR) report->interrupted++;
		else BROKEN(r == -1 ? errno : run->exit_reason);
	}
	return unused;
}

static void run_only_vcpu(void) { run_vcpu(NULL); }

static void *doze(void *unused)
{
	nanosleep(&(struct timespec){0, 200000}, NULL);
	return unused;
}

/* Has a few threads that each live for a moment. */
static void *churn(void *unused)
{
	for (;;) {
		pthread_t dozing[8];
		for (int i = 0; i < 8; i++) pthread_create(&dozing[i], NULL, doze, NULL);
		for (int i = 0; i < 8; i++) pthread_join(dozing[i], NULL);
	}
	return unused;
}

static void *execute(void *unused)
{
	while (!report->measure) nanosleep(&(struct timespec){0, 1000000}, NULL);
	execl("/bin/sleep", "sleep", "1000", NULL);
	return unused;
}

/* ---- seccomp ---- */

static void filter(int sigreturn_too)
{
#define ALLOW(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_poll), ALLOW(SYS_clock_nanosleep), ALLOW(SYS_restart_syscall), ALLOW(SYS_clock_gettime),
		ALLOW(SYS_rt_sigprocmask), ALLOW(SYS_sigaltstack), ALLOW(SYS_exit_group),
		ALLOW(sigreturn_too ? SYS_exit_group : SYS_rt_sigreturn),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = {sizeof code / sizeof *code, code};
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) { perror("seccomp"); exit(1); }
}

/* What Linux takes from a page of code is the reading of it by system calls. */
static void hide_code(void)
{
	char line[512], rights[8];
	unsigned long start, end;
	FILE *maps = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof line, maps))
		if (sscanf(line, "%lx-%lx %7s", &start, &end, rights) == 3 && rights[2] == 'x' && strstr(line, "/libc"))
			if (mprotect((void *)start, end - start, PROT_EXEC)) exit(1);
	fclose(maps);
}

int main(int argc, char **argv)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing is left of a test that is interrupted */
	mode = argv[1];
	int file = open(argv[2], O_RDWR | O_CLOEXEC);
	if (ftruncate(file, sizeof *report)) return 1;
	report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	report->vm_fd = vm;

	alternate = (stack_t){.ss_sp = malloc(65536), .ss_size = 65536};
	sigaltstack(&alternate, NULL);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR2);
	sigaddset(&blocked, SIGHUP);
	sigprocmask(SIG_SETMASK, &blocked, NULL);

	pthread_t thread;
	for (int i = 3; i < argc; i++) {
		if (!strcmp(argv[i], "threads"))
			for (int t = 0; t < 2; t++) pthread_create(&thread, NULL, count, (void *)&report->others[t]);
		if (!strcmp(argv[i], "vcpus")) pthread_create(&thread, NULL, run_vcpu, NULL);
		if (!strcmp(argv[i], "churns")) pthread_create(&thread, NULL, churn, NULL);
		if (!strcmp(argv[i], "execs")) pthread_create(&thread, NULL, execute, NULL);
		if (!strcmp(argv[i], "undumpable")) prctl(PR_SET_DUMPABLE, 0);
		if (!strcmp(argv[i], "unreadable")) hide_code();
		if (!strcmp(argv[i], "filtered") || !strcmp(argv[i], "mute")) filter_program = argv[i];
	}
	void (*first)(void) = wait_for_ever;
	if (!strcmp(mode, "spin")) first = spin;
	if (!strcmp(mode, "clock")) first = read_clock;
	if (!strcmp(mode, "signals")) first = take_signals;
	if (!strcmp(mode, "vcpu")) first = run_only_vcpu;
	if (!strcmp(mode, "small")) first = use_small_stack;
	if (first != wait_for_ever) report->ready = 1;
	first();
}
