/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_programs.c - Redis, nginx and PostgreSQL with their own load generators
 *
 * Unmodified programs of the distribution. Two servers run side by side, one plain and one under
 * scilan; their clients take turns. A program that is not installed is skipped, with a word.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "bench.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct server {
	const struct sl_bench_variant *v;
	struct sl_bench_end end;
	int port;
	char dir[128]; /* its own */
};

static double secs(const struct sl_bench *b)
{
	return b->seconds > 0 ? b->seconds : b->quick ? 0.5 : 1.5;
}

static int rounds(const struct sl_bench *b)
{
	return b->rounds > 0 ? b->rounds : b->quick ? 1 : 3;
}

/* Where a program is, or NULL. Debian keeps servers where a user's PATH does not look. */
static const char *installed(const char *name)
{
	static const char *const dirs[] = {
		"/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/bin", "/sbin"};
	static char path[PATH_MAX];
	size_t i;

	for (i = 0; i < COUNT(dirs); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dirs[i], name);
		if (!access(path, X_OK))
			return path;
	}
	return NULL;
}

static bool missing(struct sl_bench *b, const char *const names[])
{
	char why[160];

	for (; *names; names++) {
		if (installed(*names))
			continue;
		(void)snprintf(why, sizeof(why), "%s is not installed", *names);
		sl_bench_skip(b, "programs", why);
		return true;
	}
	return false;
}

static int free_port(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = 0;

	if (fd >= 0 && !bind(fd, (struct sockaddr *)&sa, sizeof(sa)) &&
	    !getsockname(fd, (struct sockaddr *)&sa, &len))
		port = ntohs(sa.sin_port);
	if (fd >= 0)
		(void)close(fd);
	return port;
}

/* Until the server takes connections; false: it does not. */
static bool answers(struct sl_bench *b, const struct server *s)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)s->port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint64_t end = sl_bench_now_ns() + 15000000000u;
	int fd, rc;

	do {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		rc = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&sa, sizeof(sa));
		if (fd >= 0)
			(void)close(fd);
		if (!rc)
			return true;
		(void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	} while (sl_bench_now_ns() < end);
	(void)snprintf(b->why, sizeof(b->why), "the server does not listen");
	return false;
}

/* The number behind @key in the output of a program; NAN-like -1: not there. */
static double find_number(const char *text, const char *key)
{
	const char *p = strstr(text, key);

	if (!p)
		return -1;
	p += strlen(key);
	return strtod(p + strspn(p, " \t:"), NULL);
}

static json_t *metrics(double rate, double p50_us, double p99_us)
{
	json_t *m = json_pack("{s:f}", "rate", rate);

	if (p50_us > 0)
		json_object_set_new(m, "p50_us", json_real(p50_us));
	if (p99_us > 0)
		json_object_set_new(m, "p99_us", json_real(p99_us));
	return m;
}

static void start_args(struct sl_bench_args *a, const char *program)
{
	memset(a, 0, sizeof(*a));
	sl_bench_arg(a, "%s", installed(program));
}

static void words(struct sl_bench_args *a, const char *const list[])
{
	for (; *list; list++)
		sl_bench_arg(a, "%s", *list);
}

/* --- Redis */

static bool redis_start(struct sl_bench *b, struct server *s)
{
	struct sl_bench_args a;

	s->port = free_port();
	(void)snprintf(s->dir, sizeof(s->dir), "%s/redis-%s", b->tmp, s->v->name);
	(void)mkdir(s->dir, 0700);
	start_args(&a, "redis-server");
	words(&a, (const char *const[]){"--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
					"--dir", s->dir, "--unixsocket", NULL});
	sl_bench_arg(&a, "%s/s", s->dir);
	sl_bench_arg(&a, "--port");
	sl_bench_arg(&a, "%d", s->port);
	return !sl_bench_spawn(b, &s->end, s->v, -1, &a) && answers(b, s);
}

