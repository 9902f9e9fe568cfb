/*
 * Has clients do to an agent what the bytes of an input say, for libFuzzer, or with -DALONE for random inputs of its own:
 *
 *	agent-fuzz RUNS SEED
 *
 * KVM is a stand-in here, whose answers come from the input: the real one is asked by the other tests of the agent. Whatever
 * happens, the agent holds open descriptors, closes what came from clients, and closes nothing else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

static int stand_in(int fd, unsigned long request, void *argument);
#define ioctl stand_in
#include "kvfio-agent.h"
#undef ioctl

#define CLIENTS 3
#define DEVICES 2
#define MOST_OPEN 512

static const uint8_t *input;
static size_t left;

static unsigned next(void)
{
	if (left == 0)
		return 0;
	left--;
	return *input++;
}

static void must(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "does not hold: %s\n", what);
	abort();
}

static int is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int stand_in(int fd, unsigned long request, void *argument)
{
	static const int errors[] = {EBUSY, EEXIST, ENOENT, EINVAL, ENXIO, EIO};
	unsigned answer = next();

	must(is_open(fd), "KVM is asked through an open descriptor");
	if (request == KVM_CREATE_DEVICE) {
		struct kvm_create_device *device = argument;

		if (answer % 4 == 0)
			return errno = EBUSY, -1;
		if (!(device->flags & KVM_CREATE_DEVICE_TEST))
			device->fd = (uint32_t)open("/dev/null", O_RDWR | O_CLOEXEC);
		return 0;
	}
	const struct kvm_device_attr *attr = argument;
	const int32_t *payload = (const int32_t *)(uintptr_t)attr->addr;

	must(payload[1] == -1, "the payload ends");
	return answer % 2 ? 0 : (errno = errors[answer / 2 % 6], -1);
}

struct client {
	struct kvfio_agent_conn conn;
	int fd;
};

static void send_bytes(int fd, const void *bytes, size_t size, const int *passed, size_t count)
{
	union { struct cmsghdr header; char bytes[CMSG_SPACE(4 * sizeof(int))]; } control = {0};
	struct iovec part = {(void *)(uintptr_t)bytes, size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (count > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), passed, count * sizeof(int));
	}
	sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* A number that the agent may have, or one that it surely has not. */
static int some_number(const struct kvfio_agent *agent)
{
	unsigned choice = next();

	return agent->count > 0 && choice % 4 ? agent->slots[choice % agent->count].held.fd : (int)choice - 1;
}

static void send_something(const struct kvfio_agent *agent, int fd)
{
	struct kvfio_agent_request request = {
		.size = sizeof(request), .version = KVFIO_AGENT_VERSION, .op = (uint16_t)(next() % 9), .sequence = 7,
		.fd = some_number(agent), .type = next() % 6, .flags = next() % 2, .attr = next() % 4, .value = -1};
	uint8_t *bytes = (uint8_t *)&request;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), folder = open("/", O_RDONLY | O_CLOEXEC);
	int kinds[] = {null, null, null, folder, fd}, passed[4];
	size_t count = next() % 8, size = sizeof(request);

	count = count > 4 ? 0 : count;
	for (size_t i = 0; i < count; i++)
		passed[i] = kinds[next() % 5];
	if (count == 0 && next() % 2)
		request.value = some_number(agent);
	if (next() % 4 == 0)
		bytes[next() % sizeof(request)] = (uint8_t)next();
	if (next() % 4 == 0)
		size = 1 + next() % (sizeof(request) - 1);
	send_bytes(fd, bytes, size, passed, count);
	close(null);
	close(folder);
}

