# SPDX-License-Identifier: BSD-2-Clause
"""
How the suites of one origin are run, and what became of each case.

A kind is called with a Place (its directory, environment and time), the command that goes before
each program (`scilan run …`, or nothing) and the cases that are wanted (None: all). It returns
{case: outcome}. Outcomes are words, compared as they are.
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess

from harness.ports import free_port
from harness.wait import until

HERE = pathlib.Path(__file__).resolve().parent
# Where `fetch` puts sources.
SOURCES = pathlib.Path(os.environ.get("SCILAN_SUITES_SRC",
                                      HERE.parent.parent / "build-suites" / "src")).resolve()
PG = pathlib.Path("/usr/lib/postgresql/15/bin")
PYTHON = "/usr/bin/python3"
CASE_SECONDS = 60


class Python:
    """A module of CPython's tests. A case that hangs or crashes is known by its start alone."""

    def __init__(self, module, resources, leave=""):
        self.module = module
        self.leave = leave
        self.resources = resources

    def __call__(self, place, under, only=None):
        results = place.dir / "results"
        args = [PYTHON, HERE / "pycases.py", self.module, results, CASE_SECONDS, self.resources,
                self.leave]
        if only:
            (place.dir / "only").write_text("\n".join(only))
            args.append(place.dir / "only")
        found, before = {}, -1
        while len(found) > before and place.left() > 0:
            before = len(found)
            status = place.run([*under, *args], cwd=place.dir)
            found = self.read(results)
            if status == 0:
                break
        return found

    @staticmethod
    def read(results):
        found = {}
        if results.exists():
            for line in results.read_text(errors="replace").splitlines():
                what, _, case = line.partition(" ")
                if what != "start":
                    # The worst of what was said: an error in the case, then one in its tear-down.
                    found[case] = what if found.get(case) in (None, "unfinished", "pass") \
                        else found[case]
                else:
                    found.setdefault(case, "unfinished")
        return found


class Perl:
    """
    A directory of Perl tests. A case is a number in a file; `exit` is the file's status. They find
    their modules in the system, not in the tree.
    """

    def __init__(self, tree, *files, helpers=()):
        self.tree = SOURCES / tree
        self.files = files
        self.helpers = helpers

    def __call__(self, place, under, only=None):
        tree = place.dir / "tree"
        shutil.copytree(self.tree, tree, symlinks=True)
        for helper in self.helpers: # the core's tests share these
            shutil.copy(SOURCES / helper, tree / "t")
        found = {}
        for path in sorted(p for pattern in self.files for p in tree.glob(pattern)):
            file = str(path.relative_to(tree))
            if only and file not in {case.partition("#")[0] for case in only}:
                continue
            tap = place.dir / "tap"
            with open(tap, "wb") as out:
                status = place.run([*under, "/usr/bin/perl", "-I.", file], cwd=tree, stdout=out)
            found[f"{file}#exit"] = str(status)
            found |= {f"{file}#{n}": what for n, what in self.read(tap)}
        return found if not only else {case: found.get(case) for case in only}

    @staticmethod
    def read(tap):
        for line in tap.read_text(errors="replace").splitlines():
            got = re.match(r"(not ok|ok) (\d+)(.*)", line)
            if got:
                result, number, rest = got.groups()
                how = re.search(r"# *(skip|todo)", rest, re.I)
                yield number, how.group(1).lower() if how else result


class Glib:
    """GLib's installed tests, which speak TAP. A case is a name in a program; `exit` is its status."""

    DIR = pathlib.Path("/usr/libexec/installed-tests/glib")

    def __init__(self, *programs):
        self.programs = programs

    def __call__(self, place, under, only=None):
        found = {}
        for program in self.programs:
            tap = place.dir / "tap"
            with open(tap, "wb") as out:
                status = place.run([*under, self.DIR / program, "--tap"], cwd=self.DIR, stdout=out)
            found[f"{program}#exit"] = str(status)
            found |= {f"{program}{name}": what for what, name in re.findall(
                r"^(ok|not ok) \d+ (/\S+)", tap.read_text(errors="replace"), re.M)}
        return found


