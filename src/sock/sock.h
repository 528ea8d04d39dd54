/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sock.h - the endpoint: socket semantics over the two lanes
 *
 * How it works. Each TCP connection that the program makes is tracked from connect/accept on. While it is young
 * (young.h) it is no more than an entry that is counted in. Then there is a struct sl_sock. Until it is
 * promoted the program's calls go to the kernel as they are (native) and are counted. When it proves worth it, it
 * is offered to the broker (offer.h). When the broker has paired it, the segment is attached at a moment when
 * no thread of ours is in a kernel call on it; from then on all kernel calls on it are made
 * non-blocking, under the direction's lock, and blocking is done by waiting (wait.h).
 *
 * Locks. rx_lock, then tx_lock, then the side page's xlock where several processes hold the end. All are held
 * for short, non-blocking work only. The fast path of one direction takes one lock.
 *
 * Return values: >= 0 or -errno, and errno is left alone. Functions that take @fd want the descriptor by which the
 * program reached the socket.
 */
#ifndef SL_SOCK_H
#define SL_SOCK_H

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include "fdtab.h"
#include "link.h"
#include "lock.h"
#include "reason.h"
#include "stat.h"
#include "young.h"

enum sl_offer_state {
	SL_OFFER_NONE,	  /* not offered (yet) */
	SL_OFFER_OUT,	  /* the broker has it */
	SL_OFFER_PAIRED,  /* descriptors received, waiting for a quiet moment */
	SL_OFFER_TAKEN,	  /* attached */
	SL_OFFER_NEVER,	  /* stays on TCP; the status page says why */
};

/*
 * The kernel keeps a file open until the calls on it are over. So do we: by a descriptor of our own, which is closed,
 * in order, with the last call's reference.
 */
enum sl_orphan { SL_ORPHAN_NOT, SL_ORPHAN, SL_ORPHAN_ENDS };

/* How a waiting place has fared with spinning (spin.h). */
struct sl_spin {
	uint32_t budget_ns; /* 0: the cap; else budget + 1 */
	uint16_t skip;	    /* waits to come that do not spin: the machine is crowded */
	uint16_t skipped;   /* how many were skipped the last time */
	uint8_t put_off;    /* how often it was not tried again, as the machine was still crowded */
	bool vain;	    /* the last wait ended in the kernel */
};

#define SL_SOCK_FREE 0x80000000u

struct sl_sock {
	_Atomic uint32_t refs; /* SL_SOCK_FREE and those of late looks: free */
	uint32_t index;	       /* in the pool and on the status page */
	struct sl_lock rx_lock, tx_lock;
	_Atomic bool attached;
	_Atomic uint32_t offer; /* enum sl_offer_state */
	uint32_t rx_inflight;	/* native kernel receives under way; rx_lock */
	uint32_t tx_inflight;
	uint32_t sleepers, waiters; /* those of the side's that are this process's; rx_lock, tx_lock */
	uint32_t native_sleepers; /* threads asleep in the kernel on it, not attached yet; rx_lock */
	struct sl_link link; /* valid while attached */
	struct sl_side_shm *side; /* &own, a family page, or the side page */
	struct sl_stat_conn_shm *stat;
	uint32_t calls;
	uint32_t call_next; /* offer at this call */
	uint64_t bytes;
	uint64_t offer_id;
	uint32_t offer_gen;
	uint32_t pair_side;
	int pair_fd[2]; /* segment, side page: received, not yet attached */
	uint64_t pair;
	_Atomic uint64_t numbers; /* descriptors that stand for it, and how many of them are being closed: sl_numbers() */
	_Atomic int fd;		  /* one of them; -1 */
	bool nonblock;	      /* O_NONBLOCK, known while attached */
	int nodelay, cork;    /* the program's TCP_NODELAY and TCP_CORK, kept by us while attached */
	int lowat;	      /* and its SO_RCVLOWAT, > 0 */
	uint64_t rcvtimeo_us; /* SO_RCVTIMEO, known while attached; 0: none */
	bool connecting;
	bool uncounted;	      /* a native call was left in the middle: what it moved the kernel alone knows */
	uint8_t settled; /* SCILAN_CHAOS=pairs: how often it has waited for its answer */
	bool oob;     /* urgent data was used */
	bool looked;   /* at its options, since a recvmsg() had room for what they put beside the data */
	uint8_t stamp; /* SO_TIMESTAMP or a relative that is on */
	bool received; /* by SCM_RIGHTS: the broker is to say whether we are its only holder */
	uint32_t sender; /* and from whom: a process id */
	bool passed;   /* by SCM_RIGHTS, to others */
	bool unfit;    /* and those others are not to promote it */
	uint64_t claim; /* the cookie under which the broker counts us among its holders; 0: it does not */
	uint32_t claim_gen; /* the connection to the broker on which it does */
	bool forking; /* fork has taken its locks */
	bool locked;  /* exec has taken its locks */
	_Atomic bool closed; /* its last number was: calls that are still on it must not go on with that */
	_Atomic bool moved;  /* a number of it was: calls that began with that go on with another (sl_still_fd()) */
	_Atomic uint8_t orphan; /* enum sl_orphan: closed while other threads were in calls on it */
	bool strays; /* some references may be of threads that are not in this process: a fork has copied them */
	bool heir;    /* a program that is being executed inherits it */
	bool side_new; /* the page was made for the fork that is under way */
	int side_fd;   /* its file, for a program that may be executed; a kept descriptor (hidden.h), or -1 */
	uint32_t full_seq;    /* times the program was told that there is no room */
	bool native_full;     /* by the kernel, in its last native send */
	struct {
		uint64_t taken, since_ns; /* where the reader was when there was no room, and since when */
		bool told;		  /* the program was told so */
	} stall;
	bool was_attached;    /* now or before */
	uint64_t kernel_look; /* sl_coarse_ns(): when the kernel was last asked about FIN */
	uint64_t peer_look;   /* sl_coarse_ns(): when a sender last looked whether the peer takes anything */
	struct sl_spin rx_spin, tx_spin;
	void *_Atomic items; /* epoll registrations; ready/'s, under its lock */
	struct sl_side_shm own;
};

