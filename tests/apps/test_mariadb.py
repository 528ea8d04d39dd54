"""
MariaDB's server and client. InnoDB sets up an io_uring for its files. What a ring does is past our sight, so all
connections of such a process stay on TCP, or go back to it.
"""
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from harness import modes

pytestmark = [pytest.mark.modes(*modes.QUICK, slow=modes.REST), pytest.mark.deadline(40),
              pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture(scope="session")
def template():
    path = pathlib.Path(tempfile.mkdtemp(prefix="scilan-mariadb-"))
    subprocess.run(["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={path}/db",
                    "--auth-root-authentication-method=normal", "--skip-test-db"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=80)
    yield path / "db"
    shutil.rmtree(path)


@pytest.fixture
def mariadb(mode, procs, serve, port, template, tmp_path):
    db = tmp_path / "db"
    shutil.copytree(template, db)
    serve(mode.server(["mariadbd", "--no-defaults", "--user=root", f"--datadir={db}",
                       f"--socket={tmp_path}/socket", f"--port={port}", "--bind-address=127.0.0.1",
                       "--innodb-buffer-pool-size=8M", "--innodb-flush-log-at-trx-commit=0",
                       "--secure-file-priv=", "--local-infile=1", "--max-allowed-packet=64M"]), port)
    return ["mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", str(port), "--skip-ssl", "-u", "root",
            "--local-infile=1", "--max-allowed-packet=64M", "-N", "-B", "-n"]


def observe(mode, port):
    if mode.name == "plain":
        return
    mode.status.wait_tcp(port)
    for c in mode.status.connections(port):
        if c["program"] == "mariadbd":
            assert "io_uring" in c["reason"], c


def test_in_and_out(mode, procs, mariadb, port, tmp_path):
    """A table in by the client's LOAD DATA, changed, and out by SELECT, on one connection."""
    rows = b"".join(b"%d\t%s\n" % (i, b"x%d" % (i * 7919) * (i % 23 + 1)) for i in range(30_000))
    source = tmp_path / "rows"
    source.write_bytes(rows)
    client = procs.start(mode.client(mariadb), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    client.stdin.write(b"CREATE DATABASE d; USE d; CREATE TABLE t (n INT PRIMARY KEY, s TEXT);\n"
                       b"LOAD DATA LOCAL INFILE '%s' INTO TABLE t;\n" % bytes(source) +
                       b"UPDATE t SET s = CONCAT(s, 'y');\n" +
                       b"SELECT COUNT(*) FROM t;\n" * 5)
    client.stdin.flush()
    for _ in range(5):
        assert client.stdout.readline() == b"30000\n", procs.tail(client)
    observe(mode, port)
    out = procs.finish(client, data=b"SELECT n, LEFT(s, LENGTH(s) - 1) FROM t ORDER BY n;\n")
    assert out == rows
