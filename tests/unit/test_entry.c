/* SPDX-License-Identifier: BSD-2-Clause */
/* test_entry.c - libc's functions jump to ours, or stay as they are; each case in a child of its own */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "entry.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif

static pid_t ours(void)
{
	return 4242;
}

static void *real_getppid, *real_umask, *wrong = (void *)ours;

/* An array, so that the compiler does not know what is called. */
static pid_t (*volatile libc_getppid)(void) = getppid;

static int patched(void)
{
	struct sl_entry list[] = {
		{"getppid", (void *)ours, &real_getppid},
		{"no_such_name", (void *)ours, &real_umask},
	};
	pid_t before = libc_getppid();

	if (sl_entry_patch(list, 2) || libc_getppid() != 4242 || real_umask)
		return 1;
	if (((pid_t(*)(void))real_getppid)() != before)
		return 2;
	return 0;
}

/* Each of these forbids, and the good one before it stays as it was, too. */
static int refused(const char *name, void **real)
{
	struct sl_entry list[] = {
		{"getppid", (void *)ours, &real_getppid},
		{name, (void *)ours, real},
	};
	const char *why = sl_entry_patch(list, 2);

	if (!why || !strstr(why, name))
		return 1;
	return libc_getppid() == 4242 || real_getppid ? 2 : 0;
}

static int no_system_call(void)
{
	return refused("abs", &real_umask);
}

static int twice(void)
{
	return refused("getppid", &real_umask);
}

/* A debugger's breakpoint must not go to the trampoline. */
static int breakpoint(void)
{
	uintptr_t at = (uintptr_t)getppid, page = at & ~4095ul;

	if (mprotect((void *)page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC))
		return 0;
	*(volatile uint8_t *)at = 0xcc;
	return sl_entry_patch(&(struct sl_entry){"getppid", (void *)ours, &real_getppid}, 1) &&
			       *(volatile uint8_t *)at == 0xcc ?
		       0 :
		       1;
}

static int interposed(void)
{
	return refused("umask", &wrong);
}

static int forbidden(void)
{
	struct sl_entry e = {"getppid", (void *)ours, &real_getppid};

	if (prctl(PR_SET_MDWE, 1, 0, 0, 0))
		return 0;
	return sl_entry_patch(&e, 1) && libc_getppid() != 4242 && !real_getppid ? 0 : 1;
}

static void one(void **state)
{
	int (*run)(void) = (int (*)(void))*state, status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		_exit(run());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#define CASE(f) {#f, one, NULL, NULL, (void *)(f)}

int main(void)
{
	const struct CMUnitTest tests[] = {CASE(patched), CASE(no_system_call), CASE(twice),
					   CASE(breakpoint), CASE(interposed), CASE(forbidden)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
