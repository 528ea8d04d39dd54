"""
Go at one end: its programs make their system calls themselves, so they stay on TCP and unharmed, and the
reason is shown. Built static (no libc at all) and dynamic (libc is there, but not in the way).
"""
import os
import subprocess

import pytest

SIZE = 16 << 20
KINDS = {"static": "0", "dynamic": "1"}


@pytest.fixture(scope="session")
def goecho(tmp_path_factory, progs):
    """goecho(kind): the program, built once."""
    directory = tmp_path_factory.mktemp("go")
    built = {}

    def make(kind):
        if kind not in built:
            built[kind] = directory / kind
            env = os.environ | {"CGO_ENABLED": KINDS[kind], "GO111MODULE": "off", "GOFLAGS": "",
                                "GOCACHE": str(directory / "cache"), "GOTOOLCHAIN": "local"}
            subprocess.run(["go", "build", "-o", built[kind], progs / "goecho" / "main.go"],
                           check=True, env=env, timeout=120)
        return str(built[kind])
    return make


def other(progs, role, port):
    """A program that scilan can serve, at the other end."""
    return ["/usr/bin/python3", str(progs / "echo.py"), role, str(port), str(SIZE)]


@pytest.mark.deadline(180)
@pytest.mark.modes("auto", "eager")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ["server", "client"])
def test_go(mode, procs, serve, progs, port, goecho, role, kind):
    go = [goecho(kind), role, str(port), str(SIZE)]
    server, client = (go, other(progs, "client", port)) if role == "server" else \
        (other(progs, "server", port), go)
    serve(mode.server(server), port)
    client = procs.start(mode.client(client), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert client.stdout.readline() in (b"half\n", b"running\n"), procs.tail(client)
    if mode.name != "plain":
        mode.status.wait_tcp(port)
    assert procs.finish(client, data=b"\n") == b"ok\n"


@pytest.mark.modes("auto")
@pytest.mark.parametrize("kind,why", [("static", "static"), ("dynamic", "Go program")])
def test_reason(mode, procs, scilan, goecho, port, kind, why):
    """scilan run --verbose says that it will not help, and why."""
    if mode.name == "plain":
        pytest.skip("needs scilan")
    client = procs.start([scilan, "run", "--verbose", "--", goecho(kind), "client", str(port),
                          "1"])
    procs.finish(client, status=1) # nobody listens there
    assert why in procs.tail(client)
