/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include "page.h"
#include "stat.h"

#define FD_HIGH 1000

static int high_fd(int fd)
{
	struct rlimit rl = {.rlim_cur = 1024};
	int min = FD_HIGH;

	(void)getrlimit(RLIMIT_NOFILE, &rl);
	if (rl.rlim_cur < FD_HIGH + 8)
		min = rl.rlim_cur > 16 ? (int)rl.rlim_cur - 8 : 3;
	return fcntl(fd, F_DUPFD, min); /* without CLOEXEC */
}

int sl_page_leave(const char *program, enum sl_reason why)
{
	struct sl_stat_hdr_shm hdr;
	const char *slash = strrchr(program, '/');
	int fd, rc = 0;

	memset(&hdr, 0, sizeof(hdr));
	hdr.magic = SL_STAT_MAGIC;
	hdr.version = SL_STAT_VERSION;
	hdr.pid = (uint32_t)getpid(); /* exec keeps it */
	hdr.reason = why;
	hdr.entry_len = sizeof(struct sl_stat_conn_shm);
	(void)snprintf(hdr.program, sizeof(hdr.program), "%s", slash ? slash + 1 : program);

	fd = memfd_create(SL_STAT_MEMFD, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (pwrite(fd, &hdr, sizeof(hdr), 0) != (ssize_t)sizeof(hdr) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) ||
	    high_fd(fd) < 0)
		rc = -errno;
	(void)close(fd);
	return rc;
}
