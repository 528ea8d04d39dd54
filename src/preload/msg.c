/* SPDX-License-Identifier: BSD-2-Clause */
/* msg.c - recv, send and their relatives */
#include <string.h>
#include "iov.h"
#include "sys.h"

/* With these a native call needs nothing of us but to be counted. */
#define PLAIN_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE)

SL_EXPORT SL_SHORT ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	struct iovec iov = sl_iov1(buf, len);
	struct msghdr m = sl_msg_of(&iov, 1);
	struct sl_sock *s;
	ssize_t rc;

	if (sl_unlikely(!(flags & ~PLAIN_FLAGS) && sl_young_in(fd)))
		return sl_young_in_done(fd, REAL(recv)(fd, buf, len, flags), len);
	s = sl_get(fd);
	if (!s)
		return REAL(recv)(fd, buf, len, flags);
	rc = sl_sock_recv(s, fd, &m, flags);
	sl_sock_put(s);
	return sl_ret(rc);
}

/* TCP fills no name: *addr_len becomes 0. The kernel looks at it after the bytes have moved. */
SL_EXPORT ssize_t recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *addr,
			   socklen_t *addr_len)
{
	struct sl_sock *s = sl_get(fd);
	struct iovec iov = sl_iov1(buf, len);
	struct msghdr m = sl_msg_of(&iov, 1);
	ssize_t rc;

	if (!s)
		return REAL(recvfrom)(fd, buf, len, flags, addr, addr_len);
	m.msg_name = addr;
	m.msg_namelen = addr && addr_len && *addr_len <= INT_MAX ? *addr_len : 0;
	rc = sl_sock_recv(s, fd, &m, flags);
	sl_sock_put(s);
	if (rc >= 0 && addr) {
		if (!addr_len || *addr_len > INT_MAX)
			return sl_ret(addr_len ? -EINVAL : -EFAULT);
		*addr_len = m.msg_namelen;
	}
	return sl_ret(rc);
}

static int msg_check(const struct msghdr *m)
{
	if (m->msg_name && m->msg_namelen > INT_MAX)
		return -EINVAL;
	return sl_iov_check(m->msg_iov, m->msg_iovlen, -EMSGSIZE);
}

static ssize_t sock_recvmsg(struct sl_sock *s, int fd, struct msghdr *m, int flags)
{
	size_t room = m->msg_control ? m->msg_controllen : 0;
	ssize_t rc = msg_check(m);

	if (rc)
		return rc;
	if (sl_unlikely(room))
		sl_sock_before_control(s, fd);
	rc = sl_sock_recv(s, fd, m, flags);
	if (sl_unlikely(room) && rc > 0)
		sl_sock_control(s, m, room);
	return rc;
}

static ssize_t sock_sendmsg(struct sl_sock *s, int fd, const struct msghdr *m, int flags)
{
	int rc = msg_check(m);

	if (rc == 0 && m->msg_controllen > INT_MAX)
		rc = -ENOBUFS;
	return rc ? rc : sl_sock_send(s, fd, m, flags);
}

/* --- SCM_RIGHTS --- */

#define PASSED_MAX 253 /* SCM_MAX_FD: the kernel takes no more in one message */

/* What was passed in the place of ours, to be closed afterwards. */
struct passed {
	unsigned n;
	int fd[PASSED_MAX];
};

static bool is_rights(const struct cmsghdr *h)
{
	return h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS &&
	       h->cmsg_len >= CMSG_LEN(0);
}

static bool has_rights(const struct msghdr *m)
{
	struct cmsghdr *h;
	struct msghdr c;

	if (sl_likely(sl_bad_address(m) || !m->msg_control || !m->msg_controllen || !sl_live))
		return false;
	c = *m; /* CMSG_NXTHDR wants a writable one */
	for (h = CMSG_FIRSTHDR(&c); h; h = CMSG_NXTHDR(&c, h))
		if (is_rights(h))
			return true;
	return false;
}

/* @fn: a descriptor of @m; returns what is to stand in its place. */
static void each_right(const struct msghdr *m, int (*fn)(int fd, void *arg), void *arg)
{
	struct msghdr c = *m;
	struct cmsghdr *h;
	size_t i, n;
	int fd, to;

	for (h = CMSG_FIRSTHDR(&c); h; h = CMSG_NXTHDR(&c, h)) {
		if (!is_rights(h))
			continue;
		n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(fd);
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(h) + i * sizeof(fd), sizeof(fd));
			to = fn(fd, arg);
			if (to != fd)
				memcpy(CMSG_DATA(h) + i * sizeof(fd), &to, sizeof(to));
		}
	}
}

/*
 * A message on a UNIX socket may carry one of ours to another process, of which nothing is known: it goes back to TCP
 * first, with what has not been read.
 */
