"""
forker.py PORT KIND: an echo server that forks for each connection, which it has accepted; by KIND:
  at-once   as ForkingTCPServer does
  paused    after a pause, in which the connection is paired, and the answer comes into the server's mail
  used      the server echoes the first bytes itself
  parent    the child ends at once, and the server goes on with the connection; one at a time
  twice     the child forks once more, and ends (a double fork)
"""
import os
import signal
import socket
import sys
import time


def echo(conn, times=None):
    while times is None or times:
        part = conn.recv(65536)
        if not part:
            break
        conn.sendall(part)
        times = times and times - 1


def child(kind, listener, conn):
    listener.close()
    if kind == "twice" and os.fork():
        os._exit(0)
    if kind != "parent":
        echo(conn)
    os._exit(0)


def serve(port, kind):
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    while True:
        conn, _ = listener.accept()
        if kind == "paused":
            time.sleep(0.1)
        if kind == "used":
            echo(conn, 20)
        pid = os.fork()
        if not pid:
            child(kind, listener, conn)
        if kind in ("parent", "twice"):
            os.waitpid(pid, 0)
        if kind == "parent":
            echo(conn)
        conn.close()


if __name__ == "__main__":
    if sys.argv[2] not in ("parent", "twice"):
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    serve(int(sys.argv[1]), sys.argv[2])
