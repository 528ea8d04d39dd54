"""
A server that gives its connections to another process by SCM_RIGHTS, and a client that talks on.

    passer.py server PORT HOW...   accepts, says "x" on each connection, gives it to its worker, a program of its own
        keep     does not close its copy
        fork     has a child with a copy of it, which waits
        peek     the worker looks at the message first (MSG_PEEK), and keeps what that brings
        twice    the first attempt fails
        again    the worker gives it to a second one
        plain    the server is not under scilan, its worker is
    passer.py worker FD HOW...     echoes what comes
    passer.py client PORT          echoes go round until standard input ends, each compared; then prints "good"
"""
import os
import select
import socket
import subprocess
import sys


def start_worker(how):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    env = dict(os.environ)
    if "WORKER_PRELOAD" in env: # of a server without scilan
        env["LD_PRELOAD"] = env["WORKER_PRELOAD"]
    subprocess.Popen([sys.executable, __file__, "worker", str(theirs.fileno()), *how],
                     pass_fds=[theirs.fileno()], env=env)
    theirs.close()
    return ours


def give(unix, conn, message=b"x"):
    socket.send_fds(unix, [message], [conn.fileno()])


def server(port, *how):
    unix = start_worker(how)
    ends, alive = os.pipe()
    with socket.create_server(("127.0.0.1", port)) as listener:
        print("up", flush=True)
        kept = []
        while True:
            conn, _ = listener.accept()
            conn.sendall(b"x")
            if "fork" in how and os.fork() == 0:
                os.close(alive)
                os.read(ends, 1) # until its parent ends
                os._exit(0)
            if "twice" in how:
                try:
                    give(unix, conn, b"x" * (16 << 20)) # longer than a message may be
                    sys.exit("it was sent")
                except OSError:
                    pass
            give(unix, conn)
            if "keep" in how:
                kept.append(conn)
            else:
                conn.close()


def take(unix, flags=0):
    while True:
        message, rights, _, _ = unix.recvmsg(4096, socket.CMSG_LEN(4), flags) # recv_fds forgets the flags
        if not message:
            sys.exit()
        for _, _, fd in rights:
            return socket.socket(fileno=int.from_bytes(fd, sys.byteorder))


def echo(conn):
    data = conn.recv(65536)
    if data:
        conn.sendall(data)
    return data


def worker(fd, *how):
    unix = socket.socket(fileno=fd)
    kept, more = [], start_worker([]) if "again" in how else None
    poll = select.poll()
    poll.register(unix, select.POLLIN)
    conns = {}
    while True:
        for at, _ in poll.poll():
            if at == fd:
                if "peek" in how:
                    kept.append(take(unix, socket.MSG_PEEK))
                conn = take(unix)
                if more:
                    echo(conn)
                    give(more, conn)
                    conn.close()
                else:
                    conns[conn.fileno()] = conn
                    poll.register(conn, select.POLLIN)
            elif not echo(conns[at]):
                poll.unregister(at)
                conns.pop(at).close()


def client(port):
    conn = socket.create_connection(("127.0.0.1", port))
    assert conn.recv(1) == b"x"
    sent = 0
    while not select.select([0], [], [], 0)[0]:
        data = sent.to_bytes(8, "little") * (1 + sent % 700)
        conn.sendall(data)
        got = b""
        while len(got) < len(data):
            part = conn.recv(65536)
            assert part, "the end"
            got += part
        assert got == data
        sent += 1
    print("good")


{"server": lambda port, *how: server(int(port), *how), "client": lambda port: client(int(port)),
 "worker": lambda fd, *how: worker(int(fd), *how)}[sys.argv[1]](*sys.argv[2:])
