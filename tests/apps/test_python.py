"""Python's servers (http.server, socketserver, asyncio streams) and urllib."""
import subprocess

import pytest

SIZES = (48 << 20, 3_000_001) # the first is more than the kernel's buffers take


def fetch(mode, procs, progs, port, files, posts):
    """Run the client, look at the status while the first file comes, compare the hashes."""
    args = ["/usr/bin/python3", progs / "urlclient.py", f"http://127.0.0.1:{port}",
            "post" if posts else "get", *[path for path, _ in files]]
    client = procs.start(mode.client([str(a) for a in args]), stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE)
    for i, (_, digest) in enumerate(files):
        for _ in range(2 if posts else 1):
            assert client.stdout.readline() == b"reading\n", procs.tail(client)
            if i == 0:
                mode.observe(port)
            client.stdin.write(b"\n")
            client.stdin.flush()
            assert client.stdout.readline().decode().strip() == digest, procs.tail(client)
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
