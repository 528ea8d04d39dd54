/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run.c - scilan run: set the environment, make sure of a broker, exec
 *
 * Nothing of this program stays: the program runs under the same pid, with the same terminal, and
 * its exit status and signals are its own.
 */
#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli.h"
#include "env.h"
#include "log.h"
#include "page.h"
#include "preload.h"
#include "prog.h"
#include "start.h"

static const char help[] =
	"usage: scilan run [OPTIONS] [--] PROGRAM [ARGS]\n"
	"\n"
	"Runs an unmodified program so that its TCP connections to other programs on this machine "
	"that\n"
	"run under scilan, too, pass their data through shared memory. All other connections are "
	"as\n"
	"always. 'scilan status' shows what each connection does, and why.\n"
	"\n"
	"  --promote eager|auto|off|N\n"
	"                when a connection is worth it: at once; after 4 calls or 64 KiB (auto, "
	"the\n"
	"                default); never; after N calls                          [SCILAN_PROMOTE]\n"
	"  --ring SIZE   bytes of memory for each direction of a connection, a power of two from\n"
	"                16K to 64M (default 256K; the larger wish of the two ends) [SCILAN_RING]\n"
	"  --spin USEC|auto\n"
	"                how long a waiting thread looks before it sleeps: fixed, 0 for not at "
	"all,\n"
	"                or adapted to what it finds, up to 50 (auto, the default)  [SCILAN_SPIN]\n"
	"  --spin-cpu PERCENT\n"
	"                of a CPU's time that a process may spend looking in vain, 100: no bound\n"
	"                (20)                                                   [SCILAN_SPIN_CPU]\n"
	"  --verbose     one line at the start, and one for each connection that stays on TCP\n"
	"                                                                        [SCILAN_VERBOSE]\n"
	"  --help        print this\n"
	"\n"
	"Each option sets the environment variable beside it for the program and its children.\n"
	"A program in which the library cannot work (statically linked, Go, set-id) runs as it "
	"is,\n"
	"and its children may still be served.\n"
	"\n"
	"environment:\n"
	"  SCILAN_LIB     the library to preload, instead of the installed one\n"
	"  SCILAN_BROKER  the abstract socket name of a broker, instead of the usual two\n"
	"\n"
	"exit status: the program's; 1 the library was not found; 2 wrong usage; 126 the program\n"
	"             cannot be executed; 127 it was not found\n";

struct opts {
	struct sl_env env;
	const char *promote, *ring, *spin; /* as given, for people */
};

static int set(const char *var, const char *value, const char **given)
{
	*given = value;
	return setenv(var, value, 1) ? -ENOMEM : 0;
}

static int set_option(struct opts *o, int c, const char *arg)
{
	switch (c) {
	case 'p':
		if (sl_env_parse_promote(arg, &o->env))
			return sl_cli_wrong("run: --promote %s: expected eager, auto, off or a "
					    "number of calls",
					    arg);
		return set("SCILAN_PROMOTE", arg, &o->promote);
	case 'r':
		if (sl_env_parse_ring(arg, &o->env))
			return sl_cli_wrong("run: --ring %s: expected a power of two from 16K to "
					    "64M",
					    arg);
		return set("SCILAN_RING", arg, &o->ring);
	case 's':
		if (sl_env_parse_spin(arg, &o->env))
			return sl_cli_wrong("run: --spin %s: expected auto or microseconds up to "
					    "1000000",
					    arg);
		return set("SCILAN_SPIN", arg, &o->spin);
	case 'c':
		if (sl_env_parse_spin_cpu(arg, &o->env))
			return sl_cli_wrong("run: --spin-cpu %s: expected a number of percent up to "
					    "100",
					    arg);
		return setenv("SCILAN_SPIN_CPU", arg, 1) ? -ENOMEM : 0;
	default:
		o->env.verbose = true;
		return setenv("SCILAN_VERBOSE", "1", 1) ? -ENOMEM : 0;
	}
}

static const char *get(const char *var, const char *otherwise)
{
	const char *s = getenv(var);

	return s && *s ? s : otherwise;
}

/* What the environment says, before the options. The library reads the same, and complains. */
static void from_env(struct opts *o)
{
	o->env = sl_env;
	o->promote = get("SCILAN_PROMOTE", "auto");
	o->ring = get("SCILAN_RING", "256K");
	o->spin = get("SCILAN_SPIN", "auto");
	o->env.verbose = strcmp(get("SCILAN_VERBOSE", "0"), "0") != 0;
	(void)sl_env_parse_promote(o->promote, &o->env);
}

