"""
Connections that change hands while bytes lie unread in them: by exec, spawn, system() and SCM_RIGHTS, to
programs under scilan and to others. Each answers with the hash of all that it got.
"""
import os
import subprocess

import pytest

from harness.wait import until

PYTHON = "/usr/bin/python3"
SMALL, LARGE = 20_000, 3_000_001 # sent and finished before the program runs; more than buffers take

# (how, program): what hand.py does
BY_EXEC = [
    ("exec", ["sha256sum"]),
    ("exec", ["busybox", "sha256sum"]), # Debian's busybox-static: no libscilan in it
    ("exec", ["env", "-i", "/usr/bin/sha256sum"]),
    ("exec", ["env", "SCILAN_PATCH=0", "sha256sum"]), # its stdio reads past the library
    ("exec", ["perl", "-e", "use Digest::SHA; print Digest::SHA->new(256)->addfile(*STDIN)->hexdigest, qq(\\n)"]),
    ("exec", ["bash", "-c", "sha256sum; true"]),
    ("popen", ["sha256sum"]),
    ("popen", ["busybox", "sha256sum"]),
]
BY_OTHERS = [
    ("fd", [PYTHON, "HAND", "heir"]),
    ("fd", ["env", "-u", "LD_PRELOAD", PYTHON, "HAND", "heir"]),
    ("fd", ["bash", "-c", "sha256sum <&$0 >&$0"]),
    ("spawn", ["sha256sum"]),
    ("system", ["sha256sum"]),
    ("scm", []),
    ("scm-plain", []),
]


def name(value):
    if isinstance(value, list):
        words = [os.path.basename(w) for w in value if w not in ("-c", "-e", "HAND")]
        return "-".join(words[:2])[:20].strip() or "none"
    return None


def on_memory(mode, port):
    """Is the connection where this mode promises to have it?"""
    if mode.name == "plain":
        return True
    ends = mode.status.connections(port)
    if mode.name == "chaos":
        return any(c[d]["bytes_memory"] for c in ends for d in ("tx", "rx"))
    return len(ends) == 2 and all(c[d]["lane"] == "memory" for c in ends for d in ("tx", "rx"))


