/* SPDX-License-Identifier: BSD-2-Clause */
/* The broker's bounds and its life: few descriptors, idling, ending. */
#include <limits.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include "test_broker_util.h"

#define FILES	192 /* of the broker: 64 spare, of the rest a quarter for clients, an eighth for bells */
#define CLIENTS 32
#define OWN	26 /* pairs of three that it holds itself */
#define KEPT	42 /* by each keeper: of 128 */
#define KEEPERS 4
#define PAIRS	(OWN + KEEPERS * KEPT)

static void with_few_files(void)
{
	const struct sl_broker_opts opts = {.idle_s = 0};
	struct rlimit old, few = {.rlim_cur = FILES, .rlim_max = FILES};
	char name[64];
	int fd, i;

	(void)snprintf(name, sizeof(name), "scilan-unit-%d", (int)getpid());
	assert_int_equal(setenv("SCILAN_BROKER", name, 1), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	broker_pid = fork();
	if (broker_pid == 0) {
		if (setrlimit(RLIMIT_NOFILE, &few))
			_exit(2);
		_exit(sl_broker_run(&opts) ? 1 : 0);
	}
	for (i = 0, fd = -1; i < PATIENT_MS && fd < 0; i++) {
		(void)usleep(1000);
		fd = sl_addr_connect_any(NULL);
	}
	assert_true(fd >= 0);
	(void)close(fd);
}

static void test_clients(void **state)
{
	struct client c[CLIENTS], more;
	unsigned i;

	(void)state;
	with_few_files();
	for (i = 0; i < CLIENTS; i++)
		hello(&c[i]);
	connect_client(&more);
	expect_closed(&more);
	bye(&c[0]);
	synced(&c[1]);
	(void)usleep(50000);
	hello(&c[0]);
	for (i = 0; i < CLIENTS; i++) {
		synced(&c[i]);
		bye(&c[i]);
	}
	assert_int_equal(stop(NULL), 0);
}

static void open_pairs(const struct client *a, const struct client *b, struct tcp *t,
		       struct sl_msg (*got)[2], unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		tcp_open(&t[i]);
		pair_up(a, b, &t[i], got[i], NULL);
	}
}

static void test_pairs(void **state)
{
	struct sl_msg got[PAIRS][2];
	struct tcp t[PAIRS + 1];
	struct client a, b;
	unsigned i;

	(void)state;
	with_few_files();
	hello(&a);
	hello(&b);
	open_pairs(&a, &b, t, got, PAIRS);
	i = PAIRS;
	tcp_open(&t[i]);
	offer(&a, 1, t[i].fd[0]);
	synced(&a);
	offer(&b, 2, t[i].fd[1]);
	expect_prove(&a, 1);
	proof(&a, 1, t[i].fd[0]);
	expect_refused(&a, 1, SL_WHY_LIMIT_BROKER);
	expect_refused(&b, 2, SL_WHY_LIMIT_BROKER);
	gone(&a, &got[0][0]);
	gone(&b, &got[0][1]);
	synced(&b);
	pair_up(&a, &b, &t[i], got[0], NULL);
	for (i = 0; i <= PAIRS; i++)
		tcp_close(&t[i]);
	bye(&a);
	bye(&b);
	assert_int_equal(stop(NULL), 0);
}

/* The processes that hold what it has no room for; the last is in pid[count - 1]. */
static unsigned keepers(pid_t pid[KEEPERS])
{
	char path[64], *at, text[256] = "";
	unsigned n = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)broker_pid,
		       (int)broker_pid);
	f = fopen(path, "r");
	assert_non_null(f);
	(void)!fgets(text, sizeof(text), f);
	(void)fclose(f);
	for (at = strtok(text, " \n"); at && n < KEEPERS; at = strtok(NULL, " \n"))
		pid[n++] = (pid_t)strtol(at, NULL, 10);
	return n;
}

static void same_file(int a, int b)
{
	struct stat sa, sb;

	assert_int_equal(fstat(a, &sa), 0);
	assert_int_equal(fstat(b, &sb), 0);
	assert_int_equal(sa.st_ino, sb.st_ino);
}

/* Without the socket that was shown last, which it may still be about to drop. */
static unsigned files_at_rest(void)
{
	unsigned i, n, least = UINT_MAX;

	for (i = 0; i < 20; i++) {
		(void)usleep(1000);
		n = broker_files();
		least = n < least ? n : least;
	}
	return least;
}

