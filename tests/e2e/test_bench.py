"""`scilan bench`: its options, what it measures, and what it writes."""
import json
import os
import pathlib
import re
import signal
import xml.etree.ElementTree

import pytest

from harness.wait import until

PARTS = ["limits", "latency", "places", "crowded", "first", "stream", "load", "calls", "conns",
         "pairs", "threads", "idle", "links", "programs"]
TINY = ["--quick", "--rounds", "1", "--seconds", "0.03"]


@pytest.fixture
def program(build):
    """As built: the drivers lie beside it."""
    return str(build / "scilan")


def bench(procs, program, *args, status=0, seconds=80):
    return procs.run([program, "bench", *args], status=status, seconds=seconds).decode()


@pytest.fixture(scope="module")
def measured(tmp_path_factory, build):
    """One short run of some parts, for several tests."""
    import subprocess
    path = tmp_path_factory.mktemp("bench")
    files = {name: path / f"bench.{name}" for name in ("json", "html")}
    env = {k: v for k, v in os.environ.items() if not k.startswith("SCILAN_")}
    done = subprocess.run(
        [build / "scilan", "bench", "limits", "latency", "first", "calls", "conns", "threads",
         *TINY, "--json", files["json"], "--html", files["html"]],
        env=env, capture_output=True, timeout=80, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return {"text": done.stdout.decode(), "errors": done.stderr.decode(),
            "json": json.loads(files["json"].read_text()), "html": files["html"].read_text(),
            "files": files}


# --- options

@pytest.mark.parametrize("args", [
    ["nonsense"], ["--nonsense"], ["latency", "nonsense"], ["--seconds"], ["--seconds", "x"],
    ["--seconds", "0"], ["--rounds", "0"], ["--rounds", "1.5"], ["--rounds", "many"],
    ["--promote", "sometimes"], ["--ring", "3"], ["--spin", "much"],
    ["--json", "-", "--html", "-"],
], ids=" ".join)
def test_wrong_usage(procs, program, args):
    bench(procs, program, *args, status=2)
    assert procs.tail(procs.all[-1]).startswith("scilan: bench: ")
    assert procs.tail(procs.all[-1]).count("\n") == 1


def test_help(procs, program):
    text = bench(procs, program, "--help")
    for part in PARTS:
        assert re.search(rf"^  {part} ", text, re.M), part
    for option in ("--quick", "--seconds", "--rounds", "--json", "--html", "--from"):
        assert option in text
    assert "bench" in procs.run([program, "help"]).decode()


def test_man_page_names_all_parts_and_options():
    page = pathlib.Path(__file__).parents[2] / "man" / "scilan-bench.1.scd"
    text = page.read_text()
    for part in PARTS:
        assert f"\n*{part}*\n" in text, part
    for option in ("quick", "seconds", "rounds", "json", "html", "from", "promote", "ring",
                   "spin", "no-netns", "control"):
        assert f"\n*--{option}*" in text or f", *--{option}*" in text, option


@pytest.mark.parametrize("option", ["--json", "--html"])
def test_file_that_cannot_be_written(procs, program, option):
    """Known before anything is measured."""
    bench(procs, program, *TINY, option, "/nonexistent/file", status=1, seconds=5)
    assert "/nonexistent/file" in procs.tail(procs.all[-1])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"scilan_bench": 1}',
                                  '{"scilan_bench": 99, "figures": [], "machine": {}, '
                                  '"settings": {}}'],
                         ids=["empty", "list", "object", "bare", "version"])
def test_from_something_else(procs, program, tmp_path, text):
    file = tmp_path / "f.json"
    file.write_text(text)
    bench(procs, program, "--from", file, status=1, seconds=5)
    assert str(file) in procs.tail(procs.all[-1])


# --- what is measured

def figure(doc, name):
    found = [f for f in doc["figures"] if f["id"] == name]
    assert len(found) == 1, f"{name} among {[f['id'] for f in doc['figures']]}"
    return found[0]


