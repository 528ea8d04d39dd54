/* SPDX-License-Identifier: BSD-2-Clause */
/* broker.c - start, the event loop, stop; brk.h tells how the parts work together */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
#include "brk.h"
#include "log.h"

#define EVENTS 64

static uint64_t clock_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

#define FILES_MAX (1u << 20) /* as fs.nr_open is by default */

/*
 * Descriptors are shared out beforehand: a quarter to clients, an eighth to bells, the rest to pairs of three. More pairs
 * go to keepers.
 */
static void share_files(struct sl_brk *b, struct rlimit *old)
{
	struct rlimit rl = {.rlim_cur = 1024, .rlim_max = 1024};
	unsigned files;

	(void)getrlimit(RLIMIT_NOFILE, &rl);
	*old = rl;
	/* More than the hard limit is root's to have. */
	rl.rlim_cur = rl.rlim_max = rl.rlim_max > FILES_MAX ? rl.rlim_max : FILES_MAX;
	if (setrlimit(RLIMIT_NOFILE, &rl)) {
		rl.rlim_cur = rl.rlim_max = old->rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &rl))
			rl.rlim_cur = old->rlim_cur;
	}
	files = rl.rlim_cur > FILES_MAX ? FILES_MAX : (unsigned)rl.rlim_cur;
	files = files > 2 * SL_BRK_FILES_SPARE ? files - SL_BRK_FILES_SPARE : SL_BRK_FILES_SPARE;
	b->client_max = files / 4 < SL_BRK_CLIENTS_MAX ? files / 4 : SL_BRK_CLIENTS_MAX;
	b->bell_max = files / 8;
	b->own_max = (files - b->client_max - b->bell_max) / 3;
	b->keep_slots = files / 3;
	b->pair_max = b->own_max + SL_BRK_KEEPERS * b->keep_slots;
}

static int tabs_init(struct sl_brk *b)
{
	struct sl_tab *tabs[] = {
		&b->offer_by_id, &b->offer_by_cookie, &b->offer_by_tuple,
		&b->pair_by_id,	 &b->end_by_cookie,   &b->client_by_serial,
		&b->hold_by_id,	     &b->passed_by_cookie,
	};
	size_t i;

	for (i = 0; i < sizeof(tabs) / sizeof(tabs[0]); i++) {
		if (sl_tab_init(tabs[i]))
			return -ENOMEM;
	}
	return 0;
}

static void tabs_fini(struct sl_brk *b)
{
	sl_tab_fini(&b->offer_by_id);
	sl_tab_fini(&b->offer_by_cookie);
	sl_tab_fini(&b->offer_by_tuple);
	sl_tab_fini(&b->pair_by_id);
	sl_tab_fini(&b->end_by_cookie);
	sl_tab_fini(&b->client_by_serial);
	sl_tab_fini(&b->hold_by_id);
	sl_tab_fini(&b->passed_by_cookie);
}

static int signals_init(struct sl_brk *b, sigset_t *old)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &b->sigfd};
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &set, old);
	b->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (b->sigfd >= 0 && epoll_ctl(b->ep, EPOLL_CTL_ADD, b->sigfd, &ev) == 0)
		return 0;
	return -errno;
}

static void sooner(uint64_t *when, uint64_t other)
{
	if (other < *when)
		*when = other;
}

/* How long epoll_wait may sleep: to the end of a grace, of a pause, or of our idling. */
static int timeout_ms(const struct sl_brk *b)
{
	const struct sl_brk_end *e = TAILQ_FIRST(&b->graces);
	uint64_t when = UINT64_MAX;

	if (e)
		sooner(&when, e->until_ms);
	if (b->paused)
		sooner(&when, b->paused_until_ms);
	if (b->idle_ms && !b->client_count && !b->pair_count)
		sooner(&when, b->idle_from_ms + b->idle_ms);
	if (when == UINT64_MAX)
		return -1;
	return when <= b->now_ms ? 0 : (int)(when - b->now_ms > 60000 ? 60000 : when - b->now_ms);
}

static void run_timers(struct sl_brk *b)
{
	sl_brk_grace_run(b);
	if (b->paused && b->now_ms >= b->paused_until_ms)
		sl_brk_pause(b, false);
	if (!b->idle_ms || b->client_count || b->pair_count ||
	    b->now_ms < b->idle_from_ms + b->idle_ms)
		return;
	sl_brk_accept(b); /* somebody may have come at the last moment */
	b->stop = !b->client_count;
}

