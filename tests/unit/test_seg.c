/* SPDX-License-Identifier: BSD-2-Clause */
/* The segment: what is one and what is not, mapping and giving up, addresses that come again. */
#include <fcntl.h>
#include <sys/mman.h>
#include "test_core_util.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

struct hdr {
	uint32_t magic, version;
	uint64_t ring_len;
};

#define GOOD                                                                                       \
	{                                                                                          \
		SL_SEG_MAGIC, SL_SEG_VERSION, 65536                                                \
	}
#define GOOD_LEN (SL_SEG_HDR_LEN + 2 * 65536)

static const struct seg_case {
	const char *name;
	struct hdr hdr;
	size_t len; /* bytes in the file */
	int seals;
	unsigned side;
	int want;
} seg_cases[] = {
	{"good", GOOD, GOOD_LEN, SEALS, 0, 0},
	{"good, more seals", GOOD, GOOD_LEN, SEALS | F_SEAL_SEAL, 1, 0},
	{"smallest", {SL_SEG_MAGIC, SL_SEG_VERSION, SL_RING_LEN_MIN}, SL_SEG_HDR_LEN + 2 * SL_RING_LEN_MIN, SEALS, 0, 0},
	{"largest", {SL_SEG_MAGIC, SL_SEG_VERSION, SL_RING_LEN_MAX}, SL_SEG_HDR_LEN + 2 * SL_RING_LEN_MAX, SEALS, 0, 0},
	{"no such side", GOOD, GOOD_LEN, SEALS, 2, -EPROTO},
	{"no seals", GOOD, GOOD_LEN, 0, 0, -EPROTO},
	{"may shrink", GOOD, GOOD_LEN, F_SEAL_GROW, 0, -EPROTO},
	{"may grow", GOOD, GOOD_LEN, F_SEAL_SHRINK, 0, -EPROTO},
	{"empty file", GOOD, 0, SEALS, 0, -EPROTO},
	{"file shorter than header", GOOD, 12, SEALS, 0, -EPROTO},
	{"header only", GOOD, SL_SEG_HDR_LEN, SEALS, 0, -EPROTO},
	{"one ring only", GOOD, SL_SEG_HDR_LEN + 65536, SEALS, 0, -EPROTO},
	{"a byte short", GOOD, GOOD_LEN - 1, SEALS, 0, -EPROTO},
	{"a byte long", GOOD, GOOD_LEN + 1, SEALS, 0, -EPROTO},
	{"no magic", {0, 1, 65536}, GOOD_LEN, SEALS, 0, -EPROTO},
	{"magic of the status page", {0x534c5354, 1, 65536}, GOOD_LEN, SEALS, 0, -EPROTO},
	{"version before", {SL_SEG_MAGIC, SL_SEG_VERSION - 1, 65536}, GOOD_LEN, SEALS, 0, -EPROTO},
	{"version to come", {SL_SEG_MAGIC, SL_SEG_VERSION + 1, 65536}, GOOD_LEN, SEALS, 0, -EPROTO},
	{"ring of nothing", {SL_SEG_MAGIC, SL_SEG_VERSION, 0}, SL_SEG_HDR_LEN, SEALS, 0, -EPROTO},
	{"ring too small", {SL_SEG_MAGIC, SL_SEG_VERSION, 8192}, SL_SEG_HDR_LEN + 2 * 8192, SEALS, 0, -EPROTO},
	{"ring too large", {SL_SEG_MAGIC, SL_SEG_VERSION, 128 << 20}, 4096 + (256 << 20), SEALS, 0, -EPROTO},
	{"not a power of two", {SL_SEG_MAGIC, SL_SEG_VERSION, 65535}, SL_SEG_HDR_LEN + 2 * 65535, SEALS, 0, -EPROTO},
	{"not a power of two, aligned", {SL_SEG_MAGIC, SL_SEG_VERSION, 49152}, 102400, SEALS, 0, -EPROTO},
	{"two rings overflow", {SL_SEG_MAGIC, SL_SEG_VERSION, 1ull << 63}, SL_SEG_HDR_LEN, SEALS, 0, -EPROTO},
	{"length with high bits",
	 {SL_SEG_MAGIC, SL_SEG_VERSION, 1ull << 32 | 65536},
	 GOOD_LEN,
	 SEALS,
	 0,
	 -EPROTO},
};

