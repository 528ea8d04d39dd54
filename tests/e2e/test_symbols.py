"""The preloaded library is found however a program looks for a libc function."""
import pytest

LOOK = """
import ctypes, sys
libc = ctypes.CDLL(None)
for f in libc.dlsym, libc.dlvsym:
    f.restype = ctypes.c_void_p
name, version = (a.encode() for a in sys.argv[1:])
found = libc.dlvsym(None, name, version) if version else libc.dlsym(None, name)
class Info(ctypes.Structure):
    _fields_ = [("path", ctypes.c_char_p), ("base", ctypes.c_void_p),
                ("name", ctypes.c_char_p), ("at", ctypes.c_void_p)]
info = Info()
libc.dladdr(ctypes.c_void_p(found), ctypes.byref(info))
print(info.path.decode())
"""


@pytest.mark.parametrize("name,version", [
    ("read", ""), ("read", "GLIBC_2.2.5"), ("__read_chk", "GLIBC_2.4"), ("fcntl64", "GLIBC_2.28"),
    ("epoll_pwait2", "GLIBC_2.35"), ("recvmmsg", "GLIBC_2.12"), ("__poll_chk", "GLIBC_2.16"),
    ("close_range", "GLIBC_2.34"), ("posix_spawn", "GLIBC_2.15"), ("syscall", "GLIBC_2.2.5"),
])
def test_found(procs, scilan, name, version):
    out = procs.run([scilan, "run", "--", "/usr/bin/python3", "-c", LOOK, name, version])
    assert out.decode().strip().endswith("/libscilan.so")
