/*
 * Creates a VM, prints its descriptor, and waits in a call on a socket with a timeout of one second, or in one with a timeout
 * of its own that it cannot write to.
 * Ends with 0 when the call ended by that, and with 1 when anything else ended it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/kvm.h>

static const struct __kernel_timespec limit = {.tv_sec = 1};

int main(int argc, char **argv)
{
	const char *call = argc > 1 ? argv[1] : "";
	struct timeval second = {.tv_sec = 1};
	struct sockaddr_un own = {.sun_family = AF_UNIX};
	socklen_t length = sizeof own;
	char byte;
	struct iovec vec = {&byte, 1};
	struct msghdr message = {.msg_iov = &vec, .msg_iovlen = 1};
	int pair[2], answer;
	int vm = ioctl(open("/dev/kvm", O_RDWR | O_CLOEXEC), KVM_CREATE_VM, 0);
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	int client = socket(AF_UNIX, SOCK_STREAM, 0);

	if (vm < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return 2;
	/* an abstract name that the kernel chooses */
	if (bind(listener, (struct sockaddr *)&own, sizeof own.sun_family) || listen(listener, 0) ||
	    getsockname(listener, (struct sockaddr *)&own, &length))
		return 3;
	for (int i = 0; i < 2; i++) {
		int fd = i ? listener : pair[0];
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
	}
	setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);
	/* fills the queue of the listener */
	if (!strcmp(call, "connect") &&
	    connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&own, length))
		return 4;
	printf("%d\n", vm);
	fflush(stdout);
	if (!strcmp(call, "read"))
		answer = read(pair[0], &byte, 1);
	else if (!strcmp(call, "accept"))
		answer = accept(listener, NULL, NULL);
	else if (!strcmp(call, "preadv2"))
		answer = preadv2(pair[0], &vec, 1, -1, 0);
	else if (!strcmp(call, "ppoll"))
		return syscall(SYS_ppoll, NULL, 0, &limit, NULL, 8) != 0;
	else if (!strcmp(call, "pselect6"))
		return syscall(SYS_pselect6, 0, NULL, NULL, NULL, &limit, NULL) != 0;
	else if (!strcmp(call, "io_uring_enter")) {
		struct io_uring_params parameters = {0};
		struct io_uring_getevents_arg arg = {.sigmask_sz = 8, .ts = (unsigned long)&limit};
		int ring = syscall(SYS_io_uring_setup, 8, &parameters);
		answer = syscall(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof arg);
		return answer == 0 || errno != ETIME;
	} else if (!strcmp(call, "recvmsg"))
		answer = recvmsg(pair[0], &message, 0);
	else
		answer = connect(client, (struct sockaddr *)&own, length);
	return answer < 0 && errno == EAGAIN ? 0 : 1;
}
