/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench.h - scilan bench: how its files fit together
 *
 * A *part* (bench_parts.c and its neighbours) runs ordinary programs, the *drivers* of bench/, two
 * *ends* at a time (bench_end.c), and gives each measured value to the *document*
 * (bench_doc.c): a JSON object that holds the machine, the settings and every figure. Tables, the
 * page and the targets are made from the document alone, so that they can also be made of one
 * that was stored earlier (--from).
 *
 * A *variant* is what the same two programs talk over: TCP, Unix sockets, pipes, scilan. Runs of
 * the variants follow each other (A B C, A B C, ...), so that what else the machine does hits all
 * alike.
 *
 * A figure has an id, "part/variant/where/how/x"; what does not apply is left out from the right.
 */
#ifndef SL_BENCH_H
#define SL_BENCH_H

#include <jansson.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define SL_BENCH_ID	64
#define SL_BENCH_FORMAT 1 /* of the document */

enum sl_bench_via { SL_BENCH_TCP, SL_BENCH_UNIX, SL_BENCH_PIPE };

struct sl_bench_variant {
	const char *name;  /* in ids */
	const char *title; /* for people */
	enum sl_bench_via via;
	const char *wait;    /* of `pingpong --wait`; NULL: as the part says */
	bool scilan;	     /* both ends preloaded */
	bool sockmap;	     /* the kernel passes data from socket to socket */
	const char *promote; /* SCILAN_PROMOTE; NULL: as the user says */
};

extern const struct sl_bench_variant sl_bench_tcp, sl_bench_spin, sl_bench_unix, sl_bench_pipe,
	sl_bench_sockmap_v, sl_bench_scilan, sl_bench_eager;

/* Where the two ends run. */
enum sl_bench_where { SL_BENCH_ONE, SL_BENCH_TWO, SL_BENCH_FREE };
extern const char *const sl_bench_where_names[]; /* in ids: one, two, free */
extern const char *const sl_bench_where_titles[];

struct sl_bench {
	/* what was asked for */
	bool quick, control, no_netns;
	double seconds; /* of a run; 0: each part's own */
	int rounds;	/* 0: each part's own */
	unsigned parts; /* bits */
	const char *json, *html, *from;

	/* what there is */
	char lib[PATH_MAX], drivers[PATH_MAX], tmp[64];
	int cpu[2], cpus; /* the pair that ends are pinned to; usable CPUs */
	bool own_net;
	bool sockmap; /* may be used */
	pid_t broker;
	uid_t as_uid; /* spawn as this user; 0: as ourselves */
	gid_t as_gid;
	long syscall_event; /* id of raw_syscalls:sys_enter for perf; -1: may not */
	char why[256];	    /* the last failure, in words */

	/* what came of it */
	json_t *doc;
	unsigned failures;

	/* progress */
	const char *part;
	unsigned done, all; /* runs of this part */
	uint64_t start_ns;
};

/* --- bench_sys.c: the machine, the network, CPUs, tools */
uint64_t sl_bench_now_ns(void);
int sl_bench_setup(struct sl_bench *b); /* 0, or an exit status after one line on stderr */
void sl_bench_teardown(struct sl_bench *b);
json_t *sl_bench_machine(void);
/* Run ip, tc, ...: its exit status; -1 it is not there. */
int sl_bench_tool(struct sl_bench *b, const char *const argv[]);

/* --- bench_end.c: one running program */
struct sl_bench_end {
	pid_t pid;
	int in, out, err; /* our ends of its standard streams; err: a file */
	char line[8192];
	size_t len;
};

struct sl_bench_args {
	const char *argv[40];
	int argc;
	char text[1024]; /* of those that are made */
	size_t used;
};

