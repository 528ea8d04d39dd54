/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_pair.c - two ends and what they measure: one run of a driver, as an object of metrics */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>
#include "bench.h"

const struct sl_bench_variant sl_bench_tcp = {.name = "tcp", .title = "TCP"};
const struct sl_bench_variant sl_bench_spin = {
	.name = "tcp-spin", .title = "TCP, both spinning", .wait = "spin"};
const struct sl_bench_variant sl_bench_unix = {
	.name = "unix", .title = "Unix socket", .via = SL_BENCH_UNIX};
const struct sl_bench_variant sl_bench_pipe = {
	.name = "pipe", .title = "pipe", .via = SL_BENCH_PIPE};
const struct sl_bench_variant sl_bench_sockmap_v = {
	.name = "sockmap", .title = "eBPF sockmap", .sockmap = true};
const struct sl_bench_variant sl_bench_scilan = {
	.name = "scilan", .title = "scilan", .scilan = true};
const struct sl_bench_variant sl_bench_eager = {
	.name = "scilan-eager", .title = "scilan, eager", .scilan = true, .promote = "eager"};

const char *const sl_bench_where_names[] = {"one", "two", "free"};
const char *const sl_bench_where_titles[] = {"one core", "two cores", "unpinned"};

struct pair {
	struct sl_bench_end server, client;
	struct sl_bench_sockmap *sockmap;
	char address[256];
};

static const char *wait_of(const struct sl_bench_run *r)
{
	return r->v->wait ? r->v->wait : r->wait ? r->wait : "blocking";
}

static void add_cpu(const struct sl_bench *b, const struct sl_bench_run *r, struct sl_bench_args *a,
		    bool client)
{
	if (r->where == SL_BENCH_FREE)
		return;
	sl_bench_arg(a, "--cpu");
	sl_bench_arg(a, "%d", b->cpu[client && r->where == SL_BENCH_TWO && b->cpus > 1]);
}

static void add_number(struct sl_bench_args *a, const char *option, uint64_t v)
{
	sl_bench_arg(a, "%s", option);
	sl_bench_arg(a, "%llu", (unsigned long long)v);
}

static void add_seconds(struct sl_bench_args *a, const char *option, double s)
{
	sl_bench_arg(a, "%s", option);
	sl_bench_arg(a, "%.6f", s);
}

static void begin(const struct sl_bench *b, struct sl_bench_args *a, const char *driver)
{
	memset(a, 0, sizeof(*a));
	sl_bench_arg(a, "%s/%s", b->drivers, driver);
}

/* Start a server with what stands in @a behind the address, and learn its address. */
static int serve(struct sl_bench *b, const struct sl_bench_run *r, const char *driver,
		 const struct sl_bench_args *options, struct pair *p)
{
	static unsigned pipes;
	struct sl_bench_args a;
	json_t *line;
	int i;

	memset(p, 0, sizeof(*p));
	begin(b, &a, driver);
	sl_bench_arg(&a, "server");
	if (r->v->via == SL_BENCH_UNIX)
		sl_bench_arg(&a, "unix");
	else if (r->v->via == SL_BENCH_PIPE)
		sl_bench_arg(&a, "pipe:%s/%u", b->tmp, pipes++);
	else
		sl_bench_arg(&a, "%s:0", r->server ? r->server : "127.0.0.1");
	add_cpu(b, r, &a, false);
	for (i = 0; i < options->argc; i++)
		sl_bench_arg(&a, "%s", options->argv[i]);
	if (sl_bench_spawn(b, &p->server, r->v, r->net, &a))
		return -EIO;
	line = sl_bench_read(b, &p->server, 10);
	if (line)
		(void)snprintf(p->address, sizeof(p->address), "%s",
			       json_string_value(json_object_get(line, "address")));
	json_decref(line);
	if (line)
		return 0;
	sl_bench_end(&p->server, 0);
	return -EIO;
}

static int connect_client(struct sl_bench *b, const struct sl_bench_run *r, const char *driver,
			  const struct sl_bench_args *options, struct pair *p)
{
	struct sl_bench_args a;
	int i;

	begin(b, &a, driver);
	sl_bench_arg(&a, "client");
	sl_bench_arg(&a, "%s", p->address);
	add_cpu(b, r, &a, true);
	for (i = 0; i < options->argc; i++)
		sl_bench_arg(&a, "%s", options->argv[i]);
	return sl_bench_spawn(b, &p->client, r->v, -1, &a);
}

static void end_pair(struct pair *p, double seconds)
{
	sl_bench_end(&p->client, seconds);
	sl_bench_end(&p->server, seconds);
	sl_bench_sockmap_leave(p->sockmap);
	p->sockmap = NULL;
}

