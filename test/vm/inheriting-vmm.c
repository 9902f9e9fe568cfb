/*
 * Creates a VM and a kvm-vfio device, and forks. The child, which only inherits, serves the socket; the parent waits.
 * With a number as third argument the process creates so many VMs, each once more duplicated.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "kvfio-agent.h"

int main(int argc, char **argv)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vms = argc > 2 ? atoi(argv[2]) : 1;
	int vm = -1;

	for (int i = 0; i < vms; i++) {
		vm = ioctl(kvm, KVM_CREATE_VM, 0);
		if (vm < 0 || dup(vm) < 0)
			return 1;
	}
	int listener = kvfio_agent_listen(argv[1]);
	if (listener < 0)
		return 2;
	int parent = getpid();
	int child = fork();
	if (child == 0) {
		struct kvfio_agent agent;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		kvfio_agent_init(&agent, vm);
		printf("parent %d, child %d, VM descriptor %d\n", parent, (int)getpid(), vm);
		fflush(stdout);
		for (;;)
			kvfio_agent_serve(&agent, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	}
	close(listener);
	wait(NULL);
	return 0;
}
