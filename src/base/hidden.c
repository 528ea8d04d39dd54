/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include "hidden.h"
#include "sys.h"

#define HIGH 1000 /* below the usual soft limit of 1024, above what programs use */

_Atomic int sl_hidden_fd[SL_HIDDEN_MAX];

static int move_high(int fd)
{
	struct rlimit rl;
	long from = HIGH, n;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < HIGH + 16)
		from = rl.rlim_cur > 32 ? (long)rl.rlim_cur - 16 : 3;
	n = sl_sys_fcntl(fd, F_DUPFD_CLOEXEC, from);
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
		return 0;
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
	int best = -1, n;
	unsigned i;

	for (i = 0; i < SL_HIDDEN_MAX; i++) {
		n = atomic_load(&sl_hidden_fd[i]) - 1;
		if (n >= fd && (best < 0 || n < best))
			best = n;
	}
	return best;
}
