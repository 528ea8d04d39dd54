/* SPDX-License-Identifier: BSD-2-Clause */
/* opt.c - options and ioctls: the kernel keeps them, we take notice of the few that concern the lanes */
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include "internal.h"
#include "real.h"
#include "sys.h"

#ifndef TCP_AO_ADD_KEY
#define TCP_AO_ADD_KEY 38
#endif

/* What the memory lane does not do: such a connection stays on TCP. */
static enum sl_reason sock_option(int name)
{
	switch (name) {
	case SO_ZEROCOPY:
		return SL_WHY_OPT_ZEROCOPY;
	case SO_TIMESTAMPING_OLD: /* its times of sending come by the error queue */
	case SO_TIMESTAMPING_NEW:
		return SL_WHY_OPT_TIMESTAMP;
	case SO_PEEK_OFF:
		return SL_WHY_OPT_PEEK_OFF;
	case SO_ATTACH_FILTER:
	case SO_ATTACH_BPF:
		return SL_WHY_OPT_FILTER;
	default:
		return SL_WHY_NONE;
	}
}

static SL_SHORT enum sl_reason tcp_option(int name)
{
	switch (name) {
	case TCP_ULP:
		return SL_WHY_OPT_ULP;
	case TCP_REPAIR:
		return SL_WHY_OPT_REPAIR;
	case TCP_INQ:
		return SL_WHY_OPT_INQ;
	case TCP_MD5SIG:
	case TCP_MD5SIG_EXT:
	case TCP_AO_ADD_KEY:
		return SL_WHY_OPT_MD5;
	default:
		return SL_WHY_NONE;
	}
}

/* Times of arrival: they come with recvmsg(), to those who have room for them. */
static bool is_stamp(int name)
{
	return name == SO_TIMESTAMP_OLD || name == SO_TIMESTAMP_NEW || name == SO_TIMESTAMPNS_OLD ||
	       name == SO_TIMESTAMPNS_NEW;
}

/* Which of them is on, 0: none. The kernel knows also where the listener had it, or a program before this one. */
static uint8_t stamp_of(int fd)
{
	static const uint8_t names[] = {SO_TIMESTAMP_OLD, SO_TIMESTAMP_NEW, SO_TIMESTAMPNS_OLD, SO_TIMESTAMPNS_NEW};
	socklen_t len;
	unsigned i;
	int on;

	for (i = 0; i < sizeof(names); i++) {
		on = 0;
		len = sizeof(on);
		if (sl_sys_getsockopt(fd, SOL_SOCKET, names[i], &on, &len) == 0 && on)
			return names[i];
	}
	return 0;
}

void sl_sock_before_control(struct sl_sock *s, int fd)
{
	if (s->looked)
		return;
	s->looked = true;
	s->stamp = stamp_of(fd);
	if (s->stamp)
		sl_sock_refuse(s, fd, SL_WHY_OPT_TIMESTAMP);
}

void sl_sock_control(struct sl_sock *s, struct msghdr *m, size_t room)
{
	bool ns = s->stamp == SO_TIMESTAMPNS_OLD || s->stamp == SO_TIMESTAMPNS_NEW;
	struct {
		struct cmsghdr head;
		int64_t time[2];
	} c = {.head = {.cmsg_level = SOL_SOCKET, .cmsg_type = s->stamp}};
	struct timespec now;

	if (!s->stamp || m->msg_controllen)
		return;
	if (room < sizeof(c))
		m->msg_flags |= MSG_CTRUNC;
	if (room < sizeof(c.head))
		return;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	c.time[0] = now.tv_sec;
	c.time[1] = ns ? now.tv_nsec : now.tv_nsec / 1000;
	c.head.cmsg_len = m->msg_controllen = room < sizeof(c) ? room : sizeof(c);
	memcpy(m->msg_control, &c, m->msg_controllen);
}

static enum sl_reason refuse_for(int level, int name, const void *val, socklen_t len)
{
	if (level == IPPROTO_TCP)
		return tcp_option(name);
	if (level != SOL_SOCKET)
		return SL_WHY_NONE;
	/* Switching one off that was never on concerns nobody. */
	if (len >= sizeof(int) && *(const int *)val == 0 && name != SO_PEEK_OFF)
		return SL_WHY_NONE;
	return sock_option(name);
}

SL_SHORT bool sl_opt_matters(int level, int name)
{
	switch (level) {
	case SOL_SOCKET:
		return name != SO_KEEPALIVE && name != SO_LINGER && name != SO_REUSEADDR;
	case IPPROTO_TCP:
		return tcp_option(name) != SL_WHY_NONE;
	default:
		return false;
	}
}

/* While attached these are ours in the kernel, and the program's here. NULL: another option. */
static int *ours_attached(struct sl_sock *s, int level, int name)
{
	if (level == SOL_SOCKET)
		return name == SO_RCVLOWAT ? &s->lowat : NULL;
	if (level != IPPROTO_TCP)
		return NULL;
	return name == TCP_NODELAY ? &s->nodelay : name == TCP_CORK ? &s->cork : NULL;
}

static int *kept(struct sl_sock *s, int level, int name)
{
	return sl_sock_attached(s) ? ours_attached(s, level, name) : NULL;
}

