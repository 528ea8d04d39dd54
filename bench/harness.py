# SPDX-License-Identifier: BSD-2-Clause
"""
What `bench/demo` stands on: the network it runs in, the programs that it starts and ends, the
figures that it reads from them, and tables.

Every program is run in one of two arms. In the plain arm it is started as it is; in the scilan
arm with `build/scilan run --` in front. Everything else is the same: same command line, same
ports' namespace, same CPUs, by turns in one run. With --control the second arm is plain as
well: its ratios show how far the machine's own noise goes.

Everything that is started is remembered by its process id and ended at the end, however that
comes.
"""
import atexit
import csv
import ctypes
import glob
import io
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
INSIDE = "SCILAN_BENCH_NETNS"  # set for the copy of ourselves that runs in the namespace
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
TCP_CONGESTION = 13

# Debian keeps servers where a user's PATH does not look.
os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


class Failure(Exception):
    """A program did not do what was asked of it; the text is for the table."""


def parser_options(parser):
    """The options of what it stands on."""
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), metavar="DIR",
                        help="where scilan and the drivers were built (build)")
    parser.add_argument("--promote", metavar="WHEN",
                        help="passed on to `scilan run`: eager, auto, off or a number of calls")
    parser.add_argument("--control", action="store_true",
                        help="run the second arm plain too, to see the noise of the machine")
    parser.add_argument("--no-netns", action="store_true",
                        help="stay in this network namespace, with its congestion control")
    parser.add_argument("--cpus", default="two", choices=("two", "all"),
                        help="use two CPUs (the default, as the targets do) or all")
    parser.add_argument("--count-with", default="auto", choices=("auto", "perf", "strace", "none"),
                        help="how system calls are counted (auto: perf where it may, or strace)")


# --- the network -------------------------------------------------------------------------

def enter_namespace(args):
    """
    Run again in a network namespace of our own with nothing but loopback, so that its settings
    are ours: root makes one, others make one in a user namespace. Where neither is allowed we stay.
    """
    if args.no_netns or os.environ.get(INSIDE) or not shutil.which("unshare"):
        return
    how = ["unshare", "--net"]
    if os.geteuid() != 0:
        how = ["unshare", "--user", "--map-current-user", "--keep-caps", "--net"]
    if subprocess.run(how + ["true"], stderr=subprocess.DEVNULL, check=False).returncode:
        return
    os.environ[INSIDE] = "1"
    os.execvp(how[0], how + [sys.executable] + sys.argv)


def prepare_network():
    """
    Loopback up and cubic on every connection over it. The sysctl of a namespace only takes what
    the machine allows to unprivileged sockets; the route's own attribute takes any.
    Return: what to say about it.
    """
    if os.environ.get(INSIDE):
        route = "local {} dev lo table local proto kernel scope host src 127.0.0.1 congctl cubic"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": False}
        subprocess.run(["ip", "link", "set", "lo", "up"], **quiet)
        for net in ("127.0.0.0/8", "127.0.0.1"):
            subprocess.run(["ip", "route", "replace"] + route.format(net).split(), **quiet)
        try:  # room for short connections in TIME_WAIT
            with open("/proc/sys/net/ipv4/ip_local_port_range", "w", encoding="ascii") as f:
                f.write("10000 65000")
        except OSError:
            pass
        # The programs under test get no rights that their user does not have.
        ctypes.CDLL(None).prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
        where = "a network namespace of its own (nothing of the machine is changed)"
    else:
        where = "this network namespace"
    used = congestion_control()
    if used != "cubic":
        where += "; NOT cubic: plain TCP may be slower than what most users have"
    return used, where


def congestion_control():
    """What both ends of a connection over loopback really get."""
    with socket.create_server(("127.0.0.1", 0)) as server, \
            socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            names = {s.getsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, 16).split(b"\0")[0].decode()
                     for s in (client, accepted)}
    return "/".join(sorted(names))


# --- the machine -------------------------------------------------------------------------

def read(path, default=""):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return default


