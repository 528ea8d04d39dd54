/* SPDX-License-Identifier: BSD-2-Clause */
/* The broker's bounds and its life: few descriptors, idling, ending. */
#include <sys/resource.h>
#include <time.h>
#include "test_broker_util.h"

#define FILES	192 /* of the broker: 64 spare, of the rest a quarter for clients, an eighth for bells */
#define CLIENTS 32
#define PAIRS	26

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
	for (i = 0; i < PAIRS; i++) {
		tcp_open(&t[i]);
		pair_up(&a, &b, &t[i], got[i], NULL);
	}
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
		cmocka_unit_test(test_clients),	    cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_idle),	    cmocka_unit_test(test_asked_to_leave),
		cmocka_unit_test(test_uses_no_cpu),
	};

	return cmocka_run_group_tests_name("broker, limits", tests, NULL, NULL);
}
