/* SPDX-License-Identifier: BSD-2-Clause */
/* cli.h - the scilan program: its subcommands, and what they share */
#ifndef SL_CLI_H
#define SL_CLI_H

#define SL_EXIT_USAGE	    2
#define SL_EXIT_CANNOT_EXEC 126
#define SL_EXIT_NOT_FOUND   127

/*
 * A subcommand: argv[0] is its own name, the rest its options. Returns the exit status.
 * A new one is a file, a line here, and a line in the table in main.c.
 */
int sl_cmd_run(int argc, char **argv);
int sl_cmd_status(int argc, char **argv);
int sl_cmd_broker(int argc, char **argv);
int sl_cmd_bench(int argc, char **argv);
int sl_cmd_version(int argc, char **argv);

/**
 * sl_cli_wrong() - one line about wrong usage on standard error
 *
 * Return: SL_EXIT_USAGE.
 */
int sl_cli_wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/**
 * sl_cli_bad_option() - sl_cli_wrong() for what getopt_long() has just refused
 * @cmd: the subcommand
 * @c:	 what it returned: '?' or ':' (with a leading ':' in its option string)
 */
int sl_cli_bad_option(const char *cmd, int c, char **argv);

#endif
