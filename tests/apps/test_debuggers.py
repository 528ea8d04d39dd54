"""
Programs that look into others: gdb, strace, ltrace, perf and valgrind, attached to a program under scilan that moves
data or as its starter; and programs that start others. Whatever they see, the data arrive.
"""
import os
import shutil
import signal
import subprocess

import pytest

from harness import modes
from harness.flow import pour, take

pytestmark = [pytest.mark.modes(*modes.QUICK, slow=modes.REST), pytest.mark.deadline(60),
              pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

SIZE = 24 << 20
ECHO = ["socat", "-b", "65536"]


@pytest.fixture
def echo(mode, serve, port):
    """A server that sends back what comes: Python's select()."""
    return lambda progs: serve(mode.server(["/usr/bin/python3", str(progs / "selectserver.py"), str(port)]), port)


def client_command(port):
    return ["nc", "127.0.0.1", str(port)]


class Stream:
    """A client that sends without end and gets it back, until it is told to stop: then all is compared."""

    def __init__(self, procs, command):
        self.procs = procs
        self.proc = procs.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def move(self, path, digest):
        """Once more the file, there and back."""
        thread = pour(self.proc.stdin, path.read_bytes())
        assert take(self.proc.stdout, path.stat().st_size) == digest, self.procs.tail(self.proc)
        thread.join()

    def moving(self, path, digest):
        """The same, in halves: between them the caller does something while data are under way."""
        self.thread = pour(self.proc.stdin, path.read_bytes())
        self.digest = digest
        return self.proc.pid