/* The client is connected, and nothing is under way. */
static bool ready(struct sl_bench *b, const struct sl_bench_run *r, struct pair *p)
{
	json_t *line = sl_bench_read(b, &p->client, r->crowded ? 40 : 20);

	json_decref(line);
	if (line && r->v->sockmap) {
		p->sockmap = sl_bench_sockmap_join(b, p->server.pid, p->client.pid);
		return p->sockmap != NULL;
	}
	return line != NULL;
}

static double number(const json_t *o, const char *name)
{
	return json_number_value(json_object_get(o, name));
}

static void put(json_t *o, const char *name, double v)
{
	if (!isfinite(v))
		return;
	json_object_set_new(o, name, json_real(v));
}

/* --- counts of both ends */

struct counts {
	struct sl_bench_count server, client;
};

static void count(const struct sl_bench_run *r, const struct pair *p, struct counts *c)
{
	sl_bench_count(p->server.pid, r->v->scilan, &c->server);
	sl_bench_count(p->client.pid, r->v->scilan, &c->client);
}

/* @messages: one way each. What the memory lane carried says whether this was scilan at all. */
static void put_counts(json_t *m, const struct sl_bench_run *r, const struct counts *from,
		       const struct counts *to, double messages)
{
	double memory, tcp, bells;

	if (messages <= 0)
		return;
	put(m, "cpu_server_us", (to->server.cpu_s - from->server.cpu_s) * 1e6 / messages);
	put(m, "cpu_client_us", (to->client.cpu_s - from->client.cpu_s) * 1e6 / messages);
	put(m, "cpu_us",
	    (to->server.cpu_s + to->client.cpu_s - from->server.cpu_s - from->client.cpu_s) * 1e6 /
		    messages);
	put(m, "sleeps",
	    (double)(to->server.sleeps + to->client.sleeps - from->server.sleeps -
		     from->client.sleeps) /
		    messages);
	if (!r->v->scilan)
		return;
	bells = (double)(to->server.bells + to->client.bells - from->server.bells -
			 from->client.bells);
	memory = (double)(to->server.bytes_memory + to->client.bytes_memory -
			  from->server.bytes_memory - from->client.bytes_memory);
	tcp = (double)(to->server.bytes_tcp + to->client.bytes_tcp - from->server.bytes_tcp -
		       from->client.bytes_tcp);
	put(m, "bells", bells / messages);
	put(m, "memory_share", memory + tcp > 0 ? memory / (memory + tcp) : 0);
	if (memory < tcp && *to->client.reason)
		json_object_set_new(m, "reason", json_string(to->client.reason));
}

/* --- ping-pong, closed loop and open */

/* Round trips before: enough for promotion, and for spins to have learnt. */
static uint64_t warmup(const struct sl_bench *b, uint64_t size)
{
	return size > 65536 ? 40 : size > 4096 ? 200 : b->quick ? 400 : 1000;
}

/* The client is ready: look, let it go, wait for its result, look again. */
static json_t *watch(struct sl_bench *b, const struct sl_bench_run *r, struct pair *p)
{
	json_t *got, *m;
	struct counts from, to;
	struct sl_bench_calls *calls[2] = {NULL, NULL};
	double n;

	if (!ready(b, r, p))
		return NULL;
	count(r, p, &from);
	if (r->calls) {
		calls[0] = sl_bench_calls_begin(b, p->server.pid);
		calls[1] = sl_bench_calls_begin(b, p->client.pid);
	}
	sl_bench_go(&p->client);
	got = sl_bench_read(b, &p->client, r->seconds * 2 + 30);
	count(r, p, &to);
	n = sl_bench_calls_end(calls[0]) + sl_bench_calls_end(calls[1]);
	if (!got)
		return NULL;
	sl_bench_go(&p->client);
	m = json_object();
	if (r->calls) {
		put(m, "system_calls", n / (2 * number(got, "count")));
	} else {
		put(m, "p50_us", number(got, "p50_ns") / 1e3);
		put(m, "p99_us", number(got, "p99_ns") / 1e3);
		put(m, "p999_us", number(got, "p999_ns") / 1e3);
		put(m, "rate", number(got, "rate"));
		put(m, "count", number(got, "count"));
		put_counts(m, r, &from, &to, 2 * number(got, "count"));
		if (r->load)
			put(m, "unsent", number(got, "unsent"));
	}
	json_decref(got);
	return m;
}

