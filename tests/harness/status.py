"""What `scilan status --json` says."""
import json
import subprocess

from harness.wait import Late, until

LANES = ("tx", "rx")


class Status:
    def __init__(self, scilan, environ):
        self.scilan = scilan
        self.environ = environ
        self.seen = {}

    def connections(self, port=None):
        """All connections, or those with @port at one end."""
        out = subprocess.run([self.scilan, "status", "--json"], env=self.environ, check=True,
                             stdout=subprocess.PIPE, timeout=20).stdout
        found = [c for c in json.loads(out)["connections"]
                 if port is None or f":{port}" in (port_of(c["local"]), port_of(c["peer"]))]
        if found:
            self.seen[port] = found # for the message when a wait fails
        return found

    def programs(self):
        out = subprocess.run([self.scilan, "status", "--json"], env=self.environ, check=True,
                             stdout=subprocess.PIPE, timeout=20).stdout
        return json.loads(out)["programs"]

    def pairs(self, port):
        """
        {(client, server): {"client": set of directions on memory, "server": the same}} of the
        connections to @port. More than one process can hold an end: a direction counts as on
        memory if it is for one of them.
        """
        found = {}
        for c in self.connections(port):
            end = "server" if port_of(c["local"]) == f":{port}" else "client"
            ends = (c["local"], c["peer"]) if end == "client" else (c["peer"], c["local"])
            pair = found.setdefault(ends, {})
            pair.setdefault(end, set()).update(d for d in LANES if c[d]["lane"] == "memory")
        return found

    def wait_memory(self, port, at_least=1, seconds=20, download=False, poke=None):
        """
        Wait for a moment at which @at_least connections are on memory, both ways, both ends. A @download goes one
        way: a client that says nothing more does not change its lane. @poke: called before each look, to say something.
        """
        least = {"client": {"rx"}, "server": {"tx"}} if download else \
            {"client": set(LANES), "server": set(LANES)}

        def on_memory(pair):
            return all(least[end] <= pair.get(end, set()) for end in least)

        def look():
            if poke:
                poke()
            return sum(on_memory(pair) for pair in self.pairs(port).values()) >= at_least
        self.wait(look, port, f"{at_least} connections on the memory lane", seconds)

    def wait_moved(self, port, seconds=20):
        """Wait until some bytes went over the memory lane (a lane that comes and goes)."""
        self.wait(lambda: any(c[d]["bytes_memory"] for c in self.connections(port)
                              for d in LANES), port, "bytes on the memory lane", seconds)

    def wait_tcp(self, port, seconds=20):
        """Wait for a connection, and see that all are on TCP, with a reason."""
        found = []

        def look():
            found[:] = [c for c in self.connections(port)
                        if c["tx"]["messages"] or c["rx"]["messages"]]
            return found
        self.wait(look, port, "a connection with traffic", seconds)
        for c in found:
            assert (c["tx"]["lane"], c["rx"]["lane"]) == ("tcp", "tcp"), c
            assert c["tx"]["bytes_memory"] == c["rx"]["bytes_memory"] == 0, c
            assert c["reason"], f"no reason: {c}"

    def wait(self, look, port, what, seconds):
        try:
            until(look, what, seconds, every=0.05)
        except Late as late:
            seen = "\n".join(json.dumps(c) for c in self.seen.get(port, [])[:6])
            raise Late(f"{late}; last seen:\n{seen or '(no connection)'}") from None


def port_of(address):
    return ":" + address.rpartition(":")[2] if address else None
