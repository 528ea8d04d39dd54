"""A program that forbids itself system calls (seccomp) while it has connections on the memory lane."""
import pytest


@pytest.mark.parametrize("how", ["prctl", "seccomp", "strict"])
def test_sandbox(status, promoted, echo_server, client, procs, port, how):
    """It goes back to TCP before that, with what is unread, and then makes no call that is not the program's."""
    program = client()
    promoted(program)
    program.do(f"sandbox {how}")

    def look():
        mine = [c for c in status.connections(port) if c["pid"] == program.proc.pid]
        return mine and all("seccomp" in c["reason"] and c["tx"]["lane"] == c["rx"]["lane"] == "tcp" for c in mine)
    status.wait(look, port, "TCP, because of seccomp", 5)
    if how != "strict": # which allows to exit this thread, and not the process
        assert procs.finish(program.proc) == b""


def test_plain(client, tcp_server, procs):
    """The same, where the connection never was on the memory lane."""
    program = client()
    program.do("sandbox prctl")
    assert procs.finish(program.proc) == b""
