"""The command line: usage, exit status, environment."""
import os
import pty
import signal

import pytest

from harness.wait import until


def error_of(procs):
    """The one line that the last program wrote to standard error."""
    text = procs.tail(procs.all[-1])
    assert text.startswith("scilan"), text
    return text


def test_version(procs, scilan):
    assert procs.run([scilan, "--version"]).startswith(b"scilan 0.")


@pytest.mark.parametrize("args", [["help"], ["--help"], ["run", "--help"], ["status", "--help"]])
def test_help(procs, scilan, args):
    assert b"scilan" in procs.run([scilan, *args])


def test_help_names_the_environment(procs, scilan):
    text = procs.run([scilan, "run", "--help"]).decode()
    for name in ("PROMOTE", "RING", "SPIN", "VERBOSE"):
        assert f"SCILAN_{name}" in text


@pytest.mark.parametrize("args", [
    [], ["nonsense"], ["--nonsense"],
    ["run"], ["run", "--"], ["run", "--nonsense", "--", "true"],
    ["run", "--promote", "--", "true"], ["run", "--promote", "sometimes", "--", "true"],
    ["run", "--promote", "-1", "--", "true"], ["run", "--promote", "4x", "--", "true"],
    ["run", "--ring", "3", "--", "true"], ["run", "--ring", "65537", "--", "true"],
    ["run", "--ring", "99999999999999999999", "--", "true"],
    ["run", "--spin", "much", "--", "true"],
    ["status", "--nonsense"], ["status", "surplus"],
    ["broker", "--nonsense"], ["broker", "surplus"],
], ids=" ".join)
def test_wrong_usage(procs, scilan, args):
    procs.run([scilan, *args], status=2)
    assert error_of(procs)


def test_missing_program(procs, scilan):
    procs.run([scilan, "run", "--", "no-such-program-anywhere"], status=127)
    assert error_of(procs).count("\n") == 1
    assert "no-such-program-anywhere" in error_of(procs)


def test_not_a_program(procs, scilan, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    procs.run([scilan, "run", "--", file], status=126)
    assert str(file) in error_of(procs)


@pytest.mark.parametrize("dashes", [["--"], []], ids=["dashes", "none"])
def test_exit_status(procs, scilan, dashes):
    procs.run([scilan, "run", *dashes, "sh", "-c", "exit 7"], status=7)


def test_options_of_the_program(procs, scilan):
    """What stands after the program is the program's."""
    assert procs.run([scilan, "run", "echo", "--promote", "--", "-x"]) == b"--promote -- -x\n"


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_killed_by_a_signal(procs, scilan, sig):
    procs.run([scilan, "run", "--", "sh", "-c", f"kill -{int(sig)} $$"], status=-sig)


def test_signals_reach_the_program(procs, scilan):
    """It is the program: the same pid, and its own handlers."""
    proc = procs.start([scilan, "run", "--", "sh", "-c",
                        "trap 'exit 9' USR1; echo $$; while :; do sleep 0.05; done"], stdout=-1)
    assert int(proc.stdout.readline()) == proc.pid
    proc.send_signal(signal.SIGUSR1)
    procs.finish(proc, status=9)


def test_standard_streams(procs, scilan):
    assert procs.run([scilan, "run", "--", "cat"], data=b"there and back") == b"there and back"


def test_terminal(procs, scilan):
    ours, theirs = pty.openpty()
    proc = procs.start([scilan, "run", "--", "sh", "-c", "test -t 0 && test -t 1 && stty -echo"],
                       stdin=theirs, stdout=theirs)
    procs.finish(proc)
    os.close(ours)
    os.close(theirs)


def test_nothing_on_the_streams(procs, scilan):
    """Without --verbose a program's output is its own."""
    assert procs.run([scilan, "run", "--", "echo", "hello"]) == b"hello\n"
    assert procs.tail(procs.all[-1]) == ""


def test_preload_in_front(procs, scilan):
    """An existing preload stays, behind ours."""
    out = procs.run([scilan, "run", "--", "printenv", "LD_PRELOAD"],
                    env={"LD_PRELOAD": "libm.so.6"}).decode().strip()
    first, _, rest = out.partition(":")
    assert first.endswith("/libscilan.so") and rest == "libm.so.6"


def test_options_are_environment(procs, scilan):
    out = procs.run([scilan, "run", "--promote", "3", "--ring", "64K", "--spin", "10", "--",
                     "env"]).decode().splitlines()
    assert {"SCILAN_PROMOTE=3", "SCILAN_RING=64K", "SCILAN_SPIN=10"} <= set(out)


@pytest.mark.parametrize("how", ["option", "environment"])
def test_verbose(procs, scilan, how):
    procs.run([scilan, "run", *(["--verbose"] if how == "option" else []), "--", "true"],
              env={"SCILAN_VERBOSE": "1"} if how == "environment" else {})
    assert error_of(procs).count("\n") == 1


def test_bad_environment(procs, scilan):
    """A variable that makes no sense: one line, and the program runs."""
    assert procs.run([scilan, "run", "--", "echo", "x"], env={"SCILAN_RING": "3"}) == b"x\n"
    assert "SCILAN_RING" in error_of(procs)


def test_run_starts_the_broker(procs, scilan, broker):
    broker.kill()
    procs.run([scilan, "run", "--", "true"])
    first = until(broker.pid, "a broker")
    procs.run([scilan, "run", "--", "true"])
    assert broker.pid() == first


def test_second_broker(procs, scilan, broker):
    """Two at one address: the second says so and leaves."""
    procs.run([scilan, "run", "--", "true"])
    until(broker.pid, "a broker")
    procs.run([scilan, "broker"], status=1)
    assert error_of(procs).count("\n") == 1