/* One redis-benchmark. @how: its options, up to NULL. */
static json_t *redis_bench(struct sl_bench *b, const struct server *s,
			   const struct sl_bench_variant *v, const char *test, double requests,
			   const char *const how[])
{
	struct sl_bench_args a;
	char *text, *row;
	double f[7];
	json_t *m = NULL;
	int n;

	start_args(&a, "redis-benchmark");
	if (v->via == SL_BENCH_UNIX) {
		sl_bench_arg(&a, "-s");
		sl_bench_arg(&a, "%s/s", s->dir);
	} else {
		words(&a, (const char *const[]){"-h", "127.0.0.1", "-p", NULL});
		sl_bench_arg(&a, "%d", s->port);
	}
	words(&a, (const char *const[]){"--csv", "-t", test, "-n", NULL});
	sl_bench_arg(&a, "%.0f", requests);
	words(&a, how);
	text = sl_bench_output(b, v, &a, 60);
	row = text ? strstr(text, !strcmp(test, "get") ? "\"GET\"," : "\"SET\",") : NULL;
	n = row ? sscanf(row + 6, "\"%lf\",\"%lf\",\"%lf\",\"%lf\",\"%lf\",\"%lf\"", &f[0], &f[1],
			 &f[2], &f[3], &f[4], &f[5])
		: 0;
	if (n == 6)
		m = metrics(f[0], f[3] * 1e3, f[5] * 1e3);
	else if (text)
		(void)snprintf(b->why, sizeof(b->why), "redis-benchmark gives no result");
	free(text);
	return m;
}

/* redis-benchmark knows no duration: a short run finds out how many requests take so long. */
static json_t *redis_timed(struct sl_bench *b, const struct server *s,
			   const struct sl_bench_variant *v, double *requests,
			   const char *const how[])
{
	json_t *m;

	if (*requests <= 0) {
		m = redis_bench(b, s, v, "get", 2000, how);
		if (!m)
			return NULL;
		*requests = json_number_value(json_object_get(m, "rate")) * secs(b) / 2;
		json_decref(m);
		m = redis_bench(b, s, v, "get", *requests < 2000 ? 2000 : *requests, how);
		if (!m)
			return NULL;
		*requests = json_number_value(json_object_get(m, "rate")) * secs(b);
		json_decref(m);
		if (*requests < 1000)
			*requests = 1000;
	}
	return redis_bench(b, s, v, "get", *requests, how);
}

static void redis(struct sl_bench *b)
{
	static const struct {
		const char *id;
		const char *how[7];
	} rows[] = {{"redis-c50", {"-c", "50", NULL}},
		    {"redis-c1", {"-c", "1", NULL}},
		    {"redis-p16", {"-c", "50", "-P", "16", NULL}},
		    {"redis-k0", {"-c", "50", "-k", "0", NULL}}};
	static const struct sl_bench_variant *const vs[] = {&sl_bench_tcp, &sl_bench_unix,
							    &sl_bench_scilan};
	struct server plain = {.v = &sl_bench_tcp}, mine = {.v = &sl_bench_scilan};
	double requests[COUNT(vs)];
	size_t i, v;
	int r;

	if (missing(b, (const char *const[]){"redis-server", "redis-benchmark", NULL}))
		return;
	if (!redis_start(b, &plain) || !redis_start(b, &mine)) {
		sl_bench_skip(b, "programs", b->why);
		goto out;
	}
	for (i = 0; i < COUNT(rows); i++) {
		memset(requests, 0, sizeof(requests));
		for (r = 0; r < rounds(b); r++) {
			for (v = 0; v < COUNT(vs); v++) {
				const struct server *s = vs[v]->scilan ? &mine : &plain;

				sl_bench_step(b, "%s, %s", rows[i].id, vs[v]->title);
				if (!i && !r) /* so that GET finds something */
					json_decref(
						redis_bench(b, s, vs[v], "set", 1, rows[i].how));
				sl_bench_add(b, redis_timed(b, s, vs[v], &requests[v], rows[i].how),
					     "programs/%s/%s", vs[v]->name, rows[i].id);
			}
		}
	}
out:
	sl_bench_end(&plain.end, -1);
	sl_bench_end(&mine.end, -1);
}