static inline bool sl_sock_used(const struct sl_sock *s)
{
	uint32_t refs = atomic_load(&s->refs);

	return refs && refs < SL_SOCK_FREE;
}

/*
 * Descriptors of this process that stand for @s. Those that are being closed are counted beside them, in the upper half:
 * of several threads that close the last ones at the same moment the one that finds no other left ends the connection.
 */
#define SL_NUMBER_CLOSING (1ull << 32)

static inline uint32_t sl_numbers(const struct sl_sock *s)
{
	return (uint32_t)atomic_load(&s->numbers);
}

int sl_moved_fd(const struct sl_sock *s, int fd); /* sock.c */

/*
 * The descriptor to use for @s now, by a call that began with @fd: another thread may have closed that, and it be another
 * file's. With a lock of @s held it stays good as long as that is: who closes takes the locks in between (sl_sock_close()).
 */
static inline int sl_still_fd(const struct sl_sock *s, int fd)
{
	return sl_unlikely(atomic_load_explicit(&s->moved, memory_order_acquire)) ?
		       sl_moved_fd(s, fd) :
		       fd;
}

/* What ready/ wants to know. Called with both locks held unless said otherwise. */
struct sl_sock_hooks {
	/* about to attach: the kernel's epoll registrations become ours. < 0: do not; minus an sl_reason */
	int (*attaching)(struct sl_sock *s);
	/* back on TCP: the program's own registrations again */
	void (*detached)(struct sl_sock *s);
	/* readiness may have changed without a byte on the socket: wake waiting instances of ours */
	void (*kick)(struct sl_sock *s);
	/* the program was told that there is no room: look at this socket again (no locks held) */
	void (*full)(struct sl_sock *s);
	/* start a process that goes on with @fd; return a TCP connection to it, or -1 (preload/relay.c) */
	int (*relay)(int fd);
	/* descriptor @fd is about to stand for s no longer, and others do; none does any more (no locks held) */
	void (*closed)(struct sl_sock *s, int fd);
	void (*gone)(struct sl_sock *s, int fd);
	/* offers are out: @fd of the broker is to be watched where this process sleeps (no locks held) */
	void (*broker)(int fd);
	/* a young connection grows up that was registered in this epoll instance */
	void (*grown)(int fd, uint32_t ep, uint32_t events, uint64_t data);
	/* about to offer: what is in this process that forbids it, for all sockets (no locks held) */
	enum sl_reason (*unfit)(void);
};

extern struct sl_sock_hooks sl_sock_hooks;

/* --- life --- */

/** sl_sock_init() - once, from the constructor, after sl_env_init() and sl_real_init() */
void sl_sock_init(void);

/**
 * sl_sock_get() - the socket behind a descriptor, with a reference; NULL: not ours. A young one grows up.
 * sl_sock_put() - drop the reference
 */
static inline struct sl_sock *sl_sock_get(int fd);
void sl_sock_free(struct sl_sock *s);
static inline void sl_sock_put(struct sl_sock *s);

