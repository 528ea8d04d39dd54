/* SPDX-License-Identifier: BSD-2-Clause */
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common.h"
#include "sys.h"
#include "target.h"

#define LIB_NAME     "libscilan.so"
#define GLIBC_LOADER "/ld-linux-x86-64.so.2"
#define DEPTH	     5	 /* as in the kernel: scripts whose interpreters are scripts */
#define LINE_LEN     256 /* what the kernel reads of a script's first line */
#define PHDRS	     64
#define NOTES_LEN    4096

static bool is_ours(const char *entry, size_t len)
{
	const size_t n = sizeof(LIB_NAME) - 1;
	char path[4096];

	if (len < n || len >= sizeof(path) || memcmp(entry + len - n, LIB_NAME, n) != 0)
		return false;
	if (len == n)
		return true; /* along the loader's path */
	memcpy(path, entry, len);
	path[len] = '\0';
	return entry[len - n - 1] == '/' && sl_sys(SYS_access, path, R_OK, 0) == 0;
}

static bool preloaded(char *const envp[])
{
	static const char name[] = "LD_PRELOAD=";
	const char *list;
	size_t len;

	for (; envp && *envp; envp++) {
		if (strncmp(*envp, name, sizeof(name) - 1) != 0)
			continue;
		for (list = *envp + sizeof(name) - 1; *list; list += len) {
			list += strspn(list, " :");
			len = strcspn(list, " :");
			if (is_ours(list, len))
				return true;
		}
		return false;
	}
	return false;
}

/* The loader drops LD_PRELOAD where executing changes ids or capabilities, or has changed them. */
static bool changes_ids(int fd)
{
	struct stat st;
	char cap;

	if (getuid() != geteuid() || getgid() != getegid() || fstat(fd, &st) != 0)
		return true;
	if (sl_sys6(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0, 0) == 1)
		return false;
	if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
		return true;
	if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getgid())
		return true;
	return getuid() != 0 &&
	       sl_sys6(SYS_fgetxattr, fd, (long)"security.capability", (long)&cap, 0, 0, 0) > 0;
}

static ssize_t read_at(int fd, void *buf, size_t len, uint64_t pos)
{
	return sl_sys6(SYS_pread64, fd, (long)buf, (long)len, (long)pos, 0, 0);
}

/* A note whose owner is "Go": Go makes its system calls without libc. */
static bool has_go_note(int fd, const Elf64_Phdr *ph)
{
	char buf[NOTES_LEN];
	ssize_t n = read_at(fd, buf, sl_min_size(sizeof(buf), ph->p_filesz), ph->p_offset);
	size_t len = n > 0 ? (size_t)n : 0, pos = 0, step;
	Elf64_Nhdr nh;

	while (len - pos >= sizeof(nh)) {
		memcpy(&nh, buf + pos, sizeof(nh));
		if (nh.n_namesz == 4 && len - pos >= sizeof(nh) + 4 &&
		    !memcmp(buf + pos + sizeof(nh), "Go\0", 4))
			return true;
		step = sizeof(nh) + ((nh.n_namesz + 3ul) & ~3ul) + ((nh.n_descsz + 3ul) & ~3ul);
		if (step > len - pos)
			break;
		pos += step;
	}
	return false;
}

static bool glibc_loader(int fd, const Elf64_Phdr *ph)
{
	const size_t n = sizeof(GLIBC_LOADER); /* with its NUL */
	char interp[256];

	if (ph->p_filesz < n || ph->p_filesz > sizeof(interp) ||
	    read_at(fd, interp, ph->p_filesz, ph->p_offset) != (ssize_t)ph->p_filesz)
		return false;
	return !memcmp(interp + ph->p_filesz - n, GLIBC_LOADER, n);
}

static bool good_elf(int fd, const Elf64_Ehdr *eh)
{
	Elf64_Phdr ph[PHDRS];
	bool loader = false;
	size_t i, len;

	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_machine != EM_X86_64 ||
	    (eh->e_type != ET_EXEC && eh->e_type != ET_DYN) || !eh->e_phnum || eh->e_phnum > PHDRS ||
	    eh->e_phentsize != sizeof(ph[0]))
		return false;
	len = eh->e_phnum * sizeof(ph[0]);
	if (read_at(fd, ph, len, eh->e_phoff) != (ssize_t)len)
		return false;
	for (i = 0; i < eh->e_phnum; i++) {
		if (ph[i].p_type == PT_NOTE && has_go_note(fd, &ph[i]))
			return false;
		if (ph[i].p_type == PT_INTERP)
			loader = glibc_loader(fd, &ph[i]);
	}
	return loader;
}

/* "#!/bin/sh -e": the interpreter, cut out of @line. */
static char *interpreter(char *line)
{
	line += 2 + strspn(line + 2, " \t");
	line[strcspn(line, " \t\n")] = '\0';
	return line;
}

/* Return: 1 under scilan; 0 not; -1 a script, its interpreter is in @head. */
static int look(int fd, char head[LINE_LEN + 1])
{
	ssize_t n = read_at(fd, head, LINE_LEN, 0);
	Elf64_Ehdr eh;

	if (n < 3)
		return 0;
	head[n] = '\0';
	if (head[0] == '#' && head[1] == '!')
		return -1;
	if ((size_t)n < sizeof(eh) || memcmp(head, ELFMAG, SELFMAG) != 0)
		return 0;
	memcpy(&eh, head, sizeof(eh));
	return !changes_ids(fd) && good_elf(fd, &eh);
}

bool sl_target_under(int dir, const char *path, int flags, char *const envp[])
{
	char head[LINE_LEN + 1], own[32];
	int depth, fd, rc = -1;

	if (!path || !preloaded(envp))
		return false;
	if (!*path && (flags & AT_EMPTY_PATH)) {
		(void)snprintf(own, sizeof(own), "/proc/self/fd/%d", dir);
		path = own;
	}
	for (depth = 0; depth < DEPTH && rc < 0; depth++) {
		fd = (int)sl_sys6(SYS_openat, dir, (long)path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0, 0, 0);
		if (fd < 0)
			return false;
		rc = look(fd, head);
		sl_sys_close(fd);
		if (rc < 0) {
			path = interpreter(head);
			dir = AT_FDCWD;
		}
	}
	return rc > 0;
}