def choose_cpus(args):
    """Two CPUs on different cores if there are, and stay on them."""
    mine = sorted(os.sched_getaffinity(0))
    cores, pair = set(), []
    for cpu in mine:
        core = read(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", str(cpu))
        if core not in cores:
            cores.add(core)
            pair.append(cpu)
    pair = (pair + [cpu for cpu in mine if cpu not in pair])[:2]
    if args.cpus == "two":
        os.sched_setaffinity(0, pair)
    return pair


def machine():
    model = re.search(r"model name\s*:\s*(.*)", read("/proc/cpuinfo"))
    return {
        "cpu": model.group(1).strip() if model else os.uname().machine,
        "cpus": os.cpu_count(),
        "kernel": os.uname().release,
        "load": os.getloadavg()[0],
    }


def version(*argv):
    """The first version number that a program gives of itself."""
    try:
        out = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10,
                             check=False, text=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "?"
    found = re.search(r"\d+(\.\d+)+", out)
    return found.group(0) if found else "?"


# --- programs ----------------------------------------------------------------------------

class Programs:
    """Everything that was started, and its end."""

    def __init__(self, args):
        self.args = args
        self.scilan = os.path.join(args.build, "scilan")
        self.tmp = tempfile.mkdtemp(prefix="scilan-bench-")
        os.chmod(self.tmp, 0o755)
        self.running = []
        self.files = 0
        self.counter = None
        # The broker that `scilan run` starts outlives its program and then is our child. In our own
        # namespace nobody else can use it, so it ends with us; elsewhere it ends when it is idle.
        if os.environ.get(INSIDE):
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        atexit.register(self.end_all)
        for sig in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(sig, lambda *_: sys.exit(1))

    def command(self, arm, argv):
        """The command line of @argv in an arm, "plain" or "scilan"."""
        path = argv[0] if "/" in argv[0] else shutil.which(argv[0])
        if not path:
            raise Failure(f"{argv[0]} is not installed")
        argv = [path] + [str(a) for a in argv[1:]]
        if arm == "plain" or self.args.control:
            return argv
        promote = ["--promote", self.args.promote] if self.args.promote else []
        return [self.scilan, "run"] + promote + ["--"] + argv

    def driver(self, name):
        return os.path.join(self.args.build, "bench", name)

    def environment(self):
        env = {k: v for k, v in os.environ.items() if k not in (INSIDE, "LD_PRELOAD")}
        env["LC_ALL"] = "C"
        return env

    def scratch(self, suffix):
        self.files += 1
        return os.path.join(self.tmp, f"{self.files}.{suffix}")

    def start(self, argv, **popen):
        """Start a program that ends when we end."""
        def die_with_parent():
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        popen.setdefault("stdin", subprocess.DEVNULL)
        popen.setdefault("env", self.environment())
        process = subprocess.Popen(argv, preexec_fn=die_with_parent, cwd=self.tmp, **popen)
        self.running.append(process)
        return process

    def stop(self, process):
        """SIGTERM, and SIGKILL if that is not enough. What it started ends with it."""
        family = descendants(process.pid)
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                for pid, born in family:
                    if birth(pid) == born:
                        os.kill(pid, signal.SIGKILL)
        if process in self.running:
            self.running.remove(process)

    def end_all(self):
        for process in reversed(list(self.running)):
            self.stop(process)
        if os.environ.get(INSIDE):
            for pid, born in descendants(os.getpid()):
                if birth(pid) == born:
                    os.kill(pid, signal.SIGTERM)
        shutil.rmtree(self.tmp, ignore_errors=True)

    def output(self, argv, seconds):
        """Run a program to its end; its standard output, or Failure."""
        errors = self.scratch("err")
        with open(errors, "wb") as err:
            process = self.start(argv, stdout=subprocess.PIPE, stderr=err)
        try:
            out, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"no end after {seconds:.0f} s") from None
        finally:
            self.stop(process)
        if process.returncode:
            last = read(errors).strip().splitlines()[-1:] or [f"exit {process.returncode}"]
            raise Failure(last[0][:200])
        return out.decode(errors="replace")

    def status(self):
        """The connections that `scilan status --json` shows; None if it cannot."""
        if self.args.control:
            return None
        try:
            return json.loads(self.output([self.scilan, "status", "--json"], 10))["connections"]
        except (Failure, OSError, ValueError, KeyError):
            return None


def descendants(pid):
    """[(pid, birth)] of the processes below @pid."""
    found = []
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        for child in read(path).split():
            found.append((int(child), birth(child)))
            found += descendants(child)
    return found


