"""Blocking calls in threads: one sends while another receives on the same socket."""
import subprocess


def test_echo(mode, procs, serve, progs, port):
    echo = ["/usr/bin/python3", str(progs / "echo.py")]
    serve(mode.server([*echo, "server", str(port)]), port)
    client = procs.start(mode.client([*echo, "client", str(port), str(64 << 20)]),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert client.stdout.readline() == b"running\n", procs.tail(client)
    mode.observe(port)
    assert procs.finish(client, data=b"\n") == b"ok\n"
