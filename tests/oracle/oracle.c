/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * oracle [-o REPORT] -- PROGRAM [ARG ...] - which calls on tracked sockets did not come through libscilan.so?
 *
 * How it works. PROGRAM and all that it starts run under a seccomp filter that stops each system call on
 * descriptors and asks this process (SECCOMP_RET_USER_NOTIF). It looks into the stopped process: does the
 * descriptor table of the libscilan.so there (sl_fdtab) know the descriptor? If so, the call must have
 * been made by that library: the instruction lies in it, or in a function of libc that returns into it (the
 * unwinding tables say where the return address lies). What is neither is written to REPORT, a line each, with the function of libc
 * that it came from. The call then goes on, whatever was found.
 *
 * Nothing in the stopped process changes: no signal, no memory, so also programs run that handle SIGSYS or
 * look at their tracer. A child that shares its parent's memory (posix_spawn) may close and copy what it
 * likes: those are its own descriptors.
 *
 * Ends when the last process has ended, with PROGRAM's exit status. The last line of REPORT tells how many
 * calls were looked at, and how many of these were on tracked sockets.
 */
#include <dwarf.h>
#include <elf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libelf.h>
#include <gelf.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/kcmp.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

#define FD_MAX	    (1024 * 1024) /* as in fdtab.h */
#define FD_CHUNK    1024
#define MAPS_TRIES  300 /* a program in whose memory the library does not appear is not asked for ever */

static const struct call {
	int nr;
	const char *name;
} calls[] = {
#define C(n) {SYS_##n, #n}
	C(read), C(write), C(readv), C(writev), C(preadv2), C(pwritev2), C(recvfrom), C(recvmsg),
	C(recvmmsg), C(sendto), C(sendmsg), C(sendmmsg), C(sendfile), C(splice), C(close), C(dup),
	C(dup2), C(dup3), C(fcntl), C(shutdown), C(poll), C(ppoll), C(select), C(pselect6),
	C(epoll_ctl), C(execve), C(execveat),
#undef C
};
#define CALLS (sizeof(calls) / sizeof(calls[0]))

/* One process: where the library lies in it. */
struct proc {
	pid_t pid;
	bool known;    /* the library has been found */
	unsigned tries;
	uint64_t low, high; /* its code */
	uint64_t base;
	struct proc *next;
};

static struct proc *procs;
static FILE *report;
static unsigned long looked, tracked, strange;
static uint64_t fdtab_sym; /* sl_fdtab's address in the library's file */
static char fdtab_path[4096];
static pid_t main_pid;

static void die(const char *what)
{
	fprintf(stderr, "oracle: %s: %s\n", what, strerror(errno));
	exit(125);
}

/* --- the stopped process's memory and maps --- */

static bool peek(pid_t pid, uint64_t addr, void *buf, size_t len)
{
	struct iovec here = {buf, len}, there = {(void *)(uintptr_t)addr, len};

	return process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)len;
}

static void find_symbol(const char *path)
{
	Elf *elf;
	Elf_Scn *scn = NULL;
	Elf_Data *data;
	GElf_Shdr sh;
	GElf_Sym sym;
	const char *name;
	size_t i;
	int fd;

	if (!strcmp(path, fdtab_path))
		return;
	fdtab_sym = 0;
	snprintf(fdtab_path, sizeof(fdtab_path), "%s", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	elf = fd < 0 ? NULL : elf_begin(fd, ELF_C_READ, NULL);
	while (elf && (scn = elf_nextscn(elf, scn)) != NULL) {
		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_SYMTAB)
			continue;
		data = elf_getdata(scn, NULL);
		for (i = 0; data && gelf_getsym(data, (int)i, &sym); i++) {
			name = elf_strptr(elf, sh.sh_link, sym.st_name);
			if (name && !strcmp(name, "sl_fdtab"))
				fdtab_sym = sym.st_value;
		}
	}
	if (elf)
		elf_end(elf);
	if (fd >= 0)
		close(fd);
	if (!fdtab_sym) {
		fprintf(stderr, "oracle: no symbol sl_fdtab in %s\n", path);
		exit(125);
	}
}

