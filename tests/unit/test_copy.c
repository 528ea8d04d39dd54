/* SPDX-License-Identifier: BSD-2-Clause */
/* Sources and sinks: iovecs of every shape, in pieces of every size, against one flat copy. */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "copy.h"
#include "fault.h"
#include "test_core_util.h"

#define MOST 24
#define FLAT 4096

struct shape {
	struct iovec iov[MOST];
	int cnt;
	size_t total;
	uint8_t mem[FLAT + MOST];
};

static void make(struct shape *sh, uint64_t *s)
{
	size_t at = 0, len;
	int i;

	sh->cnt = (int)below(s, MOST + 1);
	sh->total = 0;
	for (i = 0; i < sh->cnt; i++) {
		len = below(s, 3) ? below(s, FLAT / MOST) : 0;
		sh->iov[i].iov_base = len ? sh->mem + at : NULL;
		sh->iov[i].iov_len = len;
		at += len + 1; /* a byte between them that nobody may touch */
		sh->total += len;
	}
	memset(sh->mem, 0xee, sizeof(sh->mem));
}

static void flat_copy(uint8_t *flat, const struct shape *sh, bool out)
{
	int i;

	for (i = 0; i < sh->cnt; i++) {
		if (sh->iov[i].iov_len && out)
			memcpy(sh->iov[i].iov_base, flat, sh->iov[i].iov_len);
		else if (sh->iov[i].iov_len)
			memcpy(flat, sh->iov[i].iov_base, sh->iov[i].iov_len);
		flat += sh->iov[i].iov_len;
	}
}

static void test_src(void **state)
{
	uint8_t got[FLAT], want[FLAT];
	size_t done, len, some;
	uint64_t s = 1;
	struct shape sh;
	int round;

	(void)state;
	for (round = 0; round < 5000; round++) {
		make(&sh, &s);
		stream_fill(want, 0, sh.total);
		flat_copy(want, &sh, true);
		struct sl_src src = {.iov = sh.iov, .iovcnt = sh.cnt, .fd = -1};

		for (done = 0; done < sh.total; done += some) {
			len = 1 + below(&s, sh.total);
			some = sl_min_size(len, sh.total - done);
			if (below(&s, 4) == 0) { /* went over the kernel lane */
				sl_src_skip(&src, some);
				memcpy(got + done, want + done, some);
			} else {
				assert_int_equal(sl_src_fill(&src, got + done, len), some);
			}
		}
		assert_memory_equal(got, want, sh.total);
		assert_int_equal(sl_src_fill(&src, got, 10), 0);
	}
}

static void test_sink(void **state)
{
	uint8_t data[FLAT], flat[FLAT];
	size_t done, len, some, i;
	uint64_t s = 2;
	struct shape sh;
	int round;

	(void)state;
	stream_fill(data, 0, sizeof(data));
	for (round = 0; round < 5000; round++) {
		make(&sh, &s);
		struct sl_sink sink = {
			.iov = sh.iov, .iovcnt = sh.cnt, .fd = -1, .discard = round % 5 == 0};

		for (done = 0; done < sh.total; done += some) {
			len = 1 + below(&s, sh.total);
			some = sl_min_size(len, sh.total - done);
			assert_int_equal(sl_sink_put(&sink, data + done, len), some);
		}
		assert_int_equal(sl_sink_put(&sink, data, 10), 0);
		flat_copy(flat, &sh, false);
		if (sink.discard)
			for (i = 0; i < sizeof(sh.mem); i++)
				assert_int_equal(sh.mem[i], 0xee);
		else
			assert_memory_equal(flat, data, sh.total);
	}
}

/* An iovec for a system call: never empty while there is something left, never more than asked for.
 */