static void pingpong_options(const struct sl_bench *b, const struct sl_bench_run *r,
			     struct sl_bench_args *server, struct sl_bench_args *client)
{
	memset(server, 0, sizeof(*server));
	add_number(server, "--size", r->size);
	sl_bench_arg(server, "--wait");
	sl_bench_arg(server, "%s", wait_of(r));
	if (r->load) {
		memset(client, 0, sizeof(*client));
		add_number(client, "--size", r->size);
		add_number(client, "--rate", r->rate);
	} else {
		*client = (struct sl_bench_args){0};
		add_number(client, "--size", r->size);
		sl_bench_arg(client, "--wait");
		sl_bench_arg(client, "%s", wait_of(r));
		if (r->gap_us)
			add_number(client, "--gap", r->gap_us);
	}
	add_seconds(client, "--seconds", r->seconds);
	add_number(client, "--warmup", warmup(b, r->size));
	add_seconds(client, "--warmup-seconds", r->crowded ? 0.3 : 0.15);
	sl_bench_arg(client, "--hold");
	if (r->v->sockmap) { /* its blocking recv() waits once: woken for nothing, it says EAGAIN */
		sl_bench_arg(server, "--again");
		sl_bench_arg(client, "--again");
	}
}

json_t *sl_bench_pingpong(struct sl_bench *b, const struct sl_bench_run *r)
{
	struct sl_bench_args server, client;
	json_t *m = NULL;
	struct pair p;

	pingpong_options(b, r, &server, &client);
	if (serve(b, r, "pingpong", &server, &p))
		return NULL;
	if (!connect_client(b, r, r->load ? "load" : "pingpong", &client, &p))
		m = watch(b, r, &p);
	end_pair(&p, m && !r->v->sockmap ? 2 : 0); /* a sockmap may keep back the end */
	return m;
}

/* --- streams */

json_t *sl_bench_stream(struct sl_bench *b, const struct sl_bench_run *r)
{
	static const struct counts nothing;
	struct sl_bench_args server = {0}, client = {0};
	double settle = r->seconds / 3;
	struct sl_bench_calls *calls[2] = {NULL, NULL};
	json_t *m = NULL, *got = NULL;
	struct counts to;
	struct pair p;
	double n;

	add_number(&server, "--size", r->size);
	add_seconds(&server, "--settle", settle);
	sl_bench_arg(&server, "--hold");
	add_number(&client, "--size", r->size);
	add_seconds(&client, "--seconds", r->seconds + settle);
	if (!strcmp(wait_of(r), "spin")) {
		sl_bench_arg(&server, "--spin");
		sl_bench_arg(&client, "--spin");
	}
	if (r->v->sockmap) {
		sl_bench_arg(&client, "--hold");
		sl_bench_arg(&server, "--again");
	}
	if (r->threads > 1) {
		add_number(&server, "--threads", r->threads);
		add_number(&client, "--threads", r->threads);
	}
	if (serve(b, r, "stream", &server, &p))
		return NULL;
	if (r->calls)
		calls[0] = sl_bench_calls_begin(b, p.server.pid);
	if (!connect_client(b, r, "stream", &client, &p)) {
		if (r->calls)
			calls[1] = sl_bench_calls_begin(b, p.client.pid);
		if (!r->v->sockmap || ready(b, r, &p)) {
			sl_bench_go(&p.client);
			got = sl_bench_read(b, &p.server, r->seconds * 3 + 30);
		}
	}
	if (got) {
		count(r, &p, &to);
		n = sl_bench_calls_end(calls[0]) + sl_bench_calls_end(calls[1]);
		m = json_object();
		if (r->calls) {
			put(m, "system_calls", n / (number(got, "bytes") / (double)r->size));
		} else {
			put(m, "messages_s", number(got, "messages_s"));
			put(m, "gb_s", number(got, "gb_s"));
			put_counts(m, r, &nothing, &to, number(got, "bytes") / (double)r->size);
		}
		sl_bench_go(&p.server);
		json_decref(got);
	}
	end_pair(&p, m && !r->v->sockmap ? 2 : 0); /* a sockmap may keep back the end */
	return m;
}

/* --- short connections, and the first messages of long ones */

