/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raw PORT: a client of an echo server that is told what to do, a line each; answers "ok"
 *
 *   open         connect once more
 *   ping N       N small messages there and back on every connection, by send and recv
 *   load PATH    dlopen
 *   uring        set up an io_uring by syscall()
 *
 * Built with -DRAW it has a read of its own, made without libc, that it never calls.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
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

int main(int argc, char **argv)
{
	char line[4096], params[120] = {0};
	int rc = -1;

	while (argc > 1 && fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strcmp(line, "open"))
			rc = open_one(atoi(argv[1]));
		else if (!strncmp(line, "ping ", 5))
			rc = ping(atoi(line + 5));
		else if (!strncmp(line, "load ", 5))
			rc = dlopen(line + 5, RTLD_NOW) ? 0 : -1;
		else if (!strcmp(line, "uring"))
			rc = syscall(SYS_io_uring_setup, 4, params) == -2 ? -1 : 0;
		puts(rc ? "failed" : "ok");
		fflush(stdout);
	}
	return 0;
}
