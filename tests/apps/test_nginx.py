"""nginx with wrk and curl: static files by sendfile, and as a proxy that keeps connections alive."""
import re
import subprocess

import pytest

from harness.hashes import sha256_file
from harness.ports import free_port

KIB, MIB = 1 << 10, 1 << 20
FILES = {"small": KIB, "100k": 100 * KIB, "big": 8 * MIB}

CONFIG = """
daemon off;
master_process on;
worker_processes 2;
{user}
pid {dir}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile {sendfile};
    keepalive_requests 1000000;
    default_type application/octet-stream;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    upstream back {{ server 127.0.0.1:{back}; keepalive 16; }}
    server {{
        listen 127.0.0.1:{port}{reuseport};
        root {files};
        location /back/ {{
            proxy_pass http://back/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


@pytest.fixture(scope="session")
def files(public_dir, data):
    directory = public_dir / "www-nginx"
    directory.mkdir(exist_ok=True) # other tests import this fixture
    for name, size in FILES.items():
        (directory / name).write_bytes(data(size)[0].read_bytes())
    return directory


@pytest.fixture
def nginx(mode, serve, files, tmp_path):
    """nginx(): start one, return its port."""
    def start(user="user root;", reuseport=True, sendfile=True, back=1, server=None):
        port = free_port()
        directory = tmp_path / f"nginx-{port}"
        directory.mkdir(exist_ok=True) # other tests import this fixture
        config = directory / "nginx.conf"
        config.write_text(CONFIG.format(
            dir=directory, port=port, files=files, user=user, back=back,
            reuseport=" reuseport" if reuseport else "", sendfile="on" if sendfile else "off"))
        serve((server or mode.server)(["nginx", "-p", str(directory), "-c", str(config)]), port)
        return port
    return start


def wrk(procs, mode, url, port, connections=16, seconds=2):
    client = procs.start(mode.client(["wrk", "-t", "1", "-c", str(connections),
                                      "-d", f"{seconds}s", url]), stdout=subprocess.PIPE)
    mode.observe(port, at_least=connections)
    out = procs.finish(client).decode()
    assert int(re.search(r"(\d+) requests in", out)[1]) > 100, out
    assert "Socket errors" not in out and "Non-2xx" not in out, out


def curl(procs, mode, url, port, tmp_path, digest, count=12):
    """Many downloads on one connection, which --rate keeps open long enough to be looked at."""
    client = procs.start(mode.client(
        ["curl", "-sSf", "--rate", "8/s", "-o", tmp_path / "got-#1",
         f"{url}?[1-{count}]"]))
    mode.observe(port)
    procs.finish(client)
    got = [sha256_file(path) for path in tmp_path.glob("got-*")]
    assert got == [digest] * count


@pytest.mark.parametrize("name,reuseport", [("small", True), ("100k", False)],
                         ids=["small-reuseport", "100k-one-socket"])
def test_wrk(mode, procs, nginx, name, reuseport):
    port = nginx(reuseport=reuseport)
    wrk(procs, mode, f"http://127.0.0.1:{port}/{name}", port)


@pytest.mark.parametrize("name,sendfile", [("small", True), ("100k", False), ("big", True),
                                           ("big", False)],
                         ids=["small-sendfile", "100k-write", "big-sendfile", "big-write"])
def test_curl(mode, procs, nginx, data, tmp_path, name, sendfile):
    port = nginx(sendfile=sendfile)
    curl(procs, mode, f"http://127.0.0.1:{port}/{name}", port, tmp_path, data(FILES[name])[1])


@pytest.mark.parametrize("name", ["100k", "big"])
def test_proxy(mode, procs, nginx, data, tmp_path, name):
    back = nginx()
    front = nginx(back=back)
    curl(procs, mode, f"http://127.0.0.1:{front}/back/{name}", front, tmp_path,
         data(FILES[name])[1])


@pytest.mark.modes("auto", "eager", "chaos")
def test_proxy_upstream(mode, procs, nginx):
    """The connections between the two servers are on the memory lane as well."""
    back = nginx()
    front = nginx(back=back)
    client = procs.start(mode.client(["wrk", "-t", "1", "-c", "8", "-d", "2s",
                                      f"http://127.0.0.1:{front}/back/100k"]),
                         stdout=subprocess.PIPE)
    mode.observe(back, at_least=4)
    out = procs.finish(client).decode()
    assert "Socket errors" not in out and "Non-2xx" not in out, out