static int pass_one(int fd, void *passed)
{
	struct passed *p = passed;
	struct sl_sock *s = p->n < PASSED_MAX ? sl_get(fd) : NULL;
	int to;

	if (!s)
		return fd;
	to = sl_sock_pass(s, fd);
	sl_sock_put(s);
	if (to < 0)
		return fd;
	p->fd[p->n++] = to;
	return to;
}

static int not_passed(int fd, void *arg)
{
	struct sl_sock *s = sl_get(fd);

	(void)arg;
	if (s) {
		sl_sock_not_passed(s);
		sl_sock_put(s);
	}
	return fd;
}

static int came(int fd, void *sender)
{
	sl_conn_received(fd, *(pid_t *)sender);
	return fd;
}

/* A message on a UNIX socket may have brought connections from another process. */
static void note_rights(int fd, const struct msghdr *m, int flags)
{
	struct ucred cred = {.pid = 0};
	socklen_t len = sizeof(cred);
	int err = errno;

	if (sl_likely(!has_rights(m)))
		return;
	if (!(flags & MSG_PEEK))
		(void)sl_sys_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	each_right(m, came, &cred.pid);
	errno = err;
}

/* --- */

SL_EXPORT ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	struct sl_sock *s = sl_get(fd);
	ssize_t rc;

	if (!s) {
		rc = REAL(recvmsg)(fd, m, flags);
		if (rc >= 0)
			note_rights(fd, m, flags);
		return rc;
	}
	rc = sl_bad_address(m) ? -EFAULT : sock_recvmsg(s, fd, m, flags);
	sl_sock_put(s);
	return sl_ret(rc);
}

/* Time left until @end; false: none. */
static bool time_left(const struct timespec *end, struct timespec *left)
{
	clock_gettime(CLOCK_MONOTONIC, left);
	left->tv_sec = end->tv_sec - left->tv_sec;
	left->tv_nsec = end->tv_nsec - left->tv_nsec;
	if (left->tv_nsec < 0) {
		left->tv_nsec += 1000000000;
		left->tv_sec--;
	}
	if (left->tv_sec < 0)
		left->tv_sec = left->tv_nsec = 0;
	return left->tv_sec || left->tv_nsec;
}

/* As do_recvmmsg(): the timeout is looked at after each message, a late error is not reported. */
static int sock_recvmmsg(struct sl_sock *s, int fd, struct mmsghdr *v, unsigned n, int flags,
			 struct timespec *timeout)
{
	struct timespec end;
	ssize_t rc = 0;
	unsigned i;

	if (sl_bad_time(timeout))
		return -EINVAL;
	if (timeout) {
		clock_gettime(CLOCK_MONOTONIC, &end);
		end.tv_sec += timeout->tv_sec + (end.tv_nsec + timeout->tv_nsec) / 1000000000;
		end.tv_nsec = (end.tv_nsec + timeout->tv_nsec) % 1000000000;
	}
	for (i = 0; i < n;) {
		rc = sock_recvmsg(s, fd, &v[i].msg_hdr, flags & ~MSG_WAITFORONE);
		if (rc < 0)
			break;
		v[i++].msg_len = (unsigned)rc;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		if (timeout && !time_left(&end, timeout))
			break;
		if (v[i - 1].msg_hdr.msg_flags & MSG_OOB)
			break;
	}
	return i ? (int)i : (int)rc;
}

SL_EXPORT int recvmmsg(int fd, struct mmsghdr *v, unsigned n, int flags, struct timespec *timeout)
{
	struct sl_sock *s = sl_get(fd);
	int rc, i;

	if (!s) {
		rc = REAL(recvmmsg)(fd, v, n, flags, timeout);
		for (i = 0; i < rc; i++)
			note_rights(fd, &v[i].msg_hdr, flags);
		return rc;
	}
	rc = n && sl_bad_address(v) ? -EFAULT : sock_recvmmsg(s, fd, v, n, flags, timeout);
	sl_sock_put(s);
	return (int)sl_ret(rc);
}

SL_EXPORT SL_SHORT ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	struct iovec iov = sl_iov1(buf, len);
	struct msghdr m = sl_msg_of(&iov, 1);
	struct sl_sock *s;
	ssize_t rc;

	if (sl_unlikely(!(flags & ~PLAIN_FLAGS) && sl_young_out(fd, len)))
		return sl_young_out_done(fd, REAL(send)(fd, buf, len, flags), len);
	s = sl_get(fd);
	if (!s)
		return REAL(send)(fd, buf, len, flags);
	rc = sl_sock_send(s, fd, &m, flags);
	sl_sock_put(s);
	return sl_ret(rc);
}
SL_ALIAS(__send, send);

