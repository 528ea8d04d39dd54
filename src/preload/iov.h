/* SPDX-License-Identifier: BSD-2-Clause */
/* iov.h - one form for the arguments of all reads and writes: a msghdr */
#ifndef SL_IOV_H
#define SL_IOV_H

#include "fault.h"
#include "preload.h"

#define SL_IOV_MAX 1024	      /* UIO_MAXIOV */
#define SL_RW_MAX  0x7ffff000 /* MAX_RW_COUNT: the kernel moves no more in one call */

/** sl_iov1() - one buffer; as the kernel does, recv and send take at most SL_RW_MAX of it */
static inline struct iovec sl_iov1(const void *buf, size_t len)
{
	return (struct iovec){.iov_base = (void *)(uintptr_t)buf,
			      .iov_len = sl_min_size(len, SL_RW_MAX)};
}

static inline struct msghdr sl_msg_of(const struct iovec *iov, size_t n)
{
	return (struct msghdr){.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = n};
}

/** sl_iov_check() - what import_iovec() refuses; @too_many is the error for a count out of range */
static inline int sl_iov_check(const struct iovec *iov, size_t n, int too_many)
{
	size_t i;

	if (n > SL_IOV_MAX)
		return too_many;
	if (n && sl_unlikely(sl_bad_address(iov)))
		return -EFAULT;
	for (i = 0; i < n; i++)
		if (iov[i].iov_len > SSIZE_MAX)
			return -EINVAL;
	return 0;
}

static inline size_t sl_iov_sum(const struct iovec *iov, size_t n)
{
	size_t sum = 0, i;

	for (i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

#endif
