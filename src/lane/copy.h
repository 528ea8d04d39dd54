/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * copy.h - where sent bytes come from and received bytes go: memory or a descriptor
 *
 * So that there is one send path and one receive path for read, recvmsg, sendfile and splice.
 *
 * This is called with the locks of a socket held: nobody waits here for a pipe, whatever others do with it meanwhile.
 */
#ifndef SL_COPY_H
#define SL_COPY_H

#include <sys/types.h>
#include <sys/uio.h>
#include "common.h"

struct sl_src {
	const struct iovec *iov; /* memory: what is left starts @off bytes into iov[0] */
	int iovcnt;
	size_t off;
	int fd;	    /* >= 0: a file or pipe instead */
	off_t *pos; /* file offset to read at and advance; NULL: the file's own */
	bool pipe;  /* fd is a pipe */
	bool dry;   /* -EAGAIN was its answer: it has nothing just now */
	bool told;  /* the kernel has raised SIGPIPE: it does so for descriptors, whatever one says */
};

struct sl_sink {
	const struct iovec *iov;
	int iovcnt;
	size_t off;
	int fd;	      /* >= 0: a pipe instead */
	bool full;    /* -EAGAIN was its answer: it has no room just now */
	bool discard; /* MSG_TRUNC: count, do not copy */
};

/**
 * sl_src_fill() - take up to @len bytes to @dst
 * Return: bytes taken; 0 the source is at its end; -errno: of the descriptor, or -EFAULT. -EAGAIN: see @src->dry.
 */
ssize_t sl_src_fill(struct sl_src *src, void *dst, size_t len);

/** sl_src_skip() - step over @len bytes that went another way (the kernel lane) */
void sl_src_skip(struct sl_src *src, size_t len);

/** sl_sink_put() - give @len bytes; return bytes taken, fewer when full, -errno (descriptors; -EAGAIN: see @sink->full) */
ssize_t sl_sink_put(struct sl_sink *sink, const void *data, size_t len);
void sl_sink_skip(struct sl_sink *sink, size_t len);

/**
 * sl_iov_rest() - what is left, as an iovec for a system call
 * @tmp: room for SL_IOV_REST entries; @max: bytes wanted at most
 * Return: entries set; *total their bytes.
 */
#define SL_IOV_REST 16
int sl_iov_rest(const struct iovec *iov, int iovcnt, size_t off, struct iovec *tmp, size_t max,
		size_t *total);

#endif
