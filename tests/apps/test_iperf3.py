"""iperf3 streams: forwards, backwards, four at once."""
import json
import subprocess

import pytest


@pytest.mark.parametrize("how", ["", "-R", "-P 4", "-P 4 -R"], ids=lambda s: s or "forward")
def test_iperf3(mode, procs, serve, port, how):
    serve(mode.server(["iperf3", "-s", "-B", "127.0.0.1", "-p", str(port)]), port)
    streams = 4 if "-P 4" in how else 1
    client = procs.start(mode.client(["iperf3", "-c", "127.0.0.1", "-p", str(port), "-J",
                                      "-t", "2", *how.split()]), stdout=subprocess.PIPE)
    mode.observe(port, at_least=streams)
    report = json.loads(procs.finish(client))
    assert "error" not in report, report["error"]
    sent, received = (report["end"][k]["bytes"] for k in ("sum_sent", "sum_received"))
    assert sent >= received > 0
