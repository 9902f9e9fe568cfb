/*
 * An agent, and a client that keeps it from nothing else for as long as it can. Prints what the agent made of it.
 *
 *	slow-client signals   says nothing, while a signal interrupts the agent 100 times a second
 *	slow-client bytes     sends a byte of a request 20 times a second
 *	slow-client answers   completes a request 20 times a second, for two time limits, and then leaves
 *	slow-client files     connects while the agent's process may open no more files; prints how often it tried in a second
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "kvfio-agent.h"

static volatile sig_atomic_t alarmed;

static void count(int signal)
{
	(void)signal;
	alarmed++;
}

static void every(int milliseconds)
{
	struct itimerval interval = {.it_interval.tv_usec = milliseconds * 1000, .it_value.tv_usec = milliseconds * 1000};

	sigaction(SIGALRM, &(struct sigaction){.sa_handler = count}, NULL);
	setitimer(ITIMER_REAL, &interval, NULL);
}

/* Sends requests in parts of so many bytes, so many parts in all, and leaves. */
static void send_parts(int fd, size_t size, int parts)
{
	struct kvfio_agent_request request = {
		.size = sizeof(request), .version = KVFIO_AGENT_VERSION, .op = KVFIO_AGENT_LIST, .fd = -1, .value = -1};
	char answers[4096];

	for (int part = 0; part < parts; part++) {
		if (send(fd, (char *)&request + part * size % sizeof(request), size, MSG_NOSIGNAL) < 0)
			break;
		if ((part + 1) * size % sizeof(request) == 0)
			recv(fd, answers, sizeof(answers), 0);
		poll(NULL, 0, 50);
	}
	/* a socket that is closed with unread bytes is reset, and its peer then sees no end but an error */
	shutdown(fd, SHUT_WR);
	while (recv(fd, answers, sizeof(answers), 0) > 0)
		;
	_exit(0);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	struct kvfio_agent agent;
	int pair[2];

	kvfio_agent_init(&agent, open("/dev/null", O_RDWR | O_CLOEXEC));
	if (strcmp(how, "files") == 0) {
		struct rlimit few = {.rlim_cur = 16, .rlim_max = 16};
		int listener = kvfio_agent_listen("@slow-client"), tries = 0;
		struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "\0slow-client"};
		int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (connect(client, (struct sockaddr *)&address, offsetof(struct sockaddr_un, sun_path) + 12) != 0)
			return 1;
		setrlimit(RLIMIT_NOFILE, &few);
		while (open("/dev/null", O_RDONLY) >= 0)
			;
		for (every(500); alarmed < 2; tries++)
			kvfio_agent_serve(&agent, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
		printf("%d\n", tries);
		return 0;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return 1;
	if (strcmp(how, "signals") == 0) {
		every(10);
	} else if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		if (strcmp(how, "bytes") == 0)
			send_parts(pair[1], 1, sizeof(struct kvfio_agent_request) - 1);
		send_parts(pair[1], sizeof(struct kvfio_agent_request), KVFIO_AGENT_IDLE_SECONDS * 40);
	}
	if (strcmp(how, "signals") != 0)
		close(pair[1]);
	printf("%s\n", strerrorname_np(-kvfio_agent_serve(&agent, pair[0])));
	return 0;
}