static void find_library(struct proc *p)
{
	char path[64], line[4400], file[4096], mode[8];
	uint64_t low, high, off;
	FILE *f;

	p->tries++;
	snprintf(path, sizeof(path), "/proc/%d/maps", p->pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %*s %4095s", &low, &high, mode,
			   &off, file) != 5 || !strstr(file, "/libscilan.so"))
			continue;
		if (!off)
			p->base = low;
		if (mode[2] == 'x') {
			p->low = low;
			p->high = high;
		} else if (mode[1] == 'w' && p->base && p->high) {
			find_symbol(file);
			p->known = true; /* its data is mapped: the loader is through with it */
		}
	}
	if (f)
		fclose(f);
}

static pid_t group_of(pid_t tid)
{
	char path[64], line[128];
	pid_t pid = tid;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Tgid: %d", &pid) == 1)
			break;
	if (f)
		fclose(f);
	return pid;
}

/* Threads are remembered each: their group is asked for once. */
static struct proc *proc_of(pid_t tid)
{
	struct proc **at, *p;

	for (at = &procs; (p = *at) != NULL; at = &p->next)
		if (p->pid == tid)
			break;
	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			die("memory");
		p->pid = tid;
	} else {
		*at = p->next;
	}
	p->next = procs; /* the ones that call come first */
	procs = p;
	if (!p->known && p->tries < MAPS_TRIES)
		find_library(p);
	return p;
}

/* Does the library know this descriptor, and as a socket? */
static bool is_tracked(const struct proc *p, int fd)
{
	uint64_t chunk, entry;

	if (fd < 0 || fd >= FD_MAX)
		return false;
	if (!peek(p->pid, p->base + fdtab_sym + (uint64_t)(fd / FD_CHUNK) * 8, &chunk, 8) || !chunk)
		return false;
	return peek(p->pid, chunk + (uint64_t)(fd % FD_CHUNK) * 8, &entry, 8) && entry && !(entry & 1);
}

/* --- did it come through the library? --- */

/* What maps @ip: its file, and the address there. */
static bool place(pid_t pid, uint64_t ip, char file[4096], uint64_t *addr)
{
	char path[64], line[4400];
	uint64_t low, high, off;
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		file[0] = '\0';
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %*s %*s %4095[^\n]", &low, &high, &off,
			   file) < 3 || ip < low || ip >= high)
			continue;
		*addr = ip - low + off; /* code lies at its offset, in libraries of today's linkers */
		found = true;
	}
	if (f)
		fclose(f);
	return found;
}

/* Where the return address lies above the stack pointer, from the unwinding tables of the file. -1: unknown. */
static long return_slot(const char *file, uint64_t addr)
{
	static char known[4096];
	static Dwarf_CFI *cfi;
	static Elf *elf;
	Dwarf_Frame *frame = NULL;
	Dwarf_Op *ops;
	size_t n;
	long slot = -1;
	int fd;

	if (strcmp(known, file)) {
		if (elf)
			elf_end(elf);
		snprintf(known, sizeof(known), "%s", file);
		fd = open(file, O_RDONLY | O_CLOEXEC);
		elf = fd < 0 ? NULL : elf_begin(fd, ELF_C_READ_MMAP, NULL);
		cfi = elf ? dwarf_getcfi_elf(elf) : NULL;
	}
	if (cfi && !dwarf_cfi_addrframe(cfi, addr, &frame) && !dwarf_frame_cfa(frame, &ops, &n) && n == 1 &&
	    ops[0].atom == DW_OP_breg7)
		slot = (long)ops[0].number - 8;
	else if (cfi && frame && n == 1 && ops[0].atom == DW_OP_bregx && ops[0].number == 7)
		slot = (long)ops[0].number2 - 8;
	free(frame);
	return slot;
}

static uint64_t stack_pointer(pid_t tid)
{
	char path[64], line[512] = "", *last, *before;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/syscall", tid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	last = strrchr(line, ' ');
	if (!last)
		return 0; /* not stopped any more */
	*last = '\0';
	before = strrchr(line, ' ');
	return before ? strtoull(before + 1, NULL, 16) : 0;
}

/*
 * Was the library the one that called libc? Frames of the file that made the call are gone through: fcntl() has a
 * helper that makes the call. Without a file it is one of the library's trampolines, which have no frame.
 */
static bool returns_to_us(const struct proc *p, uint64_t ip)
{
	uint64_t sp = stack_pointer(p->pid), addr;
	char file[4096] = "", first[4096] = "";
	int frames;
	long slot;

	if (!sp)
		return true; /* gone */
	for (frames = 0; frames < 8; frames++) {
		if (!place(p->pid, ip, file, &addr))
			return false;
		if (!frames)
			memcpy(first, file, sizeof(first));
		else if (strcmp(first, file))
			return false;
		slot = file[0] == '/' ? return_slot(file, addr) : 0;
		if (slot < 0 || !peek(p->pid, sp + (uint64_t)slot, &ip, 8))
			return false;
		if (ip >= p->low && ip < p->high)
			return true;
		sp += (uint64_t)slot + 8;
	}
	return false;
}

