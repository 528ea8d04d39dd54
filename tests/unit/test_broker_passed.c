/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets that go from client to client by SCM_RIGHTS: offered by the only holder, or not at all. */
#include "test_broker_util.h"

static uint64_t sender; /* of all of ours; 0 stands for a program without scilan */

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len), 0);
	return cookie;
}

static void note(const struct client *c, uint32_t type, int fd, uint32_t n)
{
	const struct sl_msg m = {.type = type, .id = cookie_of(fd), .arg = n};

	say(c, &m, -1);
	synced(c);
}

static void take(const struct client *c, int fd)
{
	const struct sl_msg m = {.type = SL_MSG_TAKE, .pair = (uint64_t)getpid()};

	say(c, &m, fd);
	synced(c);
}

/* What the broker says to an offer of a received socket: SL_WHY_NONE, it waits for the other end. */
static unsigned asked(const struct client *c, int fd, bool first)
{
	static uint64_t id;
	const struct sl_msg m = {.type = SL_MSG_OFFER,
				 .id = ++id,
				 .pair = sender,
				 .flags = SL_OFFER_RECEIVED | (first ? SL_OFFER_TAKE : 0)};
	struct sl_msg got;
	int none = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	say(c, &m, fd);
	offer(c, SYNC_ID, none); /* not connected: the answer comes behind */
	(void)close(none);
	got = expect(c, SL_MSG_REFUSED, NULL);
	if (got.id == SYNC_ID) {
		withdraw(c, id);
		return SL_WHY_NONE;
	}
	assert_int_equal(got.id, id);
	expect_refused(c, SYNC_ID, SL_WHY_FINISHED);
	return got.arg;
}

struct cast {
	struct client s, r, q; /* sender, receiver, and the next one */
	struct tcp t;
	int fd;
};

static void open_cast(struct cast *x)
{
	sender = (uint64_t)getpid();
	hello(&x->s);
	hello(&x->r);
	hello(&x->q);
	tcp_open(&x->t);
	x->fd = x->t.fd[0];
}

static void close_cast(struct cast *x)
{
	tcp_close(&x->t);
	bye(&x->r);
	bye(&x->q);
}

static void test_handed_on(void **state)
{
	struct cast x;

	(void)state;
	open_cast(&x);
	note(&x.s, SL_MSG_PASS, x.fd, 1);
	assert_int_equal(asked(&x.r, x.fd, true), SL_WHY_SHARED);
	note(&x.s, SL_MSG_DROP, x.fd, 0);
	assert_int_equal(asked(&x.r, x.fd, false), SL_WHY_NONE);
	/* And on: from one that was counted, to one that counts itself before it passes it back. */
	note(&x.r, SL_MSG_PASS, x.fd, 1);
	take(&x.q, x.fd);
	note(&x.r, SL_MSG_DROP, x.fd, 0);
	assert_int_equal(asked(&x.q, x.fd, false), SL_WHY_NONE);
	note(&x.q, SL_MSG_PASS, x.fd, 2);
	note(&x.q, SL_MSG_DROP, x.fd, 0);
	assert_int_equal(asked(&x.r, x.fd, true), SL_WHY_SHARED);
	assert_int_equal(asked(&x.s, x.fd, true), SL_WHY_SHARED);
	note(&x.r, SL_MSG_DROP, x.fd, 0);
	note(&x.r, SL_MSG_DROP, x.fd, 0); /* it has no more: nothing happens */
	assert_int_equal(asked(&x.s, x.fd, false), SL_WHY_NONE);
	bye(&x.s);
	close_cast(&x);
}

/* Who ends holds nothing; who is thrown out may. */
static void test_ends(void **state)
{
	const struct sl_msg nonsense = {.type = 4711};
	struct cast x;

	(void)state;
	open_cast(&x);
	note(&x.s, SL_MSG_PASS, x.fd, 1);
	assert_int_equal(asked(&x.r, x.fd, true), SL_WHY_SHARED);
	bye(&x.s);
	while (asked(&x.r, x.fd, false) != SL_WHY_NONE)
		;
	hello(&x.s);
	note(&x.r, SL_MSG_PASS, x.fd, 1);
	assert_int_equal(asked(&x.s, x.fd, true), SL_WHY_SHARED);
	say(&x.r, &nonsense, -1);
	expect_closed(&x.r);
	hello(&x.r);
	assert_int_equal(asked(&x.s, x.fd, false), SL_WHY_SHARED);
	bye(&x.s);
	close_cast(&x);
}

