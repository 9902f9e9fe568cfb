/*
 * Creates a VM, prints its descriptor, and sleeps for a second with something of its own below its stack.
 * Ends with 0 when none of that has changed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <linux/kvm.h>

enum { SIZE = 16384, BELOW = 1024 };

int main(void)
{
	struct timespec time = {.tv_sec = 1};
	int vm = ioctl(open("/dev/kvm", O_RDWR | O_CLOEXEC), KVM_CREATE_VM, 0);
	volatile unsigned char *low = (unsigned char *)__builtin_frame_address(0) - BELOW - SIZE;
	int changed = 0;
	long answer;

	if (vm < 0)
		return 2;
	printf("%d\n", vm);
	fflush(stdout);
	for (int i = 0; i < SIZE; i++)
		low[i] = 0xa5;
	/* not by the C library, whose functions use the stack */
	__asm__ volatile("syscall" : "=a"(answer) : "a"(35L), "D"(&time), "S"(0L) : "rcx", "r11", "memory");
	for (int i = 0; i < SIZE; i++)
		changed += low[i] != 0xa5;
	return answer != 0 || changed != 0;
}
