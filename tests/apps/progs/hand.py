"""
A server that hands its connection on to another program, and the client of it.

    hand.py server PORT HOW [PROGRAM ARGS]   serves one connection
    hand.py young PORT HOW [PROGRAM ARGS]    serves one connection: takes and echoes 64 bytes, then hands it on
    hand.py client PORT FILE                 prints what the program answers
    hand.py heir [FD]                        a program: hashes until the end of FD (0), answers there
    hand.py helper FD                        gets the connection by SCM_RIGHTS over FD, and is the heir

The server echoes blocks until it gets the block GO, and takes nothing behind that. It waits until the next bytes
have come, so that they are unread when the program gets the connection.
"""
import hashlib
import os
import select
import socket
import subprocess
import sys
import time

BLOCK = 64
GO = b"go" * (BLOCK // 2)


def take(conn, n):
    got = b""
    while len(got) < n:
        part = conn.recv(n - len(got))
        if not part:
            raise EOFError
        got += part
    return got


def heir(fd=0):
    digest = hashlib.sha256()
    while part := os.read(fd, 5000):
        digest.update(part)
    os.write(1 if fd == 0 else fd, digest.hexdigest().encode() + b"\n")


def helper(fd):
    with socket.socket(fileno=fd) as unix:
        _, fds, _, _ = socket.recv_fds(unix, 1, 1)
    heir(fds[0])


def start_helper(plain):
    ours, theirs = socket.socketpair()
    env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD" or not plain}
    proc = subprocess.Popen([sys.executable, __file__, "helper", str(theirs.fileno())],
                            pass_fds=[theirs.fileno()], env=env)
    theirs.close()
    return ours, proc


def hand_on(conn, how, args, helped):
    """Return the exit status of the program."""
    fd = conn.fileno()
    if how == "exec":
        os.dup2(fd, 0)
        os.dup2(fd, 1)
        conn.close()
        os.execvp(args[0], args)
    if how == "popen":
        proc = subprocess.Popen(args, stdin=conn, stdout=conn)
    elif how in ("fd", "fd-held"):
        proc = subprocess.Popen([*args, str(fd)], pass_fds=[fd])
        if how == "fd-held": # the child executes more than one program meanwhile
            time.sleep(0.3)
    elif how == "spawn":
        pid = os.posix_spawnp(args[0], args, os.environ, file_actions=[
            (os.POSIX_SPAWN_DUP2, fd, 0), (os.POSIX_SPAWN_DUP2, fd, 1)])
        conn.close()
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    elif how == "system":
        os.dup2(fd, 9, inheritable=True)
        conn.close()
        return os.system(" ".join(args) + " <&9 >&9")
    else:
        socket.send_fds(helped[0], [b"x"], [fd])
        proc = helped[1]
    conn.close()
    return proc.wait()


def server(port, how, *args):
    helped = start_helper(how == "scm-plain") if how.startswith("scm") else None
    with socket.create_server(("127.0.0.1", int(port))) as listener:
        conn, _ = listener.accept()
    while (block := take(conn, BLOCK)) != GO:
        conn.sendall(block)
    select.select([conn], [], [])
    sys.exit(hand_on(conn, how, args, helped))


def young(port, how, *args):
    with socket.create_server(("127.0.0.1", int(port))) as listener:
        conn, _ = listener.accept()
    conn.sendall(take(conn, BLOCK))
    sys.exit(hand_on(conn, how, args, None))


def client(port, path):
    conn = socket.create_connection(("127.0.0.1", int(port)))
    for i in range(20):
        conn.sendall(bytes([i]) * BLOCK)
        assert take(conn, BLOCK) == bytes([i]) * BLOCK
    print("ready", flush=True)
    while sys.stdin.readline() != "go\n": # keep it moving while the test looks at it
        conn.sendall(bytes(BLOCK))
        assert take(conn, BLOCK) == bytes(BLOCK)
        print("again", flush=True)
    with open(path, "rb") as file:
        conn.sendall(GO + file.read())
    conn.shutdown(socket.SHUT_WR)
    answer = b""
    while part := conn.recv(1000):
        answer += part
    print(answer.split()[0].decode())


if __name__ == "__main__":
    what = {"server": server, "young": young, "client": client, "heir": lambda fd=0: heir(int(fd)),
            "helper": lambda fd: helper(int(fd))}
    what[sys.argv[1]](*sys.argv[2:])