static void drain(int fd)
{
	union { struct cmsghdr header; char bytes[CMSG_SPACE(8 * sizeof(int))]; } control;
	char bytes[256];
	struct iovec part = {bytes, sizeof(bytes)};

	for (;;) {
		struct msghdr message = {
			.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
		if (recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
			return;
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		if (header != NULL) {
			int taken;

			must(header->cmsg_len == CMSG_LEN(sizeof(int)), "one descriptor comes with an answer");
			memcpy(&taken, CMSG_DATA(header), sizeof(taken));
			must(close(taken) == 0, "what the agent sends is open");
		}
	}
}

static void leave(struct client *client)
{
	if (client->fd >= 0)
		must(close(client->fd) == 0, "the agent closes nothing of a client's");
	client->fd = -1;
}

static void enter(struct kvfio_agent *agent, struct client *client)
{
	int pair[2];

	kvfio_agent_close(agent, &client->conn);
	leave(client);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "there is a socket");
	client->fd = pair[1];
	kvfio_agent_open(agent, &client->conn, pair[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client clients[CLIENTS];
	struct kvfio_agent agent;
	int devices[DEVICES] = {-1, -1};
	uint8_t before[MOST_OPEN];
	for (int fd = 0; fd < MOST_OPEN; fd++)
		before[fd] = (uint8_t)is_open(fd);
	int vm = open("/dev/null", O_RDWR | O_CLOEXEC);

	input = data;
	left = size;
	kvfio_agent_init(&agent, vm);
	for (int i = 0; i < CLIENTS; i++)
		clients[i] = (struct client){.conn = {.fd = -1, .passed = -1}, .fd = -1};
	while (left > 0) {
		unsigned what = next();
		struct client *client = &clients[what / 16 % CLIENTS];
		int *device = &devices[what / 16 % DEVICES];

		switch (what % 16) {
		case 0:
			enter(&agent, client);
			break;
		case 1:
			leave(client);
			break;
		case 2:
			kvfio_agent_close(&agent, &client->conn);
			break;
		case 3:
			if (*device < 0)
				*device = open("/dev/null", O_RDWR | O_CLOEXEC);
			if (kvfio_agent_find(&agent, *device) < 0)
				kvfio_agent_adopt_device(&agent, *device);
			break;
		case 4:
			if (*device < 0)
				break;
			kvfio_agent_disown_device(&agent, *device);
			must(close(*device) == 0, "the agent closes no device of the VMM's");
			*device = -1;
			break;
		case 5:
			if (client->fd >= 0)
				drain(client->fd);
			break;
		default:
			if (client->fd < 0)
				enter(&agent, client);
			send_something(&agent, client->fd);
			if (what % 16 > 6 && client->conn.fd >= 0)
				kvfio_agent_ready(&agent, &client->conn);
		}
		must(agent.count >= 0 && agent.count <= KVFIO_AGENT_MOST_HELD, "the agent holds no more than it may");
		for (int i = 0; i < agent.count; i++)
			must(is_open(agent.slots[i].held.fd), "what the agent holds is open");
	}
	for (int i = 0; i < CLIENTS; i++) {
		kvfio_agent_close(&agent, &clients[i].conn);
		leave(&clients[i]);
	}
	kvfio_agent_release(&agent);
	for (int i = 0; i < DEVICES; i++)
		must(devices[i] < 0 || close(devices[i]) == 0, "the VMM's devices are left to it");
	must(close(vm) == 0, "the VM's descriptor is left to the VMM");
	for (int fd = 0; fd < MOST_OPEN; fd++)
		must(is_open(fd) == before[fd], "what was open is open, and nothing else");
	return 0;
}

#ifdef ALONE
int main(int argc, char **argv)
{
	uint8_t bytes[2048];
	long runs = argc > 1 ? atol(argv[1]) : 0;

	srandom(argc > 2 ? (unsigned)atol(argv[2]) : 1);
	for (long run = 0; run < runs; run++) {
		size_t size = (size_t)random() % sizeof(bytes);

		for (size_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)(random() >> 8);
		LLVMFuzzerTestOneInput(bytes, size);
	}
	printf("%ld\n", runs);
	return 0;
}
#endif
