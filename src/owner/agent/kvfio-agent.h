/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvfio agent: lets kvfio use the kvm-vfio device of a VM with the VMM's consent.
 *
 * KVM lets no process but the one that created a VM use it, so somebody who wants a VFIO group registered with a
 * running VM has to ask its VMM. This header is what a VMM needs to be asked, and the specification of how.
 * It needs Linux, C11 with the extensions of GCC and clang, a C library and <linux/kvm.h>. Include it in one file.
 *
 *
 * In a VMM
 * --------
 * With a thread to spare, per connection (see example-vmm.c for a complete program):
 *
 *	struct kvfio_agent agent;
 *	kvfio_agent_init(&agent, vm_fd);
 *	int listener = kvfio_agent_listen("/run/vm.sock");
 *	for (;;)
 *		kvfio_agent_serve(&agent, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
 *
 * In an event loop: kvfio_agent_open() for a new connection, kvfio_agent_ready() whenever conn.fd is readable, until
 * it returns a negative number. Neither ever blocks. Nothing is readable on a silent connection: end it with
 * kvfio_agent_close() when kvfio_agent_time_left() is 0. All calls for one VM are made by one thread at a time, in the
 * process that created the VM.
 *
 * The VMM's kvm-vfio device, when it makes one of its own: kvfio_agent_adopt_device().
 *
 *
 * What goes over the socket
 * -------------------------
 * A stream socket (AF_UNIX). All numbers are little-endian. Structures have the sizes below and no other; a size or
 * version that the agent does not know ends the connection, after a reply with EPROTO for as much as can be replied to.
 *
 * 1. The agent speaks first: struct kvfio_agent_hello, and in the same message the VM's descriptor (SCM_RIGHTS).
 *    A VMM without an agent sends the descriptor with any other bytes.
 * 2. The client sends one struct kvfio_agent_request at a time, with at most one descriptor. The agent answers each
 *    with one struct kvfio_agent_reply, in order.
 * 3. Whoever closes the connection ends it. Nothing else does within KVFIO_AGENT_IDLE_SECONDS of the last reply, in which
 *    the next request must be complete.
 *
 * Requests, with the fields that they use; all others are 0, and descriptor fields -1:
 *
 *   CREATE_DEVICE  type, flags     KVM_CREATE_DEVICE. Only KVM_DEV_TYPE_VFIO, else EPERM. Reply: fd.
 *   HAS_ATTR       fd, type, attr  KVM_HAS_DEVICE_ATTR on the device fd, type being its group.
 *   SET_ATTR       fd, type, attr  KVM_SET_DEVICE_ATTR; addr points to value, the number of a descriptor of the
 *                  and value       VMM's. With a descriptor in the message value is -1 and the kernel gets that
 *                  or a descriptor one; after a successful ADD the agent holds it. Reply: fd, its number, or -1.
 *   GIVE           a descriptor    The agent holds it. Reply: fd, its number.
 *   TAKE           fd              Reply: a descriptor for the same open file, in the message.
 *   CLOSE          fd              The agent closes it.
 *   LIST                           Reply: count, followed by as many struct kvfio_agent_held.
 *
 * error in a reply is an errno value of Linux, 0 for success. The kernel's answers are passed on as they are. The
 * agent's own: ENOSYS for an unknown request; EBADF for a device, a descriptor to take or one to close that it does
 * not hold; EINVAL for a descriptor that is missing or not wanted, or given and not of a device node; ENOSPC when it
 * holds KVFIO_AGENT_MOST_HELD; EPERM as said, and for closing a device that the VMM made itself. A socket in a
 * message ends the connection: it could be the connection's own other end, which then would never be closed.
 *
 * What the agent holds outlives the connection, so that a group can be deleted later: KVM deletes by open file, and
 * whoever lost the last descriptor of it cannot. A device is held until it is closed. A descriptor that came from a
 * client is held while it is registered with a device; before and after that it goes with the connection that gave
 * it or had it deleted. So a client that is killed half-way leaves nothing behind.
 */
#ifndef KVFIO_AGENT_H
#define KVFIO_AGENT_H

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "kvfio-agent.h writes its structures as they are in memory and needs a little-endian machine"
#endif

#define KVFIO_AGENT_MAGIC "kvfioVM\n"
#define KVFIO_AGENT_VERSION 1
#define KVFIO_AGENT_MOST_HELD 64
#define KVFIO_AGENT_IDLE_SECONDS 30

struct kvfio_agent_hello {
	char magic[8];      /* KVFIO_AGENT_MAGIC, without a NUL */
	uint32_t version;   /* the highest that the agent speaks; it speaks all lower ones too */
	int32_t vm_fd;      /* number of the VM's descriptor in the VMM */
};

enum kvfio_agent_op {
	KVFIO_AGENT_CREATE_DEVICE = 1,
	KVFIO_AGENT_HAS_ATTR = 2,
	KVFIO_AGENT_SET_ATTR = 3,
	KVFIO_AGENT_GIVE = 4,
	KVFIO_AGENT_TAKE = 5,
	KVFIO_AGENT_CLOSE = 6,
	KVFIO_AGENT_LIST = 7,
};

struct kvfio_agent_request {
	uint32_t size;      /* of this structure */
	uint16_t version;   /* KVFIO_AGENT_VERSION */
	uint16_t op;        /* enum kvfio_agent_op */
	uint32_t sequence;  /* comes back in the reply */
	int32_t fd;
	uint32_t type;      /* of a device, or group of an attribute */
	uint32_t flags;
	uint64_t attr;
	int32_t value;
	uint32_t reserved;  /* 0 */
};

struct kvfio_agent_reply {
	uint32_t size;      /* of this structure, without what follows it */
	uint16_t version;
	uint16_t op;        /* of the request */
	uint32_t sequence;  /* of the request */
	int32_t error;      /* 0 or errno */
	int32_t fd;         /* number of a descriptor in the VMM, or -1 */
	uint32_t count;     /* of struct kvfio_agent_held that follow */
	uint64_t reserved;  /* 0 */
};

enum kvfio_agent_kind {
	KVFIO_AGENT_DEVICE = 1,        /* made by CREATE_DEVICE */
	KVFIO_AGENT_VMM_DEVICE = 2,    /* made by the VMM itself */
	KVFIO_AGENT_GIVEN = 3,         /* came from a client */
};

struct kvfio_agent_held {
	int32_t fd;
	uint16_t kind;       /* enum kvfio_agent_kind */
	uint16_t registered; /* 1 when the agent added it to a device and has not deleted it since */
	uint32_t major;      /* of the device node that was opened, 0 for other files */
	uint32_t minor;
};

/* One per connection. */
struct kvfio_agent_conn {
	int fd;              /* for poll(); -1 when closed */
	int passed;          /* descriptor that came with the request so far, or -1 */
	size_t have;         /* bytes of the request so far */
	int64_t deadline;    /* for all of the request: milliseconds of CLOCK_MONOTONIC */
	struct kvfio_agent_request request;
};

/* One per VM. */
struct kvfio_agent {
	int vm_fd;
	int count;
	struct {
		struct kvfio_agent_held held;
		int device;                       /* that it is registered with, or -1 */
		const struct kvfio_agent_conn *conn; /* that it goes with, or NULL */
	} slots[KVFIO_AGENT_MOST_HELD];
};

#define KVFIO_AGENT_API static inline __attribute__((unused))

_Static_assert(sizeof(struct kvfio_agent_hello) == 16, "hello");
_Static_assert(sizeof(struct kvfio_agent_request) == 40, "request");
_Static_assert(sizeof(struct kvfio_agent_reply) == 32, "reply");
_Static_assert(sizeof(struct kvfio_agent_held) == 16, "held");

/* Prepares an agent for a VM, whose descriptor stays the VMM's. */
KVFIO_AGENT_API void kvfio_agent_init(struct kvfio_agent *agent, int vm_fd)
{
	memset(agent, 0, sizeof(*agent));
	agent->vm_fd = vm_fd;
}

/* --- what the agent holds --------------------------------------------------------------------------------------- */

KVFIO_AGENT_API int kvfio_agent_find(const struct kvfio_agent *agent, int fd)
{
	for (int i = 0; i < agent->count; i++)
		if (agent->slots[i].held.fd == fd)
			return i;
	return -1;
}

KVFIO_AGENT_API int kvfio_agent_is_device(const struct kvfio_agent *agent, int fd)
{
	int i = kvfio_agent_find(agent, fd);
	return i >= 0 && agent->slots[i].held.kind != KVFIO_AGENT_GIVEN;
}

KVFIO_AGENT_API int kvfio_agent_hold(struct kvfio_agent *agent, int fd, int kind, const struct kvfio_agent_conn *conn)
{
	struct stat status = {.st_mode = 0};
	int i = agent->count;

	if (i == KVFIO_AGENT_MOST_HELD)
		return -ENOSPC;
	fstat(fd, &status);
	if (conn != NULL && !S_ISCHR(status.st_mode))
		return -EINVAL;
	memset(&agent->slots[i], 0, sizeof(agent->slots[i]));
	agent->slots[i].held.fd = fd;
	agent->slots[i].held.kind = (uint16_t)kind;
	agent->slots[i].device = -1;
	agent->slots[i].conn = conn;
	if (S_ISCHR(status.st_mode)) {
		agent->slots[i].held.major = (uint32_t)major(status.st_rdev);
		agent->slots[i].held.minor = (uint32_t)minor(status.st_rdev);
	}
	agent->count++;
	return fd;
}

KVFIO_AGENT_API void kvfio_agent_drop(struct kvfio_agent *agent, int i)
{
	close(agent->slots[i].held.fd);
	agent->count--;
	agent->slots[i] = agent->slots[agent->count];
}

/* The kvm-vfio device that the VMM made itself. Clients may use it, but not close it. Returns 0 or -ENOSPC. */
KVFIO_AGENT_API int kvfio_agent_adopt_device(struct kvfio_agent *agent, int fd)
{
	int held = kvfio_agent_hold(agent, fd, KVFIO_AGENT_VMM_DEVICE, NULL);
	return held < 0 ? held : 0;
}

/* Before the VMM closes a device that it had adopted. */
KVFIO_AGENT_API void kvfio_agent_disown_device(struct kvfio_agent *agent, int fd)
{
	int i = kvfio_agent_find(agent, fd);

	if (i >= 0 && agent->slots[i].held.kind == KVFIO_AGENT_VMM_DEVICE)
		agent->slots[i] = agent->slots[--agent->count];
	for (i = agent->count - 1; i >= 0; i--)
		if (agent->slots[i].device == fd)
			kvfio_agent_drop(agent, i);
}

/* Closes what the agent holds. Groups that were registered are not any more when their device is closed. */
KVFIO_AGENT_API void kvfio_agent_release(struct kvfio_agent *agent)
{
	for (int i = agent->count - 1; i >= 0; i--)
		if (agent->slots[i].held.kind != KVFIO_AGENT_VMM_DEVICE)
			kvfio_agent_drop(agent, i);
}

/* --- requests --------------------------------------------------------------------------------------------------- */

KVFIO_AGENT_API int kvfio_agent_attr(int device, unsigned long request, uint32_t group, uint64_t attr, int value)
{
	int32_t payload[2] = {value, -1}; /* one descriptor, or on powerpc two */
	struct kvm_device_attr argument = {
		.group = group,
		.attr = attr,
		.addr = (uint64_t)(uintptr_t)payload,
	};
	return ioctl(device, request, &argument) < 0 ? -errno : 0;
}

KVFIO_AGENT_API int kvfio_agent_create_device(struct kvfio_agent *agent, const struct kvfio_agent_request *request)
{
	struct kvm_create_device device = {.type = request->type, .flags = request->flags};

	if (request->type != KVM_DEV_TYPE_VFIO)
		return -EPERM;
	if (agent->count == KVFIO_AGENT_MOST_HELD)
		return -ENOSPC;
	if (ioctl(agent->vm_fd, KVM_CREATE_DEVICE, &device) < 0)
		return -errno;
	if (request->flags & KVM_CREATE_DEVICE_TEST)
		return 0;
	return kvfio_agent_hold(agent, (int)device.fd, KVFIO_AGENT_DEVICE, NULL);
}

/* Takes over conn->passed if it comes to hold it. */
KVFIO_AGENT_API int kvfio_agent_set_attr(struct kvfio_agent *agent, struct kvfio_agent_conn *conn, int *number)
{
	const struct kvfio_agent_request *request = &conn->request;
	int passed = conn->passed >= 0;
	int value = passed ? conn->passed : request->value;
	int add = request->type == 1 && request->attr == 1; /* KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD */
	int del = request->type == 1 && request->attr == 2;
	int i, error;

	if (passed && request->value != -1)
		return -EINVAL;
	if (!kvfio_agent_is_device(agent, request->fd))
		return -EBADF;
	if (passed && add && agent->count == KVFIO_AGENT_MOST_HELD)
		return -ENOSPC;
	error = kvfio_agent_attr(request->fd, KVM_SET_DEVICE_ATTR, request->type, request->attr, value);
	if (error < 0)
		return error;
	if (passed && add) {
		*number = kvfio_agent_hold(agent, value, KVFIO_AGENT_GIVEN, NULL);
		conn->passed = -1;
	}
	i = kvfio_agent_find(agent, value);
	if (i < 0 || agent->slots[i].held.kind != KVFIO_AGENT_GIVEN || !(add || del))
		return 0;
	agent->slots[i].held.registered = (uint16_t)add;
	agent->slots[i].device = add ? request->fd : -1;
	agent->slots[i].conn = add ? NULL : conn;
	return 0;
}

KVFIO_AGENT_API int kvfio_agent_close_held(struct kvfio_agent *agent, const struct kvfio_agent_conn *conn, int fd)
{
	int i = kvfio_agent_find(agent, fd);

	if (i < 0)
		return -EBADF;
	if (agent->slots[i].held.kind == KVFIO_AGENT_VMM_DEVICE)
		return -EPERM;
	kvfio_agent_drop(agent, i);
	for (i = 0; i < agent->count; i++)
		if (agent->slots[i].device == fd) { /* the kernel forgot them with the device */
			agent->slots[i].held.registered = 0;
			agent->slots[i].device = -1;
			agent->slots[i].conn = conn;
		}
	return 0;
}

KVFIO_AGENT_API int kvfio_agent_send(int fd, const struct iovec *parts, size_t count, int passed)
{
	union { struct cmsghdr header; char bytes[CMSG_SPACE(sizeof(int))]; } control;
	struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = count};
	size_t length = 0;
	ssize_t sent;

	for (size_t i = 0; i < count; i++)
		length += parts[i].iov_len;
	if (passed >= 0) {
		memset(&control, 0, sizeof(control));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &passed, sizeof(int));
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
	}
	do
		sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	/* a client that leaves no room for one answer does not read, and is given up */
	return sent < 0 ? -errno : (size_t)sent == length ? 0 : -EPIPE;
}

