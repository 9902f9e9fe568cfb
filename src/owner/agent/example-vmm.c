/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VMM that does nothing but own a VM and let kvfio use its kvm-vfio device:
 *
 *	cc -o example-vmm example-vmm.c && ./example-vmm /run/vm.sock &
 *	kvfio attach --vm-sock /run/vm.sock --group 12
 *
 * It serves several clients from one thread, and ends on SIGINT and SIGTERM.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "kvfio-agent.h"

#define CLIENTS 8

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static void fail(const char *what, int error)
{
	fprintf(stderr, "example-vmm: %s: %s\n", what, strerror(error));
	exit(1);
}

static int create_vm(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		fail("/dev/kvm", errno);
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		fail("KVM_CREATE_VM", errno);
	close(kvm);
	return vm;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: example-vmm SOCKET\n");
		return 2;
	}

	struct kvfio_agent agent;
	int vm = create_vm();
	kvfio_agent_init(&agent, vm);

	int listener = kvfio_agent_listen(argv[1]);
	if (listener < 0)
		fail(argv[1], -listener);

	/* stop() must not come between the test of the flag and the wait */
	sigset_t blocked, waiting;
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, &waiting);
	sigaction(SIGINT, &(struct sigaction){.sa_handler = stop}, NULL);
	sigaction(SIGTERM, &(struct sigaction){.sa_handler = stop}, NULL);

	printf("pid %d, VM descriptor %d, socket %s\n", (int)getpid(), vm, argv[1]);
	fflush(stdout);

	struct kvfio_agent_conn clients[CLIENTS];
	for (int i = 0; i < CLIENTS; i++)
		clients[i].fd = clients[i].passed = -1;

	int64_t retry = 0; /* when to accept again after that has failed, as it would again at once (EMFILE) */

	while (!stopped) {
		struct pollfd fds[CLIENTS + 1] = {{.fd = -1, .events = POLLIN}};
		int wait = retry > kvfio_agent_now();
		int left = wait ? 100 : -1; /* milliseconds until there is something to do in any case */
		for (int i = 0; i < CLIENTS; i++) {
			fds[i + 1] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
			if (clients[i].fd < 0) {
				if (!wait)
					fds[0].fd = listener; /* only while there is room for one more */
				continue;
			}
			int own = kvfio_agent_time_left(&clients[i]);
			if (left < 0 || own < left)
				left = own;
		}
		struct timespec limit = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000L};
		int ready = ppoll(fds, CLIENTS + 1, left < 0 ? NULL : &limit, &waiting);
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready < 0)
			fail("ppoll", errno);
		for (int i = 0; i < CLIENTS; i++) {
			if (clients[i].fd < 0)
				continue;
			if (fds[i + 1].revents)
				kvfio_agent_ready(&agent, &clients[i]);
			else if (kvfio_agent_time_left(&clients[i]) == 0)
				kvfio_agent_close(&agent, &clients[i]);
		}
		if (!fds[0].revents)
			continue;
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			retry = kvfio_agent_now() + 100;
		for (int i = 0; i < CLIENTS && fd >= 0; i++) {
			if (clients[i].fd >= 0)
				continue;
			kvfio_agent_open(&agent, &clients[i], fd);
			fd = -1;
		}
	}

	for (int i = 0; i < CLIENTS; i++)
		kvfio_agent_close(&agent, &clients[i]);
	kvfio_agent_release(&agent);
	close(listener);
	close(vm);
	if (argv[1][0] != '@')
		unlink(argv[1]);
	return 0;
}
