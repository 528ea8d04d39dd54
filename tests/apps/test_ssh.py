"""
OpenSSH: a server that executes itself anew for each connection, has a process without rights and system calls
speak to the network before somebody has logged in, and another one after that.
"""
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile

import pytest

from harness import modes
from harness.flow import take
from harness.hashes import sha256_file
from harness.ports import free_port

pytestmark = [pytest.mark.modes(*modes.QUICK, slow=modes.REST),
              pytest.mark.skipif(os.geteuid() != 0, reason="sshd wants root")]

SIZE, MIDDLE = 100 << 20, 16 << 20
PRIVSEP = pathlib.Path("/run/sshd")

SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {dir}/host
PidFile none
AuthorizedKeysFile {dir}/login.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
Subsystem sftp /usr/lib/openssh/sftp-server
Match User www-data
    ForceCommand internal-sftp
    ChrootDirectory {home}
"""


@pytest.fixture(scope="session")
def keys(public_dir):
    """A key of the host and one to log in with."""
    directory = public_dir / "ssh"
    directory.mkdir()
    for name in ("host", "login"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name],
                       check=True, timeout=60)
    return directory


@pytest.fixture
def home():
    """A root directory for users: nobody but root may be able to change its name."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="scilan-test-", dir="/run"))
    path.chmod(0o755)
    (path / "in").mkdir()
    os.chown(path / "in", pwd.getpwnam("www-data").pw_uid, 0)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def sshd(mode, serve, port, keys, home, tmp_path):
    made = not PRIVSEP.exists()
    if made:
        PRIVSEP.mkdir(0o755)
    config = tmp_path / "sshd_config"
    config.write_text(SSHD.format(port=port, dir=keys, home=home))
    yield serve(mode.server(["/usr/sbin/sshd", "-D", "-e", "-f", str(config)]), port)
    if made:
        shutil.rmtree(PRIVSEP)


@pytest.fixture
def options(port, keys, tmp_path):
    return ["-F", "none", "-o", f"Port={port}", "-o", f"IdentityFile={keys}/login", "-o",
            "IdentitiesOnly=yes", "-o", f"UserKnownHostsFile={tmp_path}/known", "-o",
            "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes", "-o", "Ciphers=aes128-gcm@openssh.com"]


def ssh(options, *command):
    return ["ssh", *options, "root@127.0.0.1", *command]


def observe(mode, port):
    """
    The session's process is the one that sshd executed, alone again after the login: promoted there. One that `eager`
    has promoted before the process without system calls was forked is on TCP for good, and the two are not told apart
    from here.
    """
    if mode.name not in ("eager", "chaos"):
        mode.observe(port)


def test_stdin_stdout(mode, procs, sshd, options, port, data):
    """Through cat and back."""
    path, digest = data(SIZE)
    with open(path, "rb") as file:
        client = procs.start(mode.client(ssh(options, "cat")), stdin=file, stdout=subprocess.PIPE)
    observe(mode, port)
    assert take(client.stdout, SIZE) == digest
    assert procs.finish(client) == b""
    procs.run(mode.client(ssh(options, "exit", "7")), status=7)


def test_scp(mode, procs, sshd, options, port, data, tmp_path):
    """There by SFTP, as it is today, and back by the protocol of old."""
    path, digest = data(MIDDLE)
    there, back = tmp_path / "there", tmp_path / "back"
    procs.run(mode.client(["scp", "-q", *options, path, f"root@127.0.0.1:{there}"]))
    procs.run(mode.client(["scp", "-q", "-O", *options, f"root@127.0.0.1:{there}", back]))
    assert sha256_file(there) == sha256_file(back) == digest


def test_sftp(mode, procs, sshd, options, data, home, tmp_path):
    """As another user, in a chroot of its own: without our files, and with a process between."""
    path, digest = data(MIDDLE)
    back = tmp_path / "back"
    sftp = ["sftp", "-q", *options, "-b", "-", "www-data@127.0.0.1"]
    procs.run(mode.client(sftp), data=b"put %s /in/a\nget /in/a %s\nrename /in/a /in/b\n"
              % (bytes(path), bytes(back)))
    assert sha256_file(home / "in" / "b") == sha256_file(back) == digest


def test_forward(mode, procs, serve, sshd, options, port, data, tmp_path):
    """-L: the connections at both ends of the tunnel are ordinary ones."""
    path, digest = data(MIDDLE)
    web, local = free_port(), free_port()
    serve(mode.server(["/usr/bin/python3", "-m", "http.server", str(web), "--bind", "127.0.0.1",
                       "--directory", str(path.parent)]), web)
    tunnel = serve(mode.client(ssh([*options, "-N", "-L", f"{local}:127.0.0.1:{web}"])), local)
    mode.download(procs, ["curl", "-sSf", "--limit-rate", "16M", "-o", tmp_path / "got",
                          f"http://127.0.0.1:{local}/{path.name}"], local, web)
    assert sha256_file(tmp_path / "got") == digest
    procs.stop(tunnel)
