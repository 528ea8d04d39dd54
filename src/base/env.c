/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "env.h"
#include "log.h"

#define RING_MIN (16u << 10)
#define RING_MAX (64u << 20)

struct sl_env sl_env = {
	.promote_calls = 4,
	.promote_bytes = 64 << 10,
	.spin_ns = SL_SPIN_DEF_NS,
	.spin_auto = true,
	.spin_cpu = SL_SPIN_CPU_DEF,
	.patch = true,
	.bells = true,
};

static int parse_u64(const char *s, uint64_t *v, const char **end)
{
	char *e;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	*v = strtoull(s, &e, 10);
	if (errno)
		return -EINVAL;
	*end = e;
	return 0;
}

int sl_env_parse_promote(const char *s, struct sl_env *env)
{
	const char *end;
	uint64_t n;

	if (!strcmp(s, "auto")) {
		env->promote_calls = 4;
		env->promote_bytes = 64 << 10;
	} else if (!strcmp(s, "eager")) {
		env->promote_calls = 0;
		env->promote_bytes = 0;
	} else if (!strcmp(s, "off")) {
		env->promote_calls = SL_PROMOTE_OFF;
		env->promote_bytes = UINT64_MAX;
	} else {
		if (parse_u64(s, &n, &end) || *end || n == 0 || n >= SL_PROMOTE_OFF)
			return -EINVAL;
		env->promote_calls = (uint32_t)n;
		env->promote_bytes = UINT64_MAX;
	}
	return 0;
}

int sl_env_parse_ring(const char *s, struct sl_env *env)
{
	const char *end;
	uint64_t n;

	if (parse_u64(s, &n, &end))
		return -EINVAL;
	if (*end == 'K' || *end == 'k') {
		n = n > RING_MAX ? n : n << 10;
		end++;
	} else if (*end == 'M' || *end == 'm') {
		n = n > RING_MAX ? n : n << 20;
		end++;
	}
	if (*end || n < RING_MIN || n > RING_MAX || (n & (n - 1)))
		return -EINVAL;
	env->ring_len = (size_t)n;
	return 0;
}

int sl_env_parse_spin(const char *s, struct sl_env *env)
{
	const char *end;
	uint64_t us;

	if (!strcmp(s, "auto")) {
		env->spin_ns = SL_SPIN_DEF_NS;
		env->spin_auto = true;
		return 0;
	}
	if (parse_u64(s, &us, &end) || *end || us > 1000000)
		return -EINVAL;
	env->spin_ns = (uint32_t)(us * 1000);
	env->spin_auto = false;
	return 0;
}

int sl_env_parse_spin_cpu(const char *s, struct sl_env *env)
{
	const char *end;
	uint64_t percent;

	if (parse_u64(s, &percent, &end) || *end || percent > SL_SPIN_CPU_ALL)
		return -EINVAL;
	env->spin_cpu = (uint32_t)percent;
	return 0;
}

static void parse_chaos(const char *s)
{
	if (!strncmp(s, "pairs", 5) && (!s[5] || s[5] == ',')) {
		sl_env.chaos_pairs = true;
		if (!s[5])
			return;
		s += 6;
	}
	if (strncmp(s, "lanes", 5) || (s[5] && s[5] != ':')) {
		sl_log("SCILAN_CHAOS=%s: expected pairs, lanes or lanes:SEED; ignored", s);
		return;
	}
	sl_env.chaos_lanes = true;
	sl_env.chaos_seed = s[5] ? (uint32_t)strtoul(s + 6, NULL, 10) : 1;
}

void sl_env_init(void)
{
	static const struct {
		const char *name;
		int (*parse)(const char *, struct sl_env *);
		const char *expected;
	} vars[] = {
		{"SCILAN_PROMOTE", sl_env_parse_promote, "eager, auto, off or a number of calls"},
		{"SCILAN_RING", sl_env_parse_ring, "a power of two from 16K to 64M"},
		{"SCILAN_SPIN", sl_env_parse_spin, "auto or microseconds up to 1000000"},
		{"SCILAN_SPIN_CPU", sl_env_parse_spin_cpu, "a number of percent up to 100"},
	};
	const char *s;
	size_t i;

	for (i = 0; i < sizeof(vars) / sizeof(vars[0]); i++) {
		s = getenv(vars[i].name);
		if (s && *s && vars[i].parse(s, &sl_env))
			sl_log("%s=%s: expected %s; the default is kept", vars[i].name, s,
			       vars[i].expected);
	}
	s = getenv("SCILAN_VERBOSE");
	sl_env.verbose = s && *s && strcmp(s, "0") != 0;
	s = getenv("SCILAN_PATCH");
	sl_env.patch = !s || strcmp(s, "0") != 0;
	s = getenv("SCILAN_BELLS");
	sl_env.bells = !s || strcmp(s, "0") != 0;
	s = getenv("SCILAN_BROKER");
	if (s)
		strncpy(sl_env.broker, s, sizeof(sl_env.broker) - 1);
	s = getenv("SCILAN_CHAOS");
	if (s && *s)
		parse_chaos(s);
}
