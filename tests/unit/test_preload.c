/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_preload.c - the interposed calls say what libc says
 *
 * The same cases run three times: plain (which proves the expectations), preloaded with promotion
 * off, and preloaded with every connection offered at once to a broker that does not answer. What
 * happens on the memory lane is tested elsewhere.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define assert_fails(err, call)                                                                    \
	do {                                                                                       \
		errno = 0;                                                                         \
		assert_int_equal(call, -1);                                                        \
		assert_int_equal(errno, err);                                                      \
	} while (0)

static const char *self;
static int c, s; /* the two ends of a connection, fresh for each case */

static int setup(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(l, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&a, &len), 0);
	c = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(c, (struct sockaddr *)&a, len), 0);
	s = accept(l, NULL, NULL);
	assert_true(s >= 0);
	close(l);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(c);
	close(s);
	return 0;
}

/* One byte through the connection: @to still stands for its other end. */
static void assert_flows(int from, int to)
{
	char b[4];

	assert_int_equal(write(from, "x", 1), 1);
	assert_int_equal(read(to, b, sizeof(b)), 1);
}

static void assert_child(int want)
{
	int st;

	assert_true(wait(&st) > 0);
	assert_true(WIFEXITED(st));
	assert_int_equal(WEXITSTATUS(st), want);
}

static void test_arguments(void **state)
{
	char b[8];
	struct iovec one = {b, 1}, negative = {b, SIZE_MAX};
	struct msghdr m = {.msg_iov = &one, .msg_iovlen = IOV_MAX + 1};
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	/* volatile: the compiler would know better */
	volatile int too_many = IOV_MAX + 1, minus = -1;
	volatile size_t huge = SIZE_MAX;

	(void)state;
	assert_fails(EINVAL, readv(s, &one, too_many));
	assert_fails(EINVAL, writev(c, &one, minus));
	assert_fails(EINVAL, readv(s, &negative, 1));
	assert_fails(EFAULT, read(s, b, huge));
	assert_fails(EMSGSIZE, recvmsg(s, &m, 0));
	assert_fails(EMSGSIZE, sendmsg(c, &m, 0));
	assert_fails(ESPIPE, preadv2(s, &one, 1, 0, 0));
	assert_fails(EOPNOTSUPP, preadv2(s, &one, 1, -1, 0x4000));
	assert_fails(EAGAIN, preadv2(s, &one, 1, -1, RWF_NOWAIT));
	assert_int_equal(readv(s, &one, 0), 0);
	assert_int_equal(read(s, b, 0), 0);

	assert_int_equal(send(c, "abcd", 4, 0), 4);
	assert_int_equal(recvfrom(s, b, 1, 0, (struct sockaddr *)&from, &len), 1);
	assert_int_equal(len, 0);
	assert_fails(EFAULT, recvfrom(s, b, 1, 0, (struct sockaddr *)&from, NULL));
	assert_int_equal(recvfrom(s, b, 1, 0, NULL, &len), 1);
	assert_int_equal(preadv2(s, &one, 1, -1, RWF_NOWAIT), 1);
}

static void test_many(void **state)
{
	char b[4];
	struct iovec iov[2] = {{b, 1}, {b + 1, 1}};
	struct mmsghdr v[2] = {{.msg_hdr = {.msg_iov = &iov[0], .msg_iovlen = 1}},
			       {.msg_hdr = {.msg_iov = &iov[1], .msg_iovlen = 1}}};
	struct timespec t = {-1, 0};

	(void)state;
	memcpy(b, "ab", 2);
	assert_int_equal(sendmmsg(c, v, 2, 0), 2);
	assert_int_equal(recvmmsg(s, v, 2, MSG_WAITFORONE, NULL), 2);
	assert_int_equal(v[1].msg_len, 1);
	assert_memory_equal(b, "ab", 2);
	assert_fails(EINVAL, recvmmsg(s, v, 2, 0, &t));
	assert_flows(c, s);
	assert_int_equal(write(c, "z", 1), 1);
	t.tv_sec = 0;
	assert_int_equal(recvmmsg(s, v, 2, 0, &t), 1); /* looked at after the first message */
	assert_fails(EAGAIN, recvmmsg(s, v, 2, MSG_DONTWAIT, NULL));
	assert_int_equal(recvmmsg(s, v, 0, 0, NULL), 0);
	shutdown(c, SHUT_WR);
	assert_int_equal(recvmmsg(s, v, 2, 0, NULL), 2);
	assert_int_equal(v[0].msg_len, 0);
}

