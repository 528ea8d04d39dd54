"""System calls without libc, in the program or in a library of it; io_uring."""
import subprocess

import pytest

RAW = 'long raw(long nr, int fd, char *p, long n) { long r; __asm__ volatile("syscall" : "=a"(r)' \
      ': "a"({nr}), "D"(fd), "S"(p), "d"(n) : "rcx", "r11", "memory"); return r; }'


@pytest.fixture
def library(compile_c, tmp_path):
    """library(nr): a library that makes the system call @nr, a C expression."""
    def make(nr):
        source = tmp_path / "lib.c"
        source.write_text(RAW.replace("{nr}", nr))
        return compile_c("libraw.so", source, "-shared", "-fPIC")
    return make


def on_tcp(status, pid, port, reason):
    def look():
        mine = [c for c in status.connections(port) if c["pid"] == pid]
        return mine and all(reason in (c["reason"] or "") and c["tx"]["lane"] == "tcp" and
                            c["rx"]["lane"] == "tcp" for c in mine)
    status.wait(look, port, f"TCP, because of: {reason}", 10)


def test_no_raw_code(status, promoted, echo_server, client, port):
    program = client()
    promoted(program)


def test_in_the_program(status, promoted, echo_server, client, procs, port):
    program = client("-DRAW")
    program.do("ping 20")
    on_tcp(status, program.proc.pid, port, "system calls without libc")
    assert "number 0" in procs.tail(program.proc)


@pytest.mark.parametrize("patch", [True, False])
def test_loaded_later(status, promoted, echo_server, client, library, port, patch):
    """
    Seen when it is loaded, or where the loader is as it was at the next connection; the one that is promoted goes
    back.
    """
    program = client(wrap=lambda c: c if patch else ["env", "SCILAN_PATCH=0", *c])
    promoted(program)
    program.do(f"load {library('nr')}")
    if not patch:
        program.do("open")
    program.do("ping 20")
    on_tcp(status, program.proc.pid, port, "system calls without libc")


def test_harmless(status, promoted, echo_server, client, library, port):
    """A library that knows only futex."""
    program = client()
    program.do(f"load {library('202L')}")
    promoted(program)


LOOP = """
__asm__(".text\\n.type wait_on,@function\\n.globl wait_on\\nwait_on: .cfi_startproc\\n"
        "mov $%s,%%r8d\\n1: mov %%r8d,%%eax\\nsyscall\\ntest %%eax,%%eax\\njne 1b\\nmov $-1,%%r8d\\nret\\n"
        ".cfi_endproc\\n.size wait_on,.-wait_on");
"""


@pytest.mark.parametrize("nr,harmless", [(202, True), (1, False)])
def test_number_in_a_loop(status, promoted, echo_server, client, compile_c, tmp_path, port, nr, harmless):
    """As compilers do: the number waits in another register."""
    source = tmp_path / "loop.c"
    source.write_text(LOOP % nr)
    program = client()
    program.do(f"load {compile_c('libloop.so', source, '-shared', '-fPIC')}")
    program.do("ping 20")
    if harmless:
        promoted(program)
    else:
        on_tcp(status, program.proc.pid, port, "system calls without libc")


@pytest.mark.parametrize("how", ["syscall", "library"])
def test_io_uring(status, promoted, echo_server, client, library, port, how):
    """Also what was promoted before."""
    program = client()
    promoted(program)
    if how == "syscall":
        program.do("uring")
    else:
        program.do(f"load {library('425L')}")
    program.do("ping 20")
    on_tcp(status, program.proc.pid, port, "io_uring")
    program.do("ping 20")


def test_cache(status, promoted, echo_server, client, environ, tmp_path, monkeypatch, port):
    """What is large is written down once; a file that others may write is not believed."""
    monkeypatch.setitem(environ, "XDG_CACHE_HOME", str(tmp_path))
    source = tmp_path / "big.c"
    source.write_text("__asm__(\".text\\n.fill 0x180000,1,0x90\\n\");" + RAW.replace("{nr}", "0L"))
    big = tmp_path / "libbig.so"
    subprocess.run(["cc", "-w", "-shared", "-fPIC", "-Wl,--build-id", "-o", big, source], check=True)
    cache = tmp_path / "scilan" / "code"
    for last in range(2):
        program = client()
        program.do(f"load {big}")
        program.do("open")
        program.do("ping 20")
        on_tcp(status, program.proc.pid, port, "system calls without libc")
        size = cache.stat().st_size
        assert cache.stat().st_mode & 0o777 == 0o600
        if last:
            assert size == before
        before = size
    cache.write_bytes(b"\0" * before)
    cache.chmod(0o666)
    program = client()
    program.do(f"load {big}")
    program.do("open")
    program.do("ping 20")
    on_tcp(status, program.proc.pid, port, "system calls without libc")
    assert cache.read_bytes() == b"\0" * before
