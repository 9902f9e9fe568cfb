/*
 * A thread that waits in one system call again and again, and looks at what that answers, at all its registers, and at the clock.
 *
 *   calls CALL FILE [free]
 *
 * With free another thread waits in poll, and counts.
 */
#include "owner.h"
#include "../owner/inject/registers.h"
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>

#define WAIT_NS 120000000
static const struct timespec wait_time = {0, WAIT_NS};
static const char *name;

static int is(const char *other) { return !strcmp(name, other); }
static void count(int signal) { (void)signal; report->rest[1]++; }
static void fail(void) { perror(name); exit(3); }

/* Has a child do something when the time is over, and end. */
#define LATER(...) do { \
	if (fork() == 0) { prctl(PR_SET_PDEATHSIG, SIGKILL); nanosleep(&wait_time, NULL); __VA_ARGS__; _exit(0); } \
} while (0)

static struct timespec at(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	t.tv_nsec += WAIT_NS;
	if (t.tv_nsec >= 1000000000) { t.tv_nsec -= 1000000000; t.tv_sec++; }
	return t;
}

static struct { long answer; int lost; } made;
static long make_six(long number, long a, long b, long c, long d, long e, long f)
{
	made.lost = lost_in_call(&made.answer, number, a, b, c, d, e, f);
	return made.answer;
}
#define MAKE(number, ...) MAKE_(number, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define MAKE_(number, a, b, c, d, e, f, ...) make_six(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* A socket counts its time in ticks, and an emulated processor gets many of them late, all at once: the coarse clock stands as long. */
static uint64_t ticks_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* Each of these waits once, and returns what it was not to answer, or 0. */
static long expect(long wanted, long answer) { return answer == wanted ? 0 : answer ? answer : -4711; }

static int pipes[2], pair[2], epoll;
static char bytes[1 << 16], *unwritable;

static void fill(int fd)
{
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (write(fd, bytes, sizeof bytes) > 0) ;
	while (write(fd, bytes, 1) > 0) ;
	fcntl(fd, F_SETFL, 0);
}

static void drain(int fd)
{
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (read(fd, bytes, sizeof bytes) > 0) ;
	fcntl(fd, F_SETFL, 0);
}

