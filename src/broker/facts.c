/* SPDX-License-Identifier: BSD-2-Clause */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include "facts.h"

#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif
#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static bool get_int(int fd, int name, int *val)
{
	socklen_t len = sizeof(*val);

	return getsockopt(fd, SOL_SOCKET, name, val, &len) == 0 && len == sizeof(*val);
}

static bool get_u64(int fd, int name, uint64_t *val)
{
	socklen_t len = sizeof(*val);

	return getsockopt(fd, SOL_SOCKET, name, val, &len) == 0 && len == sizeof(*val);
}

enum sl_reason sl_facts_cookie(int fd, uint64_t *cookie)
{
	int domain, type, proto;

	if (!get_int(fd, SO_DOMAIN, &domain) || (domain != AF_INET && domain != AF_INET6))
		return SL_WHY_NOT_TCP;
	if (!get_int(fd, SO_TYPE, &type) || type != SOCK_STREAM)
		return SL_WHY_NOT_TCP;
	if (!get_int(fd, SO_PROTOCOL, &proto) || proto != IPPROTO_TCP)
		return SL_WHY_NOT_TCP;
	return get_u64(fd, SO_COOKIE, cookie) ? SL_WHY_NONE : SL_WHY_NOT_TCP;
}

static enum sl_reason check_state(int fd)
{
	uint8_t state = 0; /* the first byte of struct tcp_info */
	socklen_t len = sizeof(state);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &len))
		return SL_WHY_NOT_TCP;
	switch (state) {
	case TCP_ESTABLISHED:
		return SL_WHY_NONE;
	case TCP_SYN_SENT:
	case TCP_SYN_RECV:
		return SL_WHY_CONNECTING;
	case TCP_FIN_WAIT1:
	case TCP_FIN_WAIT2:
	case TCP_CLOSE_WAIT:
		return SL_WHY_HALF_CLOSED;
	case TCP_LISTEN:
		return SL_WHY_NOT_TCP;
	default:
		return SL_WHY_FINISHED;
	}
}

union any_addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static bool set_end(struct sl_tuple *t, unsigned end, const union any_addr *a)
{
	uint32_t family = AF_INET;

	if (a->sa.sa_family == AF_INET) {
		memcpy(t->addr[end], &a->in.sin_addr, 4);
		t->port[end] = a->in.sin_port;
	} else if (a->sa.sa_family == AF_INET6) {
		t->port[end] = a->in6.sin6_port;
		if (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr)) {
			memcpy(t->addr[end], a->in6.sin6_addr.s6_addr + 12, 4);
		} else {
			memcpy(t->addr[end], &a->in6.sin6_addr, 16);
			family = AF_INET6;
		}
	} else {
		return false;
	}
	if (end == 1 && t->family != family)
		return false;
	t->family = family;
	return true;
}

enum sl_reason sl_facts_read(int fd, struct sl_facts *f)
{
	struct sl_tuple *t = &f->tuple;
	socklen_t len[2] = {sizeof(union any_addr), sizeof(union any_addr)};
	union any_addr a[2] = {0};
	enum sl_reason why;
	int ifindex = 0;

	memset(f, 0, sizeof(*f));
	why = sl_facts_cookie(fd, &f->cookie);
	if (why == SL_WHY_NONE)
		why = check_state(fd);
	if (why != SL_WHY_NONE)
		return why;
	/* Without the cookie (before Linux 5.14) equal addresses prove nothing. */
	if (!get_u64(fd, SO_NETNS_COOKIE, &t->netns))
		return SL_WHY_NOT_LOCAL;
	(void)get_int(fd, SO_BINDTOIFINDEX, &ifindex);
	t->ifindex = (uint32_t)ifindex;
	if (getsockname(fd, &a[0].sa, &len[0]) || getpeername(fd, &a[1].sa, &len[1]))
		return SL_WHY_FINISHED;
	if (!set_end(t, 0, &a[0]) || !set_end(t, 1, &a[1]))
		return SL_WHY_NOT_TCP;
	if (t->port[0] == t->port[1] && !memcmp(t->addr[0], t->addr[1], 16))
		return SL_WHY_SELF;
	return SL_WHY_NONE;
}

void sl_tuple_mirror(const struct sl_tuple *t, struct sl_tuple *mirror)
{
	*mirror = *t;
	memcpy(mirror->addr[0], t->addr[1], 16);
	memcpy(mirror->addr[1], t->addr[0], 16);
	mirror->port[0] = t->port[1];
	mirror->port[1] = t->port[0];
}
