/* SPDX-License-Identifier: BSD-2-Clause */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "elf_look.h"
#include "prog.h"

#define INTERP_DEPTH 5	 /* as in the kernel: scripts whose interpreters are scripts */
#define LINE_LEN     256 /* what the kernel reads of a script's first line */

static int check_file(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return errno == EACCES ? -EACCES : -ENOENT;
	if (!S_ISREG(st.st_mode) || access(path, X_OK))
		return -EACCES;
	return 0;
}

int sl_prog_find(const char *name, char path[PATH_MAX])
{
	const char *dirs = getenv("PATH"), *dir;
	int n, rc, found = -ENOENT;
	size_t len;

	if (strlen(name) >= PATH_MAX)
		return -ENAMETOOLONG;
	if (strchr(name, '/')) {
		(void)snprintf(path, PATH_MAX, "%s", name);
		return check_file(path);
	}
	if (!*name)
		return -ENOENT;
	if (!dirs)
		dirs = "/bin:/usr/bin";
	for (dir = dirs;; dir += len + 1) {
		len = strcspn(dir, ":");
		n = snprintf(path, PATH_MAX, "%.*s%s%s", (int)len, dir, len ? "/" : "./", name);
		if (n > 0 && n < PATH_MAX) {
			rc = check_file(path);
			if (!rc)
				return 0;
			if (rc == -EACCES)
				found = -EACCES;
		}
		if (!dir[len])
			return found;
	}
}

/* Will executing it change ids or capabilities, so that the loader drops LD_PRELOAD? */
static bool changes_ids(const char *path)
{
	struct statvfs fs;
	struct stat st;

	if (stat(path, &st) || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		return false;
	if (statvfs(path, &fs) == 0 && (fs.f_flag & ST_NOSUID))
		return false;
	if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
		return true;
	if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getgid())
		return true;
	return getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0;
}

static char *next_word(char **rest)
{
	char *word = *rest + strspn(*rest, " \t");
	size_t len = strcspn(word, " \t");

	if (!*word)
		return NULL;
	*rest = word + len + (word[len] ? 1 : 0);
	word[len] = '\0';
	return word;
}

/* #!/usr/bin/env [-S] [VAR=value ...] NAME: the interpreter is NAME along PATH. */
static const char *env_names(char *rest)
{
	char *word;

	while ((word = next_word(&rest)) != NULL) {
		if (word[0] != '-' && !strchr(word, '='))
			return word;
	}
	return NULL;
}

static bool is_env(const char *interp)
{
	const char *slash = strrchr(interp, '/');

	return !strcmp(slash ? slash + 1 : interp, "env");
}

/*
 * The interpreter of a script. Returns false when there is none: not a script, or a line
 * that does not tell.
 */
static bool interpreter(const char *path, char interp[PATH_MAX])
{
	char line[LINE_LEN + 1], *rest = line + 2, *word;
	const char *name;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = pread(fd, line, LINE_LEN, 0);
	(void)close(fd);
	if (n < 3 || line[0] != '#' || line[1] != '!')
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	word = next_word(&rest);
	if (!word)
		return false;
	if (!is_env(word)) {
		(void)snprintf(interp, PATH_MAX, "%s", word);
		return true;
	}
	name = env_names(rest);
	return name && sl_prog_find(name, interp) == 0;
}

void sl_prog_inspect(const char *path, struct sl_prog *prog)
{
	char interp[PATH_MAX];
	int depth;

	memset(prog, 0, sizeof(*prog));
	(void)snprintf(prog->binary, sizeof(prog->binary), "%s", path);
	for (depth = 0; depth < INTERP_DEPTH && interpreter(prog->binary, interp); depth++)
		memcpy(prog->binary, interp, sizeof(interp));
	prog->why = sl_elf_look(prog->binary, &prog->other_libc);
	if (prog->other_libc)
		prog->why = SL_WHY_NOT_ELF;
	if (prog->why == SL_WHY_NONE && changes_ids(prog->binary))
		prog->why = SL_WHY_SETID;
}
