/* SPDX-License-Identifier: BSD-2-Clause */
/* signals.c - signals in every call that blocks; handlers that use the connection, or jump; cancellation */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "conform.h"

static int the_fd = -1;

/* --- every call --- */

enum call {
	C_RECV, C_READ, C_READV, C_RECVFROM, C_RECVMSG, C_RECVMMSG, C_SPLICE_OUT,
	C_SEND, C_WRITE, C_WRITEV, C_SENDTO, C_SENDMSG, C_SENDMMSG, C_SENDFILE, C_SPLICE_IN,
	C_POLL, C_PPOLL, C_SELECT, C_PSELECT, C_EPOLL, C_EPOLL_P, C_EPOLL_P2,
	CALLS
};

static const char *const call_names[] = {
	"recv", "read", "readv", "recvfrom", "recvmsg", "recvmmsg", "splice out",
	"send", "write", "writev", "sendto", "sendmsg", "sendmmsg", "sendfile", "splice in",
	"poll", "ppoll", "select", "pselect", "epoll_wait", "epoll_pwait", "epoll_pwait2",
};

static char much[4 << 20];

struct place {
	int fd, ep, pipe[2], file;
};

static void place_open(struct place *at, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN};
	char name[] = "/tmp/conform-XXXXXX";

	at->fd = fd;
	at->ep = epoll_create1(0);
	epoll_ctl(at->ep, EPOLL_CTL_ADD, fd, &ev);
	(void)!pipe(at->pipe);
	at->file = mkstemp(name);
	unlink(name);
	(void)!ftruncate(at->file, sizeof(much));
}

static void place_close(struct place *at)
{
	close(at->ep);
	close(at->pipe[0]);
	close(at->pipe[1]);
	close(at->file);
}

static long do_call(const struct place *at, enum call c)
{
	struct iovec out = {much, sizeof(much)}, in = {much, 10};
	struct msghdr m = {.msg_iov = c < C_SEND ? &in : &out, .msg_iovlen = 1};
	struct mmsghdr mm = {.msg_hdr = m};
	struct pollfd f = {.fd = at->fd, .events = POLLIN};
	struct timespec ts = {5, 0};
	struct timeval tv = {5, 0};
	struct epoll_event ev;
	sigset_t none;
	off_t pos = 0;
	fd_set set;
	long n;

	sigemptyset(&none);
	FD_ZERO(&set);
	FD_SET(at->fd, &set);
	switch (c) {
	case C_RECV:
		return recv(at->fd, much, 10, 0);
	case C_READ:
		return read(at->fd, much, 10);
	case C_READV:
		return readv(at->fd, &in, 1);
	case C_RECVFROM:
		return recvfrom(at->fd, much, 10, 0, NULL, NULL);
	case C_RECVMSG:
		return recvmsg(at->fd, &m, 0);
	case C_RECVMMSG:
		n = recvmmsg(at->fd, &mm, 1, 0, NULL);
		return n > 0 ? (long)mm.msg_len : n;
	case C_SPLICE_OUT:
		n = splice(at->fd, NULL, at->pipe[1], NULL, 10, 0);
		if (n > 0)
			(void)!read(at->pipe[0], much, 10);
		return n;
	case C_SEND:
		return send(at->fd, much, sizeof(much), 0);
	case C_WRITE:
		return write(at->fd, much, sizeof(much));
	case C_WRITEV:
		return writev(at->fd, &out, 1);
	case C_SENDTO:
		return sendto(at->fd, much, sizeof(much), 0, NULL, 0);
	case C_SENDMSG:
		return sendmsg(at->fd, &m, 0);
	case C_SENDMMSG:
		n = sendmmsg(at->fd, &mm, 1, 0);
		return n > 0 ? (long)mm.msg_len : n;
	case C_SENDFILE:
		return sendfile(at->fd, at->file, &pos, sizeof(much));
	case C_SPLICE_IN:
		(void)!write(at->pipe[1], much, 4096);
		n = splice(at->pipe[0], NULL, at->fd, NULL, 4096, 0);
		if (n < 0)
			(void)!read(at->pipe[0], much, 4096);
		return n;
	case C_POLL:
		return poll(&f, 1, 5000);
	case C_PPOLL:
		return ppoll(&f, 1, &ts, &none);
	case C_SELECT:
		return select(at->fd + 1, &set, NULL, NULL, &tv);
	case C_PSELECT:
		return pselect(at->fd + 1, &set, NULL, NULL, &ts, &none);
	case C_EPOLL:
		return epoll_wait(at->ep, &ev, 1, 5000);
	case C_EPOLL_P:
		return epoll_pwait(at->ep, &ev, 1, 5000, &none);
	default:
		return epoll_pwait2(at->ep, &ev, 1, &ts, &none);
	}
}