static void one_event(struct sl_brk *b, const struct epoll_event *ev)
{
	struct signalfd_siginfo si;

	if (ev->data.ptr == &b->lfd)
		sl_brk_accept(b);
	else if (ev->data.ptr == &b->sigfd)
		b->stop = read(b->sigfd, &si, sizeof(si)) > 0;
	else
		sl_brk_client_event(b, ev->data.ptr, ev->events);
}

static int serve(struct sl_brk *b)
{
	struct epoll_event ev[EVENTS];
	int i, n;

	while (!b->stop) {
		n = epoll_wait(b->ep, ev, EVENTS, timeout_ms(b));
		if (n < 0 && errno != EINTR)
			return -errno;
		sl_brk_stall_guard(true);
		b->now_ms = clock_ms();
		for (i = 0; i < n; i++)
			one_event(b, &ev[i]);
		sl_brk_reap(b);
		run_timers(b);
		sl_brk_stall_guard(false);
	}
	return 0;
}

static void let_all_go(struct sl_brk *b)
{
	struct sl_brk_client *c;
	struct sl_brk_pair *p;

	b->paused = false;
	while ((c = LIST_FIRST(&b->clients)) != NULL)
		sl_brk_kill(b, c, NULL);
	sl_brk_reap(b);
	sl_brk_passed_fini(b);
	sl_brk_keep_fini(b);
	while ((p = TAILQ_FIRST(&b->own)) != NULL || (p = TAILQ_FIRST(&b->kept)) != NULL)
		sl_brk_pair_free(b, p);
	sl_brk_users_sweep(b);
}

static void say_listening(const struct sl_brk *b)
{
	char text[sizeof(struct sockaddr_un) + 1];

	if (b->verbose)
		sl_log("broker: listening at %s, up to %u clients and %u pairs",
		       sl_addr_text(&b->addr, text, sizeof(text)), b->client_max, b->pair_max);
}

static void brk_init(struct sl_brk *b, const struct sl_broker_opts *opts)
{
	int idle_s = opts->idle_s;

	memset(b, 0, sizeof(*b));
	LIST_INIT(&b->clients);
	LIST_INIT(&b->dying);
	LIST_INIT(&b->users);
	TAILQ_INIT(&b->own);
	TAILQ_INIT(&b->kept);
	TAILQ_INIT(&b->passed_idle);
	sl_brk_keep_init(b);
	TAILQ_INIT(&b->graces);
	b->system = opts->system;
	b->verbose = opts->verbose;
	b->uid = geteuid();
	if (idle_s < 0)
		idle_s = b->system ? 0 : SL_BROKER_IDLE_S;
	b->idle_ms = (uint64_t)idle_s * 1000;
	b->now_ms = b->idle_from_ms = clock_ms();
	b->next_pair = 1;
	b->next_serial = 1;
	b->sigfd = -1;
}

int sl_broker_run(const struct sl_broker_opts *opts)
{
	struct sigaction old_alarm;
	struct rlimit old_files;
	sigset_t old_mask;
	struct sl_brk b;
	int rc;

	brk_init(&b, opts);
	b.ep = epoll_create1(EPOLL_CLOEXEC);
	if (b.ep < 0)
		return -errno;
	rc = signals_init(&b, &old_mask);
	if (!rc)
		rc = tabs_init(&b);
	if (rc)
		goto fini;
	share_files(&b, &old_files);
	(void)sl_brk_stall_init(&old_alarm);
	rc = sl_brk_listen(&b);
	if (rc)
		goto put_back;
	say_listening(&b);
	rc = serve(&b);
	sl_brk_unlisten(&b);
	let_all_go(&b);
put_back:
	sl_brk_stall_guard(false);
	(void)sigaction(SIGALRM, &old_alarm, NULL);
	(void)setrlimit(RLIMIT_NOFILE, &old_files);
fini:
	tabs_fini(&b);
	if (b.sigfd >= 0)
		(void)close(b.sigfd);
	(void)sigprocmask(SIG_SETMASK, &old_mask, NULL);
	(void)close(b.ep);
	return rc;
}
