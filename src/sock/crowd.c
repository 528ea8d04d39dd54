/* SPDX-License-Identifier: BSD-2-Clause */
/* crowd.c - do more threads want to run than there are CPUs? Read seldom, only after a yield that took long (spin.h). */
#include <fcntl.h>
#include "spin.h"
#include "sys.h"

#define TEXT_LEN 128

static int read_text(const char *path, char text[TEXT_LEN])
{
	long fd = sl_sys(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC), n;

	if (fd < 0)
		return (int)fd;
	n = sl_sys(SYS_read, fd, text, TEXT_LEN - 1);
	sl_sys_close((int)fd);
	if (n < 0)
		return (int)n;
	text[n] = '\0';
	return 0;
}

static unsigned number(const char **s)
{
	unsigned n = 0;

	while (**s >= '0' && **s <= '9')
		n = n * 10 + (unsigned)(*(*s)++ - '0');
	return n;
}

unsigned sl_crowd_cpus(const char *list)
{
	unsigned first, last, n = 0;

	while (*list >= '0' && *list <= '9') {
		first = last = number(&list);
		if (*list == '-') {
			list++;
			last = number(&list);
		}
		n += last >= first ? last - first + 1 : 0;
		if (*list == ',')
			list++;
	}
	return n;
}

unsigned sl_crowd_runnable(const char *loadavg)
{
	unsigned spaces = 0;

	while (*loadavg && spaces < 3)
		spaces += *loadavg++ == ' ';
	return number(&loadavg);
}

/*
 * Of the whole machine: its threads, its CPUs. That we may use fewer CPUs says nothing here, as it is not known which threads
 * compete for these; that a yield took long does. One thread more than CPUs is no crowd: it may be our peer, which
 * is about to sleep.
 */
bool sl_crowd(void)
{
	static _Atomic unsigned cpus;
	unsigned n = atomic_load_explicit(&cpus, memory_order_relaxed);
	char text[TEXT_LEN];

	if (!n) {
		if (read_text("/sys/devices/system/cpu/online", text))
			return false;
		n = sl_crowd_cpus(text);
		atomic_store_explicit(&cpus, n, memory_order_relaxed);
	}
	return n && !read_text("/proc/loadavg", text) && sl_crowd_runnable(text) > n + 1;
}

static void skip_more(struct sl_spin *place)
{
	uint16_t n = place->skipped ? place->skipped : SL_SPIN_SKIP_MIN / 4;

	n = (uint16_t)(n >= SL_SPIN_SKIP_MAX / 4 ? SL_SPIN_SKIP_MAX : 4 * n);
	place->skip = place->skipped = n;
}

void sl_spin_crowded(struct sl_spin *place)
{
	skip_more(place);
	place->put_off = 0;
}

void sl_spin_skip(struct sl_spin *place)
{
	if (--place->skip || place->put_off == SL_SPIN_PUT_OFF || !sl_crowd())
		return;
	skip_more(place);
	place->put_off++;
}
