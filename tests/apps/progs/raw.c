/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raw PORT: a client of an echo server that is told what to do, a line each; answers "ok"
 *
 *   open         connect once more
 *   ping N       N small messages there and back on every connection, by send and recv
 *   load PATH    dlopen
 *   uring        set up an io_uring by syscall()
 *   print, file, libc, aio, mark
 *                a message there and back on the first connection by dprintf, by stdio, by functions that
 *                dlsym() finds in libc, by POSIX aio; sockatmark
 *   spawn        posix_spawn a program, with the connections closed and copied in it
 *   clone        a child on the same memory, with descriptors of its own, that closes the connection
 *   raw          receive without libc, which scilan cannot see
 *   sandbox HOW  forbid itself all system calls but read, write and few more, with an answer unread; then
 *                get it, and go on by read and write. HOW: prctl, seccomp (by syscall()), strict
 *
 * Built with -DRAW it has a read of its own, made without libc, that it calls only for `raw`.
 */
#include <aio.h>
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int conns[64], n;

#ifdef RAW
__attribute__((used, noinline)) static long raw_read(int fd, void *buf, size_t len)
{
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(0L), "D"((long)fd), "S"(buf), "d"(len)
			 : "rcx", "r11", "memory");
	return ret;
}
#endif

static int open_one(int port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	conns[n] = socket(AF_INET, SOCK_STREAM, 0);
	return connect(conns[n++], (struct sockaddr *)&sin, sizeof(sin));
}

static int ping(int count)
{
	char there[16], back[16];
	int i, k;

	for (i = 0; i < count; i++)
		for (k = 0; k < n; k++) {
			snprintf(there, sizeof(there), "%6d-%6d", i, k);
			if (send(conns[k], there, sizeof(there), 0) != sizeof(there) ||
			    recv(conns[k], back, sizeof(back), MSG_WAITALL) != sizeof(back) ||
			    memcmp(there, back, sizeof(back)))
				return -1;
		}
	return 0;
}

static int back_is(const char *want)
{
	char got[64];
	ssize_t len = (ssize_t)strlen(want);

	return recv(conns[0], got, (size_t)len, MSG_WAITALL) == len && !memcmp(got, want, (size_t)len) ? 0
													: -1;
}

static int print(void)
{
	return dprintf(conns[0], "hello %d\n", 42) == 9 ? back_is("hello 42\n") : -1;
}

/* Each stream has a copy of the descriptor, and closes it. */
static int file(void)
{
	FILE *out = fdopen(dup(conns[0]), "w"), *in = fdopen(dup(conns[0]), "r");
	char line[64];
	int i, rc = 0;

	for (i = 0; i < 100 && !rc; i++) {
		fprintf(out, "line %d\n", i);
		fflush(out);
		rc = fgets(line, sizeof(line), in) && atoi(line + 5) == i ? 0 : -1;
	}
	fclose(in);
	fclose(out);
	return rc;
}

static int libc(void)
{
	void *h = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	ssize_t (*out)(int, const void *, size_t) = (ssize_t(*)(int, const void *, size_t))dlsym(h, "write");
	ssize_t (*in)(int, void *, size_t, int) = (ssize_t(*)(int, void *, size_t, int))dlsym(h, "recv");
	char got[8];

	return out(conns[0], "12345678", 8) == 8 && in(conns[0], got, 8, MSG_WAITALL) == 8 &&
			       !memcmp(got, "12345678", 8) ?
		       0 :
		       -1;
}

static int aio_one(int reading, char *buf)
{
	struct aiocb cb = {.aio_fildes = conns[0], .aio_buf = buf, .aio_nbytes = 8};
	const struct aiocb *list[] = {&cb};

	if (reading ? aio_read(&cb) : aio_write(&cb))
		return -1;
	while (aio_error(&cb) == EINPROGRESS)
		aio_suspend(list, 1, NULL);
	return aio_return(&cb) == 8 ? 0 : -1;
}