static int set_real(int fd, int level, int name, const void *val, socklen_t len)
{
	int saved = errno;

	return (int)sl_keep_errno(sl_real.setsockopt(fd, level, name, val, len), saved);
}

/* With the locks held: while it is set nobody attaches the socket, and makes it ours, or gives it back. */
static int set_kept(struct sl_sock *s, int fd, int level, int name, const void *val, socklen_t len)
{
	int how = sl_both_take(s), rc = 0;
	int *mine = kept(s, level, name);

	if (mine && mine != &s->lowat && val && len >= sizeof(int))
		*mine = *(const int *)val != 0;
	else
		rc = set_real(fd, level, name, val, len);
	/* The kernel's limits, for the program; but a bell is one byte, and has to wake whoever sleeps. */
	if (rc == 0 && level == SOL_SOCKET) {
		sl_lowat_note(s, fd);
		if (mine)
			sl_lowat_one(s, fd);
	}
	if (how)
		sl_both_release(s, how);
	return rc;
}

static bool of_buffers(int name)
{
	return name == SO_SNDBUF || name == SO_RCVBUF || name == SO_SNDBUFFORCE ||
	       name == SO_RCVBUFFORCE || name == SO_BUF_LOCK;
}

static void take_buffers(struct sl_sock *s, int fd)
{
	int how = sl_both_take(s);

	if (how && sl_sock_attached(s))
		sl_buffers_note(s, fd);
	if (how)
		sl_both_release(s, how);
}

int sl_sock_setsockopt(struct sl_sock *s, int fd, int level, int name, const void *val,
		       socklen_t len)
{
	enum sl_reason why;
	int rc;

	if (ours_attached(s, level, name))
		return set_kept(s, fd, level, name, val, len);
	rc = set_real(fd, level, name, val, len);
	if (rc < 0)
		return rc;
	why = refuse_for(level, name, val, len);
	if (why != SL_WHY_NONE)
		sl_sock_refuse(s, fd, why);
	if (level == SOL_SOCKET && (name == SO_RCVTIMEO_OLD || name == SO_RCVTIMEO_NEW))
		sl_timeout_note(s, fd);
	if (level == SOL_SOCKET && is_stamp(name))
		s->looked = false;
	if (level == SOL_SOCKET && of_buffers(name))
		take_buffers(s, fd);
	return rc;
}

/* An error that we learned of first is the program's to see; one that bells caused is not. */
static void take_error(struct sl_sock *s, int *err)
{
	int how;

	if (*err && sl_sock_attached(s)) {
		sl_sock_error(s, *err);
		*err = 0;
	}
	how = sl_rx_take(s);
	if (how && sl_sock_attached(s) && s->side->kfin)
		sl_link_ended(&s->link);
	if (!*err) {
		*err = s->side->err;
		s->side->err = 0;
	}
	if (how)
		sl_rx_release(s, how);
}

int sl_sock_getsockopt(struct sl_sock *s, int fd, int level, int name, void *val, socklen_t *len)
{
	int rc = (int)sl_keep_errno(sl_real.getsockopt(fd, level, name, val, len), errno);
	int *mine = kept(s, level, name);

	if (rc == 0 && mine && *len >= sizeof(int))
		*(int *)val = *mine;
	if (rc == 0 && level == SOL_SOCKET && name == SO_ERROR && *len >= sizeof(int))
		take_error(s, val);
	return rc;
}

void sl_sock_setfl(struct sl_sock *s, int fd, int fl)
{
	s->nonblock = fl & O_NONBLOCK;
	if (fl & O_ASYNC)
		sl_sock_refuse(s, fd, SL_WHY_ASYNC);
}

static int unread(struct sl_sock *s, int fd, int *out)
{
	int how = sl_rx_take(s);
	ssize_t n;

	if (!how)
		return -EAGAIN;
	n = sl_sock_attached(s) ? sl_rx_avail(&s->link, fd, INT32_MAX) : -ERESTART;
	sl_rx_release(s, how);
	if (n < 0)
		return (int)n;
	*out = (int)n;
	return 0;
}

int sl_sock_ioctl(struct sl_sock *s, int fd, unsigned long req, void *arg)
{
	int rc, v, saved = errno;

	/* SIOCOUTQ needs nothing: what is in the ring the peer's receive buffer has. */
	if (sl_sock_attached(s) && arg && req == FIONREAD) {
		rc = unread(s, fd, arg);
		if (rc != -ERESTART)
			return rc;
	}
	/* Bells before the mark are no bytes. */
	if (sl_sock_attached(s) && req == SIOCATMARK && unread(s, fd, &v) == 0 &&
	    sl_rx_memory(&s->link) && v > 0 && arg) {
		*(int *)arg = 0;
		return 0;
	}
	rc = (int)sl_keep_errno(sl_real.ioctl(fd, req, arg), saved);
	if (rc >= 0 && req == FIONBIO)
		s->nonblock = *(const int *)arg != 0;
	if (rc >= 0 && req == FIOASYNC && *(const int *)arg)
		sl_sock_refuse(s, fd, SL_WHY_ASYNC);
	return rc;
}
