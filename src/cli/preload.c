/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "preload.h"

#ifndef SL_LIBDIR
#define SL_LIBDIR "/usr/local/lib/x86_64-linux-gnu"
#endif

static int check(const char *path)
{
	if (access(path, R_OK))
		return -ENOENT;
	return strpbrk(path, " :") ? -EINVAL : 0;
}

/* dir + "/" + where + "/libscilan.so", without links and dots */
static int try_dir(const char *dir, const char *where, char path[PATH_MAX])
{
	char name[PATH_MAX];
	int n = snprintf(name, sizeof(name), "%s%s/%s", dir, where, SL_LIB_NAME);

	if (n < 0 || n >= (int)sizeof(name) || !realpath(name, path))
		return -ENOENT;
	return check(path);
}

int sl_preload_find(char path[PATH_MAX])
{
	static const char *const beside[] = {"", "/../preload", "/../lib", "/../lib/scilan",
					     "/../lib/x86_64-linux-gnu"};
	const char *lib = getenv("SCILAN_LIB");
	char dir[PATH_MAX], *slash;
	ssize_t n;
	size_t i;
	int rc;

	if (lib && *lib)
		return realpath(lib, path) ? check(path) : -ENOENT;
	n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
	if (n > 0) {
		dir[n] = '\0';
		slash = strrchr(dir, '/');
		if (slash)
			*slash = '\0';
		for (i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
			rc = try_dir(dir, beside[i], path);
			if (rc != -ENOENT)
				return rc;
		}
	}
	return try_dir(SL_LIBDIR, "", path);
}

static bool is_ours(const char *entry, size_t len)
{
	const size_t name_len = strlen(SL_LIB_NAME);

	if (len < name_len || memcmp(entry + len - name_len, SL_LIB_NAME, name_len) != 0)
		return false;
	return len == name_len || entry[len - name_len - 1] == '/';
}

static bool has_ours(const char *list)
{
	size_t len;

	while (*list) {
		len = strcspn(list, " :");
		if (is_ours(list, len))
			return true;
		list += len;
		list += strspn(list, " :");
	}
	return false;
}

int sl_preload_set(const char *path)
{
	const char *old = getenv("LD_PRELOAD");
	char *list;
	int rc;

	if (!old || !*old)
		return setenv("LD_PRELOAD", path, 1) ? -ENOMEM : 0;
	if (has_ours(old))
		return 0;
	if (asprintf(&list, "%s:%s", path, old) < 0)
		return -ENOMEM;
	rc = setenv("LD_PRELOAD", list, 1) ? -ENOMEM : 0;
	free(list);
	return rc;
}

int sl_preload_unset(void)
{
	const char *old = getenv("LD_PRELOAD");
	char *list, *end;
	size_t len;
	int rc;

	if (!old || !has_ours(old))
		return 0;
	end = list = calloc(1, strlen(old) + 2);
	if (!list)
		return -ENOMEM;
	for (; *old; old += strspn(old, " :")) {
		len = strcspn(old, " :");
		if (len && !is_ours(old, len)) {
			end = mempcpy(end, old, len);
			*end++ = ':';
		}
		old += len;
	}
	if (end > list)
		end[-1] = '\0';
	rc = end > list ? setenv("LD_PRELOAD", list, 1) : unsetenv("LD_PRELOAD");
	free(list);
	return rc ? -ENOMEM : 0;
}