SL_EXPORT ssize_t sendto(int fd, const void *buf, size_t len, int flags,
			 const struct sockaddr *addr, socklen_t addr_len)
{
	struct sl_sock *s = sl_get(fd);
	struct iovec iov = sl_iov1(buf, len);
	struct msghdr m = sl_msg_of(&iov, 1);
	ssize_t rc = -EINVAL;

	if (!s)
		return REAL(sendto)(fd, buf, len, flags, addr, addr_len);
	m.msg_name = (void *)(uintptr_t)addr;
	m.msg_namelen = addr ? addr_len : 0;
	if (m.msg_namelen <= sizeof(struct sockaddr_storage))
		rc = sl_sock_send(s, fd, &m, flags);
	sl_sock_put(s);
	return sl_ret(rc);
}

static ssize_t send_rights(int fd, const struct msghdr *m, int flags)
{
	struct passed p = {.n = 0};
	struct msghdr own = *m;
	char control[4096] __attribute__((aligned(16)));
	ssize_t rc;
	int err;

	if (m->msg_controllen > sizeof(control))
		return REAL(sendmsg)(fd, m, flags);
	memcpy(control, m->msg_control, m->msg_controllen);
	own.msg_control = control;
	each_right(&own, pass_one, &p);
	rc = REAL(sendmsg)(fd, &own, flags);
	err = errno;
	if (rc < 0)
		each_right(m, not_passed, NULL);
	while (p.n)
		sl_sys_close(p.fd[--p.n]);
	errno = err;
	return rc;
}

SL_EXPORT ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	struct sl_sock *s = sl_get(fd);
	ssize_t rc;

	if (!s)
		return has_rights(m) ? send_rights(fd, m, flags) : REAL(sendmsg)(fd, m, flags);
	rc = sl_bad_address(m) ? -EFAULT : sock_sendmsg(s, fd, m, flags);
	sl_sock_put(s);
	return sl_ret(rc);
}

static size_t iov_total(const struct msghdr *m)
{
	size_t i, sum = 0;

	for (i = 0; i < m->msg_iovlen; i++)
		sum += m->msg_iov[i].iov_len;
	return sum;
}

/* As __sys_sendmmsg(): stops after a message that went only in part. */
static int sock_sendmmsg(struct sl_sock *s, int fd, struct mmsghdr *v, unsigned n, int flags)
{
	ssize_t rc = 0;
	unsigned i;

	for (i = 0; i < n;) {
		rc = sock_sendmsg(s, fd, &v[i].msg_hdr, flags);
		if (rc < 0)
			break;
		v[i++].msg_len = (unsigned)rc;
		if ((size_t)rc < iov_total(&v[i - 1].msg_hdr))
			break;
	}
	return i ? (int)i : (int)rc;
}

static bool any_rights(const struct mmsghdr *v, unsigned n)
{
	unsigned i;

	for (i = 0; !sl_bad_address(v) && i < n; i++)
		if (has_rights(&v[i].msg_hdr))
			return true;
	return false;
}

/* One by one, as the kernel does it. */
static int send_rights_all(int fd, struct mmsghdr *v, unsigned n, int flags)
{
	unsigned i;
	ssize_t rc;

	for (i = 0; i < n; i++) {
		rc = sendmsg(fd, &v[i].msg_hdr, flags);
		if (rc < 0)
			return i ? (int)i : -1;
		v[i].msg_len = (unsigned)rc;
	}
	return (int)n;
}

SL_EXPORT int sendmmsg(int fd, struct mmsghdr *v, unsigned n, int flags)
{
	struct sl_sock *s = sl_get(fd);
	int rc;

	n = n < SL_IOV_MAX ? n : SL_IOV_MAX;
	if (!s)
		return any_rights(v, n) ? send_rights_all(fd, v, n, flags) :
					   REAL(sendmmsg)(fd, v, n, flags);
	rc = n && sl_bad_address(v) ? -EFAULT : sock_sendmmsg(s, fd, v, n, flags);
	sl_sock_put(s);
	return (int)sl_ret(rc);
}

SL_EXPORT ssize_t __recv_chk(int fd, void *buf, size_t len, size_t buf_len, int flags)
{
	if (len > buf_len)
		return REAL(__recv_chk)(fd, buf, len, buf_len, flags); /* aborts */
	return recv(fd, buf, len, flags);
}

SL_EXPORT ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t buf_len, int flags,
				 struct sockaddr *addr, socklen_t *addr_len)
{
	if (len > buf_len)
		return REAL(__recvfrom_chk)(fd, buf, len, buf_len, flags, addr, addr_len);
	return recvfrom(fd, buf, len, flags, addr, addr_len);
}