static void test_splice(void **state)
{
	int p[2], file = open("/dev/null", O_WRONLY);
	off_t pos = 0;
	char b[8];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(c, "abcdef", 6), 6);
	assert_int_equal(splice(s, NULL, p[1], NULL, 2, 0), 2);
	assert_int_equal(sendfile(p[1], s, NULL, 2), 2);
	assert_fails(ESPIPE, sendfile(p[1], s, &pos, 2));
	assert_fails(EINVAL, sendfile(file, s, NULL, 2));
	assert_fails(EINVAL, sendfile(c, s, NULL, 2));
	assert_fails(EINVAL, splice(s, &pos, p[1], NULL, 2, 0));
	assert_fails(ESPIPE, splice(s, NULL, p[1], &pos, 2, 0));
	assert_fails(EINVAL, splice(s, NULL, file, NULL, 2, 0));
	assert_fails(EINVAL, splice(s, NULL, p[1], NULL, 2, 0x100));
	assert_int_equal(read(p[0], b, sizeof(b)), 4);
	assert_int_equal(write(p[1], "pq", 2), 2);
	assert_int_equal(splice(p[0], NULL, c, NULL, 8, 0), 2);
	assert_int_equal(read(s, b, sizeof(b)), 4);
	assert_memory_equal(b, "efpq", 4);
	close(p[0]);
	close(p[1]);
	close(file);
}

static void test_dup(void **state)
{
	int d;

	(void)state;
	assert_fails(EBADF, dup2(999, s));
	assert_flows(c, s);
	assert_int_equal(dup2(s, s), s);
	assert_fails(EINVAL, dup3(s, s, 0));
	assert_int_equal(dup2(s, 100), 100);
	assert_int_equal(dup3(s, 101, O_CLOEXEC), 101);
	assert_int_equal(fcntl(s, F_DUPFD, 102), 102);
	close(s);
	assert_flows(c, 100);
	assert_fails(EINVAL, close_range(101, 100, 0));
	assert_int_equal(close_range(101, 102, CLOSE_RANGE_CLOEXEC), 0);
	assert_flows(c, 102);
	assert_int_equal(close_range(101, 102, 0), 0);
	assert_fails(EBADF, fcntl(102, F_GETFD));
	assert_flows(c, 100);
	s = dup(100);
	close(100);
	d = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	assert_int_equal(dup2(d, 100), 100); /* a number that was a socket is a file now */
	assert_fails(ENOTSOCK, send(100, "x", 1, 0));
	close(100);
	close(d);
	assert_flows(c, s);
	assert_fails(EBADF, close(-1));
	assert_fails(EBADF, close(INT_MAX));
}

/* scilan's own descriptors: not to be closed, not to be used, and out of the way of dup2(). */
static void test_hidden(void **state)
{
	int i;

	(void)state;
	for (i = 900; i < 1024; i++) {
		if (fcntl(i, F_GETFD) < 0)
			continue;
		assert_fails(EBADF, close(i));
		assert_fails(EBADF, dup(i));
		assert_int_equal(close_range((unsigned)i, (unsigned)i, 0), 0);
		assert_true(fcntl(i, F_GETFD) >= 0);
		break;
	}
	if (i < 1024) {
		assert_int_equal(dup2(s, i), i);
		assert_flows(c, i);
		assert_int_equal(close(i), 0);
	}
	assert_flows(c, s);
}

/* The number was closed by libc itself; whatever gets it next is not a socket any more. */
static void test_fclose(void **state)
{
	FILE *f = fdopen(s, "r+");
	char b[8];
	int fd, below = open("/dev/null", O_RDONLY); /* the listener's old number */

	(void)state;
	assert_non_null(f);
	assert_int_equal(write(c, "line\n", 5), 5);
	assert_non_null(fgets(b, sizeof(b), f));
	fclose(f);
	fd = open("/etc/passwd", O_RDONLY);
	assert_int_equal(fd, s);
	assert_int_equal(read(fd, b, 4), 4);
	assert_memory_equal(b, "root", 4);
	close(below);
}

static void test_passed(void **state)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u;
	struct iovec one = {&(char){'x'}, 1};
	struct msghdr m = {
		.msg_iov = &one, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	int un[2], fd;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, un), 0);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &s, sizeof(s));
	assert_int_equal(sendmsg(un[0], &m, 0), 1);
	assert_int_equal(recvmsg(un[1], &m, 0), 1);
	memcpy(&fd, CMSG_DATA(h), sizeof(fd)); /* the same room */
	close(s);
	s = fd;
	assert_flows(c, s);
	close(un[0]);
	close(un[1]);
}

