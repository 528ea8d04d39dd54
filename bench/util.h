/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * util.h - what the drivers share: time, pinning, sockets, numbers on the command line
 *
 * The drivers are ordinary socket programs: nothing here knows scilan, which is put under them
 * from outside. They end with one JSON line on standard output; failure is one line on standard
 * error and exit status 1, wrong usage 2.
 */
#ifndef BENCH_UTIL_H
#define BENCH_UTIL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define USEC_NS 1000ull
#define SEC_NS	1000000000ull

void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn)); /* + errno */

uint64_t now_ns(void);
uint64_t cpu_ns(void); /* user + system time of this process */
void sleep_ns(uint64_t ns);

/* pin() - run this thread on one CPU; -1: anywhere */
void pin(int cpu);

enum bench_opt_kind {
	OPT_SIZE,    /* uint64_t: "64", "16k", "1M" */
	OPT_SECONDS, /* uint64_t, nanoseconds: "0.5" */
	OPT_USEC,    /* uint64_t, nanoseconds: "50" */
	OPT_TEXT,    /* const char * */
	OPT_FLAG,    /* int, no argument */
	OPT_CPU,     /* int; see pin() */
};

struct bench_opt {
	const char *name; /* without the two dashes */
	enum bench_opt_kind kind;
	void *to;
};

/**
 * bench_options() - read the options, which may stand anywhere
 * @opts: ends with a name of NULL; --help is always there
 * Return: the arguments that are no options are moved to argv[1...]; their count. Wrong usage
 *	   leaves the program with @help and exit status 2.
 */
int bench_options(int argc, char **argv, const struct bench_opt *opts, const char *help);

/* The main() of the drivers with two ends: "server|client ADDRESS [OPTIONS]". */
int bench_main(int argc, char **argv, const struct bench_opt *opts, const char *help,
	       void (*server)(const char *address), void (*client)(const char *address));

/**
 * hold() - let whoever started us look at us as we are
 * @on: what --hold says; 0: only what was printed goes out
 *
 * Waits for a line, or the end, of standard input.
 */
void hold(int on);

/*
 * The two ends of a stream, whatever it runs over. An address is "[IP:]PORT" for TCP (PORT 0:
 * the kernel chooses), "unix[:NAME]" (abstract; without a name the kernel finds one), or
 * "pipe:PATH": two FIFOs, PATH.up towards the server and PATH.down back.
 */
enum via { VIA_TCP, VIA_UNIX, VIA_PIPE };

struct end {
	enum via via;
	int in, out; /* one and the same for sockets */
};

/**
 * end_listen() - be ready for clients, and print {"address": ...} as the first line of output
 * @cc: congestion control to ask for; "": the machine's default. Connections that do not get it
 *	say so once, on standard error.
 *
 * Return: the descriptor of the listening socket; -1: pipes, which have none.
 */
int end_listen(const char *address, const char *cc);
struct end end_accept(int lfd, const char *address);	     /* with TCP_NODELAY */
struct end end_connect(const char *address, const char *cc); /* with TCP_NODELAY */

/* The congestion control in force, in static memory; "" where there is none. */
const char *end_congestion(const struct end *e);

void end_nonblock(const struct end *e);
ssize_t end_send(const struct end *e, const void *buf, size_t len); /* one call */
ssize_t end_recv(const struct end *e, void *buf, size_t len);	    /* one call */

/*
 * Whole buffers; end_recv_all() needs a blocking end, and returns less than @len only at the end of
 * the stream. end_send_all() to a non-blocking one spins.
 */
void end_send_all(const struct end *e, const void *buf, size_t len);
size_t end_recv_all(const struct end *e, void *buf, size_t len);

/*
 * After a failed end_recv() of a blocking end: is it to be called again? --again sets end_again, for
 * EAGAIN. That is an error of whoever says so; an eBPF sockmap does when it was woken for nothing.
 */
extern int end_again;
int end_once_more(void);

void end_finish(const struct end *e); /* nothing more will be sent */
void end_close(const struct end *e);

#endif
