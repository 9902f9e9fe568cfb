/*
 * Creates a VM, prints its descriptor, and waits for ever. Argument 1 says how:
 *
 *   locked     with all its memory locked
 *   overflown  with its first thread as far down in its stack as argument 2 says, in bytes, once it gets SIGUSR1
 *   roomless   with something mapped below where its stack may grow to, as far down as argument 2 says, in bytes
 *   plain      with nothing special
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/kvm.h>

static long depth;

/* Moves the stack pointer, and touches nothing on the way. */
static void wait_below(void)
{
	__asm__ volatile(
		"mov %%rsp, %%rbx\n\tsub %0, %%rsp\n\tmov $34, %%eax\n\tsyscall\n\tmov %%rbx, %%rsp"
		:: "r"(depth) : "rax", "rbx", "rcx", "r11", "memory");
}

/* An address so far below the end of the stack. */
static void *below_stack(void)
{
	unsigned long end = 0;
	char line[256];
	FILE *maps = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof line, maps))
		if (strstr(line, "[stack]")) sscanf(line, "%*x-%lx", &end);
	fclose(maps);
	return (void *)(end - depth);
}

int main(int argc, char **argv)
{
	sigset_t set;
	int number, vm = ioctl(open("/dev/kvm", O_RDWR | O_CLOEXEC), KVM_CREATE_VM, 0);

	if (argc < 2 || vm < 0)
		return 2;
	if (argc > 2)
		depth = atol(argv[2]);
	/* it waits until it is asked for, so none comes too early */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (!strcmp(argv[1], "locked") && mlockall(MCL_CURRENT | MCL_FUTURE))
		return 3;
	if (!strcmp(argv[1], "roomless") && mmap(below_stack(), 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
		return 4;
	printf("%d\n", vm);
	fflush(stdout);
	sigwait(&set, &number);
	if (!strcmp(argv[1], "overflown"))
		wait_below();
	for (;;)
		pause();
}