static int aio(void)
{
	char out[8] = "aioaioa", in[8] = "";

	return aio_one(0, out) || aio_one(1, in) || memcmp(in, out, 8) ? -1 : 0;
}

static int spawn(void)
{
	posix_spawn_file_actions_t a;
	char *argv[] = {"true", NULL};
	int rc, status;
	pid_t pid;

	posix_spawn_file_actions_init(&a);
	posix_spawn_file_actions_adddup2(&a, conns[0], 50);
	posix_spawn_file_actions_addclose(&a, conns[0]);
	posix_spawn_file_actions_adddup2(&a, 50, conns[0]);
	posix_spawn_file_actions_addclose(&a, conns[0]);
	posix_spawn_file_actions_addclose(&a, 50);
	rc = posix_spawn(&pid, "/bin/true", &a, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&a);
	return rc || waitpid(pid, &status, 0) != pid || status ? -1 : 0;
}

static int in_child(void *arg)
{
	dup2(conns[0], 50);
	close(conns[0]);
	close(50);
	_exit(arg ? 1 : 0);
}

static int clone_(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	pid_t pid = clone(in_child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
	int status;

	return pid < 0 || waitpid(pid, &status, 0) != pid || status ? -1 : 0;
}

static int raw(void)
{
#ifdef RAW
	char got[8];

	if (send(conns[0], "12345678", 8, 0) != 8)
		return -1;
	return raw_read(conns[0], got, 8) > 0 ? 0 : -1;
#else
	return -1;
#endif
}

/* What is left: in strict mode the kernel's own list. Anything else kills. */
static int forbid(const char *how)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};

	if (!strcmp(how, "strict"))
		return prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	/* As libraries ask what the kernel can do: no filter, no sandbox. */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL) != -1 || errno != EFAULT)
		return -1;
	return strcmp(how, "prctl") ? (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) :
				      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static int read_all(int fd, char *buf, size_t len)
{
	size_t got = 0;
	ssize_t n = 1;

	for (; got < len && n > 0; got += (size_t)n)
		n = read(fd, buf + got, len - got);
	return got == len ? 0 : -1;
}

static int sandbox(const char *how)
{
	struct pollfd p = {.fd = conns[0], .events = POLLIN};
	char back[16];
	int i;

	if (write(conns[0], "before the box..", 16) != 16 || poll(&p, 1, 5000) != 1 || forbid(how) ||
	    read_all(conns[0], back, 16) || memcmp(back, "before the box..", 16))
		return -1;
	for (i = 0; i < 1000; i++)
		if (write(conns[0], "inside the box..", 16) != 16 || read_all(conns[0], back, 16) ||
		    memcmp(back, "inside the box..", 16))
			return -1;
	return 0;
}

static const struct {
	const char *name;
	int (*run)(void);
} simple[] = {{"print", print}, {"file", file}, {"libc", libc}, {"aio", aio}, {"spawn", spawn},
	      {"clone", clone_}, {"raw", raw}};

int main(int argc, char **argv)
{
	char line[4096], params[120] = {0};
	size_t i;
	int rc;

	while (argc > 1 && fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		rc = -1;
		for (i = 0; i < sizeof(simple) / sizeof(simple[0]); i++)
			if (!strcmp(line, simple[i].name))
				rc = simple[i].run();
		if (!strcmp(line, "open"))
			rc = open_one(atoi(argv[1]));
		else if (!strncmp(line, "ping ", 5))
			rc = ping(atoi(line + 5));
		else if (!strncmp(line, "load ", 5))
			rc = dlopen(line + 5, RTLD_NOW) ? 0 : -1;
		else if (!strncmp(line, "sandbox ", 8))
			rc = sandbox(line + 8);
		else if (!strcmp(line, "uring"))
			rc = syscall(SYS_io_uring_setup, 4, params) == -2 ? -1 : 0;
		else if (!strcmp(line, "mark"))
			rc = sockatmark(conns[0]) < 0 ? -1 : 0;
		puts(rc ? "failed" : "ok");
		fflush(stdout);
	}
	return 0;
}
