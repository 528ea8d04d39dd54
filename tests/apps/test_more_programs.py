"""
More servers with clients of their own: iperf's second version, which asks for times of arrival; Subversion, with a
process and with a thread for each connection; SMB; jobs that gearmand hands to workers; Redis with its replicas, and a
subscriber that gets more than any buffer holds.
"""
import os
import random
import re
import select
import subprocess

import pytest

from harness.hashes import sha256, sha256_file
from harness.ports import free_port
from harness.wait import until

pytestmark = [pytest.mark.modes("auto", slow=("plain", "eager", "chaos")), pytest.mark.deadline(60)]


@pytest.mark.parametrize("how", [["-t", "1"], ["-n", "100M", "-P", "2"], ["-t", "1", "-R"]], ids="_".join)
def test_iperf2(mode, procs, serve, port, how):
    """It sets SO_TIMESTAMP on all its sockets."""
    serve(mode.server(["iperf", "-s", "-B", "127.0.0.1", "-p", port]), port)
    client = procs.start(mode.client(["iperf", "-c", "127.0.0.1", "-p", port, "-f", "m", *how]), stdout=subprocess.PIPE)
    if "-t" in how and mode.both:
        mode.status.wait_moved(port)
    out = procs.finish(client).decode()
    assert re.search(r"[1-9][0-9.]* MBytes", out), out


@pytest.mark.parametrize("how", [[], ["--threads"]], ids=["processes", "threads"])
def test_svn(mode, procs, serve, port, tmp_path, how):
    """Files committed, and exported again."""
    repository, work = tmp_path / "r", tmp_path / "w"
    procs.run(["svnadmin", "create", repository])
    (repository / "conf" / "svnserve.conf").write_text("[general]\nanon-access = write\n")
    serve(mode.server(["svnserve", "-d", "--foreground", *how, "-r", tmp_path, "--listen-host", "127.0.0.1",
                       "--listen-port", port]), port)
    url, env = f"svn://127.0.0.1:{port}/r", {"HOME": str(tmp_path)}

    def svn(*args, **kw):
        return procs.run(mode.client(["svn", "--non-interactive", *args]), env=env, **kw)
    svn("checkout", "-q", url, work)
    for i in range(20):
        (work / f"f{i}").write_bytes(random.Random(i).randbytes(i * 10000))
    svn("add", "-q", *sorted(work.glob("f*")))
    svn("commit", "-q", "-m", "files", work)
    assert svn("cat", f"{url}/f7") == (work / "f7").read_bytes()
    svn("export", "-q", url, tmp_path / "exported")
    assert {p.name: p.read_bytes() for p in (tmp_path / "exported").iterdir()} == \
        {p.name: p.read_bytes() for p in work.glob("f*")}


SMB = """
[global]
smb ports = {port}
interfaces = lo
bind interfaces only = yes
lock directory = {dir}/lock
state directory = {dir}/state
cache directory = {dir}/cache
pid directory = {dir}/pid
private dir = {dir}/private
ncalrpc dir = {dir}/ncalrpc
log file = {dir}/log
map to guest = bad user
guest account = {user}
load printers = no
disable spoolss = yes
disable netbios = yes
[share]
path = {dir}/share
guest ok = yes
read only = no
"""


def test_smb(mode, procs, serve, port, tmp_path, data):
    for name in ("lock", "state", "cache", "pid", "private", "ncalrpc", "share"):
        (tmp_path / name).mkdir()
    path, digest = data(8 << 20)
    config = tmp_path / "smb.conf"
    config.write_text(SMB.format(port=port, dir=tmp_path, user="root"))
    serve(mode.server(["smbd", "-F", "--no-process-group", "-s", config]), port)
    procs.run(mode.client(["smbclient", "-s", config, "-p", port, "-N", "//127.0.0.1/share", "-c",
                           f"put {path} there; get there {tmp_path}/back; rename there gone; del gone"]))
    assert sha256_file(tmp_path / "back") == digest
    assert not list((tmp_path / "share").iterdir())


def test_gearman(mode, procs, serve, port):
    """A server between clients and workers, which start a program for each job."""
    serve(mode.server(["gearmand", "-p", port, "-L", "127.0.0.1", "-l", "stderr", "-t", "2"]), port)
    at = ["gearman", "-h", "127.0.0.1", "-p", port, "-f", "hash"]
    for _ in range(2):
        procs.start(mode.server([*at, "-w", "--", "sha256sum"]))
    for i in range(4):
        job = random.Random(i).randbytes(300000)
        assert procs.run(mode.client(at), data=job).decode().split()[0] == sha256(job)


def test_redis_replicas(mode, procs, serve, tmp_path):
    """Two copies of 20,000 keys, and 3 MB published on one of them."""
    ports = [free_port() for _ in range(3)]
    for i, port in enumerate(ports):
        (tmp_path / str(i)).mkdir()
        serve(mode.server(["redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", tmp_path / str(i), "--save", "",
                           "--repl-diskless-sync-delay", "0",
                           *(["--replicaof", f"127.0.0.1 {ports[0]}"] if i else [])]), port)
    first, last = (["redis-cli", "-p", p] for p in (ports[0], ports[2]))
    sets = b"".join(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(k), k, len(v), v) for k, v in (
        (b"k%d" % i, b"v%d" % i * 50) for i in range(20000)))
    assert b"replies: 20000" in procs.run(mode.client([*first, "--pipe"]), data=sets)
    for port in ports: # "wait" counts a replica that has begun to load, too
        until(lambda: procs.run(mode.client(["redis-cli", "-p", port, "dbsize"])).strip() == b"20000", "all keys are there")
        assert procs.run(mode.client(["redis-cli", "-p", port, "get", "k19999"])).strip() == b"v19999" * 50
    subscriber = procs.start(mode.client([*last, "subscribe", "news"]), stdout=subprocess.PIPE)
    until(lambda: procs.run([*last, "pubsub", "numsub", "news"]).split() == [b"news", b"1"], "the subscriber is there")
    procs.run(mode.client([*first, "-x", "publish", "news"]), data=b"m" * 3000000)
    got = b""
    while got.count(b"m") < 3000000 and select.select([subscriber.stdout], [], [], 20)[0]:
        got += os.read(subscriber.stdout.fileno(), 1 << 20)
    assert b"m" * 3000000 in got
