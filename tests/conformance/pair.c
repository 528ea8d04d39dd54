/* SPDX-License-Identifier: BSD-2-Clause */
/* pair.c - the connection that a case acts on: made, warmed up, its far end driven */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "conform.h"
#include "stat.h"

#define OP_LANES   1000 /* an agent tells lanes() of its end */
#define ROUNDS	   6
#define CHAOS_MORE 30
#define WARM_MS	   3000

static void die(const char *what)
{
	rec("! %s: %s", what, strerror(errno));
	_exit(98);
}

int listen_on(uint16_t *port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (void *)&sin, sizeof(sin)) || listen(fd, 16) ||
	    getsockname(fd, (void *)&sin, &len))
		die("listen");
	*port = ntohs(sin.sin_port);
	return fd;
}

/* Small messages are there at once, not when an older one has been acknowledged. */
static int no_delay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

int connect_to_port(uint16_t port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (void *)&sin, sizeof(sin)))
		die("connect");
	return no_delay(fd);
}

void pair_fds(int fd[2])
{
	uint16_t port;
	int l = listen_on(&port);

	fd[0] = connect_to_port(port);
	fd[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	if (fd[1] < 0)
		die("accept");
	no_delay(fd[1]);
	close(l);
}

/* --- which lane --- */

static const struct sl_stat_hdr_shm *status_page(void)
{
	static const struct sl_stat_hdr_shm *page;
	char path[300], to[100];
	struct dirent *d;
	struct stat st;
	DIR *dir;
	int fd;

	if (page && page->pid == (uint32_t)getpid())
		return page;
	page = NULL;
	dir = opendir("/proc/self/fd");
	while (dir && (d = readdir(dir))) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%s", d->d_name);
		n = readlink(path, to, sizeof(to) - 1);
		if (n < 0)
			continue;
		to[n] = 0;
		if (strncmp(to, "/memfd:" SL_STAT_MEMFD, sizeof("/memfd:" SL_STAT_MEMFD) - 1))
			continue;
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st))
			die("status page");
		page = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		close(fd);
		break;
	}
	if (dir)
		closedir(dir);
	return page == MAP_FAILED ? NULL : page;
}

static uint16_t port_of(int fd, bool peer)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if ((peer ? getpeername : getsockname)(fd, (void *)&ss, &len))
		return 0;
	return ntohs(((struct sockaddr_in *)&ss)->sin_port); /* the same place in sockaddr_in6 */
}

int lanes(int fd)
{
	const char *preload = getenv("LD_PRELOAD");
	const struct sl_stat_hdr_shm *page;
	const struct sl_stat_conn_shm *e;
	uint16_t local, peer;
	uint32_t i;

	if (!preload || !strstr(preload, "scilan"))
		return -1;
	page = status_page();
	if (!page)
		return 0;
	local = port_of(fd, false);
	peer = port_of(fd, true);
	e = (const void *)(page + 1);
	for (i = 0; i < page->entry_high; i++)
		if (e[i].used && e[i].local.port == local && e[i].peer.port == peer)
			return (e[i].tx.lane == SL_STAT_MEMORY) |
			       (e[i].rx.lane == SL_STAT_MEMORY) << 1 | (int)(e[i].reason << 8);
	return 0;
}

/* --- steps, here and there --- */

static void ctl_send(int ctl, const void *p, size_t len)
{
	if (send(ctl, p, len, MSG_NOSIGNAL) != (ssize_t)len)
		die("control socket");
}

/* Return: false: the agent is gone. */
static bool ctl_recv(int ctl, void *p, size_t len)
{
	ssize_t n;

	do
		n = recv(ctl, p, len, 0);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)len;
}

static void *in_thread(void *arg)
{
	struct end *e = arg;

	step_local(e, &e->bg_step, &e->bg_result);
	return NULL;
}

static void start(struct end *e, const struct step *s)
{
	e->bg = true;
	e->bg_step = *s;
	if (e->ctl >= 0)
		ctl_send(e->ctl, s, sizeof(*s));
	else if (pthread_create(&e->thread, NULL, in_thread, e))
		die("pthread_create");
}

static void gone(struct end *e, struct result *r)
{
	int st = 0;

	snprintf(r->note, sizeof(r->note), " the process is gone");
	if (e->pid > 0 && waitpid(e->pid, &st, 0) == e->pid && WIFSIGNALED(st))
		snprintf(r->note, sizeof(r->note), " ended by signal %d", WTERMSIG(st));
	e->pid = 0;
}

static struct result join(struct end *e)
{
	struct result r = {0};

	if (!e->bg)
		return r;
	e->bg = false;
	if (e->ctl >= 0) {
		if (!ctl_recv(e->ctl, &r, sizeof(r)))
			gone(e, &r);
		return r;
	}
	pthread_join(e->thread, NULL);
	return e->bg_result;
}