KVFIO_AGENT_API int kvfio_agent_answer(struct kvfio_agent *agent, struct kvfio_agent_conn *conn)
{
	const struct kvfio_agent_request *request = &conn->request;
	struct kvfio_agent_held list[KVFIO_AGENT_MOST_HELD];
	struct kvfio_agent_reply reply = {
		.size = sizeof(reply),
		.version = KVFIO_AGENT_VERSION,
		.op = request->op,
		.sequence = request->sequence,
		.fd = -1,
	};
	struct iovec parts[2] = {{&reply, sizeof(reply)}, {list, 0}};
	int wants = request->op == KVFIO_AGENT_GIVE ? 1 : request->op == KVFIO_AGENT_SET_ATTR ? conn->passed >= 0 : 0;
	int result = 0, taken = -1, malformed = 0;

	if (request->size != sizeof(*request) || request->version != KVFIO_AGENT_VERSION || request->reserved != 0) {
		malformed = 1;
		result = -EPROTO;
	} else if (wants != (conn->passed >= 0)) {
		result = -EINVAL;
	} else switch (request->op) {
	case KVFIO_AGENT_CREATE_DEVICE:
		result = kvfio_agent_create_device(agent, request);
		if (result >= 0 && !(request->flags & KVM_CREATE_DEVICE_TEST))
			reply.fd = result;
		break;
	case KVFIO_AGENT_HAS_ATTR:
		result = -EBADF;
		if (kvfio_agent_is_device(agent, request->fd))
			result = kvfio_agent_attr(request->fd, KVM_HAS_DEVICE_ATTR, request->type, request->attr, -1);
		break;
	case KVFIO_AGENT_SET_ATTR:
		result = kvfio_agent_set_attr(agent, conn, &reply.fd);
		break;
	case KVFIO_AGENT_GIVE:
		result = kvfio_agent_hold(agent, conn->passed, KVFIO_AGENT_GIVEN, conn);
		if (result >= 0) {
			reply.fd = result;
			conn->passed = -1;
		}
		break;
	case KVFIO_AGENT_TAKE:
		taken = request->fd;
		if (kvfio_agent_find(agent, taken) < 0) {
			taken = -1;
			result = -EBADF;
		}
		break;
	case KVFIO_AGENT_CLOSE:
		result = kvfio_agent_close_held(agent, conn, request->fd);
		break;
	case KVFIO_AGENT_LIST:
		for (int i = 0; i < agent->count; i++)
			list[i] = agent->slots[i].held;
		reply.count = (uint32_t)agent->count;
		parts[1].iov_len = (size_t)agent->count * sizeof(list[0]);
		break;
	default:
		result = -ENOSYS;
	}
	reply.error = result < 0 ? -result : 0;
	result = kvfio_agent_send(conn->fd, parts, 2, taken);
	return malformed ? -EPROTO : result;
}

