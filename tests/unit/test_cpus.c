/* SPDX-License-Identifier: BSD-2-Clause */
/* How much of the machine a thread may use: affinity, the quotas of cgroups, and what spins in vain
 * may cost then. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "spin.h"

static char root[] = "/tmp/scilan-test-cpus-XXXXXX";

static void put(const char *dir, const char *file, const char *text)
{
	char path[256];
	size_t i;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/", root, dir);
	for (i = strlen(root) + 1; path[i]; i++) {
		if (path[i] != '/')
			continue;
		path[i] = '\0';
		(void)mkdir(path, 0700);
		path[i] = '/';
	}
	snprintf(path, sizeof(path), "%s/%s/%s", root, dir, file);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int make_root(void **state)
{
	(void)state;
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	char cmd[64];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -r %s", root);
	return system(cmd);
}

static void test_quota_v2(void **state)
{
	(void)state;
	assert_int_equal(sl_cpus_quota("0::/none\n", root), SL_CPUS_ALL);
	put("none", "cpu.max", "max 100000\n");
	assert_int_equal(sl_cpus_quota("0::/none\n", root), SL_CPUS_ALL);
	put("half", "cpu.max", "50000 100000\n");
	assert_int_equal(sl_cpus_quota("0::/half\n", root), 50);
	assert_int_equal(sl_cpus_quota("0::/half", root), 50);
	put("two", "cpu.max", "200000 100000\n");
	assert_int_equal(sl_cpus_quota("0::/two\n", root), SL_CPUS_ALL);
	put("tiny", "cpu.max", "1000 1000000\n");
	assert_int_equal(sl_cpus_quota("0::/tiny\n", root), 1);
	/* Those around it limit it, too; the one in the middle has no file. */
	put("half/a/b", "cpu.max", "70000 100000\n");
	assert_int_equal(sl_cpus_quota("0::/half/a/b\n", root), 50);
	put("half/a/b", "cpu.max", "20000 100000\n");
	assert_int_equal(sl_cpus_quota("0::/half/a/b/\n", root), 20);
	/* In a container: the path is the host's, the mount its own. */
	put("", "cpu.max", "30000 100000\n");
	assert_int_equal(sl_cpus_quota("0::/machine/of/the/host\n", root), 30);
	assert_int_equal(sl_cpus_quota("0::/\n", root), 30);
	put("", "cpu.max", "max 100000\n");
}

static void test_quota_v1(void **state)
{
	(void)state;
	put("cpu,cpuacct/x", "cpu.cfs_quota_us", "25000\n");
	put("cpu,cpuacct/x", "cpu.cfs_period_us", "50000\n");
	assert_int_equal(sl_cpus_quota("7:memory:/x\n4:cpu,cpuacct:/x\n0::/\n", root), 50);
	put("cpu,cpuacct/x", "cpu.cfs_quota_us", "-1\n");
	assert_int_equal(sl_cpus_quota("4:cpu,cpuacct:/x\n", root), SL_CPUS_ALL);
	/* cpuset and cpuacct are others. */
	put("cpuset/x", "cpu.cfs_quota_us", "10000\n");
	put("cpuset/x", "cpu.cfs_period_us", "100000\n");
	assert_int_equal(sl_cpus_quota("4:cpuset:/x\n", root), SL_CPUS_ALL);
}

static void test_quota_nonsense(void **state)
{
	static const char *const files[] = {
		"", "\n", "x\n", "50000\n", "50000 0\n", "50000 x\n", "99999999999999999999 1\n"};
	static const char *const cgroups[] = {"", "\n", ":", "0:", "0:x", "::\n::\n", "0::/bad"};
	size_t i, k;

	(void)state;
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		put("bad", "cpu.max", files[i]);
		for (k = 0; k < sizeof(cgroups) / sizeof(cgroups[0]); k++)
			assert_int_equal(sl_cpus_quota(cgroups[k], root), SL_CPUS_ALL);
	}
}

/* The affinity is seen, and seen again when it has changed. */
static void test_affinity(void **state)
{
	cpu_set_t before, one;
	size_t cpu;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	for (cpu = CPU_SETSIZE - 1; !CPU_ISSET(cpu, &before); cpu--)
		;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	sl_cpus_look_now();
	assert_int_equal(sl_cpus_only, cpu + 1);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	sl_cpus_look_now();
	assert_int_equal(sl_cpus_only, CPU_COUNT(&before) > 1 ? 0 : cpu + 1);
}

/* How long a place may spin in vain, of @ns, when each spin is 50 us and waits come every 60 us. */
static uint64_t vain_ns(uint64_t ns)
{
	uint64_t t, spent = 0, start = sl_ticks();
	struct sl_spin place = {.vain = 1};

	atomic_store(&sl_spin_purse.left, 0);
	atomic_store(&sl_spin_purse.filled, start);
	for (t = 0; t < ns; t += 60000) {
		struct sl_spinning sp;

		sl_spin_begin(&sp, &place, false);
		sp.start = start + sl_ticks_of_ns(t);
		sp.now = sp.start + sp.budget;
		spent += sp.budget;
		sl_spin_charge(&sp);
	}
	return spent * 1000 / sl_ticks_per_us;
}

/* A part of a quota, and not of a CPU that cannot be had. */
static void test_purse(void **state)
{
	uint64_t whole, tenth;

	(void)state;
	sl_clock_init();
	sl_env.spin_ns = SL_SPIN_DEF_NS;
	sl_env.spin_auto = false;
	sl_env.spin_cpu = 20;
	/* The look itself must not undo it. */
	sl_cpus_look(sl_ticks());
	atomic_store(&sl_cpus_percent, SL_CPUS_ALL);
	whole = vain_ns(1000000000);
	atomic_store(&sl_cpus_percent, 10);
	tenth = vain_ns(1000000000);
	atomic_store(&sl_cpus_percent, SL_CPUS_ALL);
	assert_in_range(whole, 190000000, 215000000);
	assert_in_range(tenth, 18000000, 22000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quota_v2),       cmocka_unit_test(test_quota_v1),
		cmocka_unit_test(test_quota_nonsense), cmocka_unit_test(test_affinity),
		cmocka_unit_test(test_purse),
	};

	return cmocka_run_group_tests_name("cpus", tests, make_root, remove_root);
}