struct result do_step(struct pair *p, enum who who, enum op op, long x, long y, long z)
{
	struct end *e = who == A || who == A_BG ? &p->a : &p->b;
	struct step s = {A, op, x, y, z, NULL, NULL};
	struct result r = {0};

	if (op == JOIN)
		return join(e);
	if (who == A_BG || who == B_BG) {
		start(e, &s);
		return r;
	}
	if (op == WARM) {
		pair_warm(p);
		return r;
	}
	if (op == SLEEP || e->ctl < 0) {
		step_local(e, &s, &r);
		return r;
	}
	ctl_send(e->ctl, &s, sizeof(s));
	if (!ctl_recv(e->ctl, &r, sizeof(r)))
		gone(e, &r);
	return r;
}

static const char *const op_names[OPS] = {
	"END",	   "WARM",     "JOIN",	   "SLEEP",    "SEND",	 "WRITE",    "WRITEV",	"SENDTO",
	"SENDMSG", "SENDMMSG", "SENDALL",  "FILL",     "RECV",	 "READ",     "READV",	"RECVFROM",
	"RECVMSG", "RECVMMSG", "RECVALL",  "DRAIN",    "TOEND",	 "TAKEFILL", "SHUT",	"CLOSE",
	"LINGER",  "EXIT",     "KILL",	   "POLL",     "PPOLL",	 "SELECT",   "PSELECT", "EPADD",
	"EPMOD",   "EPDEL",    "EPWAIT",   "EPCLOSE",  "EPNEST", "NONBLOCK", "FIONBIO", "SETOPT",
	"GETOPT",  "SOERROR",  "RCVTIMEO", "SNDTIMEO", "UNREAD", "OUTQ",     "ATMARK",	"DUP",
	"DUPC",	   "DUP3",     "SWAP",	   "CLOSE2",
};

/* Is @text one of "a|b|c"? */
static bool one_of(const char *list, const char *text)
{
	size_t len = strlen(text);
	const char *at = list;

	for (; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
		if (!strncmp(at, text, len) && (at[len] == '|' || !at[len]))
			return true;
	return false;
}

long take_step(struct pair *p, const struct step *s)
{
	struct end *e = s->who == A || s->who == A_BG ? &p->a : &p->b;
	struct end *from = e == &p->a ? &p->b : &p->a;
	char buf[40], text[160];
	struct result r;

	if (s->op == TAKEFILL) {
		/* As much as FILL of the other end said: it is not the same on all machines. */
		long all = do_step(p, from == &p->a ? A : B, TAKEFILL, 0, 0, 0).ret;

		r = do_step(p, s->who, RECVALL, all, 0, 0);
		if (r.ret == all)
			r.ret = 0;
	} else {
		r = do_step(p, s->who, s->op, s->x, s->y, s->z);
	}
	if (s->op == SLEEP || s->op == WARM)
		return 0;
	if (s->who == A_BG || s->who == B_BG) {
		rec("%c %s(%ld, %ld, %ld) begins", e->name, op_names[s->op], s->x, s->y, s->z);
		return 0;
	}
	snprintf(text, sizeof(text), "%s%s%s", err_text(r.ret, buf), r.note,
		 r.sigpipe ? " SIGPIPE" : "");
	if (s->either && one_of(s->either, text))
		snprintf(text, sizeof(text), "one of %s", s->either);
	rec("%c %s(%ld, %ld, %ld) = %s%s%s", e->name, op_names[s->op], s->x, s->y, s->z, text,
	    s->chaos ? "; or, under chaos: " : "", s->chaos ? s->chaos : "");
	return r.ret;
}

long take(struct pair *p, enum who who, enum op op, long x, long y, long z)
{
	const struct step s = {who, op, x, y, z, NULL, NULL};

	return take_step(p, &s);
}

/* --- agents --- */

static void agent_init(struct end *e, char name, int fd, int ctl)
{
	memset(e, 0, sizeof(*e));
	memset(e->ep, 0xff, sizeof(e->ep));
	e->name = name;
	e->fd = fd;
	e->fd2 = -1;
	e->ctl = ctl;
	e->dir = name == 'B';
}

static void agent_loop(struct end *e, int ctl)
{
	struct result r;
	struct step s;

	while (ctl_recv(ctl, &s, sizeof(s))) {
		if ((int)s.op == OP_LANES) {
			memset(&r, 0, sizeof(r));
			r.ret = lanes(e->fd);
		} else {
			step_local(e, &s, &r);
		}
		ctl_send(ctl, &r, sizeof(r));
	}
	exit(0);
}

int agent_main(int ctl, uint16_t port)
{
	struct end e;

	sigpipe_catch();
	fcntl(ctl, F_SETFD, FD_CLOEXEC);
	agent_init(&e, 'B', connect_to_port(port), -1);
	agent_loop(&e, ctl);
	return 0;
}

static void start_agent(struct pair *p, const int ctl[2], int listener)
{
	char num[2][16];
	int pid = fork();

	if (pid < 0)
		die("fork");
	if (pid) {
		p->b.pid = pid; /* not set in the child: *p is shared */
		return;
	}
	close(listener);
	close(ctl[0]);
	if (p->kind == FORK)
		exit(agent_main(ctl[1], p->port));
	fcntl(ctl[1], F_SETFD, 0);
	snprintf(num[0], sizeof(num[0]), "%d", ctl[1]);
	snprintf(num[1], sizeof(num[1]), "%u", p->port);
	execl("/proc/self/exe", "conform", "--agent", num[0], num[1], (char *)NULL);
	die("execl");
}

void pair_open(struct pair *p, enum kind kind)
{
	int fd[2], ctl[2], l;

	memset(p, 0, sizeof(*p));
	p->kind = kind;
	sigpipe_catch();
	if (kind == SELF) {
		pair_fds(fd);
		agent_init(&p->a, 'A', fd[0], -1);
		agent_init(&p->b, 'B', fd[1], -1);
		return;
	}
	l = listen_on(&p->port);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ctl))
		die("socketpair");
	agent_init(&p->b, 'B', -1, ctl[0]);
	start_agent(p, ctl, l);
	close(ctl[1]);
	fd[0] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	if (fd[0] < 0)
		die("accept");
	no_delay(fd[0]);
	close(l);
	agent_init(&p->a, 'A', fd[0], -1);
}

