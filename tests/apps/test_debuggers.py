"""
Programs that look into others: gdb, strace, ltrace, perf and valgrind, attached to a program under scilan that moves
data, or as its starter; and programs that do no more than start others. The data arrive as they were sent.
"""
import os
import signal
import subprocess

import pytest

from harness import modes
from harness.flow import Echo
from harness.hashes import sha256, sha256_file
from harness.wait import until

pytestmark = [pytest.mark.modes(*modes.QUICK, slow=modes.REST), pytest.mark.deadline(60),
              pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

SIZE = 8 << 20


@pytest.fixture
def server(mode, serve, progs, port):
    return serve(mode.server(["/usr/bin/python3", str(progs / "selectserver.py"), str(port)]), port)


@pytest.fixture
def echo(mode, procs, server, port):
    """Data on their way, to the server and back."""
    echo = Echo(procs.start(mode.client(["nc", "127.0.0.1", str(port)]), stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE))
    echo.more()
    mode.observe(port)
    yield echo
    echo.more()
    mode.observe(port)
    echo.stop()


@pytest.fixture(params=["server", "client"])
def target(request, server, echo):
    """The pid of one of the two: the program itself, as `scilan run` executes it."""
    return (server if request.param == "server" else echo.proc).pid


def until_written(path, what, proc, procs):
    def look():
        assert proc.poll() is None, procs.tail(proc)
        return path.exists() and what in path.read_bytes()
    until(look, f"{what} in {path}")


def test_gdb_attaches(procs, echo, target):
    for _ in range(2):
        out = procs.run(["gdb", "-nx", "-batch", "-p", str(target), "-ex", "bt", "-ex", "info threads", "-ex", "detach"])
        assert b"#0" in out and b"detached" in out, out
        echo.more()


def test_gdb_stops_in_recv(procs, echo, server):
    """A breakpoint in code that scilan has changed: it is hit, the program goes on, and it is taken away."""
    out = procs.run(["gdb", "-nx", "-batch", "-p", str(server.pid), "-ex", "break recv", "-ex", "continue", "-ex", "bt",
                     "-ex", "continue", "-ex", "delete", "-ex", "detach"])
    assert b"Breakpoint 1" in out and b"#0" in out, out


def trace(procs, echo, tool, output):
    """Attach, wait until something is seen, move data, detach by SIGINT."""
    tracer = procs.start(tool)
    until(lambda: output.exists() and output.stat().st_size or tracer.poll() is not None, f"{tool[0]} sees something")
    assert tracer.poll() is None, procs.tail(tracer)
    echo.more()
    tracer.send_signal(signal.SIGINT)
    procs.finish(tracer, status=None)
    echo.more()


def test_strace_attaches(procs, echo, target, tmp_path):
    trace(procs, echo, ["strace", "-f", "-o", tmp_path / "trace", "-p", str(target)], tmp_path / "trace")


def transfer(mode, procs, port, data, starter, outside=True):
    """A file there and back through nc, which @starter starts."""
    path, digest = data(SIZE)
    command = ["nc", "-N", "127.0.0.1", str(port)]
    command = [*starter, *mode.client(command)] if outside else mode.client([*starter, *command])
    with open(path, "rb") as source:
        assert sha256(procs.run(command, 40, stdin=source)) == digest


WRAPPERS = {
    "nice": ["nice", "-n", "5"],
    "timeout": ["timeout", "30"],
    "env-i": ["env", "-i", "PATH=/usr/bin:/bin"],
    "setsid": ["setsid", "-w"],
    "nohup": ["nohup"],
    "stdbuf": ["stdbuf", "-o0"],
    "chroot": ["chroot", "/"],
    "setpriv": ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"],
    "su": ["su", "-s", "/bin/sh", "root", "-c", 'exec "$0" "$@"', "--"],
    "sudo": ["sudo", "-n", "-E"],
    "runuser": ["runuser", "-u", "root", "--"],
    "flock": ["flock", "LOCK"],
    "unshare": ["unshare", "--mount", "--pid", "--fork", "--kill-child"],
    "files-20": ["prlimit", "--nofile=20"],
    "file-size-0": ["prlimit", "--fsize=0"],
    "processes-0": ["prlimit", "--nproc=0"],
    "locked-0": ["prlimit", "--memlock=0"],
    "address-space": ["prlimit", "--as=120000000"],
    "stack": ["prlimit", "--stack=65536"],
}


@pytest.mark.modes("eager", slow=("plain", "auto", "chaos"))
@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.parametrize("outside", [True, False], ids=["outside", "inside"])
def test_wrapper(mode, procs, server, port, data, tmp_path, name, outside):
    wrapper = [str(tmp_path / "lock") if word == "LOCK" else word for word in WRAPPERS[name]]
    transfer(mode, procs, port, data, wrapper, outside)


@pytest.mark.parametrize("outside", [True, False], ids=["outside", "inside"])
def test_strace_starts(mode, procs, server, port, data, tmp_path, outside):
    transfer(mode, procs, port, data, ["strace", "-f", "-o", tmp_path / "trace"], outside)
    assert b"exited with 0" in (tmp_path / "trace").read_bytes()


def test_ltrace_starts(mode, procs, server, port, data, tmp_path):
    transfer(mode, procs, port, data, ["ltrace", "-f", "-e", "poll", "-o", tmp_path / "trace"], False)
    assert b"exited (status 0)" in (tmp_path / "trace").read_bytes()


@pytest.mark.parametrize("stop", [[], ["-ex", "break poll"]], ids=["runs", "breakpoints"])
def test_gdb_starts(mode, procs, server, port, data, tmp_path, stop):
    """With a breakpoint in libc before the program runs, libc stays as it is."""
    path, digest = data(SIZE)
    go_on = ["-ex", "bt", "-ex", "delete", "-ex", "continue"] if stop else []
    out = procs.run(mode.client(["gdb", "-nx", "-batch", "-ex", "set breakpoint pending on", *stop, "-ex",
                                 f"run -N 127.0.0.1 {port} < {path} > {tmp_path}/got", *go_on, "nc"]))
    assert b"exited normally" in out, out
    assert (b"Breakpoint " in out) == bool(stop), out
    assert sha256_file(tmp_path / "got") == digest


def test_valgrind(mode, procs, server, port, data, tmp_path):
    log = tmp_path / "log"
    transfer(mode, procs, port, data, ["valgrind", "-q", "--error-exitcode=9", f"--log-file={log}"], False)
    assert log.read_text() == ""


def test_perf(procs, echo, target, tmp_path):
    """perf trace, where the kernel lets us."""
    out = tmp_path / "trace"
    if subprocess.run(["perf", "trace", "-o", out, "true"], check=False, capture_output=True).returncode:
        pytest.skip("perf trace does not work here")
    out.unlink()
    trace(procs, echo, ["perf", "trace", "-o", out, "-p", str(target)], out)