struct poke {
	struct pair *p;
	pthread_t whom;
	enum op then; /* what B does after the signal */
	long len;
};

static void *pokes(void *arg)
{
	struct poke *k = arg;

	pause_ms(30);
	pthread_kill(k->whom, SIGUSR1);
	if (k->then != END) {
		pause_ms(30);
		(void)do_step(k->p, B, k->then, k->len, 0, 0);
	}
	return NULL;
}

static long poked(struct pair *p, const struct place *at, enum call c, enum op then, long len)
{
	struct poke k = {p, pthread_self(), then, len};
	pthread_t t;
	long n;

	caught = 0;
	pthread_create(&t, NULL, pokes, &k);
	n = do_call(at, c);
	if (n < 0)
		n = -errno;
	pthread_join(t, NULL);
	return n;
}

/* With and without SA_RESTART, nothing there: what receives and what waits. */
static void every_call(struct pair *p, int flags)
{
	struct place at;
	enum call c;
	long n;

	place_open(&at, p->a.fd);
	on(SIGUSR1, on_signal, flags);
	for (c = C_RECV; c < CALLS; c++) {
		if (c >= C_SEND && c < C_POLL)
			continue;
		n = poked(p, &at, c, SEND, 5);
		rec_ret(call_names[c], n);
		rec("signals %d", (int)caught);
		p->a.got += n == 5 ? 5 : 0;
		if (n != 5)
			take(p, A, RECV, 10, 0, 0);
	}
	place_close(&at);
}

static void every_eintr(struct pair *p)
{
	every_call(p, 0);
}

static void every_restart(struct pair *p)
{
	every_call(p, SA_RESTART);
}

/* The same with SO_RCVTIMEO, which takes the restart away. */
static void every_timeout(struct pair *p)
{
	take(p, A, RCVTIMEO, 5000, 0, 0);
	every_call(p, SA_RESTART);
}

/* No room from the beginning: nothing, or a part, was sent. */
static void full_eintr(struct pair *p)
{
	struct place at;
	enum call c;
	long n, left;

	place_open(&at, p->a.fd);
	on(SIGUSR1, on_signal, 0);
	for (c = C_SEND; c <= C_SPLICE_IN; c++) {
		take(p, A, FILL, 0, 0, 0);
		n = poked(p, &at, c, END, 0);
		rec_ret(call_names[c], n > 0 && n < (long)sizeof(much) ? -EINTR : n);
		rec("signals %d", (int)caught);
		do_step(p, B, TAKEFILL, 0, 0, 0);
		/* What goes out of `much` is no pattern: count it only. */
		for (left = n > 0 ? n : 0; left > 0; left -= n) {
			n = do_step(p, B, RECV, left < 60000 ? left : 60000, MSG_TRUNC, 0).ret;
			if (n <= 0)
				break;
		}
		rec("left %ld", left);
	}
	place_close(&at);
}

/* Something was sent, or received: that is the answer, also with SA_RESTART. */
static void part_restart(struct pair *p)
{
	struct poke k = {p, pthread_self(), END, 0};
	pthread_t t;
	long n;

	on(SIGUSR1, on_signal, SA_RESTART);
	pthread_create(&t, NULL, pokes, &k);
	n = send(p->a.fd, much, sizeof(much), 0);
	pthread_join(t, NULL);
	rec("part sent %d", n > 0 && n < (long)sizeof(much));
	while (n > 0) {
		long some = do_step(p, B, RECV, n < 60000 ? n : 60000, MSG_TRUNC, 0).ret;

		if (some <= 0)
			break;
		n -= some;
	}
	rec("left %ld", n);
	take(p, B, SEND, 5, 0, 0);
	take(p, A, UNREAD, 5, 0, 0);
	pthread_create(&t, NULL, pokes, &k);
	take(p, A, RECV, 10, MSG_WAITALL, 0);
	pthread_join(t, NULL);
	take(p, B, SEND, 3, 0, 0);
	take(p, A, RECV, 10, 0, 0);
}

/* Calls that make a connection. */
static void making(struct pair *p)
{
	struct poke k = {p, pthread_self(), END, 0};
	uint16_t port;
	pthread_t t;
	int i, fd = listen_on(&port);

	for (i = 0; i < 2; i++) {
		struct timeval tv = {i ? 1 : 0, 0};

		on(SIGUSR1, on_signal, i ? SA_RESTART : 0);
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		pthread_create(&t, NULL, pokes, &k);
		rec_sys("accept", accept(fd, NULL, NULL));
		pthread_join(t, NULL);
		pthread_create(&t, NULL, pokes, &k);
		rec_sys("accept4", accept4(fd, NULL, NULL, SOCK_CLOEXEC));
		pthread_join(t, NULL);
	}
	close(fd);
}