/**
 * sl_sock_track() - after connect() or accept() gave or connected @fd
 * @connecting: EINPROGRESS
 *
 * Replaces a stale entry. Never fails: what cannot be tracked stays on TCP.
 */
void sl_sock_track(int fd, bool connecting);

/**
 * sl_sock_connected() - connect() or accept() has succeeded: `eager` offers now
 *
 * Errno is left alone. A server may fork for an accepted connection, and its child be the one that uses it: then what
 * was offered here is withdrawn, and the child gets the same pair (fork.c).
 */
void sl_sock_connected(int fd);

/** sl_sock_untrack() - forget it (not a TCP connection after all), without touching it */
void sl_sock_untrack(int fd);

/**
 * sl_sock_close() - the program is about to close @fd, in whatever way
 *
 * For every descriptor, tracked or not. When it is the last one of this process that stands for a promoted
 * connection, the lanes are shut in order. The caller closes @fd afterwards.
 * Return: 0; -EBADF @fd is one of scilan's own: the caller returns this and closes nothing.
 */
int sl_sock_close(int fd);

/** sl_sock_abort() - the program is about to disconnect @fd (connect to AF_UNSPEC), which sends RST */
void sl_sock_abort(struct sl_sock *s, int fd);

/** sl_sock_dup() - @newfd now stands for the same file as @oldfd (sockets only; epoll: ready.h) */
void sl_sock_dup(int oldfd, int newfd);

/** sl_sock_exit() - the process ends: shut the lanes of all promoted connections in order */
void sl_sock_exit(void);

/** sl_sock_shutdown() - shutdown(2), the kernel call included */
int sl_sock_shutdown(struct sl_sock *s, int fd, int how);

/* --- the one receive path, the one send path --- */

#define SL_CALL_READ 0x10000000 /* read/readv/write/writev: zero bytes do nothing; no MSG_* bit */

/**
 * sl_sock_recv() - recvmsg(2) and its relatives
 * @m:	   as for recvmsg(2); name, control and flags are filled as Linux TCP does
 * @flags: MSG_*, and SL_CALL_READ
 *
 * Blocks as the socket and the flags say. Return: bytes, or -errno.
 */
ssize_t sl_sock_recv(struct sl_sock *s, int fd, struct msghdr *m, int flags);

/**
 * sl_sock_send() - sendmsg(2) and its relatives; raises SIGPIPE as Linux does
 */
ssize_t sl_sock_send(struct sl_sock *s, int fd, const struct msghdr *m, int flags);

/** sl_sock_sendfile() - sendfile(2) with the socket @fd as output; straight from the page cache */
ssize_t sl_sock_sendfile(struct sl_sock *s, int fd, int in_fd, off_t *pos, size_t count);

/**
 * sl_sock_splice_in() - splice(2) from the pipe @pipe_fd to the socket; SPLICE_F_* in @flags
 * sl_sock_splice_out() - splice(2) from the socket to the pipe
 */
ssize_t sl_sock_splice_in(struct sl_sock *s, int fd, int pipe_fd, size_t len, unsigned flags);
ssize_t sl_sock_splice_out(struct sl_sock *s, int fd, int pipe_fd, size_t len, unsigned flags);

/* --- options --- */

/**
 * sl_sock_setsockopt() / sl_sock_getsockopt() / sl_sock_ioctl() / sl_sock_setfl() - the kernel call
 * included. ioctl: FIONREAD, FIONBIO, SIOCOUTQ, SIOCATMARK, FIOASYNC and all the rest.
 * setfl: after a successful fcntl(F_SETFL): take notice.
 */
bool sl_opt_matters(int level, int name); /* setting it does: a young connection grows up */
int sl_sock_setsockopt(struct sl_sock *s, int fd, int level, int name, const void *val,
		       socklen_t len);
int sl_sock_getsockopt(struct sl_sock *s, int fd, int level, int name, void *val, socklen_t *len);
int sl_sock_ioctl(struct sl_sock *s, int fd, unsigned long req, void *arg);
void sl_sock_setfl(struct sl_sock *s, int fd, int flags);

/**
 * sl_sock_before_control() - recvmsg() is about to be called with room for control messages
 * sl_sock_control() - and has taken bytes
 * @room: in front of the call; what it left is in @m
 *
 * Many programs ask for times of arrival on all their sockets, and take them on those of UDP only (iperf). So it is not
 * SO_TIMESTAMP that sends a connection back to TCP, but the first recvmsg() that would get a time. What is unread in
 * memory then gets the time at which it is taken.
 */
