"""
The oldest programs of the field: FTP, with a connection for each file and a control connection that urgent data
may come on, and telnet, where inetd starts a server that speaks to a terminal.
"""
import itertools
import os
import pathlib
import subprocess

import pytest

from harness import modes
from harness.hashes import sha256_file, tree
from harness.ports import free_port
from harness.wait import until

pytestmark = [pytest.mark.modes(*modes.QUICK, slow=modes.REST),
              pytest.mark.skipif(os.geteuid() != 0, reason="the servers want root")]

SIZE = 16 << 20
EMPTY = pathlib.Path("/run/vsftpd/empty")

VSFTPD = """
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
ftp_data_port={data_port}
connect_from_port_20={bound}
anonymous_enable=YES
anon_root={root}
no_anon_password=YES
write_enable=YES
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
anon_umask=022
secure_chroot_dir={empty}
async_abor_enable=YES
use_sendfile={sendfile}
"""


@pytest.fixture
def files(public_dir, data):
    """What the server shows, and a directory to put things into, of the user that it runs as."""
    root = public_dir / "ftp"
    (root / "in").mkdir(parents=True, exist_ok=True)
    (root / "in").chmod(0o777)
    (root / "big").write_bytes(data(SIZE)[0].read_bytes())
    for i in range(10):
        (root / f"f{i}").write_text(f"file {i}\n" * 1000 * i)
    yield root
    for path in (root / "in").iterdir():
        path.unlink()


@pytest.fixture
def ftpd(mode, serve, port, files, tmp_path):
    """ftpd(sendfile): vsftpd, which has a process without rights for each session."""
    EMPTY.mkdir(parents=True, exist_ok=True)

    def start(sendfile=True):
        config = tmp_path / "vsftpd.conf"
        config.write_text(VSFTPD.format(port=port, root=files, empty=EMPTY, data_port=free_port(),
                                        bound="YES", sendfile="YES" if sendfile else "NO"))
        serve(mode.server(["vsftpd", str(config)]), port)
        return f"ftp://127.0.0.1:{port}"
    return start


@pytest.mark.parametrize("how", ["passive", "active"])
def test_lftp(mode, procs, ftpd, files, tmp_path, how):
    """A directory out and a directory in, several connections at once."""
    url, target = ftpd(), tmp_path / "target"
    client = ["lftp", "-c", f"set ftp:passive-mode {'yes' if how == 'passive' else 'no'}; "
              "set net:max-retries 1; set net:timeout 20; set cmd:fail-exit yes; set ftp:ssl-allow no; "
              f"open {url}; mirror -P 3 . {target}; mput -O in {target}/f* {target}/big"]
    procs.run(mode.client(client))
    got = {name: digest for name, digest in tree(files).items() if not name.startswith("in/")}
    assert tree(target) == got
    assert tree(files / "in") == got


@pytest.mark.parametrize("how,sendfile", [("passive", True), ("passive", False), ("active", True)])
def test_curl(mode, procs, ftpd, data, files, tmp_path, how, sendfile):
    url, got, active = ftpd(sendfile), tmp_path / "got", ["-P", "-"] if how == "active" else []
    client = procs.start(mode.client(["curl", "-sSf", "--limit-rate", "16M", *active, "-o", got, f"{url}/big",
                                      "--next", "-sSf", *active, "-T", data(SIZE)[0],
                                      f"{url}/in/{how}"]))
    procs.finish(client)
    assert sha256_file(got) == sha256_file(files / "in" / how) == data(SIZE)[1]


@pytest.mark.parametrize("how", ["passive", "active"])
def test_one_process(mode, procs, serve, files, data, tmp_path, port, how):
    """pyftpdlib does all in one process, so the connections can be promoted."""
    url, got, active = f"ftp://127.0.0.1:{port}", tmp_path / "got", \
        ["-P", "-"] if how == "active" else []
    data_port = free_port()
    serve(mode.server(["/usr/bin/python3", "-m", "pyftpdlib", "-i", "127.0.0.1", "-p", str(port), "-w", "-d",
                       str(files), "-r", f"{data_port}-{data_port}"]), port)
    client = procs.start(mode.client(["curl", "-sSf", "--limit-rate", "16M", *active, "-o", got, f"{url}/big",
                                      "--next", "-sSf", *active, "-T", data(SIZE)[0],
                                      f"{url}/in/{how}"]))
    if how == "passive":
        mode.observe(data_port, download=True)
    mode.observe(port)
    procs.finish(client)
    assert sha256_file(got) == sha256_file(files / "in" / how) == data(SIZE)[1]


def test_telnet(mode, procs, serve, port, tmp_path):
    config = tmp_path / "inetd.conf"
    config.write_text(f"127.0.0.1:{port} stream tcp nowait root /usr/sbin/telnetd telnetd -E /bin/sh\n")
    serve(mode.server(["/usr/sbin/inetd", "-d", "-i", str(config)]), port)
    client = procs.start(mode.client(["telnet", "127.0.0.1", str(port)]), stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE)
    client.stdin.write(b"stty -echo; PS1=; echo rea''dy\n")
    client.stdin.flush()
    lines = (line.strip() for line in iter(client.stdout.readline, b""))
    assert any(line.endswith(b"ready") for line in lines)
    client.stdin.write(b"seq 1 50000; echo all\n")
    client.stdin.flush()
    numbers = list(itertools.takewhile(lambda line: line != b"all", lines))
    assert [n for n in numbers if n] == [b"%d" % n for n in range(1, 50001)]
    if mode.name != "plain": # the server got the connection by exec
        mode.status.wait_tcp(port)
    client.stdin.write(b"\x1d") # the client's own escape: its next line is a command
    client.stdin.flush()
    client.stdin.write(b"\nsend brk\n\nexit\n")
    procs.finish(client, status=None)