/* --- handlers that use the connection --- */

static void sends_blocking(int sig)
{
	int saved = errno;

	(void)sig;
	if (send(the_fd, "h", 1, 0) == 1)
		caught++;
	else
		caught += 1000000;
	errno = saved;
}

static void timer(long us)
{
	struct itimerval it = {{0, us}, {0, us}};

	setitimer(ITIMER_REAL, &it, NULL);
}

/* While the program sends and receives on it without end, none of the handler's bytes is refused, lost or doubled. */
static void handler_sends(struct pair *p)
{
	static char buf[50000], in[65536];
	long i, sent = 0, got = 0, bad = 0, n;

	memset(buf, 'm', sizeof(buf));
	the_fd = p->a.fd;
	caught = 0;
	on(SIGALRM, sends_blocking, SA_RESTART);
	timer(200);
	for (i = 0; i < 300 || (caught <= 10 && i < 100000); i++) {
		n = send(the_fd, buf, (size_t)(1 + i * 97 % 30000), 0);
		if (n <= 0)
			break;
		sent += n;
		n = do_step(p, B, SENDALL, 3000, 0, 0).ret;
		if (n != 3000 || recv(the_fd, in, 3000, MSG_WAITALL) < 1)
			bad++;
		while (recv(the_fd, in, sizeof(in), MSG_DONTWAIT) > 0)
			;
		while (got < sent) {
			n = do_step(p, B, RECV, 65536, MSG_TRUNC | MSG_DONTWAIT, 0).ret;
			if (n <= 0)
				break;
			got += n;
		}
	}
	timer(0);
	while ((n = do_step(p, B, RECV, 65536, MSG_TRUNC | MSG_DONTWAIT, 0).ret) > 0)
		got += n;
	rec("bad %ld, missing %ld, some %d", bad, sent + caught - got, caught > 10);
}

/* The handler has to wait for room itself, in the very send that it interrupts. */
static void *drains(void *arg)
{
	struct pair *p = arg;
	int i;

	for (i = 0; i < 20; i++) {
		pause_ms(10);
		(void)do_step(p, B, DRAIN, 0, 0, 0);
	}
	return NULL;
}

static void handler_sends_full(struct pair *p)
{
	struct poke k = {p, pthread_self(), END, 0};
	pthread_t t, d;
	long n;

	the_fd = p->a.fd;
	caught = 0;
	on(SIGUSR1, sends_blocking, SA_RESTART);
	take(p, A, FILL, 0, 0, 0);
	pthread_create(&t, NULL, pokes, &k);
	pause_ms(1);
	pthread_create(&d, NULL, drains, p);
	n = send(the_fd, much, 300000, 0);
	rec("sent some %d", n > 0);
	pthread_join(t, NULL);
	pthread_join(d, NULL);
	rec("handler %d", (int)caught);
}