def birth(pid):
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else None


def free_port():
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(process, port, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Failure(f"the server ended at once (exit {process.returncode})")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise Failure("the server does not listen")


# --- system calls ------------------------------------------------------------------------

class Counter:
    """
    Counts the system calls of processes: perf's count of the kernel's raw_syscalls:sys_enter event
    where we may use it (root, as a rule), else strace -f -c. The first costs next to nothing; the second
    stops the process twice a call, so it is slow, and a program that spins before it sleeps will
    sleep more often: with it the count under scilan is an upper bound.
    """

    def __init__(self, programs, how="auto"):
        self.programs = programs
        self.how = how
        if how == "auto":
            self.how = next((h for h in ("perf", "strace") if self.works(h)), "none")

    def works(self, how):
        if not shutil.which(how):
            return False
        self.how = how
        try:
            return self.run([shutil.which("true")], 10)[1] > 0
        except (Failure, OSError):
            return False

    def describe(self):
        return {
            "perf": "`perf stat -e raw_syscalls:sys_enter` on both processes",
            "strace": "`strace -f -c` on both processes, which slows them (an upper bound)",
            "none": "not counted: neither perf nor strace may be used here",
        }[self.how]

    def tool(self, result):
        if self.how == "perf":
            return ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-o", result]
        return ["strace", "-f", "-c", "-U", "name,calls", "-o", result]

    def parse(self, result):
        text = read(result)
        if self.how == "perf":
            found = re.search(r"^(\d+),", text, re.M)
        else:
            found = re.search(r"^total +(\d+)", text, re.M)
            if not found and "calls" not in text:
                return 0  # not one call in the whole time
        if not found:
            raise Failure(f"{self.how} has counted nothing")
        return int(found.group(1))

    def run(self, argv, seconds):
        """(standard output, system calls) of a program from its exec to its end."""
        result = self.programs.scratch("calls")
        extra = ["--"] if self.how == "perf" else []
        out = self.programs.output(self.tool(result) + extra + argv, seconds)
        return out, self.parse(result)

    def attach(self, pid):
        """Begin to count in a running process and all below it; ends with detach()."""
        pids = [str(pid)] + [str(p) for p, _ in descendants(pid)]
        result = self.programs.scratch("calls")
        which = ["-p", ",".join(pids)]
        process = self.programs.start(self.tool(result) + which, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
        time.sleep(0.5)  # neither tool says when it has begun
        if process.poll() is not None:
            raise Failure(f"{self.how} cannot attach")
        return process, result

    def detach(self, attached):
        process, result = attached
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.how} does not end") from None
        finally:
            self.programs.stop(process)
        return self.parse(result)

    def one(self, server_pid, client):
        """
        (requests, system calls of both ends): client(run) does requests with run(argv, seconds)
        and returns how many.
        """
        calls = []

        def run(argv, seconds):
            out, n = self.run(argv, seconds)
            calls.append(n)
            return out
        if self.how == "none":
            raise Failure("nothing to count with")
        attached = self.attach(server_pid)
        try:
            requests = client(run)
        finally:
            calls.append(self.detach(attached))
        return requests, sum(calls)

    @staticmethod
    def slope(points):
        """
        System calls a request from a shorter and a longer run. What the programs do when they
        start and end is in both counts, and goes away.
        """
        (n1, c1), (n2, c2) = points
        return max(0.0, (c2 - c1) / (n2 - n1)) if n2 > n1 else None

    def per_request(self, server_pid, client, amounts):
        """The same with client(run, amount), which does about @amount of requests."""
        return self.slope([self.one(server_pid, lambda run, a=a: client(run, a))
                           for a in amounts])


# --- Redis, nginx and the drivers --------------------------------------------------------

class Server:
    """A server in one arm; use with `with`."""

    def __init__(self, programs, arm):
        self.programs, self.arm = programs, arm
        self.port = free_port()
        self.process = None

    def launch(self, argv):
        with open(self.programs.scratch("log"), "wb") as log:
            self.process = self.programs.start(self.programs.command(self.arm, argv), stdout=log,
                                               stderr=log)
        wait_port(self.process, self.port)

    def __exit__(self, *_):
        self.programs.stop(self.process)


class Redis(Server):
    def __enter__(self):
        self.launch(["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "",
                     "--appendonly", "no", "--dir", self.programs.tmp])
        self.bench("SET", 1, 1)  # so that GET finds something
        return self

    def bench(self, test, clients, requests, keep=True, run=None):
        """One redis-benchmark: {"rate", "p50_us", "p99_us"}."""
        argv = self.programs.command(self.arm, [
            "redis-benchmark", "-h", "127.0.0.1", "-p", self.port, "-t", test.lower(),
            "-c", clients, "-n", int(requests), "-k", int(keep), "--csv"])
        out = (run or self.programs.output)(argv, 60)
        rows = [r for r in csv.DictReader(io.StringIO(out[max(0, out.find('"test"')):]))
                if r.get("test") == test]
        if not rows:
            raise Failure("redis-benchmark gives no result")
        return {"rate": float(rows[0]["rps"]),
                "p50_us": float(rows[0]["p50_latency_ms"]) * 1000,
                "p99_us": float(rows[0]["p99_latency_ms"]) * 1000}

    def requests_for(self, test, clients, seconds, keep=True):
        """How many requests take so long: redis-benchmark knows no duration."""
        probe = 300 * (10 if clients > 1 else 3)
        rate = self.bench(test, clients, probe, keep)["rate"]
        rate = self.bench(test, clients, max(probe, rate * seconds / 4), keep)["rate"]
        return max(1000, int(rate * seconds))


NGINX_CONF = """
daemon off;
{user}
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    default_type application/octet-stream;
    keepalive_requests 100000000;
    client_body_temp_path {dir}/t1;
    proxy_temp_path {dir}/t2;
    fastcgi_temp_path {dir}/t3;
    uwsgi_temp_path {dir}/t4;
    scgi_temp_path {dir}/t5;
    server {{
        listen 127.0.0.1:{port};
        root {dir}/www;
    }}
}}
"""
NGINX_FILES = {"612": 612, "100k": 100 * 1024}


class Nginx(Server):
    def __enter__(self):
        where = self.programs.scratch("nginx")
        os.makedirs(os.path.join(where, "www"))
        for name, size in NGINX_FILES.items():
            with open(os.path.join(where, "www", name), "wb") as f:
                f.write(bytes(i * 7 % 251 for i in range(size)))
        # As root the workers stay root: both ends are then one user's, with one broker.
        user = "user root;" if os.geteuid() == 0 else ""
        conf = os.path.join(where, "nginx.conf")
        with open(conf, "w", encoding="utf-8") as f:
            f.write(NGINX_CONF.format(dir=where, port=self.port, user=user))
        self.launch(["nginx", "-p", where, "-c", conf, "-e", os.path.join(where, "error.log")])
        return self

    def url(self, name):
        return f"http://127.0.0.1:{self.port}/{name}"

    def wrk(self, name, seconds, clients=32, run=None):
        """One wrk: {"rate", "p50_us", "p99_us", "requests"}."""
        argv = self.programs.command(self.arm, ["wrk", "-t1", f"-c{clients}",
                                                f"-d{max(1, round(seconds))}s", "--latency",
                                                self.url(name)])
        out = (run or self.programs.output)(argv, seconds + 30)
        errors = re.search(r"Socket errors.*|Non-2xx.*", out)
        if errors:
            raise Failure("wrk: " + errors.group(0).strip())
        rate = re.search(r"Requests/sec: +([\d.]+)", out)
        total = re.search(r"(\d+) requests in", out)
        times = {q: parse_time_us(t) for q, t in re.findall(r"^ +(50|99)% +(\S+)", out, re.M)}
        if not rate or not total or len(times) != 2 or not int(total.group(1)):
            raise Failure("wrk gives no result")
        return {"rate": float(rate.group(1)), "p50_us": times["50"], "p99_us": times["99"],
                "requests": int(total.group(1))}


def parse_time_us(text):
    """wrk's 123.45us, 1.23ms, 1.23s, 1.23m in microseconds."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}[unit]


class Driver:
    """One of the drivers of this directory: the server's end, running; use with `with`."""

    def __init__(self, programs, arm, name, *options):
        self.programs, self.arm, self.name = programs, arm, name
        self.options = options
        self.process = self.port = None

    def __enter__(self):
        argv = [self.programs.driver(self.name), "server", 0, *self.options]
        self.process = self.programs.start(self.programs.command(self.arm, argv),
                                           stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise Failure(f"{self.name} server: exit {self.process.wait()}")
        self.port = json.loads(line)["port"]
        return self

    def __exit__(self, *_):
        self.programs.stop(self.process)
        self.process.stdout.close()

    def client_command(self, *options):
        return self.programs.command(self.arm, [self.programs.driver(self.name), "client",
                                                self.port, *options])

    def client(self, *options, run=None, seconds=60):
        """Run the client to its end; its result."""
        out = (run or self.programs.output)(self.client_command(*options), seconds)
        return json.loads(out.strip().splitlines()[-1])

    def result(self):
        """What the server says when it has ended by itself."""
        out, _ = self.process.communicate(timeout=20)
        if self.process.returncode:
            raise Failure(f"{self.name} server: exit {self.process.returncode}")
        return json.loads(out.strip().splitlines()[-1])


def pingpong(programs, arm, cpus, *options, server_options=None):
    """{"rate", "p50_us", "p99_us", ...} of one ping-pong; @cpus: of server and client, or None."""
    pins = [("--cpu", c) for c in cpus] if cpus else [(), ()]
    same = server_options if server_options is not None else [
        o for i in range(0, len(options), 2) if options[i] in ("--size", "--wait")
        for o in options[i:i + 2]]
    with Driver(programs, arm, "pingpong", *pins[0], *same) as server:
        r = server.client(*pins[1], *options)
        server.result()
    return {"rate": r["rate"], "p50_us": r["p50_ns"] / 1e3, "p99_us": r["p99_ns"] / 1e3,
            "p999_us": r["p999_ns"] / 1e3, "mean_us": r["mean_ns"] / 1e3}


# --- figures -----------------------------------------------------------------------------

def in_arm(arm, run, *args):
    """run(*args); a failure says which arm it was."""
    try:
        return run(*args)
    except Failure as e:
        raise Failure(f"{arm}: {e}") from None


def by_turns(rounds, *runs):
    """
    Run each of @runs once a round, one after the other, so that what the machine does meanwhile
    hits all alike. Return: for each, {metric: [values]}.
    """
    results = [{} for _ in runs]
    for _ in range(rounds):
        for run, result in zip(runs, results):
            for key, value in run().items():
                result.setdefault(key, []).append(value)
    return results


def median(result, key):
    return statistics.median(result[key]) if result and result.get(key) else None


def ratio(plain, scilan):
    return scilan / plain if plain and scilan is not None else None


def number(v):
    """Three significant digits: 46.1, 0.543, 182,000, 1.87M."""
    if v is None:
        return "-"
    if v == 0:
        return "0"
    if v >= 999500:
        return f"{v / 1e6:#.3g}".rstrip(".") + "M"
    if v >= 999.5:
        digits = len(str(round(v))) - 3
        return f"{int(round(v, -digits)):,}"
    text = f"{v:#.3g}" if v >= 0.001 else f"{v:.2g}"
    return text.rstrip(".")


def times(v):
    """A ratio: 41x, 1.70x, 0.45x, 0.012x."""
    if v is None:
        return "-"
    if 0 < v < 0.0005:
        return "<.001x"
    return (f"{v:.0f}" if v >= 9.95 else f"{v:.2f}" if v >= 0.095 else f"{v:.3f}") + "x"


class Progress:
    """What is being done, in one line that vanishes; nothing where nobody looks."""

    def __init__(self):
        self.shown = 0
        self.on = sys.stdout.isatty()

    def say(self, text=""):
        if not self.on:
            return
        text = text[:98]
        print("\r" + text + " " * (self.shown - len(text)) + ("" if text else "\r"), end="",
              flush=True)
        self.shown = len(text)


def bold(text):
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text


def lanes(connections, port):
    """Of the connections with @port at one end: (all ends, ends with both directions on memory)."""
    mine = [c for c in connections or []
            if f":{port}" in ("".join(c["local"].rpartition(":")[1:]),
                              "".join(c["peer"].rpartition(":")[1:]))]
    both = [c for c in mine if c["tx"]["lane"] == c["rx"]["lane"] == "memory"]
    return mine, both
