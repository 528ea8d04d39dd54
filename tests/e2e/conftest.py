"""Fixtures of the end-to-end tests of scilan itself."""
import subprocess

import pytest


@pytest.fixture
def under(scilan):
    """under(args, options...): the command that runs @args under scilan, eagerly."""
    def make(args, *options):
        return [scilan, "run", "--promote", "eager", *options, "--", *[str(a) for a in args]]
    return make


class Many:
    """progs/many.py: a client whose connections are told what to do."""

    def __init__(self, procs, command):
        self.procs = procs
        self.proc = procs.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def do(self, command):
        self.proc.stdin.write(command.encode() + b"\n")
        self.proc.stdin.flush()
        assert self.proc.stdout.readline() == b"ok\n", self.procs.tail(self.proc)


@pytest.fixture
def echo_server(serve, under, progs, port):
    """An echo server under scilan, at `port`."""
    return serve(under(["/usr/bin/python3", progs / "selectserver.py", port]), port)


@pytest.fixture
def many(procs, under, progs, port):
    """many(): start a client. many(command): with another command in front."""
    def start(wrap=under):
        return Many(procs, [str(a) for a in
                            wrap(["/usr/bin/python3", progs / "many.py", port])])
    return start
