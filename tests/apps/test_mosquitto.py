"""Mosquitto and its clients: a broker of messages, which polls, with subscribers that only listen."""
import subprocess

import pytest

from harness import modes
from harness.hashes import sha256

pytestmark = pytest.mark.modes(*modes.QUICK, slow=modes.REST)


@pytest.fixture
def mosquitto(mode, serve, port, tmp_path):
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nuser root\n")
    serve(mode.server(["mosquitto", "-c", str(config)]), port)
    return ["-h", "127.0.0.1", "-p", str(port)]


def subscribe(mode, procs, where, *more):
    """Start a subscriber, and wait until the server has its subscription: it gets what was kept for it."""
    hello = f"hello/{len(procs.all)}"
    procs.run(["mosquitto_pub", *where, "-t", hello, "-r", "-m", "hello"])
    sub = procs.start(mode.client(["mosquitto_sub", *where, "-t", "data/#", "-t", hello, *more]),
                      stdout=subprocess.PIPE)
    assert sub.stdout.read(5 if "-N" in more else 6).strip() == b"hello"
    return sub


@pytest.mark.parametrize("qos", ["0", "2"])
def test_lines(mode, procs, mosquitto, port, qos):
    """A message a line, through to two subscribers."""
    count = 3000 if qos == "2" else 20000
    subs = [subscribe(mode, procs, mosquitto, "-q", qos, "-C", str(count + 1)) for _ in range(2)]
    lines = b"".join(b"%d %s\n" % (i, b"x" * (i % 300)) for i in range(count))
    pub = procs.start(mode.client(["mosquitto_pub", *mosquitto, "-t", "data/lines", "-q", qos, "-l"]),
                      stdin=subprocess.PIPE)
    half = lines.index(b"\n", len(lines) // 2) + 1
    pub.stdin.write(lines[:half])
    pub.stdin.flush()
    mode.observe(port)
    procs.finish(pub, data=lines[half:])
    for sub in subs:
        assert procs.finish(sub) == lines


def test_big(mode, procs, mosquitto, data, tmp_path):
    """One message of many megabytes."""
    path, digest = data(20 << 20)
    sub = subscribe(mode, procs, mosquitto, "-N", "-C", "2")
    procs.run(mode.client(["mosquitto_pub", *mosquitto, "-t", "data/big", "-f", path]))
    assert sha256(procs.finish(sub)) == digest