json_t *sl_bench_conns(struct sl_bench *b, const struct sl_bench_run *r, int messages)
{
	struct sl_bench_args server = {0}, client = {0};
	json_t *m = NULL, *got = NULL;
	struct pair p;

	add_number(&server, "--exchange", r->size);
	add_number(&server, "--messages", (uint64_t)messages);
	client = (struct sl_bench_args){0};
	add_number(&client, "--exchange", r->size);
	add_number(&client, "--messages", (uint64_t)messages);
	add_seconds(&client, "--seconds", r->seconds);
	if (messages > 1)
		sl_bench_arg(&client, "--each");
	if (serve(b, r, "conns", &server, &p))
		return NULL;
	if (!connect_client(b, r, "conns", &client, &p))
		got = sl_bench_read(b, &p.client, r->seconds + 30);
	if (got) {
		m = json_object();
		put(m, "rate", number(got, "rate"));
		put(m, "p50_us", number(got, "p50_ns") / 1e3);
		put(m, "p99_us", number(got, "p99_ns") / 1e3);
		if (messages > 1) {
			json_object_set(m, "each_p50_ns", json_object_get(got, "each_p50_ns"));
			json_object_set(m, "each_p99_ns", json_object_get(got, "each_p99_ns"));
		}
		json_decref(got);
	}
	sl_bench_end(&p.client, m ? 2 : 0);
	sl_bench_end(&p.server, 0); /* it waits for ever */
	return m;
}

/* --- idle connections */

static bool phase(struct sl_bench *b, struct pair *p, const char *name, double seconds)
{
	json_t *line = sl_bench_read(b, &p->client, seconds);
	const char *got = json_string_value(json_object_get(line, "phase"));
	bool ok = got && !strcmp(got, name);

	if (line && !ok)
		(void)snprintf(b->why, sizeof(b->why), "it said %s, not %s", got ? got : "nothing",
			       name);
	json_decref(line);
	return ok;
}

json_t *sl_bench_idle(struct sl_bench *b, const struct sl_bench_run *r, int connections)
{
	struct sl_bench_args server = {0}, client = {0};
	struct counts from, to;
	json_t *m = NULL;
	struct pair p;

	add_number(&client, "--connections", (uint64_t)connections);
	add_number(&client, "--warm", 16);
	add_seconds(&client, "--settle", b->quick ? 0.3 : 1);
	add_seconds(&client, "--seconds", r->seconds);
	if (serve(b, r, "idle", &server, &p))
		return NULL;
	if (connect_client(b, r, "idle", &client, &p) || !phase(b, &p, "warm", 60))
		goto out;
	if (!phase(b, &p, "idle", 20))
		goto out;
	count(r, &p, &from);
	if (!phase(b, &p, "done", r->seconds + 20))
		goto out;
	count(r, &p, &to);
	if (!phase(b, &p, "alive", 20)) /* they live: one more message on each */
		goto out;
	m = json_object();
	put(m, "cpu_ms_per_s",
	    (to.server.cpu_s + to.client.cpu_s - from.server.cpu_s - from.client.cpu_s) * 1e3 /
		    r->seconds);
	put(m, "sleeps_per_s",
	    (double)(to.server.sleeps + to.client.sleeps - from.server.sleeps -
		     from.client.sleeps) /
		    r->seconds);
	if (r->v->scilan && to.client.conns)
		put(m, "memory_share", (double)to.client.conns_memory / to.client.conns);
out:
	end_pair(&p, m ? 5 : 0);
	return m;
}

/* --- several pairs of processes at once */

#define PAIRS_MAX 64

json_t *sl_bench_pairs(struct sl_bench *b, const struct sl_bench_run *r, int pairs)
{
	static struct pair p[PAIRS_MAX];
	struct sl_bench_args server, client;
	double rate = 0, worst = 0;
	json_t *m = NULL, *line;
	int i, started;

	pingpong_options(b, r, &server, &client);
	for (started = 0; started < pairs && started < PAIRS_MAX; started++) {
		if (serve(b, r, "pingpong", &server, &p[started]))
			goto out;
		if (connect_client(b, r, "pingpong", &client, &p[started])) {
			started++;
			goto out;
		}
	}
	for (i = 0; i < pairs; i++) {
		line = sl_bench_read(b, &p[i].client, 30);
		if (!line)
			goto out;
		json_decref(line);
	}
	for (i = 0; i < pairs; i++)
		sl_bench_go(&p[i].client);
	for (i = 0; i < pairs; i++) {
		line = sl_bench_read(b, &p[i].client, r->seconds + 30);
		if (!line)
			goto out;
		rate += number(line, "rate");
		if (number(line, "p50_ns") > worst)
			worst = number(line, "p50_ns");
		json_decref(line);
		sl_bench_go(&p[i].client);
	}
	m = json_object();
	put(m, "rate", rate);
	put(m, "p50_us", worst / 1e3); /* of the slowest pair */
out:
	for (i = 0; i < started; i++)
		end_pair(&p[i], m ? 2 : 0);
	return m;
}
