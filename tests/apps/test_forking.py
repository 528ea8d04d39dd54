"""Servers that fork for each connection: the pair that was made for the server is the child's."""
import subprocess

import pytest

SIZE = 8 << 20
PYTHON = "/usr/bin/python3"


@pytest.mark.modes("auto", "eager", "chaos", "server-only")
@pytest.mark.parametrize("kind", ["at-once", "paused", "used", "parent", "twice"])
def test_fork(mode, procs, serve, progs, port, kind):
    serve(mode.server([PYTHON, str(progs / "forker.py"), str(port), kind]), port)
    count = 1 if kind in ("parent", "used") else 3
    clients = [procs.start(mode.client([PYTHON, str(progs / "echo.py"), "client", str(port), str(SIZE)]),
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(count)]
    for client in clients:
        assert client.stdout.readline() == b"running\n", procs.tail(client)
    mode.observe(port, at_least=count)
    for client in clients:
        client.stdin.write(b"\n")
        client.stdin.flush()
    for client in clients:
        assert client.stdout.readline() == b"ok\n", procs.tail(client)
        procs.finish(client)


@pytest.mark.modes("eager")
def test_broker_dies(mode, procs, serve, progs, port, broker):
    """The pair is made, the server has not forked yet, and nobody knows of it any more: TCP, and nothing is lost."""
    serve(mode.server([PYTHON, str(progs / "forker.py"), str(port), "paused"]), port)
    client = procs.start(mode.client([PYTHON, str(progs / "echo.py"), "client", str(port), str(SIZE)]),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    mode.status.wait(lambda: mode.status.connections(port), port, "a connection", 20)
    broker.kill()
    assert client.stdout.readline() == b"running\n", procs.tail(client)
    client.stdin.write(b"\n")
    client.stdin.flush()
    assert client.stdout.readline() == b"ok\n", procs.tail(client)
    procs.finish(client)
