/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_sys.c - what the benchmark stands on: CPUs, network, broker, temporary files
 *
 * The runs take place in a network namespace of their own, where that is allowed: nothing but
 * loopback is in it, cubic is set there for every connection over it (as an attribute of
 * the route, which takes any algorithm), and nothing of the machine is changed. A broker of our own
 * serves the scilan variants and ends with us.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <gnu/libc-version.h>
#include <linux/capability.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "bench.h"
#include "common.h"
#include "env.h"
#include "log.h"
#include "preload.h"
#include "start.h"

#ifndef SL_LIBEXECDIR
#define SL_LIBEXECDIR "/usr/local/libexec"
#endif

uint64_t sl_bench_now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* --- finding things */

static int find_drivers(struct sl_bench *b)
{
	static const char *const beside[] = {"/bench", "/../libexec/scilan/bench",
					     "/../lib/scilan/bench"};
	char dir[PATH_MAX - 64], name[PATH_MAX + 16], *slash;
	ssize_t n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
	size_t i;

	dir[n > 0 ? n : 0] = '\0';
	slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
	for (i = 0; i <= sizeof(beside) / sizeof(beside[0]); i++) {
		if (i < sizeof(beside) / sizeof(beside[0]))
			(void)snprintf(b->drivers, sizeof(b->drivers), "%s%s", dir, beside[i]);
		else
			(void)strcpy(b->drivers, SL_LIBEXECDIR "/scilan/bench");
		(void)snprintf(name, sizeof(name), "%s/pingpong", b->drivers);
		if (!access(name, X_OK))
			return 0;
	}
	sl_log("bench: its drivers are neither beside this program nor in %s", b->drivers);
	return 1;
}

static int find_library(struct sl_bench *b)
{
	int rc = sl_preload_find(b->lib);

	if (rc == -EINVAL)
		sl_log("%s: a path with a space or a colon cannot be preloaded", b->lib);
	else if (rc)
		sl_log("%s not found beside this program or in its library directory; set "
		       "SCILAN_LIB",
		       SL_LIB_NAME);
	return rc ? 1 : 0;
}

static void read_text(const char *path, char *text, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, len - 1);

	if (fd >= 0)
		(void)close(fd);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

/* Two CPUs on different cores if there are. */
static void choose_cpus(struct sl_bench *b)
{
	char path[96], core[64], first[64] = "";
	cpu_set_t set;
	int cpu;

	b->cpu[0] = b->cpu[1] = -1;
	if (sched_getaffinity(0, sizeof(set), &set))
		return;
	b->cpus = CPU_COUNT(&set);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET((size_t)cpu, &set))
			continue;
		(void)snprintf(path, sizeof(path),
			       "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
		read_text(path, core, sizeof(core));
		if (b->cpu[0] < 0) {
			b->cpu[0] = cpu;
			(void)strcpy(first, core);
		} else if (b->cpu[1] < 0) {
			b->cpu[1] = cpu;
			if (!*core || strcmp(core, first) != 0)
				return;
		} else if (strcmp(core, first) != 0) {
			b->cpu[1] = cpu;
			return;
		}
	}
}

/* --- the network */

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		sl_log("bench: %s: %s", path, strerror(errno));
	(void)close(fd);
}

static bool new_net(void)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (unshare(CLONE_NEWNET) == 0)
		return true;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return false;
	write_text("/proc/self/setgroups", "deny");
	(void)snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	write_text("/proc/self/uid_map", map);
	(void)snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	write_text("/proc/self/gid_map", map);
	return true;
}

static void loopback_up(void)
{
	struct ifreq ifr = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	if (ioctl(fd, SIOCGIFFLAGS, &ifr) == 0) {
		ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP);
		(void)ioctl(fd, SIOCSIFFLAGS, &ifr);
	}
	(void)close(fd);
}

/* Rights in our own user namespace, for ip and tc, which are other programs. */
static void keep_rights(void)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];
	static const unsigned caps[] = {CAP_NET_ADMIN, CAP_SYS_ADMIN};
	unsigned i;

	if (syscall(SYS_capget, &head, data))
		return;
	data[0].inheritable = data[0].permitted;
	if (syscall(SYS_capset, &head, data))
		return;
	for (i = 0; i < 2; i++)
		(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, caps[i], 0, 0);
}

