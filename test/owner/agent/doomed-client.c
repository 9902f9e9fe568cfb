/* A client of an agent that gives, lists, takes and closes without end, until it is killed. */
#include "kvfio-agent.h"

static int ask(int socket, uint16_t op, int32_t fd, int passed)
{
	static uint32_t sequence;
	struct kvfio_agent_request request = {
		.size = sizeof(request), .version = 1, .op = op, .sequence = ++sequence, .fd = fd, .value = -1,
		.type = 1, .attr = 1,
	};
	struct iovec part = {&request, sizeof(request)};
	char reply[sizeof(struct kvfio_agent_reply) + KVFIO_AGENT_MOST_HELD * sizeof(struct kvfio_agent_held)];

	if (op != KVFIO_AGENT_SET_ATTR)
		request.type = 0, request.attr = 0;
	if (kvfio_agent_send(socket, &part, 1, passed) < 0)
		return -1;
	if (recv(socket, reply, sizeof(reply), 0) < (ssize_t)sizeof(struct kvfio_agent_reply))
		return -1;
	return ((struct kvfio_agent_reply *)reply)->fd;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char hello[sizeof(struct kvfio_agent_hello)];
	int null = open("/dev/null", O_RDONLY), device = 0;

	if (argc != 3)
		return 2;
	strncpy(address.sun_path, argv[1], sizeof(address.sun_path) - 1);
	for (const char *digit = argv[2]; *digit; digit++)
		device = device * 10 + *digit - '0';
	for (;;) {
		int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(socket_fd, (struct sockaddr *)&address, sizeof(address)) < 0)
			return 3;
		if (recv(socket_fd, hello, sizeof(hello), 0) != sizeof(hello))
			return 4;
		for (int i = 0; i < 3; i++) {
			int given = ask(socket_fd, KVFIO_AGENT_GIVE, -1, null);
			if (given < 0)
				return 5;
			ask(socket_fd, KVFIO_AGENT_SET_ATTR, device, null);
			ask(socket_fd, KVFIO_AGENT_LIST, -1, -1);
			if (i == 1)
				ask(socket_fd, KVFIO_AGENT_CLOSE, given, -1);
		}
		close(socket_fd);
	}
}
