"""An echo server with the loop of eventlet: echoeventlet.py PORT"""
import sys

import eventlet


def serve(sock):
    while data := sock.recv(65536):
        sock.sendall(data)
    sock.close()


listener = eventlet.listen(("127.0.0.1", int(sys.argv[1])))
while True:
    eventlet.spawn_n(serve, listener.accept()[0])
