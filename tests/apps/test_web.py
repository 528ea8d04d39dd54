"""
Web servers, each with its own way to wait: epoll, poll and select in lighttpd, threads in WEBrick, processes under
gunicorn and uWSGI, libev under gevent, libuv under uvloop, the reactor of Twisted, Tornado, and PHP's own server.
"""
import subprocess

import pytest

from harness.hashes import sha256_file

pytestmark = [pytest.mark.modes("auto", slow=("plain", "eager", "chaos")), pytest.mark.deadline(40)]

SIZE = 16 << 20
PYTHON = "/usr/bin/python3"

LIGHTTPD = """
server.document-root = "{files}"
server.bind = "127.0.0.1"
server.port = {port}
server.event-handler = "{events}"
server.network-backend = "{write}"
server.max-request-size = 100000
"""


@pytest.fixture
def files(data):
    return data(SIZE)[0].parent


def lighttpd(events, write):
    def command(port, files, progs, tmp_path):
        config = tmp_path / "lighttpd.conf"
        config.write_text(LIGHTTPD.format(files=files, port=port, events=events, write=write))
        return ["lighttpd", "-D", "-f", str(config)]
    return command


def gunicorn(*options):
    return lambda port, files, progs, tmp_path: \
        ["gunicorn", "--chdir", str(progs), "-b", f"127.0.0.1:{port}", *options, "wsgi:app"]


def aweb(kind):
    return lambda port, files, progs, tmp_path: \
        [PYTHON, str(progs / "aweb.py"), kind, str(port), str(files)]


SERVERS = {
    "lighttpd-epoll": lighttpd("linux-sysepoll", "sendfile"),
    "lighttpd-poll": lighttpd("poll", "writev"),
    "lighttpd-select": lighttpd("select", "write"),
    "gunicorn-sync": gunicorn("-w", "2"),
    "gunicorn-threads": gunicorn("-k", "gthread", "--threads", "4", "--no-sendfile"),
    "gunicorn-gevent": gunicorn("-k", "gevent"),
    "uwsgi": lambda port, files, progs, tmp_path:
        ["uwsgi_python3", "--master", "--processes", "2", "--threads", "2", "--http-socket", f"127.0.0.1:{port}",
         "--chdir", str(progs), "--module", "wsgi:app", "--die-on-term"],
    "uvloop": aweb("uvloop"),
    "tornado": aweb("tornado"),
    "twisted": lambda port, files, progs, tmp_path:
        ["twistd3", "-n", "--pidfile=", "web", "--listen", f"tcp:{port}:interface=127.0.0.1", "--path", str(files)],
    "webrick": lambda port, files, progs, tmp_path:
        ["ruby", "-run", "-e", "httpd", str(files), "-p", str(port), "-b", "127.0.0.1"],
    "php": lambda port, files, progs, tmp_path: ["php", "-S", f"127.0.0.1:{port}", "-t", str(files)],
}
TAKES_POSTS = ("gunicorn-sync", "gunicorn-threads", "gunicorn-gevent", "uwsgi", "uvloop", "tornado")


@pytest.mark.parametrize("name", SERVERS)
def test_web(mode, procs, serve, progs, port, data, files, tmp_path, name):
    """One large file, so slowly that the lane can be seen, and many small answers on many connections."""
    path, digest = data(SIZE)
    (files / "small").write_bytes(b"small\n" * 100)
    serve(mode.server(SERVERS[name](port, files, progs, tmp_path)), port, env={"FILES": str(files)},
          cwd=tmp_path)
    url, got = f"http://127.0.0.1:{port}", tmp_path / "got"
    mode.download(procs, ["curl", "-sSf", "--limit-rate", "24M", "-o", got, f"{url}/{path.name}"], port)
    assert sha256_file(got) == digest
    if name in TAKES_POSTS:
        for _ in range(2):
            out = procs.run(mode.client(["curl", "-sSf", "--data-binary", f"@{path}", f"{url}/post"]))
            assert out.decode() == digest
    out = procs.run(mode.client(["ab", "-q", "-k", "-n", "40", "-c", "8", f"{url}/small"])).decode()
    assert "Complete requests:      40" in out and "Failed requests:        0" in out, out
