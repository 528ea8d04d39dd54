"""selectserver.py PORT: an echo server, one thread, all connections in one epoll."""
import selectors
import socket
import sys


def accept(listener):
    conn, _ = listener.accept()
    conn.setblocking(False)
    selector.register(conn, selectors.EVENT_READ, echo)


def echo(conn):
    part = conn.recv(65536)
    if part:
        conn.setblocking(True)
        conn.sendall(part)
        conn.setblocking(False)
    else:
        selector.unregister(conn)
        conn.close()


selector = selectors.DefaultSelector()
server = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=256)
selector.register(server, selectors.EVENT_READ, accept)
while True:
    for key, _ in selector.select():
        key.data(key.fileobj)
