"""Ports that nobody listens on, outside the kernel's ephemeral range."""
import random
import socket

handed_out = set()


def free_port():
    while True:
        port = random.randrange(10000, 30000)
        if port in handed_out:
            continue
        with socket.socket() as s:
            try:
                s.bind(("", port))
            except OSError:
                continue
        handed_out.add(port)
        return port
