/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding a program, and the interpreter of a script. ELF is another's business here. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "../../src/cli/prog.c"

static char dir[] = "/tmp/scilan-unit-XXXXXX";

enum sl_reason sl_elf_look(const char *path, bool *other_libc)
{
	const char *slash = strrchr(path, '/');

	*other_libc = !strcmp(slash ? slash + 1 : path, "musl");
	return SL_WHY_NONE;
}

static const char *in_dir(const char *name)
{
	static char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void put_file(const char *name, const char *text, mode_t mode)
{
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	(void)close(fd);
}

static void test_find(void **state)
{
	char path[PATH_MAX], other[PATH_MAX], longer[2 * PATH_MAX];

	(void)state;
	put_file("good", "", 0755);
	put_file("plain", "", 0644);
	(void)snprintf(path, sizeof(path), "/nowhere:%s:/bin", dir);
	assert_int_equal(setenv("PATH", path, 1), 0);
	assert_int_equal(sl_prog_find("good", path), 0);
	assert_string_equal(path, in_dir("good"));
	assert_int_equal(sl_prog_find("sh", path), 0);
	assert_string_equal(path, "/bin/sh");
	assert_int_equal(sl_prog_find("plain", path), -EACCES);
	assert_int_equal(sl_prog_find("none", path), -ENOENT);
	assert_int_equal(sl_prog_find("", path), -ENOENT);
	assert_int_equal(sl_prog_find("/tmp", path), -EACCES);
	assert_int_equal(sl_prog_find("./none", path), -ENOENT);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(sl_prog_find(longer, path), -ENAMETOOLONG);
	/* An empty element is the current directory. */
	assert_non_null(getcwd(other, sizeof(other)));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(setenv("PATH", "/nowhere::", 1), 0);
	assert_int_equal(sl_prog_find("good", path), 0);
	assert_string_equal(path, "./good");
	assert_int_equal(chdir(other), 0);
}

static void test_scripts(void **state)
{
	static const struct {
		const char *line, *want;
	} cases[] = {
		{"#!/bin/sh\necho\n", "/bin/sh"},
		{"#! \t/bin/sh -e\n", "/bin/sh"},
		{"#!/bin/sh", "/bin/sh"},
		{"#!/usr/bin/env sh\n", "/bin/sh"},
		{"#!/usr/bin/env -S sh -e\n", "/bin/sh"},
		{"#!/usr/bin/env -i A=b sh\n", "/bin/sh"},
		{"#!/usr/bin/env no-such-program\n", NULL},
		{"#!/usr/bin/env\n", NULL},
		{"#!\n", NULL},
		{"#!", NULL},
		{"echo\n", NULL},
		{"", NULL},
	};
	struct sl_prog prog;
	size_t i;

	(void)state;
	assert_int_equal(setenv("PATH", "/bin", 1), 0);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put_file("script", cases[i].line, 0755);
		sl_prog_inspect(in_dir("script"), &prog);
		assert_string_equal(prog.binary, cases[i].want ? cases[i].want : in_dir("script"));
	}
}

static void test_script_of_script(void **state)
{
	char line[PATH_MAX + 8];
	struct sl_prog prog;

	(void)state;
	put_file("inner", "#!/bin/sh\n", 0755);
	(void)snprintf(line, sizeof(line), "#!%s\n", in_dir("inner"));
	put_file("outer", line, 0755);
	sl_prog_inspect(in_dir("outer"), &prog);
	assert_string_equal(prog.binary, "/bin/sh");
	(void)snprintf(line, sizeof(line), "#!%s\n", in_dir("loop"));
	put_file("loop", line, 0755); /* ends */
	sl_prog_inspect(in_dir("loop"), &prog);
	assert_string_equal(prog.binary, in_dir("loop"));
}

static void test_verdicts(void **state)
{
	struct sl_prog prog;

	(void)state;
	put_file("good", "", 0755);
	sl_prog_inspect(in_dir("good"), &prog);
	assert_int_equal(prog.why, SL_WHY_NONE);
	assert_false(prog.other_libc);
	put_file("musl", "", 0755);
	sl_prog_inspect(in_dir("musl"), &prog);
	assert_true(prog.other_libc);
	assert_int_not_equal(prog.why, SL_WHY_NONE);
	put_file("ours", "", 04755); /* set to who we are anyway */
	sl_prog_inspect(in_dir("ours"), &prog);
	assert_int_equal(prog.why, SL_WHY_NONE);
	if (geteuid() != 0)
		return;
	assert_int_equal(chown(in_dir("ours"), 65534, 65534), 0);
	assert_int_equal(chmod(in_dir("ours"), 04755), 0);
	sl_prog_inspect(in_dir("ours"), &prog);
	assert_int_equal(prog.why, SL_WHY_SETID);
	assert_int_equal(chmod(in_dir("ours"), 02755), 0);
	sl_prog_inspect(in_dir("ours"), &prog);
	assert_int_equal(prog.why, SL_WHY_SETID);
	assert_int_equal(chmod(in_dir("ours"), 02745), 0); /* that is mandatory locking */
	sl_prog_inspect(in_dir("ours"), &prog);
	assert_int_equal(prog.why, SL_WHY_NONE);
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	static const char *const names[] = {"good",  "plain", "script", "inner",
					    "outer", "loop",  "musl",	"ours"};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)unlink(in_dir(names[i]));
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_script_of_script),
		cmocka_unit_test(test_verdicts),
	};

	return cmocka_run_group_tests_name("cli, programs", tests, make_dir, remove_dir);
}
