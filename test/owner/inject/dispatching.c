/*
 * Creates a VM, prints its descriptor, and sleeps with syscall user dispatch: calls from other code than its own are
 * SIGSYS. Ends with 0 after two seconds.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include <linux/kvm.h>

extern char __executable_start, etext;
static volatile char selector;

int main(void)
{
	struct timespec time = {.tv_sec = 2};
	int vm = ioctl(open("/dev/kvm", O_RDWR | O_CLOEXEC), KVM_CREATE_VM, 0);
	long answer;

	/* PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON */
	if (vm < 0 || prctl(59, 1, &__executable_start, &etext - &__executable_start, &selector))
		return 2;
	printf("%d\n", vm);
	fflush(stdout);
	selector = 1;
	__asm__ volatile("syscall" : "=a"(answer) : "a"(35L), "D"(&time), "S"(0L) : "rcx", "r11", "memory");
	selector = 0;
	return answer != 0;
}
