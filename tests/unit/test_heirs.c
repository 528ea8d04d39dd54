/* SPDX-License-Identifier: BSD-2-Clause */
/* What a new program gets: its descriptors, as posix_spawn's actions and close-on-exec leave them; and whether it will
 * run under scilan. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "heirs.h"
#include "target.h"
#include "test_sock_util.h"

static int heir_of(const struct sl_heir *h, unsigned n, int fd, const struct sl_sock *s)
{
	int found = 0;
	unsigned i;

	for (i = 0; i < n; i++)
		found += h[i].fd == fd && h[i].s == s;
	return found;
}

static void put_all(struct sl_heir *h, unsigned n)
{
	while (n)
		sl_sock_put(h[--n].s);
}

static void cloexec(int fd, bool on)
{
	assert_int_equal(fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0), 0);
}

static void test_exec(void **state)
{
	struct sl_heir h[8];
	struct sock_pair p;
	unsigned n;

	(void)state;
	sock_open(&p);
	cloexec(p.fd[0], false);
	cloexec(p.fd[1], true);
	assert_in_range(sl_heirs_max(NULL), 2, 8);
	n = sl_heirs_exec(h);
	assert_int_equal(n, 1);
	assert_int_equal(heir_of(h, n, p.fd[0], p.s[0]), 1);
	put_all(h, n);
	sock_close(&p);
}

/* Each kind of action that libc has, with others in between: the layout is as heirs.c has it. */
static void test_spawn(void **state)
{
	posix_spawn_file_actions_t fa, copy;
	struct sl_heir h[32];
	struct sock_pair p;
	unsigned n;
	bool high;

	(void)state;
	sock_open(&p);
	cloexec(p.fd[0], true);
	cloexec(p.fd[1], false);
	assert_int_equal(posix_spawn_file_actions_init(&fa), 0);
	n = sl_heirs_spawn(h, &fa, &high);
	assert_int_equal(n, 1);
	assert_int_equal(heir_of(h, n, p.fd[1], p.s[1]), 1);
	assert_true(high);
	put_all(h, n);

	assert_int_equal(posix_spawn_file_actions_addchdir_np(&fa, "/"), 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&fa, p.fd[0], 0), 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&fa, p.fd[0], 70), 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&fa, p.fd[1], 71), 0);
	assert_int_equal(posix_spawn_file_actions_addfchdir_np(&fa, 3), 0);
	assert_int_equal(posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0), 0);
	assert_int_equal(posix_spawn_file_actions_addclose(&fa, 71), 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&fa, 70, 72), 0);
	assert_in_range(sl_heirs_max(&fa), 10, 32);
	n = sl_heirs_spawn(h, &fa, &high);
	assert_int_equal(n, 3);
	assert_int_equal(heir_of(h, n, 70, p.s[0]), 1);
	assert_int_equal(heir_of(h, n, 72, p.s[0]), 1);
	assert_int_equal(heir_of(h, n, p.fd[1], p.s[1]), 1);
	put_all(h, n);

	/* The same once more, as it is added to. */
	assert_int_equal(sl_heirs_copy(&copy, &fa), 0);
	assert_int_equal(copy.__used, fa.__used);
	n = sl_heirs_spawn(h, &copy, &high);
	assert_int_equal(n, 3);
	assert_int_equal(heir_of(h, n, 72, p.s[0]), 1);
	put_all(h, n);
	assert_int_equal(posix_spawn_file_actions_destroy(&copy), 0);

	/* On itself: no longer close-on-exec. */
	assert_int_equal(posix_spawn_file_actions_adddup2(&fa, p.fd[0], p.fd[0]), 0);
	assert_int_equal(posix_spawn_file_actions_addtcsetpgrp_np(&fa, 2), 0);
	n = sl_heirs_spawn(h, &fa, &high);
	assert_int_equal(n, 4);
	assert_int_equal(heir_of(h, n, p.fd[0], p.s[0]), 1);
	put_all(h, n);

	assert_int_equal(posix_spawn_file_actions_addclosefrom_np(&fa, 72), 0);
	n = sl_heirs_spawn(h, &fa, &high);
	assert_int_equal(n, 3);
	assert_int_equal(heir_of(h, n, 72, p.s[0]), 0);
	assert_false(high);
	put_all(h, n);
	assert_int_equal(posix_spawn_file_actions_destroy(&fa), 0);
	sock_close(&p);
}