/* What the program asks of its handlers is its own. */
static void info(int sig, siginfo_t *si, void *uc)
{
	sigset_t now;

	sigprocmask(SIG_BLOCK, NULL, &now);
	caught = 1 + 10 * (si->si_signo == sig) + 100 * sigismember(&now, SIGUSR2) +
		 1000 * sigismember(&now, sig) + 10000 * (uc != NULL) +
		 100000 * (si->si_code == SI_QUEUE && si->si_value.sival_int == 42);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* sigset, siginterrupt */
static void asks(struct pair *p)
{
	union sigval v = {.sival_int = 42};
	struct sigaction sa = {.sa_sigaction = info, .sa_flags = SA_SIGINFO | SA_RESTART}, old;

	(void)p;
	sigaddset(&sa.sa_mask, SIGUSR2);
	rec_sys("sigaction", sigaction(SIGUSR1, &sa, NULL));
	rec_sys("sigqueue", sigqueue(getpid(), SIGUSR1, v));
	rec("handler saw %d", (int)caught);
	sigaction(SIGUSR1, NULL, &old);
	rec("its own %d, flags %x, mask %d", old.sa_sigaction == info,
	    (unsigned)old.sa_flags & (unsigned)(SA_SIGINFO | SA_RESTART | SA_RESETHAND | SA_NODEFER),
	    sigismember(&old.sa_mask, SIGUSR2));
	on(SIGUSR1, on_signal, (int)(SA_RESETHAND | SA_NODEFER));
	sigaction(SIGUSR1, NULL, &old);
	rec("its own %d, flags %x", old.sa_handler == on_signal,
	    (unsigned)old.sa_flags & (unsigned)(SA_SIGINFO | SA_RESTART | SA_RESETHAND | SA_NODEFER));
	raise(SIGUSR1);
	sigaction(SIGUSR1, NULL, &old);
	rec("reset %d", old.sa_handler == SIG_DFL);
	rec("signal: %d", signal(SIGUSR1, on_signal) == SIG_DFL);
	rec("again: %d", signal(SIGUSR1, SIG_IGN) == on_signal);
	rec("ignored: %d", signal(SIGUSR1, SIG_DFL) == SIG_IGN);
	rec("sigset: %d %d", sigset(SIGUSR1, on_signal) == SIG_DFL,
	    sigset(SIGUSR1, SIG_DFL) == on_signal);
	signal(SIGUSR1, on_signal);
	sigaction(SIGUSR1, NULL, &old);
	rec("restarts %d", (old.sa_flags & SA_RESTART) != 0);
	siginterrupt(SIGUSR1, 1);
	sigaction(SIGUSR1, NULL, &old);
	rec("its own %d, restarts %d", old.sa_handler == on_signal, (old.sa_flags & SA_RESTART) != 0);
	rec_sys("no such", sigaction(99, &sa, NULL));
	rec_sys("SIGKILL", sigaction(SIGKILL, &sa, NULL));
}
#pragma GCC diagnostic pop

/* On the alternate stack, and with the queue in order, while much is sent. */
static char other_stack[65536];
static volatile int in_order, last_value, on_other, the_count;

static void ordered(int sig, siginfo_t *si, void *uc)
{
	char here;

	(void)sig;
	(void)uc;
	the_count++;
	in_order += si->si_value.sival_int == last_value + 1;
	last_value = si->si_value.sival_int;
	on_other += &here >= other_stack && &here < other_stack + sizeof(other_stack);
}

static void *queues(void *arg)
{
	union sigval v;

	for (v.sival_int = 1; v.sival_int <= 300; v.sival_int++) {
		pthread_sigqueue(*(pthread_t *)arg, SIGRTMIN + 1, v);
		if (v.sival_int % 10 == 0)
			pause_ms(1);
	}
	return NULL;
}

static void queue_order(struct pair *p, int flags)
{
	struct sigaction sa = {.sa_sigaction = ordered,
			       .sa_flags = SA_SIGINFO | SA_RESTART | flags};
	stack_t st = {.ss_sp = other_stack, .ss_size = sizeof(other_stack)};
	pthread_t t, self = pthread_self();
	int i;

	sigaltstack(&st, NULL);
	the_count = 0;
	in_order = last_value = on_other = 0;
	sigaction(SIGRTMIN + 1, &sa, NULL);
	pthread_create(&t, NULL, queues, &self);
	for (i = 0; i < 2000 && the_count < 300; i++) {
		(void)do_step(p, A, SEND, 100, 0, 0);
		(void)do_step(p, B, RECVALL, 100, 0, 0);
		(void)do_step(p, B, SEND, 100, 0, 0);
		(void)do_step(p, A, RECVALL, 100, 0, 0);
	}
	pthread_join(t, NULL);
	for (i = 0; i < 500 && the_count < 300; i++)
		pause_ms(1);
	/* Put off by scilan, one that is for the other stack may be overtaken. */
	if (flags)
		rec("last %d, on the other stack %d", last_value > 0, on_other);
	else
		rec("in order %d, on the other stack %d", in_order, on_other);
	st.ss_flags = SS_DISABLE;
	sigaltstack(&st, NULL);
}

static void queued(struct pair *p)
{
	queue_order(p, 0);
}

static void other_stacks(struct pair *p)
{
	queue_order(p, SA_ONSTACK);
}

/* --- jumps out of handlers --- */

static sigjmp_buf back;

static void jumps(int sig)
{
	(void)sig;
	siglongjmp(back, 1);
}

/* Does a thread that waits for nothing here sleep quietly? */
static long switches(struct pair *p)
{
	struct timeval tv = {0, 300000}, none = {0, 0};
	struct rusage before, after;
	char c;

	setsockopt(p->a.fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	getrusage(RUSAGE_THREAD, &before);
	rec_sys("recv, later", recv(p->a.fd, &c, 1, 0));
	getrusage(RUSAGE_THREAD, &after);
	setsockopt(p->a.fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none));
	return after.ru_nvcsw - before.ru_nvcsw;
}

/* Jump out of the calls from @first on, and before @last. */
static void jump_out_of(struct pair *p, enum call first, enum call last)
{
	struct poke k = {p, pthread_self(), END, 0};
	bool sends = first == C_SEND;
	struct place at;
	volatile int c;
	pthread_t t;

	place_open(&at, p->a.fd);
	on(SIGUSR1, jumps, 0);
	for (c = (int)first; c < (int)last; c++) {
		if (sends)
			(void)do_step(p, A, FILL, 0, 0, 0);
		pthread_create(&t, NULL, pokes, &k);
		if (!sigsetjmp(back, 1)) {
			(void)do_call(&at, (enum call)c);
			rec("%s came back", call_names[c]);
		}
		pthread_join(t, NULL);
		if (sends) {
			(void)do_step(p, B, DRAIN, 0, 0, 0);
			pause_ms(5);
			(void)do_step(p, B, DRAIN, 0, 0, 0);
		}
	}
	rec("quiet %d", switches(p) < 10);
	place_close(&at);
}

static void jump_out(struct pair *p)
{
	jump_out_of(p, C_RECV, C_SEND);
	jump_out_of(p, C_POLL, CALLS);
	take(p, B, SEND, 5, 0, 0);
	take(p, A, RECV, 10, 0, 0);
	take(p, A, SEND, 5, 0, 0);
	take(p, B, RECV, 10, 0, 0);
	take(p, A, CLOSE, 0, 0, 0);
	take(p, B, RECV, 10, 0, 0);
}

static void jump_out_send(struct pair *p)
{
	jump_out_of(p, C_SEND, C_SENDFILE);
	take(p, B, SEND, 5, 0, 0);
	take(p, A, RECV, 10, 0, 0);
}

static void drain(int fd)
{
	int i;

	for (i = 0; i < 2; i++) {
		while (recv(fd, much, sizeof(much), MSG_DONTWAIT) > 0)
			;
		pause_ms(20);
	}
}

/* Out of a young connection's first calls, which the kernel makes: it has its future before it all the same. */
static void jump_out_young(struct pair *p)
{
	struct place at;
	volatile int c;
	int fd[2];

	(void)p;
	on(SIGALRM, jumps, 0);
	for (c = C_RECV; c < C_POLL; c++) {
		pair_fds(fd);
		place_open(&at, fd[0]);
		if (c == C_SPLICE_IN)
			(void)send(fd[0], much, sizeof(much), MSG_DONTWAIT);
		if (!sigsetjmp(back, 1)) {
			timer(20000);
			(void)do_call(&at, (enum call)c);
		}
		timer(0);
		drain(fd[1]);
		warm_fds(fd[0], fd[1]);
		rec("after %s", call_names[c]);
		place_close(&at);
		close(fd[0]);
		close(fd[1]);
	}
}

struct volley {
	int fd;
	pthread_t whom;
	_Atomic int round; /* each once; -1: be off */
};

/* Data and a signal at once. */
static void *volleys(void *arg)
{
	struct volley *v = arg;
	int done = 0, round;

	while ((round = atomic_load(&v->round)) >= 0) {
		if (round == done) {
			sched_yield();
			continue;
		}
		done = round;
		if (round % 2)
			pause_ms(1); /* it is asleep */
		(void)!send(v->fd, "x", 1, 0);
		pthread_kill(v->whom, SIGUSR1);
	}
	return NULL;
}

/* A handler jumps out just when the news has come: it is told at the next look. */
static void jump_with_news(struct pair *p)
{
	struct volley v = {p->b.fd, pthread_self(), 0};
	struct epoll_event ev = {.events = EPOLLIN};
	volatile int i, lost = 0, jumped = 0;
	pthread_t t;
	char byte;
	int ep;

	on(SIGUSR1, jumps, 0);
	ep = epoll_create1(0);
	epoll_ctl(ep, EPOLL_CTL_ADD, p->a.fd, &ev);
	pthread_create(&t, NULL, volleys, &v);
	for (i = 1; i <= 1000 && lost < 3; i++) {
		if (sigsetjmp(back, 1)) {
			jumped++;
		} else {
			atomic_store(&v.round, i);
			for (;;)
				(void)epoll_wait(ep, &ev, 1, 1000);
		}
		lost += epoll_wait(ep, &ev, 1, 1000) != 1;
		if (recv(p->a.fd, &byte, 1, 0) != 1)
			break;
	}
	atomic_store(&v.round, -1);
	pthread_join(t, NULL);
	rec("jumped %d, lost %d", jumped, lost);
	close(ep);
}

/* Jumps at any moment, and the bytes that come are those that were not read. */
static void jump_storm(struct pair *p)
{
	static char buf[4096];
	static volatile long bad;
	volatile long i;
	long n;

	on(SIGALRM, jumps, 0);
	bad = 0;
	for (i = 0; i < 300; i++) {
		if (!sigsetjmp(back, 1)) {
			timer(300 + i * 7);
			for (;;) {
				n = recv(p->a.fd, buf, sizeof(buf), 0);
				(void)n;
			}
		}
		timer(0);
		bad += do_step(p, B, SEND, 50, 0, 0).ret != 50;
		bad += recv(p->a.fd, buf, 50, MSG_WAITALL) != 50;
		bad += !pattern_is(buf, 50, 1, p->a.got);
		p->a.got += 50;
	}
	rec("bad %ld", bad);
	rec("quiet %d", switches(p) < 10);
}

/* --- cancellation --- */

struct victim {
	struct place at;
	enum call c;
	int type;
	int cleaned;
};

static void cleans(void *arg)
{
	((struct victim *)arg)->cleaned++;
}

static void *suffers(void *arg)
{
	struct victim *v = arg;

	pthread_setcanceltype(v->type, NULL);
	pthread_cleanup_push(cleans, v);
	(void)do_call(&v->at, v->c);
	pthread_cleanup_pop(0);
	return NULL;
}

static void cancel_all(struct pair *p, int type)
{
	struct victim v = {.type = type};
	pthread_t t;
	void *ret;

	place_open(&v.at, p->a.fd);
	for (v.c = C_RECV; v.c < CALLS; v.c++) {
		bool sends = v.c >= C_SEND && v.c < C_POLL;

		if (v.c == C_SENDFILE || v.c == C_SPLICE_IN)
			continue; /* no cancellation points */
		if (sends)
			(void)do_step(p, A, FILL, 0, 0, 0);
		v.cleaned = 0;
		pthread_create(&t, NULL, suffers, &v);
		pause_ms(30);
		pthread_cancel(t);
		pthread_join(t, &ret);
		rec("%s: cancelled %d, cleaned %d", call_names[v.c], ret == PTHREAD_CANCELED,
		    v.cleaned);
		if (!sends)
			continue;
		(void)do_step(p, B, DRAIN, 0, 0, 0);
		pause_ms(5);
		(void)do_step(p, B, DRAIN, 0, 0, 0);
	}
	rec("quiet %d", switches(p) < 10);
	place_close(&v.at);
	take(p, B, SEND, 5, 0, 0);
	take(p, A, RECV, 10, 0, 0);
	take(p, A, CLOSE, 0, 0, 0);
	pause_ms(20);
	(void)do_step(p, B, DRAIN, 0, 0, 0);
	take(p, B, TOEND, 0, 0, 0);
}

static void cancel_deferred(struct pair *p)
{
	cancel_all(p, PTHREAD_CANCEL_DEFERRED);
}

static void cancel_async(struct pair *p)
{
	cancel_all(p, PTHREAD_CANCEL_ASYNCHRONOUS);
}

/* Threads that are cancelled at any moment while they receive what comes. */
static void *takes_for_ever(void *arg)
{
	char c;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	while (recv(*(int *)arg, &c, 1, 0) == 1)
		;
	return NULL;
}

static void cancel_storm(struct pair *p)
{
	pthread_t t;
	int i;

	for (i = 0; i < 200; i++) {
		pthread_create(&t, NULL, takes_for_ever, &p->a.fd);
		(void)do_step(p, B, SEND, 1 + i % 40, 0, 0);
		if (i % 3)
			sched_yield();
		pthread_cancel(t);
		pthread_join(t, NULL);
	}
	(void)do_step(p, A, DRAIN, 0, 0, 0);
	rec("quiet %d", switches(p) < 10);
	take(p, A, SEND, 5, 0, 0);
	take(p, B, RECV, 10, 0, 0);
	take(p, A, SHUT, SHUT_WR, 0, 0);
	take(p, B, RECV, 10, 0, 0);
}

/* --- the end of a process --- */

static void at_exit_sends(void)
{
	(void)!write(the_fd, "exit", 4);
}

__attribute__((destructor)) static void destructor_sends(void)
{
	if (the_fd >= 0)
		(void)!write(the_fd, "dtor", 4);
}

static void *sends_till_end(void *arg)
{
	for (;;)
		if (send(*(int *)arg, "tttt", 4, MSG_NOSIGNAL) != 4)
			return NULL;
}

/* @threads that send while it ends. All that was sent arrives, in whole messages, and then the end. */
static void ends_sending(struct pair *p, int threads)
{
	static char in[65536];
	size_t have = 0;
	int fd[2], pid, i, st, exits = 0, dtors = 0, odd = 0;
	pthread_t t;
	ssize_t n;

	(void)p;
	pair_fds(fd);
	warm_fds(fd[0], fd[1]);
	pid = fork();
	if (!pid) {
		close(fd[1]);
		the_fd = fd[0];
		atexit(at_exit_sends);
		for (i = 0; i < threads; i++)
			pthread_create(&t, NULL, sends_till_end, &fd[0]);
		if (threads)
			pause_ms(30);
		exit(7);
	}
	close(fd[0]);
	while ((n = recv(fd[1], in + have, sizeof(in) - have, 0)) > 0) {
		size_t at = 0, all = have + (size_t)n;

		for (; all - at >= 4; at += 4) {
			exits += !memcmp(in + at, "exit", 4);
			dtors += !memcmp(in + at, "dtor", 4);
			odd += memcmp(in + at, "exit", 4) && memcmp(in + at, "dtor", 4) &&
			       memcmp(in + at, "tttt", 4);
		}
		have = all - at;
		memmove(in, in + at, have);
	}
	rec("end %s", n == 0 ? "yes" : strerror(errno));
	waitpid(pid, &st, 0);
	rec("exits %d, destructors %d, odd %d, status %x", exits, dtors, odd, st);
	close(fd[1]);
}

static void exit_sends(struct pair *p)
{
	ends_sending(p, 0);
}

static void exit_among_threads(struct pair *p)
{
	ends_sending(p, 2);
}

/* A thread that ends, with data of its own that are destroyed: these send. */
static pthread_key_t key;

static void key_sends(void *arg)
{
	(void)!send(*(int *)arg, "key!", 4, 0);
}

static void *has_key(void *arg)
{
	pthread_setspecific(key, arg);
	return NULL;
}

static void thread_ends(struct pair *p)
{
	pthread_t t;
	int i;

	pthread_key_create(&key, key_sends);
	for (i = 0; i < 20; i++) {
		pthread_create(&t, NULL, has_key, &p->a.fd);
		pthread_join(t, NULL);
	}
	rec_ret("B", do_step(p, B, RECVMSG, 80, MSG_TRUNC | MSG_WAITALL, 0).ret);
}

/* --- processes, while other threads are at it --- */

struct worker {
	int fd;
	int stop;
	long n;
};

static void *echoes(void *arg)
{
	struct worker *w = arg;
	char c = 'e';
	ssize_t n;

	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
		n = send(w->fd, &c, 1, 0);
		if (n == 1)
			n = recv(w->fd, &c, 1, 0);
		if (n != 1) {
			rec("echoes: %zd, %s", n, strerror(errno));
			break;
		}
		w->n++;
	}
	return NULL;
}