def test_figures(measured):
    doc = measured["json"]
    where = "two" if len(os.sched_getaffinity(0)) > 1 else "one"
    assert not [f["id"] for f in doc["figures"] if "error" in f]
    for variant in ("tcp", "unix", "pipe", "scilan"):
        f = figure(doc, f"latency/{variant}/{where}/64")
        assert (f["part"], f["variant"], f["where"], f["x"]) == ("latency", variant, where, 64)
        assert len(f["runs"]) == 1
        assert 0 < f["median"]["p50_us"] <= f["median"]["p99_us"] <= f["median"]["p999_us"]
        assert f["median"]["cpu_us"] > 0
    for variant in ("tcp", "unix", "scilan", "scilan-eager"):
        assert len(figure(doc, f"first/{variant}")["median"]["each_p50_ns"]) == 64
    assert figure(doc, "conns/tcp/free")["median"]["rate"] > 100
    assert figure(doc, "threads/tcp/2")["median"]["messages_s"] > 100
    assert figure(doc, "limits")["median"]["wake_futex_one_ns"] > 0


def test_scilan_is_scilan(measured):
    """The scilan rows went through memory, and no other."""
    for f in measured["json"]["figures"]:
        if f["part"] == "latency" and f["x"] <= 1024:
            share = f["median"].get("memory_share")
            assert (share or 0) > 0.9 if f["variant"] == "scilan" else share is None, f["id"]


def test_system_calls(measured):
    """Over TCP a message costs a call at each end."""
    f = figure(measured["json"], "calls/tcp/pingpong")
    assert 1.5 < f["median"]["system_calls"] < 4


def test_settings(measured):
    doc = measured["json"]
    assert doc["scilan_bench"] == 1
    for key in ("cpu", "cpus", "virtual", "kernel", "system", "libc", "memory_mib", "load"):
        assert key in doc["machine"], key
    for key in ("version", "date", "quick", "promote", "ring", "spin", "congestion", "network",
                "cpus_pinned", "system_calls", "duration_s"):
        assert key in doc["settings"], key
    assert doc["settings"]["quick"] is True


def test_targets(measured):
    targets = measured["json"]["targets"]
    assert targets
    for t in targets:
        met = t["value"] <= t["limit"] if t["is"] == "at most" else t["value"] >= t["limit"]
        assert t["reached"] == met, t
        assert ("NOT REACHED" in next(line for line in measured["text"].splitlines()
                                      if t["what"] in line)) == (not met)


def test_promote_is_passed_on(procs, program, tmp_path):
    """With promotion off the scilan rows are TCP, and the output says so."""
    file = tmp_path / "f.json"
    text = bench(procs, program, "latency", *TINY, "--promote", "off", "--json", file)
    doc = json.loads(file.read_text())
    assert doc["settings"]["promote"] == "off"
    scilan = [f for f in doc["figures"] if f["variant"] == "scilan"]
    assert scilan and all(f["median"]["memory_share"] == 0 for f in scilan)
    assert "in memory" in text


# --- what is written

def test_text(measured):
    for name in ("The machine's own limits", "Round trip by message size", "Short connections",
                 "Targets"):
        assert name in measured["text"]
    for line in measured["text"].splitlines()[10:]:
        assert len(line) <= 110, line


def test_page(measured):
    """Well-formed, nothing from elsewhere, no script; the parts that ran, and no others."""
    page = measured["html"]
    root = xml.etree.ElementTree.fromstring(page.split("\n", 1)[1])
    names = {e.tag for e in root.iter()}
    assert "script" not in names and "link" not in names and "img" not in names
    assert "http" not in page and "@import" not in page and "url(" not in page
    assert "prefers-color-scheme" in page
    plots = list(root.iter("svg"))
    assert len(plots) >= 7
    for svg in plots:
        assert svg.get("aria-label") and svg.get("viewBox")
        width, height = map(float, svg.get("viewBox").split()[2:])
        for text in svg.iter("text"):
            assert -1 <= float(text.get("x")) <= width, text.text
            assert 0 <= float(text.get("y")) <= height, text.text
        for path in svg.iter("path"):
            assert "nan" not in path.get("d") and "inf" not in path.get("d")
    heads = " ".join("".join(e.itertext()) for e in root.iter("h2"))
    assert "Short connections" in heads and "crowd" not in heads
    assert measured["json"]["machine"]["kernel"] in page


