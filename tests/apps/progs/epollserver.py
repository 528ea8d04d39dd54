"""epollserver.py PORT: an echo server in epoll, for many connections."""
import select
import socket
import sys

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1000)
epoll = select.epoll()
epoll.register(listener, select.EPOLLIN)
conns = {}
while True:
    for fd, _ in epoll.poll():
        if fd == listener.fileno():
            conn = listener.accept()[0]
            conns[conn.fileno()] = conn
            epoll.register(conn, select.EPOLLIN)
            continue
        data = conns[fd].recv(65536)
        if data:
            conns[fd].sendall(data)
        else:
            epoll.unregister(fd)
            conns.pop(fd).close()
