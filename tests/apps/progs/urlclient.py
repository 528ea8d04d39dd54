"""
urlclient.py BASE get|post FILE...: fetch each file with urllib, print a SHA-256 a transfer.

GET BASE/NAME; with `post` also POST the file to BASE/echo, which answers with what it got. After the
first half of each answer it says "half" and waits for a line, so that somebody can look.
"""
import hashlib
import pathlib
import sys
import urllib.request


def fetch(request):
    digest = hashlib.sha256()
    with urllib.request.urlopen(request, timeout=60) as answer:
        half = int(answer.headers["Content-Length"]) // 2
        digest.update(answer.read(half))
        print("half", flush=True)
        sys.stdin.readline()
        while part := answer.read(100_000):
            digest.update(part)
    print(digest.hexdigest(), flush=True)


base, how, *paths = sys.argv[1:]
for path in map(pathlib.Path, paths):
    fetch(f"{base}/{path.name}")
    if how == "post":
        fetch(urllib.request.Request(f"{base}/echo", data=path.read_bytes()))
