/* SPDX-License-Identifier: BSD-2-Clause */
/* The settings: what parses, to what, and that nothing else changes anything. */
#include "env.h"
#include "test_core_util.h"

static const struct promote_case {
	const char *text;
	int want;
	uint32_t calls;
	uint64_t bytes;
} promote_cases[] = {
	{"auto", 0, 4, 65536},
	{"eager", 0, 0, 0},
	{"off", 0, SL_PROMOTE_OFF, UINT64_MAX},
	{"1", 0, 1, UINT64_MAX},
	{"4294967294", 0, UINT32_MAX - 1, UINT64_MAX},
	{"007", 0, 7, UINT64_MAX},
	{"0", -EINVAL, 0, 0},
	{"4294967295", -EINVAL, 0, 0},
	{"4294967296", -EINVAL, 0, 0},
	{"99999999999999999999999", -EINVAL, 0, 0},
	{"", -EINVAL, 0, 0},
	{"-1", -EINVAL, 0, 0},
	{"+1", -EINVAL, 0, 0},
	{" 1", -EINVAL, 0, 0},
	{"1 ", -EINVAL, 0, 0},
	{"1x", -EINVAL, 0, 0},
	{"0x10", -EINVAL, 0, 0},
	{"Auto", -EINVAL, 0, 0},
	{"autos", -EINVAL, 0, 0},
	{"of", -EINVAL, 0, 0},
};

static const struct ring_case {
	const char *text;
	int want;
	size_t len;
} ring_cases[] = {
	{"16384", 0, 16384},
	{"16K", 0, 16384},
	{"16k", 0, 16384},
	{"256K", 0, 262144},
	{"1M", 0, 1048576},
	{"64m", 0, 67108864},
	{"67108864", 0, 67108864},
	{"65536K", 0, 67108864},
	{"8K", -EINVAL, 0},
	{"128M", -EINVAL, 0},
	{"48K", -EINVAL, 0},
	{"65535", -EINVAL, 0},
	{"0", -EINVAL, 0},
	{"", -EINVAL, 0},
	{"K", -EINVAL, 0},
	{"1G", -EINVAL, 0},
	{"16KB", -EINVAL, 0},
	{"16KK", -EINVAL, 0},
	{"16 K", -EINVAL, 0},
	{"-65536", -EINVAL, 0},
	{"18014398509482000K", -EINVAL, 0}, /* 2^64 and 16 KiB more */
	{"17592186044417M", -EINVAL, 0},
	{"18446744073709551616", -EINVAL, 0},
};

static const struct spin_case {
	const char *text;
	int want;
	uint32_t ns;
	bool adapt;
} spin_cases[] = {
	{"auto", 0, SL_SPIN_DEF_NS, true}, {"0", 0, 0, false},
	{"50", 0, 50000, false},	   {"1000000", 0, 1000000000, false},
	{"1000001", -EINVAL, 0, false},	   {"18446744073709551616", -EINVAL, 0, false},
	{"50us", -EINVAL, 0, false},	   {"-1", -EINVAL, 0, false},
	{"", -EINVAL, 0, false},	   {"1.5", -EINVAL, 0, false},
};

#define N(a) (sizeof(a) / sizeof((a)[0]))

static void test_promote(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < N(promote_cases); i++) {
		const struct promote_case *c = &promote_cases[i];
		struct sl_env env = {.promote_calls = 77, .promote_bytes = 88, .ring_len = 99};
		bool bad = c->want < 0;

		if (sl_env_parse_promote(c->text, &env) != c->want ||
		    env.promote_calls != (bad ? 77 : c->calls) ||
		    env.promote_bytes != (bad ? 88 : c->bytes) || env.ring_len != 99)
			fail_msg("\"%s\": %u calls, %lu bytes", c->text, env.promote_calls,
				 env.promote_bytes);
	}
}

static void test_ring(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < N(ring_cases); i++) {
		const struct ring_case *c = &ring_cases[i];
		struct sl_env env = {.ring_len = 99};

		if (sl_env_parse_ring(c->text, &env) != c->want ||
		    env.ring_len != (c->want ? 99 : c->len))
			fail_msg("\"%s\": %zu", c->text, env.ring_len);
	}
}

static void test_spin(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < N(spin_cases); i++) {
		const struct spin_case *c = &spin_cases[i];
		struct sl_env env = {.spin_ns = 99, .spin_auto = !c->adapt};

		if (sl_env_parse_spin(c->text, &env) != c->want ||
		    env.spin_ns != (c->want ? 99 : c->ns) ||
		    env.spin_auto != (c->want ? !c->adapt : c->adapt))
			fail_msg("\"%s\": %u", c->text, env.spin_ns);
	}
}

static void test_spin_cpu(void **state)
{
	static const struct {
		const char *text;
		int want;
		uint32_t percent;
	} cases[] = {{"0", 0, 0},	 {"20", 0, 20},	     {"100", 0, 100},	   {"101", -EINVAL, 7},
		     {"", -EINVAL, 7},	 {"5%", -EINVAL, 7}, {"auto", -EINVAL, 7}, {"-1", -EINVAL, 7}};
	size_t i;

	(void)state;
	for (i = 0; i < N(cases); i++) {
		struct sl_env env = {.spin_cpu = 7};

		assert_int_equal(sl_env_parse_spin_cpu(cases[i].text, &env), cases[i].want);
		assert_int_equal(env.spin_cpu, cases[i].percent);
	}
}

/* A bad value is complained of once, and the default stays. */
static void test_init(void **state)
{
	const struct sl_env before = sl_env;
	char said[1024] = "";
	int p[2], err;

	(void)state;
	(void)setenv("SCILAN_PROMOTE", "sometimes", 1);
	(void)setenv("SCILAN_RING", "64K", 1);
	(void)setenv("SCILAN_SPIN", "", 1);
	(void)setenv("SCILAN_CHAOS", "pairs,lanes:42", 1);
	assert_int_equal(pipe(p), 0);
	err = dup(2);
	(void)dup2(p[1], 2);
	sl_env_init();
	(void)dup2(err, 2);
	(void)close(p[1]);
	assert_true(read(p[0], said, sizeof(said) - 1) > 0);
	(void)close(p[0]);
	(void)close(err);
	assert_non_null(strstr(said, "SCILAN_PROMOTE=sometimes"));
	assert_ptr_equal(strchr(said, '\n'), strrchr(said, '\n'));
	assert_int_equal(sl_env.promote_calls, before.promote_calls);
	assert_int_equal(sl_env.promote_bytes, before.promote_bytes);
	assert_int_equal(sl_env.ring_len, 65536);
	assert_int_equal(sl_env.spin_ns, before.spin_ns);
	assert_true(sl_env.chaos_lanes);
	assert_true(sl_env.chaos_pairs);
	assert_int_equal(sl_env.chaos_seed, 42);
	assert_false(sl_env.verbose);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_promote),
		cmocka_unit_test(test_ring),
		cmocka_unit_test(test_spin),
		cmocka_unit_test(test_spin_cpu),
		cmocka_unit_test(test_init),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
