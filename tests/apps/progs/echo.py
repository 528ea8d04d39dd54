"""
echo.py server PORT: an echo server, a thread a connection, blocking calls.
echo.py client PORT BYTES [wait]: rounds of 1 MiB there and back, compared, until there were BYTES and a
line came; then "ok". Says "running" after the first. With `wait` it waits for a line before it connects.
"""
import itertools
import random
import select
import socket
import sys
import threading


def serve(port):
    def echo(conn):
        with conn:
            while part := conn.recv(65536):
                conn.sendall(part)

    with socket.create_server(("127.0.0.1", port), backlog=64) as listener:
        while True:
            conn, _ = listener.accept()
            threading.Thread(target=echo, args=(conn,), daemon=True).start()


def receive(conn, size):
    got = bytearray()
    while len(got) < size:
        part = conn.recv(min(size - len(got), 65536))
        if not part:
            sys.exit("early end")
        got += part
    return got


def talk(port, size):
    """One thread sends while this one receives."""
    told = False
    with socket.create_connection(("127.0.0.1", port)) as conn:
        for i in itertools.count():
            message = random.Random(i).randbytes(1 << 20)
            sender = threading.Thread(target=conn.sendall, args=(message,))
            sender.start()
            if receive(conn, len(message)) != message:
                sys.exit("what came back differs")
            sender.join()
            if i == 0:
                print("running", flush=True)
            if not told and select.select([0], [], [], 0)[0]:
                told = bool(sys.stdin.readline())
            if told and (i + 1) << 20 >= size:
                break
    print("ok", flush=True)


if sys.argv[1] == "server":
    serve(int(sys.argv[2]))
else:
    if sys.argv[4:] == ["wait"]:
        print("waiting", flush=True)
        sys.stdin.readline()
    talk(int(sys.argv[2]), int(sys.argv[3]))
