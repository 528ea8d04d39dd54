"""scilan status: the documented fields, and the truth."""
import ipaddress
import socket

import pytest

FIELDS = {"program", "pid", "fd", "local", "peer", "tx", "rx", "reason"}
DIRECTION = {"lane", "bytes_memory", "bytes_tcp", "messages", "bells", "sleeps"}


def test_nothing(status, port):
    assert status.connections(port) == []


def test_fields(status, echo_server, many, port):
    client = many()
    client.do("open 3")
    client.do("ping 1000")
    status.wait_memory(port, 3)
    found = status.connections(port)
    assert len(found) == 6
    for c in found:
        assert FIELDS <= set(c)
        assert c["pid"] in (echo_server.pid, client.proc.pid)
        assert c["program"].startswith("python")
        assert c["fd"] > 2
        for direction in ("tx", "rx"):
            assert DIRECTION <= set(c[direction])
        for address in (c["local"], c["peer"]):
            host, _, _ = address.rpartition(":")
            assert ipaddress.ip_address(host).is_loopback
    assert len({(c["local"], c["peer"]) for c in found}) == 6


def test_counts(status, echo_server, many, port):
    """Both ends count the same bytes, and as many as were sent."""
    client = many()
    client.do("open 1")
    client.do("ping 1000")
    status.wait_memory(port)
    ends = {c["pid"]: c for c in status.connections(port)}
    mine, other = ends[client.proc.pid], ends[echo_server.pid]
    sent = sum(len(b"0.%d " % i) for i in range(1000))
    for there, here in (("tx", "rx"), ("rx", "tx")):
        moved = mine[there]["bytes_memory"] + mine[there]["bytes_tcp"]
        assert moved == sent
        assert other[here]["bytes_memory"] + other[here]["bytes_tcp"] == sent
    assert mine["tx"]["messages"] == 1000


def test_closed_connections_leave(status, echo_server, many, port):
    client = many()
    client.do("open 5")
    client.do("ping 5")
    client.do("close 4")
    status.wait(lambda: len(status.connections(port)) == 2, port, "one connection, two ends", 10)


def test_ipv6(status, procs, serve, under, port):
    """Addresses as [::1]:PORT."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    serve(under(["socat", f"TCP6-LISTEN:{port},bind=[::1],reuseaddr", "EXEC:cat"]), port)
    nc = procs.start(under(["nc", "::1", port]), stdin=-1, stdout=-1)
    for _ in range(8):
        nc.stdin.write(b"hello\n")
        nc.stdin.flush()
        assert nc.stdout.readline() == b"hello\n"
    status.wait_memory(port)
    assert {f"[::1]:{port}"} & {c["local"] for c in status.connections(port)}


def test_table(status, procs, scilan, echo_server, many, port):
    client = many()
    client.do("open 2")
    status.wait_memory(port, 2, poke=lambda: client.do("ping 10"))
    lines = [line for line in procs.run([scilan, "status"]).decode().splitlines()
             if f":{port}" in line]
    assert len(lines) == 4
    assert all("memory" in line for line in lines)


SENDER = """
import socket, time
peer, _ = socket.create_server(("127.0.0.1", {port})).accept()
while True:
    peer.send(b"x")
    time.sleep(0.05)
"""


def test_one_way(status, procs, serve, under, port):
    """
    A stream one way: the direction in which nothing is sent is on TCP, and does not wait for the peer. (Unless the end that
    only receives was the second to attach, which is rare: then both directions have changed lane at once.)
    """
    serve(under(["python3", "-c", SENDER.format(port=port)]), port)
    procs.start(under(["socat", "-u", f"TCP:127.0.0.1:{port}", "-"])) # it waits for the broker's answer as well
    status.wait_memory(port, download=True)
    for c in status.connections(port):
        both = c["tx"]["lane"] == c["rx"]["lane"] == "memory"
        assert c["reason"] == ("" if both else "attached; what is on TCP changes lane with its next bytes"), c


def test_why_not(status, echo_server, many, port):
    """A peer that is not under scilan, in words."""
    client = many(wrap=lambda args: args)
    client.do("open 1")
    client.do("ping 10")
    status.wait_tcp(port)
    assert "scilan" in status.connections(port)[0]["reason"]


def test_peer_reason(status, echo_server, many, port):
    """Who was left says why the other one left."""
    client = many()
    client.do("open 1")
    status.wait_memory(port, poke=lambda: client.do("ping 10"))
    client.do("stamp 1")
    client.do("ping 2")
    ends = {c["pid"]: c for c in status.connections(port)}
    assert "SO_TIMESTAMP" in ends[client.proc.pid]["reason"]
    assert "SO_TIMESTAMP" in ends[echo_server.pid]["peer_reason"], ends
    assert {c["tx"]["lane"] for c in ends.values()} == {"tcp"}


def test_promote_off(status, echo_server, many, port, scilan):
    client = many(wrap=lambda args: [scilan, "run", "--promote", "off", "--", *args])
    client.do("open 1")
    client.do("ping 10")
    status.wait_tcp(port)
    assert any("off" in c["reason"] for c in status.connections(port)
               if c["pid"] == client.proc.pid)


def test_promote_after_calls(status, echo_server, many, port, scilan):
    """--promote 40: not before the 40th call."""
    client = many(wrap=lambda args: [scilan, "run", "--promote", "40", "--", *args])
    client.do("open 1")
    client.do("ping 10")
    status.wait_tcp(port)
    client.do("ping 30")
    status.wait(lambda: client.do("ping 1") or any(
        c["tx"]["lane"] == "memory" for c in status.connections(port)), port, "promotion", 10)
