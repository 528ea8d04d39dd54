"""Waiting for an event, never for a time."""
import time


class Late(AssertionError):
    """What was waited for did not happen in time."""


def until(look, what, seconds=20, every=0.02):
    """Look until the answer is true, and return it."""
    end = time.monotonic() + seconds
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > end:
            what = what() if callable(what) else what
            raise Late(f"not within {seconds} s: {what}")
        time.sleep(every)


def listening(port):
    """Does somebody listen there? Looked up, so that the server sees no connection for it."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="ascii") as lines:
            next(lines)
            for line in lines:
                _, local, _, state = line.split()[:4]
                if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                    return True
    return False
