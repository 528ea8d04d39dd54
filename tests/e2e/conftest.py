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
        word, *result = self.proc.stdout.readline().decode().split()
        assert word == "ok", self.procs.tail(self.proc)
        return result


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


@pytest.fixture
def compile_c(tmp_path):
    def make(name, source, *options):
        out = tmp_path / name
        subprocess.run(["cc", "-O2", "-w", "-D_GNU_SOURCE", *options, "-o", out, "-x", "c", source], check=True)
        return out
    return make


@pytest.fixture
def client(many, under, compile_c, progs, port):
    """client(options...): progs/raw.c, compiled so, under scilan, with one connection."""
    def make(*options, wrap=lambda command: command):
        path = compile_c("raw", progs / "raw.c", *options, "-ldl")
        started = many(lambda _: wrap(under([path, port], "--verbose")))
        started.do("open")
        return started
    return make


@pytest.fixture
def promoted(status, port):
    """promoted(program): keep the traffic up until the first connection is on the memory lane."""
    def wait(program):
        def look():
            program.do("ping 20")
            everything = {"client": {"tx", "rx"}, "server": {"tx", "rx"}}
            return everything in status.pairs(port).values()
        status.wait(look, port, "the memory lane", 20)
    return wait


@pytest.fixture
def tcp_server(serve, progs, port):
    """An echo server that is not under scilan."""
    return serve(["/usr/bin/python3", progs / "selectserver.py", str(port)], port)