static long wait_for_time(void)
{
	static uint32_t word = 1;
	struct timespec t = wait_time;
	struct timeval v = {0, WAIT_NS / 1000};
	sigset_t none;
	sigemptyset(&none);
	if (is("futex")) return expect(-ETIMEDOUT, MAKE(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, &t));
	if (is("futex bitset")) {
		t = at(CLOCK_MONOTONIC);
		return expect(-ETIMEDOUT, MAKE(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 1, &t, 0, -1));
	}
	if (is("futex_waitv")) {
		struct { uint64_t value, address; uint32_t flags, unused; } waiter = {1, (uint64_t)&word, 2 | 128, 0};
		t = at(CLOCK_MONOTONIC);
		long answer = MAKE(449, &waiter, 1, 0, &t, CLOCK_MONOTONIC);
		return answer == -ENOSYS ? (nanosleep(&wait_time, NULL), 0) : expect(-ETIMEDOUT, answer);
	}
	if (is("futex_wait")) {
		t = at(CLOCK_MONOTONIC);
		long answer = MAKE(455, &word, 1, 0xffffffff, 2 | 128, &t, CLOCK_MONOTONIC);
		return answer == -ENOSYS ? (nanosleep(&wait_time, NULL), 0) : expect(-ETIMEDOUT, answer);
	}
	if (is("poll")) return expect(0, MAKE(SYS_poll, 0, 0, WAIT_NS / 1000000));
	if (is("ppoll")) return expect(0, MAKE(SYS_ppoll, 0, 0, &t, &none, 8));
	if (is("ppoll, constant time")) return expect(0, MAKE(SYS_ppoll, 0, 0, unwritable, &none, 8));
	if (is("select")) return expect(0, MAKE(SYS_select, 0, 0, 0, 0, &v));
	if (is("pselect6")) return expect(0, MAKE(SYS_pselect6, 0, 0, 0, 0, &t, 0));
	if (is("pselect6, constant time")) return expect(0, MAKE(SYS_pselect6, 0, 0, 0, 0, unwritable, 0));
	if (is("nanosleep")) return expect(0, MAKE(SYS_nanosleep, &t, &t));
	if (is("nanosleep, constant rest")) return expect(0, MAKE(SYS_nanosleep, &t, unwritable));
	if (is("clock_nanosleep")) return expect(0, MAKE(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, 0));
	if (is("clock_nanosleep until")) {
		t = at(CLOCK_REALTIME);
		return expect(0, MAKE(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &t, 0));
	}
	if (is("rt_sigtimedwait")) return expect(-EAGAIN, MAKE(SYS_rt_sigtimedwait, &(uint64_t){1 << (SIGUSR2 - 1)}, 0, &t, 8));
	struct epoll_event event;
	if (is("epoll_wait")) return expect(0, MAKE(SYS_epoll_wait, epoll, &event, 1, WAIT_NS / 1000000));
	if (is("epoll_pwait")) return expect(0, MAKE(SYS_epoll_pwait, epoll, &event, 1, WAIT_NS / 1000000, &none, 8));
	if (is("epoll_pwait2")) {
		long answer = MAKE(441, epoll, &event, 1, &t, &none, 8);
		return answer == -ENOSYS ? (nanosleep(&wait_time, NULL), 0) : expect(0, answer);
	}
	if (is("io_getevents") || is("io_pgetevents")) {
		static aio_context_t context;
		struct io_event events[2];
		if (!context && syscall(SYS_io_setup, 4, &context)) fail();
		if (is("io_getevents")) return expect(0, MAKE(SYS_io_getevents, context, 1, 1, events, &t));
		return expect(0, MAKE(SYS_io_pgetevents, context, 1, 1, events, &t, 0));
	}
	if (is("io_uring_enter")) {
		static int ring;
		struct io_uring_params parameters = {0};
		struct { uint64_t mask; uint32_t size, unused; uint64_t time; } argument = {0, 8, 0, (uint64_t)&t};
		if (!ring && (ring = syscall(SYS_io_uring_setup, 8, &parameters)) < 0) fail();
		return expect(-ETIME, MAKE(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &argument, sizeof argument));
	}
	if (is("io_uring_enter, two")) {
		/* one of the two that it waits for is there; to have that at the end of its time is no error */
		static int ring;
		struct io_uring_params parameters = {0};
		struct { uint64_t mask; uint32_t size, unused; uint64_t time; } argument = {0, 8, 0, (uint64_t)&t};
		if (!ring) {
			if ((ring = syscall(SYS_io_uring_setup, 8, &parameters)) < 0) fail();
			char *queue = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
			mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
			/* all zero is IORING_OP_NOP */
			++*(unsigned *)(queue + parameters.sq_off.tail);
			if (syscall(SYS_io_uring_enter, ring, 1, 0, 0, NULL, 0) != 1) fail();
		}
		return expect(0, MAKE(SYS_io_uring_enter, ring, 0, 2, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &argument, sizeof argument));
	}
	if (is("semtimedop")) {
		static int set;
		if (!set && (set = semget(IPC_PRIVATE, 1, 0600)) < 0) fail();
		struct sembuf less = {0, -1, 0};
		return expect(-EAGAIN, MAKE(SYS_semtimedop, set, &less, 1, &t));
	}
	/* a socket with a time limit */
	struct iovec vector = {bytes, 1};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
	struct mmsghdr messages[1] = {{.msg_hdr = message}};
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &v, sizeof v);
	if (is("read, time limit")) return expect(-EAGAIN, MAKE(SYS_read, pair[0], bytes, 1));
	if (is("readv, time limit")) return expect(-EAGAIN, MAKE(SYS_readv, pair[0], &vector, 1));
	if (is("preadv2, time limit")) return expect(-EAGAIN, MAKE(SYS_preadv2, pair[0], &vector, 1, -1, -1, 0));
	if (is("recvfrom, time limit")) return expect(-EAGAIN, MAKE(SYS_recvfrom, pair[0], bytes, 1, 0));
	if (is("recvfrom, all")) return expect(-EAGAIN, MAKE(SYS_recvfrom, pair[0], bytes, 2, MSG_WAITALL));
	if (is("read, least") || is("recvfrom, least")) {
		drain(pair[0]);
		if (setsockopt(pair[0], SOL_SOCKET, SO_RCVLOWAT, &(int){2}, sizeof(int)) || write(pair[1], "x", 1) != 1) fail();
		return expect(1, is("read, least") ? MAKE(SYS_read, pair[0], bytes, 2) : MAKE(SYS_recvfrom, pair[0], bytes, 2, 0));
	}
	if (is("recvmsg, time limit")) return expect(-EAGAIN, MAKE(SYS_recvmsg, pair[0], &message, 0));
	if (is("recvmmsg, time limit")) return expect(-EAGAIN, MAKE(SYS_recvmmsg, pair[0], messages, 1, 0, 0));
	setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &v, sizeof v);
	if (is("accept, time limit") || is("connect, time limit")) {
		static struct sockaddr_un own = {.sun_family = AF_UNIX};
		static socklen_t length = sizeof own;
		static int listener;
		if (!listener) {
			listener = socket(AF_UNIX, SOCK_STREAM, 0);
			if (bind(listener, (void *)&own, sizeof own.sun_family) || listen(listener, 0)) fail();
			getsockname(listener, (void *)&own, &length);
			setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &v, sizeof v);
			/* fills the queue */
			if (is("connect, time limit") && connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&own, length)) fail();
		}
		if (is("accept, time limit")) return expect(-EAGAIN, MAKE(SYS_accept, listener, 0, 0));
		int client = socket(AF_UNIX, SOCK_STREAM, 0);
		setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &v, sizeof v);
		long answer = expect(-EAGAIN, MAKE(SYS_connect, client, &own, length));
		close(client);
		return answer;
	}
	if (is("splice, time limit")) return expect(-EAGAIN, MAKE(SYS_splice, pair[0], 0, pipes[1], 0, 1, 0));
	if (is("write, time limit") || is("sendto, time limit") || is("sendmsg, time limit") || is("sendfile, time limit")) {
		static int file;
		fill(pair[0]);
		if (!file) file = open("/proc/self/exe", O_RDONLY);
		if (is("write, time limit")) return expect(-EAGAIN, MAKE(SYS_write, pair[0], bytes, 1));
		if (is("sendto, time limit")) return expect(-EAGAIN, MAKE(SYS_sendto, pair[0], bytes, 1, 0));
		if (is("sendmsg, time limit")) return expect(-EAGAIN, MAKE(SYS_sendmsg, pair[0], &message, 0));
		off_t offset = 0;
		long answer = MAKE(SYS_sendfile, pair[0], file, &offset, 1);
		/* before Linux 6.5 a full socket takes a page all the same, and nothing waits (unix_stream_sendpage) */
		return answer == 1 ? (nanosleep(&wait_time, NULL), 0) : expect(-EAGAIN, answer);
	}
	return -ENOSYS;
}

