/* SPDX-License-Identifier: BSD-2-Clause */
/* The one-word protocol as a table: each call at each state of the word, the peer's nonsense
 * included. */
#include "test_core_util.h"
#include "word.h"

#define REC(t, n) (SL_RECORD | (uint32_t)(t) << SL_TYPE_SHIFT | (uint32_t)(n) << SL_LEN_SHIFT)

enum { PUBLISH, ARM, CLOSE };

#define BELL 7u
#define NEW  REC(SL_DATA, 42)

static const struct word_case {
	const char *name;
	int call;
	uint32_t before, after;
	int want;
	uint32_t bell;
} cases[] = {
	{"publish on empty", PUBLISH, SL_EMPTY, NEW, 0, 0},
	{"publish on armed, bell 0", PUBLISH, SL_ARMED, NEW, SL_RING, 0},
	{"publish on armed, bell 9", PUBLISH, SL_ARMED | 9 << 2, NEW, SL_RING, 9},
	{"publish on armed, largest bell", PUBLISH, UINT32_MAX - 2, NEW, SL_RING, UINT32_MAX >> 2},
	{"publish on closed", PUBLISH, SL_CLOSED, SL_CLOSED, -EPIPE, 0},
	{"publish on a record", PUBLISH, REC(SL_DATA, 1), REC(SL_DATA, 1), -EPROTO, 0},
	{"publish on empty with bits", PUBLISH, 4, 4, -EPROTO, 0},
	{"publish on closed with bits", PUBLISH, 7, 7, -EPROTO, 0},
	{"arm empty", ARM, SL_EMPTY, SL_ARMED | BELL << 2, 0, 0},
	{"arm armed, same bell", ARM, SL_ARMED | BELL << 2, SL_ARMED | BELL << 2, 0, 0},
	{"arm armed, other bell", ARM, SL_ARMED | 8 << 2, SL_ARMED, 0, 0},
	{"arm armed, bell 0", ARM, SL_ARMED, SL_ARMED, 0, 0},
	{"arm a record", ARM, REC(SL_END, 0), REC(SL_END, 0), -EAGAIN, 0},
	{"arm closed", ARM, SL_CLOSED, SL_CLOSED, -EAGAIN, 0},
	{"close empty", CLOSE, SL_EMPTY, SL_CLOSED, 0, 0},
	{"close armed", CLOSE, SL_ARMED | 3 << 2, SL_CLOSED, 0, 0},
	{"close closed", CLOSE, SL_CLOSED, SL_CLOSED, 0, 0},
	{"close a record", CLOSE, REC(SL_FIN, 0), REC(SL_FIN, 0), -EAGAIN, 0},
};

static void test_table(void **state)
{
	struct sl_word_shm w = {0};
	uint32_t bell;
	size_t i;
	int rc;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct word_case *c = &cases[i];

		atomic_store(&w.word, c->before);
		bell = 0;
		if (c->call == PUBLISH)
			rc = sl_word_publish(&w, NEW, &bell);
		else
			rc = c->call == ARM ? sl_word_arm(&w, BELL) : sl_word_close(&w);
		if (rc != c->want || atomic_load(&w.word) != c->after || bell != c->bell)
			fail_msg("%s: %d, word %#x, bell %u", c->name, rc, atomic_load(&w.word),
				 bell);
	}
}

static void test_record(void **state)
{
	static const uint32_t lens[] = {0, 1, 8, SL_RING_CHUNK, SL_REC_MAX};
	size_t i;
	int t;

	(void)state;
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		for (t = SL_DATA; t <= SL_FIN; t++) {
			uint32_t w = sl_word_record((enum sl_rec_type)t, lens[i]);

			assert_true(sl_word_is_record(w));
			assert_int_equal(sl_word_type(w), t);
			assert_int_equal(sl_word_len(w), lens[i]);
		}
	}
	assert_false(sl_word_is_record(SL_EMPTY));
	assert_false(sl_word_is_record(SL_ARMED | 5 << 2));
	assert_false(sl_word_is_record(SL_CLOSED));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
