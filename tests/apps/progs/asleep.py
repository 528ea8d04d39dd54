"""
asleep.py PORT HOW          a server that answers each message of 64 bytes, waiting by HOW (recv, limit,
                            poll, select or epoll); limit is recv with SO_RCVTIMEO
asleep.py PORT HOW ROUNDS   its client: 2 ms between two messages, so that the server sleeps each time

The server prints what ended it.
"""
import select
import socket
import struct
import sys
import time


def waiter(how, sock):
    if how == "epoll":
        ep = select.epoll()
        ep.register(sock, select.EPOLLIN)
        return ep.poll
    if how == "poll":
        po = select.poll()
        po.register(sock, select.POLLIN)
        return po.poll
    if how == "select":
        return lambda: select.select([sock], [], [])
    if how == "limit":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 20, 0))
    return lambda: None


def message(sock, wait):
    got = b""
    while len(got) < 64:
        wait()
        more = sock.recv(64 - len(got))
        if not more:
            return None
        got += more
    return got


def server(port, how):
    with socket.create_server(("127.0.0.1", port)) as listener:
        sock, _ = listener.accept()
    wait = waiter(how, sock)
    try:
        while (got := message(sock, wait)):
            sock.sendall(got)
        print("end", flush=True)
    except ConnectionResetError:
        print("reset", flush=True)


def client(port, how, rounds):
    sock = socket.create_connection(("127.0.0.1", port))
    wait = waiter(how, sock)
    for i in range(rounds):
        data = i.to_bytes(64, "big")
        sock.sendall(data)
        assert message(sock, wait) == data
        time.sleep(0.002)
    print("done", flush=True)
    sys.stdin.readline()


if len(sys.argv) > 3:
    client(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
else:
    server(int(sys.argv[1]), sys.argv[2])
