/*
 * A VMM that shows whether KVM executes its guest's WBINVD, and on which CPUs. It serves its VM at the socket that is
 * its argument, answers the agent protocol there, and does what the lines of its standard input say:
 *
 *	wbinvd N	has the guest execute N times WBINVD on CPU 1, each time after the vCPU was loaded on CPU 0, and
 *			prints how many function calls CPU 0 got from CPU 1 for them. KVM makes one per WBINVD
 *			while it takes the VM for non-coherent, and none otherwise (wbinvd_dirty_mask in
 *			arch/x86/kvm/x86.c).
 *	open PATH	opens a file and prints its descriptor
 *	close FD	closes it
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "kvfio-agent.h"

static struct kvfio_agent agent;

static int check(int result, const char *what)
{
	if (result >= 0)
		return result;
	perror(what);
	exit(1);
}

static void *serve(void *listener)
{
	for (;;)
		kvfio_agent_serve(&agent, accept4(*(int *)listener, NULL, NULL, SOCK_CLOEXEC));
	return NULL;
}

/* A guest in 16-bit real mode: wbinvd; hlt; jmp back */
static const unsigned char guest[] = {0x0f, 0x09, 0xf4, 0xeb, 0xfb};

static int vcpu;
static struct kvm_run *run;

static void prepare(int kvm, int vm)
{
	void *memory = mmap(NULL, 0x2000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = {.memory_size = 0x2000, .userspace_addr = (uintptr_t)memory};
	struct kvm_regs regs = {.rip = 0x1000, .rflags = 2};
	struct kvm_sregs sregs;

	memcpy((char *)memory + 0x1000, guest, sizeof(guest));
	check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
	vcpu = check(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	run = mmap(NULL, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	check(run == MAP_FAILED ? -1 : 0, "mmap of the vCPU");
	check(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs.base = sregs.cs.selector = 0;
	check(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	check(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void move_to(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	check(sched_setaffinity(0, sizeof(cpus), &cpus), "sched_setaffinity");
}

/* Function calls from other CPUs that CPU 0 has had */
static long calls(void)
{
	FILE *file = fopen("/proc/interrupts", "r");
	char line[1024];
	long count = -1;

	while (file && fgets(line, sizeof(line), file) && sscanf(line, " CAL: %ld", &count) != 1)
		;
	if (file)
		fclose(file);
	return count;
}

static long wbinvd(int times)
{
	long before, got = 0;

	for (int i = 0; i < times; i++) {
		move_to(0);
		run->immediate_exit = 1;
		if (ioctl(vcpu, KVM_RUN, 0) == 0 || errno != EINTR)
			check(-1, "KVM_RUN that is to return at once");
		move_to(1);
		run->immediate_exit = 0;
		before = calls(); /* the move made some, too */
		check(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
		got += calls() - before;
		if (run->exit_reason != KVM_EXIT_HLT) {
			fprintf(stderr, "the guest stopped with exit reason %u\n", run->exit_reason);
			exit(1);
		}
	}
	return got;
}

int main(int argc, char **argv)
{
	int kvm = check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	int vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	int listener = kvfio_agent_listen(argc > 1 ? argv[1] : "");
	char line[256], path[200];
	pthread_t thread;
	int number;

	if (listener < 0) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(-listener));
		return 1;
	}
	prepare(kvm, vm);
	kvfio_agent_init(&agent, vm);
	pthread_create(&thread, NULL, serve, &listener);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready\n");
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "wbinvd %d", &number) == 1)
			printf("%ld\n", wbinvd(number));
		else if (sscanf(line, "open %199s", path) == 1)
			printf("%d\n", check(open(path, O_RDWR | O_CLOEXEC), path));
		else if (sscanf(line, "close %d", &number) == 1)
			printf("%d\n", close(number));
	}
	return 0;
}
