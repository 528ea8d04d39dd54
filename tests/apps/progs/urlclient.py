"""
urlclient.py BASE get|post FILE...: fetch each file with urllib, print a SHA-256 a transfer.

GET BASE/NAME; with `post` also POST the file to BASE/echo, which answers with what it got. Says
"reading" once an answer comes, and then reads slowly, so that somebody can look, until a line comes.
"""
import hashlib
import pathlib
import select
import sys
import urllib.request


def fetch(request):
    digest = hashlib.sha256()
    slowly = True
    with urllib.request.urlopen(request, timeout=60) as answer:
        digest.update(answer.read(1))
        print("reading", flush=True)
        while part := answer.read1(65536):
            digest.update(part)
            if slowly and select.select([0], [], [], 0.01)[0]:
                sys.stdin.readline()
                slowly = False
    if slowly:
        sys.stdin.readline()
    print(digest.hexdigest(), flush=True)


base, how, *paths = sys.argv[1:]
for path in map(pathlib.Path, paths):
    fetch(f"{base}/{path.name}")
    if how == "post":
        with open(path, "rb") as body:
            fetch(urllib.request.Request(f"{base}/echo", data=body, headers={
                "Content-Length": str(path.stat().st_size)}))
