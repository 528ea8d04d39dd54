"""Sleepers are woken by bells of their own (docs/design.md, section 6), and by all that wakes a TCP socket."""
import signal
import subprocess

import pytest

from harness.procs import send
from harness.wait import until

ROUNDS = 300
HOWS = ("recv", "limit", "poll", "select", "epoll")
pytestmark = pytest.mark.modes("eager", "auto")


@pytest.fixture
def pair(mode, procs, serve, progs, port):
    """start(how): the two programs, when all rounds are over."""
    def start(how):
        asleep = ["/usr/bin/python3", str(progs / "asleep.py"), str(port), how]
        server = serve(mode.server(asleep), port, stdout=subprocess.PIPE)
        client = procs.start(mode.client([*asleep, str(ROUNDS)]), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
        assert client.stdout.readline() == b"done\n", procs.tail(client)
        return server, client
    return start


def server_side(status, port):
    return [c for c in status.connections(port) if c["local"].endswith(f":{port}") and c["peer"]]


@pytest.mark.parametrize("how", HOWS)
def test_no_byte_of_tcp(pair, mode, status, port, how):
    """Each message finds the server asleep. It is woken once, and not by TCP."""
    server, client = pair(how)
    mode.observe(port)
    if mode.name != "plain":
        s, = server_side(status, port)
        c, = (c for c in status.connections(port) if c["peer"].endswith(f":{port}"))
        assert c["tx"]["bells"] > ROUNDS * 0.9, c
        assert c["tx"]["bells"] <= ROUNDS + 10, c
        assert s["rx"]["bells"] < 20, s # bytes on TCP
        program, = (p for p in status.programs() if p["pid"] == s["pid"])
        assert program["vain_bells"] <= ROUNDS * 0.05, program
    client.communicate(b"\n", timeout=20)
    assert server.stdout.readline() == b"end\n"


@pytest.mark.parametrize("how", HOWS)
def test_killed_peer(pair, mode, procs, status, port, how):
    """The server sleeps by its bell when the client dies without a word."""
    server, client = pair(how)
    mode.observe(port)
    client.kill()
    assert server.stdout.readline() == b"end\n"


def test_broker_dies(pair, mode, broker, procs, serve, progs, status, port):
    """Bells that were handed out go on to ring, and without a broker there is TCP."""
    server, client = pair("recv")
    if mode.name != "plain":
        broker.kill()
    client.communicate(b"\n", timeout=20)
    assert server.stdout.readline() == b"end\n"
