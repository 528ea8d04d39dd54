"""Python's servers (http.server, socketserver, asyncio streams) and urllib."""
import subprocess

import pytest

SIZES = (16 << 20, 3_000_001)


def fetch(mode, procs, progs, port, files, posts):
    """Run the client, look at the status half-way through each transfer, compare the hashes."""
    args = ["/usr/bin/python3", progs / "urlclient.py", f"http://127.0.0.1:{port}",
            "post" if posts else "get", *[path for path, _ in files]]
    client = procs.start(mode.client([str(a) for a in args]), stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE)
    for _, digest in files:
        for _ in range(2 if posts else 1):
            assert client.stdout.readline() == b"half\n", procs.tail(client)
            mode.observe(port)
            client.stdin.write(b"\n")
            client.stdin.flush()
            assert client.stdout.readline().decode().strip() == digest
    procs.finish(client)


@pytest.fixture
def files(data):
    return [data(size) for size in SIZES]


def test_http_server(mode, procs, serve, progs, port, files):
    serve(mode.server(["/usr/bin/python3", "-m", "http.server", str(port),
                       "--bind", "127.0.0.1", "--directory", str(files[0][0].parent)]), port)
    fetch(mode, procs, progs, port, files, posts=False)


@pytest.mark.parametrize("kind", ["fork", "thread", "asyncio"])
def test_servers(mode, procs, serve, progs, port, files, kind):
    serve(mode.server(["/usr/bin/python3", str(progs / "httpservers.py"), kind, str(port),
                       str(files[0][0].parent)]), port)
    fetch(mode, procs, progs, port, files, posts=True)
