/*
 * What the owners of the zoo have in common: the report that the test reads, a VM, and what each thread of theirs looks after.
 *
 *   PROGRAM KIND FILE [OPTION...]
 *
 * FILE is a struct report, as that of victim.c.
 */
#ifndef OWNER_H
#define OWNER_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/rseq.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct report { volatile uint64_t ready, vm_fd, ticks, broken, detail, interrupted, rest[7]; };

static struct report *report;

#define BROKEN(value) do { if (!report->broken) { report->detail = (uint64_t)(value); report->broken = __LINE__; } } while (0)

static inline int make_vm(void)
{
	return ioctl(open("/dev/kvm", O_RDWR | O_CLOEXEC), KVM_CREATE_VM, 0);
}

static inline void on_signal(int signal) { (void)signal; }

static inline void begin(int argc, char **argv)
{
	/* nothing is left of a test that is interrupted */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
#ifndef NO_HANDLER
	/* as every VMM has one, and by that the way back from it is linked into a static program */
	signal(SIGUSR1, on_signal);
#endif
	if (argc < 3) exit(2);
	int file = open(argv[2], O_RDWR | O_CLOEXEC);
	if (ftruncate(file, sizeof *report)) exit(2);
	report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	int vm = make_vm();
	if (vm < 0) exit(2);
	report->vm_fd = vm;
}

static inline uint64_t nanoseconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* What the kernel keeps of a thread beside its registers. */
struct self {
	uint64_t fs, gs, mask;
	stack_t alternate;
	void *robust;
	size_t robust_size;
	void *sequence;
};

#ifdef __GLIBC__
/* of glibc 2.35 and later */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
#endif

/* Registered already by the same call, which the kernel answers with EBUSY. */
static inline int has_sequence(void *sequence)
{
	return syscall(SYS_rseq, sequence, 32, 0, 0x53053053) == -1 && errno == EBUSY;
}

static inline void look(struct self *self)
{
	memset(self, 0, sizeof *self);
	syscall(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, &self->fs);
	syscall(SYS_arch_prctl, 0x1004 /* ARCH_GET_GS */, &self->gs);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &self->mask, 8);
	sigaltstack(NULL, &self->alternate);
	syscall(SYS_get_robust_list, 0, &self->robust, &self->robust_size);
#ifdef __GLIBC__
	if (&__rseq_offset) self->sequence = (char *)self->fs + __rseq_offset;
#endif
	if (self->sequence && !has_sequence(self->sequence)) self->sequence = NULL;
}

/* Gives a thread values of its own for all of it, and remembers them. */
static inline void settle(struct self *self, uint64_t number)
{
	static char alternates[64][16384];
	stack_t alternate = {.ss_sp = alternates[number % 64], .ss_size = 16384};
	uint64_t mask = 1ull << (34 + number % 20);
	syscall(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, 0x10000 + number * 4096);
	sigaltstack(&alternate, NULL);
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &mask, NULL, 8);
	look(self);
}

/* Finds what a way back that is not the thread's own could change. */
static inline void check(const struct self *self)
{
	struct self now;
	look(&now);
	if (now.fs != self->fs) BROKEN(now.fs);
	if (now.gs != self->gs) BROKEN(now.gs);
	if (now.mask != self->mask) BROKEN(now.mask);
	if (now.alternate.ss_sp != self->alternate.ss_sp || now.alternate.ss_size != self->alternate.ss_size ||
	    now.alternate.ss_flags != self->alternate.ss_flags)
		BROKEN(now.alternate.ss_sp);
	if (now.robust != self->robust || now.robust_size != self->robust_size) BROKEN(now.robust);
	if (now.sequence != self->sequence) BROKEN(now.sequence);
}

#endif