void sl_sock_before_control(struct sl_sock *s, int fd);
void sl_sock_control(struct sl_sock *s, struct msghdr *m, size_t room);

/**
 * sl_sock_refuse() - keep this connection on TCP from now on; a promoted one leaves the memory lane
 * @why: shown by status
 */
void sl_sock_refuse(struct sl_sock *s, int fd, enum sl_reason why);

/**
 * sl_sock_bypass() - the same where the program is about to use it past us (stdio, io_uring), or the kernel alone is
 * to tell of it (an instance that shows nothing else): what is unread in memory comes by TCP
 */
void sl_sock_bypass(struct sl_sock *s, int fd, enum sl_reason why);

/** sl_sock_bypass_within() - the same for one of many: what may still be spent on waiting for peers is in @wait_ns */
#define SL_BYPASS_NS 2000000000ull
void sl_sock_bypass_within(struct sl_sock *s, int fd, enum sl_reason why, uint64_t *wait_ns);

/**
 * sl_sock_bypass_all() - the same for all of this process, also where nothing is unread: when it returns no bells come
 * any more, unless a peer has not answered within 2 s
 */
void sl_sock_bypass_all(enum sl_reason why);

/** sl_sock_not_passed() - after sl_sock_pass(): the message could not be sent */
void sl_sock_not_passed(struct sl_sock *s);

/**
 * sl_sock_received() - @fd has come by SCM_RIGHTS, and is a TCP connection
 * @sender: SO_PEERCRED of the socket that it came over; 0: unknown, or the message was only looked at (MSG_PEEK)
 */
void sl_sock_received(int fd, pid_t sender);

/** sl_sock_alone() - from now on no descriptors of ours: the broker is left for good, status pages have no file */
void sl_sock_alone(void);

/* --- readiness --- */

/**
 * sl_sock_events() - the one readiness function: what is true of a promoted socket now
 * @want: EPOLLIN | EPOLLOUT | EPOLLRDHUP ... that the caller cares for
 *
 * Return: the subset of want | EPOLLERR | EPOLLHUP that holds.
 */
uint32_t sl_sock_events(struct sl_sock *s, int fd, uint32_t want);

/**
 * sl_sock_kernel_event() - the kernel reported these events for @fd: note ends and errors
 */
void sl_sock_kernel_event(struct sl_sock *s, int fd, uint32_t events);

/**
 * sl_sock_edge() - the input edge: grows when something new has arrived since, on whichever lane, attached or not
 *
 * SL_EDGE_UNKNOWN: not known for the moment, as a thread takes bytes from the kernel.
 */
#define SL_EDGE_UNKNOWN UINT64_MAX
uint64_t sl_sock_edge(struct sl_sock *s);

/**
 * sl_sock_arm() - the caller is about to sleep in the kernel on @fd for @want
 * @drain: drop bells from the kernel's queue first, for level-triggered sleepers
 * @slot: the bell that it sleeps on besides @fd (bell.h), or -1
 *
 * Afterwards look again (sl_sock_events) and, if that shows nothing, sleep for POLLIN | POLLRDHUP (and POLLOUT
 * where sl_sock_kernel_out() says so).
 *
 * Return: SL_ARM_UNCERTAIN when news of room may not get through: sleep no longer than SL_UNCERTAIN_MS. Bytes from before
 * the switch may lie unread in the kernel's queue and fill the window, so that no bell fits; or somebody else of this
 * end may leave the lane. SL_ARM_GONE: another thread has detached it, nothing was done, nothing is to be taken back.
 */
#define SL_ARM_UNCERTAIN 1u
#define SL_ARM_GONE	 2u
unsigned sl_sock_arm(struct sl_sock *s, int fd, uint32_t want, bool drain, int slot);

#define SL_UNCERTAIN_MS 10

/**
 * sl_sock_native_sleep() - the caller is about to sleep in the kernel on a socket that is not attached
 *
 * If another thread attaches it meanwhile, the peer's first bell is this sleeper's: it counts as one.
 * Return: false: it is attached by now, do not sleep so.
 *
 * sl_sock_native_awake() - awake again. Return: true: it was attached meanwhile, what the kernel says is news of bells
 */
bool sl_sock_native_sleep(struct sl_sock *s);
bool sl_sock_native_awake(struct sl_sock *s);

/** sl_sock_disarm() - awake again, after sl_sock_arm() */
void sl_sock_disarm(struct sl_sock *s);

/** sl_sock_kernel_out() - whether the kernel, and not the ring, tells if sending is possible */
bool sl_sock_kernel_out(struct sl_sock *s);

