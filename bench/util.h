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

#define USEC_NS 1000ull
#define SEC_NS	1000000000ull

struct sockaddr_in;

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

/* The main() of the drivers with two ends: "server|client PORT [OPTIONS]". */
int bench_main(int argc, char **argv, const struct bench_opt *opts, const char *help,
	       void (*server)(uint16_t port), void (*client)(uint16_t port));

/**
 * tcp_listen() - listen on 127.0.0.1
 * @port: 0: the kernel chooses; the port is printed as {"port": N}, the first line of output
 * @cc:	  congestion control to ask for; "": the machine's default. Connections that do not get
 *	  it say so once, on standard error.
 */
int tcp_listen(uint16_t port, const char *cc);
int tcp_accept(int lfd);			      /* with TCP_NODELAY */
int tcp_connect(uint16_t port, const char *cc);	      /* with TCP_NODELAY */
void tcp_addr(struct sockaddr_in *sa, uint16_t port); /* 127.0.0.1:port */

/* The congestion control in force, in static memory. */
const char *tcp_congestion(int fd);

void set_nonblock(int fd);

/* Whole buffers on blocking sockets; recv_all() returns less than @len only at the end. */
void send_all(int fd, const void *buf, size_t len);
size_t recv_all(int fd, void *buf, size_t len);

#endif