/* Pairs that a keeper holds are given back to those that ask, and are the same. */
static void test_kept(void **state)
{
	int first[2][SL_MSG_FDS], fds[SL_MSG_FDS];
	unsigned before, i, end, round;
	struct sl_msg got[PAIRS][2];
	struct client a, b, c;
	pid_t pid[KEEPERS];
	struct tcp t[PAIRS];
	struct sl_msg m;

	(void)state;
	with_few_files();
	hello(&a);
	hello(&b);
	hello(&c);
	tcp_open(&t[0]);
	pair_up(&a, &b, &t[0], got[0], first);
	open_pairs(&a, &b, t + 1, got + 1, OWN - 1);
	assert_int_equal(keepers(pid), 0);
	before = files_at_rest();
	open_pairs(&a, &b, t + OWN, got + OWN, KEPT);
	assert_int_equal(keepers(pid), 1);
	assert_int_equal(files_at_rest(), before + 1);
	open_pairs(&a, &b, t + OWN + KEPT, got + OWN + KEPT, 1);
	assert_int_equal(keepers(pid), 2);
	for (round = 0; round < 2; round++) {
		for (end = 0; end < 2; end++) {
			reattach(&c, 7, t[0].fd[end]);
			m = expect(&c, SL_MSG_PAIRED, fds);
			assert_int_equal(m.pair, got[0][end].pair);
			assert_int_equal(m.side, got[0][end].side);
			for (i = 0; i < SL_MSG_FDS; i++) {
				same_file(fds[i], first[end][i]);
				(void)close(fds[i]);
			}
			gone(&c, &m);
		}
		for (i = 1; i < OWN + KEPT; i++) { /* so the first one is moved away again */
			reattach(&c, 8, t[i].fd[0]);
			m = expect(&c, SL_MSG_PAIRED, NULL);
			assert_int_equal(m.pair, got[i][0].pair);
			gone(&c, &m);
		}
	}
	assert_int_equal(files_at_rest(), before + 2);
	for (i = 0; i < OWN + KEPT + 1; i++) {
		gone(&a, &got[i][0]);
		gone(&b, &got[i][1]);
		tcp_close(&t[i]);
	}
	synced(&a);
	synced(&b);
	open_pairs(&a, &b, t, got, PAIRS); /* their places are free again */
	for (i = 0; i < PAIRS; i++)
		tcp_close(&t[i]);
	for (i = 0; i < SL_MSG_FDS; i++) {
		(void)close(first[0][i]);
		(void)close(first[1][i]);
	}
	bye(&a);
	bye(&b);
	bye(&c);
	assert_int_equal(stop(NULL), 0);
}

/* A keeper that is killed takes its pairs with it, and nothing else. */
static void test_keeper_killed(void **state)
{
	struct sl_msg got[PAIRS][2];
	struct tcp t[PAIRS];
	struct client a, b;
	pid_t pid[KEEPERS];
	struct sl_msg m;
	unsigned i;

	(void)state;
	with_few_files();
	hello(&a);
	hello(&b);
	open_pairs(&a, &b, t, got, OWN + 2);
	assert_int_equal(keepers(pid), 1);
	assert_int_equal(kill(pid[0], SIGKILL), 0);
	reattach(&a, 7, t[0].fd[0]);
	expect_refused(&a, 7, SL_WHY_LIMIT_FILES);
	reattach(&a, 7, t[0].fd[0]);
	expect_refused(&a, 7, SL_WHY_LIMIT_FILES);
	reattach(&a, 7, t[OWN + 1].fd[0]); /* not that which it may have been about to take */
	m = expect(&a, SL_MSG_PAIRED, NULL);
	assert_int_equal(m.pair, got[OWN + 1][0].pair);
	for (i = 0; i < OWN + 2; i++) {
		gone(&a, &got[i][0]);
		gone(&b, &got[i][1]);
		tcp_close(&t[i]);
	}
	synced(&a);
	synced(&b);
	open_pairs(&a, &b, t, got, PAIRS);
	assert_int_equal(keepers(pid), KEEPERS);
	for (i = 0; i < PAIRS; i++)
		tcp_close(&t[i]);
	bye(&a);
	bye(&b);
	assert_int_equal(stop(NULL), 0);
	for (i = 0; i < KEEPERS; i++)
		assert_int_equal(kill(pid[i], 0), -1);
}

static void test_idle(void **state)
{
	const struct sl_broker_opts opts = {.idle_s = 1};
	struct client c;

	(void)state;
	broker_start(&opts);
	hello(&c);
	(void)usleep(1500000);
	synced(&c); /* not while somebody is there */
	bye(&c);
	assert_int_equal(broker_wait(), 0);
	assert_int_equal(sl_addr_connect_any(NULL), -ENOENT);
}

static void test_asked_to_leave(void **state)
{
	const struct sl_broker_opts opts = {.idle_s = SL_BROKER_IDLE_DEF};
	struct sl_msg got[2];
	struct client a, b;
	struct tcp t;

	(void)state;
	broker_start(&opts);
	hello(&a);
	hello(&b);
	tcp_open(&t);
	pair_up(&a, &b, &t, got, NULL);
	(void)kill(broker_pid, SIGINT);
	assert_int_equal(broker_wait(), 0);
	expect_closed(&a);
	expect_closed(&b);
	tcp_close(&t);
}

/* It sleeps when there is nothing to do. */
static void test_uses_no_cpu(void **state)
{
	const struct sl_broker_opts opts = {.idle_s = 0};
	struct rusage ru;
	struct client c;
	int status;

	(void)state;
	broker_start(&opts);
	hello(&c);
	(void)usleep(300000);
	bye(&c);
	(void)kill(broker_pid, SIGTERM);
	assert_int_equal(wait4(broker_pid, &status, 0, &ru), broker_pid);
	assert_int_equal(status, 0);
	assert_in_range(ru.ru_nvcsw, 0, 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clients),	      cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_kept),	      cmocka_unit_test(test_keeper_killed),
		cmocka_unit_test(test_idle),	      cmocka_unit_test(test_asked_to_leave),
		cmocka_unit_test(test_uses_no_cpu),
	};

	return cmocka_run_group_tests_name("broker, limits", tests, NULL, NULL);
}