static void test_rest(void **state)
{
	struct iovec tmp[SL_IOV_REST];
	size_t off, total, sum, max, left;
	uint64_t s = 3;
	struct shape sh;
	int round, n, i, first;

	(void)state;
	for (round = 0; round < 20000; round++) {
		make(&sh, &s);
		first = sh.cnt ? (int)below(&s, (size_t)sh.cnt) : 0;
		off = sh.cnt && sh.iov[first].iov_len ? below(&s, sh.iov[first].iov_len) : 0;
		max = below(&s, 5) ? 1 + below(&s, FLAT) : SIZE_MAX;
		for (left = 0, i = first; i < sh.cnt; i++)
			left += sh.iov[i].iov_len;
		left -= off;
		n = sl_iov_rest(sh.iov + first, sh.cnt - first, off, tmp, max, &total);
		assert_in_range(n, 0, SL_IOV_REST);
		for (sum = 0, i = 0; i < n; i++)
			sum += tmp[i].iov_len;
		assert_int_equal(sum, total);
		assert_true(total <= max && total <= left);
		assert_int_equal(total == 0, left == 0);
		if (n < SL_IOV_REST)
			assert_int_equal(total, sl_min_size(left, max));
		if (n)
			assert_ptr_equal(tmp[0].iov_base,
					 off ? (uint8_t *)sh.iov[first].iov_base + off
					     : tmp[0].iov_base);
	}
}

/* Files are read at an offset of the caller's or at their own; pipes give what they have. */
static void test_descriptors(void **state)
{
	uint8_t data[1000], got[1000];
	struct sl_src src = {0};
	struct sl_sink sink = {0};
	off_t pos = 100;
	int fd = memfd_create("test", MFD_CLOEXEC), p[2];

	(void)state;
	stream_fill(data, 0, sizeof(data));
	assert_int_equal(write(fd, data, sizeof(data)), sizeof(data));
	src.fd = fd;
	src.pos = &pos;
	assert_int_equal(sl_src_fill(&src, got, 50), 50);
	assert_int_equal(pos, 150);
	assert_memory_equal(got, data + 100, 50);
	assert_int_equal(sl_src_fill(&src, got, 2000), 850);
	assert_int_equal(sl_src_fill(&src, got, 2000), 0);
	assert_int_equal(pos, 1000);
	src.pos = NULL;
	assert_int_equal(lseek(fd, 10, SEEK_SET), 10);
	assert_int_equal(sl_src_fill(&src, got, 50), 50);
	assert_memory_equal(got, data + 10, 50);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 60);
	(void)close(fd);
	assert_int_equal(sl_src_fill(&src, got, 50), -EBADF);

	assert_int_equal(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
	sink.fd = p[1];
	assert_int_equal(sl_sink_put(&sink, data, 700), 700);
	src.fd = p[0];
	assert_int_equal(sl_src_fill(&src, got, 1000), 700);
	assert_memory_equal(got, data, 700);
	assert_int_equal(sl_src_fill(&src, got, 1000), -EAGAIN);
	(void)close(p[1]);
	assert_int_equal(sl_src_fill(&src, got, 1000), 0);
	(void)close(p[0]);
}

/* Bad pages, at every place and with every length. Return: 0, or the line of what is wrong. */
static int bad_pages(void)
{
	char *page = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static uint8_t mine[8192];
	size_t len, before;

	mprotect(page + 4096, 4096, PROT_NONE);
	for (len = 1; len <= sizeof(mine); len = len * 3 / 2 + 1) {
		for (before = 0; before < len && before <= 4096; before += len / 4 + 1) {
			struct iovec iov = {page + 4096 - before, len};
			struct sl_src src = {.iov = &iov, .iovcnt = 1, .fd = -1};
			struct sl_sink sink = {.iov = &iov, .iovcnt = 1, .fd = -1};

			if (sl_src_fill(&src, mine, len) != -EFAULT ||
			    sl_sink_put(&sink, mine, len) != -EFAULT)
				return 1;
		}
	}
	if (sl_copy(mine, NULL, 1) != -EFAULT || sl_copy(mine, (void *)-1ul, 100) != -EFAULT ||
	    sl_copy((void *)(1ul << 60), mine, 100) != -EFAULT)
		return 2;
	mprotect(page + 4096, 4096, PROT_READ);
	if (sl_copy(mine, page + 4096, 4096) || sl_copy(page, mine, 4096))
		return 3;
	return sl_copy(page + 4096, mine, 8) == -EFAULT ? 0 : 4;
}