class Tcl:
    """Files of Tcl's own tests. A case is a test; `total` is the count that the file ends with."""

    def __init__(self, *files):
        self.files = files

    def __call__(self, place, under, only=None):
        tests = place.dir / "tests"
        shutil.copytree(SOURCES / "tcl8.6/tests", tests)
        found = {}
        for file in self.files:
            out = place.dir / "out"
            with open(out, "wb") as to:
                place.run([*under, "/usr/bin/tclsh", f"{file}.test", "-verbose", "pse"],
                          cwd=tests, stdout=to)
            text = out.read_text(errors="replace")
            place.say(text)
            found |= {case: what for case, what in re.findall(
                r"^(?:\+\+\+\+|====) (\S+) .*?(PASSED|SKIPPED|FAILED)", text, re.M)}
            total = re.search(r"Total\t.*", text)
            found[f"{file} total"] = total.group().replace("\t", " ") if total else "none"
        return found


class Redis:
    """Redis's own tests against the installed programs. A case is a test of a unit, by its words."""

    def __init__(self, *units):
        self.units = units

    def __call__(self, place, under, only=None):
        tree = place.dir / "tree"
        shutil.copytree(SOURCES / "redis", tree, symlinks=True)
        for program in ("redis-server", "redis-cli", "redis-benchmark", "redis-sentinel"):
            (tree / "src" / program).symlink_to(f"/usr/bin/{program}")
        out = place.dir / "out"
        with open(out, "wb") as to:
            status = place.run([*under, "./runtest", "--clients", "2",
                                *(arg for unit in self.units for arg in ("--single", unit))],
                               cwd=tree, stdout=to)
        text = re.sub(r"\x1b\[[0-9;]*m", "", out.read_text(errors="replace"))
        place.say(text)
        found = {case: what for what, case in re.findall(
            r"^\[(ok|err|exception|ignore)\]: (.*?)(?: \(\d+ ms\)| in tests/.*)?$", text, re.M)}
        found["exit"] = str(status)
        return found


class Lines:
    """
    A program whose output has a line for each case. @pattern has two groups, `case` and `what`.
    """

    def __init__(self, command, pattern, tree="."):
        self.command = command
        self.tree = SOURCES / tree
        self.pattern = re.compile(pattern, re.M)

    def __call__(self, place, under, only=None):
        out = place.dir / "out"
        with open(out, "wb") as to:
            place.run([*under, *self.command], stdout=to,
                      cwd=place.dir if self.tree == SOURCES else self.tree)
        text = out.read_text(errors="replace")
        place.say(text)
        found = {m["case"]: m["what"] for m in self.pattern.finditer(text)}
        return found if not only else {case: found.get(case) for case in only}


