/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reason.h - why a connection is not on the memory lane, in words
 *
 * One list: the enum and the texts come from the same lines. Codes are part of the status
 * page's layout (stat.h) and of the broker's REFUSED message: append only.
 */
#ifndef SL_REASON_H
#define SL_REASON_H

#define SL_REASONS(X)                                                                              \
	X(NONE, "")                                                                                \
	X(YOUNG, "too few calls so far to be worth promoting")                                     \
	X(OFF, "promotion is switched off (--promote off)")                                        \
	X(NO_BROKER, "no broker answers")                                                          \
	X(BROKER_VERSION, "the broker speaks another version")                                     \
	X(BROKER_FOREIGN, "the broker runs as another user, and not as root")                      \
	X(OFFERED, "offered; the peer has not offered (is it under scilan?)")                      \
	X(PAIRED, "paired; waiting for the peer to attach")                                        \
	X(NOT_TCP, "not a TCP connection")                                                         \
	X(NOT_LOCAL, "the peer is not on this host")                                               \
	X(SELF, "connected to itself")                                                             \
	X(SHARED, "another process holds this socket")                                             \
	X(THREADS, "several threads were in kernel calls on it")                                   \
	X(STDIO, "used through stdio (fdopen)")                                                    \
	X(EXECED, "on a descriptor that another program inherits by exec")                         \
	X(PASSED, "passed to another process by SCM_RIGHTS")                                       \
	X(OPT_ZEROCOPY, "SO_ZEROCOPY")                                                             \
	X(OPT_TIMESTAMP, "SO_TIMESTAMP or SO_TIMESTAMPING")                                        \
	X(OPT_PEEK_OFF, "SO_PEEK_OFF")                                                             \
	X(OPT_ULP, "TCP_ULP (kernel TLS)")                                                         \
	X(OPT_REPAIR, "TCP_REPAIR")                                                                \
	X(OPT_MD5, "TCP_MD5SIG or TCP_AO")                                                         \
	X(OPT_FILTER, "a socket filter is attached")                                               \
	X(OOB, "urgent data (MSG_OOB)")                                                            \
	X(ASYNC, "signal-driven I/O (O_ASYNC)")                                                    \
	X(EPOLL_SHARED, "in an epoll instance that is shared since fork")                          \
	X(EPOLL_EXCLUSIVE, "registered with EPOLLEXCLUSIVE")                                       \
	X(IO_URING, "the process uses io_uring")                                                   \
	X(LIMIT_MEMORY, "memory limit reached")                                                    \
	X(LIMIT_FILES, "descriptor limit reached")                                                 \
	X(LIMIT_BROKER, "the broker's limit is reached")                                           \
	X(BAD_SEGMENT, "the segment has a wrong size, magic or version")                           \
	X(BAD_PEER, "the peer wrote nonsense into the segment")                                    \
	X(BYPASSED, "bytes were moved past scilan (raw system calls)")                             \
	X(PEER_LEFT, "the peer went back to TCP")                                                  \
	X(HALF_CLOSED, "half-closed; the other direction goes on over TCP")                        \
	X(DEMOTED, "demoted on request")                                                           \
	X(CHAOS, "demoted by SCILAN_CHAOS")                                                        \
	X(STATIC, "the program is statically linked")                                              \
	X(SETID, "the program is set-id, the loader drops preloads")                               \
	X(RAW_GO, "a Go program: it makes system calls without libc")                              \
	X(NOT_ELF, "the program is not an x86-64 ELF binary")                                      \
	X(PEER_REFUSED, "the peer refused")                                                        \
	X(FINISHED, "closing")                                                                     \
	X(SHUT_PEER, "the peer has finished sending")                                              \
	X(CONNECTING, "not connected yet")                                                         \
	X(EPOLL_NESTED, "in an epoll instance that is itself polled")                             \
	X(RAW_CODE, "the program or a library makes system calls without libc")                    \
	X(SECCOMP, "the program limits its own system calls (seccomp)")                            \
	X(RECEIVED, "came by SCM_RIGHTS; who else holds it is not known")                          \
	X(OPT_INQ, "TCP_INQ")                                                                      \
	X(ONE_WAY, "attached; what is on TCP changes lane with its next bytes")                     \
	X(STALLED, "the peer reads nothing; what is sent waits in the kernel")

enum sl_reason {
#define X(name, text) SL_WHY_##name,
	SL_REASONS(X)
#undef X
		SL_WHY_COUNT
};

/**
 * sl_reason_text() - the words for a reason
 * @why: a code; read from a shared page, so any value is allowed
 *
 * Return: static text, "" for SL_WHY_NONE, "unknown reason" outside the list.
 */
const char *sl_reason_text(unsigned why);

#endif
