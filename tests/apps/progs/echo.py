"""
echo.py server PORT: an echo server, a thread a connection, blocking calls.
echo.py client PORT BYTES [wait]: BYTES there and back, compared, then "ok"; in the middle "half", and a
line is waited for. With `wait`, a line before it connects, too.
"""
import hashlib
import random
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
    digest = hashlib.sha256()
    while size:
        part = conn.recv(min(size, 65536))
        if not part:
            sys.exit("early end")
        digest.update(part)
        size -= len(part)
    return digest.digest()


def talk(port, size):
    parts = [random.Random(i).randbytes(n) for i, n in enumerate((size // 2, size - size // 2))]

    def send():
        for part in parts:
            conn.sendall(part)

    with socket.create_connection(("127.0.0.1", port)) as conn:
        sender = threading.Thread(target=send)
        sender.start()
        for i, part in enumerate(parts):
            if receive(conn, len(part)) != hashlib.sha256(part).digest():
                sys.exit("what came back differs")
            if i == 0:
                print("half", flush=True)
                sys.stdin.readline()
        sender.join()
    print("ok", flush=True)


if sys.argv[1] == "server":
    serve(int(sys.argv[2]))
else:
    if sys.argv[4:] == ["wait"]:
        print("waiting", flush=True)
        sys.stdin.readline()
    talk(int(sys.argv[2]), int(sys.argv[3]))
