"""A broker that dies, that is missing, or that is none."""
import contextlib
import os
import signal
import socket
import threading
import uuid

import pytest

from harness.wait import until


def test_killed(status, broker, echo_server, many, port, procs, under, scilan):
    """Open connections go on, new ones are TCP, and the next `scilan run` brings it all back."""
    client = many()
    client.do("open 5")
    status.wait_memory(port, 5, poke=lambda: client.do("ping 10"))

    broker.kill()
    client.do("ping 500")
    status.wait_memory(port, 5)
    client.do("open 3")
    client.do("ping 20")
    pairs = status.pairs(port)
    assert len(pairs) == 8
    assert sum(not pair["client"] for pair in pairs.values()) == 3, "the new ones are TCP"
    reasons = {c["reason"] for c in status.connections(port) if c["tx"]["lane"] == "tcp"}
    assert all(reasons), reasons

    late = many()
    until(broker.pid, "scilan run started the broker")
    late.do("open 4")
    client.do("open 1")

    def promoted():
        # The server looks for a broker now and then, and only while it has something to do.
        late.do("ping 1")
        client.do("ping 1")
        pairs = status.pairs(port).values()
        return sum(all(len(lanes) == 2 for lanes in pair.values()) for pair in pairs) >= 10
    status.wait(promoted, port, "the old and the new connections on the memory lane", 20)
    client.do("ping 100")
    late.do("ping 100")


ENDS = """
import socket, struct, sys
how = sys.argv[1]
a, b = socket.socket(), socket.socket()
a.bind(("127.0.0.1", 0))
a.listen()
b.connect(a.getsockname())
a, _ = a.accept()
a.settimeout(5)
b.send(b"x")
if how == "linger":
    b.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
if how == "unread":
    a.send(b"y")
b.close()
try:
    print(a.recv(1), a.recv(1))
except ConnectionResetError:
    print("reset")
"""


@pytest.mark.parametrize("how, seen", [("fin", "b'x' b''"), ("linger", "reset"), ("unread", "reset")])
def test_stopped(procs, under, broker, scilan, environ, how, seen):
    """A broker that does not look at an offer keeps nobody's connection open."""
    procs.run([scilan, "run", "--", "true"])
    pid = broker.pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        out = procs.run(under(["/usr/bin/python3", "-c", ENDS, how]))
    finally:
        os.kill(pid, signal.SIGCONT)
    assert out.decode().strip() == seen


@contextlib.contextmanager
def impostor(answer):
    """Something that listens at a broker's address. @answer: what it sends, then it hangs up."""
    name = f"scilan-test-{uuid.uuid4().hex}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind("\0" + name)
    listener.listen(16)
    taken = []

    def serve():
        with contextlib.suppress(OSError):
            while True:
                conn, _ = listener.accept()
                if answer is None:
                    taken.append(conn) # and says nothing
                    continue
                with contextlib.suppress(OSError):
                    conn.send(answer)
                conn.close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield name
    listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    listener.close()
    for conn in taken:
        conn.close()


@pytest.mark.parametrize("answer", [
    b"x", b"\xff" * 32, b"\0" * 32, b"\1" * 4000, None,
], ids=["short", "ones", "zeros", "long", "silent"])
def test_impostor(procs, under, serve, progs, port, status, answer):
    """A socket that is not a broker's: said in a line, and everything works over TCP."""
    with impostor(answer) as name:
        env = {"SCILAN_BROKER": name}
        serve(under(["/usr/bin/python3", progs / "selectserver.py", port]), port, env=env)
        client = procs.start(under(["/usr/bin/python3", progs / "many.py", port], "--verbose"),
                             stdin=-1, stdout=-1, env=env)
        for command in (b"open 3\n", b"ping 20\n"):
            client.stdin.write(command)
            client.stdin.flush()
            assert client.stdout.readline() == b"ok\n", procs.tail(client)
        found = status.connections(port)
        assert found and all(c["tx"]["lane"] == c["rx"]["lane"] == "tcp" for c in found)
        assert all(c["reason"] for c in found)
        procs.finish(client)
        if answer is not None:
            assert "broker" in procs.tail(client)
