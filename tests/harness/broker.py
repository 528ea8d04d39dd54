"""The broker that a test session's programs find: who is it, and is it there?"""
import os
import signal
import socket
import struct

from harness.procs import children
from harness.wait import until


class Broker:
    """A broker at an abstract address, started by `scilan run` when it is missing."""

    def __init__(self, name):
        self.name = name

    def pid(self):
        """Its pid, or None when none answers."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(5)
            try:
                s.connect("\0" + self.name)
            except OSError:
                return None
            who = s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return struct.unpack("iII", who)[0]

    def family(self):
        """It and its keepers."""
        pid = self.pid()
        return {pid, *children(pid)} if pid else {None}

    def kill(self):
        pid = self.pid()
        if pid:
            os.kill(pid, signal.SIGKILL)
            until(lambda: self.pid() is None, "the killed broker is gone")
        return pid