/* Return: where the broker is, in words. Without one the program runs all the same, over TCP. */
static const char *ready_broker(const struct opts *o, char *text, size_t len)
{
	struct sl_addr a = {.len = offsetof(struct sockaddr_un, sun_path)};
	int rc;

	if (o->env.promote_calls == SL_PROMOTE_OFF)
		return "not needed";
	rc = sl_start_broker(&a);
	(void)sl_addr_text(&a, text, len);
	if (rc == 0)
		return text;
	if (rc == -ENAMETOOLONG)
		sl_log("SCILAN_BROKER is too long for a socket name; connections stay on TCP");
	else if (rc == -EPERM)
		sl_log("the broker at %s runs as another user, and not as root; connections stay "
		       "on TCP",
		       text);
	else if (rc == -EPROTONOSUPPORT)
		sl_log("the broker at %s speaks another version; connections stay on TCP", text);
	else if (rc == -EPROTOTYPE)
		sl_log("what listens at %s is not a broker; connections stay on TCP", text);
	else
		sl_log("no broker answers (%s); connections stay on TCP", strerror(-rc));
	return "none";
}

/* A status page for a program that the library cannot give one, and the one line of --verbose. */
static void announce(const struct opts *o, const char *name, const struct sl_prog *prog)
{
	char text[sizeof(struct sockaddr_un) + 1];
	const char *broker = ready_broker(o, text, sizeof(text));
	int rc;

	if (prog->why != SL_WHY_NONE) {
		rc = sl_page_leave(name, prog->why);
		if (rc && o->env.verbose)
			sl_log("%s: no status page: %s", name, strerror(-rc));
	}
	if (!o->env.verbose)
		return;
	if (prog->other_libc)
		sl_log("%s: %s is made for another C library; it stays on TCP", name, prog->binary);
	else if (prog->why != SL_WHY_NONE)
		sl_log("%s: %s; it stays on TCP, its children may be served", name,
		       sl_reason_text(prog->why));
	else
		sl_log("%s: TCP connections to programs under scilan on this host; broker %s, "
		       "promote %s, ring %s, spin %s",
		       name, broker, o->promote, o->ring, o->spin);
}

static int cannot_run(const char *name, int rc)
{
	sl_log("%s: %s", name, strerror(-rc));
	return rc == -ENOENT || rc == -ENOTDIR ? SL_EXIT_NOT_FOUND : SL_EXIT_CANNOT_EXEC;
}

static int run(const struct opts *o, char **argv)
{
	char lib[PATH_MAX], path[PATH_MAX];
	struct sl_prog prog;
	int rc;

	rc = sl_preload_find(lib);
	if (rc == -EINVAL)
		sl_log("%s: a path with a space or a colon cannot be preloaded", lib);
	else if (rc)
		sl_log("%s not found beside this program or in its library directory; set "
		       "SCILAN_LIB",
		       SL_LIB_NAME);
	if (rc)
		return 1;
	rc = sl_prog_find(argv[0], path);
	if (rc)
		return cannot_run(argv[0], rc);
	sl_prog_inspect(path, &prog);
	/* Another C library's loader would refuse to start the program. */
	rc = prog.other_libc ? sl_preload_unset() : sl_preload_set(lib);
	if (rc)
		return cannot_run(argv[0], rc);
	announce(o, argv[0], &prog);
	(void)execvp(argv[0], argv);
	return cannot_run(argv[0], -errno);
}

int sl_cmd_run(int argc, char **argv)
{
	static const struct option options[] = {
		{"promote", required_argument, NULL, 'p'}, {"ring", required_argument, NULL, 'r'},
		{"spin", required_argument, NULL, 's'},	   {"verbose", no_argument, NULL, 'v'},
		{"spin-cpu", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},	   {NULL, 0, NULL, 0},
	};
	struct opts o;
	int c, rc;

	from_env(&o);
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:vh", options, NULL)) != -1) {
		if (c == 'h') {
			(void)fputs(help, stdout);
			return 0;
		}
		if (c == '?' || c == ':')
			return sl_cli_bad_option("run", c, argv);
		rc = set_option(&o, c, optarg);
		if (rc)
			return rc < 0 ? 1 : rc;
	}
	if (optind >= argc)
		return sl_cli_wrong("run: no program given");
	return run(&o, argv + optind);
}
