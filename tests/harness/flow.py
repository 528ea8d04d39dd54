"""Bytes into and out of running programs."""
import hashlib
import threading

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
