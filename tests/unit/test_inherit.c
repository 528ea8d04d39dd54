/* SPDX-License-Identifier: BSD-2-Clause */
/* What an exec leaves to the new program: taken over if all agrees, and nothing touched if not. */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "inherit.h"
#include "test_sock_util.h"

struct left {
	int sock, other; /* the connection's two ends */
	int seg, side;
	struct sl_side_shm *shm;
};

/* As attach_locked() has made it, and the old program has left it. */
static void leave(struct left *l)
{
	socklen_t len = sizeof(l->shm->cookie);
	struct stat st;
	int fd[2];

	tcp_pair(fd, 0, 0);
	l->sock = fd[0];
	l->other = fd[1];
	l->seg = sl_seg_create(SL_RING_LEN_MIN);
	l->side = sl_side_create();
	l->shm = mmap(NULL, SL_SIDE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, l->side, 0);
	assert_true(l->shm != MAP_FAILED);
	assert_int_equal(getsockopt(l->sock, SOL_SOCKET, SO_COOKIE, &l->shm->cookie, &len), 0);
	assert_int_equal(fstat(l->seg, &st), 0);
	l->shm->seg_ino = st.st_ino;
	l->shm->holders = 1;
	l->shm->rx.sleepers = 3; /* threads that are no more */
}

static void clear(struct left *l)
{
	(void)munmap(l->shm, SL_SIDE_LEN);
	(void)close(l->sock);
	(void)close(l->other);
	(void)close(l->seg);
	(void)close(l->side);
}

static void adopt(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void adopt(const char *fmt, ...)
{
	char var[300] = SL_INHERIT_VAR "=";
	char *envp[] = {(char *)(uintptr_t) "A=1", var, (char *)(uintptr_t) "B=2", NULL};
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(var + strlen(var), sizeof(var) - strlen(var), fmt, ap);
	va_end(ap);
	sl_inherit_adopt(envp);
	assert_string_equal(envp[0], "A=1");
	assert_string_equal(envp[1], "B=2");
	assert_null(envp[2]);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_good(void **state)
{
	struct sl_sock *s;
	struct left l;
	int copy;

	(void)state;
	leave(&l);
	copy = dup(l.sock);
	adopt("4;%d:%d:1:77:1:0:5=%d,%d", l.seg, l.side, l.sock, copy);
	assert_false(is_open(l.seg) || is_open(l.side));
	s = sl_sock_get(copy);
	assert_non_null(s);
	assert_ptr_equal(sl_sock_get(l.sock), s);
	sl_sock_put(s);
	assert_true(sl_sock_attached(s));
	assert_int_equal(sl_numbers(s), 2);
	assert_int_equal(s->pair, 77);
	assert_int_equal(s->pair_side, 1);
	assert_int_equal(s->nodelay, 1);
	assert_int_equal(s->lowat, 5);
	assert_int_equal(s->side->rx.sleepers, 0);
	s->side->holders = 2; /* as it is, its own again */
	assert_int_equal(l.shm->holders, 2);
	s->side->holders = 1;
	sl_sock_put(s);
	(void)sl_sock_close(copy);
	(void)sl_sock_close(l.sock);
	(void)close(copy);
	assert_int_equal(l.shm->holders, 0);
	clear(&l);
}

/* Nothing agrees with what the variable says: nobody's descriptors are closed, nothing is entered. */
static void test_forged(void **state)
{
	int file = open("/dev/null", O_RDWR | O_CLOEXEC), pipes[2];
	struct left l, m;

	(void)state;
	leave(&l);
	leave(&m);
	assert_int_equal(pipe(pipes), 0);
	adopt("%s", "");
	adopt("%s", "1");
	adopt("%s", "4;1:2:0:1:0:0:1=0");
	adopt("%s", "4;;;=;1:;1:2=3;x:y:z=1");
	adopt("4;%d:%d:0:1:0:0:1=%d", file, pipes[0], l.sock);
	adopt("4;%d:%d:0:1:0:0:1=%d", l.seg, file, l.sock);
	adopt("4;%d:%d:2:1:0:0:1=%d", l.seg, l.side, l.sock);
	adopt("4;-1:99999:0:1:0:0:1=-5,%d", l.sock);
	assert_true(is_open(file) && is_open(pipes[0]) && is_open(l.sock));
	assert_null(sl_sock_get(l.sock));
	/* Another connection's segment; another connection's socket. */
	adopt("4;%d:%d:0:1:0:0:1=%d", dup(m.seg), dup(l.side), m.sock);
	assert_null(sl_sock_get(m.sock));
	adopt("4;%d:%d:0:1:0:0:1=%d", dup(m.seg), dup(m.side), l.sock);
	assert_null(sl_sock_get(l.sock));
	assert_null(sl_sock_get(m.sock));
	assert_int_equal(send(m.sock, "x", 1, 0), 1);
	assert_int_equal(send(l.sock, "x", 1, 0), 1);
	(void)close(file);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
	clear(&l);
	clear(&m);
}

static int setup(void **state)
{
	(void)state;
	sock_setup();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_forged),
	};

	return cmocka_run_group_tests_name("inheritance", tests, setup, NULL);
}
