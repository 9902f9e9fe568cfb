/*
 * What owner-pause.ts compares kvfio with: the same calls in the same owner, made by a C program that takes no heed of
 * anything but being killed. x86-64 Linux.
 *
 *   owner-call PID VMFD create|add|give
 *
 * create makes a kvm-vfio device; add makes one and then a KVM_SET_DEVICE_ATTR, which the kernel refuses; give hands a
 * descriptor over in between. Everything that can be done before the owner is stopped, or after it goes on, is.
 *
 * The way is kvfio's: one PTRACE_SETREGS has the owner execute "syscall; ret" of its own code, above a stack that leads
 * into rt_sigreturn and a signal frame with its original state, by which it restores itself when this program is killed.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static int pid, memory;

static void fail(const char *what) { perror(what); exit(1); }

static void trace(int request, void *address, void *data)
{
	if (ptrace(request, pid, address, data) < 0) fail("ptrace");
}

static void advance(void)
{
	int status;
	trace(PTRACE_SYSCALL, 0, 0);
	if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status)) fail("waitpid");
}

static uint64_t find_code(const char *pattern, size_t size)
{
	char path[64], line[512];
	uint64_t found = 0, start, end;
	snprintf(path, sizeof path, "/proc/%d/maps", pid);
	FILE *maps = fopen(path, "r");
	while (!found && fgets(line, sizeof line, maps)) {
		char rights[8];
		if (sscanf(line, "%lx-%lx %4s", &start, &end, rights) != 3 || rights[2] != 'x' || strstr(line, "[vsyscall]"))
			continue;
		char *code = malloc(end - start);
		ssize_t length = pread(memory, code, end - start, start);
		char *at = length > 0 ? memmem(code, length, pattern, size) : NULL;
		if (at) found = start + (at - code);
		free(code);
	}
	fclose(maps);
	return found;
}

/* struct ucontext as rt_sigreturn reads it */
struct frame {
	uint64_t flags, link, stack[3];
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8], sigmask;
};

static struct user_regs_struct original, call;
static uint64_t code, stack, data;

/* Made at the syscall instruction, with the owner stopped anywhere. */
static long make(long number, uint64_t a, uint64_t b, uint64_t c)
{
	struct user_regs_struct after;
	call.orig_rax = -1;
	call.rax = number;
	call.rdi = a;
	call.rsi = b;
	call.rdx = c;
	trace(PTRACE_SETREGS, 0, &call);
	advance();
	advance();
	trace(PTRACE_GETREGS, 0, &after);
	return after.rax;
}

struct handed { struct msghdr header; struct iovec part; char text[8]; char control[CMSG_SPACE(sizeof(int))]; };

static void lay_out(struct handed *message, uint64_t at)
{
	memset(message, 0, sizeof *message);
	message->header.msg_iov = (void *)(at + offsetof(struct handed, part));
	message->header.msg_iovlen = 1;
	message->header.msg_control = (void *)(at + offsetof(struct handed, control));
	message->header.msg_controllen = CMSG_LEN(sizeof(int));
	message->part.iov_base = (void *)(at + offsetof(struct handed, text));
	message->part.iov_len = 1;
}

static int give(int pidfd, int own)
{
	struct handed sent, received;
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int socket = make(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int end = syscall(SYS_pidfd_getfd, pidfd, socket, 0);
	int length = offsetof(struct sockaddr_un, sun_path) + 1 + sprintf(name.sun_path + 1, "owner-call-%d", getpid());
	if (end < 0 || bind(end, (struct sockaddr *)&name, length)) fail("bind");
	lay_out(&sent, (uint64_t)&sent);
	sent.header.msg_name = &name;
	sent.header.msg_namelen = length;
	struct cmsghdr *control = (struct cmsghdr *)sent.control;
	*control = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(control), &own, sizeof own);
	if (sendmsg(end, &sent.header, MSG_DONTWAIT) < 0) fail("sendmsg");
	lay_out(&received, data);
	pwrite(memory, &received, sizeof received, data);
	if (make(SYS_recvmsg, socket, data, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) < 0) fail("recvmsg");
	pread(memory, &received, sizeof received, data);
	make(SYS_close, socket, 0, 0);
	memcpy(&own, CMSG_DATA((struct cmsghdr *)received.control), sizeof own);
	close(end);
	return own;
}

