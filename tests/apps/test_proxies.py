"""
Proxies with a thread for each connection that poll two sockets which block, and read from the one that is said to be readable: a
readiness that is none stops them for good, or cuts the answer short.
"""
import pytest

from harness.hashes import sha256_file
from harness.ports import free_port

pytestmark = [pytest.mark.modes("chaos", slow=("plain", "auto", "eager")), pytest.mark.deadline(60)]

TINYPROXY = """
Port {port}
Listen 127.0.0.1
Timeout 60
Allow 127.0.0.1
MaxClients 50
ConnectPort {web}
"""
PRIVOXY = """
listen-address 127.0.0.1:{port}
logdir {dir}
confdir {dir}
"""


@pytest.mark.parametrize("kind", ["tinyproxy", "connect", "privoxy"])
def test_proxy(mode, procs, serve, port, data, tmp_path, kind):
    """The same file four times at once; "connect" through a tunnel that the proxy does not look into."""
    path, digest = data(20 << 20)
    proxy, config = free_port(), tmp_path / "conf"
    serve(mode.server(["python3", "-m", "http.server", "-b", "127.0.0.1", "-d", path.parent, port]), port)
    if kind == "privoxy":
        config.write_text(PRIVOXY.format(port=proxy, dir=tmp_path))
        program = ["privoxy", "--no-daemon", config]
    else:
        config.write_text(TINYPROXY.format(port=proxy, web=port))
        program = ["tinyproxy", "-d", "-c", config]
    serve(mode.server(program), proxy)
    curl = ["curl", "-sS", "-x", f"http://127.0.0.1:{proxy}", "--noproxy", "", *(["-p"] if kind == "connect" else []),
            f"http://127.0.0.1:{port}/{path.name}"]
    clients = [procs.start(mode.client([*curl, "-o", tmp_path / f"{i}"])) for i in range(4)]
    for i, client in enumerate(clients):
        procs.finish(client)
        assert sha256_file(tmp_path / f"{i}") == digest
