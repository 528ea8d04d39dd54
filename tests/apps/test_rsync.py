"""An rsync daemon, which forks a process a connection, and a client that forks as well."""
import pytest

from harness.hashes import tree

CONFIG = """
use chroot = no
uid = root
gid = root
[files]
path = {path}
read only = no
"""


@pytest.fixture
def files(tmp_path, data):
    """A few hundred small files and a few big ones."""
    source = tmp_path / "source"
    for i in range(8):
        (source / f"d{i}").mkdir(parents=True)
        for j in range(40):
            (source / f"d{i}" / f"f{j}").write_text(f"file {j} of {i}\n" * (j * 7))
        (source / f"d{i}" / "big").write_bytes(data((5 << 20) + i)[0].read_bytes())
    return source


@pytest.fixture
def daemon(mode, serve, port, tmp_path, files):
    config = tmp_path / "rsyncd.conf"
    config.write_text(CONFIG.format(path=tmp_path))
    serve(mode.server(["rsync", "--daemon", "--no-detach", f"--config={config}",
                       f"--port={port}", "--address=127.0.0.1"]), port)
    return f"rsync://127.0.0.1:{port}/files"


@pytest.mark.parametrize("way", ["download", "upload"])
def test_rsync(mode, procs, daemon, files, tmp_path, port, way):
    target = tmp_path / "target"
    ends = (f"{daemon}/source/", f"{target}/") if way == "download" else \
        (f"{files}/", f"{daemon}/target/")
    client = procs.start(mode.client(["rsync", "-a", "--bwlimit=20M", *ends]))
    # A client that downloads forks while the connection is up. Once chaos has left the memory lane it
    # stays on TCP, as two processes hold it: bytes on memory are a matter of luck then.
    if (mode.name, way) != ("chaos", "download"):
        mode.observe(port)
    procs.finish(client)
    assert tree(target) == tree(files)
    (target / "d3" / "big").write_bytes(b"changed")
    procs.run(mode.client(["rsync", "-a", "--checksum", *ends]))
    if way == "download":
        assert tree(target) == tree(files)
