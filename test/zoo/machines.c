/*
 * A process with three VMs, of which FILE names the last. Every thread runs a vCPU of one, but the first, which waits.
 *
 *   machines KIND FILE
 */
#include "owner.h"
#include "../owner/inject/registers.h"
#include <pthread.h>

static void *run(void *argument)
{
	int vm = (intptr_t)argument, kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	uint8_t *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = {.memory_size = 4096, .userspace_addr = (uint64_t)memory};
	memory[0] = 0xeb; memory[1] = 0xfe; /* jmp . */
	ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
	int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	struct kvm_sregs sregs;
	struct kvm_regs regs = {.rflags = 2};
	mmap(NULL, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	ioctl(vcpu, KVM_GET_SREGS, &sregs);
	sregs.cs.base = sregs.cs.selector = 0;
	ioctl(vcpu, KVM_SET_SREGS, &sregs);
	ioctl(vcpu, KVM_SET_REGS, &regs);
	nice(19);
	int answer = ioctl(vcpu, KVM_RUN, 0);
	BROKEN(answer ? errno : 0); /* it never comes back */
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	struct self self;
	begin(argc, argv);
	pthread_create(&thread, NULL, run, (void *)(intptr_t)report->vm_fd);
	for (int i = 0; i < 2; i++) {
		report->vm_fd = make_vm();
		pthread_create(&thread, NULL, run, (void *)(intptr_t)report->vm_fd);
	}
	settle(&self, 1);
	report->ready = 1;
	for (;; report->ticks++) {
		long answer;
		int lost = lost_in_call(&answer, SYS_poll, 0, 0, 20, 0, 0, 0);
		if (lost || answer) BROKEN(lost ? lost : answer);
		check(&self);
	}
}
