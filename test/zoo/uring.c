/*
 * An owner that lives on io_uring, whose kernel has threads of its own in it.
 *
 *   uring KIND FILE
 *
 * KIND is how the ring is served: plain, polled (by a thread of the kernel's) or workers (what blocks is done by threads of the
 * kernel's, which are the owner's tasks).
 */
#include "owner.h"
#include "../owner/inject/registers.h"
#include <linux/io_uring.h>
#include <linux/time_types.h>

static struct io_uring_params parameters;
static char *submissions, *completions;
static struct io_uring_sqe *entries;
static int ring, is_polled;

static unsigned *of(char *base, unsigned offset) { return (unsigned *)(base + offset); }

static void submit(struct io_uring_sqe entry)
{
	unsigned *tail = of(submissions, parameters.sq_off.tail), at = *tail & *of(submissions, parameters.sq_off.ring_mask);
	entries[at] = entry;
	of(submissions, parameters.sq_off.array)[at] = at;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (is_polled) {
		if (*of(submissions, parameters.sq_off.flags) & IORING_SQ_NEED_WAKEUP)
			syscall(SYS_io_uring_enter, ring, 0, 0, IORING_ENTER_SQ_WAKEUP, NULL, 0);
	} else if (syscall(SYS_io_uring_enter, ring, 1, 0, 0, NULL, 0) != 1)
		BROKEN(errno);
}

/* Waits for one completion, which is to be of this request. @return its result */
static int complete(uint64_t user_data)
{
	unsigned *head = of(completions, parameters.cq_off.head), *tail = of(completions, parameters.cq_off.tail);
	while (*head == __atomic_load_n(tail, __ATOMIC_ACQUIRE)) {
		long answer;
		int lost = lost_in_call(&answer, SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, 0, 0);
		if (lost) BROKEN(lost);
		/* as after a signal */
		if (answer == -EINTR) report->interrupted++;
		else if (answer) BROKEN(answer);
	}
	struct io_uring_cqe *all = (struct io_uring_cqe *)(completions + parameters.cq_off.cqes);
	struct io_uring_cqe *one = &all[*head & *of(completions, parameters.cq_off.ring_mask)];
	int result = one->res;
	if (one->user_data != user_data) BROKEN(one->user_data);
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return result;
}

int main(int argc, char **argv)
{
	static struct __kernel_timespec time = {.tv_nsec = 30000000};
	static char byte;
	struct self self;
	int pipes[2], has_workers;
	begin(argc, argv);
	is_polled = !strcmp(argv[1], "polled");
	has_workers = !strcmp(argv[1], "workers");
	if (is_polled) parameters = (struct io_uring_params){.flags = IORING_SETUP_SQPOLL, .sq_thread_idle = 10};
	ring = syscall(SYS_io_uring_setup, 8, &parameters);
	if (ring < 0 || pipe(pipes)) return 3;
	size_t size = parameters.sq_off.array + parameters.sq_entries * sizeof(unsigned);
	submissions = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	size = parameters.cq_off.cqes + parameters.cq_entries * sizeof(struct io_uring_cqe);
	completions = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
	entries = mmap(NULL, parameters.sq_entries * sizeof *entries, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	settle(&self, 1);
	report->ready = 1;
	for (;;) {
		uint64_t begun = nanoseconds();
		if (has_workers) /* a read that may block goes to a worker, which waits */
			submit((struct io_uring_sqe){.opcode = IORING_OP_READ, .flags = IOSQE_ASYNC, .fd = pipes[0], .addr = (uint64_t)&byte,
				.len = 1, .off = -1, .user_data = 2});
		submit((struct io_uring_sqe){.opcode = IORING_OP_TIMEOUT, .fd = -1, .addr = (uint64_t)&time, .len = 1, .user_data = 1});
		int result = complete(1);
		if (result != -ETIME) BROKEN(result);
		if (nanoseconds() - begun < 30000000) BROKEN(nanoseconds() - begun);
		if (has_workers) {
			if (write(pipes[1], "x", 1) != 1) BROKEN(errno);
			result = complete(2);
			if (result != 1) BROKEN(result);
		}
		check(&self);
		report->ticks++;
	}
}
