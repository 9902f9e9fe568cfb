/*
 * Threads with a seccomp filter that answers what kvfio has them do, and rt_sigreturn where told so, with an action.
 *
 *   filters ACTION FILE [free] [sigreturn] [vcpu]
 *
 * ACTION is allow, log, trace, errno, notify, trap, kill-thread, kill-process or strict. With free another thread has no filter.
 */
#include "owner.h"
#include "../owner/inject/registers.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>

static int is_given(int argc, char **argv, const char *option)
{
	for (int i = 3; i < argc; i++) if (!strcmp(argv[i], option)) return 1;
	return 0;
}

static void *wait_for_ever(void *is_counted)
{
	struct self self;
	if (is_counted) look(&self); /* what sets more would not pass some filters */
	for (;;) {
		long answer;
		int lost = lost_in_call(&answer, SYS_poll, 0, 0, 20, 0, 0, 0);
		if (lost || answer) BROKEN(lost ? lost : answer);
		if (is_counted) check(&self);
		if (is_counted) report->ticks++;
	}
	return NULL;
}

static uint32_t action_named(const char *name)
{
	static const struct { const char *name; uint32_t action; } ACTIONS[] = {
		{"allow", SECCOMP_RET_ALLOW}, {"log", SECCOMP_RET_LOG}, {"trace", SECCOMP_RET_TRACE},
		{"errno", SECCOMP_RET_ERRNO | EPERM}, {"notify", SECCOMP_RET_USER_NOTIF}, {"trap", SECCOMP_RET_TRAP},
		{"kill-thread", SECCOMP_RET_KILL_THREAD}, {"kill-process", SECCOMP_RET_KILL_PROCESS},
	};
	for (size_t i = 0; i < sizeof ACTIONS / sizeof *ACTIONS; i++) if (!strcmp(ACTIONS[i].name, name)) return ACTIONS[i].action;
	exit(2);
}

static void filter(uint32_t action, int sigreturn_too)
{
#define ACT(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, action)
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ACT(SYS_ioctl), ACT(SYS_socket), ACT(SYS_recvmsg), ACT(SYS_close),
		ACT(sigreturn_too ? SYS_rt_sigreturn : SYS_close),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof code / sizeof *code, code};
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* a supervisor that never answers, as one that is busy */
	int flags = action == SECCOMP_RET_USER_NOTIF ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) < 0) exit(3);
}

/* No call but read and write is allowed, and no second thread is there to fill the pipe. */
static void live_strictly(void)
{
	int pipes[2];
	if (pipe(pipes)) exit(3);
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) { poll(NULL, 0, 20); if (write(pipes[1], "x", 1) != 1) _exit(0); }
	}
	report->ready = 1;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) exit(3);
	for (char byte;; report->ticks++) {
		long answer;
		int lost = lost_in_call(&answer, SYS_read, pipes[0], (long)&byte, 1, 0, 0, 0);
		if (lost || answer != 1) BROKEN(lost ? lost : answer);
	}
}

int main(int argc, char **argv)
{
	pthread_t thread;
	begin(argc, argv);
	if (!strcmp(argv[1], "strict")) live_strictly();
	if (is_given(argc, argv, "free")) pthread_create(&thread, NULL, wait_for_ever, NULL);
	filter(action_named(argv[1]), is_given(argc, argv, "sigreturn"));
	report->ready = 1;
	wait_for_ever(report);
}