/* --- connections ------------------------------------------------------------------------------------------------ */

KVFIO_AGENT_API int64_t kvfio_agent_now(void)
{
	struct timespec now = {.tv_sec = 0};

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Milliseconds until a client has taken too long for its request, for poll(). 0 when it has, and is to be given up. */
KVFIO_AGENT_API int kvfio_agent_time_left(const struct kvfio_agent_conn *conn)
{
	int64_t left = conn->deadline - kvfio_agent_now();

	return left > 0 ? (int)left : 0;
}

KVFIO_AGENT_API void kvfio_agent_expect_request(struct kvfio_agent_conn *conn)
{
	conn->have = 0;
	conn->deadline = kvfio_agent_now() + KVFIO_AGENT_IDLE_SECONDS * 1000;
}

/* Ends a connection, and with it what goes with it. The second time does nothing. */
KVFIO_AGENT_API void kvfio_agent_close(struct kvfio_agent *agent, struct kvfio_agent_conn *conn)
{
	for (int i = agent->count - 1; i >= 0; i--)
		if (agent->slots[i].conn == conn)
			kvfio_agent_drop(agent, i);
	if (conn->passed >= 0)
		close(conn->passed);
	if (conn->fd >= 0)
		close(conn->fd);
	conn->passed = conn->fd = -1;
}

/* Returns whether there is such a file. */
KVFIO_AGENT_API int kvfio_agent_read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? 0 : read(fd, text, size - 1);

	text[length > 0 ? length : 0] = '\0';
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Root and the VMM's own user. A user namespace shows all users that it does not map as one, who then is nobody. */
KVFIO_AGENT_API int kvfio_agent_trusts(uint32_t uid)
{
	char text[256];

	if (uid == 0 || uid != geteuid())
		return uid == 0;
	if (uid != (kvfio_agent_read_file("/proc/sys/kernel/overflowuid", text, sizeof(text)) ? strtoul(text, NULL, 10) : 65534))
		return 1;
	return !kvfio_agent_read_file("/proc/self/uid_map", text, sizeof(text)) || strstr(text, " 4294967295\n") != NULL;
}

/*
 * Begins a connection: takes over an accepted socket and sends the hello with the VM's descriptor. The peer must be
 * root or of the VMM's own user.
 *
 * conn must stay where it is until it is closed. Returns 0, or a negative errno value with the socket closed.
 */
KVFIO_AGENT_API int kvfio_agent_open(struct kvfio_agent *agent, struct kvfio_agent_conn *conn, int fd)
{
	struct kvfio_agent_hello hello = {.version = KVFIO_AGENT_VERSION, .vm_fd = agent->vm_fd};
	struct iovec part = {&hello, sizeof(hello)};
	struct { int32_t pid; uint32_t uid, gid; } peer; /* struct ucred, which needs _GNU_SOURCE */
	socklen_t length = sizeof(peer);
	int error;

	memset(conn, 0, sizeof(*conn));
	conn->passed = -1;
	conn->fd = fd;
	kvfio_agent_expect_request(conn);
	memcpy(hello.magic, KVFIO_AGENT_MAGIC, sizeof(hello.magic));
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		error = -errno;
	else if (!kvfio_agent_trusts(peer.uid))
		error = -EPERM;
	else
		error = kvfio_agent_send(fd, &part, 1, agent->vm_fd);
	if (error < 0)
		kvfio_agent_close(agent, conn);
	return error;
}

KVFIO_AGENT_API int kvfio_agent_is_socket(int fd)
{
	struct stat status;
	return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

/*
 * Reads what has come and answers a request that is complete. Never blocks.
 *
 * Returns 0 when there may be more to come, or a negative errno value with the connection closed: -ESHUTDOWN when
 * the peer closed it, -EPROTO when it did not keep to the protocol, -ETIMEDOUT when a request takes too long.
 */
KVFIO_AGENT_API int kvfio_agent_ready(struct kvfio_agent *agent, struct kvfio_agent_conn *conn)
{
	union { struct cmsghdr header; char bytes[CMSG_SPACE(sizeof(int))]; } control;
	struct iovec part = {(char *)&conn->request + conn->have, sizeof(conn->request) - conn->have};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = CMSG_LEN(sizeof(int)), /* CMSG_SPACE has room for a second one */
	};
	struct cmsghdr *header;
	ssize_t received;
	int fd, error = 0;

	do
		received = recvmsg(conn->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (received < 0 && errno == EINTR);
	if (received < 0 && errno == EAGAIN)
		return 0;
	if (received < 0) {
		error = -errno;
		goto end;
	}
	for (header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
		if (conn->passed >= 0 || kvfio_agent_is_socket(fd)) {
			close(fd);
			error = -EPROTO;
		} else {
			conn->passed = fd;
		}
	}
	if (received == 0)
		error = -ESHUTDOWN;
	else if (message.msg_flags & MSG_CTRUNC)
		error = -EPROTO;
	if (error < 0)
		goto end;
	conn->have += (size_t)received;
	if (conn->have < sizeof(conn->request)) {
		if (kvfio_agent_time_left(conn) > 0)
			return 0;
		error = -ETIMEDOUT;
		goto end;
	}
	error = kvfio_agent_answer(agent, conn);
	kvfio_agent_expect_request(conn);
	if (conn->passed >= 0)
		close(conn->passed);
	conn->passed = -1;
end:
	if (error < 0)
		kvfio_agent_close(agent, conn);
	return error;
}

/*
 * Serves one connection until it ends: kvfio_agent_open() and kvfio_agent_ready() for a VMM that has a thread for it.
 * Returns what ended it, as kvfio_agent_ready() does; -ETIMEDOUT also when the client is silent for too long.
 *
 * For a negative descriptor, of an accept4() that has failed, it returns -EBADF after a tenth of a second: the reason, such
 * as EMFILE, may last, and a loop around the two would spin.
 */
KVFIO_AGENT_API int kvfio_agent_serve(struct kvfio_agent *agent, int fd)
{
	struct kvfio_agent_conn conn;
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	int error;

	if (fd < 0) {
		poll(NULL, 0, 100);
		return -EBADF;
	}
	error = kvfio_agent_open(agent, &conn, fd);
	while (error == 0) {
		int left = kvfio_agent_time_left(&conn);
		int number = poll(&wait, 1, left);

		if (number < 0 && errno != EINTR)
			error = -errno;
		else if (number > 0)
			error = kvfio_agent_ready(agent, &conn);
		else if (left == 0)
			error = -ETIMEDOUT;
	}
	kvfio_agent_close(agent, &conn);
	return error;
}

/*
 * A listening socket at a path, with mode 0600, or at an abstract name for "@name". A socket file that is there is
 * not replaced. Returns a descriptor or a negative errno value.
 */
KVFIO_AGENT_API int kvfio_agent_listen(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = strlen(path);
	int fd, error;

	if (length < 2 || length >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, length + 1);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0600) < 0 || /* the file takes over the socket's mode */
	    bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (path[0] != '@'))) < 0 ||
	    listen(fd, 16) < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

#endif
