/* SPDX-License-Identifier: BSD-2-Clause */
/* test_scan.c - which bytes are system calls, and which of these matter */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <cmocka.h>
#include "scan.h"

#define SYSCALL 0x0f, 0x05

static const struct scan_case {
	const char *what;
	uint8_t code[32];
	size_t len;
	unsigned calls;
	enum sl_reason why;
	int nr;
} cases[] = {
	{"nothing", {0xc3}, 1, 0, SL_WHY_NONE, -1},
	{"futex", {0xb8, 0xca, 0, 0, 0, SYSCALL, 0xc3}, 8, 1, SL_WHY_NONE, -1},
	{"read", {0x31, 0xc0, SYSCALL, 0xc3}, 5, 1, SL_WHY_RAW_CODE, 0},
	{"write", {0xb8, 1, 0, 0, 0, SYSCALL, 0xc3}, 8, 1, SL_WHY_RAW_CODE, 1},
	{"write by int 0x80", {0xb8, 4, 0, 0, 0, 0xcd, 0x80, 0xc3}, 8, 1, SL_WHY_RAW_CODE, -1},
	{"arguments in between",
	 {0xb8, 0xca, 0, 0, 0, 0x49, 0x89, 0xca, 0x31, 0xd2, SYSCALL, 0xc3}, 13, 1, SL_WHY_NONE, -1},
	{"a number that was passed", {0x48, 0x89, 0xf8, SYSCALL, 0xc3}, 6, 1, SL_WHY_RAW_CODE, -1},
	{"io_uring_setup", {0xb8, 0xa9, 1, 0, 0, SYSCALL, 0xc3}, 8, 1, SL_WHY_IO_URING, 425},
	{"io_uring after a read",
	 {0x31, 0xc0, SYSCALL, 0xb8, 0xaa, 1, 0, 0, SYSCALL, 0xc3}, 12, 2, SL_WHY_IO_URING, 426},
	{"jumped behind the number", /* jmp 1f; mov $202,%eax; 1: xor %edx,%edx; syscall */
	 {0xeb, 0x05, 0xb8, 0xca, 0, 0, 0, 0x31, 0xd2, SYSCALL, 0xc3}, 12, 1, SL_WHY_RAW_CODE, -1},
	{"jumped to the number", /* jmp 1f; nop; 1: mov $202,%eax; syscall */
	 {0xeb, 0x01, 0x90, 0xb8, 0xca, 0, 0, 0, SYSCALL, 0xc3}, 11, 1, SL_WHY_NONE, -1},
	{"a call in between",
	 {0xb8, 0xca, 0, 0, 0, 0xe8, 0, 0, 0, 0, 0x31, 0xc0, 0x8b, 0x07, SYSCALL, 0xc3}, 17, 1,
	 SL_WHY_RAW_CODE, -1},
	{"the middle of something else", {0xb8, 0xca, 0, 0x0f, 0x05, 0x48, 0xb8, 0x0f, 0x05, 0, 0,
	 0, 0, 0, 0, 0xc3}, 16, 0, SL_WHY_NONE, -1},
	{"a constant in data", {0x86, 0xfa, 0x28, 0xaa, 0x3f, 0x07, 0x1f, 0x02, SYSCALL, 0x09, 0xe6,
	 0x92, 0xc6, 0xa8, 0x8f}, 16, 0, SL_WHY_NONE, -1},
	{"the last bytes", {0x31, 0xc0, SYSCALL}, 4, 1, SL_WHY_RAW_CODE, 0},
	{"cut off", {0x31, 0xc0, 0x0f}, 3, 0, SL_WHY_NONE, -1},
};

static void scan(const uint8_t *code, size_t len, struct sl_scan *out)
{
	Elf64_Phdr ph = {.p_type = PT_LOAD,
			 .p_flags = PF_R | PF_X,
			 .p_offset = 4096,
			 .p_filesz = len,
			 .p_memsz = len};
	struct sl_image im = {(uintptr_t)code, &ph, 1};

	sl_scan_image(&im, out);
}

static void table(void **state)
{
	uint8_t code[300];
	struct sl_scan out;
	unsigned i, pad;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* at several places: the search takes sixteen bytes at a time */
		for (pad = 0; pad < 40; pad++) {
			memset(code, 0x90, sizeof(code));
			memcpy(code + pad, cases[i].code, cases[i].len);
			scan(code, pad + cases[i].len, &out);
			if (out.calls != cases[i].calls || out.why != cases[i].why ||
			    (out.why && (out.nr != cases[i].nr || out.at < pad)))
				fail_msg("%s, behind %u bytes: %u calls, why %d, number %d",
					 cases[i].what, pad, out.calls, out.why, out.nr);
		}
	}
}

static void numbers(void **state)
{
	static const int touch[] = {SYS_read, SYS_write, SYS_close, SYS_dup, SYS_dup2, SYS_dup3,
				    SYS_sendto, SYS_recvfrom, SYS_sendmsg, SYS_recvmsg, SYS_poll,
				    SYS_select, SYS_epoll_ctl, SYS_epoll_wait, SYS_fcntl, SYS_ioctl,
				    SYS_sendfile, SYS_splice, SYS_clone, SYS_clone3, SYS_fork,
				    SYS_vfork, SYS_execve, SYS_shutdown, SYS_setsockopt,
				    SYS_close_range, SYS_io_uring_setup, SYS_unshare,
				    SYS_pidfd_getfd, SYS_readv, SYS_writev, SYS_connect,
				    SYS_accept4, -1, 100000};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(touch) / sizeof(touch[0]); i++)
		assert_false(sl_scan_harmless(touch[i]));
	assert_true(sl_scan_harmless(SYS_futex));
	assert_true(sl_scan_harmless(SYS_getrandom));
}

/* This test's own code has sl_sys6(): a number that comes from a register. */
static void process(void **state)
{
	(void)state;
	assert_int_not_equal(sl_scan_process(), SL_WHY_IO_URING);
	assert_int_equal(sl_scan_process(), sl_scan_process());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(numbers),
		cmocka_unit_test(process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