static void test_attach(void **state)
{
	struct sl_seg seg;
	size_t i;
	int fd, rc;

	(void)state;
	for (i = 0; i < sizeof(seg_cases) / sizeof(seg_cases[0]); i++) {
		const struct seg_case *c = &seg_cases[i];

		fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		assert_int_equal(pwrite(fd, &c->hdr, sizeof(c->hdr), 0), sizeof(c->hdr));
		assert_int_equal(ftruncate(fd, (off_t)c->len), 0);
		assert_int_equal(fcntl(fd, F_ADD_SEALS, c->seals), 0);
		rc = sl_seg_attach(&seg, fd, c->side);
		if (rc != c->want)
			fail_msg("%s: %d", c->name, rc);
		if (rc == 0) {
			assert_int_equal(seg.side, c->side);
			assert_int_equal(seg.ring_len, c->hdr.ring_len);
			assert_int_equal(seg.map_len, c->len);
			sl_seg_ring(&seg, 1)[seg.ring_len - 1] = 1; /* its last byte is there */
			sl_seg_detach(&seg);
			assert_null(seg.shm);
			sl_seg_detach(&seg);
		}
		(void)close(fd);
	}
}

static void test_not_memfd(void **state)
{
	struct sl_seg seg;
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(sl_seg_attach(&seg, p[0], 0), -EPROTO);
	(void)close(p[0]);
	(void)close(p[1]);
	assert_int_equal(sl_seg_attach(&seg, -1, 0), -EPROTO);
	assert_int_equal(sl_seg_attach(&seg, p[0], 0), -EPROTO);
}

static void test_create(void **state)
{
	static const size_t bad[] = {0,
				     1,
				     4096,
				     SL_RING_LEN_MIN - 1,
				     SL_RING_LEN_MIN + 1,
				     3 * SL_RING_LEN_MIN,
				     2ul * SL_RING_LEN_MAX,
				     SIZE_MAX};
	struct sl_seg seg;
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(sl_seg_create(bad[i]), -EINVAL);
	fd = sl_seg_create(SL_RING_LEN_DEF);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GET_SEALS), SEALS | F_SEAL_SEAL);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(sl_seg_attach(&seg, fd, 0), 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(*(uint32_t *)(void *)sl_seg_ring(&seg, (unsigned)i), SL_ARMED);
		assert_int_equal(atomic_load(&seg.shm->side[i].attached), 0);
	}
	sl_seg_detach(&seg);
	(void)close(fd);
	fd = sl_side_create();
	assert_int_equal(fcntl(fd, F_GET_SEALS), SEALS | F_SEAL_SEAL);
	assert_int_equal(lseek(fd, 0, SEEK_END), SL_SIDE_LEN);
	(void)close(fd);
}

/* Writers of different words share no block, and the blocks fit the header page. */
static void test_layout(void **state)
{
	(void)state;
	assert_true(sizeof(struct sl_seg_shm) <= SL_SEG_HDR_LEN);
	assert_int_equal(offsetof(struct sl_seg_shm, side) % SL_BLOCK, 0);
	assert_int_equal(offsetof(struct sl_seg_shm, ring) % SL_BLOCK, 0);
	assert_int_equal(sizeof(struct sl_seg_side_shm) % SL_BLOCK, 0);
	assert_int_equal(sizeof(struct sl_ring_ctl_shm), 3 * SL_BLOCK);
	assert_int_equal(sizeof(struct sl_word_shm), 8);
}

static size_t mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	size_t n = 0;
	int c;

	while ((c = fgetc(f)) != EOF)
		n += c == '\n';
	(void)fclose(f);
	return n;
}

/*
 * Thousands of times: no address range is lost, and a late look at a segment that was given up
 * reads zeroes, not the next one's memory of another size, and no fault.
 */
static void test_many(void **state)
{
	static const size_t lens[] = {SL_RING_LEN_MIN, SL_RING_LEN_DEF, SL_RING_LEN_MIN * 2};
	struct sl_seg seg[8];
	volatile uint8_t *late;
	size_t i, k, before = 0;
	int fd[3];

	(void)state;
	for (k = 0; k < 3; k++)
		fd[k] = sl_seg_create(lens[k]);
	for (i = 0; i < 3000; i++) {
		for (k = 0; k < 8; k++)
			assert_int_equal(sl_seg_attach(&seg[k], fd[(i + k) % 3], k & 1), 0);
		late = sl_seg_ring(&seg[i % 8], 0);
		*late = 1;
		for (k = 0; k < 8; k++)
			sl_seg_detach(&seg[k]);
		assert_int_equal(*late, 0);
		if (i == 100)
			before = mappings();
	}
	/* Neighbours of one kind count as one mapping, so the number varies a little. */
	assert_true(mappings() <= before + 8);
	for (k = 0; k < 3; k++)
		(void)close(fd[k]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attach), cmocka_unit_test(test_not_memfd),
		cmocka_unit_test(test_create), cmocka_unit_test(test_layout),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
