"""
A server with a user of its own and clients of another meet in the machine's broker: PostgreSQL, and
nginx whose workers give up root. As root only: `scilan broker --system` is the machine's.
"""
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import tempfile

import pytest

from harness.ports import free_port
from harness.wait import until

BIN = pathlib.Path("/usr/lib/postgresql/15/bin")
SOCKET = pathlib.Path("/run/scilan/broker.sock")

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
              pytest.mark.deadline(120)]


@pytest.fixture
def environ(environ):
    """No SCILAN_BROKER: the usual addresses."""
    return {k: v for k, v in environ.items() if k != "SCILAN_BROKER"}


@pytest.fixture(autouse=True)
def system_broker(mode, procs, scilan):
    if mode.name == "plain":
        return
    broker = procs.start([scilan, "broker", "--system"])

    def look():
        assert broker.poll() is None, procs.tail(broker)
        return SOCKET.exists()
    until(look, f"{SOCKET} is there")


def as_user(name, args):
    user = pwd.getpwnam(name)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups", *args]


@pytest.fixture(scope="session")
def template():
    """A database cluster, made once: the long part."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="scilan-pg-"))
    user = pwd.getpwnam("postgres")
    os.chown(path, user.pw_uid, user.pw_gid)
    subprocess.run(as_user("postgres", [BIN / "initdb", "-D", path / "db", "-A", "trust",
                                        "--no-sync", "-U", "postgres"]),
                   check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=60)
    yield path / "db"
    shutil.rmtree(path)


@pytest.fixture
def postgres(mode, procs, serve, port, template):
    serve(as_user("postgres", mode.server(
        [str(BIN / "postgres"), "-D", str(template), "-p", str(port), "-c", "fsync=off",
         "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])), port, cwd="/")
    ready = [BIN / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    until(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL is ready")
    return ["-h", "127.0.0.1", "-p", str(port), "-U", "postgres"]


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_pgbench(mode, procs, port, postgres, user):
    pgbench = [str(BIN / "pgbench"), *postgres]
    procs.run(mode.client([*pgbench, "-i", "-q", "-s", "2", "postgres"]))
    for how in (["-S"], ["-N", "-M", "prepared"]):
        client = procs.start(as_user(user, mode.client(
            [*pgbench, "-n", "-c", "4", "-j", "2", "-T", "2", *how, "postgres"])),
            stdout=subprocess.PIPE, cwd="/")
        mode.observe(port, at_least=4)
        out = procs.finish(client).decode()
        assert "number of failed transactions: 0 " in out, out
        assert int(re.search(r"actually processed: (\d+)", out)[1]) > 100, out


def test_copy(mode, procs, port, postgres, tmp_path):
    """A table in by COPY and out by COPY, on one connection; psql waits in the middle."""
    copy = b"\\copy (select * from t order by n) to '%s.%d'\n"
    rows = b"".join(b"%d\t%s\n" % (i, b"x%d" % (i * 7919) * (i % 23 + 1)) for i in range(200_000))
    source = tmp_path / "rows"
    source.write_bytes(rows)
    psql = procs.start(mode.client(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *postgres,
                                    "postgres"]), stdin=subprocess.PIPE)
    psql.stdin.write(b"CREATE TEMP TABLE t (n int, s text);\n"
                     b"\\copy t from '%s'\n"
                     % bytes(source) + copy % (bytes(source), 1))
    psql.stdin.flush()
    mode.observe(port)
    procs.finish(psql, data=copy % (bytes(source), 2))
    for i in (1, 2):
        assert pathlib.Path(f"{source}.{i}").read_bytes() == rows


@pytest.mark.modes("auto", "eager")
def test_nginx_workers(mode, procs, serve, tmp_path, public_dir, data):
    """nginx starts as root, its workers run as another user, the client is root."""
    from test_nginx import CONFIG
    port = free_port()
    www = public_dir / "www-two-users"
    www.mkdir(exist_ok=True)
    (www / "file").write_bytes(data(100 << 10)[0].read_bytes())
    config = tmp_path / "nginx.conf"
    config.write_text(CONFIG.format(dir=tmp_path, port=port, files=www, user="user nobody nogroup;",
                                    back=1, reuseport="", sendfile="on"))
    serve(mode.server(["nginx", "-p", str(tmp_path), "-c", str(config)]), port)
    client = procs.start(mode.client(["wrk", "-t", "1", "-c", "8", "-d", "2s",
                                      f"http://127.0.0.1:{port}/file"]), stdout=subprocess.PIPE)
    mode.observe(port, at_least=8)
    out = procs.finish(client).decode()
    assert "Socket errors" not in out and "Non-2xx" not in out, out
