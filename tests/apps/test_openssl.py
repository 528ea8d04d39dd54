"""TLS: OpenSSL's s_server and s_client, and stunnel on both sides of a plain connection."""
import subprocess

import pytest

from harness import modes
from harness.flow import pour, take
from harness.hashes import sha256, sha256_file
from harness.ports import free_port

pytestmark = pytest.mark.modes(*modes.QUICK, slow=modes.REST)

SIZE = 16 << 20


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A key and a certificate of its own, in one file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", path, "-out", f"{path}.crt",
                    "-subj", "/CN=localhost", "-days", "2"], check=True, stderr=subprocess.DEVNULL,
                   timeout=60)
    with open(path, "ab") as both, open(f"{path}.crt", "rb") as crt:
        both.write(crt.read())
    return path


@pytest.mark.parametrize("tls", ["-tls1_2", "-tls1_3"])
def test_bulk(mode, procs, serve, port, data, certificate, tls):
    """As much as goes, one way and then the other, on one connection."""
    path, digest = data(SIZE)
    server = serve(mode.server(["openssl", "s_server", "-accept", str(port), "-cert", certificate,
                                "-quiet", tls]), port, stdin=subprocess.PIPE,
                   stdout=subprocess.PIPE)
    client = procs.start(mode.client(["openssl", "s_client", "-quiet", "-connect",
                                      f"localhost:{port}", tls]),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for out, into in ((client, server), (server, client)):
        pour(out.stdin, path.read_bytes())
        assert take(into.stdout, SIZE) == digest
        mode.observe(port)
    procs.stop(client)


def test_files(mode, procs, serve, port, data, certificate):
    """s_server as a web server, and curl."""
    path, digest = data(SIZE)
    serve(mode.server(["openssl", "s_server", "-accept", str(port), "-cert", certificate, "-HTTP"]),
          port, cwd=path.parent)
    out = procs.run(mode.client(["curl", "-sS", "--http0.9", "-k",
                                 f"https://localhost:{port}/{path.name}"]))
    assert sha256(out) == digest


STUNNEL = """
foreground = yes
pid =
[tunnel]
client = {is_client}
accept = 127.0.0.1:{accept}
connect = 127.0.0.1:{connect}
cert = {cert}
"""


@pytest.fixture
def tunnel(mode, serve, tmp_path, certificate):
    """tunnel(port): TLS to a port, by two stunnels. Return the ports of both."""
    def start(port):
        ports = []
        for is_client in ("no", "yes"):
            ports.append(free_port())
            config = tmp_path / f"stunnel-{ports[-1]}.conf"
            config.write_text(STUNNEL.format(is_client=is_client, accept=ports[-1], connect=port,
                                             cert=certificate))
            serve(mode.server(["stunnel4", str(config)]), ports[-1])
            port = ports[-1]
        return ports
    return start


def test_stunnel(mode, procs, serve, port, data, tunnel, tmp_path):
    """curl, stunnel, stunnel, a web server: three connections, threads and poll()."""
    path, digest = data(SIZE)
    serve(mode.server(["/usr/bin/python3", "-m", "http.server", str(port), "--bind", "127.0.0.1",
                       "--directory", str(path.parent)]), port)
    ports = tunnel(port)
    mode.download(procs, ["curl", "-sSf", "--limit-rate", "12M", "-o", tmp_path / "got",
                          f"http://127.0.0.1:{ports[1]}/{path.name}"], port, *ports)
    assert sha256_file(tmp_path / "got") == digest
    out = procs.run(mode.client(["nc", "-N", "127.0.0.1", str(ports[1])]),
                    data=b"GET /missing HTTP/1.0\r\n\r\n")
    assert b" 404 " in out
