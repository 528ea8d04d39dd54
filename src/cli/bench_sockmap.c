/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_sockmap.c - the kernel's own short cut between two local sockets, as a variant
 *
 * A BPF program on each of two sockets takes what is sent and puts it into the other's receive
 * queue, past the TCP stack. The ends know nothing of it: their sockets are taken over from outside
 * (pidfd_getfd) when they are connected and nothing is under way, and put into a map each. A
 * program redirects to the map of the other socket. Needs root.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "bench.h"

struct sl_bench_sockmap {
	int map[2], prog[2], sock[2]; /* of server and client; -1: none */
};

static int bpf(int cmd, union bpf_attr *attr)
{
	int rc = (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));

	return rc < 0 ? -errno : rc;
}

static int new_map(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_SOCKMAP, .key_size = 4, .value_size = 4, .max_entries = 1};

	return bpf(BPF_MAP_CREATE, &attr);
}

/* return bpf_msg_redirect_map(msg, @map, 0, BPF_F_INGRESS) */
static int new_prog(int map)
{
	const struct bpf_insn insns[] = {
		{.code = BPF_LD | BPF_DW | BPF_IMM,
		 .dst_reg = BPF_REG_2,
		 .src_reg = BPF_PSEUDO_MAP_FD,
		 .imm = map},
		{.imm = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_4, .imm = BPF_F_INGRESS},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_msg_redirect_map},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SK_MSG,
			       .insn_cnt = sizeof(insns) / sizeof(insns[0]),
			       .insns = (uintptr_t)insns,
			       .license = (uintptr_t) "Dual BSD/GPL"};

	return bpf(BPF_PROG_LOAD, &attr);
}

static int attach(int prog, int map)
{
	union bpf_attr attr = {.target_fd = (uint32_t)map,
			       .attach_bpf_fd = (uint32_t)prog,
			       .attach_type = BPF_SK_MSG_VERDICT};

	return bpf(BPF_PROG_ATTACH, &attr);
}

static int insert(int map, int sock)
{
	uint32_t key = 0, value = (uint32_t)sock;
	union bpf_attr attr = {
		.map_fd = (uint32_t)map, .key = (uintptr_t)&key, .value = (uintptr_t)&value};

	return bpf(BPF_MAP_UPDATE_ELEM, &attr);
}

/* A connected socket of the process: a copy of its descriptor. -EBADF: it has none. */
static int find_socket(pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), fd, n;
	struct sockaddr_storage ss;
	socklen_t len;

	if (pidfd < 0)
		return -errno;
	for (n = 3; n < 64; n++) {
		len = sizeof(ss);
		fd = (int)syscall(SYS_pidfd_getfd, pidfd, n, 0);
		if (fd < 0 && errno != EBADF)
			break;
		if (fd >= 0 && !getpeername(fd, (struct sockaddr *)&ss, &len))
			break;
		if (fd >= 0)
			(void)close(fd);
		fd = -1;
	}
	n = n < 64 ? errno : EBADF;
	(void)close(pidfd);
	return fd < 0 ? -n : fd;
}

/* The client may be connected before the server has accepted. */
static int take_socket(pid_t pid)
{
	int i, fd = -EBADF;

	for (i = 0; i < 500 && fd == -EBADF; i++) {
		if (i)
			(void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
		fd = find_socket(pid);
	}
	return fd;
}

void sl_bench_sockmap_leave(struct sl_bench_sockmap *m)
{
	int i;

	for (i = 0; m && i < 2; i++) {
		if (m->sock[i] >= 0)
			(void)close(m->sock[i]);
		if (m->prog[i] >= 0)
			(void)close(m->prog[i]);
		if (m->map[i] >= 0)
			(void)close(m->map[i]);
	}
	free(m);
}

/* Maps and programs, as far as that goes. */
static struct sl_bench_sockmap *prepare(int *rc)
{
	struct sl_bench_sockmap *m = malloc(sizeof(*m));
	int i;

	if (!m)
		return NULL;
	*m = (struct sl_bench_sockmap){{-1, -1}, {-1, -1}, {-1, -1}};
	*rc = 0;
	for (i = 0; i < 2 && *rc >= 0; i++)
		*rc = m->map[i] = new_map();
	for (i = 0; i < 2 && *rc >= 0; i++)
		*rc = m->prog[i] = new_prog(m->map[!i]);
	for (i = 0; i < 2 && *rc >= 0; i++)
		*rc = attach(m->prog[i], m->map[i]);
	return m;
}

bool sl_bench_sockmap_works(void)
{
	int rc = -ENOMEM;

	sl_bench_sockmap_leave(prepare(&rc));
	return rc >= 0;
}

/*
 * Who waits in recv() since before waits in TCP's own, and does not see what the map brings. A stop
 * makes the kernel start the call again.
 */
static void restart_calls(pid_t pid)
{
	int status;

	if (kill(pid, SIGSTOP) || waitpid(pid, &status, WUNTRACED) != pid)
		return;
	(void)kill(pid, SIGCONT);
}

struct sl_bench_sockmap *sl_bench_sockmap_join(struct sl_bench *b, pid_t server, pid_t client)
{
	const pid_t pids[2] = {server, client};
	int rc = -ENOMEM, i;
	struct sl_bench_sockmap *m = prepare(&rc);

	for (i = 0; i < 2 && rc >= 0; i++)
		rc = m->sock[i] = take_socket(pids[i]);
	for (i = 0; i < 2 && rc >= 0; i++)
		rc = insert(m->map[i], m->sock[i]);
	if (rc >= 0) {
		restart_calls(server);
		return m;
	}
	(void)snprintf(b->why, sizeof(b->why), "sockmap: %s", strerror(-rc));
	sl_bench_sockmap_leave(m);
	return NULL;
}
