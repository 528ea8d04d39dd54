"""Fixtures of the program tests. SCILAN_BUILD: the build directory (default: build/)."""
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import uuid

import pytest

from harness import modes
from harness.broker import Broker
from harness.hashes import sha256
from harness.ports import free_port
from harness.procs import Procs, adopt_orphans
from harness.status import Status
from harness.wait import Late, listening, until

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGS = pathlib.Path(__file__).resolve().parent / "apps" / "progs"
DEADLINE = 90


def pytest_addoption(parser):
    parser.addoption("--plain", action="store_true",
                     help="run the programs without scilan: checks the tests themselves")
    parser.addoption("--mode", action="append", default=[], help="run in these modes only")


def pytest_generate_tests(metafunc):
    if "mode" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("modes")
    names = marker.args if marker else modes.ALL
    if "oracle" in metafunc.config.getoption("mode") and (not marker or "slow" in marker.kwargs):
        names = (*names, "oracle")
    only, slow = metafunc.config.getoption("mode"), ()
    if metafunc.config.getoption("plain"):
        names = ("plain",)
    elif marker:
        slow = marker.kwargs.get("slow", ())
        names = (*names, *slow)
    metafunc.parametrize("mode", [
        pytest.param(n, marks=pytest.mark.slow) if n in slow and not only else n
        for n in names if not only or n in only], indirect=True)


def pytest_collection_modifyitems(config, items):
    if config.getoption("plain"):
        skip = pytest.mark.skip(reason="needs scilan")
        for item in items:
            if "mode" not in item.fixturenames:
                item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def orphans():
    adopt_orphans()


@pytest.fixture(autouse=True)
def deadline(request):
    """A test that hangs fails, and the next one runs."""
    marker = request.node.get_closest_marker("deadline")
    seconds = marker.args[0] if marker else DEADLINE

    def late(*_):
        raise Late(f"the test did not end within {seconds} s")
    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)


@pytest.fixture(scope="session")
def build():
    return pathlib.Path(os.environ.get("SCILAN_BUILD", ROOT / "build"))


@pytest.fixture(scope="session")
def public_dir():
    """A directory that other users can enter."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="scilan-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def scilan(request, build, public_dir):
    """The program, in a place that every user can read."""
    if request.config.getoption("plain"):
        return "scilan"
    for name in ("scilan", "libscilan.so"):
        shutil.copy(build / name, public_dir / name)
    return str(public_dir / "scilan")


@pytest.fixture(scope="session")
def broker():
    """The session's own broker, apart from the one that the user may have."""
    broker = Broker(f"scilan-test-{uuid.uuid4().hex}")
    yield broker
    broker.kill()


@pytest.fixture
def environ(broker):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SCILAN_")}
    clean.pop("LD_PRELOAD", None)
    return clean | {"SCILAN_BROKER": broker.name, "LC_ALL": "C.UTF-8"}


@pytest.fixture
def status(scilan, environ):
    return Status(scilan, environ)


@pytest.fixture(scope="session")
def oracle(build, public_dir):
    if not (build / "tests" / "oracle" / "oracle").exists():
        pytest.skip("the oracle is not built: libdw-dev is missing")
    shutil.copy(build / "tests" / "oracle" / "oracle", public_dir / "oracle")
    return str(public_dir / "oracle")


@pytest.fixture
def mode(request, scilan, status, environ):
    if request.param != "oracle":
        yield modes.Mode(request.param, scilan, status)
        return
    # A broker that `scilan run` starts would run under the oracle, too, and outlive it.
    subprocess.run([scilan, "run", "--", "true"], env=environ, check=True, timeout=20)
    with tempfile.TemporaryDirectory(prefix="scilan-oracle-") as directory:
        os.chmod(directory, 0o777)
        mode = modes.Mode(request.param, scilan, status,
                          (request.getfixturevalue("oracle"), directory))
        yield mode
        mode.judge()


@pytest.fixture
def keep_alive():
    """Pids that outlive a test, besides the broker's."""
    return set()


@pytest.fixture
def procs(tmp_path, environ, broker, keep_alive):
    procs = Procs(tmp_path, environ)
    yield procs
    procs.stop_all(keep=keep_alive | broker.family())


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def serve(procs):
    """Start a server and wait until it listens."""
    def start(args, port, seconds=30, **how):
        proc = procs.start(args, **how)

        def look():
            assert proc.poll() is None, \
                f"{args} ended: {proc.returncode}\n{procs.tail(proc)}"
            return listening(port)
        until(look, f"{args} listens at port {port}", seconds)
        return proc
    return start


@pytest.fixture(scope="session")
def progs():
    """The directory of the small programs that the tests run."""
    return PROGS


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """data(bytes): a file of that size that does not compress, made once, and its SHA-256."""
    made = {}
    directory = tmp_path_factory.mktemp("data")

    def make(size):
        if size not in made:
            path = directory / f"{size}.bin"
            path.write_bytes(random.Random(size).randbytes(size))
            made[size] = path, sha256(path.read_bytes())
        return made[size]
    return make
