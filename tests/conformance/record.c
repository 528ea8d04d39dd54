/* SPDX-License-Identifier: BSD-2-Clause */
/* record.c - the lines that are compared */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "conform.h"

void rec(const char *fmt, ...)
{
	char line[600];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	if (write(STDOUT_FILENO, line, (size_t)n) != n)
		_exit(99);
}

const char *err_text(long ret, char buf[40])
{
	const char *name = ret < 0 ? strerrorname_np((int)-ret) : NULL;

	if (name)
		snprintf(buf, 40, "%s", name);
	else
		snprintf(buf, 40, "%ld", ret);
	return buf;
}

void rec_ret(const char *what, long ret)
{
	char buf[40];

	rec("%s = %s", what, err_text(ret, buf));
}

long rec_sys(const char *what, long ret)
{
	rec_ret(what, ret < 0 ? -errno : ret);
	return ret;
}

const char *events_text(uint32_t ev, char buf[80])
{
	static const struct {
		uint32_t bit;
		const char *name;
	} names[] = {
		{EPOLLIN, "IN"},	 {EPOLLPRI, "PRI"},	  {EPOLLOUT, "OUT"},
		{EPOLLERR, "ERR"},	 {EPOLLHUP, "HUP"},	  {0x20, "NVAL"},
		{EPOLLRDNORM, "RDNORM"}, {EPOLLRDBAND, "RDBAND"}, {EPOLLWRNORM, "WRNORM"},
		{EPOLLWRBAND, "WRBAND"}, {EPOLLRDHUP, "RDHUP"},
	};
	size_t i, n = 0;

	buf[0] = 0;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!(ev & names[i].bit))
			continue;
		n += (size_t)snprintf(buf + n, 80 - n, "%s%s", n ? "|" : "", names[i].name);
		ev &= ~names[i].bit;
	}
	if (ev)
		snprintf(buf + n, 80 - n, "%s0x%x", n ? "|" : "", ev);
	if (!buf[0])
		strcpy(buf, "none");
	return buf;
}

/* Long enough a period that nothing that was lost or doubled fits by chance: eight bytes at a time.
 */
static uint64_t pattern(int dir, uint64_t word)
{
	uint64_t x = (word + 1) * 0x9e3779b97f4a7c15u + (uint64_t)dir;

	return x ^ x >> 29;
}

void pattern_fill(void *buf, size_t len, int dir, uint64_t pos)
{
	uint8_t *b = buf;
	size_t i, n;

	for (i = 0; i < len; i += n) {
		uint64_t word = pattern(dir, (pos + i) / 8);
		size_t skip = (pos + i) % 8;

		n = 8 - skip < len - i ? 8 - skip : len - i;
		memcpy(b + i, (uint8_t *)&word + skip, n);
	}
}

bool pattern_is(const void *buf, size_t len, int dir, uint64_t pos)
{
	const uint8_t *b = buf;
	size_t i, n;

	for (i = 0; i < len; i += n) {
		uint64_t word = pattern(dir, (pos + i) / 8);
		size_t skip = (pos + i) % 8;

		n = 8 - skip < len - i ? 8 - skip : len - i;
		if (memcmp(b + i, (uint8_t *)&word + skip, n))
			return false;
	}
	return true;
}
