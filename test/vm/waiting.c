/*
 * Creates a VM, prints its descriptor, and waits in a call on a socket with a timeout of one second.
 * Ends with 0 when the call ended by that, and with 1 when anything else ended it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/kvm.h>

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
	else if (!strcmp(call, "recvmsg"))
		answer = recvmsg(pair[0], &message, 0);
	else
		answer = connect(client, (struct sockaddr *)&own, length);
	return answer < 0 && errno == EAGAIN ? 0 : 1;
}