/* What somebody else brings to an end. */
static long wait_for_other(void)
{
	int status;
	struct { long type; char text[8]; } message = {1, ""};
	struct iovec vector = {bytes, 1};
	long answer = -ENOSYS;
	report->rest[1] = 0;
	if (is("wait4") || is("waitid")) {
		siginfo_t info;
		LATER();
		return is("wait4") ? MAKE(SYS_wait4, -1, &status, 0, 0) > 0 ? 0 : made.answer : expect(0, MAKE(SYS_waitid, P_ALL, 0, &info, WEXITED, 0));
	}
	if (is("pause") || is("rt_sigsuspend")) {
		/* while it is blocked, it comes within the call; pause would miss one that comes before, and gets another */
		uint64_t usr1 = 1 << (SIGUSR1 - 1), none = 0;
		pid_t own = getpid();
		if (is("rt_sigsuspend")) syscall(SYS_rt_sigprocmask, SIG_BLOCK, &usr1, NULL, 8);
		report->rest[0] = 0;
		LATER(do kill(own, SIGUSR1); while (nanosleep(&wait_time, NULL), !report->rest[0]));
		answer = expect(-EINTR, is("pause") ? MAKE(SYS_pause) : MAKE(SYS_rt_sigsuspend, &none, 8));
		report->rest[0] = 1;
		if (!report->rest[1]) answer = -EINTR;
	} else if (is("msgrcv") || is("msgsnd")) {
		static int queue;
		if (!queue && (queue = msgget(IPC_PRIVATE, 0600)) < 0) fail();
		if (is("msgrcv")) {
			LATER(msgsnd(queue, &message, 1, 0));
			answer = expect(1, MAKE(SYS_msgrcv, queue, &message, 1, 0, 0));
		} else {
			while (!msgsnd(queue, &message, 8, IPC_NOWAIT)) ;
			LATER(msgrcv(queue, &message, 8, 0, 0));
			answer = expect(0, MAKE(SYS_msgsnd, queue, &message, 8, 0));
		}
	} else if (is("semop")) {
		static int set;
		struct sembuf less = {0, -1, 0}, more = {0, 1, 0};
		if (!set && (set = semget(IPC_PRIVATE, 1, 0600)) < 0) fail();
		LATER(semop(set, &more, 1));
		answer = expect(0, MAKE(SYS_semop, set, &less, 1));
	} else if (is("flock") || is("fcntl, lock")) {
		static int file;
		struct flock lock = {.l_type = F_WRLCK};
		char path[64];
		volatile int *held = (volatile int *)&report->rest[0];
		if (!file && (file = memfd_create("lock", 0)) < 0) fail();
		snprintf(path, sizeof path, "/proc/%d/fd/%d", getpid(), file);
		*held = 0;
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			int other = open(path, O_RDWR);
			if (is("flock")) syscall(SYS_flock, other, 2); else fcntl(other, F_OFD_SETLKW, &lock);
			*held = 1;
			nanosleep(&wait_time, NULL);
			_exit(0);
		}
		while (!*held) ;
		answer = expect(0, is("flock") ? MAKE(SYS_flock, file, 2) : MAKE(SYS_fcntl, file, F_OFD_SETLKW, &lock));
		lock = (struct flock){.l_type = F_UNLCK};
		if (is("flock")) syscall(SYS_flock, file, 8); else fcntl(file, F_OFD_SETLK, &lock);
	} else if (is("open") || is("openat")) {
		static char path[64];
		if (!*path) {
			snprintf(path, sizeof path, "/dev/shm/kvfio-fifo-%d", getpid());
			if (mkfifo(path, 0600)) fail();
		}
		LATER(open(path, O_WRONLY));
		answer = is("open") ? MAKE(SYS_open, path, O_RDONLY) : MAKE(SYS_openat, AT_FDCWD, path, O_RDONLY);
		if (answer >= 0) { close(answer); answer = 0; }
		if (report->ticks >= 1000) unlink(path);
	} else if (is("read") || is("readv") || is("tee")) {
		int other[2];
		if (pipe(other)) fail();
		LATER(if (write(pipes[1], "x", 1) < 0) _exit(1));
		if (is("read")) answer = expect(1, MAKE(SYS_read, pipes[0], bytes, 1));
		if (is("readv")) answer = expect(1, MAKE(SYS_readv, pipes[0], &vector, 1));
		if (is("tee")) { answer = expect(1, MAKE(SYS_tee, pipes[0], other[1], 1, 0)); drain(pipes[0]); }
		close(other[0]);
		close(other[1]);
	} else if (is("read, terminal") || is("read, line of a terminal")) {
		static int master, terminal;
		struct termios how;
		int waits_for_two = is("read, terminal");
		if (!master) {
			if ((master = open("/dev/ptmx", O_RDWR | O_NOCTTY)) < 0 || grantpt(master) || unlockpt(master)) fail();
			if ((terminal = open(ptsname(master), O_RDWR | O_NOCTTY)) < 0 || tcgetattr(terminal, &how)) fail();
			how.c_lflag &= ~(ECHO | (waits_for_two ? ICANON : 0));
			how.c_cc[VMIN] = 2;
			how.c_cc[VTIME] = 0;
			if (tcsetattr(terminal, TCSANOW, &how)) fail();
		}
		if (write(master, "x", 1) != 1) fail();
		LATER(if (write(master, waits_for_two ? "y" : "\n", 1) < 0) _exit(1));
		answer = expect(2, MAKE(SYS_read, terminal, bytes, 4));
	} else if (is("read, timerfd")) {
		static int timer;
		struct itimerspec once = {{0}, wait_time};
		if (!timer) timer = timerfd_create(CLOCK_MONOTONIC, 0);
		timerfd_settime(timer, 0, &once, NULL);
		return expect(8, MAKE(SYS_read, timer, bytes, 8));
	} else if (is("write") || is("writev") || is("vmsplice")) {
		fill(pipes[1]);
		LATER(drain(pipes[0]));
		if (is("write")) answer = expect(1, MAKE(SYS_write, pipes[1], bytes, 1));
		if (is("writev")) answer = expect(1, MAKE(SYS_writev, pipes[1], &vector, 1));
		if (is("vmsplice")) answer = expect(1, MAKE(SYS_vmsplice, pipes[1], &vector, 1, 0));
	}
	long number = made.answer;
	int lost = made.lost;
	while (waitpid(-1, &status, 0) < 0 && errno == EINTR) ;
	made.answer = number;
	made.lost = lost;
	return answer;
}

