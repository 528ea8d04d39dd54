"""Blocking calls in threads: one sends while another receives on the same socket."""
import subprocess

import pytest

from harness.wait import listening, until


def test_echo(mode, procs, serve, progs, port):
    echo = ["/usr/bin/python3", str(progs / "echo.py")]
    serve(mode.server([*echo, "server", str(port)]), port)
    client = procs.start(mode.client([*echo, "client", str(port), str(64 << 20)]),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert client.stdout.readline() == b"running\n", procs.tail(client)
    mode.observe(port)
    assert procs.finish(client, data=b"\n") == b"ok\n"


@pytest.mark.modes("eager", "chaos")
@pytest.mark.deadline(170)
def test_signal_storm(mode, procs, progs, port, tmp_path):
    """Both ways at once, every word checked, while signals come without end."""
    storm = tmp_path / "storm"
    subprocess.run(["cc", "-O2", "-pthread", "-o", storm, progs / "storm.c"], check=True)
    size = str(512 << 20)  # each way
    server = procs.start(mode.server([str(storm), "-s", str(port), size]), stdout=subprocess.PIPE)
    until(lambda: listening(port), "it listens")
    client = procs.start(mode.client([str(storm), str(port), size]), stdout=subprocess.PIPE)
    assert client.stdout.readline() == b"running\n", procs.tail(client)
    mode.observe(port)
    for proc in (client, server):
        out = procs.finish(proc, seconds=150).split()
        assert out[-2] == b"ok" and int(out[-1]) > 1000, out
