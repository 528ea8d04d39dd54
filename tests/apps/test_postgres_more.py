"""What PostgreSQL does besides queries: a backup by the replication protocol, and a query that is cancelled."""
import os
import signal
import subprocess

import pytest

from harness import modes
from harness.wait import until
from test_two_users import BIN, as_user, environ, postgres, system_broker, template  # noqa: F401 # fixtures

pytestmark = [pytest.mark.modes(*modes.QUICK, slow=modes.REST), pytest.mark.deadline(60),
              pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def test_backup(mode, procs, port, postgres, public_dir): # noqa: F811
    """Two connections: the files, and what is written meanwhile. Each file has its SHA-256 in a list."""
    target = public_dir / f"backup-{port}"
    target.mkdir()
    target.chmod(0o777)
    client = procs.start(as_user("postgres", mode.client(
        [str(BIN / "pg_basebackup"), *postgres, "-D", str(target / "db"), "-X", "stream", "-c", "fast", "-r", "16M",
         "--manifest-checksums=SHA256"])), cwd="/")
    mode.observe(port, download=True)
    procs.finish(client)
    out = procs.run(as_user("postgres", [BIN / "pg_verifybackup", str(target / "db")]), cwd="/")
    assert b"backup successfully verified" in out


def test_cancel(mode, procs, port, postgres): # noqa: F811
    """Interrupted, psql cancels its query by a connection of its own, and ends."""
    psql = procs.start(mode.client(["psql", "-X", "-q", "-A", "-t", *postgres, "postgres"]), stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE)
    for i in range(20):
        psql.stdin.write(b"select %d;\n" % i)
        psql.stdin.flush()
        assert psql.stdout.readline() == b"%d\n" % i
    mode.observe(port)
    psql.stdin.write(b"\\echo sleeping\nselect pg_sleep(50);\n")
    psql.stdin.flush()
    assert psql.stdout.readline() == b"sleeping\n"
    running = ["psql", "-X", "-A", "-t", *postgres, "-c",
               "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'",
               "postgres"]
    until(lambda: procs.run(running).strip() == b"1", "the query runs")
    psql.send_signal(signal.SIGINT)
    until(lambda: "canceling statement due to user request" in procs.tail(psql), "the query is cancelled", 10)
    procs.finish(psql, status=3)