/* --- nginx */

static const char nginx_conf[] = "daemon off;\n%s"
				 "worker_processes 1;\n"
				 "pid %s/pid;\n"
				 "error_log %s/error.log;\n"
				 "events { worker_connections 1024; }\n"
				 "http {\n"
				 "  access_log off;\n"
				 "  sendfile on;\n"
				 "  tcp_nopush on;\n"
				 "  default_type application/octet-stream;\n"
				 "  keepalive_requests 100000000;\n"
				 "  client_body_temp_path %s/t1;\n"
				 "  proxy_temp_path %s/t2;\n"
				 "  fastcgi_temp_path %s/t3;\n"
				 "  uwsgi_temp_path %s/t4;\n"
				 "  scgi_temp_path %s/t5;\n"
				 "  server { listen 127.0.0.1:%d; root %s; }\n"
				 "}\n";

static void make_file(const char *dir, const char *name, size_t size)
{
	char path[192];
	FILE *f;
	size_t i;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	for (i = 0; f && i < size; i++)
		(void)fputc((int)(i * 7 % 251), f);
	if (f)
		(void)fclose(f);
}

static bool nginx_start(struct sl_bench *b, struct server *s)
{
	struct sl_bench_args a;
	char path[192];
	FILE *f;

	s->port = free_port();
	(void)snprintf(s->dir, sizeof(s->dir), "%s/nginx-%s", b->tmp, s->v->name);
	(void)mkdir(s->dir, 0755);
	make_file(s->dir, "612", 612);
	make_file(s->dir, "100k", 102400);
	(void)snprintf(path, sizeof(path), "%s/conf", s->dir);
	f = fopen(path, "we");
	if (!f)
		return false;
	/* As root the workers stay root: both ends are then one user's, with one broker. */
	(void)fprintf(f, nginx_conf, geteuid() ? "" : "user root;\n", s->dir, s->dir, s->dir,
		      s->dir, s->dir, s->dir, s->dir, s->port, s->dir);
	(void)fclose(f);
	start_args(&a, "nginx");
	words(&a, (const char *const[]){"-p", s->dir, "-c", path, "-e", NULL});
	sl_bench_arg(&a, "%s/error.log", s->dir);
	return !sl_bench_spawn(b, &s->end, s->v, -1, &a) && answers(b, s);
}

/* wrk's 123.45us, 1.23ms, 1.23s in µs. */
static double wrk_time(const char *text, const char *key)
{
	const char *p = strstr(text, key);
	char *unit;
	double v;

	if (!p)
		return -1;
	v = strtod(p + strlen(key), &unit);
	return *unit == 'u' ? v : *unit == 'm' ? v * 1e3 : v * 1e6;
}

static json_t *wrk(struct sl_bench *b, const struct server *s, const char *name)
{
	struct sl_bench_args a;
	json_t *m = NULL;
	char *text;
	double rate;

	start_args(&a, "wrk");
	words(&a, (const char *const[]){"-t1", "-c32", "--latency", NULL});
	sl_bench_arg(&a, "-d%.0fs", secs(b) < 1 ? 1.0 : secs(b));
	sl_bench_arg(&a, "http://127.0.0.1:%d/%s", s->port, name);
	text = sl_bench_output(b, s->v, &a, secs(b) + 30);
	rate = text ? find_number(text, "Requests/sec:") : -1;
	if (text && (strstr(text, "Socket errors") || strstr(text, "Non-2xx")))
		(void)snprintf(b->why, sizeof(b->why), "wrk met errors");
	else if (rate > 0)
		m = metrics(rate, wrk_time(text, " 50%"), wrk_time(text, " 99%"));
	else if (text)
		(void)snprintf(b->why, sizeof(b->why), "wrk gives no result");
	free(text);
	return m;
}

