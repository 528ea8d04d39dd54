/* SPDX-License-Identifier: BSD-2-Clause */
#include <poll.h>
#include "sys.h"

static int poll_one(int fd, short events, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	long rc = sl_sys(SYS_poll, &p, 1, timeout_ms);

	return rc < 0 ? (int)rc : rc == 0 ? 0 : (uint16_t)p.revents;
}

int sl_sys_poll_now(int fd, short events)
{
	return poll_one(fd, events, 0);
}

int sl_sys_poll_wait(int fd, short events)
{
	return poll_one(fd, events, -1);
}