/** sl_sock_hint() - cheap, without a lock: there may be something to read */
static inline bool sl_sock_hint(struct sl_sock *s)
{
	return sl_rx_hint(&s->link);
}

/** sl_sock_hint_new() - the same, for what sl_sock_edge() has not counted yet */
static inline bool sl_sock_hint_new(struct sl_sock *s)
{
	return sl_rx_hint_new(&s->link);
}

/** sl_sock_armed() - what comes next rings @bell, or wakes all; not one that has been read, and armed anew, by another */
static inline bool sl_sock_armed(struct sl_sock *s, uint32_t bell)
{
	return sl_rx_armed(&s->link, bell);
}

/**
 * sl_sock_glance() - what of input can be told without a lock
 * Return: 1 there is data; 0 there is nothing; -1 that needs a closer look (sl_sock_events()).
 */
static inline int sl_sock_glance(struct sl_sock *s)
{
	const struct sl_side_shm *sd = s->side;
	uint32_t word;

	if (!sl_rx_memory(&s->link) || sd->kfin || sd->err || sd->rx.fin || sd->dead || sd->rdshut)
		return -1;
	word = sl_rx_hint_word(&s->link);
	if (!sl_word_is_record(word))
		return sd->rx.ring.off ? -1 : 0;
	return sl_word_type(word) == SL_DATA && s->lowat <= 1 ? 1 : -1;
}

/** sl_sock_attached() - promoted: readiness is ours to tell */
static inline bool sl_sock_attached(struct sl_sock *s)
{
	return atomic_load_explicit(&s->attached, memory_order_acquire);
}

/** sl_sock_same_cpu() - the peer was last seen on this very CPU; tells the peer about ours */
bool sl_sock_same_cpu(struct sl_sock *s);

/** sl_offer_due() / sl_offer_pump() - are there answers of the broker to pick up; do it */
bool sl_offer_due(void);
void sl_offer_pump(void);
bool sl_offer_waiting(void); /* offers are out */
uint32_t sl_offer_generation(void); /* which connection to the broker this is */

extern struct sl_stat_hdr_shm *sl_stat_page; /* NULL until something is tracked */

/* --- processes (fork.c; exec and posix_spawn: inherit.h) --- */

/** sl_sock_fork_prepare() / _parent() / _child() - around fork, in this order */
void sl_sock_fork_prepare(void);
extern __thread bool sl_fork_closes_all; /* the child that this thread makes closes all connections but one at once */
void sl_sock_fork_parent(bool failed);
void sl_sock_fork_child(void);

/** sl_sock_reaped() - a child of this process is dead: if it still holds ends that we hold, it was killed */
void sl_sock_reaped(pid_t pid);

/**
 * sl_sock_pass() - @fd is about to be passed to another process (SCM_RIGHTS): TCP from now on, with what has
 * not been read
 * Return: -1; or what is to be passed in its place (close-on-exec, to be closed afterwards).
 */
int sl_sock_pass(struct sl_sock *s, int fd);

/** sl_sock_credentials() - about to change the user: connect to the broker while it still knows us */
void sl_sock_credentials(void);

/* --- inline --- */

static inline __attribute__((always_inline)) struct sl_sock *sl_sock_get(int fd)
{
	uintptr_t e = sl_fdtab_load(fd);
	struct sl_sock *s;

again:
	while (sl_unlikely(e && !(e & 3))) {
		s = (struct sl_sock *)e;
		if (__libc_single_threaded) {
			atomic_store_explicit(&s->refs,
					      atomic_load_explicit(&s->refs, memory_order_relaxed) + 1,
					      memory_order_relaxed);
			return s;
		}
		atomic_fetch_add_explicit(&s->refs, 1, memory_order_acq_rel);
		if (sl_likely(sl_fdtab_load(fd) == e))
			return s;
		sl_sock_put(s);
		e = sl_fdtab_load(fd);
	}
	if (sl_unlikely(e == SL_FD_YOUNG) && sl_young_grow(fd)) {
		e = sl_fdtab_load(fd);
		goto again;
	}
	return NULL;
}

static inline __attribute__((always_inline)) void sl_sock_put(struct sl_sock *s)
{
	uint32_t left;

	if (__libc_single_threaded) {
		left = atomic_load_explicit(&s->refs, memory_order_relaxed) - 1;
		atomic_store_explicit(&s->refs, left, memory_order_relaxed);
	} else {
		left = atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) - 1;
	}
	if (sl_unlikely(!left))
		sl_sock_free(s);
}

#endif
