"""A web application: GET sends a file of the directory $FILES in pieces, POST the hash of what came."""
import hashlib
import os
import pathlib


def app(environ, start_response):
    if environ["REQUEST_METHOD"] == "POST":
        digest, left = hashlib.sha256(), int(environ["CONTENT_LENGTH"])
        while left:
            piece = environ["wsgi.input"].read(min(left, 65536))
            digest.update(piece)
            left -= len(piece)
        body = [digest.hexdigest().encode()]
    else:
        data = (pathlib.Path(os.environ["FILES"]) / environ["PATH_INFO"].lstrip("/")).read_bytes()
        body = [data[at:at + 100_000] for at in range(0, len(data), 100_000)]
    start_response("200 OK", [("Content-Length", str(sum(len(b) for b in body)))])
    return body