static bool shares_memory(pid_t tid)
{
	pid_t pid = group_of(tid), parent = 0;
	char path[64], line[1024], *end;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (f && fgets(line, sizeof(line), f) && (end = strrchr(line, ')')) != NULL)
		(void)sscanf(end, ") %*c %d", &parent);
	if (f)
		fclose(f);
	return parent > 0 && syscall(SYS_kcmp, pid, parent, KCMP_VM, 0, 0) == 0;
}

/* --- the report --- */

static void symbol(const char *path, uint64_t addr, char *out, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf *elf = fd < 0 ? NULL : elf_begin(fd, ELF_C_READ, NULL);
	Elf_Scn *scn = NULL;
	Elf_Data *data;
	GElf_Shdr sh;
	GElf_Sym sym;
	size_t i;

	snprintf(out, len, "?");
	while (elf && (scn = elf_nextscn(elf, scn)) != NULL) {
		if (!gelf_getshdr(scn, &sh) || (sh.sh_type != SHT_DYNSYM && sh.sh_type != SHT_SYMTAB))
			continue;
		data = elf_getdata(scn, NULL);
		for (i = 0; data && gelf_getsym(data, (int)i, &sym); i++)
			if (GELF_ST_TYPE(sym.st_info) == STT_FUNC && addr >= sym.st_value &&
			    addr < sym.st_value + sym.st_size)
				snprintf(out, len, "%s", elf_strptr(elf, sh.sh_link, sym.st_name));
	}
	if (elf)
		elf_end(elf);
	if (fd >= 0)
		close(fd);
}

static void tell(const struct proc *p, const struct call *c, int fd, uint64_t ip)
{
	char path[64], file[4096] = "", name[256] = "?", comm[32] = "?";
	uint64_t addr;
	FILE *f;

	strange++;
	snprintf(path, sizeof(path), "/proc/%d/comm", p->pid);
	f = fopen(path, "re");
	if (f && fgets(comm, sizeof(comm), f))
		comm[strcspn(comm, "\n")] = '\0';
	if (f)
		fclose(f);
	if (place(p->pid, ip, file, &addr) && *file)
		symbol(file, addr, name, sizeof(name));
	fprintf(report, "%s[%d]: %s(%d) from %s in %s\n", comm, p->pid, c->name, fd, name,
		*file ? file : "no file");
	fflush(report);
}

/* --- one call --- */

/* The first tracked descriptor of a call, or -1. */
static int in_poll(const struct proc *p, uint64_t addr, uint64_t n)
{
	struct pollfd fds[256];
	uint64_t i;

	n = n < 256 ? n : 256;
	if (!n || !peek(p->pid, addr, fds, n * sizeof(fds[0])))
		return -1;
	for (i = 0; i < n; i++)
		if (is_tracked(p, fds[i].fd))
			return fds[i].fd;
	return -1;
}

static int in_sets(const struct proc *p, const __u64 *a)
{
	uint64_t bits;
	int n = (int)a[0], set, fd;

	for (set = 1; set <= 3; set++)
		for (fd = 0; a[set] && fd < n && fd < 1024; fd++) {
			if (fd % 64 == 0 && !peek(p->pid, a[set] + (unsigned)fd / 8, &bits, 8))
				break;
			if ((bits >> (fd % 64) & 1) && is_tracked(p, fd))
				return fd;
		}
	return -1;
}

static int descriptor_of(const struct proc *p, int nr, const __u64 *a)
{
	int fd = (int)a[0];

	switch (nr) {
	case SYS_poll:
	case SYS_ppoll:
		return in_poll(p, a[0], (uint32_t)a[1]);
	case SYS_select:
	case SYS_pselect6:
		return in_sets(p, a);
	case SYS_epoll_ctl:
	case SYS_splice:
		return is_tracked(p, (int)a[2]) ? (int)a[2] : is_tracked(p, fd) ? fd : -1;
	case SYS_dup2:
	case SYS_dup3:
	case SYS_sendfile:
		return is_tracked(p, fd) ? fd : is_tracked(p, (int)a[1]) ? (int)a[1] : -1;
	case SYS_fcntl:
		if (a[1] != F_DUPFD && a[1] != F_DUPFD_CLOEXEC && a[1] != F_SETFL)
			return -1;
		break;
	}
	return is_tracked(p, fd) ? fd : -1;
}