def pytest(*files):
    """Modules that are installed with a library. A case is what pytest calls it."""
    return Lines([PYTHON, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", *map(str, files)],
                 r"^(?P<what>PASSED|FAILED|ERROR) (?P<case>\S+)")


def trial(*modules):
    """Twisted's own tests, by its own runner. A case is a test of one of its reactors."""
    return Lines(["/usr/bin/trial3", "--reporter=bwverbose", *modules],
                 r"^(?P<case>twisted\.\S+) \.\.\. +\[(?P<what>[A-Z]+)\]")


def ruby(*files):
    """Ruby's own tests, by its own runner. A case is a method of a class; it ran, and is named again if it failed."""
    return Lines(["/usr/bin/ruby", "-Itool/lib", "-Itest/lib", "tool/test/runner.rb", "--excludes-dir=none",
                  "--ruby=ruby", "-v", *files],
                 r"^(?:\[[ \d/]+\] )?(?P<case>Test\w+#test_\w+)(?P<what> =| \[|:)", "ruby3.1")


class Vtc:
    """HAProxy's regression tests, which varnishtest runs. A case is a file."""

    def __init__(self, tree, *patterns):
        self.tree = SOURCES / tree
        self.patterns = patterns

    def __call__(self, place, under, only=None):
        place.environ["HAPROXY_PROGRAM"] = "/usr/sbin/haproxy"
        found = {}
        for path in sorted(p for pattern in self.patterns for p in self.tree.glob(pattern)):
            case = str(path.relative_to(self.tree))
            if not only or case in only:
                status = place.run([*under, "varnishtest", "-t", "25", case], cwd=self.tree,
                                   stdout=subprocess.DEVNULL)
                found[case] = str(status)
        return found


class Postgres:
    """A server with TCP alone, and what is run against it. All as Debian's user for it."""

    def __call__(self, place, under, only=None):
        data = place.dir / "data"
        port = str(free_port())
        if place.run([PG / "initdb", "-D", data, "-A", "trust", "--no-sync", "-U", "postgres",
                      "--no-locale", "--encoding=UTF8"], cwd=place.dir) != 0:
            return {}
        place.environ |= {"PGHOST": "127.0.0.1", "PGPORT": port, "PGUSER": "postgres"}
        server = place.start(
            [*under, PG / "postgres", "-D", data, "-p", port, "-c", "fsync=off",
             "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="], cwd=place.dir)
        try:
            until(lambda: place.run([PG / "pg_isready", "-q"]) == 0, "PostgreSQL is ready")
            return self.cases(place, under)
        finally:
            server.send_signal(signal.SIGINT) # its word for: now, but in order
            server.wait()


class Pgbench(Postgres):
    """Each built-in script in each protocol; and the sums agree that it keeps for that."""

    CONSISTENT = """select (select sum(abalance) from pgbench_accounts) = sum(delta) and
        (select sum(bbalance) from pgbench_branches) = (select sum(tbalance) from pgbench_tellers)
        from pgbench_history"""

    def cases(self, place, under):
        found = {}
        pgbench = [*under, PG / "pgbench"]
        found["initialize"] = self.word(place.run([*pgbench, "-i", "-q", "-s", "4", "postgres"]))
        for script in ("tpcb-like", "simple-update", "select-only"):
            for protocol in ("simple", "extended", "prepared"):
                out = place.dir / "out"
                with open(out, "wb") as to:
                    status = place.run([*pgbench, "-n", "-b", script, "-M", protocol, "-c", "8",
                                        "-j", "2", "-t", "250", "postgres"], stdout=to)
                done = "processed: 2000/2000" in out.read_text()
                found[f"{script} {protocol}"] = self.word(status if done else 1)
        out = place.dir / "out"
        with open(out, "wb") as to:
            place.run([*under, PG / "psql", "-At", "-c", self.CONSISTENT, "postgres"], stdout=to)
        found["sums"] = out.read_text().strip()
        return found

    @staticmethod
    def word(status):
        return "pass" if status == 0 else "fail"


class Regress(Postgres):
    """The schedule that PostgreSQL's own `make installcheck-parallel` runs."""

    def __init__(self, program, tree, schedule):
        self.program = PG.parent / "lib/pgxs/src/test" / program
        self.tree = SOURCES / "postgresql-15/src/test" / tree
        self.schedule = schedule

    def cases(self, place, under):
        libraries = place.dir / "lib"
        libraries.mkdir()
        own = self.tree / "regress.so"
        for lib in (*PG.parent.glob("lib/*.so"), *([own] if own.exists() else [])):
            (libraries / lib.name).symlink_to(lib)
        (place.dir / "testtablespace").mkdir()
        out = place.dir / "out"
        with open(out, "wb") as to:
            place.run([*under, self.program, f"--inputdir={self.tree}", f"--bindir={PG}",
                       f"--dlpath={libraries}", f"--schedule={self.tree / self.schedule}",
                       "--max-concurrent-tests=20", "--host=127.0.0.1",
                       f"--port={place.environ['PGPORT']}", "--user=postgres"],
                      cwd=place.dir, stdout=to)
        diffs = place.dir / "regression.diffs"
        place.say(out.read_text(errors="replace"))
        if diffs.exists():
            place.say(diffs.read_text(errors="replace"))
        return dict(re.findall(r"^(?:test)? +(\S+) +\.\.\. (ok|FAILED|failed)", out.read_text(),
                               re.M))
