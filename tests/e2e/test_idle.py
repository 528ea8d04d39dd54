"""Idle connections use no processor time."""
import os
import threading

from harness.procs import ticks


def test_idle(status, echo_server, many, port, broker):
    client = many()
    client.do("open 100")
    status.wait_memory(port, 100, poke=lambda: client.do("ping 10"))
    pids = [echo_server.pid, client.proc.pid, broker.pid()]
    before = [ticks(pid) for pid in pids]
    threading.Event().wait(10) # the measured time
    used = [ticks(pid) - b for pid, b in zip(pids, before)]
    assert max(used) <= 1, f"server, client, broker used {used} ticks of {os.sysconf('SC_CLK_TCK')}/s"
    client.do("ping 20")