static void test_timeouts(void **state)
{
	struct pollfd p = {.fd = s, .events = POLLIN};
	struct timespec bad = {0, 1000000000}, t = {0, 1000000};
	struct timeval tv = {1, 0}, badtv = {0, -1};
	fd_set in;

	(void)state;
	FD_ZERO(&in);
	FD_SET(s, &in);
	assert_fails(EINVAL, ppoll(&p, 1, &bad, NULL));
	assert_fails(EINVAL, pselect(s + 1, &in, NULL, NULL, &bad, NULL));
	assert_fails(EINVAL, select(s + 1, &in, NULL, NULL, &badtv));
	assert_int_equal(ppoll(&p, 1, &t, NULL), 0);
	assert_int_equal(t.tv_nsec, 1000000);
	assert_int_equal(write(c, "x", 1), 1);
	assert_int_equal(poll(&p, 1, -1), 1);
	assert_int_equal(select(s + 1, &in, NULL, NULL, &tv), 1);
	assert_true(FD_ISSET(s, &in));
	assert_true(tv.tv_sec == 0 && tv.tv_usec > 500000);
}

/* The kernel updates timeouts, and takes sets of 8 bytes with their size. */
static void test_syscall_wait(void **state)
{
	uint64_t mask[1] = {0};
	struct {
		const void *mask;
		size_t len;
	} six = {mask, sizeof(mask)};
	struct pollfd p = {.fd = s, .events = POLLIN};
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 99};
	struct timespec t = {0, 1000000};
	long ep = syscall(SYS_epoll_create1, 0);
	fd_set in;

	(void)state;
	FD_ZERO(&in);
	FD_SET(s, &in);
	assert_int_equal(syscall(SYS_ppoll, &p, 1, &t, mask, sizeof(mask)), 0);
	assert_int_equal(t.tv_nsec, 0);
	assert_fails(EINVAL, (int)syscall(SYS_ppoll, &p, 1, &t, mask, 4));
	assert_int_equal(syscall(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, s, &ev), 0);
	assert_int_equal(syscall(SYS_epoll_wait, ep, &ev, 1, 0), 0);
	assert_int_equal(write(c, "x", 1), 1);
	t.tv_sec = 1;
	assert_int_equal(syscall(SYS_pselect6, s + 1, &in, NULL, NULL, &t, &six), 1);
	assert_true(t.tv_sec == 0 && t.tv_nsec > 500000000);
	ev.data.u64 = 0;
	assert_int_equal(syscall(SYS_epoll_pwait, ep, &ev, 1, 1000, mask, sizeof(mask)), 1);
	assert_int_equal(ev.data.u64, 99);
	assert_int_equal(syscall(SYS_epoll_pwait2, ep, &ev, 1, &t, mask, sizeof(mask)), 1);
	assert_fails(EINVAL, epoll_wait((int)ep, &ev, 0, 0));
	syscall(SYS_close, ep);
}

static void test_syscall_io(void **state)
{
	struct iovec one = {&(char){0}, 1};
	char b[8];
	long d;

	(void)state;
	assert_int_equal(syscall(SYS_write, c, "hello", 5), 5);
	assert_int_equal(syscall(SYS_read, s, b, 1), 1);
	assert_int_equal(syscall(SYS_recvfrom, s, b, 1, 0, NULL, NULL), 1);
	assert_int_equal(syscall(SYS_preadv2, s, &one, 1, -1L, -1L, 0), 1);
	d = syscall(SYS_dup, s);
	assert_int_equal(syscall(SYS_close, s), 0);
	assert_fails(EBADF, (int)syscall(SYS_close, s));
	assert_int_equal(read((int)d, b, sizeof(b)), 2);
	s = (int)d;
	errno = 77;
	syscall(SYS_getpid);
	assert_int_equal(errno, 77);
}

static void test_exec(void **state)
{
	char a0[] = "test", a1[] = "--args", a2[] = "b", e0[] = "TEST_E=1";
	char *argv[] = {a0, a1, a2, NULL}, *envp[] = {e0, NULL};

	(void)state;
	assert_fails(ENOENT, execl("/nowhere", "a", NULL));
	assert_flows(c, s);
	if (!fork()) {
		execl(self, "test", "--args", "b", NULL);
		_exit(1);
	}
	assert_child(7);
	if (!vfork()) {
		execlp(self, "test", "--args", "b", NULL);
		_exit(1);
	}
	assert_child(7);
	if (!fork()) {
		execle(self, "test", "--args", "b", NULL, envp);
		_exit(1);
	}
	assert_child(8);
	if (!fork()) {
		execvp(self, argv);
		_exit(1);
	}
	assert_child(7);
	assert_flows(c, s);
}

