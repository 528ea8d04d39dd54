/* SPDX-License-Identifier: BSD-2-Clause */
/* What `scilan status` makes of other processes' pages: honest, damaged and hostile ones. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "reason.h"
#include "../../src/cli/statpage.c"

#define HDR   ((struct sl_stat_hdr_shm *)page)
#define ENTRY ((struct sl_stat_conn_shm *)(page + sizeof(struct sl_stat_hdr_shm)))
#define COUNT 100u
#define AT    (sizeof(struct sl_stat_hdr_shm) + COUNT * sizeof(struct sl_stat_conn_shm))
#define YOUNG ((struct sl_stat_young_shm *)(page + AT))
#define LEN   (AT + 4 * sizeof(struct sl_stat_young_shm))

static _Alignas(8) char page[LEN];

static void good_page(void)
{
	memset(page, 0, sizeof(page));
	HDR->magic = SL_STAT_MAGIC;
	HDR->version = SL_STAT_VERSION;
	HDR->pid = (uint32_t)getpid();
	HDR->entry_len = sizeof(struct sl_stat_conn_shm);
	HDR->entry_max = COUNT;
	HDR->entry_high = COUNT;
	memcpy(HDR->program, "good", 5);
	ENTRY[0].used = ENTRY[1].used = ENTRY[COUNT - 1].used = 1;
	ENTRY[0].fd = 7;
	ENTRY[1].fd = 8;
	ENTRY[COUNT - 1].fd = 9;
}

static int put_page(size_t len)
{
	int fd = memfd_create(SL_STAT_MEMFD, MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, page, len), len);
	return fd;
}

static int sum_fds(const struct sl_stat_conn_shm *e, void *arg)
{
	*(int *)arg += e->fd;
	return 0;
}

static void test_good(void **state)
{
	struct sl_statpage pg;
	int fd, sum = 0;

	(void)state;
	good_page();
	fd = put_page(LEN);
	assert_int_equal(sl_statpage_find(getpid(), &pg), 0);
	assert_true(pg.own);
	assert_true(pg.named);
	assert_string_equal(pg.hdr.program, "good");
	assert_int_equal(sl_statpage_each(&pg, sum_fds, &sum), 0);
	assert_int_equal(sum, 24);
	(void)close(pg.fd);
	(void)close(fd);
	assert_int_equal(sl_statpage_find(getpid(), &pg), -ENOENT);
}

static int add_young(const struct sl_stat_conn_shm *e, void *arg)
{
	if (e->fd == 2 && e->reason == SL_WHY_YOUNG && e->tx.bytes_tcp == 5 && e->rx.messages == 6)
		++*(int *)arg;
	return 0;
}

/* The young ones are entries as the others are. */
static void test_young(void **state)
{
	struct sl_statpage pg;
	int fd, sum = 0, seen = 0;

	(void)state;
	good_page();
	HDR->young_at = AT;
	HDR->young_max = 4;
	HDR->young_high = 3;
	YOUNG[2] = (struct sl_stat_young_shm){
		.used = 1, .reason = SL_WHY_YOUNG, .tx_bytes = 5, .rx_messages = 6};
	YOUNG[3].used = 1; /* not below the mark */
	fd = put_page(LEN);
	assert_int_equal(sl_statpage_find(getpid(), &pg), 0);
	assert_int_equal(sl_statpage_each(&pg, sum_fds, &sum), 0);
	assert_int_equal(sum, 24 + 2);
	assert_int_equal(sl_statpage_each(&pg, add_young, &seen), 0);
	assert_int_equal(seen, 1);
	(void)close(pg.fd);
	(void)close(fd);
}

static int stop_at_8(const struct sl_stat_conn_shm *e, void *arg)
{
	(void)arg;
	return e->fd == 8 ? -ENOMEM : 0;
}

static void test_stops(void **state)
{
	struct sl_statpage pg;
	int fd;

	(void)state;
	good_page();
	fd = put_page(LEN);
	assert_int_equal(sl_statpage_find(getpid(), &pg), 0);
	assert_int_equal(sl_statpage_each(&pg, stop_at_8, NULL), -ENOMEM);
	(void)close(pg.fd);
	(void)close(fd);
}

static void bad_magic(void)
{
	HDR->magic++;
}

static void bad_version(void)
{
	HDR->version++;
}

static void bad_entry_len(void)
{
	HDR->entry_len--;
}

