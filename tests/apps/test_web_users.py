"""
Servers that will not be root, with clients of another user: they meet in the machine's broker. Apache with a process
or a thread for each connection; Squid, which has its own way to wait for thousands of descriptors.
"""
import os

import pytest

from harness import modes
from harness.hashes import sha256_file
from harness.ports import free_port
from test_two_users import as_user, environ, system_broker  # noqa: F401 # fixtures

pytestmark = [pytest.mark.modes(*modes.QUICK, slow=modes.REST), pytest.mark.deadline(40),
              pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

SIZE = 16 << 20

APACHE = """
ServerRoot {dir}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {dir}/pid
DefaultRuntimeDir {dir}
ErrorLog /dev/stderr
User www-data
Group www-data
LoadModule mpm_{mpm}_module /usr/lib/apache2/modules/mod_mpm_{mpm}.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
DocumentRoot {files}
EnableSendfile {sendfile}
MaxKeepAliveRequests 0
StartServers 2
"""

SQUID = """
http_port 127.0.0.1:{port}
http_access allow all
cache deny all
pid_filename none
access_log none
cache_log /dev/stderr
cache_effective_user proxy
coredump_dir {dir}
shutdown_lifetime 0 seconds
pinger_enable off
netdb_filename none
"""


@pytest.fixture
def files(public_dir, data):
    directory = public_dir / "www-users"
    directory.mkdir(exist_ok=True)
    if not (directory / "big").exists():
        (directory / "big").write_bytes(data(SIZE)[0].read_bytes())
    (directory / "small").write_bytes(b"small\n" * 100)
    return directory


@pytest.fixture
def apache(mode, serve, files, public_dir):
    """apache(mpm): return its port."""
    def start(mpm):
        port = free_port()
        directory = public_dir / f"apache-{port}"
        directory.mkdir()
        config = directory / "conf"
        config.write_text(APACHE.format(dir=directory, port=port, files=files, mpm=mpm,
                                        sendfile="off" if mpm == "worker" else "on"))
        serve(mode.server(["/usr/sbin/apache2", "-DFOREGROUND", "-f", str(config)]), port)
        return port
    return start


def download(mode, procs, url, port, tmp_path, digest, *options):
    got = tmp_path / "got"
    mode.download(procs, ["curl", "-sSf", "--limit-rate", "24M", *options, "-o", got, url], port)
    assert sha256_file(got) == digest


@pytest.mark.parametrize("mpm", ["prefork", "worker", "event"])
def test_apache(mode, procs, apache, data, tmp_path, mpm):
    port = apache(mpm)
    download(mode, procs, f"http://127.0.0.1:{port}/big", port, tmp_path, data(SIZE)[1])
    out = procs.run(mode.client(["ab", "-q", "-k", "-n", "2000", "-c", "8",
                                 f"http://127.0.0.1:{port}/small"])).decode()
    assert "Complete requests:      2000" in out and "Failed requests:        0" in out, out


def test_squid(mode, procs, serve, apache, public_dir, data, tmp_path):
    """A proxy between: by its own connection to the server, and as a tunnel (CONNECT)."""
    web, port = apache("event"), free_port()
    directory = public_dir / f"squid-{port}"
    directory.mkdir()
    directory.chmod(0o777)
    config = directory / "conf"
    config.write_text(SQUID.format(port=port, dir=directory))
    serve(as_user("proxy", mode.server(["squid", "-N", "-f", str(config)])), port, cwd=directory)
    for tunnel in ([], ["-p"]):
        download(mode, procs, f"http://127.0.0.1:{web}/big", port, tmp_path, data(SIZE)[1],
                 "-x", f"http://127.0.0.1:{port}", *tunnel)
