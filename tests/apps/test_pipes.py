"""One long stream through netcat and socat, hashed at both ends."""
import hashlib
import subprocess

import pytest

MIB = 1 << 20
BLOCK = 1 * MIB

SENDERS = {
    "nc": lambda port: ["nc", "-N", "127.0.0.1", str(port)],
    "socat": lambda port: ["socat", "-u", "STDIN", f"TCP:127.0.0.1:{port}"],
}
RECEIVERS = {
    "nc": lambda port: ["nc", "-l", "127.0.0.1", str(port)],
    "socat": lambda port: ["socat", "-u", f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr", "STDOUT"],
}


@pytest.fixture(scope="session")
def expected(data):
    """expected(blocks): the hash of that many numbered blocks."""
    known = {}

    def make(blocks):
        if blocks not in known:
            known[blocks] = hashlib.sha256()
            for block in stream(data(BLOCK)[0].read_bytes(), blocks):
                known[blocks].update(block)
        return known[blocks].hexdigest()
    return make


def stream(block, count):
    """Blocks that differ, so that one lost, doubled or out of its place changes the hash."""
    for i in range(count):
        yield i.to_bytes(8, "little") + block[8:]


@pytest.mark.deadline(180)
@pytest.mark.parametrize("sender,receiver", [("nc", "nc"), ("socat", "socat"), ("nc", "socat")])
def test_stream(mode, procs, serve, port, data, expected, sender, receiver):
    blocks = 1024 if mode.name in ("plain", "auto", "eager") else 256
    block = data(BLOCK)[0].read_bytes()
    digest = expected(blocks)
    server = serve(mode.server(RECEIVERS[receiver](port)), port, stdout=subprocess.PIPE)
    hasher = procs.start(["sha256sum"], stdin=server.stdout, stdout=subprocess.PIPE)
    server.stdout.close()
    server.stdout = None
    client = procs.start(mode.client(SENDERS[sender](port)), stdin=subprocess.PIPE)
    for i, part in enumerate(stream(block, blocks)):
        if i == blocks // 2:
            mode.observe(port)
        client.stdin.write(part)
    procs.finish(client, 60)
    assert procs.finish(hasher, 60).split()[0].decode() == digest
    procs.finish(server)


def test_half_close(mode, procs, serve, port, data):
    """nc sends all and shuts down its side; the answer comes over the half-closed connection."""
    path, digest = data(64 * MIB)
    serve(mode.server(["socat", f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork",
                       "EXEC:sha256sum"]), port)
    with open(path, "rb") as f:
        for _ in range(3):
            f.seek(0)
            out = procs.run(mode.client(["nc", "-N", "127.0.0.1", str(port)]), stdin=f)
            assert out.split()[0].decode() == digest