static void young_nowhere(void)
{
	HDR->young_at = UINT64_MAX;
	HDR->young_max = HDR->young_high = UINT32_MAX;
}

static void young_beyond(void)
{
	HDR->young_at = LEN - sizeof(YOUNG[0]) / 2;
	HDR->young_max = HDR->young_high = 50;
}

static void huge(void)
{
	HDR->entry_max = HDR->entry_high = UINT32_MAX;
}

static void high_above_max(void)
{
	HDR->entry_max = 2;
	HDR->entry_high = 50;
}

static void bad_lane(void)
{
	ENTRY[0].tx.lane = 2;
}

static void bad_family(void)
{
	ENTRY[1].peer.family = AF_UNIX;
}

static void bad_name(void)
{
	memset(HDR->program, '\033', sizeof(HDR->program));
}

static void nothing(void)
{
}

static const struct {
	const char *what;
	void (*damage)(void);
	size_t len;
	int want; /* the sum of descriptors, or -errno */
} cases[] = {
	{"magic", bad_magic, LEN, -EPROTO},
	{"version", bad_version, LEN, -EPROTO},
	{"entry length", bad_entry_len, LEN, -EPROTO},
	{"empty", nothing, 0, -EPROTO},
	{"shorter than a header", nothing, sizeof(struct sl_stat_hdr_shm) - 1, -EPROTO},
	{"header only", nothing, sizeof(struct sl_stat_hdr_shm), 0},
	{"ends within an entry", nothing,
	 sizeof(struct sl_stat_hdr_shm) + 2 * sizeof(struct sl_stat_conn_shm) - 1, 7},
	{"more entries than bytes", huge, LEN, 24},
	{"high above max", high_above_max, LEN, 15},
	{"young entries nowhere", young_nowhere, LEN, 24},
	{"young entries beyond the end", young_beyond, LEN, 24},
	{"lane", bad_lane, LEN, 17},
	{"family", bad_family, LEN, 16},
	{"name", bad_name, LEN, 24},
};

static void test_damaged(void **state)
{
	struct sl_statpage pg;
	int fd, sum, rc;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		good_page();
		cases[i].damage();
		fd = put_page(cases[i].len);
		rc = sl_statpage_find(getpid(), &pg);
		sum = rc;
		if (rc == 0) {
			assert_int_equal(sl_statpage_each(&pg, sum_fds, &sum), 0);
			assert_null(strchr(pg.hdr.program, '\033'));
			(void)close(pg.fd);
		}
		if (sum != cases[i].want)
			print_error("case: %s\n", cases[i].what);
		assert_int_equal(sum, cases[i].want);
		(void)close(fd);
	}
}

/* A process's own page wins over what it inherited, wherever they lie. */
static void test_inherited(void **state)
{
	struct sl_statpage pg;
	int low, mid, high;

	(void)state;
	good_page();
	HDR->pid++;
	low = put_page(LEN);
	good_page();
	mid = put_page(LEN);
	good_page();
	HDR->pid--;
	high = put_page(LEN);
	assert_int_equal(sl_statpage_find(getpid(), &pg), 0);
	assert_true(pg.own);
	(void)close(pg.fd);
	(void)close(mid);
	assert_int_equal(sl_statpage_find(getpid(), &pg), 0);
	assert_false(pg.own);
	assert_int_equal(pg.hdr.pid, getpid() - 1);
	(void)close(pg.fd);
	(void)close(low);
	(void)close(high);
}

/* A page that shrinks while it is read is just shorter. */
static void test_shrinks(void **state)
{
	struct sl_statpage pg;
	int fd, sum = 0;

	(void)state;
	good_page();
	fd = put_page(LEN);
	assert_int_equal(sl_statpage_find(getpid(), &pg), 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(sl_statpage_each(&pg, sum_fds, &sum), 0);
	assert_int_equal(sum, 0);
	(void)close(pg.fd);
	(void)close(fd);
}

static void test_gone(void **state)
{
	struct sl_statpage pg;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(sl_statpage_find(pid, &pg), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	cmocka_unit_test(test_stops),
		cmocka_unit_test(test_young),
		cmocka_unit_test(test_damaged), cmocka_unit_test(test_inherited),
		cmocka_unit_test(test_shrinks), cmocka_unit_test(test_gone),
	};

	return cmocka_run_group_tests_name("cli, status", tests, NULL, NULL);
}