/* What is sure to fail changes nothing: programs search PATH by trying. What is not promoted is only marked. */
static void test_no_program(void **state)
{
	struct sl_exec e = {.dir = AT_FDCWD, .path = "/nonexistent/program", .envp = environ};
	struct sock_pair p;

	(void)state;
	sock_open_promoted(&p, SL_RING_LEN_MIN);
	cloexec(p.fd[0], false);
	cloexec(p.fd[1], false);
	sl_exec_begin(&e);
	assert_int_equal(p.s[1]->side->tx.state, SL_TX_MEM);
	assert_int_equal(p.s[1]->side->foreign, 0);
	sl_exec_failed(&e);
	e.path = "/etc/passwd";
	sl_exec_begin(&e);
	sl_exec_failed(&e);
	sl_spawn_begin(&e);
	sl_spawn_end(&e, true);
	assert_int_equal(p.s[1]->side->tx.state, SL_TX_MEM);
	assert_int_equal(p.s[1]->side->holders, 1);
	sock_close(&p);
	sock_open(&p);
	cloexec(p.fd[0], false);
	p.s[1]->side->foreign = 1;
	e.path = "/bin/true";
	sl_exec_begin(&e);
	assert_int_equal(p.s[0]->side->foreign, 1);
	sl_exec_failed(&e);
	assert_int_equal(p.s[0]->side->foreign, 0);
	assert_int_equal(p.s[1]->side->foreign, 1);
	assert_int_equal(p.s[0]->side->holders, 1);
	sock_close(&p);
}

/* --- targets --- */

static char dir[] = "/tmp/scilan-target-XXXXXX", lib[64], env_good[80];

static void write_file(const char *name, const char *text, mode_t mode, char path[64])
{
	int fd;

	(void)snprintf(path, 64, "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	(void)close(fd);
}

static bool under(const char *path, const char *preload)
{
	char *const envp[] = {(char *)(uintptr_t) "HOME=/", (char *)(uintptr_t)preload, NULL};

	return sl_target_under(AT_FDCWD, path, 0, envp);
}

static void test_target(void **state)
{
	char path[64], line[80], path2[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	write_file("libscilan.so", "", 0600, lib);
	(void)snprintf(env_good, sizeof(env_good), "LD_PRELOAD=%s", lib);
	assert_true(under("/bin/sh", env_good));
	assert_true(under("/proc/self/exe", env_good));
	assert_false(under("/bin/sh", NULL));
	assert_false(under("/bin/sh", "LD_PRELOAD=libother.so:/tmp/xlibscilan.so"));
	assert_false(under("/bin/sh", "LD_PRELOAD=/nonexistent/libscilan.so"));
	assert_true(under("/bin/sh", "LD_PRELOAD=libother.so libscilan.so"));
	assert_false(under("/nonexistent", env_good));
	assert_false(under("/", env_good));
	write_file("script", "#! /bin/sh -e\n", 0700, path);
	assert_true(under(path, env_good));
	(void)snprintf(line, sizeof(line), "#!%s\n", path);
	write_file("script2", line, 0700, path2);
	assert_true(under(path2, env_good));
	(void)snprintf(line, sizeof(line), "#!%s/script2\n", dir); /* of itself */
	write_file("script2", line, 0700, path2);
	assert_false(under(path2, env_good));
	write_file("text", "echo\n", 0700, path);
	assert_false(under(path, env_good));
	write_file("short", "\177ELF\2\1\1", 0700, path);
	assert_false(under(path, env_good));
}

/* The kernel's loader is static; one that is ours but set-id to another drops the preload. */
static void test_target_refused(void **state)
{
	char cmd[300], path[64];

	(void)state;
	assert_false(under("/lib64/ld-linux-x86-64.so.2", env_good));
	if (getuid())
		return;
	(void)snprintf(path, sizeof(path), "%s/setid", dir);
	(void)snprintf(cmd, sizeof(cmd), "cp /bin/true %s && chown nobody %s && chmod u+s %s", path, path,
		       path);
	assert_int_equal(system(cmd), 0);
	assert_false(under(path, env_good));
	assert_int_equal(chmod(path, 0755), 0);
	assert_true(under(path, env_good));
}

static int setup(void **state)
{
	(void)state;
	sock_setup();
	return 0;
}

static int cleanup(void **state)
{
	char cmd[100];

	(void)state;
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_spawn),
		cmocka_unit_test(test_no_program),
		cmocka_unit_test(test_target),
		cmocka_unit_test(test_target_refused),
	};

	return cmocka_run_group_tests_name("heirs and targets", tests, setup, cleanup);
}