def ask(mode, procs, serve, progs, port, path, how, program, before=lambda: None):
    """Hand a connection on; return what the client printed last."""
    hand = str(progs / "hand.py")
    program = [hand if word == "HAND" else word for word in program]
    server = serve(mode.server([PYTHON, hand, "server", str(port), how, *program]), port)
    client = procs.start(mode.client([PYTHON, hand, "client", str(port), str(path)]),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert client.stdout.readline() == b"ready\n", procs.tail(client)

    def moved():
        client.stdin.write(b"\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"again\n", procs.tail(client)
        return on_memory(mode, port)
    until(moved, "the connection is on the memory lane")
    before()
    client.stdin.write(b"go\n")
    client.stdin.flush()
    answer = client.stdout.readline().decode().strip()
    procs.finish(client)
    procs.finish(server)
    return answer


@pytest.fixture(params=[SMALL, LARGE], ids=["small", "large"])
def file(request, data):
    return data(request.param)


@pytest.mark.modes("auto", "eager", "chaos")
@pytest.mark.parametrize("how,program", BY_EXEC, ids=name)
def test_exec(mode, procs, serve, progs, port, file, how, program):
    """Nobody else holds it then: a relay helps where the peer cannot."""
    assert ask(mode, procs, serve, progs, port, file[0], how, program) == file[1]


@pytest.mark.modes("auto", "eager")
@pytest.mark.parametrize("how,program", BY_OTHERS, ids=name)
def test_others(mode, procs, serve, progs, port, data, how, program):
    path, digest = data(LARGE)
    assert ask(mode, procs, serve, progs, port, path, how, program) == digest


@pytest.mark.modes("auto", "eager")
@pytest.mark.parametrize("how,program", [("spawn", ["busybox", "sha256sum"]), ("scm-plain", []),
                                         ("system", ["busybox", "sha256sum"])], ids=name)
def test_finished(mode, procs, serve, progs, port, data, how, program):
    """The peer has finished: a relay goes on with the connection."""
    path, digest = data(SMALL)
    assert ask(mode, procs, serve, progs, port, path, how, program) == digest


@pytest.mark.modes("eager")
@pytest.mark.parametrize("how,program", [("fd", [PYTHON, "HAND", "heir"])], ids=name)
def test_no_broker(mode, procs, serve, progs, port, data, broker, how, program):
    """Nobody gives the segment again: the connection goes back to TCP."""
    path, digest = data(LARGE)
    assert ask(mode, procs, serve, progs, port, path, how, program, broker.kill) == digest


CGI = """#!/usr/bin/perl
# Perl's own reads: the server may have taken some of the body, but it says so.
read(STDIN, my $body, $ENV{CONTENT_LENGTH} // 0);
print "Content-Type: text/plain\\r\\n\\r\\n", "$ENV{REQUEST_METHOD}\\n";
print "x" x 1000, "\\n" for 1 .. 500;
"""


@pytest.mark.modes("auto", "eager", "chaos", "client-only", "server-only")
def test_cgi(mode, procs, serve, port, public_dir):
    """http.server forks, changes its user, puts the connection on 0 and 1, and executes the script."""
    script = public_dir / "cgi-bin" / "run"
    script.parent.mkdir(exist_ok=True)
    script.write_text(CGI)
    script.chmod(0o755)
    serve(mode.server([PYTHON, "-m", "http.server", "--cgi", "--bind", "127.0.0.1", str(port)]), port,
          cwd=public_dir)
    for _ in range(5):
        out = procs.run(mode.client(["curl", "-sS", f"http://127.0.0.1:{port}/cgi-bin/run"]))
        assert out == b"GET\n" + (b"x" * 1000 + b"\n") * 500


@pytest.mark.skipif(os.geteuid() != 0, reason="inetd wants root")
@pytest.mark.modes("auto", "eager", "chaos", "client-only", "server-only")
def test_inetd(mode, procs, serve, port, tmp_path, data):
    path, digest = data(LARGE)
    config = tmp_path / "inetd.conf"
    config.write_text(f"127.0.0.1:{port} stream tcp nowait root /usr/bin/sha256sum sha256sum\n")
    serve(mode.server(["/usr/sbin/inetd", "-d", "-i", str(config)]), port)
    for _ in range(3):
        with open(path, "rb") as file:
            out = procs.run(mode.client(["nc", "-N", "127.0.0.1", str(port)]), stdin=file)
        assert out.split()[0].decode() == digest


@pytest.mark.modes("auto", "eager", "chaos", "client-only", "server-only")
def test_super_server(mode, procs, serve, progs, port):
    """What one process has accepted is promoted in the program that gets it from its child, as inetd's do."""
    serve(mode.server(["socat", f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr", "EXEC:cat,nofork"]), port)
    assert echo(mode, procs, progs, port) == b"ok\n"


YOUNG = [("exec", ["cat"]), ("popen", ["cat"]), ("spawn", ["cat"]), ("fd", ["bash", "-c", "exec cat <&$0 >&$0"]),
         ("fd-held", ["bash", "-c", "exec cat <&$0 >&$0"]), ("exec", ["busybox", "cat"]), ("exec", ["env", "SCILAN_PATCH=0", "cat"])]


@pytest.mark.modes("auto", "eager", "chaos")
@pytest.mark.parametrize("how,program", YOUNG, ids=name)
def test_young(mode, procs, serve, progs, port, how, program):
    """Handed on before it was promoted, with a few bytes moved; promoted there, if the library is there."""
    serve(mode.server([PYTHON, str(progs / "hand.py"), "young", str(port), how, *program]), port)
    follows = "busybox" not in program and "SCILAN_PATCH=0" not in program
    assert echo(mode, procs, progs, port, follows) == b"ok\n"


def echo(mode, procs, progs, port, follows=True):
    client = procs.start(mode.client([PYTHON, str(progs / "echo.py"), "client", str(port), str(8 << 20)]),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert client.stdout.readline() == b"running\n", procs.tail(client)
    if follows: # else it is on TCP, or a relay's
        mode.observe(port)
    return procs.finish(client, data=b"\n")