int sl_bench_tool(struct sl_bench *b, const char *const argv[])
{
	union {
		const char *const *from;
		char *const *to;
	} args = {argv};
	int status, null;
	pid_t pid = fork();

	(void)b;
	if (pid == 0) {
		null = open("/dev/null", O_RDWR);
		(void)dup2(null, 0);
		(void)dup2(null, 1);
		(void)dup2(null, 2);
		(void)setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			     1);
		keep_rights();
		(void)execvp(args.to[0], args.to);
		_exit(127);
	}
	if (pid < 0)
		return -1;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	if (!WIFEXITED(status) || WEXITSTATUS(status) == 127)
		return -1;
	return WEXITSTATUS(status);
}

static void route_cubic(struct sl_bench *b, const char *net)
{
	const char *const argv[] = {"ip",   "route", "replace",	  "local",   net,      "dev",
				    "lo",   "table", "local",	  "proto",   "kernel", "scope",
				    "host", "src",   "127.0.0.1", "congctl", "cubic",  NULL};

	(void)sl_bench_tool(b, argv);
}

/* What both ends of a connection over loopback get. */
static void congestion(char name[32])
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa), name_len = 31;
	int lfd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(name, 0, 32);
	(void)strcpy(name, "unknown");
	if (lfd >= 0 && fd >= 0 && !bind(lfd, (struct sockaddr *)&sa, sizeof(sa)) &&
	    !listen(lfd, 1) && !getsockname(lfd, (struct sockaddr *)&sa, &len)) {
		/* The drivers ask for it; the privileged get it. */
		(void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
		if (!connect(fd, (struct sockaddr *)&sa, len)) {
			memset(name, 0, 32);
			(void)getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &name_len);
		}
	}
	if (fd >= 0)
		(void)close(fd);
	if (lfd >= 0)
		(void)close(lfd);
}

/* --- the broker, and the rest */

static int start_broker(struct sl_bench *b)
{
	struct sl_addr a;
	char name[64];
	int null, rc;

	(void)snprintf(name, sizeof(name), "scilan-bench-%d", (int)getpid());
	(void)setenv("SCILAN_BROKER", name, 1);
	sl_env_init();
	b->broker = fork();
	if (b->broker == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)setpgid(0, 0);
		null = open("/dev/null", O_RDWR);
		(void)dup2(null, 0);
		(void)dup2(null, 1);
		(void)sl_preload_unset();
		/* Root serves all: PostgreSQL has to be another user. */
		(void)execl("/proc/self/exe", "scilan", "broker", "--idle", "0",
			    geteuid() ? NULL : "--system", NULL);
		_exit(127);
	}
	rc = b->broker < 0 ? -errno : 0;
	for (int i = 0; i < 500 && !rc; i++) {
		int fd = sl_addr_connect_any(&a);

		if (fd >= 0) {
			(void)close(fd);
			return 0;
		}
		if (waitpid(b->broker, NULL, WNOHANG) == b->broker) {
			b->broker = 0;
			break;
		}
		(void)nanosleep(&(struct timespec){.tv_nsec = 4000000}, NULL);
	}
	sl_log("bench: the broker does not start");
	return 1;
}

static json_t *settings(struct sl_bench *b)
{
	const char *ring = getenv("SCILAN_RING"), *spin = getenv("SCILAN_SPIN");
	const char *promote = getenv("SCILAN_PROMOTE");
	char cc[32], date[40], cpus[32];
	time_t now = time(NULL);
	struct tm tm;

	congestion(cc);
	(void)strftime(date, sizeof(date), "%Y-%m-%d %H:%M UTC", gmtime_r(&now, &tm));
	(void)snprintf(cpus, sizeof(cpus), b->cpus > 1 ? "%d and %d" : "%d", b->cpu[0], b->cpu[1]);
	return json_pack(
		"{s:s, s:s, s:b, s:b, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s}", "version",
		SL_VERSION, "date", date, "quick", b->quick, "control", b->control, "promote",
		promote && *promote ? promote : "auto", "ring", ring && *ring ? ring : "256K",
		"spin", spin && *spin ? spin : "auto", "congestion", cc, "network",
		b->own_net ? "loopback in a network namespace of its own"
			   : "this network namespace",
		"sockmap",
		b->sockmap ? "measured" : "not measured: it needs root, and BPF in the kernel",
		"cpus_pinned", cpus, "cpus_usable", b->cpus, "system_calls", sl_bench_calls_how(b));
}

