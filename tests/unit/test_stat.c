/* SPDX-License-Identifier: BSD-2-Clause */
/* Reasons have words; the status page's layout is as `status` and other versions read it. */
#include "reason.h"
#include "stat.h"
#include "test_core_util.h"

static void test_reasons(void **state)
{
	unsigned i, k;

	(void)state;
	assert_string_equal(sl_reason_text(SL_WHY_NONE), "");
	for (i = 1; i < SL_WHY_COUNT; i++) {
		assert_true(strlen(sl_reason_text(i)) > 0);
		for (k = 0; k < i; k++)
			assert_string_not_equal(sl_reason_text(i), sl_reason_text(k));
	}
	assert_string_equal(sl_reason_text(SL_WHY_COUNT), "unknown reason");
	assert_string_equal(sl_reason_text(UINT32_MAX), "unknown reason");
	/* Codes are append only: other versions read them. */
	assert_int_equal(SL_WHY_YOUNG, 1);
	assert_int_equal(SL_WHY_SHARED, 11);
	assert_int_equal(SL_WHY_BAD_PEER, 32);
	assert_int_equal(SL_WHY_CONNECTING, 45);
}

static void test_layout(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct sl_stat_addr_shm), 20);
	assert_int_equal(sizeof(struct sl_stat_dir_shm), 64);
	assert_int_equal(sizeof(struct sl_stat_conn_shm), 216);
	assert_int_equal(offsetof(struct sl_stat_conn_shm, local), 16);
	assert_int_equal(offsetof(struct sl_stat_conn_shm, tx), 56);
	assert_int_equal(offsetof(struct sl_stat_hdr_shm, program), 32);
	assert_int_equal(offsetof(struct sl_stat_hdr_shm, wakeups), 96);
	assert_int_equal(sizeof(struct sl_stat_hdr_shm), 496);
	assert_int_equal(offsetof(struct sl_stat_hdr_shm, young_at), 120);
	assert_int_equal(sizeof(struct sl_stat_young_shm), 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_layout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