static void test_fork(void **state)
{
	struct rlimit none = {0, 0};
	pid_t pid;
	int pty;

	(void)state;
	pid = fork();
	if (!pid)
		_exit(write(c, "1", 1) == 1 ? 7 : 1);
	assert_child(7);
	pid = _Fork();
	if (!pid)
		_exit(write(c, "2", 1) == 1 ? 7 : 1);
	assert_child(7);
	pid = forkpty(&pty, NULL, NULL, NULL);
	if (!pid)
		_exit(write(c, "3", 1) == 1 ? 7 : 1);
	assert_child(7);
	pid = (pid_t)syscall(SYS_fork);
	if (!pid) {
		write(c, "4", 1);
		syscall(SYS_exit_group, 7);
	}
	assert_child(7);
	pid = fork();
	if (!pid) {
		/* As root the limit does not count. */
		if (setrlimit(RLIMIT_NPROC, &none) || (getuid() == 0 && setuid(65534)))
			_exit(1);
		errno = 0;
		pid = fork();
		if (pid == 0)
			_exit(0);
		_exit(pid == -1 && errno == EAGAIN && write(c, "5", 1) == 1 ? 7 : 2);
	}
	assert_child(7);
	assert_int_equal(recv(s, (char[8]){0}, 5, MSG_WAITALL), 5);
	assert_flows(c, s);
	close(pty);
}

static void test_daemon(void **state)
{
	char cwd[8];

	(void)state;
	if (!fork()) {
		dup2(c, 0); /* daemon() puts /dev/null there */
		if (daemon(0, 0) || !getcwd(cwd, sizeof(cwd)) || strcmp(cwd, "/"))
			_exit(1);
		_exit(write(c, "d", 1) == 1 && read(0, cwd, 1) == 0 ? 0 : 1);
	}
	assert_child(0);
	assert_int_equal(read(s, cwd, sizeof(cwd)), 1);
}

static const struct CMUnitTest cases[] = {
	cmocka_unit_test_setup_teardown(test_arguments, setup, teardown),
	cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	cmocka_unit_test_setup_teardown(test_splice, setup, teardown),
	cmocka_unit_test_setup_teardown(test_dup, setup, teardown),
	cmocka_unit_test_setup_teardown(test_hidden, setup, teardown),
	cmocka_unit_test_setup_teardown(test_fclose, setup, teardown),
	cmocka_unit_test_setup_teardown(test_passed, setup, teardown),
	cmocka_unit_test_setup_teardown(test_timeouts, setup, teardown),
	cmocka_unit_test_setup_teardown(test_syscall_wait, setup, teardown),
	cmocka_unit_test_setup_teardown(test_syscall_io, setup, teardown),
	cmocka_unit_test_setup_teardown(test_exec, setup, teardown),
	cmocka_unit_test_setup_teardown(test_fork, setup, teardown),
	cmocka_unit_test_setup_teardown(test_daemon, setup, teardown),
};

/* Run the cases in a program of their own. @promote NULL: plain. */
static int stage(const char *lib, const char *promote)
{
	int st;

	fprintf(stderr, "--- %s\n", promote ? promote : "plain");
	if (!fork()) {
		setenv("TEST_STAGE", "1", 1);
		setenv("SCILAN_BROKER", "scilan-test-nobody", 1);
		if (promote) {
			setenv("SCILAN_PROMOTE", promote, 1);
			setenv("LD_PRELOAD", lib, 1);
		}
		execl(self, "test_preload", NULL);
		_exit(127);
	}
	return wait(&st) > 0 && WIFEXITED(st) && WEXITSTATUS(st) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	static char exe[PATH_MAX], lib[PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	unsigned i;

	if (argc == 3 && !strcmp(argv[1], "--args"))
		return strcmp(argv[2], "b") ? 1 : getenv("TEST_E") ? 8 : 7;
	if (n < 0)
		return 1;
	self = exe;
	if (getenv("TEST_STAGE"))
		return cmocka_run_group_tests(cases, NULL, NULL);

	/* build/tests/unit/test_preload, build/libscilan.so */
	strcpy(lib, exe);
	for (i = 0; i < 3 && strrchr(lib, '/'); i++)
		*strrchr(lib, '/') = '\0';
	strcat(lib, "/libscilan.so");
	if (access(lib, R_OK)) {
		fprintf(stderr, "no %s in this build: skipped\n", lib);
		return 77;
	}
	return stage(lib, NULL) | stage(lib, "off") | stage(lib, "eager");
}
