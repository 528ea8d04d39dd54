/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include "msg.h"
#include "sys.h"

union ctl {
	struct cmsghdr align;
	char buf[CMSG_SPACE(SL_MSG_FDS * sizeof(int))];
};

int sl_msg_send(int fd, const struct sl_msg *m, const int *fds, unsigned nfds)
{
	struct sl_msg copy = *m;
	struct iovec iov = {.iov_base = &copy, .iov_len = sizeof(copy)};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;
	union ctl ctl;
	ssize_t rc;

	if (nfds > SL_MSG_FDS)
		return -EINVAL;
	if (nfds) {
		memset(&ctl, 0, sizeof(ctl));
		mh.msg_control = ctl.buf;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	do {
		rc = sl_sys_sendmsg(fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (rc == -EINTR);
	return rc < 0 ? (int)rc : 0; /* a packet is sent whole or not at all */
}

/* The control buffer has room for SL_MSG_FDS: the kernel drops what lies beyond. */
static unsigned take_fds(struct msghdr *mh, int fds[SL_MSG_FDS])
{
	struct cmsghdr *c;
	unsigned n = 0;
	size_t i, len;
	int fd;

	for (c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		len = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < len; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (n < SL_MSG_FDS)
				fds[n++] = fd;
			else
				(void)sl_sys_close(fd);
		}
	}
	return n;
}

int sl_msg_recv(int fd, struct sl_msg *m, int fds[SL_MSG_FDS])
{
	struct iovec iov = {.iov_base = m, .iov_len = sizeof(*m)};
	union ctl ctl;
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ctl.buf,
		.msg_controllen = sizeof(ctl.buf),
	};
	unsigned i, n;
	ssize_t rc;

	for (i = 0; i < SL_MSG_FDS; i++)
		fds[i] = -1;
	do {
		rc = sl_sys_recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (rc == -EINTR);
	if (rc < 0)
		return (int)rc;
	n = take_fds(&mh, fds);
	if (rc == (ssize_t)sizeof(*m) && !(mh.msg_flags & MSG_TRUNC))
		return 1;
	for (i = 0; i < n; i++) {
		(void)sl_sys_close(fds[i]);
		fds[i] = -1;
	}
	return rc ? -EPROTO : 0; /* an empty packet counts as the end, too */
}
