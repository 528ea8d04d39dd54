"""
The ways to run a pair of programs. `plain` checks the tests themselves (pytest --plain).

    auto          both ends under scilan, everything as it comes
    eager         both ends, offered at connect and accept
    chaos         both ends, eager, and the library leaves and takes the memory lane at random
    server-only   one end under scilan: stays on TCP
    client-only
"""
import os

ALL = ("auto", "eager", "chaos", "server-only", "client-only")
CHAOS_SEED = os.environ.get("SCILAN_TEST_SEED", "1")


class Mode:
    def __init__(self, name, scilan, status):
        self.name = name
        self.scilan = scilan
        self.status = status

    def __str__(self):
        return self.name

    @property
    def both(self):
        return self.name in ("auto", "eager", "chaos")

    def under(self, args, verbose=False):
        """The command that runs @args under scilan in this mode."""
        start = [self.scilan, "run"]
        if self.name != "auto":
            start += ["--promote", "eager"]
        if verbose:
            start += ["--verbose"]
        if self.name == "chaos":
            start = ["env", f"SCILAN_CHAOS=lanes:{CHAOS_SEED}", *start]
        return [*start, "--", *args]

    def server(self, args):
        return self.under(args) if self.both or self.name == "server-only" else list(args)

    def client(self, args):
        return self.under(args) if self.both or self.name == "client-only" else list(args)

    def observe(self, port, at_least=1):
        """While traffic runs: see that it is on the lane that this mode promises."""
        if self.name in ("auto", "eager"):
            self.status.wait_memory(port, at_least)
        elif self.name == "chaos":
            self.status.wait_moved(port)
        elif self.name != "plain":
            self.status.wait_tcp(port)
