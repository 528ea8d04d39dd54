"""
The ways to run a pair of programs. `plain` checks the tests themselves (pytest --plain).

    auto          both ends under scilan, everything as it comes
    eager         both ends, offered at connect and accept
    chaos         both ends, eager, and the library leaves and takes the memory lane at random
    server-only   one end under scilan: stays on TCP
    client-only
    oracle        only by --mode oracle: eager, and each call on a tracked socket that did not come
                  through scilan fails the test (oracle/oracle.c)
"""
import os
import pathlib

from harness.wait import Late

ALL = ("auto", "eager", "chaos", "server-only", "client-only")
QUICK, REST = ("auto", "chaos"), ("plain", "eager") # of the many programs: always, and with -m slow
CHAOS_SEED = os.environ.get("SCILAN_TEST_SEED", "1")


class Mode:
    def __init__(self, name, scilan, status, oracle=None):
        self.name = name
        self.scilan = scilan
        self.status = status
        self.oracle = oracle # the program, and a directory for its reports
        self.reports = []

    def __str__(self):
        return self.name

    @property
    def both(self):
        return self.name in ("auto", "eager", "chaos", "oracle")

    def under(self, args, verbose=False):
        """The command that runs @args under scilan in this mode."""
        start = [self.scilan, "run"]
        if self.name != "auto":
            start += ["--promote", "eager"]
        if verbose:
            start += ["--verbose"]
        if self.name == "chaos":
            start = ["env", f"SCILAN_CHAOS=lanes:{CHAOS_SEED}", *start]
        if self.name == "oracle":
            program, directory = self.oracle
            self.reports.append(pathlib.Path(directory) / f"{len(self.reports)}.report")
            start = [program, "-o", str(self.reports[-1]), "--", *start]
        return [*start, "--", *args]

    def judge(self):
        """The oracle's reports: no call past scilan, and calls that were looked at."""
        text = "".join(r.read_text() for r in self.reports if r.exists())
        assert " from " not in text, text
        if any(line.endswith(" past scilan") for line in text.splitlines()):
            assert any(int(line.split()[2]) for line in text.splitlines()), text

    def server(self, args):
        return self.under(args) if self.both or self.name == "server-only" else list(args)

    def client(self, args):
        return self.under(args) if self.both or self.name == "client-only" else list(args)

    def observe(self, port, at_least=1, download=False, seconds=20):
        """While traffic runs: see that it is on the lane that this mode promises."""
        if self.name in ("auto", "eager", "oracle"):
            self.status.wait_memory(port, at_least, seconds, download)
        elif self.name == "chaos":
            self.status.wait_moved(port, seconds)
        elif self.name != "plain":
            self.status.wait_tcp(port, seconds)

    def download(self, procs, args, *ports):
        """Run a client, and see its connections' lanes meanwhile; once more where it was faster than we can look."""
        for last in (False, False, False, False, True):
            client = procs.start(self.client(args))
            try:
                for port in ports:
                    self.observe(port, download=True, seconds=3)
                last = True
            except Late:
                if last:
                    raise
            procs.finish(client)
            if last:
                return
