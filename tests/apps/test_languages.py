"""
Loops and threads of languages: Ruby's select, fork and threads, Tcl's events, Perl's select, trio and eventlet, Lua's
sockets; two Erlang nodes; ZeroMQ's threads; MPI by its TCP; and connections that Python's multiprocessing hands on.
"""
import shutil

import pytest

from harness.ports import free_port

pytestmark = [pytest.mark.modes("auto", slow=("plain", "eager", "chaos")), pytest.mark.deadline(60)]

PYTHON = "/usr/bin/python3"
ECHO = {
    "ruby-select": ["ruby", "echo.rb", "{port}", "select"],
    "ruby-fork": ["ruby", "echo.rb", "{port}", "fork"],
    "ruby-thread": ["ruby", "echo.rb", "{port}", "thread"],
    "tcl": ["tclsh", "echo.tcl", "{port}"],
    "perl": ["perl", "echo.pl", "{port}"],
    "trio": [PYTHON, "echotrio.py", "{port}"],
    "eventlet": [PYTHON, "echoeventlet.py", "{port}"],
}
CLIENTS = {"lua": ["lua5.4", "dialogue.lua", "{port}"], "tcl": ["tclsh", "dialogue.tcl", "{port}"]}


def command(progs, line, port):
    return [line[0], str(progs / line[1]), *(word.format(port=port) for word in line[2:])]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("server", ECHO)
def test_echo(mode, procs, serve, progs, port, server, client):
    serve(mode.server(command(progs, ECHO[server], port)), port)
    for _ in range(2):
        out = procs.run(mode.client(command(progs, CLIENTS[client], port)))
        assert out.decode().strip() == "good"


@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
def test_handed_on(mode, procs, serve, progs, port, how):
    serve(mode.server([PYTHON, progs / "handedon.py", "server", port, how]), port)
    out = procs.run(mode.client([PYTHON, progs / "handedon.py", "client", port]))
    assert out.decode().strip() == "good"


def test_erlang(mode, procs, serve, progs, port, tmp_path):
    procs.run(["erlc", "-o", tmp_path, progs / "nodes.erl"])
    mapper = free_port()
    env = {"ERL_EPMD_PORT": str(mapper), "ERL_EPMD_ADDRESS": "127.0.0.1", "HOME": str(tmp_path)}
    serve(["epmd", "-port", mapper], mapper, env=env)
    node = ["erl", "-noshell", "-noinput", "-setcookie", "c", "-pa", tmp_path, "-kernel",
            "inet_dist_use_interface", "{127,0,0,1}"]
    serve(mode.server([*node, "-kernel", "inet_dist_listen_min", port, "inet_dist_listen_max", port,
                       "-name", "server@127.0.0.1", "-eval", "nodes:server()."]), port, env=env)
    out = procs.run(mode.client([*node, "-name", "client@127.0.0.1", "-eval",
                                 "nodes:client(['server@127.0.0.1'])."]), env=env)
    assert out.decode().strip() == "good"


def test_zeromq(mode, procs, serve, progs):
    ports = [free_port() for _ in range(4)]
    queues = [PYTHON, progs / "queues.py"]
    serve(mode.server([*queues, "server", *ports]), ports[-1])
    assert procs.run(mode.client([*queues, "client", *ports])).decode().strip() == "good"


@pytest.mark.skipif(not shutil.which("mpicc"), reason="no mpicc: tools/setup more")
@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False], ids=["mpirun", "ranks"])
def test_mpi(mode, procs, progs, tmp_path, whole):
    """mpirun with all that it starts under scilan, or the ranks alone."""
    procs.run(["mpicc", "-O1", "-o", tmp_path / "ring", progs / "ring.c"])
    run = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-np", "3"]
    for key, value in (("pml", "ob1"), ("btl", "tcp,self"), ("btl_tcp_if_include", "lo"), ("oob_tcp_if_include", "lo"),
                       ("mpi_yield_when_idle", "1")):
        run += ["--mca", key, value]
    ring = [str(tmp_path / "ring")]
    out = procs.run(mode.client([*run, *ring]) if whole else [*run, *mode.client(ring)],
                    env={"HOME": str(tmp_path), "TMPDIR": "/tmp"})
    assert out.decode().strip() == "good"
