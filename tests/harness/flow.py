"""Bytes into and out of running programs."""
import hashlib
import random
import threading

from harness.wait import until

SLICE = 1 << 16


def pour(stream, data, close=False):
    """Write @data in a thread, which is returned."""
    def run():
        try:
            stream.write(data)
            stream.flush()
            if close:
                stream.close()
        except BrokenPipeError:
            pass # whoever reads says what is missing
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def take(stream, count):
    """The SHA-256 of the next @count bytes."""
    digest, left = hashlib.sha256(), count
    while left:
        piece = stream.read(min(left, SLICE))
        assert piece, f"the end, and {left} of {count} bytes are missing"
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest()


class Echo:
    """Bytes without end through a program that is connected to an echo server, and back; compared when it stops."""

    def __init__(self, proc):
        self.proc = proc
        self.sent, self.got = hashlib.sha256(), hashlib.sha256()
        self.count, self.back = 0, 0
        self.stopping = threading.Event()
        self.writer = threading.Thread(target=self.write, daemon=True)
        self.writer.start()
        threading.Thread(target=self.read, daemon=True).start()

    def write(self):
        while not self.stopping.is_set():
            piece = random.randbytes(SLICE)
            self.sent.update(piece)
            self.proc.stdin.write(piece)
            self.proc.stdin.flush()
            self.count += len(piece)

    def read(self):
        while piece := self.proc.stdout.read1(SLICE):
            self.got.update(piece)
            self.back += len(piece)

    def more(self, count=1 << 20):
        """Wait until that much more has come back."""
        goal = self.back + count
        until(lambda: self.back >= goal, lambda: f"{goal} bytes, after {self.back}")

    def stop(self):
        self.stopping.set()
        self.writer.join(30)
        until(lambda: self.back == self.count, lambda: f"{self.count} bytes, after {self.back}")
        assert self.got.digest() == self.sent.digest()