static int lanes_of(struct end *e)
{
	struct step s = {A, (enum op)OP_LANES, 0, 0, 0, NULL, NULL};
	struct result r;

	if (e->ctl < 0)
		return lanes(e->fd);
	ctl_send(e->ctl, &s, sizeof(s));
	return ctl_recv(e->ctl, &r, sizeof(r)) ? (int)r.ret : 0;
}

void pair_warm(struct pair *p)
{
	int rounds = getenv("SCILAN_CHAOS") ? ROUNDS + CHAOS_MORE : ROUNDS, i, a = 0, b = 0;
	bool seen_a = false, seen_b = false; /* under chaos the two need not be there at the same time */
	long until = now_ms() + WARM_MS;

	for (i = 0; now_ms() < until; i++) {
		do_step(p, A, SENDALL, 16, 0, 0);
		if (do_step(p, B, RECVALL, 16, 0, 0).ret != 16)
			rec("! warm-up: B did not get 16 bytes");
		do_step(p, B, SENDALL, 16, 0, 0);
		if (do_step(p, A, RECVALL, 16, 0, 0).ret != 16)
			rec("! warm-up: A did not get 16 bytes");
		if (i < ROUNDS)
			continue;
		a = lanes_of(&p->a);
		if (a == -1)
			return;
		b = lanes_of(&p->b);
		seen_a |= (a & 3) == 3;
		seen_b |= (b & 3) == 3;
		if (i >= rounds && (getenv("SCILAN_CHAOS") ? seen_a && seen_b :
							     (a & 3) == 3 && (b & 3) == 3))
			return;
		if (!seen_a || !seen_b)
			pause_ms(2);
	}
	rec("! not on the memory lane: A %d reason %d, B %d reason %d", a & 3, a >> 8, b & 3,
	    b >> 8);
}

void warm_fds(int x, int y)
{
	bool seen = false, chaos = getenv("SCILAN_CHAOS");
	long until = now_ms() + WARM_MS;
	char buf[16] = {0};
	int i, a, b;

	for (i = 0; now_ms() < until; i++) {
		if (send(x, buf, 16, 0) != 16 || recv(y, buf, 16, MSG_WAITALL) != 16 ||
		    send(y, buf, 16, 0) != 16 || recv(x, buf, 16, MSG_WAITALL) != 16)
			rec("! warm-up failed");
		if (i < ROUNDS)
			continue;
		a = lanes(x);
		b = lanes(y);
		seen |= (a & 3) == 3 && (b & 3) == 3;
		if (a == -1 || (seen && (!chaos || i > ROUNDS + CHAOS_MORE)))
			return;
		if (!seen)
			pause_ms(2);
	}
	rec("! not on the memory lane");
}

void pair_close(struct pair *p)
{
	if (p->b.ctl >= 0)
		close(p->b.ctl);
	if (p->b.pid > 0)
		waitpid(p->b.pid, NULL, 0);
}

volatile sig_atomic_t caught;

void on_signal(int sig)
{
	(void)sig;
	caught++;
}

void on(int sig, void (*handler)(int), int flags)
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = flags};

	sigaction(sig, &sa, NULL);
}
