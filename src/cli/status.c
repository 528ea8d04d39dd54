/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "log.h"
#include "view.h"

static const char help[] =
	"usage: scilan status [--json] [--pid PID] [--verbose]\n"
	"\n"
	"Shows the TCP connections of the programs that were started with 'scilan run': a line "
	"for\n"
	"each connection and process, with the lane (memory or tcp) that each direction uses now, "
	"and for\n"
	"what is not in memory the reason. Of other users' programs only root sees something.\n"
	"\n"
	"  --json     for programs: {\"connections\": [...], \"programs\": [...]}, see "
	"scilan-status(1)\n"
	"  --pid PID  only this process\n"
	"  --verbose  say how many processes could not be looked at\n"
	"  --help     print this\n"
	"\n"
	"columns:\n"
	"  PROGRAM PID FD      who holds the connection, and on which descriptor\n"
	"  LOCAL PEER          its addresses\n"
	"  TX RX               the lane for sending and for receiving\n"
	"  TX-BYTES RX-BYTES   bytes so far, through memory / through TCP\n"
	"  MSGS BELLS SLEEPS   sending / receiving: calls that moved bytes; wake-ups sent to the "
	"peer /\n"
	"                      received; times that a thread went to sleep in the kernel\n"
	"  REASON              why it is not in memory both ways; what the peer says about itself\n"
	"\n"
	"exit status: 0; 1 no such process, or /proc cannot be read; 2 wrong usage\n";

struct opts {
	bool json, verbose;
	pid_t pid;
};

static int parse_pid(const char *s, pid_t *pid)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(s, &end, 10);
	if (errno || end == s || *end || v <= 0 || v > INT_MAX)
		return -EINVAL;
	*pid = (pid_t)v;
	return 0;
}

static int status(const struct opts *o)
{
	struct sl_view v;
	int rc;

	if (o->pid && kill(o->pid, 0) && errno == ESRCH) {
		sl_log("status: no process %d", (int)o->pid);
		return 1;
	}
	rc = sl_view_scan(&v);
	if (!rc && o->json)
		rc = sl_view_json(&v, o->pid);
	else if (!rc)
		sl_view_show(&v, o->pid);
	if (rc) {
		sl_log("status: %s", strerror(-rc));
	} else if (o->verbose) {
		if (v.denied)
			sl_log("status: %u processes could not be looked at (other users')",
			       v.denied);
		if (v.strange)
			sl_log("status: %u processes run another version of scilan", v.strange);
	}
	sl_view_free(&v);
	return rc ? 1 : 0;
}

int sl_cmd_status(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"pid", required_argument, NULL, 'p'},
		{"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct opts o = {0};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:vh", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			o.json = true;
			break;
		case 'p':
			if (parse_pid(optarg, &o.pid))
				return sl_cli_wrong("status: --pid %s: expected a process id",
						    optarg);
			break;
		case 'v':
			o.verbose = true;
			break;
		case 'h':
			(void)fputs(help, stdout);
			return 0;
		default:
			return sl_cli_bad_option("status", c, argv);
		}
	}
	if (optind < argc)
		return sl_cli_wrong("status: unexpected argument '%s'", argv[optind]);
	return status(&o);
}