/* A connection for each request. */
static json_t *ab(struct sl_bench *b, const struct server *s)
{
	struct sl_bench_args a;
	json_t *m = NULL;
	char *text;
	double rate;

	start_args(&a, "ab");
	words(&a, (const char *const[]){"-q", "-c", "8", "-n", NULL});
	sl_bench_arg(&a, "%.0f", 6000 * secs(b));
	sl_bench_arg(&a, "http://127.0.0.1:%d/612", s->port);
	text = sl_bench_output(b, s->v, &a, 60);
	rate = text ? find_number(text, "Requests per second:") : -1;
	if (text && find_number(text, "Failed requests:") != 0)
		(void)snprintf(b->why, sizeof(b->why), "ab met failed requests");
	else if (rate > 0)
		m = metrics(rate, -1, -1);
	free(text);
	return m;
}

static void nginx(struct sl_bench *b)
{
	struct server s[] = {{.v = &sl_bench_tcp}, {.v = &sl_bench_scilan}};
	bool has_ab;
	size_t i;
	int r;

	if (missing(b, (const char *const[]){"nginx", "wrk", NULL}))
		return;
	has_ab = installed("ab") != NULL;
	if (!has_ab)
		sl_bench_skip(b, "programs", "ab (apache2-utils) is not installed");
	if (!nginx_start(b, &s[0]) || !nginx_start(b, &s[1])) {
		sl_bench_skip(b, "programs", b->why);
		goto out;
	}
	for (r = 0; r < rounds(b); r++) {
		for (i = 0; i < COUNT(s); i++) {
			sl_bench_step(b, "nginx 612 B, %s", s[i].v->title);
			sl_bench_add(b, wrk(b, &s[i], "612"), "programs/%s/nginx-612",
				     s[i].v->name);
		}
		for (i = 0; i < COUNT(s); i++) {
			sl_bench_step(b, "nginx 100 KiB, %s", s[i].v->title);
			sl_bench_add(b, wrk(b, &s[i], "100k"), "programs/%s/nginx-100k",
				     s[i].v->name);
		}
	}
	for (r = 0; r < rounds(b) + 2 && has_ab; r++) { /* 2% is a fine line */
		for (i = 0; i < COUNT(s); i++) {
			sl_bench_step(b, "nginx without keep-alive, %s", s[i].v->title);
			sl_bench_add(b, ab(b, &s[i]), "programs/%s/nginx-ab", s[i].v->name);
		}
	}
out:
	sl_bench_end(&s[0].end, -1);
	sl_bench_end(&s[1].end, -1);
}

/* --- PostgreSQL; it refuses to be root: server and pgbench then run as another user */

static char pg_bin[128];

static bool pg_find(void)
{
	glob_t g;
	char *slash;

	if (glob("/usr/lib/postgresql/*/bin/pgbench", 0, NULL, &g))
		return false;
	(void)snprintf(pg_bin, sizeof(pg_bin), "%s", g.gl_pathv[g.gl_pathc - 1]);
	globfree(&g);
	slash = strrchr(pg_bin, '/');
	if (slash)
		*slash = '\0';
	return true;
}

static void pg_args(struct sl_bench_args *a, const char *program)
{
	memset(a, 0, sizeof(*a));
	sl_bench_arg(a, "%s/%s", pg_bin, program);
}

static bool pg_run(struct sl_bench *b, const struct sl_bench_args *a)
{
	char *text = sl_bench_output(b, NULL, a, 60);

	free(text);
	return text != NULL;
}

/* It listens before it lets anybody in. */
static bool pg_ready(struct sl_bench *b, const struct server *s)
{
	uint64_t end = sl_bench_now_ns() + 15000000000u;
	struct sl_bench_args a;

	pg_args(&a, "pg_isready");
	words(&a, (const char *const[]){"-q", "-h", "127.0.0.1", "-p", NULL});
	sl_bench_arg(&a, "%d", s->port);
	while (!pg_run(b, &a)) {
		if (sl_bench_now_ns() > end)
			return false;
		(void)nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	}
	return true;
}

