"""memcached with memccp, memccat and nc."""
import subprocess

import pytest

from harness.hashes import sha256

SIZE = 900_000


@pytest.fixture
def memcached(mode, serve, port):
    serve(mode.server(["memcached", "-u", "root", "-l", "127.0.0.1", "-p", str(port), "-t", "2",
                       "-m", "64"]), port)
    return port


def test_memccat(mode, procs, memcached, data, tmp_path):
    path, digest = data(SIZE)
    procs.run(mode.client(["memccp", f"--servers=127.0.0.1:{memcached}", str(path)]))
    got = tmp_path / "got"
    procs.run(mode.client(["memccat", f"--servers=127.0.0.1:{memcached}", f"--file={got}",
                           path.name]))
    assert sha256(got.read_bytes()) == digest


def test_nc(mode, procs, memcached, data):
    """The text protocol, by hand, many commands on one connection."""
    value = data(SIZE)[0].read_bytes()
    nc = procs.start(mode.client(["nc", "127.0.0.1", str(memcached)]),
                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(command, answer):
        nc.stdin.write(command)
        nc.stdin.flush()
        assert nc.stdout.read(len(answer)) == answer

    for i in range(8):
        key = b"key%d" % i
        ask(b"set %s 0 0 %d\r\n%s\r\n" % (key, SIZE, value), b"STORED\r\n")
        ask(b"get %s\r\n" % key,
            b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (key, SIZE, value))
    mode.observe(memcached)
    ask(b"incr missing 1\r\n", b"NOT_FOUND\r\n")
    procs.finish(nc, data=b"quit\r\n")
