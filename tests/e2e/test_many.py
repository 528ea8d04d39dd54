"""Ten thousand promoted connections between two processes."""
import pathlib
import resource

import pytest

from harness.wait import until

MOST = 10_000
EACH = 16 << 10 # what an idle one may keep in memory, of both ends together


@pytest.fixture
def count():
    """How many: the broker needs three descriptors for each, and keeps others for clients and bells."""
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = 5 * MOST + 1000
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (want, max(want, old[1])))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (old[1], old[1]))
    yield min(MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 5 - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, old)


def shared_pages(pid):
    """Bytes of segments and side pages that are in memory, by inode: two processes map the same."""
    pages, inode = {}, None
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        head = line.split()
        if "-" in head[0] and not head[0].endswith(":"):
            inode = head[4] if len(head) > 5 and head[5].startswith("/memfd:scilan-s") and \
                "stat" not in head[5] else None
        elif inode and head[0] == "Rss:":
            pages[inode] = pages.get(inode, 0) + int(head[1]) * 1024
    return pages


def test_many(count, status, serve, under, procs, many, progs, port):
    server = serve(under(["/usr/bin/python3", progs / "epollserver.py", port]), port)
    client = many()
    for opened in range(0, count, 500):
        client.do(f"open {min(500, count - opened)}")
    client.do("ping 5")

    def everywhere():
        client.do("ping 1") # a lane is changed by the next that is sent
        lanes = [c[d]["lane"] for c in status.connections(port) for d in ("tx", "rx")]
        return lanes.count("memory") == len(lanes) == 4 * count
    until(everywhere, f"{count} connections on the memory lane", 60)
    touched = {}
    for pid in (server.pid, client.proc.pid):
        for inode, size in shared_pages(pid).items():
            touched[inode] = max(size, touched.get(inode, 0))
    assert sum(touched.values()) <= count * EACH, \
        f"{sum(touched.values()) / count / 1024:.3f} KiB for each connection"
