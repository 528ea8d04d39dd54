"""redis-server with redis-cli and redis-benchmark."""
import subprocess

import pytest

from harness.hashes import sha256

MIB = 1 << 20


@pytest.fixture
def redis(mode, serve, port, tmp_path):
    serve(mode.server(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                       "--appendonly", "no", "--dir", str(tmp_path)]), port)
    return port


def cli(port, *args):
    return ["redis-cli", "-h", "127.0.0.1", "-p", str(port), *args]


def test_cli(mode, procs, redis):
    """A client that speaks every 5 ms."""
    client = procs.start(mode.client(cli(redis, "-r", "400", "-i", "0.005", "incr", "x")),
                         stdout=subprocess.PIPE)
    mode.observe(redis)
    lines = procs.finish(client).split()
    assert [int(n) for n in lines] == list(range(1, 401))


@pytest.mark.parametrize("load", ["-c 50", "-c 1", "-c 20 -P 16", "-c 50 -k 0"])
def test_benchmark(mode, procs, redis, load):
    count = "4000" if "-k 0" in load else "20000" if load == "-c 1" else "100000"
    client = procs.start(mode.client(
        ["redis-benchmark", "-h", "127.0.0.1", "-p", str(redis), "-t", "get,lpush",
         "-n", count, "-d", "64", "--csv", *load.split()]), stdout=subprocess.PIPE)
    if "-k 0" not in load:
        mode.observe(redis, at_least=int(load.split()[1]))
    out = procs.finish(client).decode()
    assert [line.split(",")[0] for line in out.splitlines()[1:]] == ['"GET"', '"LPUSH"']
    length = procs.run(cli(redis, "llen", "mylist")).strip()
    assert int(length) == int(count), "as many pushes as asked for"


@pytest.mark.parametrize("size", [MIB, 64 * MIB], ids=["1MiB", "64MiB"])
def test_big_values(mode, procs, redis, data, size):
    """A value set and got again on one connection, and got by another."""
    path, digest = data(size)
    with open(path, "rb") as value:
        assert procs.run(mode.client(cli(redis, "-x", "set", "v")), stdin=value) == b"OK\n"
    client = procs.start(mode.client(cli(redis)), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for _ in range(4):
        client.stdin.write(b"get v\n")
        client.stdin.flush()
        assert sha256(client.stdout.read(size)) == digest
        assert client.stdout.read(1) == b"\n"
    mode.observe(redis)
    assert procs.finish(client) == b""


@pytest.mark.modes("chaos", slow=("plain", "auto", "eager"))
def test_threads(mode, procs, redis):
    """A client with an epoll instance for each thread, whose sockets any of them may promote."""
    for _ in range(2):
        out = procs.run(mode.client(
            ["redis-benchmark", "-h", "127.0.0.1", "-p", str(redis), "-t", "set,get", "-n", "20000",
             "--threads", "3", "--csv"])).decode()
        assert [line.split(",")[0] for line in out.splitlines()[1:]] == ['"SET"', '"GET"']
