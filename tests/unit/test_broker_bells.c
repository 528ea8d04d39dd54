/* SPDX-License-Identifier: BSD-2-Clause */
/* Bells: handed in by their sleepers, given to those that hold the other end, and to nobody else. */
#include <fcntl.h>
#include <sys/eventfd.h>
#include "test_broker_util.h"

/* Like hello(); return the serial. */
static uint64_t hello_serial(struct client *c)
{
	struct sl_msg m = {.type = SL_MSG_HELLO, .arg = SL_MSG_VERSION};

	connect_client(c);
	say(c, &m, -1);
	return expect(c, SL_MSG_WELCOME, NULL).id;
}

static void hand_in(const struct client *c, uint32_t slot, int fd)
{
	const struct sl_msg m = {.type = SL_MSG_BELL, .arg = slot};

	say(c, &m, fd);
}

/* Return: the eventfd; -1: not to be had. */
static int ask(const struct client *c, uint64_t number, uint64_t pair, uint32_t side)
{
	struct sl_msg m = {.type = SL_MSG_ASK, .id = number, .pair = pair, .side = side};
	int fds[SL_MSG_FDS];

	say(c, &m, -1);
	m = expect(c, SL_MSG_BELL, fds);
	assert_int_equal(m.id, number);
	assert_int_equal(m.arg, fds[0] >= 0);
	return fds[0];
}

struct bells {
	struct client a, b, stranger;
	struct tcp t;
	struct sl_msg pair[2];
	uint64_t of_a; /* its bell 3 */
	int efd;
};

static void begin(struct bells *x)
{
	uint64_t serial = hello_serial(&x->a);

	assert_true(serial > 0);
	assert_int_not_equal(hello_serial(&x->b), serial);
	assert_int_not_equal(hello_serial(&x->stranger), serial);
	tcp_open(&x->t);
	pair_up(&x->a, &x->b, &x->t, x->pair, NULL);
	x->efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	x->of_a = serial << SL_BELL_SLOT_BITS | 3;
	hand_in(&x->a, 3, x->efd);
	synced(&x->a);
}

static void end(struct bells *x)
{
	tcp_close(&x->t);
	bye(&x->a);
	bye(&x->b);
	bye(&x->stranger);
	(void)close(x->efd);
}

static void test_given(void **state)
{
	uint64_t n = 0, one = 1;
	struct bells x;
	int fd;

	(void)state;
	begin(&x);
	fd = ask(&x.b, x.of_a, x.pair[1].pair, x.pair[1].side);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	assert_int_equal(read(x.efd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 1);
	(void)close(fd);
	end(&x);
}

static void test_not_given(void **state)
{
	struct bells x;

	(void)state;
	begin(&x);
	/* Other bells, other pairs, the wrong end, somebody else. */
	assert_int_equal(ask(&x.b, x.of_a + 1, x.pair[1].pair, x.pair[1].side), -1);
	assert_int_equal(ask(&x.b, UINT64_MAX, x.pair[1].pair, x.pair[1].side), -1);
	assert_int_equal(ask(&x.b, x.of_a, x.pair[1].pair + 1, x.pair[1].side), -1);
	assert_int_equal(ask(&x.b, x.of_a, x.pair[1].pair, 1 - x.pair[1].side), -1);
	assert_int_equal(ask(&x.stranger, x.of_a, x.pair[1].pair, x.pair[1].side), -1);
	/* The owner holds the end no more. */
	gone(&x.a, &x.pair[0]);
	synced(&x.a);
	assert_int_equal(ask(&x.b, x.of_a, x.pair[1].pair, x.pair[1].side), -1);
	end(&x);
}

/* A number stands for one eventfd; what is none, or could block a writer, is none. */
static void test_what(void **state)
{
	int other = eventfd(0, EFD_NONBLOCK), blocking = eventfd(0, 0), p[2], fd;
	struct bells x;
	uint64_t n, one = 1;

	(void)state;
	begin(&x);
	assert_int_equal(pipe2(p, O_NONBLOCK), 0);
	hand_in(&x.a, 3, other);
	hand_in(&x.a, 4, p[1]);
	hand_in(&x.a, 5, blocking);
	hand_in(&x.a, SL_BELL_SLOTS, other);
	hand_in(&x.a, 6, -1);
	synced(&x.a);
	fd = ask(&x.b, x.of_a, x.pair[1].pair, x.pair[1].side);
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	assert_int_equal(read(x.efd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(ask(&x.b, x.of_a + 1, x.pair[1].pair, x.pair[1].side), -1);
	assert_int_equal(ask(&x.b, x.of_a + 2, x.pair[1].pair, x.pair[1].side), -1);
	assert_int_equal(ask(&x.b, x.of_a + 3, x.pair[1].pair, x.pair[1].side), -1);
	(void)close(fd);
	(void)close(other);
	(void)close(blocking);
	(void)close(p[0]);
	(void)close(p[1]);
	end(&x);
}

/* Whoever goes away leaves nothing behind. */
static void test_files(void **state)
{
	unsigned before = broker_files(), i;
	struct bells x;

	(void)state;
	for (i = 0; i < 40; i++) {
		begin(&x);
		(void)ask(&x.b, x.of_a, x.pair[1].pair + 1, x.pair[1].side);
		gone(&x.a, &x.pair[0]);
		gone(&x.b, &x.pair[1]);
		synced(&x.b);
		synced(&x.a);
		end(&x);
	}
	for (i = 0; i < PATIENT_MS && broker_files() > before; i++)
		(void)usleep(1000);
	assert_true(broker_files() <= before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_given, start_default, stop),
		cmocka_unit_test_setup_teardown(test_not_given, start_default, stop),
		cmocka_unit_test_setup_teardown(test_what, start_default, stop),
		cmocka_unit_test_setup_teardown(test_files, start_default, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
