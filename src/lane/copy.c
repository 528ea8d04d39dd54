/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include "copy.h"
#include "fault.h"
#include "sys.h"

static void step(const struct iovec **iov, int *cnt, size_t *off, size_t len)
{
	while (*cnt > 0 && len >= (*iov)->iov_len - *off) {
		len -= (*iov)->iov_len - *off;
		*off = 0;
		(*iov)++;
		(*cnt)--;
	}
	*off += len;
}

void sl_src_skip(struct sl_src *src, size_t len)
{
	step(&src->iov, &src->iovcnt, &src->off, len);
}

void sl_sink_skip(struct sl_sink *sink, size_t len)
{
	step(&sink->iov, &sink->iovcnt, &sink->off, len);
}

/* By way of a pipe of our own, which takes what the other has, or gives it what it has room for: splice can refuse to wait. */
static ssize_t by_own_pipe(int fd, void *buf, size_t len, bool out)
{
	int own[2];
	ssize_t n = sl_sys(SYS_pipe2, own, O_CLOEXEC | O_NONBLOCK, 0);

	if (n < 0)
		return n;
	if (out) {
		n = sl_sys(SYS_write, own[1], buf, len);
		if (n > 0)
			n = sl_sys6(SYS_splice, own[0], 0, fd, 0, n, SPLICE_F_NONBLOCK);
	} else {
		n = sl_sys6(SYS_splice, fd, 0, own[1], 0, (long)len, SPLICE_F_NONBLOCK);
		if (n > 0)
			n = sl_sys(SYS_read, own[0], buf, n);
	}
	(void)sl_sys_close(own[0]);
	(void)sl_sys_close(own[1]);
	return n;
}

/* The pipe may be one that blocks. Pipes know RWF_NOWAIT since Linux 6.5, those with a name do not. */
static ssize_t pipe_now(int fd, void *buf, size_t len, bool out)
{
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	ssize_t n = sl_sys6(out ? SYS_pwritev2 : SYS_preadv2, fd, (long)&iov, 1, -1, -1, RWF_NOWAIT);

	return n == -EOPNOTSUPP || n == -ENOSYS ? by_own_pipe(fd, buf, len, out) : n;
}

static ssize_t fill_fd(struct sl_src *src, void *dst, size_t len)
{
	ssize_t n;

	if (src->pipe)
		n = pipe_now(src->fd, dst, len, false);
	else if (!src->pos)
		n = sl_sys(SYS_read, src->fd, dst, len);
	else
		n = sl_sys6(SYS_pread64, src->fd, (long)dst, (long)len, *src->pos, 0, 0);
	if (src->pos && n > 0)
		*src->pos += n;
	src->dry = n == -EAGAIN;
	return n;
}

static ssize_t put_fd(struct sl_sink *sink, const void *data, size_t len)
{
	ssize_t n = pipe_now(sink->fd, (void *)(uintptr_t)data, len, true);

	sink->full = n == -EAGAIN;
	return n;
}

ssize_t sl_src_fill(struct sl_src *src, void *dst, size_t len)
{
	size_t done = 0, n;

	if (src->fd >= 0)
		return fill_fd(src, dst, len);
	while (done < len && src->iovcnt > 0) {
		n = sl_min_size(src->iov->iov_len - src->off, len - done);
		/* An empty entry may have no address. */
		if (n && sl_unlikely(sl_copy((char *)dst + done,
					     (const char *)src->iov->iov_base + src->off, n)))
			return -EFAULT;
		done += n;
		sl_src_skip(src, n);
	}
	return (ssize_t)done;
}

ssize_t sl_sink_put(struct sl_sink *sink, const void *data, size_t len)
{
	size_t done = 0, n;

	if (sink->fd >= 0)
		return put_fd(sink, data, len);
	while (done < len && sink->iovcnt > 0) {
		n = sl_min_size(sink->iov->iov_len - sink->off, len - done);
		if (n && !sink->discard &&
		    sl_unlikely(sl_copy((char *)sink->iov->iov_base + sink->off,
					(const char *)data + done, n)))
			return -EFAULT;
		done += n;
		sl_sink_skip(sink, n);
	}
	return (ssize_t)done;
}

int sl_iov_rest(const struct iovec *iov, int iovcnt, size_t off, struct iovec *tmp, size_t max,
		size_t *total)
{
	int n = 0;

	*total = 0;
	while (n < SL_IOV_REST && iovcnt > 0 && *total < max) {
		if (iov->iov_len > off) { /* a call with empty entries only would look like an end */
			tmp[n].iov_base = (char *)iov->iov_base + off;
			tmp[n].iov_len = sl_min_size(iov->iov_len - off, max - *total);
			*total += tmp[n++].iov_len;
		}
		iov++;
		iovcnt--;
		off = 0;
	}
	return n;
}