int main(int argc, char **argv)
{
	if (argc != 4) return 2;
	pid = atoi(argv[1]);
	int vm = atoi(argv[2]), status;
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/mem", pid);
	memory = open(path, O_RDWR);
	code = find_code("\x0f\x05\xc3", 3);
	uint64_t sigreturn = find_code("\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05", 9), mask, features;
	int pidfd = syscall(SYS_pidfd_open, pid, 0), own = open("/dev/null", O_RDWR);
	if (!code || !sigreturn || pidfd < 0) fail("nothing to work with");

	static uint8_t extended[16384];
	struct iovec area = {extended, sizeof extended - 8};
	trace(PTRACE_SEIZE, 0, (void *)PTRACE_O_TRACESYSGOOD);
	trace(PTRACE_INTERRUPT, 0, 0);
	waitpid(pid, &status, __WALL);
	trace(PTRACE_GETREGS, 0, &original);
	trace(PTRACE_GETSIGMASK, (void *)8, &mask);
	trace(PTRACE_GETREGSET, (void *)NT_X86_XSTATE, &area);
	uint32_t size = area.iov_len, magic[2] = {0x46505853, size + 4}, end = 0x46505845;
	memcpy(&features, extended + 464, 8);
	memcpy(extended + 464, magic, 8);
	memcpy(extended + 472, &features, 8);
	memcpy(extended + 480, &size, 4);
	memcpy(extended + size, &end, 4);

	struct user_regs_struct *r = &original;
	data = (r->rsp - 128 - 256) & ~63ul;
	uint64_t state = (data - size - 4) & ~63ul, frame = (state - sizeof(struct frame)) & ~63ul;
	stack = frame - 8;
	struct frame f = {.flags = 7, .r8 = r->r8, .r9 = r->r9, .r10 = r->r10, .r11 = r->r11, .r12 = r->r12, .r13 = r->r13,
		.r14 = r->r14, .r15 = r->r15, .rdi = r->rdi, .rsi = r->rsi, .rbp = r->rbp, .rbx = r->rbx, .rdx = r->rdx,
		.rcx = r->rcx, .rsp = r->rsp, .rax = r->rax, .rip = r->rip, .eflags = r->eflags, .cs = r->cs, .ss = r->ss,
		.fpstate = state, .sigmask = mask};
	long answer = (long)r->rax;
	if ((long)r->orig_rax >= 0 && answer <= -512 && answer >= -516 && answer != -515) {
		f.rip -= 2;
		f.rax = r->orig_rax;
	}
	struct kvm_create_device device = {.type = KVM_DEV_TYPE_VFIO};
	pwrite(memory, extended, size + 4, state);
	pwrite(memory, &f, sizeof f, frame);
	pwrite(memory, &sigreturn, 8, stack);
	pwrite(memory, &device, sizeof device, data);
	call = original;
	call.rip = code;
	call.rsp = stack;

	long created = make(SYS_ioctl, vm, KVM_CREATE_DEVICE, data), added = 0;
	if (strcmp(argv[3], "create")) {
		pread(memory, &device, sizeof device, data);
		int given = strcmp(argv[3], "give") ? vm : give(pidfd, own);
		struct { struct kvm_device_attr attribute; int fd; } add = {
			{.group = KVM_DEV_VFIO_GROUP, .attr = KVM_DEV_VFIO_GROUP_ADD, .addr = data + sizeof add.attribute}, given};
		pwrite(memory, &add, sizeof add, data);
		added = make(SYS_ioctl, device.fd, KVM_SET_DEVICE_ATTR, data);
	}
	trace(PTRACE_SETREGS, 0, &original);
	trace(PTRACE_DETACH, 0, 0);
	printf("created %ld, added %ld\n", created, added);
	return created != 0;
}
