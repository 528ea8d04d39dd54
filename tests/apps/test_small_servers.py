"""Small servers: beanstalkd, where workers wait for jobs, and dnsmasq, which forks for each connection."""
import subprocess

import pytest

from harness import modes

pytestmark = [pytest.mark.modes(*modes.QUICK, slow=modes.REST), pytest.mark.deadline(40)]


def test_beanstalkd(mode, procs, serve, port):
    """Two connections: jobs put by one are got by the other, which waits for each of them."""
    serve(mode.server(["beanstalkd", "-l", "127.0.0.1", "-p", str(port), "-z", "200000"]), port)
    producer, worker = [procs.start(mode.client(["nc", "127.0.0.1", str(port)]), stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE) for _ in range(2)]

    def say(proc, line):
        proc.stdin.write(line)
        proc.stdin.flush()

    def hear(proc, answer):
        assert proc.stdout.read(len(answer)) == answer

    for i in range(1, 201):
        job = b"%d " % i * (i * 100)
        say(worker, b"reserve\r\n")
        say(producer, b"put 0 0 60 %d\r\n%s\r\n" % (len(job), job))
        hear(producer, b"INSERTED %d\r\n" % i)
        hear(worker, b"RESERVED %d %d\r\n%s\r\n" % (i, len(job), job))
        say(worker, b"delete %d\r\n" % i)
        hear(worker, b"DELETED\r\n")
    mode.observe(port, at_least=2)
    for proc in (producer, worker):
        procs.finish(proc, data=b"quit\r\n")


def test_dnsmasq(mode, procs, serve, port, tmp_path):
    """A hundred questions on a connection, to a child of the server."""
    hosts = tmp_path / "hosts"
    hosts.write_text("".join(f"10.0.{i // 200}.{i % 200} host{i}.test\n" for i in range(400)))
    serve(mode.server(["dnsmasq", "-k", "-C", "/dev/null", "-p", str(port), "-a", "127.0.0.1", "-z", "-R", "-h",
                       "-H", str(hosts), "-u", "root", "--pid-file="]), port)
    questions = tmp_path / "questions"
    questions.write_text("".join(f"host{i}.test\n" for i in range(400)))
    out = procs.run(mode.client(["dig", "@127.0.0.1", "-p", str(port), "+tcp", "+keepopen", "+short",
                                 "-f", str(questions)]))
    answers = [line for line in out.decode().splitlines() if not line.startswith(";;")] # it connects anew
    assert answers == [f"10.0.{i // 200}.{i % 200}" for i in range(400)]