static void *answers(void *arg)
{
	int fd = *(int *)arg;
	ssize_t n;
	char c;

	while ((n = recv(fd, &c, 1, 0)) == 1 && (n = send(fd, &c, 1, 0)) == 1)
		;
	if (n)
		rec("answers: %zd, %s", n, strerror(errno));
	return NULL;
}

/* fork() at any moment of another thread's calls; the child uses nothing, or closes all. */
static void forks_among_calls(struct pair *p)
{
	struct worker w = {0};
	pthread_t t, u;
	int fd[2], i, st, bad = 0, pid;

	(void)p;
	pair_fds(fd);
	warm_fds(fd[0], fd[1]);
	w.fd = fd[0];
	pthread_create(&u, NULL, answers, &fd[1]);
	pthread_create(&t, NULL, echoes, &w);
	for (i = 0; i < 60; i++) {
		pid = fork();
		if (!pid) {
			if (i % 3 == 0) {
				close(fd[0]);
				close(fd[1]);
			}
			_exit(3);
		}
		bad += waitpid(pid, &st, 0) != pid || st != 0x300;
	}
	__atomic_store_n(&w.stop, 1, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	shutdown(fd[0], SHUT_WR);
	pthread_join(u, NULL);
	rec("bad %d, went on %d", bad, w.n > 100);
	close(fd[0]);
	close(fd[1]);
}

/* A child that is killed asleep is a holder, and a sleeper, no longer. */
static void killed_holder(struct pair *p)
{
	struct pollfd f = {.fd = p->a.fd, .events = POLLIN};
	int i, st, pid;
	char c;

	for (i = 0; i < 2; i++) {
		pid = fork();
		if (!pid) {
			if (i)
				(void)poll(&f, 1, -1);
			else
				(void)!recv(p->a.fd, &c, 1, 0);
			_exit(1);
		}
		pause_ms(40);
		kill(pid, SIGKILL);
		waitpid(pid, &st, 0);
		rec("status %x, quiet %d", st, switches(p) < 10);
	}
	take(p, B, SEND, 5, 0, 0);
	take(p, A, RECV, 10, 0, 0);
	take(p, A, SEND, 5, 0, 0);
	take(p, A, CLOSE, 0, 0, 0);
	take(p, B, RECV, 10, 0, 0);
	take(p, B, RECV, 10, 0, 0);
}

/* Readers, writers, pollers, and one that closes: nobody hangs, and what arrives is whole. */
struct crowd {
	int fd, ep;
	long in, out;
};

static void *crowd_reads(void *arg)
{
	struct crowd *c = arg;
	char buf[512];
	ssize_t n;

	while ((n = recv(c->fd, buf, sizeof(buf), 0)) > 0)
		__atomic_add_fetch(&c->in, n, __ATOMIC_RELAXED);
	return NULL;
}

static void *crowd_writes(void *arg)
{
	struct crowd *c = arg;
	int i;

	for (i = 0; i < 2000; i++)
		if (send(c->fd, much, 100, MSG_NOSIGNAL) == 100)
			__atomic_add_fetch(&c->out, 100, __ATOMIC_RELAXED);
	return NULL;
}

static void *crowd_polls(void *arg)
{
	struct crowd *c = arg;
	struct pollfd f = {.fd = c->fd, .events = POLLIN};
	struct epoll_event ev;
	int i;

	for (i = 0; i < 300; i++) {
		if (poll(&f, 1, 10) < 0 || (f.revents & (POLLHUP | POLLRDHUP)))
			break;
		(void)epoll_wait(c->ep, &ev, 1, 1);
	}
	return NULL;
}

static void crowd(struct pair *p)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	struct crowd c[2] = {0};
	pthread_t t[2][5];
	int fd[2], i, j;

	(void)p;
	pair_fds(fd);
	warm_fds(fd[0], fd[1]);
	for (i = 0; i < 2; i++) {
		c[i].fd = fd[i];
		c[i].ep = epoll_create1(0);
		epoll_ctl(c[i].ep, EPOLL_CTL_ADD, fd[i], &ev);
		for (j = 0; j < 2; j++) {
			pthread_create(&t[i][j], NULL, crowd_reads, &c[i]);
			pthread_create(&t[i][2 + j], NULL, crowd_writes, &c[i]);
		}
		pthread_create(&t[i][4], NULL, crowd_polls, &c[i]);
	}
	for (i = 0; i < 2; i++)
		for (j = 2; j < 4; j++)
			pthread_join(t[i][j], NULL);
	for (i = 0; i < 2; i++)
		shutdown(fd[i], SHUT_WR);
	for (i = 0; i < 2; i++) {
		pthread_join(t[i][0], NULL);
		pthread_join(t[i][1], NULL);
		pthread_join(t[i][4], NULL);
	}
	rec("sent %ld %ld", c[0].out, c[1].out);
	rec("got %ld %ld", c[1].in, c[0].in);
	for (i = 0; i < 2; i++) {
		close(c[i].ep);
		close(fd[i]);
	}
}

