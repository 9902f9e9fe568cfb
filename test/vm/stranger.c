/*
 * A user who hands out a VM that others have, too.
 *
 *	stranger keep SOCKET                      receives a descriptor there and keeps it for ever
 *	stranger serve SOCKET KEEPER UID [HOW]    creates a VM as user UID, passes it to KEEPER, and sends it to whoever connects
 *
 * HOW is `child`: a child that only inherited the VM serves; or `shed`: what serves has the VM only while it sends it.
 * Prints the process that created the VM when it is ready.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct msghdr *message(void)
{
	static char byte, control[CMSG_SPACE(sizeof(int))];
	static struct iovec data = {.iov_base = &byte, .iov_len = 1};
	static struct msghdr whole;

	whole = (struct msghdr){.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	return &whole;
}

static void pass(int socket, int fd)
{
	struct msghdr *sent = message();
	struct cmsghdr *rights = CMSG_FIRSTHDR(sent);

	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
	if (sendmsg(socket, sent, MSG_NOSIGNAL) < 0)
		perror("sendmsg");
}

static int take(int socket)
{
	struct msghdr *received = message();
	int fd;

	if (recvmsg(socket, received, 0) != 1)
		exit(1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(received)), sizeof(fd));
	return fd;
}

static struct sockaddr_un named(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	return address;
}

static int listening(const char *path)
{
	struct sockaddr_un address = named(path);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 || chmod(path, 0777) != 0 ||
	    listen(listener, 8) != 0) {
		perror(path);
		exit(1);
	}
	return listener;
}

static void ready(int pid)
{
	printf("%d\n", pid);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "keep") == 0) {
		int listener = listening(argv[2]);

		ready(getpid());
		take(accept(listener, NULL, NULL));
		for (;;)
			pause();
	}
	if (argc < 5)
		return 2;

	const char *how = argc > 5 ? argv[5] : "";
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int user = atoi(argv[4]);
	int pair[2];
	int creator = getpid();

	if (setregid(user, user) != 0 || setreuid(user, user) != 0 || prctl(PR_SET_DUMPABLE, 1) != 0)
		return 3;
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);
	int keeper = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = named(argv[3]);
	if (vm < 0 || connect(keeper, (struct sockaddr *)&address, sizeof(address)) != 0)
		return 4;
	pass(keeper, vm);
	int listener = listening(argv[2]);
	if (strcmp(how, "child") == 0 && fork() != 0)
		for (;;)
			pause();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ready(creator);
	if (strcmp(how, "shed") == 0) {
		/* one that is under way in a socket is nobody's */
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
			return 5;
		pass(pair[0], vm);
		close(vm);
	}
	for (;;) {
		int client = accept(listener, NULL, NULL);

		if (strcmp(how, "shed") == 0) {
			vm = take(pair[1]);
			pass(client, vm);
			pass(pair[0], vm);
			close(vm);
		} else {
			pass(client, vm);
		}
		char byte;
		if (read(client, &byte, 1) < 0)
			perror("read");
		close(client);
	}
}
