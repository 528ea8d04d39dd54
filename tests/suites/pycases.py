#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""
pycases MODULE RESULTS SECONDS RESOURCES LEAVE [ONLY]: run one module of CPython's own tests, a line a case

RESULTS gets "start ID" before each case and "OUTCOME ID" after it, written at once: so a case that hangs or
crashes is known, and the next run of the same command goes on behind it. A case that takes longer
than SECONDS ends the process. LEAVE: words, by commas; a case with one of them in its id is left out.
ONLY: a file with the ids to run. What regrtest does around a module
(directories, resources) is done here as far as these modules need it.
"""
import faulthandler
import os
import sys
import unittest


class Result(unittest.TestResult):
    """Outcomes as lines. A case has failed if one of its subtests has."""

    def __init__(self, path, seconds):
        super().__init__()
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self.pid = os.getpid() # cases fork, and a child that fails comes here as well
        self.seconds = seconds
        self.bad = None

    def put(self, what, test):
        if os.getpid() == self.pid:
            os.write(self.fd, f"{what} {name(test)}\n".encode(errors="replace"))

    def startTest(self, test):
        super().startTest(test)
        self.bad = None
        self.put("start", test)
        faulthandler.dump_traceback_later(self.seconds, exit=True)

    def stopTest(self, test):
        super().stopTest(test)
        faulthandler.cancel_dump_traceback_later()

    def wrong(self, what, test, err):
        self.bad = what
        sys.stderr.write(f"{what} {name(test)}\n{self._exc_info_to_string(err, test)}\n")

    def addSubTest(self, test, subtest, err):
        if err:
            self.wrong("fail", subtest, err)

    def addSuccess(self, test):
        self.put(self.bad or "pass", test)

    def addError(self, test, err):
        self.wrong("error", test, err)
        self.put("error", test)

    def addFailure(self, test, err):
        self.wrong("fail", test, err)
        self.put("fail", test)

    def addSkip(self, test, reason):
        self.put("skip", test)

    def addExpectedFailure(self, test, err):
        self.put("expected", test)

    def addUnexpectedSuccess(self, test):
        self.put("unexpected", test)

    def printErrors(self):
        pass


def name(test):
    """One word, without the parameters of a subtest that differ from run to run."""
    return test.id().replace(" ", "_")


def cases(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from cases(test)
        else:
            yield test


def without(suite, names):
    """The same tree (fixtures of classes and modules depend on it) without these cases."""
    kept = [without(t, names) if isinstance(t, unittest.TestSuite) else t for t in suite
            if isinstance(t, unittest.TestSuite) or name(t) not in names]
    return type(suite)(kept)


def main(module, results, seconds, resources, words, only=None):
    from test import support
    from test.support import threading_helper

    support.use_resources = resources.split(",")
    support.verbose = False
    faulthandler.enable()
    try:
        suite = unittest.defaultTestLoader.loadTestsFromName("test." + module)
    except unittest.SkipTest as skip:
        sys.exit(f"{module} is skipped as a whole: {skip}")
    leave = {name(t) for t in cases(suite) for word in words.split(",") if word and word in name(t)}
    if os.path.exists(results):
        with open(results, encoding="utf-8") as f:
            leave |= {line.split()[1] for line in f}
    if only:
        with open(only, encoding="utf-8") as f:
            wanted = set(f.read().split())
        leave |= {name(t) for t in cases(suite)} - wanted
    key = threading_helper.threading_setup()
    without(suite, leave).run(Result(results, float(seconds)))
    threading_helper.threading_cleanup(*key)


if __name__ == "__main__":
    # Modules find their data and one another as regrtest's: from the directory that they run in.
    del sys.path[0]
    main(*sys.argv[1:])