const struct conform_case signal_cases[] = {
	{"EINTR in every call", ALL, NULL, every_eintr},
	{"SA_RESTART in every call", ALL, NULL, every_restart},
	{"SA_RESTART and a timeout in every call", SELF | FORK, NULL, every_timeout},
	{"EINTR without room", ALL, NULL, full_eintr},
	{"SA_RESTART, a part is done", ALL, NULL, part_restart},
	{"EINTR, making connections", SELF, NULL, making},
	{"a handler sends, blocking", ALL, NULL, handler_sends},
	{"a handler sends, no room", ALL, NULL, handler_sends_full},
	{"a handler is the program's", SELF, NULL, asks},
	{"queued signals", ALL, NULL, queued},
	{"queued signals, other stack", ALL, NULL, other_stacks},
	{"jumps out of calls", ALL, NULL, jump_out},
	{"jumps out of sending", ALL, NULL, jump_out_send},
	{"jumps out of first calls", 0, NULL, jump_out_young},
	{"jumps out with news", SELF, NULL, jump_with_news},
	{"jumps at any time", ALL, NULL, jump_storm},
	{"cancelled in every call", ALL, NULL, cancel_deferred},
	{"cancelled anywhere in every call", ALL, NULL, cancel_async},
	{"cancelled at any time", ALL, NULL, cancel_storm},
	{"exit sends", SELF, NULL, exit_sends},
	{"exit among sending threads", SELF, NULL, exit_among_threads},
	{"a thread's end sends", ALL, NULL, thread_ends},
	{"fork among calls", SELF, NULL, forks_among_calls},
	{"a holder is killed asleep", ALL, NULL, killed_holder},
	{"a crowd", SELF, NULL, crowd},
	{0},
};
