"""Java's NIO: a selector in the server, blocking channels and two threads in the client."""
import subprocess

import pytest


@pytest.fixture(scope="session")
def classes(tmp_path_factory, progs):
    target = tmp_path_factory.mktemp("java")
    subprocess.run(["javac", "-d", target, progs / "Echo.java"], check=True, timeout=120)
    return target


def java(classes, *args):
    return ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-cp", str(classes), "Echo", *[str(a) for a in args]]


def test_nio_echo(mode, procs, serve, port, classes):
    serve(mode.server(java(classes, "server", port)), port)
    client = procs.start(mode.client(java(classes, "client", port, 2000, 32 << 20)),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert client.stdout.readline() == b"ready\n", procs.tail(client)
    mode.observe(port)
    assert procs.finish(client, data=b"\n") == b"ok\n"
