"""Node's http server and client, with a kept-alive connection."""
import subprocess

import pytest


@pytest.mark.parametrize("sizes", [(16 << 20,), (3_000_001, 100, 70_000)], ids=["big", "mixed"])
def test_node(mode, procs, serve, progs, port, data, sizes):
    files = [data(size) for size in sizes]
    serve(mode.server(["node", str(progs / "server.js"), str(port),
                       str(files[0][0].parent)]), port)
    client = procs.start(mode.client(["node", str(progs / "client.js"), str(port),
                                      *[str(path) for path, _ in files]]),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for _, digest in files:
        for method in ("get", "post"):
            assert client.stdout.readline() == b"half\n", procs.tail(client)
            if method == "post" and digest == files[-1][1]: # both have sent and read a lot by now
                mode.observe(port)
            client.stdin.write(b"\n")
            client.stdin.flush()
            assert client.stdout.readline().decode().strip() == digest
    procs.finish(client)


@pytest.mark.modes("auto", "eager", slow=("plain", "chaos"))
@pytest.mark.parametrize("kind", ["cluster", "cluster-none", "handles", "http2", "worker"])
def test_pool(mode, procs, serve, progs, port, kind):
    """Connections that are handed on to other processes, a listener that they share, streams of HTTP/2, a worker."""
    serve(mode.server(["node", progs / "pool.js", port, kind]), port)
    out = procs.run(mode.client(["node", progs / "poolclient.js", port, kind]))
    assert out.decode().strip() == "good"
