"""Processes of one test: started with their logs in files, ended by pid when the test ends."""
import ctypes
import os
import pathlib
import signal
import subprocess

from harness.wait import Late, until

PR_SET_CHILD_SUBREAPER = 36
CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL,
           signal.SIGSYS, signal.SIGTRAP}


def adopt_orphans():
    """Make what daemons leave behind our children, so that end_strays() can find it."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid):
    """The pids of all descendants."""
    parents = {}
    for stat in pathlib.Path("/proc").iterdir():
        if not stat.name.isdigit():
            continue
        stat /= "stat"
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        new = parents.get(todo.pop(), [])
        found += new
        todo += new
    return found


def ticks(pid):
    """utime + stime of a process, in clock ticks (usually 10 ms)."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def send(pid, sig):
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


def reap(known):
    """Collect adopted children that have ended, except those that a Popen waits for."""
    for pid in children(os.getpid()):
        if pid not in known:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


def end_strays(keep):
    """Kill every descendant but those in @keep."""
    def strays():
        reap(keep)
        return [pid for pid in children(os.getpid()) if pid not in keep]

    for pid in strays():
        send(pid, signal.SIGKILL)
    until(lambda: not strays(), lambda: f"processes {strays()} end after SIGKILL")


class Procs:
    """The processes of one test."""

    def __init__(self, directory, environ):
        self.dir = directory
        self.environ = environ
        self.all = []

    def start(self, args, env=None, **how):
        """Start a program in a session of its own; its standard error goes to a file."""
        args = [str(a) for a in args]
        log = self.dir / f"{len(self.all):02}-{self.name(args)}.err"
        how.setdefault("stdin", subprocess.DEVNULL)
        how.setdefault("stdout", subprocess.DEVNULL)
        with open(log, "wb") as err:
            proc = subprocess.Popen(args, stderr=err, start_new_session=True,
                                    env=self.environ | (env or {}), **how)
        proc.log = log
        self.all.append(proc)
        return proc

    @staticmethod
    def name(args):
        """A word for the log: the program, not the `scilan run` before it."""
        return pathlib.Path(args[args.index("--") + 1 if "--" in args[:-1] else 0]).name

    def finish(self, proc, seconds=60, status=0, data=None): # status None: any
        """Wait for the end, check the exit status, return what it wrote to standard output."""
        try:
            out, _ = proc.communicate(data, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Late(f"{proc.args} still runs after {seconds} s\n{self.tail(proc)}") from None
        assert status is None or proc.returncode == status, \
            f"{proc.args}: exit status {proc.returncode}\n{self.tail(proc)}"
        return out

    def run(self, args, seconds=60, status=0, data=None, **how):
        """Start and finish."""
        how.setdefault("stdout", subprocess.PIPE)
        if data is not None:
            how["stdin"] = subprocess.PIPE
        return self.finish(self.start(args, **how), seconds, status, data)

    def tail(self, proc, length=2000):
        return proc.log.read_text(errors="replace")[-length:]

    def stop(self, proc, sig=signal.SIGTERM, seconds=10):
        """End one process, politely first, and all that it started."""
        if proc.poll() is None:
            send(proc.pid, sig)
            try:
                proc.wait(seconds)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(proc.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        proc.wait()

    def stop_all(self, keep):
        """At the end of a test: nothing may be left, and nothing may have crashed."""
        crashed = []
        for proc in reversed(self.all):
            self.stop(proc)
            for stream in (proc.stdin, proc.stdout):
                if stream:
                    try:
                        stream.close()
                    except BrokenPipeError:
                        pass
            if -proc.returncode in CRASHES:
                crashed.append(f"{proc.args}: {signal.Signals(-proc.returncode).name}")
            text = self.tail(proc)
            if text:
                print(f"--- {proc.log.name}\n{text}")
        end_strays(keep)
        assert not crashed, crashed
