"""What libc calls itself: stdio, aio and the like, on a promoted connection; and what the oracle sees."""
import pytest

WAYS = ("print", "file", "libc", "aio", "mark", "spawn", "clone")


@pytest.fixture
def judged(client, oracle, scilan, tmp_path, procs):
    """judged(options..., env): the client under the oracle, and a function that ends it and gives the report."""
    procs.run([scilan, "run", "--", "true"]) # a broker that starts under the oracle would outlive it

    def make(*options, env=()):
        report = tmp_path / "report"
        program = client(*options, wrap=lambda c: [oracle, "-o", str(report), "--", "env", *env, *c])

        def end():
            procs.finish(program.proc, data=b"")
            return report.read_text()
        return program, end
    return make


@pytest.mark.parametrize("way", WAYS)
def test_comes_through_us(status, promoted, echo_server, judged, port, way):
    program, end = judged()
    promoted(program)
    for _ in range(3):
        program.do(way)
        promoted(program) # and there it still is
    report = end()
    assert " from " not in report, report
    assert int(report.split()[2]) > 0, report


@pytest.mark.parametrize("way", ["print", "libc"])
def test_without_patches(tcp_server, judged, way):
    """The oracle is no yes-man: symbols alone leak. The server is a plain one, so no byte is lost by that."""
    program, end = judged(env=["SCILAN_PATCH=0"])
    program.do("ping 20")
    program.do(way)
    report = end()
    assert "write" in report and "libc.so" in report, report


def test_stdio_without_patches(status, promoted, echo_server, client, port):
    """Then a socket under stdio stays on TCP, and works."""
    program = client(wrap=lambda c: ["env", "SCILAN_PATCH=0", *c])
    promoted(program)
    program.do("file")
    program.do("ping 20")
    program.do("file")
    status.wait(lambda: any("stdio" in (c["reason"] or "") for c in status.connections(port)), port,
                "the reason", 10)


def test_raw_call_is_reported(tcp_server, judged):
    program, end = judged("-DRAW")
    program.do("ping 5")
    program.do("raw")
    report = end()
    assert "read(" in report and "raw_read" in report, report


MDWE = """
import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0): # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN
    sys.exit(3)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_code_may_not_be_changed(status, promoted, echo_server, client, procs, port):
    """Memory that was written may not be run: libc stays as it is, and the program runs."""
    if procs.run(["/usr/bin/python3", "-c", MDWE, "/bin/echo", "x"], status=None) != b"x\n":
        pytest.skip("no PR_SET_MDWE")
    program = client(wrap=lambda c: ["/usr/bin/python3", "-c", MDWE, *c])
    promoted(program)
    program.do("file")
    program.do("ping 20")
    status.wait(lambda: any("stdio" in (c["reason"] or "") for c in status.connections(port)), port,
                "the reason", 10)
    assert "new code may not be run here" in procs.tail(program.proc)