/* What takes its time in the kernel without waiting there, and looks for signals meanwhile. */
static long work(void)
{
	static int file, kvm;
	uint64_t end = nanoseconds() + WAIT_NS;
	long answer = 0;
	if (!file) file = memfd_create("room", 0);
	if (!kvm) kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	do {
		if (is("fallocate")) {
			answer = MAKE(SYS_fallocate, file, 0, 0, 16 << 20);
			if (ftruncate(file, 0)) fail();
		} else if (is("KVM_CREATE_VM")) {
			answer = MAKE(SYS_ioctl, kvm, KVM_CREATE_VM, 0);
			if (answer > 0) { close(answer); answer = 0; }
		} else return -ENOSYS;
	} while (!answer && !made.lost && nanoseconds() < end);
	return answer;
}

static void *wait_beside(void *unused)
{
	for (;;) { poll(NULL, 0, 20); report->ticks++; }
	return unused;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = count, .sa_flags = 0};
	struct self self;
	pthread_t thread;
	begin(argc, argv);
	name = argv[1];
	sigaction(SIGUSR1, &action, NULL);
	if (pipe(pipes) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) fail();
	epoll = epoll_create1(0);
	unwritable = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(unwritable, &wait_time, sizeof wait_time);
	mprotect(unwritable, 4096, PROT_READ);
	settle(&self, 1);
	int has_other = argc > 3;
	if (has_other) pthread_create(&thread, NULL, wait_beside, NULL);
	report->ready = 1;
	for (;;) {
		uint64_t begun = nanoseconds(), tick = ticks_now();
		long wrong = work();
		if (wrong == -ENOSYS) wrong = wait_for_time();
		int by_other = wrong == -ENOSYS;
		if (by_other) wrong = wait_for_other();
		if (wrong) BROKEN(-wrong);
		if (made.lost) BROKEN(made.lost);
		/* a tick is no more than 10 ms; what others end may be ended sooner than this began to wait */
		uint64_t waited = nanoseconds() - begun, waited_ticks = ticks_now() - tick;
		if (!by_other && waited < WAIT_NS - 10000000 && waited_ticks < WAIT_NS - 20000000) BROKEN(waited);
		if (!is("rt_sigsuspend")) check(&self);
		if (!has_other) report->ticks++;
	}
}
