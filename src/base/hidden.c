/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include "hidden.h"
#include "sys.h"

#define HIGH 1000 /* below the usual soft limit of 1024, above what programs use */

_Atomic int sl_hidden_fd[SL_HIDDEN_MAX];
_Atomic uint64_t sl_kept[SL_KEPT_MAX / 64];
_Atomic int sl_kept_end;
int (*sl_kept_move)(int fd);

static long high(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < HIGH + 16)
		return rl.rlim_cur > 32 ? (long)rl.rlim_cur - 16 : 3;
	return HIGH;
}

static int move_high(int fd)
{
	long n = sl_sys_fcntl(fd, F_DUPFD_CLOEXEC, high());

	if (n < 0)
		n = sl_sys_fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return (int)n;
}

int sl_hidden_add(enum sl_hidden_role role, int fd)
{
	int n = move_high(fd);

	sl_sys_close(fd);
	if (n >= 0)
		atomic_store(&sl_hidden_fd[role], n + 1);
	return n;
}

int sl_kept_add(int fd)
{
	long from = high(), n = -EMFILE;
	int end;

	if (from >= 32)
		n = sl_sys_fcntl(fd, F_DUPFD_CLOEXEC, from);
	sl_sys_close(fd);
	if (n >= SL_KEPT_MAX) {
		sl_sys_close((int)n);
		n = -EMFILE;
	}
	if (n < 0)
		return (int)n;
	atomic_fetch_or(&sl_kept[n / 64], 1ull << (n % 64));
	end = atomic_load(&sl_kept_end);
	while (end <= n && !atomic_compare_exchange_weak(&sl_kept_end, &end, (int)n + 1))
		;
	return (int)n;
}

void sl_kept_drop(int fd)
{
	atomic_fetch_and(&sl_kept[fd / 64], ~(1ull << (fd % 64)));
	sl_sys_close(fd);
}

static int next_kept(int fd)
{
	int end = atomic_load(&sl_kept_end);

	for (fd = fd < 0 ? 0 : fd; fd < end; fd++) {
		if (!(atomic_load(&sl_kept[fd / 64]) >> (fd % 64)))
			fd |= 63;
		else if (sl_kept_is(fd))
			return fd;
	}
	return -1;
}

static int slot_of(int fd)
{
	unsigned i;

	for (i = 0; i < SL_HIDDEN_MAX; i++)
		if (atomic_load(&sl_hidden_fd[i]) == fd + 1)
			return (int)i;
	return -1;
}

void sl_hidden_close(enum sl_hidden_role role)
{
	int fd = atomic_exchange(&sl_hidden_fd[role], 0) - 1;

	if (fd >= 0)
		sl_sys_close(fd);
}

int sl_hidden_move(int fd)
{
	int i = slot_of(fd), n;

	if (i < 0)
		return sl_kept_is(fd) && sl_kept_move ? sl_kept_move(fd) : 0;
	n = (int)sl_sys_fcntl(fd, F_DUPFD_CLOEXEC, fd + 1);
	if (n < 0)
		n = (int)sl_sys_fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (n < 0)
		return n;
	atomic_store(&sl_hidden_fd[i], n + 1);
	sl_sys_close(fd);
	return 0;
}

int sl_hidden_next(int fd)
{
	int best = next_kept(fd), n;
	unsigned i;

	for (i = 0; i < SL_HIDDEN_MAX; i++) {
		n = atomic_load(&sl_hidden_fd[i]) - 1;
		if (n >= fd && (best < 0 || n < best))
			best = n;
	}
	return best;
}
