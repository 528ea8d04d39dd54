"""
Servers with waits of their own: DNS over TCP (unbound with its own event loop, knot with a thread for each worker),
LDAP, git's daemon that starts a process for each connection, an NBD server with many requests under way, an X server, and
syslog that is passed on. And a pool in front of PostgreSQL, a cache in front of nginx, fio's network engines.
"""
import hashlib
import pathlib
import random
import shutil
import subprocess
import tempfile

import pytest

from harness.hashes import sha256_file, tree
from harness.ports import free_port
from harness.wait import listening, until

pytestmark = [pytest.mark.modes("auto", slow=("plain", "eager", "chaos")), pytest.mark.deadline(60)]

MIB = 1 << 20
NAMES = [f"host{i}.test" for i in range(400)]
ADDRESSES = [f"10.0.{i // 200}.{i % 200}" for i in range(400)]
PG = pathlib.Path("/usr/lib/postgresql/15/bin")


def needs(program):
    return pytest.mark.skipif(not shutil.which(program), reason=f"no {program}: tools/setup more")


def resolve(procs, mode, port, tmp_path):
    """Names by dig, a connection for each and one for all, and by kdig, which asks before it has the answer."""
    questions = tmp_path / "questions"
    questions.write_text("\n".join(NAMES))
    for how in ("+keepopen", "+nokeepopen"):
        out = procs.run(mode.client(["dig", "@127.0.0.1", "-p", port, "+tcp", how, "+short", "-f", questions]))
        answers = [line for line in out.decode().splitlines() if not line.startswith(";;")]
        assert answers == ADDRESSES
    out = procs.run(mode.client(["kdig", "@127.0.0.1", "-p", port, "+tcp", "+keepopen", "+short", *NAMES]))
    assert out.decode().split() == ADDRESSES


UNBOUND = """
server:
    do-daemonize: no
    interface: 127.0.0.1@{port}
    username: ""
    chroot: ""
    pidfile: ""
    use-syslog: no
    directory: "{dir}"
    num-threads: 2
    incoming-num-tcp: 50
    module-config: "iterator"
    local-zone: "test." static
"""


def test_unbound(mode, procs, serve, port, tmp_path):
    config = tmp_path / "unbound.conf"
    config.write_text(UNBOUND.format(port=port, dir=tmp_path) + "".join(
        f'    local-data: "{name}. IN A {address}"\n' for name, address in zip(NAMES, ADDRESSES)))
    serve(mode.server(["unbound", "-d", "-c", config]), port)
    resolve(procs, mode, port, tmp_path)


KNOT = """
server:
    rundir: "{dir}"
    listen: 127.0.0.1@{port}
    tcp-workers: 2
database:
    storage: "{dir}"
acl:
  - id: anybody
    address: 127.0.0.1
    action: transfer
zone:
  - domain: test
    storage: "{dir}"
    file: test.zone
    acl: anybody
"""


def test_knot(mode, procs, serve, port, tmp_path):
    """And a zone of 10,000 names in one answer."""
    (tmp_path / "test.zone").write_text(
        "$ORIGIN test.\n$TTL 60\n@ SOA ns a 1 60 60 60 60\n@ NS ns\nns A 127.0.0.1\n" +
        "".join(f"{name}. A {address}\n" for name, address in zip(NAMES, ADDRESSES)) +
        "".join(f"more{i} A 10.1.{i // 200}.{i % 200}\n" for i in range(10000)))
    config = tmp_path / "knot.conf"
    config.write_text(KNOT.format(port=port, dir=tmp_path))
    serve(mode.server(["knotd", "-c", config]), port)
    ask = ["kdig", "@127.0.0.1", "-p", port, "+tcp"]
    until(lambda: b"10.0.0.1" in procs.run([*ask, "+short", "host1.test"]), "the zone is loaded")
    resolve(procs, mode, port, tmp_path)
    for tool in ("kdig", "dig"):
        out = procs.run(mode.client([tool, *ask[1:4], "AXFR", "test"])).decode()
        got = {fields[0]: fields[-1] for fields in map(str.split, out.splitlines())
               if fields and fields[0].startswith("more")}
        assert got == {f"more{i}.test.": f"10.1.{i // 200}.{i % 200}" for i in range(10000)}


