/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "addr.h"
#include "broker.h"
#include "cli.h"
#include "log.h"
#include "msg.h"

static const char help[] =
	"usage: scilan broker [--system] [--idle SECONDS] [--verbose]\n"
	"\n"
	"Runs the broker in the foreground, until SIGTERM or SIGINT. It gives two programs that "
	"hold the two\n"
	"ends of one TCP connection the memory that they share; no data passes through it, and\n"
	"connections that are in memory go on without it. 'scilan run' starts one for the user\n"
	"when none answers, so that this command is for service managers and for looking.\n"
	"\n"
	"  --system        serve all users, at " SL_BROKER_SYSTEM " (as root)\n"
	"  --idle SECONDS  leave after so long without clients; 0: never\n"
	"                  (default: 30 for a user's broker, never with --system)\n"
	"  --verbose       say where it listens, which clients it pairs, which it drops and why\n"
	"  --help          print this\n"
	"\n"
	"environment:\n"
	"  SCILAN_BROKER   an abstract socket name to listen at instead of the usual address\n"
	"\n"
	"exit status: 0 asked to leave, or idle; 1 a broker runs there already, or cannot listen;\n"
	"             2 wrong usage\n";

static int parse_idle(const char *s, int *idle_s)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(s, &end, 10);
	if (errno || end == s || *end || v < 0 || v > INT_MAX)
		return -EINVAL;
	*idle_s = (int)v;
	return 0;
}

static int failed(const struct sl_broker_opts *opts, int rc)
{
	char text[sizeof(struct sockaddr_un) + 1] = "";
	struct sl_addr a;

	if (sl_addr_own(&a, opts->system) == 0)
		(void)sl_addr_text(&a, text, sizeof(text));
	if (rc == -EADDRINUSE)
		sl_log("broker: already running at %s", text);
	else
		sl_log("broker: %s: %s", text, strerror(-rc));
	return 1;
}

int sl_cmd_broker(int argc, char **argv)
{
	static const struct option options[] = {
		{"system", no_argument, NULL, 's'},
		{"idle", required_argument, NULL, 'i'},
		{"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct sl_broker_opts opts = {.idle_s = SL_BROKER_IDLE_DEF};
	int c, rc;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:vh", options, NULL)) != -1) {
		switch (c) {
		case 's':
			opts.system = true;
			break;
		case 'i':
			if (parse_idle(optarg, &opts.idle_s))
				return sl_cli_wrong("broker: --idle %s: expected seconds", optarg);
			break;
		case 'v':
			opts.verbose = true;
			break;
		case 'h':
			(void)fputs(help, stdout);
			return 0;
		default:
			return sl_cli_bad_option("broker", c, argv);
		}
	}
	if (optind < argc)
		return sl_cli_wrong("broker: unexpected argument '%s'", argv[optind]);
	rc = sl_broker_run(&opts);
	return rc ? failed(&opts, rc) : 0;
}
