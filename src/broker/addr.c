/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "addr.h"
#include "msg.h"
#include "sys.h"

static int set_abstract(struct sl_addr *a, const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > sizeof(a->un.sun_path) - 1)
		return -ENAMETOOLONG;
	memset(a, 0, sizeof(*a));
	a->un.sun_family = AF_UNIX;
	memcpy(a->un.sun_path + 1, name, len);
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
	return 0;
}

static void set_system(struct sl_addr *a)
{
	memset(a, 0, sizeof(*a));
	a->un.sun_family = AF_UNIX;
	memcpy(a->un.sun_path, SL_BROKER_SYSTEM, sizeof(SL_BROKER_SYSTEM));
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(SL_BROKER_SYSTEM));
}

static void set_user(struct sl_addr *a)
{
	char name[sizeof(SL_BROKER_USER) + 16];

	(void)snprintf(name, sizeof(name), SL_BROKER_USER, (unsigned)geteuid());
	(void)set_abstract(a, name);
}

static const char *other_name(void)
{
	const char *s = getenv("SCILAN_BROKER");

	return s && *s ? s : NULL;
}

int sl_addr_own(struct sl_addr *a, bool system)
{
	const char *name = other_name();

	if (name)
		return set_abstract(a, name);
	if (system)
		set_system(a);
	else
		set_user(a);
	return 0;
}

int sl_addr_list(struct sl_addr a[SL_ADDR_MAX])
{
	const char *name = other_name();
	int rc;

	if (name) {
		rc = set_abstract(&a[0], name);
		return rc ? rc : 1;
	}
	set_system(&a[0]);
	set_user(&a[1]);
	return 2;
}

const char *sl_addr_text(const struct sl_addr *a, char *buf, size_t len)
{
	size_t n = a->len - offsetof(struct sockaddr_un, sun_path);

	if (a->un.sun_path[0])
		(void)snprintf(buf, len, "%s", a->un.sun_path);
	else
		(void)snprintf(buf, len, "@%.*s", (int)n - 1, a->un.sun_path + 1);
	return buf;
}

int sl_addr_connect(const struct sl_addr *a)
{
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);
	int fd, rc;

	fd = (int)sl_sys(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	rc = (int)sl_sys(SYS_connect, fd, &a->un, a->len);
	if (rc < 0)
		goto close_fd;
	rc = sl_sys_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	if (rc < 0)
		goto close_fd;
	rc = -EPERM;
	if (cred.uid != 0 && cred.uid != geteuid())
		goto close_fd;
	return fd;

close_fd:
	(void)sl_sys_close(fd);
	return rc;
}

static bool nobody_there(int rc)
{
	return rc == -ENOENT || rc == -ECONNREFUSED || rc == -ENOTDIR;
}

int sl_addr_connect_any(struct sl_addr *used)
{
	struct sl_addr list[SL_ADDR_MAX];
	int i, n, fd, rc = -ENOENT;

	n = sl_addr_list(list);
	if (n < 0)
		return n;
	for (i = 0; i < n; i++) {
		fd = sl_addr_connect(&list[i]);
		if (fd >= 0) {
			if (used)
				*used = list[i];
			return fd;
		}
		if (used && (nobody_there(rc) || !nobody_there(fd)))
			*used = list[i];
		if (!nobody_there(fd))
			rc = fd;
	}
	return rc;
}