static void look(const struct seccomp_notif *n)
{
	struct proc *p = proc_of((pid_t)n->pid);
	unsigned i;
	int fd;

	looked++;
	if (n->data.nr == SYS_execve || n->data.nr == SYS_execveat) {
		p->known = false; /* another program, at other addresses */
		p->tries = 0;
		p->low = p->high = p->base = 0;
		return;
	}
	if (!p->known)
		return;
	fd = descriptor_of(p, n->data.nr, n->data.args);
	if (fd < 0)
		return;
	tracked++;
	if (n->data.instruction_pointer >= p->low && n->data.instruction_pointer <= p->high)
		return;
	if (returns_to_us(p, n->data.instruction_pointer) || shares_memory(p->pid))
		return;
	for (i = 0; i < CALLS; i++)
		if (calls[i].nr == n->data.nr)
			tell(p, &calls[i], fd, n->data.instruction_pointer - 2);
}

/* --- the filter --- */

static int install(void)
{
	struct sock_filter f[6 + CALLS * 2], *at = f;
	struct sock_fprog prog;
	unsigned i;

	*at++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					     offsetof(struct seccomp_data, arch));
	*at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
	*at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	*at++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					     offsetof(struct seccomp_data, nr));
	for (i = 0; i < CALLS; i++) {
		*at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
						     (unsigned)calls[i].nr, 0, 1);
		*at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	}
	*at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	prog.len = (unsigned short)(at - f);
	prog.filter = f;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			    SECCOMP_FILTER_FLAG_NEW_LISTENER |
				    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
			    &prog);
}

/* Shared with the child, which after install() can make no trapped call until somebody answers. */
struct meet {
	_Atomic int fd; /* of the listener, in the child; 0: not yet */
	_Atomic int go;
};

static void child(struct meet *m, char **argv)
{
	int fd = install();

	if (fd < 0)
		_exit(125);
	atomic_store(&m->fd, fd);
	while (!atomic_load(&m->go))
		sched_yield();
	execvp(argv[0], argv);
	_exit(127);
}

static int listener(pid_t pid, struct meet *m)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), fd, status;

	if (pidfd < 0)
		die("pidfd_open");
	while (!atomic_load(&m->fd)) {
		if (waitpid(pid, &status, WNOHANG) == pid) {
			errno = ENOSYS;
			die("seccomp");
		}
		sched_yield();
	}
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, atomic_load(&m->fd), 0);
	if (fd < 0)
		die("pidfd_getfd");
	close(pidfd);
	atomic_store(&m->go, 1);
	return fd;
}

static void pass_on(int sig)
{
	if (main_pid > 0)
		kill(main_pid, sig);
}

static void serve(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	struct seccomp_notif_resp resp;
	struct seccomp_notif n;

	for (;;) {
		if (poll(&pfd, 1, -1) < 0 && errno != EINTR)
			die("poll");
		if (pfd.revents & POLLHUP)
			return;
		if (!(pfd.revents & POLLIN))
			continue;
		memset(&n, 0, sizeof(n));
		if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &n))
			continue; /* killed meanwhile */
		look(&n);
		memset(&resp, 0, sizeof(resp));
		resp.id = n.id;
		resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		(void)ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &resp);
	}
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = pass_on};
	struct meet *m;
	int opt, status = 0, fd;

	report = stderr;
	while ((opt = getopt(argc, argv, "+o:")) != -1) {
		if (opt != 'o' || !(report = fopen(optarg, "we")))
			die("usage: oracle [-o REPORT] -- PROGRAM [ARG ...]");
	}
	if (optind >= argc)
		die("usage: oracle [-o REPORT] -- PROGRAM [ARG ...]");
	elf_version(EV_CURRENT);
	m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		die("mmap");
	main_pid = fork();
	if (main_pid < 0)
		die("fork");
	if (!main_pid)
		child(m, argv + optind);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	fd = listener(main_pid, m);
	serve(fd);
	waitpid(main_pid, &status, 0);
	fprintf(report, "%lu calls, %lu on tracked sockets, %lu past scilan\n", looked, tracked, strange);
	fclose(report);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