enum { PAGES, WILD, SENT, ORDINARY };

/* In a child, as cmocka has handlers of its own. Return: its wait status. */
static int in_child(int what)
{
	char *volatile nowhere = (char *)8;
	volatile char *wild = nowhere;
	const struct rlimit none = {0};
	int pid = fork(), st = -1;

	if (!pid) {
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGSEGV, SIG_DFL);
		sl_fault_init();
		if (what == WILD)
			*wild = 1;
		if (what == SENT)
			kill(getpid(), SIGSEGV);
		_exit(what == PAGES ? bad_pages() : 0);
	}
	assert_int_equal(waitpid(pid, &st, 0), pid);
	return st;
}

static void test_fault(void **state)
{
	(void)state;
	assert_true(sl_bad_address(NULL) && sl_bad_address((void *)8) && sl_bad_address((void *)-1ul));
	assert_false(sl_bad_address(&state));
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(); /* their memcpy() is no leaf */
#endif
	assert_int_equal(in_child(PAGES), 0);
}

/* A fault that is not ours, and a signal that was sent, end the process as they would have. */
static void test_fault_of_others(void **state)
{
	(void)state;
	assert_int_equal(in_child(ORDINARY), 0);
	assert_int_equal(WTERMSIG(in_child(WILD)), SIGSEGV);
	assert_int_equal(WTERMSIG(in_child(SENT)), SIGSEGV);
}

/* A pipe that blocks: what it has, or has room for, and nobody waits. @fd: its two ends. */
static void pipe_now(int fd[2])
{
	uint8_t data[300], got[600];
	struct sl_src src = {.fd = fd[0], .pipe = true};
	struct sl_sink sink = {.fd = fd[1]};
	size_t put = 0, read = 0;
	ssize_t n;

	(void)alarm(10); /* who hangs is killed */
	stream_fill(data, 0, sizeof(data));
	assert_int_equal(sl_src_fill(&src, got, sizeof(got)), -EAGAIN);
	assert_true(src.dry);
	assert_int_equal(sl_sink_put(&sink, data, sizeof(data)), sizeof(data));
	assert_int_equal(sl_src_fill(&src, got, sizeof(got)), sizeof(data));
	assert_memory_equal(got, data, sizeof(data));

	while ((n = sl_sink_put(&sink, data, sizeof(data))) > 0)
		put += (size_t)n;
	assert_int_equal(n, -EAGAIN);
	assert_true(sink.full);
	assert_true(put >= 4096);
	while ((n = sl_src_fill(&src, got, sizeof(got))) > 0)
		read += (size_t)n;
	assert_int_equal(n, -EAGAIN);
	assert_int_equal(read, put);
	(void)close(fd[1]);
	assert_int_equal(sl_src_fill(&src, got, sizeof(got)), 0);
	(void)close(fd[0]);
	(void)alarm(0);
}

static void test_pipes_now(void **state)
{
	char dir[] = "/tmp/scilan-test-XXXXXX", name[64];
	int fd[2];

	(void)state;
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	pipe_now(fd);

	/* One with a name, which some kernels cannot ask without waiting. */
	assert_non_null(mkdtemp(dir));
	(void)snprintf(name, sizeof(name), "%s/fifo", dir);
	assert_int_equal(mkfifo(name, 0600), 0);
	fd[0] = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	fd[1] = open(name, O_WRONLY | O_CLOEXEC);
	assert_true(fd[0] >= 0 && fd[1] >= 0);
	assert_int_equal(fcntl(fd[0], F_SETFL, 0), 0);
	pipe_now(fd);
	(void)unlink(name);
	(void)rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_src),
		cmocka_unit_test(test_sink),
		cmocka_unit_test(test_rest),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_pipes_now),
		cmocka_unit_test(test_fault),
		cmocka_unit_test(test_fault_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