SLAPD = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
maxsize 104857600
suffix "dc=t"
rootdn "cn=admin,dc=t"
rootpw secret
directory {dir}/db
sizelimit unlimited
"""


def test_slapd(mode, procs, serve, port, tmp_path):
    """Entries added one by one, asked for all at once, and deleted."""
    (tmp_path / "db").mkdir()
    config = tmp_path / "slapd.conf"
    config.write_text(SLAPD.format(dir=tmp_path))
    url = f"ldap://127.0.0.1:{port}"
    serve(mode.server(["slapd", "-d", "0", "-f", config, "-h", url]), port)
    auth = ["-x", "-H", url, "-D", "cn=admin,dc=t", "-w", "secret"]
    text = {f"u{i}": f"x{i}" * 200 for i in range(300)}
    people, gone = tmp_path / "people", tmp_path / "gone"
    people.write_text("dn: dc=t\nobjectClass: dcObject\nobjectClass: organization\no: t\ndc: t\n\n" + "".join(
        f"dn: cn={name},dc=t\nobjectClass: inetOrgPerson\ncn: {name}\nsn: s\ndescription: {what}\n\n"
        for name, what in text.items()))
    gone.write_text("".join(f"dn: cn={name},dc=t\nchangetype: delete\n\n" for name in text))
    procs.run(mode.client(["ldapadd", *auth, "-f", people]))
    search = ["ldapsearch", *auth, "-LLL", "-b", "dc=t", "-o", "ldif-wrap=no", "(cn=u*)", "description"]
    for _ in range(2):
        out = procs.run(mode.client(search)).decode()
        assert [line.partition(": ")[2] for line in out.splitlines()
                if line.startswith("description")] == list(text.values())
    procs.run(mode.client(["ldapmodify", *auth, "-f", gone]))
    assert b"description" not in procs.run(mode.client(search))


def test_git(mode, procs, serve, port, tmp_path):
    """Cloned, pushed, pulled: a process of the server for each, with the connection on 0 and 1."""
    name = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = name | {"HOME": str(tmp_path)}
    source, bare = tmp_path / "source", tmp_path / "repo.git"

    def git(*args, cwd=source, wrap=list):
        return procs.run(wrap(["git", "-c", "safe.directory=*", *map(str, args)]), env=env, cwd=cwd)

    def commit(directory, numbers):
        for i in numbers:
            (directory / f"f{i}").write_bytes(random.Random(i).randbytes(20000 + 1000 * i))
        git("add", ".", cwd=directory)
        git("commit", "-q", "-m", "more", cwd=directory)

    def files(directory):
        return {k: v for k, v in tree(directory).items() if not k.startswith(".git/")}

    source.mkdir()
    git("init", "-q", "-b", "main")
    commit(source, range(60))
    git("clone", "-q", "--bare", source, bare, cwd=tmp_path)
    serve(mode.server(["git", "-c", "safe.directory=*", "daemon", "--reuseaddr", "--listen=127.0.0.1",
                       f"--port={port}", f"--base-path={tmp_path}", "--export-all",
                       "--enable=receive-pack"]), port, env=env)
    for copy in ("one", "two"):
        git("clone", "-q", f"git://127.0.0.1:{port}/repo.git", copy, cwd=tmp_path, wrap=mode.client)
        assert files(tmp_path / copy) == files(source)
    commit(tmp_path / "one", range(60, 90))
    git("push", "-q", "origin", "main", cwd=tmp_path / "one", wrap=mode.client)
    git("pull", "-q", cwd=tmp_path / "two", wrap=mode.client)
    assert files(tmp_path / "two") == files(tmp_path / "one")


def test_nbd(mode, procs, serve, port, tmp_path, data):
    """A disk read and written with many requests under way, from coroutines."""
    path, digest = data(16 * MIB)
    disk, got, new = tmp_path / "disk", tmp_path / "got", tmp_path / "new"
    shutil.copy(path, disk)
    serve(mode.server(["qemu-nbd", "-f", "raw", "-b", "127.0.0.1", "-p", port, "-t", "-e", "4", disk]), port)
    url = f"nbd://127.0.0.1:{port}"
    convert = ["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", "-W", "-m", "8"]
    got.write_bytes(bytes(16 * MIB))
    procs.run(mode.client([*convert, url, got]))
    assert sha256_file(got) == digest
    new.write_bytes(random.Random(1).randbytes(16 * MIB))
    procs.run(mode.client([*convert, new, url]))
    assert sha256_file(disk) == sha256_file(new)


def test_x(mode, procs, serve):
    """An X server: a client that draws while others come, ask for much, and go."""
    number = free_port() % 1000 + 50
    serve(mode.server(["Xvfb", f":{number}", "-listen", "tcp", "-nolisten", "unix", "-ac", "-screen", "0",
                       "800x600x24"]), 6000 + number)
    env = {"DISPLAY": f"127.0.0.1:{number}"}
    eyes = procs.start(mode.client(["xeyes", "-geometry", "400x400"]), env=env)
    for _ in range(2):
        assert b"800x600" in procs.run(mode.client(["xdpyinfo"]), env=env)
        assert len(procs.run(mode.client(["xwd", "-root"]), env=env)) > 800 * 600 * 4
    assert eyes.poll() is None


SYSLOG = 'module(load="imtcp")\ninput(type="imtcp" port="{port}" address="127.0.0.1")\n'
TO_FILE = 'template(name="t" type="string" string="%msg%\\n")\n' \
    '*.* action(type="omfile" file="{out}" template="t" asyncWriting="off" flushOnTXEnd="on")\n'
TO_NEXT = '*.* action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp")\n'


def test_rsyslog(mode, procs, serve, port, tmp_path):
    """Lines through two servers: none missing, none twice, in order."""
    first, out = free_port(), tmp_path / "out"
    (tmp_path / "last.conf").write_text(SYSLOG.format(port=port) + TO_FILE.format(out=out))
    (tmp_path / "first.conf").write_text(SYSLOG.format(port=first) + TO_NEXT.format(port=port))
    for name, at in (("last", port), ("first", first)):
        serve(mode.server(["rsyslogd", "-n", "-iNONE", "-f", tmp_path / f"{name}.conf"]), at)
    lines = [f" line {i} {'y' * (i % 300)}" for i in range(10000)]
    procs.run(mode.client(["nc", "-N", "127.0.0.1", first]),
              data="".join(f"<13>Nov 23 10:00:00 h t:{line}\n" for line in lines).encode())
    until(lambda: out.exists() and out.read_text().count("\n") >= len(lines), "all lines", 40)
    assert out.read_text().splitlines() == lines


@pytest.mark.parametrize("engine,size", [("net", "4g"), ("netsplice", "64m")])
def test_fio(mode, procs, port, engine, size):
    """By read and write until the writer ends, and by splice and vmsplice. (A reader by read that wants just as much
    takes a short read for a whole block, ends too early, and the writer gets SIGPIPE: on plain TCP as well.)"""
    job = [f"--ioengine={engine}", f"--port={port}", "--protocol=tcp", "--bs=16k", "--thread"]
    server = procs.start(mode.server(["fio", "--name=in", *job, f"--size={size}", "--listen", "--rw=read"]),
                         stdout=subprocess.PIPE)
    until(lambda: listening(port), "fio listens")
    assert b"err= 0" in procs.run(mode.client(
        ["fio", "--name=out", *job, "--size=64m", "--hostname=127.0.0.1", "--rw=write"]))
    assert b"err= 0" in procs.finish(server)


@pytest.mark.slow
@needs("varnishd")
def test_varnish(mode, procs, serve, port, data, tmp_path):
    """A cache with many threads in front of nginx."""
    back, got = free_port(), tmp_path / "got"
    path, digest = data(16 * MIB)
    (path.parent / "small").write_bytes(b"small\n" * 100)
    config = tmp_path / "nginx.conf"
    config.write_text(f"daemon off; master_process off; pid {tmp_path}/pid; error_log stderr; events {{}} "
                      f"http {{ access_log off; server {{ listen 127.0.0.1:{back}; root {path.parent}; }} }}")
    serve(mode.server(["nginx", "-c", config, "-e", "stderr"]), back)
    serve(mode.server(["varnishd", "-F", "-j", "none", "-n", tmp_path / "v", "-a", f"127.0.0.1:{port}",
                       "-b", f"127.0.0.1:{back}", "-s", "malloc,64m", "-p", "thread_pool_min=5"]), port)
    url = f"http://127.0.0.1:{port}"
    for turn in ("fetched", "cached"):
        mode.download(procs, ["curl", "-sSf", "--limit-rate", "24M", "-o", got, f"{url}/{path.name}"], port)
        assert sha256_file(got) == digest, turn
    out = procs.run(mode.client(["ab", "-q", "-k", "-n", "4000", "-c", "20", f"{url}/small"])).decode()
    assert "Complete requests:      4000" in out and "Failed requests:        0" in out, out


PGBOUNCER = """
[databases]
* = host=127.0.0.1 port={back}
[pgbouncer]
listen_port = {port}
listen_addr = 127.0.0.1
unix_socket_dir =
auth_type = trust
auth_file = {dir}/users
pool_mode = transaction
default_pool_size = 4
"""


@pytest.mark.slow
@needs("/usr/sbin/pgbouncer")
def test_pgbouncer(mode, procs, serve, port, public_dir, environ):
    """Ten clients share four connections to the server, transaction by transaction."""
    place = pathlib.Path(tempfile.mkdtemp(dir=public_dir))
    shutil.chown(place, "postgres")
    place.chmod(0o755)
    back, user = free_port(), ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    env = {"SCILAN_BROKER": environ["SCILAN_BROKER"] + "-postgres", "HOME": str(place), "PGUSER": "postgres",
           "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGDATABASE": "postgres"}

    def client(*args):
        return procs.run([*user, *mode.client([str(PG / args[0]), *args[1:]])], env=env).decode()

    procs.run([*user, PG / "initdb", "-D", place / "db", "-A", "trust", "--no-sync"])
    serve([*user, *mode.server([PG / "postgres", "-D", place / "db", "-p", back, "-c", "fsync=off", "-c",
                                "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])], back, env=env)
    ready = [*user, PG / "pg_isready", "-q", "-p", back]
    until(lambda: subprocess.run([str(a) for a in ready], env=environ | env, check=False).returncode == 0,
          "PostgreSQL is ready")
    (place / "bouncer.ini").write_text(PGBOUNCER.format(port=port, back=back, dir=place))
    (place / "users").write_text('"postgres" ""\n')
    serve([*user, *mode.server(["/usr/sbin/pgbouncer", place / "bouncer.ini"])], port, env=env)
    client("pgbench", "-i", "-q", "-s", "2")
    for how in (["-M", "simple", "-t", "100"], ["-M", "extended", "-C", "-t", "20"], ["-S", "-t", "100"]):
        out = client("pgbench", "-n", "-c", "10", "-j", "2", *how)
        assert "failed transactions: 0" in out, out
    rows = client("psql", "-At", "-c", "select repeat(md5(i::text), 10) from generate_series(1, 30000) i").split()
    assert rows == [hashlib.md5(str(i).encode()).hexdigest() * 10 for i in range(1, 30001)]
