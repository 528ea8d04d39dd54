"""One end was there before the broker."""
import pathlib
import subprocess

import pytest

from harness.wait import until

pytestmark = pytest.mark.modes("eager", "auto")


@pytest.mark.parametrize("first", ["server", "client"])
def test_before_the_broker(mode, procs, serve, progs, port, scilan, broker, first):
    """
    The first starts while no broker runs (the library is preloaded by hand, for `scilan run` would
    start one). The second brings the broker, and their new connection is promoted.
    """
    broker.kill()
    preload = {"LD_PRELOAD": str(pathlib.Path(scilan).with_name("libscilan.so"))}
    if mode.name == "eager":
        preload["SCILAN_PROMOTE"] = "eager"
    if mode.name == "plain":
        preload = {}
    echo = ["/usr/bin/python3", str(progs / "echo.py")]
    server = [*echo, "server", str(port)]
    client = [*echo, "client", str(port), str(32 << 20), "wait"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}

    if first == "server":
        serve(server, port, env=preload)
        assert broker.pid() is None
        proc = procs.start(mode.client(client), **pipes)
    else:
        proc = procs.start(client, env=preload, **pipes)
    assert proc.stdout.readline() == b"waiting\n", procs.tail(proc)
    if first == "client":
        assert broker.pid() is None
        serve(mode.server(server), port)
    proc.stdin.write(b"go\n")
    proc.stdin.flush()
    assert proc.stdout.readline() == b"running\n", procs.tail(proc)
    if mode.name != "plain":
        until(broker.pid, "a broker runs")
    mode.observe(port)
    assert procs.finish(proc, data=b"\n") == b"ok\n"