static bool pg_start(struct sl_bench *b, struct server *s)
{
	struct sl_bench_args a;

	s->port = free_port();
	(void)snprintf(s->dir, sizeof(s->dir), "%s/pg-%s", b->tmp, s->v->name);
	pg_args(&a, "initdb");
	words(&a, (const char *const[]){"-D", s->dir, "-A", "trust", "-U", "bench", "-N",
					"--no-instructions", NULL});
	if (!pg_run(b, &a))
		return false;
	pg_args(&a, "postgres");
	words(&a, (const char *const[]){"-D", s->dir, "-k", s->dir, "-c", "fsync=off", "-c",
					"listen_addresses=127.0.0.1", "-p", NULL});
	sl_bench_arg(&a, "%d", s->port);
	if (sl_bench_spawn(b, &s->end, s->v, -1, &a) || !answers(b, s) || !pg_ready(b, s))
		return false;
	pg_args(&a, "pgbench");
	words(&a, (const char *const[]){"-i", "-q", "-s", "4", "-U", "bench", "-h", "127.0.0.1",
					"-p", NULL});
	sl_bench_arg(&a, "%d", s->port);
	sl_bench_arg(&a, "postgres");
	return pg_run(b, &a);
}

static json_t *pgbench(struct sl_bench *b, const struct server *s, const char *script)
{
	struct sl_bench_args a;
	json_t *m = NULL;
	double rate, ms;
	char *text;

	pg_args(&a, "pgbench");
	words(&a, (const char *const[]){"-n", "-c", "8", "-U", "bench", "-h", "127.0.0.1", "-b",
					script, "-T", NULL});
	sl_bench_arg(&a, "%.0f", secs(b) < 1 ? 1.0 : secs(b));
	sl_bench_arg(&a, "-p");
	sl_bench_arg(&a, "%d", s->port);
	sl_bench_arg(&a, "postgres");
	text = sl_bench_output(b, s->v, &a, secs(b) + 30);
	rate = text ? find_number(text, "tps =") : -1;
	ms = text ? find_number(text, "latency average =") : -1;
	if (rate > 0) {
		m = metrics(rate, -1, -1);
		json_object_set_new(m, "mean_us", json_real(ms * 1e3));
	} else if (text) {
		(void)snprintf(b->why, sizeof(b->why), "pgbench gives no result");
	}
	free(text);
	return m;
}

static void postgres(struct sl_bench *b)
{
	static const char *const scripts[] = {"select-only", "simple-update", "tpcb-like"};
	static const char *const ids[] = {"pgbench-select", "pgbench-update", "pgbench-tpcb"};
	struct server s[] = {{.v = &sl_bench_tcp}, {.v = &sl_bench_scilan}};
	const struct passwd *pw = geteuid() ? NULL : getpwnam("postgres");
	size_t i, k;
	int r;

	if (!pg_find()) {
		sl_bench_skip(b, "programs", "PostgreSQL is not installed");
		return;
	}
	if (!geteuid() && !pw) {
		sl_bench_skip(b, "programs",
			      "PostgreSQL does not run as root, and there is no user "
			      "postgres");
		return;
	}
	if (pw) {
		b->as_uid = pw->pw_uid;
		b->as_gid = pw->pw_gid;
		(void)chmod(b->tmp, 0777);
	}
	sl_bench_step(b, "making two databases");
	if (!pg_start(b, &s[0]) || !pg_start(b, &s[1])) {
		sl_bench_skip(b, "programs", b->why);
		goto out;
	}
	for (r = 0; r < rounds(b); r++) {
		for (k = 0; k < COUNT(scripts); k++) {
			for (i = 0; i < COUNT(s); i++) {
				sl_bench_step(b, "pgbench %s, %s", scripts[k], s[i].v->title);
				sl_bench_add(b, pgbench(b, &s[i], scripts[k]), "programs/%s/%s",
					     s[i].v->name, ids[k]);
			}
		}
	}
out:
	sl_bench_end(&s[0].end, -1);
	sl_bench_end(&s[1].end, -1);
	b->as_uid = b->as_gid = 0;
}

void sl_bench_part_programs(struct sl_bench *b)
{
	sl_bench_expect(b, (unsigned)rounds(b) * (12 + 4 + 2 + 6) + 5);
	redis(b);
	nginx(b);
	postgres(b);
}
