"""Ten thousand promoted connections between two processes."""
import os
import pathlib
import resource
import threading

import pytest

from harness.procs import ticks
from harness.wait import until

MOST = 10_000
EACH = 16 << 10 # what an idle one may keep in memory, of both ends together
RING = 512 << 10 # and the one that raced, which has used all of its rings


SPARE = 500 # descriptors of a program that are no connections


@pytest.fixture
def count():
    """How many: each process may have so many descriptors. The broker needs three for each, and gets them by its keepers."""
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = old[1] if old[1] != resource.RLIM_INFINITY else MOST + SPARE
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 2 * MOST), old[1]))
    yield min(MOST, most - SPARE)
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


def race(client, enough=0):
    """
    The time of a round trip on one connection, in microseconds: the best of 5 attempts on a machine that others use,
    too, and of up to 60 as long as it is not below @enough.
    """
    best = float("inf")
    for attempt in range(60):
        best = min(best, float(client.do("race 1000")[0]))
        if best < enough or (attempt >= 4 and not enough):
            break
    return best


def test_many(count, status, serve, under, many, progs, port, broker):
    server = serve(under(["/usr/bin/python3", progs / "epollserver.py", port]), port)
    client = many()
    client.do("open 1")
    client.do("ping 20")
    status.wait_memory(port)
    alone = race(client)
    for opened in range(1, count, 500):
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
    assert sum(touched.values()) <= count * EACH + RING, \
        f"{sum(touched.values()) / count / 1024:.3f} KiB for each connection"

    pids = [server.pid, client.proc.pid, *broker.family()]
    before = [ticks(pid) for pid in pids]
    threading.Event().wait(3) # the measured time
    used = [ticks(pid) - b for pid, b in zip(pids, before)]
    assert max(used) <= 1, f"server, client, broker and keepers used {used} ticks of {os.sysconf('SC_CLK_TCK')}/s"

    enough = 1.5 * alone + 2
    among = race(client, enough)
    assert among < enough, f"{among} us among {count}, {alone} us alone"


def test_limit(status, serve, under, many, progs, port, broker, procs, scilan):
    """What the broker has no room for stays on TCP, and says why."""
    broker.kill()
    procs.start(["prlimit", "--nofile=96", scilan, "broker"])
    until(broker.pid, "a broker with few descriptors")
    serve(under(["/usr/bin/python3", progs / "epollserver.py", port]), port)
    client = many()
    client.do("open 150")

    def promoted():
        client.do("ping 1")
        return [c for c in status.connections(port) if c["tx"]["lane"] == c["rx"]["lane"] == "memory"]
    # 13 of its own and four times 21 of its keepers: both ends are shown
    until(lambda: len(promoted()) == 2 * (13 + 4 * 21), "as many as there is room for")
    rest = [c["reason"] for c in status.connections(port) if c["tx"]["lane"] == "tcp"]
    assert len(rest) == 2 * (150 - 13 - 4 * 21)
    assert set(rest) == {"the broker's limit is reached"}
    client.do("ping 200")
    assert len(promoted()) == 2 * (13 + 4 * 21)