int sl_bench_setup(struct sl_bench *b)
{
	int rc;

	rc = find_drivers(b);
	if (!rc)
		rc = find_library(b);
	if (rc)
		return rc;
	choose_cpus(b);
	(void)snprintf(b->tmp, sizeof(b->tmp), "/tmp/scilan-bench-%d-XXXXXX", (int)getpid());
	if (!mkdtemp(b->tmp)) {
		sl_log("bench: %s: %s", b->tmp, strerror(errno));
		return 1;
	}
	sl_bench_calls_look(b); /* before we lose rights in a user namespace */
	b->sockmap = sl_bench_sockmap_works();
	if (!b->no_netns && new_net()) {
		b->own_net = true;
		loopback_up();
		route_cubic(b, "127.0.0.0/8");
		route_cubic(b, "127.0.0.1");
		write_text("/proc/sys/net/ipv4/ip_local_port_range", "10000 65000");
	}
	json_object_set_new(b->doc, "machine", sl_bench_machine());
	json_object_set_new(b->doc, "settings", settings(b));
	return b->control ? 0 : start_broker(b);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	return type == FTW_DP ? rmdir(path) : unlink(path);
}

void sl_bench_teardown(struct sl_bench *b)
{
	if (b->broker > 0) {
		(void)kill(b->broker, SIGTERM);
		(void)waitpid(b->broker, NULL, 0);
	}
	b->broker = 0;
	if (*b->tmp)
		(void)nftw(b->tmp, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- facts */

static void line_of(const char *path, const char *key, char *value, size_t len)
{
	FILE *f = fopen(path, "re");
	char line[512], *p;

	*value = '\0';
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		p = line + strlen(key);
		p += strspn(p, " \t:=\"");
		p[strcspn(p, "\"\n")] = '\0';
		(void)snprintf(value, len, "%s", p);
		break;
	}
	if (f)
		(void)fclose(f);
}

json_t *sl_bench_machine(void)
{
	char cpu[128], os[128], kernel[128], mem[64], l2[32], l3[32], governor[32], flags[4096];
	double load = 0;
	json_t *m;

	line_of("/proc/cpuinfo", "model name", cpu, sizeof(cpu));
	line_of("/proc/cpuinfo", "flags", flags, sizeof(flags));
	line_of("/etc/os-release", "PRETTY_NAME", os, sizeof(os));
	line_of("/proc/meminfo", "MemTotal", mem, sizeof(mem));
	read_text("/proc/sys/kernel/osrelease", kernel, sizeof(kernel));
	read_text("/sys/devices/system/cpu/cpu0/cache/index2/size", l2, sizeof(l2));
	read_text("/sys/devices/system/cpu/cpu0/cache/index3/size", l3, sizeof(l3));
	read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", governor,
		  sizeof(governor));
	(void)getloadavg(&load, 1);
	m = json_pack("{s:s, s:i, s:b, s:s, s:s, s:s, s:i, s:f}", "cpu", cpu, "cpus",
		      (int)sysconf(_SC_NPROCESSORS_ONLN), "virtual",
		      strstr(flags, "hypervisor") != NULL, "kernel", kernel, "system", os, "libc",
		      gnu_get_libc_version(), "memory_mib", atoi(mem) / 1024, "load", load);
	if (*l2)
		json_object_set_new(m, "cache_l2", json_string(l2));
	if (*l3)
		json_object_set_new(m, "cache_l3", json_string(l3));
	if (*governor)
		json_object_set_new(m, "governor", json_string(governor));
	return m;
}
