/* SPDX-License-Identifier: BSD-2-Clause */
/* LD_PRELOAD: put in front once, taken out without a trace. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include "../../src/cli/preload.c"

#define LIB "/opt/scilan/libscilan.so"

static const struct {
	const char *before, *set, *unset;
} cases[] = {
	{NULL, LIB, NULL},
	{"", LIB, ""},
	{"libm.so.6", LIB ":libm.so.6", "libm.so.6"},
	{"a.so b.so", LIB ":a.so b.so", "a.so b.so"},
	{LIB, LIB, NULL},
	{"/elsewhere/libscilan.so", "/elsewhere/libscilan.so", NULL},
	{"libscilan.so", "libscilan.so", NULL},
	{"a.so:" LIB, "a.so:" LIB, "a.so"},
	{LIB " a.so", LIB " a.so", "a.so"},
	{"a.so:" LIB ":b.so", "a.so:" LIB ":b.so", "a.so:b.so"},
	{"/x/notlibscilan.so", LIB ":/x/notlibscilan.so", "/x/notlibscilan.so"},
	{LIB ".1", LIB ":" LIB ".1", LIB ".1"},
};

static void put_env(const char *value)
{
	if (value)
		assert_int_equal(setenv("LD_PRELOAD", value, 1), 0);
	else
		assert_int_equal(unsetenv("LD_PRELOAD"), 0);
}

static void expect_env(const char *want)
{
	const char *got = getenv("LD_PRELOAD");

	if (want)
		assert_string_equal(got, want);
	else
		assert_null(got);
}

static void test_set(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put_env(cases[i].before);
		assert_int_equal(sl_preload_set(LIB), 0);
		expect_env(cases[i].set);
	}
}

static void test_unset(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put_env(cases[i].before);
		assert_int_equal(sl_preload_unset(), 0);
		expect_env(cases[i].unset);
	}
}

static void test_find(void **state)
{
	char dir[] = "/tmp/scilan-unit-XXXXXX", lib[PATH_MAX], path[PATH_MAX];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(lib, sizeof(lib), "%s/lib x.so", dir);
	assert_int_equal(setenv("SCILAN_LIB", lib, 1), 0);
	assert_int_equal(sl_preload_find(path), -ENOENT);
	fd = creat(lib, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(sl_preload_find(path), -EINVAL); /* a space */
	assert_int_equal(unlink(lib), 0);
	(void)snprintf(lib, sizeof(lib), "%s/./libscilan.so", dir);
	fd = creat(lib, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(setenv("SCILAN_LIB", lib, 1), 0);
	assert_int_equal(sl_preload_find(path), 0);
	assert_null(strstr(path, "/./"));
	assert_int_equal(unlink(lib), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_unset),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests_name("cli, preload", tests, NULL, NULL);
}