/* Not announced: nobody knows who else there is, also when everybody who is known has gone. */
static void test_unannounced(void **state)
{
	struct cast x;

	(void)state;
	open_cast(&x);
	assert_int_equal(asked(&x.r, x.fd, true), SL_WHY_RECEIVED);
	note(&x.r, SL_MSG_PASS, x.fd, 1);
	assert_int_equal(asked(&x.q, x.fd, true), SL_WHY_RECEIVED);
	note(&x.r, SL_MSG_DROP, x.fd, 0);
	assert_int_equal(asked(&x.q, x.fd, false), SL_WHY_RECEIVED);
	/* One more than were announced. */
	note(&x.s, SL_MSG_PASS, x.t.fd[1], 1);
	take(&x.r, x.t.fd[1]);
	take(&x.q, x.t.fd[1]);
	note(&x.s, SL_MSG_DROP, x.t.fd[1], 0);
	note(&x.r, SL_MSG_DROP, x.t.fd[1], 0);
	assert_int_equal(asked(&x.q, x.t.fd[1], false), SL_WHY_RECEIVED);
	/* It has been announced, but to another, who sent it on. */
	tcp_close(&x.t);
	tcp_open(&x.t);
	note(&x.s, SL_MSG_PASS, x.t.fd[1], 1);
	note(&x.s, SL_MSG_DROP, x.t.fd[1], 0);
	sender = 1;
	assert_int_equal(asked(&x.q, x.t.fd[1], true), SL_WHY_RECEIVED);
	/* Who has not been counted is no holder. */
	assert_int_equal(asked(&x.r, x.t.fd[1], false), SL_WHY_RECEIVED);
	bye(&x.s);
	close_cast(&x);
}

/* A message that could not be sent; and nobody takes back what another has announced. */
static void test_taken_back(void **state)
{
	struct cast x;

	(void)state;
	open_cast(&x);
	note(&x.s, SL_MSG_PASS, x.fd, 1);
	note(&x.s, SL_MSG_UNPASS, x.fd, 1);
	note(&x.s, SL_MSG_PASS, x.fd, 2);
	assert_int_equal(asked(&x.r, x.fd, true), SL_WHY_SHARED);
	note(&x.s, SL_MSG_DROP, x.fd, 0);
	note(&x.r, SL_MSG_UNPASS, x.fd, 1);
	note(&x.q, SL_MSG_UNPASS, x.fd, 1);
	assert_int_equal(asked(&x.r, x.fd, false), SL_WHY_SHARED);
	assert_int_equal(asked(&x.q, x.fd, true), SL_WHY_SHARED);
	note(&x.q, SL_MSG_DROP, x.fd, 0);
	assert_int_equal(asked(&x.r, x.fd, false), SL_WHY_NONE);
	bye(&x.s);
	close_cast(&x);
}

/* Many that nobody claims: the broker's memory is bounded, and what it has forgotten is not promoted. */
static void test_many_on_the_way(void **state)
{
	struct sl_msg m = {.type = SL_MSG_PASS, .arg = 1}, drop = {.type = SL_MSG_DROP};
	struct cast x;
	unsigned i;

	(void)state;
	open_cast(&x);
	note(&x.s, SL_MSG_PASS, x.fd, 1);
	note(&x.s, SL_MSG_DROP, x.fd, 0);
	for (i = 0; i < 17000; i++) {
		m.id = drop.id = (1ull << 40) + i;
		say(&x.s, &m, -1);
		say(&x.s, &drop, -1);
	}
	synced(&x.s);
	assert_int_equal(asked(&x.r, x.fd, true), SL_WHY_RECEIVED);
	bye(&x.s);
	close_cast(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_handed_on, start_default, stop),
		cmocka_unit_test_setup_teardown(test_ends, start_default, stop),
		cmocka_unit_test_setup_teardown(test_unannounced, start_default, stop),
		cmocka_unit_test_setup_teardown(test_taken_back, start_default, stop),
		cmocka_unit_test_setup_teardown(test_many_on_the_way, start_default, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
