"""
many.py PORT: a client of many connections to an echo server, driven by lines on standard input.

open N     connect N more
ping N     N messages there and back on each connection, checked
close N    close the N that were opened last
stamp N    ask the kernel for times of sending (SO_TIMESTAMPING) on the first N
race N     N messages there and back on the connection that was opened first

Answers "ok" to each; to race with the median of the times of a round trip behind it, in microseconds. Sleeps in epoll, on its connections and on its input.
"""
import os
import selectors
import socket
import statistics
import sys
import time

conns = []


def do_open(count):
    for _ in range(count):
        conns.append(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
        selector.register(conns[-1], selectors.EVENT_READ)


def do_close(count):
    for _ in range(count):
        conn = conns.pop()
        selector.unregister(conn)
        conn.close()


def do_stamp(count):
    for conn in conns[:count]:
        conn.setsockopt(socket.SOL_SOCKET, 37, 1) # SO_TIMESTAMPING, SOF_TIMESTAMPING_TX_HARDWARE


def do_race(count):
    took = []
    for _ in range(count):
        before = time.perf_counter()
        conns[0].sendall(b"to and fro")
        if conns[0].recv(100) != b"to and fro":
            sys.exit("what came back differs")
        took.append(time.perf_counter() - before)
    return f"{statistics.median(took) * 1e6:.3f}"


def do_ping(count):
    for i in range(count):
        messages = {conn: b"%d.%d " % (n, i) * (1 + n % 50) for n, conn in enumerate(conns)}
        for conn, message in messages.items():
            conn.sendall(message)
        for conn, message in messages.items():
            got = b""
            while len(got) < len(message):
                part = conn.recv(65536)
                if not part:
                    sys.exit("early end")
                got += part
            if got != message:
                sys.exit("what came back differs")


selector = selectors.DefaultSelector()
selector.register(0, selectors.EVENT_READ)
commands = {"open": do_open, "ping": do_ping, "close": do_close, "stamp": do_stamp, "race": do_race}
while True:
    for key, _ in selector.select():
        if key.fd != 0:
            sys.exit("something came unasked")
        line = os.read(0, 1000).decode()
        if not line:
            sys.exit()
        command, argument = line.split()
        result = commands[command](int(argument))
        print("ok" if result is None else f"ok {result}", flush=True)
