/*
 * A process that makes children which run in its memory until they execute something else or end.
 *
 *   children KIND FILE
 *
 * KIND is who makes them: first (the only thread, which the kernel has wait meanwhile), or other (a thread beside one in poll).
 */
#include "owner.h"
#include "../owner/inject/registers.h"
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>

static void *make_children(void *unused)
{
	struct self self;
	settle(&self, 1);
	for (;;) {
		volatile uint64_t shared = 1;
		pid_t child = vfork();
		if (child < 0) BROKEN(errno);
		if (child == 0) {
			struct timespec time = {0, 10000000};
			nanosleep(&time, NULL);
			shared = 2;
			if (report->ticks % 4 == 0) execl("/bin/true", "true", NULL);
			_exit(0);
		}
		int status;
		if (shared != 2) BROKEN(shared);
		if (waitpid(child, &status, 0) != child || status) BROKEN(status);
		check(&self);
		report->ticks++;
	}
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	begin(argc, argv);
	report->ready = 1;
	if (!strcmp(argv[1], "first")) make_children(NULL);
	pthread_create(&thread, NULL, make_children, NULL);
	for (;;) {
		long answer;
		int lost = lost_in_call(&answer, SYS_poll, 0, 0, 50, 0, 0, 0);
		if (lost || answer) BROKEN(lost ? lost : answer);
	}
}
