/* SPDX-License-Identifier: BSD-2-Clause */
/* Clients that try to hold the broker up, or to fill it. */
#include <time.h>
#include "test_broker_util.h"

/* It says and says, and never listens. Once it does, nothing is lost. */
static void test_never_reads(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sl_msg m = {.type = SL_MSG_OFFER}, got[2];
	struct client bad, a, b;
	struct tcp t;
	uint64_t i;

	(void)state;
	hello(&bad);
	do {
		m.id++;
		(void)usleep(m.id % 256 ? 0 : 2000);
	} while (sl_msg_send(bad.fd, &m, &fd, 1) == 0 && m.id < 100000);
	assert_in_range(m.id, 300, 5000); /* not read from any more, so bounded */
	hello(&a);
	hello(&b);
	tcp_open(&t);
	pair_up(&a, &b, &t, got, NULL);
	for (i = 1; i < m.id; i++)
		expect_refused(&bad, i, SL_WHY_FINISHED);
	synced(&bad);
	tcp_close(&t);
	(void)close(fd);
	bye(&a);
	bye(&b);
	bye(&bad);
}

static void fill_lingering(struct tcp *t)
{
	const struct linger minute = {.l_onoff = 1, .l_linger = 60};
	static char junk[1 << 16];

	tcp_open(t);
	(void)setsockopt(t->fd[0], SOL_SOCKET, SO_LINGER, &minute, sizeof(minute));
	while (send(t->fd[0], junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
}

/* The broker is left with the last descriptor of a socket whose close waits a minute. */
static void test_lingering(void **state)
{
	struct sl_msg nonsense = {.type = 99};
	struct timespec from, to;
	struct client bad, b;
	struct tcp t[8];
	size_t i;

	(void)state;
	hello(&bad);
	hello(&b);
	(void)kill(broker_pid, SIGSTOP); /* or our own close is the last */
	for (i = 0; i < 8; i++) {
		fill_lingering(&t[i]);
		if (i == 4) /* the rest dies unread in a dropped client's queue */
			say(&bad, &nonsense, -1);
		offer(&bad, i + 1, t[i].fd[0]);
		(void)close(t[i].fd[0]);
	}
	(void)kill(broker_pid, SIGCONT);
	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	synced(&b);
	(void)clock_gettime(CLOCK_MONOTONIC, &to);
	assert_in_range(to.tv_sec - from.tv_sec, 0, 1);
	for (i = 0; i < 8; i++)
		(void)close(t[i].fd[1]);
	bye(&bad);
	bye(&b);
}

/* Many lingering sockets of a program that still holds them are nothing to worry about. */
static void test_lingers_and_holds(void **state)
{
	const struct linger minute = {.l_onoff = 1, .l_linger = 60};
	struct client a;
	struct tcp t;
	uint64_t i;

	(void)state;
	hello(&a);
	tcp_open(&t);
	(void)setsockopt(t.fd[0], SOL_SOCKET, SO_LINGER, &minute, sizeof(minute));
	for (i = 1; i < 1000; i++) {
		offer(&a, i, t.fd[0]);
		withdraw(&a, i);
	}
	synced(&a);
	(void)close(t.fd[1]);
	(void)close(t.fd[0]);
	bye(&a);
}

/* So many closes that hang: the user is shut out, and the broker goes on. */
static void test_banned(void **state)
{
	struct tcp t[40];
	struct client c;
	uint64_t i;

	assert_int_equal(stop(state), 0);
	assert_int_equal(start_default(state), 0);
	hello(&c);
	(void)kill(broker_pid, SIGSTOP);
	for (i = 0; i < 40; i++) {
		fill_lingering(&t[i]);
		offer(&c, i + 1, t[i].fd[0]);
		(void)close(t[i].fd[0]);
	}
	(void)kill(broker_pid, SIGCONT);
	expect_closed(&c);
	connect_client(&c);
	expect_closed(&c);
	for (i = 0; i < 40; i++)
		(void)close(t[i].fd[1]);
}

/* Descriptors do not pile up in the broker. */
static void test_no_leak(void **state)
{
	struct sl_msg got[2];
	struct client a, b;
	unsigned before, i;
	struct tcp t;

	(void)state;
	hello(&a);
	hello(&b);
	synced(&a);
	synced(&b);
	(void)usleep(20000); /* an answer comes before the descriptor is closed */
	before = broker_files();
	for (i = 0; i < 20; i++) {
		tcp_open(&t);
		pair_up(&a, &b, &t, got, NULL);
		reattach(&a, 99, t.fd[0]);
		(void)expect(&a, SL_MSG_PAIRED, NULL);
		gone(&a, &got[0]);
		gone(&b, &got[1]);
		synced(&b); /* or the pair is still to be had */
		offer(&a, 50, t.fd[0]);
		withdraw(&a, 50);
		synced(&a);
		synced(&b);
		tcp_close(&t);
	}
	for (i = 0; i < PATIENT_MS && broker_files() != before; i++)
		(void)usleep(1000);
	assert_int_equal(broker_files(), before);
	bye(&a);
	bye(&b);
}

static void test_second_broker(void **state)
{
	const struct sl_broker_opts opts = {.idle_s = 1};
	struct client c;

	(void)state;
	assert_int_equal(sl_broker_run(&opts), -EADDRINUSE);
	hello(&c); /* the first is still there */
	bye(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_never_reads),	  cmocka_unit_test(test_lingering),
		cmocka_unit_test(test_no_leak),		  cmocka_unit_test(test_second_broker),
		cmocka_unit_test(test_lingers_and_holds), cmocka_unit_test(test_banned),
	};

	return cmocka_run_group_tests_name("broker, stall", tests, start_default, stop);
}
