# SPDX-License-Identifier: BSD-2-Clause
"""What programs see at the two ends of a connection: without scilan, and under it.

`conform` (conform.h tells how) writes a record of each case. The records of a plain run and of runs under
scilan must be equal. known.txt lists the cases that are not, with the reasons.

The cases count on times (20 ms in which nothing happens), and the machine is shared: a case whose records differ is
taken once more, in both ways, and these records count. Which ones is written to the log.
"""
import fnmatch
import os
import pathlib
import subprocess
import sys

import pytest

from harness.modes import CHAOS_SEED

HERE = pathlib.Path(__file__).resolve().parent
LANES = ("eager", "auto", "chaos")


def program():
    build = pathlib.Path(os.environ.get("SCILAN_BUILD", HERE.parent.parent / "build"))
    return build / "tests" / "conformance" / "conform"


def list_cases():
    try:
        return subprocess.run([program(), "--list"], stdout=subprocess.PIPE, check=True,
                              text=True).stdout.splitlines()
    except OSError:
        return [] # not built


def read_known():
    found = []
    for line in (HERE / "known.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern, lanes, reason = (word.strip() for word in line.split("\t", 2))
            found.append((pattern, lanes, reason))
    return found


KNOWN = read_known()


def known(case, lanes):
    """(why a difference is known, whether it need not show), or None."""
    for pattern, which, reason in KNOWN:
        if fnmatch.fnmatchcase(case, pattern) and which in ("*", lanes):
            return reason.removeprefix("sometimes ").strip(), reason.startswith("sometimes ")
    return None


def parse(out):
    """{case: the lines of its record}"""
    records = {}
    for line in out.splitlines():
        if line.startswith("== "):
            records[line[3:]] = lines = []
        else:
            lines.append(line)
    return records


@pytest.fixture(scope="session")
def records(request, scilan, broker, tmp_path_factory):
    """records(lanes): all records of one way to run the cases; each way is run once."""
    done = {}
    # Only the cases that this session looks at.
    wanted = sorted({item.callspec.params["case"] for item in request.session.items
                     if "case" in getattr(getattr(item, "callspec", None), "params", ())})
    environ = {k: v for k, v in os.environ.items() if not k.startswith("SCILAN_")}
    environ |= {"SCILAN_BROKER": broker.name}

    def take(lanes, cases, jobs):
        env = environ | ({"SCILAN_CHAOS": f"lanes:{CHAOS_SEED}"} if lanes == "chaos" else {})
        promote = "auto" if lanes == "auto" else "eager"
        under = [] if lanes == "plain" else [scilan, "run", "--promote", promote, "--"]
        log = tmp_path_factory.mktemp("conform") / lanes
        with open(log, "wb") as err:
            out = subprocess.run([*under, str(program()), "-j", jobs, *cases], env=env,
                                 stdout=subprocess.PIPE, stderr=err, check=True).stdout
        return parse(out.decode(errors="replace"))

    def again(lanes):
        plain = done["plain"]
        cases = [case for case, lines in done[lanes].items()
                 if not same(lines, plain[case], lanes) and not known(case, lanes)]
        if not cases:
            return
        print(f"\n{lanes}: different, taken once more: {'; '.join(cases)}", file=sys.stderr)
        plain.update(take("plain", cases, "2"))
        done[lanes].update(take(lanes, cases, "2"))

    def run(lanes):
        if lanes not in done:
            done[lanes] = take(lanes, wanted, "6")
            if lanes != "plain":
                again(lanes)
        return done[lanes]
    return run


def same(seen, plain, lanes):
    """Line by line; under chaos what a case names for that is as good."""
    def allowed(line, expected):
        result, _, more = expected.partition("; or, under chaos: ")
        head = result.rpartition(" = ")[0]
        return line == expected or (more and lanes == "chaos" and
                                    line.partition("; or, under chaos: ")[0] == f"{head} = {more}")
    return len(seen) == len(plain) and all(map(allowed, seen, plain))


def text(lines):
    return "\n".join(lines)


@pytest.mark.deadline(600)
@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("case", list_cases())
def test_equal(records, case, lanes):
    plain, seen = records("plain")[case], records(lanes)[case]
    why = known(case, lanes)
    assert not any(line.startswith("!") for line in plain), f"the case itself:\n{text(plain)}"
    if same(seen, plain, lanes):
        assert not why or why[1], f"a known difference is gone: take it out of known.txt ({why[0]})"
        return
    if why:
        pytest.xfail(why[0])
    assert text(seen) == text(plain)


def test_built():
    assert len({case.rpartition("/")[0] for case in list_cases()}) >= 150
