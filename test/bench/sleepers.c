/* Many processes that sleep until their parent ends. Arguments: how many, and how many descriptors each has. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int processes = argc > 1 ? atoi(argv[1]) : 0;
	int descriptors = argc > 2 ? atoi(argv[2]) : 0;

	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	for (int fd = 3; fd < descriptors; fd++)
		if (open("/dev/null", O_RDONLY) != fd)
			return 1;
	for (int i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid < 0) {
			perror("fork");
			return 1;
		}
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
	}
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