void sl_bench_arg(struct sl_bench_args *a, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * sl_bench_spawn() - start a program that ends with us
 * @v:	 scilan: it gets the preload library; NULL: plain
 * @net: a network namespace to start it in, or -1
 * Return: 0, or -errno with b->why set.
 */
int sl_bench_spawn(struct sl_bench *b, struct sl_bench_end *e, const struct sl_bench_variant *v,
		   int net, const struct sl_bench_args *a);

/* The next line of its output as JSON; NULL with b->why set: it ended, or said nothing in time. */
json_t *sl_bench_read(struct sl_bench *b, struct sl_bench_end *e, double seconds);
void sl_bench_go(struct sl_bench_end *e); /* a line to its standard input */
/* All that a program writes to standard output until its end (free() it); NULL with b->why set. */
char *sl_bench_output(struct sl_bench *b, const struct sl_bench_variant *v,
		      const struct sl_bench_args *a, double seconds);
/* Let it end by itself within @seconds, else kill it. Negative: ask it by SIGTERM first. */
void sl_bench_end(struct sl_bench_end *e, double seconds);

/* --- bench_count.c: what a process has done so far */
struct sl_bench_count {
	double cpu_s;
	uint64_t sleeps; /* times that a thread of it gave up its CPU to wait */
	/* from its status page; 0 without scilan */
	uint64_t bells, bytes_memory, bytes_tcp;
	unsigned conns, conns_memory; /* connections; with both directions in memory now */
	char reason[96];	      /* why a connection is on TCP, if one is */
};

void sl_bench_count(pid_t pid, bool scilan, struct sl_bench_count *c);
/* Count the system calls of a process from now on; NULL: not possible. */
struct sl_bench_calls *sl_bench_calls_begin(struct sl_bench *b, pid_t pid);
double sl_bench_calls_end(struct sl_bench_calls *c);	  /* NAN: not counted */
void sl_bench_calls_look(struct sl_bench *b);		  /* sets b->syscall_event */
const char *sl_bench_calls_how(const struct sl_bench *b); /* in words */

/* --- bench_sockmap.c: the variant sockmap */
struct sl_bench_sockmap;
bool sl_bench_sockmap_works(void);
/* Join the connected sockets of two processes; NULL with b->why set. */
struct sl_bench_sockmap *sl_bench_sockmap_join(struct sl_bench *b, pid_t server, pid_t client);
void sl_bench_sockmap_leave(struct sl_bench_sockmap *m);

/* --- bench_pair.c: two ends and what they measure */
struct sl_bench_run {
	const struct sl_bench_variant *v;
	enum sl_bench_where where;
	const char *wait; /* blocking, epoll, spin */
	uint64_t size, gap_us, threads, rate;
	double seconds;
	int net;	    /* of the server, or -1 */
	const char *server; /* its IP address; NULL: 127.0.0.1 */
	bool load;	    /* open loop at @rate */
	bool calls;	    /* count system calls, and believe no times */
	bool crowded;
};

/* Each returns an object of metrics, or NULL with b->why set. */
json_t *sl_bench_pingpong(struct sl_bench *b, const struct sl_bench_run *r);
json_t *sl_bench_stream(struct sl_bench *b, const struct sl_bench_run *r);
json_t *sl_bench_conns(struct sl_bench *b, const struct sl_bench_run *r, int messages);
json_t *sl_bench_idle(struct sl_bench *b, const struct sl_bench_run *r, int connections);
json_t *sl_bench_pairs(struct sl_bench *b, const struct sl_bench_run *r, int pairs);

/* --- bench_parts.c, bench_more.c */
struct sl_bench_part {
	const char *name;
	const char *title; /* of its table */
	const char *what;  /* for --help */
	void (*run)(struct sl_bench *b);
	bool asked_only; /* runs only when named */
};

extern const struct sl_bench_part sl_bench_part_list[];
extern const size_t sl_bench_part_count;

void sl_bench_part_links(struct sl_bench *b);
void sl_bench_part_programs(struct sl_bench *b);

/* --- progress, on standard error (bench.c) */
void sl_bench_expect(struct sl_bench *b, unsigned runs);
void sl_bench_step(struct sl_bench *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sl_bench_quiet(struct sl_bench *b); /* nothing stands on the terminal's line */

/* --- bench_doc.c: the document */
json_t *sl_bench_doc_new(void);
/**
 * sl_bench_add() - one more run of a figure
 * @run: its metrics (taken over); NULL: it failed, for b->why
 */
void sl_bench_add(struct sl_bench *b, json_t *run, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void sl_bench_skip(struct sl_bench *b, const char *part, const char *why);
/* Put medians over the runs into every figure. */
void sl_bench_medians(json_t *doc);
const json_t *sl_bench_figure(const json_t *doc, const char *id);
/* The median of a metric of a figure; NAN: none. The machine's own limits are figure "limits". */
double sl_bench_value(const json_t *doc, const char *metric, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The x of all figures whose ids begin with "@prefix/", in rising order; their count. */
size_t sl_bench_xs(const json_t *doc, const char *prefix, double *x, size_t max);
int sl_bench_doc_check(const json_t *doc, char *why, size_t len);

/* --- bench_targets.c: puts "targets" and "headlines" into the document */
void sl_bench_targets(json_t *doc);

/* --- rendering: of the document alone */
void sl_bench_text(const json_t *doc, const char *part, FILE *out); /* the table of a part */
void sl_bench_text_head(const json_t *doc, FILE *out);
void sl_bench_text_targets(const json_t *doc, FILE *out);
void sl_bench_html(const json_t *doc, FILE *out);
void sl_bench_plots(const json_t *doc, FILE *out); /* of the page */

/* bench_fmt.c: "64 B", "1 MiB"; "0.49 µs"; "159x"; "1.9 M" */
const char *sl_bench_size(double bytes, char s[24]);
const char *sl_bench_time(double us, char s[24]);
const char *sl_bench_times(double ratio, char s[24]);
const char *sl_bench_number(double v, char s[24]);
const char *sl_bench_tick(double v, char s[24]); /* a round number: "1 k", "200" */
const char *sl_bench_title(const char *variant); /* "tcp-spin" → "TCP, both spinning" */
const char *sl_bench_short(const char *variant); /* → "TCP spinning" */

#endif
