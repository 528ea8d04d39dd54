"""Connections that are given to another process by SCM_RIGHTS: promoted there, once nobody else holds them."""
import subprocess

import pytest

from test_nginx import wrk


@pytest.fixture
def passed(mode, procs, serve, progs, port):
    """passed(HOW): start server, worker and client; return the client."""
    def start(*how, server=None):
        serve((server or mode.server)(["/usr/bin/python3", progs / "passer.py", "server", str(port), *how]), port)
        return procs.start(mode.client(["/usr/bin/python3", progs / "passer.py", "client", str(port)]),
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    return start


def ends(procs, client):
    assert procs.finish(client, data=b"\n").decode().strip() == "good"


def stays(status, port, why):
    def look():
        seen = status.connections(port)
        return any(why in c["reason"] for c in seen) and all(c[d]["lane"] == "tcp" for c in seen for d in ("tx", "rx"))
    status.wait(look, port, why, 20)


@pytest.mark.modes("auto", "eager", "chaos")
@pytest.mark.parametrize("how", [[], ["again"], ["twice"]], ids=["once", "on", "twice"])
def test_promoted(mode, procs, passed, port, how):
    client = passed(*how)
    mode.observe(port)
    ends(procs, client)


@pytest.mark.modes("auto", "eager")
@pytest.mark.parametrize("how", ["keep", "fork", "peek"])
def test_shared(mode, procs, passed, port, status, how):
    """Somebody else may still use it: it stays on TCP, and says so."""
    client = passed(how)
    stays(status, port, "holds this socket")
    ends(procs, client)


@pytest.mark.modes("auto")
def test_plain_sender(mode, procs, passed, port, status, build):
    """Who else holds it nobody can know."""
    def plain(args):
        return ["env", f"WORKER_PRELOAD={build / 'libscilan.so'}", *map(str, args)]
    client = passed(server=plain)
    stays(status, port, "came by SCM_RIGHTS")
    ends(procs, client)


@pytest.mark.modes("auto", "eager")
def test_cluster(mode, procs, serve, progs, port):
    """Node's cluster: the primary accepts, and gives each connection to one of its workers."""
    serve(mode.server(["node", progs / "pool.js", port, "cluster"]), port)
    wrk(procs, mode, f"http://127.0.0.1:{port}/", port, connections=8)
