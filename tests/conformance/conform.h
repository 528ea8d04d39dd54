/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conform.h - what one TCP connection shows to the programs at its two ends
 *
 * How it works. A case is a list of steps, or a function, that acts on the two ends of one
 * connection over loopback. What each step returned is written to standard output, one line each.
 * The runner (test_conformance.py) compares the lines of a run without scilan with those of runs
 * under it.
 *
 * End A is always in the process that runs the case. Where end B is depends on the kind of the
 * pair: in the same process, in a forked child, or in a program of its own that was executed. A
 * process that holds B is an agent: it takes steps over a control socket and answers with their
 * results, so the same list of steps serves all kinds, in one order.
 *
 * Bytes. Each direction carries a fixed pattern. A receiving step checks what it got against the
 * place in the pattern at which it should be: lost, doubled and overtaking bytes show as BAD.
 *
 * Before the first step the pair is warmed up: some messages go back and forth until, under scilan,
 * both directions are seen on the memory lane (under chaos: until each end has been there, and some more). A case that has a WARM step does this there instead.
 */
#ifndef CONFORM_H
#define CONFORM_H

#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where B is. */
enum kind { SELF = 1, FORK = 2, EXEC = 4, OTHER = FORK | EXEC, ALL = SELF | FORK | EXEC };

/* On whom a step acts; _BG: in the background, until JOIN. */
enum who { A, B, A_BG, B_BG };

enum op {
	END, /* of the list */
	WARM,
	JOIN,
	SLEEP, /* ms */

	SEND,	  /* length, flags */
	WRITE,	  /* length */
	WRITEV,	  /* length, pieces */
	SENDTO,	  /* length, flags: with an address */
	SENDMSG,  /* length, flags, pieces */
	SENDMMSG, /* length of each, flags, messages */
	SENDALL,  /* length: as many calls as it takes */
	FILL,	  /* send without blocking until there is no room */

	RECV, /* length, flags */
	READ,
	READV,	  /* length, pieces */
	RECVFROM, /* length, flags */
	RECVMSG,  /* length, flags, pieces */
	RECVMMSG, /* length of each, flags, messages */
	RECVALL,  /* length */
	DRAIN,	  /* receive without blocking until there is nothing: no length recorded */
	TOEND,	  /* receive until end of file or an error: no length recorded */
	TAKEFILL, /* receive as much as the other end's FILL has sent */

	SHUT, /* SHUT_RD, SHUT_WR, SHUT_RDWR */
	CLOSE,
	LINGER, /* seconds, or -1: off */
	EXIT,	/* the process of this end exits */
	KILL,	/* and by SIGKILL */

	POLL, /* events, milliseconds */
	PPOLL,
	SELECT, /* POLLIN | POLLOUT | POLLPRI as the three sets, ms */
	PSELECT,
	EPADD, /* events, number of the epoll instance */
	EPMOD,
	EPDEL,	 /* -, number */
	EPWAIT,	 /* milliseconds, number */
	EPCLOSE, /* -, number */
	EPNEST,	 /* events, number of the inner one: put into instance 3 */

	NONBLOCK, /* 1 or 0, by fcntl */
	FIONBIO_, /* 1 or 0, by ioctl */
	SETOPT,	  /* level, name, value */
	GETOPT,	  /* level, name */
	SOERROR,
	RCVTIMEO, /* ms */
	SNDTIMEO,
	UNREAD, /* FIONREAD; waits until there are that many */
	OUTQ,	/* SIOCOUTQ; waits for 0 */
	ATMARK,

	DUP,  /* a second descriptor, which later steps use after SWAP */
	DUPC, /* F_DUPFD_CLOEXEC */
	DUP3, /* onto a pipe's descriptor */
	SWAP,
	CLOSE2,
	OPS
};

struct step {
	enum who who;
	enum op op;
	long x, y, z;
	const char
		*either; /* results that TCP allows, "1|EPIPE SIGPIPE": it does not matter which */
	/*
	 * One more that it allows, and shows in no plain run here. It may show under SCILAN_CHAOS alone: a change of lane
	 * is new room, as TCP has it at any time (the receiver's buffer grows).
	 */
	const char *chaos;
};

struct result {
	long ret; /* as the call, or -errno */
	int32_t sigpipe;
	char note[100]; /* more that was seen */
};

struct end {
	char name;	    /* 'A', 'B' */
	int fd, fd2;	    /* -1: not here */
	int ctl;	    /* the agent's control socket, or -1: this end is local */
	int pid;	    /* the agent's */
	int dir;	    /* which pattern it sends */
	uint64_t sent, got; /* places in the patterns */
	uint64_t filled;    /* bytes that FILL has sent so far and TAKEFILL has not taken */
	int ep[4];
	bool bg;
	struct step bg_step;
	struct result bg_result;
	pthread_t thread;
};

struct pair {
	struct end a, b;
	enum kind kind;
	uint16_t port;
};

struct conform_case {
	const char *name;
	unsigned kinds; /* 0: without a pair, run once */
	const struct step *steps;
	void (*fn)(struct pair *p);
};

#define STEPS(...) ((const struct step[]){__VA_ARGS__, {A, END, 0, 0, 0, 0}})

extern const struct conform_case data_cases[], end_cases[], poll_cases[], epoll_cases[],
	opt_cases[], name_cases[], fd_cases[], proc_cases[], thread_cases[], signal_cases[];

/* --- record.c --- */

/** rec() - one line of the record */
void rec(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** rec_ret() - one line "WHAT = value": @ret as the call returned it, or -errno */
void rec_ret(const char *what, long ret);

/** rec_sys() - the same for a call that has just set errno; returns @ret */
long rec_sys(const char *what, long ret);

/** events_text() - "IN|RDHUP" */
const char *events_text(uint32_t ev, char buf[80]);
const char *err_text(long ret, char buf[40]);

/* --- pattern --- */

void pattern_fill(void *buf, size_t len, int dir, uint64_t pos);
bool pattern_is(const void *buf, size_t len, int dir, uint64_t pos);

/* --- ends --- */

/** do_step() - take a step on an end, local or not; the result is not recorded */
struct result do_step(struct pair *p, enum who who, enum op op, long x, long y, long z);

/** take() - take a step and record it; returns what the call returned */
long take(struct pair *p, enum who who, enum op op, long x, long y, long z);
long take_step(struct pair *p, const struct step *s);

void pair_open(struct pair *p, enum kind kind);
void pair_warm(struct pair *p);
void pair_close(struct pair *p);

/** warm_fds() - the same for two descriptors of this process */
void warm_fds(int x, int y);

/** step_local() - what an agent does */
void step_local(struct end *e, const struct step *s, struct result *r);

int agent_main(int ctl, uint16_t port);

/** child_main() - what the program does when a case executes it: `conform --child WHAT ...`
 * (processes.c) */
int child_main(char **argv);

/** listen_on() - a listener on a loopback port; @port out */
int listen_on(uint16_t *port);
int connect_to_port(uint16_t port);
/** pair_fds() - two connected descriptors */
void pair_fds(int fd[2]);

/** lanes() - bit 0: @fd sends over memory, bit 1: receives; -1: this program is not under scilan */
int lanes(int fd);

/** on() - put a handler in place; on_signal() counts in caught */
extern volatile sig_atomic_t caught;
void on_signal(int sig);
void on(int sig, void (*handler)(int), int flags);
void sigpipe_catch(void);
int sigpipe_count(void); /* of this thread, since the last look */
void pause_ms(long ms);
long now_ms(void);

#endif