def test_labels_do_not_overlap(measured):
    """The names at the ends of the lines of one plot."""
    root = xml.etree.ElementTree.fromstring(measured["html"].split("\n", 1)[1])
    for svg in root.iter("svg"):
        at = sorted((float(t.get("x")), float(t.get("y"))) for t in svg.iter("text")
                    if t.get("class") == "name" and t.get("text-anchor") == "start")
        for (x1, y1), (x2, y2) in zip(at, at[1:]):
            assert x1 != x2 or y2 - y1 >= 13


def test_from(procs, program, measured, tmp_path):
    """A stored run gives the same page and the same tables."""
    page, again = tmp_path / "f.html", tmp_path / "f.json"
    text = bench(procs, program, "--from", measured["files"]["json"], "--html", page, "--json",
                 again, seconds=10)
    assert page.read_text() == measured["html"]
    assert json.loads(again.read_text()) == measured["json"]
    assert text == measured["text"]


@pytest.mark.parametrize("figures", [
    [1, "x", None, {}], [{"id": 3, "runs": 4}], [{"id": "latency/scilan/two/64", "runs": [7]}],
    [{"id": "latency/scilan/two/64", "x": "y", "part": [], "runs": [{"p50_us": "fast"}]}],
    [{"id": f"latency/{v}/two/{x}", "x": x, "part": "latency", "runs": [{"p50_us": p}]}
     for v in ("tcp", "scilan", "x" * 200) for x in range(100) for p in (-1, 0, 1e300)],
    [{"id": "first/tcp", "runs": [{"each_p50_ns": list(range(500))}]}],
], ids=["types", "numbers", "run", "strings", "many", "array"])
def test_from_strange_figures(procs, program, tmp_path, figures):
    """What is no figure is left out; the page is well-formed all the same."""
    file, page = tmp_path / "f.json", tmp_path / "f.html"
    file.write_text(json.dumps({"scilan_bench": 1, "machine": {"cpu": "<&>", "cpus": "two"},
                                "settings": {"date": 5}, "figures": figures,
                                "skipped": [{}, 3, {"part": "links"}]}))
    bench(procs, program, "--from", file, "--html", page, seconds=10)
    xml.etree.ElementTree.fromstring(page.read_text().split("\n", 1)[1])


def test_standard_output(procs, program, measured):
    """With - there is nothing else on it."""
    args = ["--from", measured["files"]["json"]]
    assert json.loads(bench(procs, program, *args, "--json", "-"))["figures"]
    assert bench(procs, program, *args, "--html", "-") == measured["html"]


def test_progress(measured):
    """Not on a terminal: a line for each part."""
    assert re.findall(r"^scilan: bench: (\w+) \(", measured["errors"], re.M) == [
        "limits", "latency", "first", "calls", "conns", "threads"]


def runs(pid):
    """Not ended; a dead child that nobody has asked for yet has."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("sig,status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt(procs, program, tmp_path, sig, status):
    """Nothing is left behind, no process and no directory; what was measured is written."""
    file = tmp_path / "f.json"
    proc = procs.start([program, "bench", "limits", "crowded", "--quick", "--json", file],
                       stdout=-1)
    until(lambda: "crowded" in procs.tail(proc), "the second part")
    children = pathlib.Path(f"/proc/{proc.pid}/task/{proc.pid}/children")
    until(lambda: len(children.read_text().split()) >= 4, "ends and busy loops that run")
    left = [int(p) for p in children.read_text().split()]
    proc.send_signal(sig)
    out, _ = proc.communicate(timeout=30)
    assert proc.returncode == status
    until(lambda: not any(runs(p) for p in left), "nothing left")
    assert not list(pathlib.Path("/tmp").glob(f"scilan-bench-{proc.pid}-*"))
    doc = json.loads(file.read_text())
    assert figure(doc, "limits")["median"]
    assert doc["skipped"][0]["part"] == "crowded"
    assert "skipped: interrupted" in out.decode()
