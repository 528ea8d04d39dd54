"""HAProxy, with two threads, between wrk or curl and nginx: copying, and splicing through a pipe."""
import subprocess

import pytest

from harness import modes
from harness.hashes import sha256_file
from harness.ports import free_port
from test_nginx import FILES, curl, files, nginx, wrk  # noqa: F401 # fixtures

pytestmark = pytest.mark.modes(*modes.QUICK, slow=modes.REST)

CONFIG = """
global
    nbthread 2
    maxconn 400
defaults
    mode {kind}
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    {splice}
listen front
    bind 127.0.0.1:{port}
    server back 127.0.0.1:{back}
"""


@pytest.fixture
def haproxy(mode, serve, port, tmp_path):
    """haproxy(back, kind, splice): in front of the port @back."""
    def start(back, kind, splice):
        config = tmp_path / "haproxy.cfg"
        config.write_text(CONFIG.format(kind=kind, port=port, back=back,
                                        splice="option splice-request\n    option splice-response"
                                        if splice else ""))
        serve(mode.server(["haproxy", "-db", "-f", str(config)]), port)
        return port
    return start


@pytest.mark.parametrize("kind", ["http", "tcp"])
@pytest.mark.parametrize("splice", [True, False], ids=["splice", "copy"])
def test_big(mode, procs, nginx, haproxy, data, tmp_path, kind, splice): # noqa: F811
    back = nginx()
    front = haproxy(back, kind, splice)
    curl(procs, mode, f"http://127.0.0.1:{front}/big", front, tmp_path, data(FILES["big"])[1], 6)


def test_many(mode, procs, nginx, haproxy): # noqa: F811
    """Many at once; the connections to nginx are used again."""
    back = nginx()
    front = haproxy(back, "http", False)
    wrk(procs, mode, f"http://127.0.0.1:{front}/100k", front, connections=8, seconds=1)
