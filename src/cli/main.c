/* SPDX-License-Identifier: BSD-2-Clause */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "cli.h"
#include "common.h"
#include "log.h"

static int cmd_help(int argc, char **argv);

static const struct cmd {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
} cmds[] = {
	{"run", sl_cmd_run, "run a program with its local TCP connections in shared memory"},
	{"status", sl_cmd_status, "show each connection, its lanes, and why it is on TCP"},
	{"broker", sl_cmd_broker, "run the broker in the foreground (run starts one by itself)"},
	{"bench", sl_cmd_bench, "measure this machine: TCP, Unix sockets, pipes and scilan"},
	{"version", sl_cmd_version, "print the version"},
	{"help", cmd_help, "print this, or the help of a subcommand"},
};

int sl_cli_wrong(const char *fmt, ...)
{
	char line[384];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	sl_log("%s; see 'scilan help'", line);
	return SL_EXIT_USAGE;
}

int sl_cli_bad_option(const char *cmd, int c, char **argv)
{
	const char *arg = argv[optind - 1];

	if (c == ':')
		return sl_cli_wrong("%s: option '%s' needs a value", cmd, arg);
	if (optopt && strncmp(arg, "--", 2) != 0)
		return sl_cli_wrong("%s: unknown option '-%c'", cmd, optopt);
	if (optopt)
		return sl_cli_wrong("%s: option '%s' takes no value", cmd, arg);
	return sl_cli_wrong("%s: unknown option '%s'", cmd, arg);
}

static const struct cmd *find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		if (!strcmp(cmds[i].name, name))
			return &cmds[i];
	}
	return NULL;
}

static int cmd_help(int argc, char **argv)
{
	char help_opt[] = "--help";
	const struct cmd *cmd;
	char *args[3] = {NULL, help_opt, NULL};
	size_t i;

	if (argc > 1 && argv[1][0] != '-') {
		cmd = find(argv[1]);
		if (!cmd)
			return sl_cli_wrong("unknown command '%s'", argv[1]);
		if (cmd->run != cmd_help) {
			args[0] = argv[1];
			return cmd->run(2, args);
		}
	}
	printf("usage: scilan COMMAND [OPTIONS]\n\n"
	       "Local TCP connections of unmodified programs through shared memory.\n\n");
	for (i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++)
		printf("  %-8s  %s\n", cmds[i].name, cmds[i].what);
	printf("\n'scilan COMMAND --help' tells more about a command.\n"
	       "Start with: scilan run -- PROGRAM ARGS, on both ends; then: scilan status\n");
	return 0;
}

int sl_cmd_version(int argc, char **argv)
{
	(void)argv;
	if (argc > 1 && strcmp(argv[1], "--help") != 0)
		return sl_cli_wrong("version: takes no arguments");
	printf("scilan %s\n", SL_VERSION);
	return 0;
}

int main(int argc, char **argv)
{
	const struct cmd *cmd;

	if (argc < 2)
		return sl_cli_wrong("no command");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return cmd_help(1, argv);
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		return sl_cmd_version(1, argv);
	cmd = find(argv[1]);
	if (!cmd)
		return sl_cli_wrong("unknown command '%s'", argv[1]);
	return cmd->run(argc - 1, argv + 1);
}
