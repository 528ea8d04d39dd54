"""
handedon.py server PORT fork|spawn|forkserver: each connection is begun here and handed on to a worker (multiprocessing)
handedon.py client PORT
"""
import multiprocessing
import multiprocessing.reduction # noqa: F401 # sockets can be sent
import os
import socket
import sys


def worker(pipe):
    while True:
        sock = pipe.recv()
        while data := sock.recv(65536):
            sock.sendall(data)
        sock.close()


def server(port, how):
    context = multiprocessing.get_context(how)
    listener = socket.create_server(("127.0.0.1", port))
    pipes = []
    for _ in range(2):
        ours, theirs = multiprocessing.Pipe()
        context.Process(target=worker, args=(theirs,), daemon=True).start()
        pipes.append(ours)
    for i in range(1 << 30):
        sock, _ = listener.accept()
        for _ in range(2):
            sock.sendall(sock.recv(5, socket.MSG_WAITALL))
        pipes[i % 2].send(sock)
        sock.close()


def client(port):
    for _ in range(3):
        sock = socket.create_connection(("127.0.0.1", port))
        for text in (b"hello", b"again", *(os.urandom(1 + i * 31 % 9000) for i in range(500))):
            sock.sendall(text)
            assert sock.recv(len(text), socket.MSG_WAITALL) == text
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
        sock.close()
    print("good")


if __name__ == "__main__":
    if sys.argv[1] == "server":
        server(int(sys.argv[2]), sys.argv[3])
    else:
        client(int(sys.argv[2]))
